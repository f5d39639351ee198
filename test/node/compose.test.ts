/** The production composition on ports that are not sockets: join, put, get, loss and leave. SPEC overview §2 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CIRCUIT_REQUESTS_MAX, compareBytes, equalBytes, LEAF_COUNT, toHex } from '../../core/index.ts'
import type { HushNode } from '../../node/compose.ts'
import { encodeCircuitRequest } from '../../routing/index.ts'
import { encodeContentRef, openObject, putObject } from '../../storage/index.ts'
import { chance, MemoryNetwork } from './memory-network.ts'

const network = new MemoryNetwork()
let author: HushNode
let reader: HushNode

function isOneRing(): boolean {
  const nodes = network.members.flatMap(({ node }) => (node.member?.ring.state === undefined ? [] : [node.member]))
  const ids = nodes.map(({ id }) => id).sort(compareBytes)
  return nodes.every((member) => {
    const next = ids[(ids.findIndex((id) => equalBytes(id, member.id)) + 1) % ids.length]
    const head = member.ring.state?.successors[0]
    return head !== undefined && next !== undefined && equalBytes(head, next)
  })
}

async function put(from: HushNode, bytes: Uint8Array, kind: 'private' | 'public' = 'private') {
  const ports = { random: chance, place: from.client.placer() }
  return putObject(
    {
      source: (async function* () {
        yield bytes
      })(),
      kind,
      name: 'a',
    },
    ports,
  )
}

async function get(to: HushNode, address: Awaited<ReturnType<typeof put>>['address']): Promise<string> {
  const object = await openObject(address, { fetch: to.client.fetcher(), jitter: chance })
  const parts: Uint8Array[] = []
  for await (const part of object.read()) parts.push(part)
  return Buffer.concat(parts).toString('base64')
}

beforeAll(async () => {
  await network.start({ joining: 3 })
  await network.until(
    () => network.members.every(({ node }) => node.member?.ring.state !== undefined),
    'all have joined',
  )
  author = await network.addClient()
  reader = await network.addClient()
  await network.until(() => author.pool.ready.length >= 5 && reader.pool.ready.length >= 5, 'circuits')
})
afterAll(() => network.stop())

describe('a network out of ports', () => {
  it('is one ordered ring after nodes have joined', async () => {
    await network.until(isOneRing, 'one ring')
  })

  it('gives back to one client what another has put, with both kinds of address', async () => {
    const bytes = chance.bytes(700_000)
    for (const kind of ['private', 'public'] as const) {
      const { address, report } = await put(author, bytes, kind)
      expect(report.stored).toBe(report.shards)
      expect(await get(reader, address)).toBe(Buffer.from(bytes).toString('base64'))
    }
  })

  it('keeps every shard at two nodes', async () => {
    const before = new Map<string, number>()
    const count = (): Map<string, number> => {
      const held = new Map<string, number>()
      for (const { store } of network.members) {
        for (const { ref } of store.list({ limit: 10_000 })) {
          const name = toHex(ref.id) + ref.copy
          held.set(name, (held.get(name) ?? 0) + 1)
        }
      }
      return held
    }
    for (const name of count().keys()) before.set(name, 1)
    await put(author, chance.bytes(100_000))
    const added = [...count()].filter(([name]) => !before.has(name))
    expect(added.length).toBeGreaterThan(0)
    for (const [, copies] of added) expect(copies).toBeGreaterThanOrEqual(2)
  })

  it('loses nothing when a node leaves with notice', async () => {
    const bytes = chance.bytes(300_000)
    const { address } = await put(author, bytes)
    const leaver = network.members.find(({ node }) => node.member !== undefined && node.guards.inUse !== undefined)
    await leaver?.node.leave()
    await leaver?.node.stop()
    expect(await get(reader, address)).toBe(Buffer.from(bytes).toString('base64'))
  })

  it('goes on reading when its guard dies and takes every circuit along', async () => {
    const bytes = chance.bytes(5_000_000)
    const { address } = await put(author, bytes)
    const object = await openObject(address, { fetch: reader.client.fetcher(), jitter: chance })
    const parts: Uint8Array[] = []
    for await (const part of object.read()) {
      parts.push(part)
      const guard = reader.guards.inUse?.id
      if (parts.length > 1 || guard === undefined) continue
      await network.members
        .find(({ node }) => node.member !== undefined && equalBytes(node.member.id, guard))
        ?.node.stop()
    }
    expect(Buffer.concat(parts).equals(bytes)).toBe(true)
  })

  it('keeps a circuit whose requests are given up by the dozen', async () => {
    const { address } = await put(author, chance.bytes(1_000))
    const circuit = reader.pool.ready[0]
    if (circuit === undefined || address.kind !== 'private') throw new Error('no circuit')
    const ref = encodeContentRef({ kind: 'root', id: address.locator, copy: 0 })
    const get = { ref, skip: 0, isPastOwner: false, range: { from: 0, count: LEAF_COUNT } }
    let taken = 0
    for (let i = 0; i < 3 * CIRCUIT_REQUESTS_MAX; i++) {
      if (!circuit.hasRoom) break
      const gone = new AbortController()
      const answer = circuit.request(encodeCircuitRequest({ kind: 'get', get }), {
        timeoutMs: 9_000,
        signal: gone.signal,
      })
      gone.abort()
      await expect(answer).rejects.toThrow('no longer wanted')
      taken++
    }
    expect(taken).toBe(CIRCUIT_REQUESTS_MAX)
    await network.until(() => circuit.hasRoom, 'answers that nobody waits for')
    expect(circuit.isOpen).toBe(true)
  })

  it('ends a put with the reason when no circuit can be built', async () => {
    const alone = new MemoryNetwork()
    const client = await alone.addClient()
    const ports = { random: chance, place: client.client.placer() }
    const source = (async function* () {
      yield Uint8Array.of(1)
    })()
    await expect(putObject({ source, kind: 'private' }, ports)).rejects.toThrow(/no circuit into the network/)
    await alone.stop()
  })

  it('says not found for an address nobody has stored', async () => {
    const unknown = { kind: 'private', locator: chance.bytes(32), key: chance.bytes(32) } as const
    await expect(get(reader, unknown)).rejects.toThrow(/not found by 8 of 8 keepers/)
  })
})
