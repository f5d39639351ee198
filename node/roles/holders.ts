/**
 * Who holds what: the members nearest after a location, as this node's view has them. SPEC requests §6, ring §7
 */
import { type Clock, compareBytes, keyOf, type NodeId, type Profile } from '../../core/index.ts'
import { ownersOf, REGION_EXTRA, rankOf, type View } from '../../routing/index.ts'

export interface HoldersPorts {
  readonly clock: Clock
  readonly view: View
  readonly profile: Profile
  readonly selfId: NodeId
}

export class Holders {
  readonly #p: HoldersPorts
  #around: { readonly members: readonly NodeId[]; readonly ids: string } | undefined

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
