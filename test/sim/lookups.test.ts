import { describe, expect, it } from 'vitest'
import { Chance } from '../../sim/chance.ts'
import { HOSTILE_SHARES, TRY_COUNTS } from '../../sim/lookups/measure.ts'
import { type Conduct, Network, Requests, randomLocation } from '../../sim/lookups/network.ts'
import { type Results, renderPage, renderPlot, renderText } from '../../sim/lookups/report.ts'
import { shareOf, Tally } from '../../sim/lookups/statistics.ts'
import { measureLookups } from '../../sim/lookups.ts'

const SIZE = 200
const plan = { seed: 'test', sizes: [SIZE], hopSizes: [SIZE, 400], lookups: 600, gets: 150, rings: 3 }
const results = measureLookups(plan)
const shares = (within: readonly { share: number }[]): number[] => within.map(({ share }) => share)

/** One get in a ring of 200 whose nodes from the owner on behave as listed; the first two hold the shard. */
function getWith(conducts: readonly Conduct[], skip = 0) {
  const chance = new Chance('one get')
  const network = Network.random(SIZE, chance)
  const location = randomLocation(chance)
  const owner = network.path(0, location).at(-1) as number
  const rankOf = (index: number): number => (index - owner + SIZE) % SIZE
  const requests = new Requests({
    network,
    conductOf: (index) => conducts[rankOf(index)] ?? 'honest',
    holds: (index) => rankOf(index) < 2,
  })
  // Half the circle before the owner: the request needs a hop between.
  return requests.get((owner + SIZE / 2) % SIZE, { location, skip }, 15_000)
}

describe('lookups on the routing alone', () => {
  it('take at most log16 N + 1.5 hops on average and find every owner', () => {
    for (const { size, mean } of results.hops) {
      expect(mean).toBeGreaterThan(0.5)
      expect(mean).toBeLessThanOrEqual(Math.log2(size) / 4 + 1.5)
    }
  })

  it('never succeed less often with more tries, nor more often with more hostile nodes', () => {
    expect(results.paths.map(({ hostile }) => hostile)).toEqual(HOSTILE_SHARES)
    const rows = [...results.paths, ...results.gets]
    for (const { within } of rows) expect(shares(within)).toEqual(shares(within).sort((a, b) => a - b))
    for (const column of TRY_COUNTS.keys()) {
      const down = results.paths.map(({ within }) => within[column]?.share as number)
      expect(down).toEqual([...down].sort((a, b) => b - a))
    }
    expect(results.paths[0]?.within[0]?.share).toBeLessThan(1)
  })

  it('get around vanished nodes with more tries than hops', () => {
    expect(results.stale).toHaveLength(3)
    for (const { found, meanHops, meanTries } of results.stale) {
      expect(found.share).toBeGreaterThan(0.9)
      expect(meanTries).toBeGreaterThan(meanHops)
    }
  })

  it('find the second copy when the owner is gone or keeps silent', () => {
    expect(getWith([])).toMatchObject({ end: 'data', tookMs: 0 })
    expect(getWith(['closed'])).toMatchObject({ end: 'data', tookMs: 0 })
    // Two hops list the owner, and each pays for finding out.
    expect(getWith(['gone'])).toMatchObject({ end: 'data', tookMs: 2 * 5_000 })
    expect(getWith(['silent'])).toMatchObject({ end: 'data', tookMs: 2 * 3_000 })
  })

  it('pass over the first holder for the second when asked to skip', () => {
    const plain = getWith([])
    expect(getWith([], 1)).toEqual({ ...plain, hops: plain.hops + 1 })
    expect(getWith([], 2).end).toBe('none')
  })

  it('ask the second holder when the owner says it has nothing, or that it is still at it', () => {
    expect(getWith(['denies']).end).toBe('data')
    expect(getWith(['stalls'])).toMatchObject({ end: 'data' })
    expect(getWith(['denies', 'denies']).end).toBe('none')
  })

  it('give the same tables, page and plot for the same seed, and others for another', () => {
    const small = { ...plan, lookups: 60, gets: 20, rings: 1 }
    const [first, second, other] = [small, small, { ...small, seed: 'other' }].map(measureLookups) as [
      Results,
      Results,
      Results,
    ]
    expect(renderText(second)).toBe(renderText(first))
    expect(renderPage(second, 'command')).toBe(renderPage(first, 'command'))
    expect(renderPlot(second)).toBe(renderPlot(first))
    expect(renderText(other).replace('Seed other', 'Seed test')).not.toBe(renderText(first))
  })

  it('leave the largest arc 3 to 15 times the mean, and stored copies more even than that', () => {
    const [load] = results.load
    // Arcs between random points are exponential: half are below 0.69 of the mean, the largest is about ln N.
    expect(load?.arc.p50).toBeCloseTo(Math.LN2, 0)
    expect(load?.arc.max).toBeGreaterThan(3)
    expect(load?.arc.max).toBeLessThan(15)
    expect(load?.stored.max).toBeLessThanOrEqual(load?.arc.max as number)
  })
})

describe('the statistics', () => {
  it("give Wilson's interval, also for shares of 0 and 1", () => {
    // 10 of 100: 5.52 % to 17.44 %, a worked example of the textbooks.
    const { low, high } = shareOf(10, 100)
    expect(low).toBeCloseTo(0.0552, 4)
    expect(high).toBeCloseTo(0.1744, 4)
    expect(shareOf(0, 50).high).toBeCloseTo(0.0714, 3)
    expect(shareOf(50, 50).low).toBeCloseTo(0.9286, 3)
  })

  it('tell mean, percentiles and the largest', () => {
    const tally = new Tally()
    for (let value = 1; value <= 100; value++) tally.add(value)
    expect([tally.mean, tally.percentile(0.5), tally.percentile(0.99), tally.max]).toEqual([50.5, 50, 99, 100])
  })
})

describe('the plot', () => {
  it('is well-formed, names its axes and lines, and stays within its paper', () => {
    const svg = renderPlot(results)
    expect(svg).toMatch(/^<svg [^>]*viewBox="0 0 720 400"[\s\S]*<\/svg>\n$/)
    for (const words of ['nodes', 'hops', 'mean', 'log16 N', '200', '400']) expect(svg).toContain(`>${words}</text>`)
    // Both axes from end to end: 0 and 7 hops, 200 and 400 nodes.
    for (const grid of ['M60 344.0H520', 'M60 44.0H520', 'M60.0 44V344', 'M520.0 44V344']) expect(svg).toContain(grid)
    expect(svg).not.toMatch(/NaN|undefined|Infinity/)
    const ys = [...svg.matchAll(/cy="([\d.]+)"/g)].map((match) => Number(match[1]))
    expect(ys.length).toBeGreaterThan(0)
    expect(ys.every((y) => y >= 44 && y <= 344)).toBe(true)
  })
})
