/**
 * Filler is unauthenticated: whatever of it survived a relay would be a mark that a guard and a gateway
 * of one owner could find again. The check looks at bytes only, and is itself tried on relays that are
 * wrong on purpose.
 */
import { describe, expect, it } from 'vitest'
import { CELL_BODY_SIZE, equalBytes, LAYER_SIZE, type SecretRandom } from '../../../core/index.ts'
import type { CircuitKeys } from '../../../crypto/index.ts'
import { type Forwarded, RelayLayer } from '../../../routing/circuit/layers.ts'
import { RELAY_COMMANDS, type RelayMessage } from '../../../routing/circuit/relay-messages.ts'
import { type MakeRelay, makeCircuit, type Relay } from './fixtures.ts'

const CELLS = 40
/** Runs of 6 bytes meet by chance once in 4 million cells; single bytes are compared by offset, over all cells. */
const RUN = 6
const CELLS_FOR_RUNS = 6
const MESSAGE: RelayMessage = { command: RELAY_COMMANDS.data, stream: 1, data: new Uint8Array(3_000).fill(7) }

/** One cell as it was near the client and near the gateway. */
interface Sighting {
  readonly near: readonly Uint8Array[]
  readonly far: Uint8Array
}

/** What the two ends could match, in words; none when nothing common is left. */
function findMarks(sightings: readonly Sighting[]): string[] {
  const marks = new Set<string>()
  for (const { near, far } of sightings.slice(0, CELLS_FOR_RUNS)) {
    const runs = new Set(near.flatMap(runsOf))
    if (runsOf(far).some((run) => runs.has(run))) marks.add(`a run of ${RUN} bytes`)
  }
  // A byte kept alone: its offset agrees in every cell, by chance in one of 256^40.
  for (let offset = 0; offset < CELL_BODY_SIZE; offset++) {
    const isKept = (link: number): boolean =>
      sightings.every(({ near, far }) => (near[link] as Uint8Array)[offset] === far[offset])
    if ([0, 1].some(isKept)) marks.add('a single byte at its place')
  }
  return [...marks]
}

/** Every run of the body as a number of 48 bits. */
function runsOf(body: Uint8Array): number[] {
  const runs: number[] = []
  let run = 0
  for (const [at, value] of body.entries()) {
    run = (run % 2 ** (8 * (RUN - 1))) * 256 + value
    if (at >= RUN - 1) runs.push(run)
  }
  return runs
}

/** 40 cells each way over guard, middle and gateway: near = both sides of the guard, far = the gateway's side. */
function watch(makeRelay?: MakeRelay): { forward: Sighting[]; backward: Sighting[] } {
  const { client, relays } = makeCircuit(3, makeRelay)
  const [guard, middle, gateway] = relays as [Relay, Relay, Relay]
  const forward: Sighting[] = []
  const backward: Sighting[] = []
  for (let i = 0; i < CELLS; i++) {
    const body = client.seal(3, MESSAGE)
    const received = body.slice()
    expect(guard.forward(body).do).toBe('pass')
    const sent = body.slice()
    expect(middle.forward(body).do).toBe('pass')
    forward.push({ near: [received, sent], far: body.slice() })
    const step = gateway.forward(body)
    expect(step.do === 'deliver' && equalBytes(step.message.data, MESSAGE.data)).toBe(true)

    const answer = gateway.reply(MESSAGE)
    const far = answer.slice()
    middle.backward(answer)
    const passed = answer.slice()
    guard.backward(answer)
    backward.push({ near: [passed, answer.slice()], far })
    const opened = client.open(answer)
    expect(opened !== undefined && equalBytes(opened.message.data, MESSAGE.data)).toBe(true)
  }
  return { forward, backward }
}

/** A relay of the right layout that keeps the last `kept` bytes of the filler it received. */
class KeepingRelay implements Relay {
  readonly #layer: RelayLayer
  readonly #keep: (outgoing: Uint8Array, received: Uint8Array) => void
  constructor(layer: RelayLayer, keep: (outgoing: Uint8Array, received: Uint8Array) => void) {
    this.#layer = layer
    this.#keep = keep
  }
  get dataSizeMax(): number {
    return this.#layer.dataSizeMax
  }
  get replyTag(): Uint8Array {
    return this.#layer.replyTag
  }
  forward(body: Uint8Array): Forwarded {
    const received = body.slice()
    const step = this.#layer.forward(body)
    if (step.do === 'pass') this.#keep(step.body, received)
    return step
  }
  backward(body: Uint8Array): Uint8Array {
    const received = body.slice()
    const sent = this.#layer.backward(body)
    this.#keep(sent, received)
    return sent
  }
  reply(message: RelayMessage, body?: Uint8Array): Uint8Array {
    return this.#layer.reply(message, body)
  }
}

/** Only the middle relay has filler both before and behind it: 17 bytes of each survive if it is careless. */
function middleThat(keep: (outgoing: Uint8Array, received: Uint8Array) => void): MakeRelay {
  return (keys: CircuitKeys, hop: number, random: SecretRandom) => {
    const layer = new RelayLayer(keys, { hop, random })
    return hop === 2 ? new KeepingRelay(layer, keep) : layer
  }
}

const END = CELL_BODY_SIZE

describe('filler', () => {
  it('has nothing in common on the two sides of a circuit, in either direction', () => {
    const { forward, backward } = watch()
    expect(findMarks(forward)).toEqual([])
    expect(findMarks(backward)).toEqual([])
  })

  it('is made anew for each cell', () => {
    const { forward } = watch()
    const ends = new Set(forward.map(({ far }) => far.subarray(END - 2 * LAYER_SIZE).join()))
    expect(ends.size).toBe(CELLS)
  })

  it.each([
    {
      name: 'keeps the older filler and adds its own',
      keep: (out: Uint8Array, got: Uint8Array) => out.set(got.subarray(END - LAYER_SIZE), END - LAYER_SIZE),
    },
    {
      name: 'moves the older filler up',
      keep: (out: Uint8Array, got: Uint8Array) => out.set(got.subarray(END - LAYER_SIZE + 5), END - LAYER_SIZE),
    },
    {
      name: 'keeps a single byte of it',
      keep: (out: Uint8Array, got: Uint8Array) => out.set(got.subarray(END - 1), END - 1),
    },
  ])('is found by this check when a relay $name', ({ keep }) => {
    const { forward, backward } = watch(middleThat(keep))
    expect(findMarks(forward)).not.toEqual([])
    expect(findMarks(backward)).not.toEqual([])
  })

  it('is found by this check when relays fill with nothing but zeros', () => {
    const zeros: SecretRandom = { bytes: (size) => new Uint8Array(size), fill: (target) => target.fill(0) }
    const { forward, backward } = watch((keys, hop) => new RelayLayer(keys, { hop, random: zeros }))
    expect(findMarks(forward)).not.toEqual([])
    expect(findMarks(backward)).not.toEqual([])
  })
})
