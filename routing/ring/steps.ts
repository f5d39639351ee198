/**
 * The steps that keep the ring, after Zave's corrected Chord. Each is one query and one atomic
 * update: the caller sends the query, feeds what came of it to the matching function here, keeps the
 * new state and carries out `next`. SPEC ring §4, §5, §6
 *
 *   stabilise  firstQuery -> ask the head of the list
 *                answered -> afterSuccessorAnswer -> ask a candidate | notify the head
 *                silent   -> afterSuccessorDead   -> notify the new head
 *              ask a candidate (also one that gossip named, if canAdopt)
 *                answered -> afterCandidateAnswer -> notify it
 *                silent   -> afterCandidateSilent -> notify the head
 *   rectify    notified -> onNotify -> new state | ask the predecessor, and if silent onPredecessorDead
 *
 * Queries are answered from the state as it stands, even in the middle of a node's own step; only
 * its own updates wait for each other. An id that is no ring member, or that left, counts as silent.
 */
import { equalBytes, type NodeId } from '../../core/index.ts'
import { indexAtOrAfter, isBetween } from './point.ts'
import { type RingAnswer, type RingState, successorList } from './state.ts'

export type RingQuery =
  | { readonly do: 'query-successor'; readonly node: NodeId }
  | { readonly do: 'query-candidate'; readonly node: NodeId }

export type RingNext =
  | { readonly do: 'query-candidate'; readonly node: NodeId }
  | { readonly do: 'notify'; readonly node: NodeId }

export interface RingStep {
  readonly state: RingState
  /** Undefined: the step ends here. */
  readonly next: RingNext | undefined
}

/**
 * The state with which `self` becomes a member just after `member`, or undefined when it does not
 * belong there: then another place must be looked for. `member` is what that node answered.
 */
export function afterJoin(self: NodeId, member: RingAnswer, successorsMax: number): RingState | undefined {
  const head = member.successors[0]
  if (!isBetween(member.node, self, head ?? member.node)) return undefined
  const list = head === undefined ? [member.node] : member.successors
  return {
    self,
    predecessor: member.node,
    successors: successorList({ self, max: successorsMax }, list),
    successorsMax,
  }
}

/** How a round of stabilising begins; undefined for a node that is alone and was never notified. */
export function firstQuery(state: RingState): RingQuery | undefined {
  const head = state.successors[0]
  if (head !== undefined) return { do: 'query-successor', node: head }
  return state.predecessor && { do: 'query-candidate', node: state.predecessor }
}

/** Part 1, the head answered: its list becomes ours, one later; then a nearer node is looked at. */
export function afterSuccessorAnswer(state: RingState, answer: RingAnswer): RingStep {
  if (!isHead(state, answer.node)) return { state, next: undefined }
  const renewed = withList(state, answer)
  const nearer = answer.predecessor
  return nearer !== undefined && isBetween(state.self, nearer, answer.node)
    ? { state: renewed, next: { do: 'query-candidate', node: nearer } }
    : { state: renewed, next: { do: 'notify', node: answer.node } }
}

/**
 * Part 1, the head was silent, or said that it leaves: it is dropped. Nothing unchecked takes the
 * freed place at the end of the list.
 */
export function afterSuccessorDead(state: RingState, dead: NodeId): RingStep {
  if (!isHead(state, dead)) return { state, next: undefined }
  return notifyHead({ ...state, successors: state.successors.slice(1) })
}

/** Whether `candidate`, named by the head or by gossip, would be a nearer successor if it is alive. */
export function canAdopt(state: RingState, candidate: NodeId): boolean {
  return isBetween(state.self, candidate, state.successors[0] ?? state.self)
}

/** The live member nearest after this node, when it is nearer than the head. `members` is sorted. */
export function nearerMember(state: RingState, members: readonly NodeId[]): NodeId | undefined {
  let at = indexAtOrAfter(members, state.self)
  const here = members[at]
  if (here !== undefined && equalBytes(here, state.self)) at = (at + 1) % members.length
  const nearest = members[at]
  return nearest !== undefined && canAdopt(state, nearest) ? nearest : undefined
}

/** Part 2, the candidate answered: it becomes the head, if it still is nearer than the present one. */
export function afterCandidateAnswer(state: RingState, answer: RingAnswer): RingStep {
  return canAdopt(state, answer.node) ? notifyHead(withList(state, answer)) : notifyHead(state)
}

/** Part 2, the candidate was silent: the list stays. */
export function afterCandidateSilent(state: RingState, candidate: NodeId): RingStep {
  const isLast =
    state.successors.length === 0 && state.predecessor !== undefined && equalBytes(state.predecessor, candidate)
  return notifyHead(isLast ? { ...state, predecessor: undefined } : state)
}

/** `from` believes itself our predecessor. Either the new state, or whom to query before deciding. */
export function onNotify(state: RingState, from: NodeId): { readonly state: RingState } | { readonly query: NodeId } {
  const held = state.predecessor
  if (equalBytes(from, state.self)) return { state }
  if (held === undefined || isBetween(held, from, state.self)) return { state: { ...state, predecessor: from } }
  return equalBytes(held, from) ? { state } : { query: held }
}

/** The predecessor that onNotify had queried was silent: the notifier takes its place. */
export function onPredecessorDead(state: RingState, nodes: { dead: NodeId; from: NodeId }): RingState {
  const held = state.predecessor
  if (held !== undefined && !equalBytes(held, nodes.dead) && !isBetween(held, nodes.from, state.self)) return state
  return equalBytes(nodes.from, state.self) ? state : { ...state, predecessor: nodes.from }
}

function isHead(state: RingState, node: NodeId): boolean {
  const head = state.successors[0]
  return head !== undefined && equalBytes(head, node)
}

function withList(state: RingState, answer: RingAnswer): RingState {
  const owner = { self: state.self, max: state.successorsMax }
  return { ...state, successors: successorList(owner, [answer.node, ...answer.successors]) }
}

function notifyHead(state: RingState): RingStep {
  const head = state.successors[0]
  return { state, next: head && { do: 'notify', node: head } }
}
