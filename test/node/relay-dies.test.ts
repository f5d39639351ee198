/** Transfers while relays die and circuits grow old: they go on, over others, through the same guard. SPEC circuits §6 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { equalBytes, messageOf, type NodeId, type Profile, toHex } from '../../core/index.ts'
import type { HushNode } from '../../node/compose.ts'
import { encodeCircuitRequest, WHOLE } from '../../routing/index.ts'
import { type Address, encodeContentRef, openObject, putObject } from '../../storage/index.ts'
import { chance, MemoryNetwork } from './memory-network.ts'

const SIZE = 4_000_000

async function begin(network: MemoryNetwork, profile: Partial<Profile> = {}) {
  await network.start({ joining: 7 })
  await network.until(
    () => network.members.every(({ node }) => node.member?.ring.state !== undefined),
    'all have joined',
  )
  const [author, reader] = [await network.addClient({ profile }), await network.addClient()]
  for (const client of [author, reader]) await network.until(() => client.pool.ready.length >= 5, 'circuits')
  return { author, reader }
}

/** In pieces of a tenth, `at` told before each. */
async function put(from: HushNode, bytes: Uint8Array, at: (tenth: number) => Promise<void>) {
  const source = (async function* () {
    for (let tenth = 0; tenth < 10; tenth++) {
      await at(tenth)
      yield bytes.subarray((tenth * bytes.length) / 10, ((tenth + 1) * bytes.length) / 10)
    }
  })()
  return putObject({ source, kind: 'private' }, { random: chance, place: from.client.placer() })
}

async function get(to: HushNode, address: Address, at: (part: number) => Promise<void>): Promise<Buffer> {
  const object = await openObject(address, { fetch: to.client.fetcher(), jitter: chance })
  const parts: Uint8Array[] = []
  for await (const part of object.read()) {
    await at(parts.length)
    parts.push(part)
  }
  return Buffer.concat(parts)
}

function gatewaysOf(client: HushNode): string[] {
  return client.pool.ready.map((circuit) => toHex(circuit.gateway))
}

/** The middle of a circuit with requests on it, if any has them: no guard of either client. */
function middleAtWork(client: HushNode, spared: readonly NodeId[]): NodeId {
  const byWork = [...client.pool.ready].sort((a, b) => b.outstanding - a.outstanding)
  const middles = byWork.map((circuit) => circuit.path[1]?.id)
  const found = middles.find((id) => id !== undefined && !spared.some((guard) => equalBytes(guard, id)))
  if (found === undefined) throw new Error('no middle')
  return found
}

describe('a transfer', () => {
  const network = new MemoryNetwork()
  let author: HushNode
  let reader: HushNode
  beforeAll(async () => {
    ;({ author, reader } = await begin(network))
  })
  afterAll(() => network.stop())

  const kill = async (id: NodeId): Promise<void> => {
    await network.members.find(({ node }) => node.member !== undefined && equalBytes(node.member.id, id))?.node.stop()
  }

  it('goes on when a middle dies, both ways, with the same guards and the circuit built anew to another gateway', async () => {
    const bytes = chance.bytes(SIZE)
    const spared = [...author.guards.ids, ...reader.guards.ids]
    const before = [author.guards.ids.map(toHex), reader.guards.ids.map(toHex)]
    const inUse = [author.guards.inUse?.id, reader.guards.inUse?.id]
    const lost: NodeId[] = []
    const killOne = (client: HushNode) => async (): Promise<void> => {
      const middle = middleAtWork(client, spared)
      lost.push(middle)
      const circuits = client.pool.ready.filter((circuit) => circuit.path.some(({ id }) => equalBytes(id, middle)))
      await kill(middle)
      await network.until(() => circuits.every((circuit) => !circuit.isOpen), 'its circuits are noticed')
    }
    const atFour = (run: () => Promise<void>) => (step: number) => (step === 4 ? run() : Promise.resolve())
    const { address, report } = await put(author, bytes, atFour(killOne(author)))
    expect(report.stored).toBe(report.shards)
    expect((await get(reader, address, atFour(killOne(reader)))).equals(bytes)).toBe(true)
    expect(lost).toHaveLength(2)
    expect([author.guards.ids.map(toHex), reader.guards.ids.map(toHex)]).toEqual(before)
    expect([author.guards.inUse?.id, reader.guards.inUse?.id]).toEqual(inUse)
    for (const client of [author, reader]) {
      await network.until(() => client.pool.ready.length >= Math.min(6, client.pool.wanted), 'circuits again')
      expect(new Set(gatewaysOf(client)).size).toBe(client.pool.ready.length)
      const paths = client.pool.ready.flatMap((circuit) => circuit.path.map(({ id }) => id))
      expect(paths.some((id) => lost.some((gone) => equalBytes(gone, id)))).toBe(false)
    }
  })

  it('is read on when a middle only falls silent: nothing waits for its circuits until an answer is due', async () => {
    const bytes = chance.bytes(SIZE)
    const { address } = await put(author, bytes, async () => {})
    const middle = middleAtWork(reader, [...author.guards.ids, ...reader.guards.ids])
    const key = reader.view.get(middle)?.publicKey
    const silent = reader.pool.ready.filter((circuit) => circuit.path.some(({ id }) => equalBytes(id, middle)))
    const ended = new Set<string>()
    for (const circuit of silent) {
      const request = circuit.request.bind(circuit)
      circuit.request = (bytes, options) =>
        request(bytes, options).catch((error: unknown) => {
          ended.add(messageOf(error))
          throw error
        })
    }
    const got = await get(reader, address, async (part) => {
      if (part === 1 && key !== undefined) network.hostile.set(toHex(key), () => [])
    })
    expect(got.equals(bytes)).toBe(true)
    expect([...ended]).not.toContain('no answer in time')
    const [circuit] = silent
    if (circuit === undefined || address.kind !== 'private') throw new Error('no circuit')
    const ref = encodeContentRef({ kind: 'root', id: address.locator, copy: 0 })
    const wish = encodeCircuitRequest({ kind: 'get', get: { ref, skip: 0, isPastOwner: false, range: WHOLE } })
    await expect(circuit.request(wish, { timeoutMs: 15_000, silenceMs: 300 })).rejects.toThrow('the circuit is silent')
    network.hostile.clear()
  })
})

describe('circuits that are past their time', () => {
  const network = new MemoryNetwork()
  let author: HushNode
  beforeAll(async () => {
    ;({ author } = await begin(network, { circuitAgeMaxMs: { min: 4_000, max: 6_000 } }))
  })
  afterAll(() => network.stop())

  it('give way to new ones under a put, to distinct gateways, through the same guard', async () => {
    const bytes = chance.bytes(SIZE)
    const guards = author.guards.ids.map(toHex)
    const old = [...author.pool.ready]
    const { report } = await put(author, bytes, async (tenth) => {
      expect(new Set(gatewaysOf(author)).size).toBe(author.pool.ready.length)
      if (tenth !== 5) return
      await network.until(() => !author.pool.ready.some((circuit) => old.includes(circuit)), 'others')
    })
    expect(report.stored).toBe(report.shards)
    expect(author.guards.ids.map(toHex)).toEqual(guards)
    await network.until(() => old.every((circuit) => !circuit.isOpen), 'the old ones are destroyed when they are done')
  })
})
