/**
 * Who holds what: the members nearest after a location, as this node's view has them. SPEC requests §6, ring §7
 */
import { type Clock, compareBytes, keyOf, type NodeId, type Profile } from '../../core/index.ts'
import {
  type Crowd,
  crowdBeside,
  isUpTo,
  ownersOf,
  pointAfter,
  REGION_EXTRA,
  rankOf,
  type View,
} from '../../routing/index.ts'

/** A pointer lies with the members of so many average arcs after its location ... */
const REGION_ARCS = 8
/** ... but with so many at most. */
const REGION_MAX = 20
/** Members looked at for a region: of a flood of newcomers, so many are compared by age. */
const REGION_SEEN_MAX = 256

export interface HoldersPorts {
  readonly clock: Clock
  readonly view: View
  readonly profile: Profile
  readonly selfId: NodeId
}

export class Holders {
  readonly #p: HoldersPorts
  #around: { readonly members: readonly NodeId[]; readonly ids: string } | undefined
  #crowd: { readonly members: readonly NodeId[]; readonly found: Crowd | undefined } | undefined

  constructor(ports: HoldersPorts) {
    this.#p = ports
  }

  /** The members that should hold what lies at `location`, nearest first, this node among them or not. */
  of(location: Uint8Array, options: { count: number; leaving?: boolean }): NodeId[] {
    const { view, clock, selfId } = this.#p
    const members = view.reachable(clock.nowMs())
    const all = ownersOf(location, members, options.count + 1)
    const left = options.leaving ? all.filter((id) => compareBytes(id, selfId) !== 0) : all
    return left.slice(0, options.count)
  }

  /** How many members lie between the location and this node, itself not counted. */
  rankOf(location: Uint8Array): number {
    const { view, clock, selfId } = this.#p
    return rankOf(location, selfId, view.reachable(clock.nowMs()))
  }

  /** The members that may hold what lies at the location besides this one, nearest first. */
  others(location: Uint8Array): NodeId[] {
    const { profile, selfId } = this.#p
    const region = this.of(location, { count: profile.copies + REGION_EXTRA })
    return region.filter((id) => compareBytes(id, selfId) !== 0)
  }

  /**
   * The members that hold the pointers of a location, nearest first, this node among them or not: all within the
   * region, so that no newcomer pushes another out, and when they are too many the longest known, by what this
   * node has seen itself. The first `copies` always: requests go to them. SPEC vaults §5
   */
  region(location: Uint8Array, options: { leaving?: boolean } = {}): NodeId[] {
    const { view, clock, profile, selfId } = this.#p
    const reachable = view.reachable(clock.nowMs())
    const isSelf = (id: NodeId): boolean => compareBytes(id, selfId) === 0
    const all = ownersOf(location, reachable, REGION_SEEN_MAX)
    const members = options.leaving ? all.filter((id) => !isSelf(id)) : all
    const end = pointAfter(location, { parts: reachable.length, count: REGION_ARCS })
    const near = members.filter((id, rank) => rank < profile.copies || end === undefined || isUpTo(location, id, end))
    if (near.length <= REGION_MAX) return near
    const seenMs = (id: NodeId): number => (isSelf(id) ? 0 : (view.firstSeenMs(id) ?? Number.POSITIVE_INFINITY))
    const rest = near.slice(profile.copies).sort((a, b) => seenMs(a) - seenMs(b))
    const oldest = new Set(rest.slice(0, REGION_MAX - profile.copies))
    return near.filter((id, rank) => rank < profile.copies || oldest.has(id))
  }

  /** As `region`, without this node. */
  othersOfRegion(location: Uint8Array): NodeId[] {
    return this.region(location).filter((id) => compareBytes(id, this.#p.selfId) !== 0)
  }

  /** Members of the region behind the first `past`, the longest known first. */
  eldest(location: Uint8Array, wish: { past: number; count: number }): NodeId[] {
    const { view } = this.#p
    const seenMs = (id: NodeId): number => view.firstSeenMs(id) ?? Number.POSITIVE_INFINITY
    const behind = this.othersOfRegion(location).slice(wish.past)
    return behind.sort((a, b) => seenMs(a) - seenMs(b)).slice(0, wish.count)
  }

  /** Whether a member may hand this node a pointer for the location: twice the region, since views differ. */
  isInRegion(location: Uint8Array): boolean {
    const { view, clock, profile, selfId } = this.#p
    const reachable = view.reachable(clock.nowMs())
    const end = pointAfter(location, { parts: reachable.length, count: 2 * REGION_ARCS })
    const isNear = this.rankOf(location) <= profile.copies + REGION_EXTRA
    return isNear || end === undefined || isUpTo(location, selfId, end)
  }

  /** Whether members stand closer to this node than chance would place them. SPEC ring §8 */
  crowd(): Crowd | undefined {
    const { view, clock, selfId } = this.#p
    const members = view.reachable(clock.nowMs())
    if (this.#crowd?.members !== members) this.#crowd = { members, found: crowdBeside(members, selfId) }
    return this.#crowd.found
  }

  /** Who is near enough for a change to move a content from or to this node. */
  neighbourhood(): string {
    const { view, clock, profile, selfId } = this.#p
    const members = view.reachable(clock.nowMs())
    // The view gives the same list until something changes.
    if (this.#around?.members === members) return this.#around.ids
    const others = members.filter((id) => compareBytes(id, selfId) !== 0)
    const count = Math.min(profile.copies, others.length)
    const after = ownersOf(selfId, others, count)
    const before = ownersOf(selfId, others, others.length).slice(others.length - count)
    const ids = [...before, ...after].map(keyOf).join('')
    this.#around = { members, ids }
    return ids
  }
}
