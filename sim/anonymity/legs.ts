/**
 * What the times of cells say of circuits: whether one at a guard is a vault's line or its user's, and whether two
 * are the same circuit seen at two places. Pure, over one leg or two. SPEC anonymity §3
 */
import type { Leg } from './recording.ts'

/** From one relay to another, one or two further on. */
const ACROSS_MS = { min: 2, max: 1_500 }
/** Of the cells of two circuits that are one, so many lie within that. */
const ALIGNED_SHARE = 0.9
/** A vault asks its next relay, or its keeper, so soon after the answer of the last: a round trip to its guard. */
const TURN_MS = 600
/** Three extends and the attach, each answered before the next. */
export const LINE_TURNS = 4
/** A user keeps so many circuits, or uses those it has: lines that failed are fewer, and have fewer cells. */
const USER_CIRCUITS = 11

/**
 * Whether a circuit that begins at this node is a line: it is built by one more turn than others and used at once,
 * once, and what comes next comes from the far end, which asks.
 */
export function isLine({ forwardMs, backwardMs }: Leg): boolean {
  if (forwardMs.length < LINE_TURNS || backwardMs.length < LINE_TURNS) return false
  for (let turn = 0; turn < LINE_TURNS; turn++) {
    const [sentMs, answeredMs] = [forwardMs[turn] as number, backwardMs[turn] as number]
    const beforeMs = turn === 0 ? Number.NEGATIVE_INFINITY : (backwardMs[turn - 1] as number)
    if (sentMs < beforeMs || answeredMs < sentMs) return false
    if (turn > 0 && sentMs - beforeMs > TURN_MS) return false
  }
  const nextMs = forwardMs[LINE_TURNS]
  return nextMs === undefined || nextMs >= (backwardMs[LINE_TURNS] ?? Number.POSITIVE_INFINITY)
}

/**
 * Circuits that begin at this node and are its users' own: no lines. Who has only lines here has another guard for what
 * its user does, and what is no line may be one that failed while it was built.
 */
export function usedLegsOf(legs: readonly Leg[]): Leg[] {
  const clients = new Map<string, Leg[]>()
  for (const leg of legs) {
    if (!leg.isFromPeer || leg.hop !== 1 || isLine(leg)) continue
    const known = clients.get(leg.peer)
    if (known === undefined) clients.set(leg.peer, [leg])
    else known.push(leg)
  }
  const isUser = (all: readonly Leg[]): boolean =>
    all.length >= USER_CIRCUITS || all.some(({ forwardMs }) => forwardMs.length >= LINE_TURNS)
  return [...clients.values()].filter(isUser).flat()
}

/**
 * How evenly cells that one node sent come out at another: the mean deviation of their delays; undefined when they
 * cannot be the same. `skip`: of those sent, so many ended at a relay between.
 */
export function spreadOf(sentMs: readonly number[], gotMs: readonly number[], skip: number): number | undefined {
  if (gotMs.length === 0 || sentMs.length < gotMs.length + skip) return undefined
  const delays = gotMs.map((atMs, index) => atMs - (sentMs[index + skip] as number)).filter(isAcross)
  if (delays.length < ALIGNED_SHARE * gotMs.length) return undefined
  const mean = delays.reduce((sum, delay) => sum + delay, 0) / delays.length
  return delays.reduce((sum, delay) => sum + Math.abs(delay - mean), 0) / delays.length
}

export function isAcross(delayMs: number): boolean {
  return delayMs >= ACROSS_MS.min && delayMs <= ACROSS_MS.max
}

/** Index of the first value that is not below `from`. */
export function lowerBound(sorted: readonly number[], from: number): number {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((sorted[middle] as number) < from) low = middle + 1
    else high = middle
  }
  return low
}
