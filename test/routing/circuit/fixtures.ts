/** Chance that can be repeated, and whole circuits without a network, for the tests of circuits. */
import type { SecretRandom } from '../../../core/index.ts'
import type { CircuitKeys } from '../../../crypto/index.ts'
import { ClientLayers, RelayLayer } from '../../../routing/circuit/layers.ts'

/** xorshift32: even enough that filler never meets by chance, and the same in every run. */
export function seededRandom(seed: number): SecretRandom {
  let state = seed | 1
  const next = (): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 11) & 0xff
  }
  const fill = (target: Uint8Array): void => {
    for (let i = 0; i < target.length; i++) target[i] = next()
  }
  return {
    fill,
    bytes: (size) => {
      const bytes = new Uint8Array(size)
      fill(bytes)
      return bytes
    },
  }
}

export function keysOf(hop: number): CircuitKeys {
  const random = seededRandom(1_000 + hop)
  return { forward: random.bytes(32), backward: random.bytes(32) }
}

/** What a test needs of a relay; a planted variant may take RelayLayer's place. */
export type Relay = Pick<RelayLayer, 'forward' | 'backward' | 'reply' | 'replyTag' | 'dataSizeMax'>
export type MakeRelay = (keys: CircuitKeys, hop: number, random: SecretRandom) => Relay

const makeRelayLayer: MakeRelay = (keys, hop, random) => new RelayLayer(keys, { hop, random })

/** A client and its relays, guard first. */
export function makeCircuit(
  hops: number,
  makeRelay: MakeRelay = makeRelayLayer,
): { client: ClientLayers; relays: Relay[] } {
  const client = new ClientLayers()
  const relays: Relay[] = []
  for (let hop = 1; hop <= hops; hop++) {
    client.addHop(keysOf(hop))
    relays.push(makeRelay(keysOf(hop), hop, seededRandom(77 * hop)))
  }
  return { client, relays }
}
