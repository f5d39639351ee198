/** The production composition on ports that are not sockets: loss of shards, repair, renewal. SPEC repair §2 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { equalBytes, FRAGMENT_SIZE, shuffle } from '../../core/index.ts'
import type { HushNode } from '../../node/compose.ts'
import {
  type Address,
  type ContentRef,
  checkObject,
  type Handle,
  makeRepairKey,
  openObject,
  putObject,
  repairObject,
  type StripeRepair,
} from '../../storage/index.ts'
import { chance, MemoryNetwork } from './memory-network.ts'

const DAY_MS = 24 * 60 * 60_000
const network = new MemoryNetwork()
let author: HushNode
let other: HushNode

beforeAll(async () => {
  await network.start({ joining: 1 })
  await network.until(
    () => network.members.every(({ node }) => node.member?.ring.state !== undefined),
    'all have joined',
  )
  author = await network.addClient()
  other = await network.addClient()
  await network.until(() => author.pool.ready.length >= 5 && other.pool.ready.length >= 5, 'circuits')
})
afterAll(() => network.stop())

async function put(bytes: Uint8Array, kind: Address['kind']): Promise<Address> {
  const source = (async function* () {
    yield bytes
  })()
  const ports = { random: chance, place: author.client.placer() }
  return (await putObject({ source, kind }, ports)).address
}

/** The stripes of an object, each with its shards; the root's copies are one. */
async function stripesOf(handle: Handle): Promise<ContentRef[][]> {
  const stripes: ContentRef[][] = []
  const probed: ContentRef[] = []
  const probe = async (ref: ContentRef) => void probed.push(ref) === undefined
  const ports = { fetch: author.client.fetcher(), probe, jitter: chance, stripesInFlight: 1 }
  for await (const { total } of checkObject(handle, ports)) stripes.push(probed.splice(0, total))
  return stripes
}

function copies({ kind, id, copy }: ContentRef): number {
  const isIt = ({ ref }: { ref: ContentRef }) => ref.kind === kind && ref.copy === copy && equalBytes(ref.id, id)
  return network.members.filter(({ store }) => store.list({ limit: 100_000 }).some(isIt)).length
}

function forget(refs: readonly ContentRef[]): void {
  for (const { store } of network.members) for (const ref of refs) store.delete(ref)
}

async function repair(handle: Handle): Promise<StripeRepair[]> {
  const reports: StripeRepair[] = []
  for await (const report of repairObject(handle, { ...other.client.repairPorts(), jitter: chance }))
    reports.push(report)
  return reports
}

async function read(address: Address): Promise<Uint8Array> {
  const object = await openObject(address, { fetch: author.client.fetcher(), jitter: chance })
  const parts: Uint8Array[] = []
  for await (const part of object.read()) parts.push(part)
  return Buffer.concat(parts)
}

describe('shards that are gone from every node', () => {
  it.each(['private', 'public'] as const)(
    'are all back at two nodes after a repair, by address and by repair key: %s',
    async (kind) => {
      const bytes = chance.bytes(4 * FRAGMENT_SIZE)
      const address = await put(bytes, kind)
      const ports = { random: chance, jitter: chance }
      const key = await makeRepairKey(address, {
        ...ports,
        fetch: author.client.fetcher(),
        place: author.client.placer(),
      })
      for (const handle of [address, key]) {
        const stripes = await stripesOf(handle)
        const gone = stripes.flatMap((refs) => shuffle(chance, refs).slice(0, (refs.length + 6) / 2 - 1))
        forget(gone)
        expect(gone.map(copies).every((count) => count === 0)).toBe(true)
        const reports = await repair(handle)
        for (const { missing, rebuilt } of reports) expect(rebuilt).toBe(missing)
        expect(reports.reduce((sum, { missing }) => sum + missing, 0)).toBe(gone.length)
        expect(gone.map(copies).filter((count) => count < 2)).toEqual([])
        // As many others may go now, and it is still read.
        forget(stripes.flatMap((refs) => refs.filter((ref) => !gone.includes(ref))))
        if (handle === address) expect(Buffer.compare(await read(address), bytes)).toBe(0)
        await repair(handle)
      }
    },
  )
})

describe('a lease', () => {
  it('is prolonged at both nodes by a request without bytes, and at none for what is not held', async () => {
    const address = await put(chance.bytes(100), 'private')
    const [refs] = await stripesOf(address)
    const [ref, lost] = refs ?? []
    if (ref === undefined || lost === undefined) throw new Error('a root has copies')
    const ends = () => network.members.map(({ store }) => store.leaseEnd(ref)).filter((end) => end !== undefined)
    for (const { store } of network.members) {
      const bytes = store.get(ref)
      if (bytes === undefined) continue
      store.delete(ref)
      await store.put({ ref, bytes, leaseEndMs: network.clock.nowMs() + DAY_MS })
    }
    expect(await other.client.renew(ref)).toBe(true)
    const renewed = ends().filter((end) => (end ?? 0) > network.clock.nowMs() + 29 * DAY_MS)
    expect(renewed.length).toBeGreaterThanOrEqual(2)
    forget([lost])
    expect(await other.client.renew(lost)).toBe(false)
  })
})
