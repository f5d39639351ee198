/**
 * The contents that this node answers for by a pointer, while their bytes lie with vaults: taken from a put, read,
 * prolonged, and shared with the others of the location's region. SPEC vaults §5, §6
 */
import {
  below,
  type Clock,
  type Jitter,
  LEAF_COUNT,
  type Log,
  messageOf,
  type NodeId,
  type Profile,
} from '../../core/index.ts'
import { COPY_RESULT, type LeafRange, type ToldPointer, WHOLE } from '../../routing/index.ts'
import {
  areLeafHashesOf,
  type ContentLeaves,
  type ContentRef,
  contentRefKey,
  decodePlace,
  isSamePlace,
  leafHashesFor,
  locationOf,
  mergePointers,
  type Place,
  type Pointer,
  type PointerStore,
} from '../../storage/index.ts'
import type { Blobs, Found } from './blobs.ts'
import type { Copies } from './copies.ts'
import type { Holders } from './holders.ts'

/** Vaults that a content lies with. SPEC vaults §6 */
export const PLACES_WANTED = 2
/** A place that gave a good answer is noted as proven so often: each note is a write. */
const NOTE_PROVEN_EVERY_MS = 60 * 60_000
/** Pointers that wait to be told to the rest of their region; beyond, the next pass of reconcile tells them. */
const TELLING_MAX = 1_024
/** They wait so long for others: many go in one message. */
const TELL_AFTER_MS = 1_000

export interface VaultedPorts {
  readonly clock: Clock
  readonly jitter: Jitter
  readonly log: Log
  readonly profile: Profile
  readonly pointers: PointerStore
  readonly blobs: Blobs
  readonly holders: Holders
  readonly copies: Copies
  /** Whether this node itself, as a vault of another keeper, has the blob. */
  readonly isVaultOf: (root: Uint8Array) => boolean
}

/** `few lines`: nothing is stored, since there were not vaults enough; the content itself, where it was read. */
export type Vaulting =
  | { readonly end: 'stored' | 'full' | 'copies' | 'not had' }
  | { readonly end: 'few lines'; readonly bytes: Uint8Array }

export class Vaulted {
  readonly #p: VaultedPorts
  /** The put of each content that is under way. */
  readonly #accepting = new Map<string, Promise<Vaulting>>()
  readonly #toTell = new Map<string, { readonly ref: ContentRef; readonly told: number }>()
  #isTelling = false

  constructor(ports: VaultedPorts) {
    this.#p = ports
    ports.blobs.onFalse = (ref, place) => void this.giveUp(ref, [place])
  }

  /** What is held under a lease. */
  get(ref: ContentRef): Pointer | undefined {
    const pointer = this.#p.pointers.get(ref)
    return pointer !== undefined && pointer.leaseEndMs > this.#p.clock.nowMs() ? pointer : undefined
  }

  /** Gives a content that was put to two vaults, and the pointer to `copies` nodes; flushed when 'stored'. */
  async accept(ref: ContentRef, content: { bytes: Uint8Array; leaseEndMs: number }): Promise<Vaulting> {
    const name = contentRefKey(ref)
    // One after the other: a client that tries again while its first try is under way fills no more vaults.
    const before = this.#accepting.get(name)
    const accepted = (before ?? Promise.resolve()).then(() => this.#accept(ref, content))
    this.#accepting.set(name, accepted)
    try {
      return await accepted
    } finally {
      if (this.#accepting.get(name) === accepted) this.#accepting.delete(name)
    }
  }

  async #accept(ref: ContentRef, content: { bytes: Uint8Array; leaseEndMs: number }): Promise<Vaulting> {
    const { bytes, leaseEndMs } = content
    if (this.get(ref) !== undefined) return this.renew(ref, leaseEndMs, bytes)
    const places = await this.#p.blobs.keep(content, { count: PLACES_WANTED, besides: [] })
    if (places === undefined) return { end: 'few lines', bytes }
    const pointer = { leaseEndMs, leafHashes: leafHashesFor(ref, bytes), places }
    // Another member may have handed one over meanwhile.
    const meanwhile = this.get(ref)
    return this.#point(ref, meanwhile === undefined ? pointer : mergePointers(pointer, meanwhile))
  }

  /** `isHereOnly`: over lines attached to this node only. */
  async read(
    ref: ContentRef,
    range: LeafRange,
    { isHereOnly = false }: { readonly isHereOnly?: boolean } = {},
  ): Promise<ContentLeaves | undefined> {
    const pointer = this.get(ref)
    if (pointer === undefined) return undefined
    const found = await this.#p.blobs.read({ ref, pointer, range, isHereOnly })
    if (found !== undefined) this.#noteProven(ref, [found.place])
    return found
  }

  /** Prolongs the blobs and the pointer; a place that fails is replaced. `bytes`: the content, where it is at hand. */
  async renew(ref: ContentRef, leaseEndMs: number, bytes?: Uint8Array): Promise<Vaulting> {
    const { blobs, pointers } = this.#p
    const held = this.get(ref)
    if (held === undefined) return { end: 'not had' }
    const good = await this.#prolong(ref, held, leaseEndMs)
    let added: readonly Place[] = []
    if (good.length < PLACES_WANTED) {
      const content = bytes ?? (await this.#whole(ref, held))?.leaves
      if (content === undefined) return { end: 'not had' }
      const wish = { count: PLACES_WANTED - good.length, besides: held.places }
      const kept = await blobs.keep({ bytes: content, leaseEndMs }, wish)
      if (kept === undefined) return { end: 'few lines', bytes: content }
      added = kept
    }
    const now = pointers.get(ref) ?? held
    const renewed = this.#withPlaces(now, { add: added, proven: good, giveUp: [] })
    return this.#point(ref, { ...renewed, leaseEndMs: Math.max(renewed.leaseEndMs, leaseEndMs) })
  }

  /** The content, out of a vault, its lease prolonged there to the end named. */
  async proveable(ref: ContentRef, leaseEndMs: number): Promise<Uint8Array | undefined> {
    const held = this.get(ref)
    if (held === undefined) return undefined
    if (leaseEndMs > held.leaseEndMs) {
      if ((await this.#prolong(ref, held, leaseEndMs)).length === 0) return undefined
      const now = this.#p.pointers.get(ref) ?? held
      if (!(await this.#store(ref, { ...now, leaseEndMs: Math.max(now.leaseEndMs, leaseEndMs) }))) return undefined
    }
    return (await this.#whole(ref, held))?.leaves
  }

  /** The content itself, out of a vault. */
  async whole(ref: ContentRef): Promise<Uint8Array | undefined> {
    const held = this.get(ref)
    return held && (await this.#whole(ref, held))?.leaves
  }

  /** Whether places enough have given the whole content to this node, or have it from it; `bytes` for those that lack. */
  async hasProven(ref: ContentRef, bytes: Uint8Array): Promise<boolean> {
    const held = this.get(ref)
    if (held === undefined) return false
    // What this node gave itself has only to be there still.
    const isGood = await Promise.all(
      held.places.map((place) =>
        place.dropSecret !== undefined
          ? this.#hasLeaf(ref, held, place)
          : this.#p.blobs.isGood(place, { ref, pointer: held, range: WHOLE }),
      ),
    )
    const good = held.places.filter((_, at) => isGood[at] === true)
    if (good.length >= PLACES_WANTED) return true
    const bad = held.places.filter((place) => !good.includes(place))
    return this.replace(ref, bad, bytes)
  }

  /** A pointer that another member hands over. */
  async take(told: ToldPointer, ref: ContentRef): Promise<number> {
    // What unwraps a blob must not lie on the disk that the blob lies on.
    const places = told.places.map(decodePlace).filter(({ root }) => !this.#p.isVaultOf(root))
    if (places.length === 0) return COPY_RESULT.refused
    const came: Pointer = { leaseEndMs: told.leaseEndMs, leafHashes: told.leafHashes.slice(), places }
    if (!this.#p.holders.isInRegion(locationOf(ref)) || !areLeafHashesOf(ref, came.leafHashes))
      return COPY_RESULT.refused
    const held = this.get(ref)
    const isStored = await this.#store(ref, held === undefined ? came : mergePointers(held, came))
    return isStored ? COPY_RESULT.stored : COPY_RESULT.full
  }

  /**
   * The content, `bytes` or read for it, at further vaults, until enough places beside those given up have it. Others
   * count once they have given a leaf: whoever lists them may not know that they are gone. True when `copies` nodes
   * have flushed where it lies now.
   */
  async replace(ref: ContentRef, given: readonly Place[], bytes?: Uint8Array): Promise<boolean> {
    const { blobs, holders, copies, profile, pointers } = this.#p
    const held = this.get(ref)
    if (held === undefined) return true
    const left = held.places.filter((place) => !given.some((gone) => isSamePlace(gone, place)))
    const { good } = await this.audit(ref, { ...held, places: left })
    let added: readonly Place[] = []
    const wish = { count: PLACES_WANTED - good.length, besides: held.places }
    if (wish.count > 0) {
      if (blobs.linesFree(held.places) < wish.count) return false
      const content = bytes ?? (await this.#whole(ref, held))?.leaves
      const kept = content && (await blobs.keep({ bytes: content, leaseEndMs: held.leaseEndMs }, wish))
      if (kept === undefined) return false
      added = kept
    }
    const now = pointers.get(ref) ?? held
    const pointer = this.#withPlaces(now, { add: added, proven: good, giveUp: given })
    if (!(await this.#store(ref, pointer))) return false
    const others = holders.othersOfRegion(locationOf(ref))
    const pointed = await copies.atSome(others, profile.copies - 1, (id) => copies.point(id, ref, pointer))
    this.tellRegion(ref, profile.copies - 1)
    if (pointed) for (const place of given) blobs.drop(place)
    return pointed
  }

  /** Forgets places that were found bad, but for the last: it may be the only thing to hope for. */
  async giveUp(ref: ContentRef, bad: readonly Place[]): Promise<void> {
    const held = this.get(ref)
    if (held !== undefined) await this.#store(ref, this.#withPlaces(held, { add: [], proven: [], giveUp: bad }))
  }

  /** One leaf of each place; how many gave it. */
  async audit(ref: ContentRef, pointer: Pointer): Promise<{ good: readonly Place[]; bad: readonly Place[] }> {
    const checked = await Promise.all(
      pointer.places.map(async (place) => ({ place, isGood: await this.#hasLeaf(ref, pointer, place) })),
    )
    const good = checked.filter(({ isGood }) => isGood).map(({ place }) => place)
    this.#noteProven(ref, good)
    return { good, bad: checked.filter(({ isGood }) => !isGood).map(({ place }) => place) }
  }

  /** Hands the pointer to its region when there is time, but for the first members that have it: so many. */
  tellRegion(ref: ContentRef, told = 0): void {
    if (this.#toTell.size < TELLING_MAX) this.#toTell.set(contentRefKey(ref), { ref, told })
    if (this.#isTelling) return
    this.#isTelling = true
    this.#p.clock.setTimer(TELL_AFTER_MS, () => void this.tellNow())
  }

  /** What waits to be told. */
  async tellNow(): Promise<void> {
    const { holders, copies } = this.#p
    while (this.#toTell.size > 0) {
      const all = [...this.#toTell.values()]
      this.#toTell.clear()
      const calls = all.flatMap(({ ref, told }) => {
        const pointer = this.get(ref)
        const others = pointer === undefined ? [] : holders.othersOfRegion(locationOf(ref)).slice(told)
        return others.map((id) => pointer && copies.point(id, ref, pointer))
      })
      await Promise.all(calls)
    }
    this.#isTelling = false
  }

  /** Stored here and at the next nodes, before anything is said; then at the rest of the region. */
  async #point(ref: ContentRef, pointer: Pointer): Promise<Vaulting> {
    const { profile, holders, copies } = this.#p
    const own = this.#store(ref, pointer)
    const others = holders.othersOfRegion(locationOf(ref))
    const pointed = copies.atSome(others, profile.copies - 1, (id: NodeId) => copies.point(id, ref, pointer))
    if (!(await own)) {
      for (const place of pointer.places) this.#p.blobs.drop(place)
      return { end: 'full' }
    }
    if (!(await pointed)) return { end: 'copies' }
    this.tellRegion(ref, profile.copies - 1)
    return { end: 'stored' }
  }

  /** The places whose blob is there and is kept so long. */
  async #prolong(ref: ContentRef, pointer: Pointer, leaseEndMs: number): Promise<readonly Place[]> {
    const results = await Promise.all(pointer.places.map((place) => this.#hasLeaf(ref, pointer, place, leaseEndMs)))
    return pointer.places.filter((_, at) => results[at] === true)
  }

  #hasLeaf(ref: ContentRef, pointer: Pointer, place: Place, leaseEndMs?: number): Promise<boolean> {
    const range = { from: below(this.#p.jitter, LEAF_COUNT), count: 1 }
    return this.#p.blobs.isGood(place, { ref, pointer, range, ...(leaseEndMs !== undefined && { leaseEndMs }) })
  }

  async #whole(ref: ContentRef, pointer: Pointer): Promise<Found | undefined> {
    return this.#p.blobs.read({ ref, pointer, range: WHOLE })
  }

  #noteProven(ref: ContentRef, places: readonly Place[]): void {
    const nowMs = this.#p.clock.nowMs()
    const due = places.filter(({ provenMs }) => nowMs - provenMs >= NOTE_PROVEN_EVERY_MS)
    const held = due.length === 0 ? undefined : this.get(ref)
    if (held !== undefined) void this.#store(ref, this.#withPlaces(held, { add: [], proven: due, giveUp: [] }))
  }

  /** At most PLACES_MAX of them: what this node has proven itself stays. */
  #withPlaces(
    pointer: Pointer,
    change: { add: readonly Place[]; proven: readonly Place[]; giveUp: readonly Place[] },
  ): Pointer {
    const nowMs = this.#p.clock.nowMs()
    const isIn = (list: readonly Place[], place: Place): boolean => list.some((each) => isSamePlace(each, place))
    const left = pointer.places.filter((place) => !isIn(change.giveUp, place))
    const noted = left.map((place) => (isIn(change.proven, place) ? { ...place, provenMs: nowMs } : place))
    const [first = pointer.places[0], ...rest] = [...change.add, ...noted]
    return mergePointers({ ...pointer, places: first === undefined ? [] : [first] }, { ...pointer, places: rest })
  }

  async #store(ref: ContentRef, pointer: Pointer): Promise<boolean> {
    try {
      return (await this.#p.pointers.put(ref, pointer)) === 'stored'
    } catch (error) {
      this.#p.log('error', 'pointer not stored', { reason: messageOf(error) })
      return false
    }
  }
}
