/**
 * Fingers: for each of the 64 digits of base 16, the nodes nearest after the 15 points that differ
 * from our own in that digit. They are taken from the membership view, so nothing is asked for and
 * nothing can be poisoned on the way. SPEC ring §7
 */
import { equalBytes, type NodeId } from '../../core/index.ts'
import { indexAtOrAfter, isUpTo } from './point.ts'

const DIGITS = 64
const FINGERS_PER_LEVEL = 15

/**
 * The distinct fingers of `self`, from the farthest level to the nearest; about 36 in a ring of
 * 1,000. `members` is sorted and may hold `self`, which is never its own finger.
 */
export function fingersOf(self: NodeId, members: readonly NodeId[]): readonly NodeId[] {
  const fingers = new Set<NodeId>()
  const nearest = firstAfter(self, members, plus(self, { digit: DIGITS - 1, value: 1 }))
  if (nearest === undefined) return []
  for (let digit = 0; digit < DIGITS; digit++) {
    for (let value = 1; value <= FINGERS_PER_LEVEL; value++) {
      const finger = firstAfter(self, members, plus(self, { digit, value }))
      if (finger !== undefined) fingers.add(finger)
    }
    // All points of so short a step lie before the nearest node: those of shorter ones do too.
    const farthest = plus(self, { digit, value: FINGERS_PER_LEVEL })
    if (isUpTo(self, farthest, nearest)) break
  }
  return [...fingers]
}

/** self + value · 16^(63 - digit), around the circle. */
function plus(self: NodeId, step: { digit: number; value: number }): Uint8Array {
  const point = Uint8Array.from(self)
  let carry = step.digit % 2 === 0 ? step.value << 4 : step.value
  for (let i = step.digit >>> 1; i >= 0 && carry > 0; i--) {
    const sum = (point[i] as number) + carry
    point[i] = sum & 0xff
    carry = sum >>> 8
  }
  return point
}

/** The first member at or after the point; `self` is passed over. */
function firstAfter(self: NodeId, members: readonly NodeId[], point: Uint8Array): NodeId | undefined {
  const at = indexAtOrAfter(members, point)
  const found = members[at]
  if (found === undefined || !equalBytes(found, self)) return found
  const following = members[(at + 1) % members.length]
  return following !== undefined && equalBytes(following, self) ? undefined : following
}
