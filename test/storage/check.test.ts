import { describe, expect, it } from 'vitest'
import { STRIPE_SIZE } from '../../core/index.ts'
import { checkObject, healthOf, ObjectNotFoundError, putObject, type StripeReport } from '../../storage/index.ts'
import { inPieces, KeeperAwayError, Keepers, nextTurn } from './support/keepers.ts'
import { seededJitter, seededRandom } from './support/random.ts'

async function store(size: number) {
  const keepers = new Keepers()
  const put = await putObject(
    { source: inPieces(new Uint8Array(size), [STRIPE_SIZE]), kind: 'private' },
    { random: seededRandom('check'), place: keepers.place },
  )
  return { keepers, ...put }
}

function check({ address, keepers }: Awaited<ReturnType<typeof store>>, probe = keepers.probe) {
  return checkObject(address, { fetch: keepers.fetch, probe, jitter: seededJitter('j') })
}

async function reports(of: AsyncIterable<StripeReport>): Promise<StripeReport[]> {
  const all: StripeReport[] = []
  for await (const report of of) all.push(report)
  return all
}

describe('check', () => {
  it.each([
    [22, 8, 22, 'perfect'],
    [21, 8, 22, 'good'],
    [15, 8, 22, 'good'],
    [14, 8, 22, 'weak'],
    [12, 8, 22, 'weak'],
    [11, 8, 22, 'critical'],
    [8, 8, 22, 'critical'],
    [7, 8, 22, 'lost'],
    [0, 8, 22, 'lost'],
    [8, 1, 8, 'perfect'],
    [5, 1, 8, 'good'],
    [3, 1, 8, 'weak'],
    [1, 1, 8, 'critical'],
    [0, 1, 8, 'lost'],
  ])('calls %i reachable of which %i are needed of %i %s', (reachable, needed, total, health) => {
    expect(healthOf({ reachable, needed, total })).toBe(health)
  })

  it('reports root, nodes and every stripe, and fetches the manifest alone', async () => {
    const stored = await store(83 * STRIPE_SIZE)
    stored.keepers.fetches = 0
    const all = await reports(check(stored))
    expect(all.map(({ level }) => level)).toEqual([2, 1, ...Array(83).fill(0), 1, ...Array(5).fill(0)])
    expect(all.filter(({ level }) => level === 0).map(({ stripe }) => stripe)).toEqual([...Array(88).keys()])
    expect(all.every(({ health, reachable, total }) => health === 'perfect' && reachable === total)).toBe(true)
    expect(stored.keepers.fetches).toBeLessThanOrEqual(8 + 2 * 4)
  })

  it('counts what is out of reach, stripe by stripe', async () => {
    const stored = await store(3 * STRIPE_SIZE)
    const losses = [7, 14, 15]
    for (const [stripe, lost] of losses.entries()) {
      for (const { ref } of stored.keepers.ofStripe(stripe).slice(0, lost)) stored.keepers.forget(ref)
    }
    for (const { ref } of stored.keepers.ofStripe(3).slice(0, 7)) stored.keepers.forget(ref)
    const all = await reports(check(stored))
    expect(all.map(({ stripe, level, reachable, health }) => [stripe, level, reachable, health])).toEqual([
      [0, 1, 1, 'critical'],
      [0, 0, 15, 'good'],
      [1, 0, 8, 'critical'],
      [2, 0, 7, 'lost'],
    ])
  })

  it('reports an inline object by its root alone', async () => {
    const all = await reports(check(await store(10)))
    expect(all).toEqual([{ part: 'object', stripe: 0, level: 0, needed: 1, total: 8, reachable: 8, health: 'perfect' }])
  })

  it('calls a manifest node lost that cannot be read, and goes on with the next', async () => {
    const stored = await store(83 * STRIPE_SIZE)
    const nodes = stored.keepers.stripes.filter((stripe) => stored.keepers.ofStripe(stripe).length === 8)
    const [first] = nodes as [number]
    for (const { ref } of stored.keepers.ofStripe(first)) {
      if (ref.kind === 'shard') stored.keepers.forget(ref)
    }
    const all = await reports(check(stored))
    const lost = all.filter(({ health }) => health === 'lost')
    expect(lost).toHaveLength(1)
    expect(lost[0]).toMatchObject({ level: 1, reachable: 0, needed: 1, total: 8 })
    expect(all.length).toBe(2 + (lost[0]?.stripe === 0 ? 1 + 5 : 84))
  })

  it('counts keepers that cannot be asked as out of reach, and stops for a bug', async () => {
    const stored = await store(STRIPE_SIZE)
    const away = await reports(
      check(stored, async (ref) => {
        if (ref.kind === 'shard') throw new KeeperAwayError('away')
        return true
      }),
    )
    expect(away.map(({ reachable }) => reachable)).toEqual([8, 0])
    await expect(reports(check(stored, () => Promise.reject(new TypeError('a slip of ours'))))).rejects.toThrow(
      'a slip',
    )
  })

  it('fails as a get does when the root is nowhere', async () => {
    const stored = await store(10)
    stored.keepers.held.clear()
    await expect(reports(check(stored))).rejects.toBeInstanceOf(ObjectNotFoundError)
  })

  it('asks for so many stripes at once and no more', async () => {
    const stored = await store(12 * STRIPE_SIZE)
    let [inFlight, inFlightMax] = [0, 0]
    await reports(
      check(stored, async () => {
        inFlightMax = Math.max(inFlightMax, ++inFlight)
        await nextTurn()
        inFlight -= 1
        return true
      }),
    )
    expect(inFlightMax).toBeLessThanOrEqual(6 * 22)
    expect(inFlightMax).toBeGreaterThan(22)
  })
})
