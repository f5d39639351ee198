/**
 * What one node knows of the ring. Pure values, never changed in place; the steps that make a new
 * one are in steps.ts. SPEC ring §2, §3
 */
import { compareBytes, equalBytes, type NodeId } from '../../core/index.ts'
import { indexAtOrAfter, isBetween } from './point.ts'

export interface RingState {
  readonly self: NodeId
  /** The nearest node before this one that has made itself known; it may have died since. */
  readonly predecessor: NodeId | undefined
  /**
   * The nearest nodes after this one as far as is known, in order, at most `successorsMax`, never
   * this node and none twice. Fewer stand for a list filled up with placeholders. Empty: alone.
   */
  readonly successors: readonly NodeId[]
  /** r of the profile. */
  readonly successorsMax: number
}

/** What a ring member tells of itself when asked: its own state, at once and as it stands. */
export interface RingAnswer {
  readonly node: NodeId
  readonly predecessor: NodeId | undefined
  readonly successors: readonly NodeId[]
}

export function answerOf(state: RingState): RingAnswer {
  return { node: state.self, predecessor: state.predecessor, successors: state.successors }
}

/** Whether this node knows of no other: then it answers for every location. */
export function isAlone(state: RingState): boolean {
  return state.successors.length === 0
}

/** The state `self` has in the ideal ring of `members` (in any order, with or without itself). */
export function perfectRing(self: NodeId, members: readonly NodeId[], successorsMax: number): RingState {
  const sorted = members.filter((id) => !equalBytes(id, self)).sort(compareBytes)
  const from = indexAtOrAfter(sorted, self)
  const ordered = [...sorted.slice(from), ...sorted.slice(0, from)]
  return {
    self,
    predecessor: ordered.at(-1),
    successors: successorList({ self, max: successorsMax }, ordered),
    successorsMax,
  }
}

/**
 * The longest beginning of `ids` that runs clockwise from `self` without reaching it again, at most
 * `max` long. For what honest nodes send in a large ring this only cuts the length; in a small ring
 * it ends the list before it repeats, and it leaves a liar no way to disorder it.
 */
export function successorList(owner: { self: NodeId; max: number }, ids: readonly NodeId[]): readonly NodeId[] {
  const list: NodeId[] = []
  let last: NodeId = owner.self
  for (const id of ids) {
    if (list.length === owner.max || !isBetween(last, id, owner.self)) break
    list.push(id)
    last = id
  }
  return list
}
