/**
 * The measurements: hops, path success among hostile nodes, gets as a client makes them, load. Each
 * draws from a chance of its own, named after it, so that one does not change when another does.
 * Each is spread over several rings; within one, each trial draws its own location and hostile nodes.
 */
import { type Location, PROFILES } from '../../core/index.ts'
import { distance, fingersOf, ownersOf } from '../../routing/index.ts'
import { Chance } from '../chance.ts'
import { Network, Requests, randomLocation } from './network.ts'
import { meanOf, percentileOf, type Share, shareOf, Tally } from './statistics.ts'

const { copies: COPIES } = PROFILES.production
const CIRCLE = 2 ** 256
/** As in node/roles/client.ts. */
const GATEWAYS_TRIED_MAX = 4
const ANSWER_TIMEOUT_MS = 15_000

export const HOSTILE_SHARES = [0.1, 0.2, 0.3] as const
/** Independent tries after which path success is told. */
export const TRY_COUNTS = [1, 2, 4, 8] as const
export const STALE_SHARE = 0.1
export const HOSTILE_CONDUCTS = ['silent', 'stalls', 'denies'] as const
type Hostile = (typeof HOSTILE_CONDUCTS)[number]

export interface Sample {
  readonly seed: string
  readonly rings: number
  /** In all, over all rings. */
  readonly count: number
}

// --- hops ------------------------------------------------------------------------------------------

export interface Hops {
  readonly size: number
  readonly mean: number
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** Links from a random start to the owner, in an ideal ring of honest nodes. */
export function measureHops(size: number, sample: Sample): Hops {
  const chance = new Chance(`${sample.seed} hops ${size}`)
  const hops = new Tally()
  forEachTrial(sample, () => {
    const network = Network.random(size, chance)
    return () => hops.add(network.path(chance.below(size), randomLocation(chance)).length - 1)
  })
  return { size, mean: hops.mean, p50: hops.percentile(0.5), p99: hops.percentile(0.99), max: hops.max }
}

// --- a stale view ----------------------------------------------------------------------------------

/** How much of the network has noticed that a tenth of it is gone, and how the gone behave. */
export const STALE_KINDS = [
  { name: 'ring repaired, dials refused', isRepaired: true, conduct: 'closed' },
  { name: 'ring repaired, dials time out', isRepaired: true, conduct: 'gone' },
  { name: 'just gone, dials time out', isRepaired: false, conduct: 'gone' },
] as const

export interface Stale {
  readonly size: number
  readonly kind: string
  /** Lookups that reached a live owner. */
  readonly found: Share
  /** Of those found. */
  readonly meanHops: number
  readonly meanTries: number
  readonly p99Tries: number
  readonly meanSeconds: number
}

/** Lookups from a live gateway while a tenth of the shared view is gone and no node remembers a failed dial. */
export function measureStale(size: number, sample: Sample): Stale[] {
  const chance = new Chance(`${sample.seed} stale ${size}`)
  const rows = STALE_KINDS.map((kind) => ({ kind, hops: new Tally(), tries: new Tally(), foundCount: 0, waitedMs: 0 }))
  forEachTrial(sample, () => {
    const unrepaired = Network.random(size, chance)
    const isGone = unrepaired.ids.map(() => chance.unit() < STALE_SHARE)
    const repaired = unrepaired.withRingOf((index) => isGone[index] !== true)
    return () => {
      const location = randomLocation(chance)
      const owner = ownerIndexes(unrepaired, location, size).find((index) => isGone[index] !== true)
      let gateway = chance.below(size)
      while (isGone[gateway] === true) gateway = chance.below(size)
      for (const row of rows) {
        const requests = new Requests({
          network: row.kind.isRepaired ? repaired : unrepaired,
          conductOf: (index) => (isGone[index] === true ? row.kind.conduct : 'honest'),
          holds: (index) => index === owner,
        })
        const answer = requests.get(gateway, { location, skip: 0 }, ANSWER_TIMEOUT_MS)
        if (answer.end !== 'data') continue
        row.foundCount++
        row.hops.add(answer.hops)
        row.tries.add(requests.tries)
        row.waitedMs += answer.tookMs
      }
    }
  })
  return rows.map(({ kind, hops, tries, foundCount, waitedMs }) => ({
    size,
    kind: kind.name,
    found: shareOf(foundCount, sample.count),
    meanHops: hops.mean,
    meanTries: tries.mean,
    p99Tries: tries.percentile(0.99),
    meanSeconds: waitedMs / 1000 / Math.max(1, foundCount),
  }))
}

// --- hostile nodes on the path ---------------------------------------------------------------------

export interface PathSuccess {
  readonly size: number
  readonly hostile: number
  /** One for each of TRY_COUNTS. */
  readonly within: readonly Share[]
}

/**
 * A try succeeds when its gateway and every node after it are honest, the owner left out; each try has
 * another gateway. The first hostile node ends a try: no hop goes around it.
 */
export function measurePaths(size: number, sample: Sample): PathSuccess[] {
  const chance = new Chance(`${sample.seed} paths ${size}`)
  const triesMax = Math.max(...TRY_COUNTS)
  const hits = HOSTILE_SHARES.map(() => TRY_COUNTS.map(() => 0))
  forEachTrial(sample, () => {
    const network = Network.random(size, chance)
    return () => {
      const location = randomLocation(chance)
      const honesty = honestyOf(chance)
      // A path works at every share of hostile nodes below its least honest one.
      const honestUpTo = distinct(chance, { count: triesMax, below: size }).map((gateway) => {
        const path = network.path(gateway, location)
        const relays = path.length > 1 ? path.slice(0, -1) : path
        return Math.min(...relays.map(honesty))
      })
      HOSTILE_SHARES.forEach((share, row) => {
        const first = honestUpTo.findIndex((honest) => honest >= share)
        countWithin(hits[row] as number[], TRY_COUNTS, first)
      })
    }
  })
  return HOSTILE_SHARES.map((hostile, row) => ({
    size,
    hostile,
    within: (hits[row] as number[]).map((count) => shareOf(count, sample.count)),
  }))
}

// --- gets as a client makes them -------------------------------------------------------------------

/** Tries after which a get's success is told: all that a client makes are the last. */
export const GET_COUNTS = [1, 2, GATEWAYS_TRIED_MAX] as const

export interface GetSuccess {
  readonly size: number
  /** Of all nodes, keepers too; undefined: the owner alone is hostile. */
  readonly hostile: number | undefined
  readonly conduct: Hostile
  /** One for each of GET_COUNTS. */
  readonly within: readonly Share[]
  /** Until the data came, of those that got it. */
  readonly meanSeconds: number
}

/**
 * One shard, lying on `copies` nodes, asked for as node/roles/client.ts does: up to 4 gateways, with `skip`
 * after the second of them found nothing; each hop tries up to 3 others. SPEC requests §3, §8
 */
export function measureGets(size: number, sample: Sample): GetSuccess[] {
  const chance = new Chance(`${sample.seed} gets ${size}`)
  const adversaries = [...HOSTILE_SHARES, undefined].flatMap((hostile) =>
    HOSTILE_CONDUCTS.map((conduct) => ({ hostile, conduct })),
  )
  const rows = adversaries.map((adversary) => ({ adversary, hits: GET_COUNTS.map(() => 0), waitedMs: 0 }))
  forEachTrial(sample, () => {
    const network = Network.random(size, chance)
    return () => {
      const location = randomLocation(chance)
      const gateways = distinct(chance, { count: GATEWAYS_TRIED_MAX, below: size })
      const honesty = honestyOf(chance)
      const holders = ownerIndexes(network, location, COPIES)
      for (const row of rows) {
        const { hostile, conduct } = row.adversary
        const isHostile = (index: number): boolean =>
          hostile === undefined ? index === holders[0] : honesty(index) < hostile
        const requests = new Requests({
          network,
          conductOf: (index) => (isHostile(index) ? conduct : 'honest'),
          holds: (index) => holders.includes(index),
        })
        const { tries, tookMs } = clientGet(requests, gateways, location)
        countWithin(row.hits, GET_COUNTS, tries - 1)
        if (tries > 0) row.waitedMs += tookMs
      }
    }
  })
  return rows.map(({ adversary, hits, waitedMs }) => ({
    size,
    ...adversary,
    within: hits.map((count) => shareOf(count, sample.count)),
    meanSeconds: waitedMs / 1000 / Math.max(1, hits.at(-1) ?? 0),
  }))
}

/** `tries` is 0 when none of the gateways brought the data. */
function clientGet(
  requests: Requests,
  gateways: readonly number[],
  location: Location,
): { tries: number; tookMs: number } {
  let tookMs = 0
  let misses = 0
  for (const [index, gateway] of gateways.entries()) {
    const answer = requests.get(gateway, { location, skip: Math.max(0, misses - 1) }, ANSWER_TIMEOUT_MS)
    tookMs += answer.tookMs
    if (answer.end === 'data') return { tries: index + 1, tookMs }
    if (answer.end === 'none') misses++
  }
  return { tries: 0, tookMs }
}

// --- load ------------------------------------------------------------------------------------------

/** Spread over the nodes of a ring as a multiple of the mean; mean over the rings. */
export interface Spread {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export interface Load {
  readonly size: number
  /** Of the circle, that a node owns. */
  readonly arc: Spread
  /** Of what is stored: the own arc and those of the nodes before, as `copies` says. */
  readonly stored: Spread
  /** Nodes that have a node as a finger. */
  readonly inDegree: Spread
  /** Distinct fingers of a node. */
  readonly meanFingers: number
}

export function measureLoad(size: number, sample: Pick<Sample, 'seed' | 'rings'>): Load {
  const chance = new Chance(`${sample.seed} load ${size}`)
  const rings = Array.from({ length: sample.rings }, () => {
    const { ids } = Network.random(size, chance)
    const arcs = ids.map((id, index) => Number(distance(ids.at(index - 1) ?? id, id)) / CIRCLE)
    const stored = arcs.map((_, index) => {
      let sum = 0
      for (let back = 0; back < COPIES; back++) sum += arcs.at(index - back) ?? 0
      return sum
    })
    const pointing = new Map(ids.map((id) => [id, 0]))
    for (const id of ids) for (const finger of fingersOf(id, ids)) pointing.set(finger, (pointing.get(finger) ?? 0) + 1)
    const inDegrees = [...pointing.values()]
    return { arc: spreadOf(arcs), stored: spreadOf(stored), inDegree: spreadOf(inDegrees), fingers: meanOf(inDegrees) }
  })
  return {
    size,
    arc: meanSpread(rings.map(({ arc }) => arc)),
    stored: meanSpread(rings.map(({ stored }) => stored)),
    inDegree: meanSpread(rings.map(({ inDegree }) => inDegree)),
    meanFingers: meanOf(rings.map(({ fingers }) => fingers)),
  }
}

function spreadOf(values: readonly number[]): Spread {
  const mean = meanOf(values)
  return {
    p50: percentileOf(values, 0.5) / mean,
    p99: percentileOf(values, 0.99) / mean,
    max: percentileOf(values, 1) / mean,
  }
}

function meanSpread(spreads: readonly Spread[]): Spread {
  return {
    p50: meanOf(spreads.map(({ p50 }) => p50)),
    p99: meanOf(spreads.map(({ p99 }) => p99)),
    max: meanOf(spreads.map(({ max }) => max)),
  }
}

// --- drawing ---------------------------------------------------------------------------------------

/** Deals the trials out over the rings; `ring` makes one and returns its trial. */
function forEachTrial({ rings, count }: Sample, ring: () => () => void): void {
  for (let made = 0, done = 0; made < rings; made++) {
    const trial = ring()
    const until = Math.round(((made + 1) * count) / rings)
    for (; done < until; done++) trial()
  }
}

/** Different whole numbers. */
function distinct(chance: Chance, draw: { count: number; below: number }): number[] {
  const drawn = new Set<number>()
  while (drawn.size < Math.min(draw.count, draw.below)) drawn.add(chance.below(draw.below))
  return [...drawn]
}

/** A number for each node, drawn when it is first asked for: below f, the node is one of a share f of hostile ones. */
function honestyOf(chance: Chance): (index: number) => number {
  const drawn = new Map<number, number>()
  return (index) => {
    const known = drawn.get(index)
    if (known !== undefined) return known
    const fresh = chance.unit()
    drawn.set(index, fresh)
    return fresh
  }
}

/** Adds a trial whose try number `first`, counted from 0, was the first to succeed; below 0: none did. */
function countWithin(hits: number[], counts: readonly number[], first: number): void {
  if (first < 0) return
  counts.forEach((count, column) => {
    if (first < count) hits[column] = (hits[column] as number) + 1
  })
}

function ownerIndexes(network: Network, location: Location, count: number): number[] {
  return ownersOf(location, network.ids, count).map((id) => network.indexOf(id))
}
