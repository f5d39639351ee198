/** Puts that gateways hold, over the production composition. SPEC requests §10 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { HushNode } from '../../node/compose.ts'
import { openObject, putObject } from '../../storage/index.ts'
import { chance, MemoryNetwork } from './memory-network.ts'

const network = new MemoryNetwork()
let author: HushNode
let reader: HushNode

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

async function put(bytes: Uint8Array) {
  const source = (async function* () {
    yield bytes
  })()
  return putObject({ source, kind: 'private' }, { random: chance, place: author.client.placer('minutes') })
}

async function get(address: Awaited<ReturnType<typeof put>>['address']): Promise<Buffer> {
  const object = await openObject(address, { fetch: reader.client.fetcher(), jitter: chance })
  const parts: Uint8Array[] = []
  for await (const part of object.read()) parts.push(part)
  return Buffer.concat(parts)
}

const gateways = () => network.members.flatMap(({ node }) => (node.member === undefined ? [] : [node.member]))
const held = () => gateways().reduce((sum, member) => sum + member.heldPuts.count, 0)
const shardsStored = () => network.members.reduce((sum, { store }) => sum + store.usage().count, 0)

describe('a put with hold', () => {
  it('is handed over at once, root and all, and can be fetched when gateways have let go', async () => {
    const bytes = chance.bytes(600_000)
    const before = shardsStored()
    const { address, report } = await put(bytes)
    expect(report).toMatchObject({ stored: 0, handed: report.shards, pending: 0 })
    // A second on the average: not all have gone yet, and each that has lies at two nodes.
    expect(held()).toBeGreaterThan(0)
    expect(shardsStored() - before).toBeLessThan(2 * report.shards)
    await network.until(() => held() === 0, 'gateways let go')
    expect(shardsStored() - before).toBeGreaterThanOrEqual(2 * report.shards)
    expect((await get(address)).equals(bytes)).toBe(true)
  })

  it('is put again by the read-back when a gateway ends with what it held', async () => {
    const bytes = chance.bytes(400_000)
    const { address, report } = await put(bytes)
    expect(report.handed).toBe(report.shards)
    const guard = author.guards.inUse?.id
    const full = gateways()
      .filter(({ id }) => guard === undefined || Buffer.compare(id, guard) !== 0)
      .sort((a, b) => b.heldPuts.count - a.heldPuts.count)[0]
    const lost = full?.heldPuts.count ?? 0
    expect(lost).toBeGreaterThan(0)
    await network.members.find(({ node }) => node.member === full)?.node.stop()
    author.readBack.add(address, { heldMs: 10 * author.settings.profile.holdMeanMs.minutes })
    const result = await author.readBack.wait(address, new AbortController().signal)
    expect(result).toMatchObject({ isVerified: true, missing: result.restored, health: 'perfect' })
    expect(result.restored).toBeGreaterThanOrEqual(lost)
    expect((await get(address)).equals(bytes)).toBe(true)
  })
})
