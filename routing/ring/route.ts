/**
 * Who answers for a location, and where a request for it goes next. A request moves clockwise and
 * never passes its location, so its path cannot loop and needs no hop counter. SPEC ring §7
 */
import { equalBytes, type NodeId } from '../../core/index.ts'
import { fingersOf } from './fingers.ts'
import { holdsPoint, indexAtOrAfter, isBetween, isUpTo } from './point.ts'
import { isAlone, type RingState } from './state.ts'

/** Beyond the `copies` that hold a content, so many more members may be asked for it. SPEC requests §6 */
export const REGION_EXTRA = 4

export type Hop = { readonly own: true } | { readonly hop: NodeId; readonly isOwner: boolean }

/** Whether the location lies after our predecessor, up to and at ourselves; alone, always. */
export function isOwner(state: RingState, location: Uint8Array): boolean {
  if (isAlone(state)) return true
  return state.predecessor !== undefined && isUpTo(state.predecessor, location, state.self)
}

/**
 * The next hop towards the owner of `location`. Counts as live: who is in `members` (sorted) and not
 * in `exclude`, the nodes already silent in this request. A dead predecessor's arc is our own, a dead
 * successor's belongs to the one after it; without live others, all is our own.
 */
export function nextHop(question: {
  readonly state: RingState
  readonly members: readonly NodeId[]
  readonly location: Uint8Array
  readonly exclude?: readonly NodeId[]
}): Hop {
  const { state, members, location, exclude = [] } = question
  const { self } = state
  const isExcluded = (id: NodeId) => exclude.some((other) => equalBytes(other, id))
  const isLive = (id: NodeId) => holdsPoint(members, id) && !isExcluded(id)

  const before =
    state.predecessor !== undefined && isLive(state.predecessor)
      ? state.predecessor
      : lastBefore(self, members, isExcluded)
  if (before === undefined || isUpTo(before, location, self)) return { own: true }

  const successors = state.successors.filter(isLive)
  const next = firstLive(location, members, isExcluded)
  const successor = successors.find((id) => isUpTo(self, location, id))
  if (successor !== undefined) {
    // The list is what neighbours say; whom the view knows nearer was left out of it.
    const isLeftOut = next !== undefined && !equalBytes(next, self) && isBetween(self, next, successor)
    return { hop: isLeftOut ? next : successor, isOwner: true }
  }

  const fingers = cachedFingers(self, members)
  if (next !== undefined && fingers.some((id) => equalBytes(id, next))) return { hop: next, isOwner: true }

  let nearest: NodeId | undefined
  for (const id of [...successors, ...fingers]) {
    if (!isUpTo(self, id, location) || isExcluded(id)) continue
    if (equalBytes(id, location)) return { hop: id, isOwner: true }
    if (nearest === undefined || isBetween(nearest, id, location)) nearest = id
  }
  if (nearest !== undefined) return { hop: nearest, isOwner: false }
  // No live successor and no finger before the location: only the view is left to name an owner.
  const owner = ownersOf(location, members, members.length).find((id) => isLive(id) && !equalBytes(id, self))
  return owner === undefined ? { own: true } : { hop: owner, isOwner: true }
}

/** The first `count` members at or after the location, in order; all of them when there are fewer. */
export function ownersOf(location: Uint8Array, members: readonly NodeId[], count: number): readonly NodeId[] {
  const wanted = Math.min(count, members.length)
  const from = indexAtOrAfter(members, location)
  const owners = members.slice(from, from + wanted)
  return owners.length < wanted ? owners.concat(members.slice(0, wanted - owners.length)) : owners
}

/**
 * How many members lie from the location on before `node`, itself not counted: 0 for the owner. A
 * node that is no member gets the rank it would have as one.
 */
export function rankOf(location: Uint8Array, node: NodeId, members: readonly NodeId[]): number {
  const at = indexAtOrAfter(members, node)
  const owner = indexAtOrAfter(members, location)
  const following = members[at]
  if (following === undefined) return 0
  // Both in the gap before one member: the node comes first, or after everybody.
  const isLast = at === owner && !equalBytes(following, node) && !isUpTo(location, node, following)
  const isSame = equalBytes(location, node)
  return isLast && !isSame ? members.length : (at - owner + members.length) % members.length
}

/** The first live member at or after the location. */
function firstLive(
  location: Uint8Array,
  members: readonly NodeId[],
  isExcluded: (id: NodeId) => boolean,
): NodeId | undefined {
  const from = indexAtOrAfter(members, location)
  for (let step = 0; step < members.length; step++) {
    const id = members[(from + step) % members.length] as NodeId
    if (!isExcluded(id)) return id
  }
  return undefined
}

/** The live member nearest before `self`. */
function lastBefore(self: NodeId, members: readonly NodeId[], isExcluded: (id: NodeId) => boolean): NodeId | undefined {
  const from = indexAtOrAfter(members, self)
  for (let back = 1; back <= members.length; back++) {
    const id = members[(from - back + members.length) % members.length] as NodeId
    if (!equalBytes(id, self) && !isExcluded(id)) return id
  }
  return undefined
}

// A view hands out one list until its members change, so the list itself is the key.
const FINGERS = new WeakMap<readonly NodeId[], WeakMap<NodeId, readonly NodeId[]>>()

function cachedFingers(self: NodeId, members: readonly NodeId[]): readonly NodeId[] {
  const ofList = FINGERS.get(members) ?? new WeakMap<NodeId, readonly NodeId[]>()
  const fingers = ofList.get(self) ?? fingersOf(self, members)
  ofList.set(self, fingers)
  FINGERS.set(members, ofList)
  return fingers
}
