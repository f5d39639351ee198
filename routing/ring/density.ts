/**
 * Whether members stand closer around a point than chance would place them: who makes many identities to stand before a
 * location shows by that. A flag for people, no ground to refuse anybody. Pure. SPEC ring §8
 *
 * Lengths are in average arcs, 1/N of the ring. N counts the crowd itself, so a flood of the whole ring does not show.
 */
import { equalBytes, type NodeId } from '../../core/index.ts'
import { distance, indexAtOrAfter } from './point.ts'

/** Nearest members looked at on each side, and what a region holds at most. */
const SEEN_MAX = 20
/** A region of so many arcs has more than SEEN_MAX members in one of 10,000 places. */
const REGION_ARCS = 8
/** The nearest few count as a crowd when chance would bring them so near once in so many places. */
const CHANCE_MIN = 1e-6
const CIRCLE = 2 ** 256
/** Of the tail: each term is less than half of the one before long before that. */
const TERMS = 100

export interface Crowd {
  /** Members besides the one at the point ... */
  readonly members: number
  /** ... within so many average arcs of it, on one side. */
  readonly arcs: number
}

/** The least likely crowd beside a member, before or after it; undefined when chance explains all. `sorted`: all members. */
export function crowdBeside(sorted: readonly NodeId[], self: NodeId): Crowd | undefined {
  const count = sorted.length
  const seen = Math.min(SEEN_MAX + 1, count - 1)
  const first = indexAtOrAfter(sorted, self)
  const isMember = count > 0 && equalBytes(sorted[first] as NodeId, self)
  let worst: (Crowd & { readonly chance: number }) | undefined
  for (const side of ['before', 'after'] as const) {
    for (let members = 1; members <= seen; members++) {
      const step = side === 'after' ? members - (isMember ? 0 : 1) : -members
      const other = sorted[(first + step + count) % count] as NodeId
      const steps = side === 'after' ? distance(self, other) : distance(other, self)
      const arcs = (Number(steps) / CIRCLE) * count
      const chance = chanceOf(members, arcs)
      const isCrowd = chance < CHANCE_MIN || (members > SEEN_MAX && arcs <= REGION_ARCS)
      if (isCrowd && (worst === undefined || chance < worst.chance)) worst = { members, arcs, chance }
    }
  }
  return worst && { members: worst.members, arcs: worst.arcs }
}

/** That so many or more stand where `mean` are expected; 1 where that is no more than expected. Poisson's tail, summed from the front. */
export function chanceOf(members: number, mean: number): number {
  if (mean >= members) return 1
  let term = Math.exp(-mean)
  for (let i = 1; i <= members; i++) term *= mean / i
  let sum = 0
  for (let i = members; i < members + TERMS && term > 0; i++) {
    sum += term
    term *= mean / (i + 1)
  }
  return Math.min(1, sum)
}
