/**
 * What one node knows of all others: the newest descriptor of each, when it was first heard of, and
 * who could not be reached of late. It admits only what the caller has verified. SPEC membership §2
 * Times in Unix milliseconds, all handed in.
 */
import {
  ByteReader,
  ByteWriter,
  compareBytes,
  keyOf,
  MalformedError,
  type NodeId,
  type Profile,
  type PublicKey,
} from '../../core/index.ts'
import { DESCRIPTOR_SIZE_MAX, type Descriptor, decodeDescriptor, encodeDescriptor } from './descriptor.ts'

// --- specification -----------------------------------------------------------------------------
export const MEMBERS_MAX = 20_000
/** Anti-entropy compares the view in so many arcs, by the first byte of the id. */
export const ARC_COUNT = 256
/** A descriptor lives so many of its renewal periods. */
const LIFETIME_PERIODS = 3
// --- implementation ----------------------------------------------------------------------------
const RETRY_FIRST_MS = 5_000
const RETRY_MAX_MS = 600_000
const SAVED_VERSION = 1

export type Admission = 'new' | 'newer' | 'known' | 'stale' | 'full'

interface Entry {
  readonly descriptor: Descriptor
  readonly firstSeenMs: number
}

interface Failure {
  readonly count: number
  readonly untilMs: number
}

/** A list that stays right until something is admitted, or a moment passes. */
interface Cached {
  readonly ids: readonly NodeId[]
  readonly untilMs: number
}

export class View {
  readonly #lifetimeMs: number
  readonly #futureMaxMs: number
  readonly #entries = new Map<string, Entry>()
  readonly #ofKey = new Map<string, string>()
  readonly #failures = new Map<string, Failure>()
  readonly #arcs: (readonly Descriptor[] | undefined)[] = new Array(ARC_COUNT)
  readonly #arcIds: Set<string>[] = Array.from({ length: ARC_COUNT }, () => new Set())
  #members: readonly NodeId[] | undefined
  #reachable: Cached | undefined
  #nextExpiryMs = Number.POSITIVE_INFINITY
  #version = 0

  constructor(options: { readonly profile: Profile }) {
    this.#lifetimeMs = LIFETIME_PERIODS * options.profile.descriptorEveryMs
    this.#futureMaxMs = options.profile.descriptorEveryMs
  }

  /** Rises with every change of what the view would answer. */
  get version(): number {
    return this.#version
  }

  /** Descriptors held, those of leavers included. */
  get size(): number {
    return this.#entries.size
  }

  /**
   * Takes a verified descriptor in, if it tells anything new. A key has one place: a newer descriptor
   * of the same key under another id replaces the old one. stale: older than what is held, or than
   * its lifetime, or issued too far in the future.
   */
  admit(descriptor: Descriptor, nowMs: number): Admission {
    this.expire(nowMs)
    const { issuedMs } = descriptor
    if (issuedMs + this.#lifetimeMs <= nowMs || issuedMs > nowMs + this.#futureMaxMs) return 'stale'
    const name = keyOf(descriptor.id)
    const oldName = this.#ofKey.get(keyOf(descriptor.publicKey))
    const old = oldName === undefined ? undefined : this.#entries.get(oldName)
    if (old !== undefined && issuedMs <= old.descriptor.issuedMs) {
      return issuedMs === old.descriptor.issuedMs && oldName === name ? 'known' : 'stale'
    }
    // An id that belongs to another key: one of the two was not verified.
    if (oldName !== name && this.#entries.has(name)) return 'stale'
    if (old === undefined && this.#entries.size >= MEMBERS_MAX) return 'full'
    if (old !== undefined && oldName !== undefined && oldName !== name) this.#remove(oldName, old)
    const sameName = oldName === name ? old : undefined
    this.#set(name, { descriptor, firstSeenMs: sameName?.firstSeenMs ?? nowMs })
    return sameName === undefined ? 'new' : 'newer'
  }

  /** Forgets what has outlived its time. The other methods that take the time do this first. */
  expire(nowMs: number): void {
    if (nowMs < this.#nextExpiryMs) return
    let nextExpiryMs = Number.POSITIVE_INFINITY
    for (const [name, entry] of this.#entries) {
      const endMs = entry.descriptor.issuedMs + this.#lifetimeMs
      if (endMs <= nowMs) this.#remove(name, entry)
      else nextExpiryMs = Math.min(nextExpiryMs, endMs)
    }
    this.#nextExpiryMs = nextExpiryMs
  }

  get(id: NodeId): Descriptor | undefined {
    return this.#entries.get(keyOf(id))?.descriptor
  }

  byKey(publicKey: PublicKey): Descriptor | undefined {
    const name = this.#ofKey.get(keyOf(publicKey))
    return name === undefined ? undefined : this.#entries.get(name)?.descriptor
  }

  firstSeenMs(id: NodeId): number | undefined {
    return this.#entries.get(keyOf(id))?.firstSeenMs
  }

  /** Every descriptor held, leavers included, in no order. */
  descriptors(): IterableIterator<Descriptor> {
    return Array.from(this.#entries.values(), (entry) => entry.descriptor).values()
  }

  /**
   * The ring's members: keepers that are not leaving, sorted by id. The same list, not to be
   * changed, is returned until the members change: it may serve as the key of a cache.
   */
  members(nowMs: number): readonly NodeId[] {
    this.expire(nowMs)
    this.#members ??= Array.from(this.#entries.values(), (entry) => entry.descriptor)
      .filter(isMember)
      .map((descriptor) => descriptor.id)
      .sort(compareBytes)
    return this.#members
  }

  /** The members without those that failed of late, under the same promise. */
  reachable(nowMs: number): readonly NodeId[] {
    const members = this.members(nowMs)
    if (this.#reachable === undefined || nowMs >= this.#reachable.untilMs) {
      let untilMs = Number.POSITIVE_INFINITY
      const resting = new Set<string>()
      for (const [name, failure] of this.#failures) {
        if (failure.untilMs <= nowMs) continue
        resting.add(name)
        untilMs = Math.min(untilMs, failure.untilMs)
      }
      const ids = resting.size === 0 ? members : members.filter((id) => !resting.has(keyOf(id)))
      this.#reachable = { ids, untilMs }
    }
    return this.#reachable.ids
  }

  /** Whether a node may be tried: it is not resting after a failure. */
  isReachable(id: NodeId, nowMs: number): boolean {
    const failure = this.#failures.get(keyOf(id))
    return failure === undefined || failure.untilMs <= nowMs
  }

  /** A node could not be reached: it rests for 5 s, doubling with each failure to 10 min. */
  markFailed(id: NodeId, nowMs: number): void {
    const name = keyOf(id)
    if (!this.#entries.has(name)) return
    const before = this.#failures.get(name)
    // Attempts that were under way together count as one.
    if (before !== undefined && nowMs < before.untilMs) return
    const count = (before?.count ?? 0) + 1
    const restMs = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** (count - 1))
    this.#failures.set(name, { count, untilMs: nowMs + restMs })
    this.#reachable = undefined
    this.#version++
  }

  markAlive(id: NodeId): void {
    if (!this.#failures.delete(keyOf(id))) return
    this.#reachable = undefined
    this.#version++
  }

  /**
   * The descriptors whose ids begin with byte `arc`, sorted by id. The same list is returned until
   * the arc changes. Expired ones may be among them until expire() is called.
   */
  arc(arc: number): readonly Descriptor[] {
    const known = this.#arcs[arc]
    if (known !== undefined) return known
    const list = Array.from(this.#arcIds[arc] as Set<string>, (name) => (this.#entries.get(name) as Entry).descriptor)
    list.sort((a, b) => compareBytes(a.id, b.id))
    this.#arcs[arc] = list
    return list
  }

  /**
   * What outlives the process: u8 version 1, u32 count, then for each: first seen u64, descriptor
   * with its u16 length.
   */
  toBytes(): Uint8Array {
    const writer = new ByteWriter(5 + this.#entries.size * (10 + DESCRIPTOR_SIZE_MAX))
    writer.u8(SAVED_VERSION).u32(this.#entries.size)
    for (const entry of this.#entries.values()) {
      writer.u64(entry.firstSeenMs).bytes16(encodeDescriptor(entry.descriptor))
    }
    return writer.done().slice()
  }

  /** The view saved by toBytes(), or undefined when the bytes are damaged. Nothing is verified anew. */
  static fromBytes(bytes: Uint8Array, options: { readonly profile: Profile }): View | undefined {
    const view = new View(options)
    try {
      const reader = new ByteReader(bytes, 'saved view')
      if (reader.u8() !== SAVED_VERSION) return undefined
      const count = reader.u32()
      if (count > MEMBERS_MAX) return undefined
      for (let i = 0; i < count; i++) {
        const firstSeenMs = reader.u64()
        const descriptor = decodeDescriptor(reader.bytes16(DESCRIPTOR_SIZE_MAX))
        if (view.byKey(descriptor.publicKey) !== undefined || view.get(descriptor.id) !== undefined) return undefined
        view.#set(keyOf(descriptor.id), { descriptor, firstSeenMs })
      }
      reader.end()
    } catch (error) {
      if (error instanceof MalformedError) return undefined
      throw error
    }
    return view
  }

  #set(name: string, entry: Entry): void {
    const { descriptor } = entry
    const before = this.#entries.get(name)
    this.#entries.set(name, entry)
    this.#ofKey.set(keyOf(descriptor.publicKey), name)
    this.#nextExpiryMs = Math.min(this.#nextExpiryMs, descriptor.issuedMs + this.#lifetimeMs)
    const arc = descriptor.id[0] as number
    ;(this.#arcIds[arc] as Set<string>).add(name)
    this.#arcs[arc] = undefined
    this.#changed(isMember(descriptor) !== (before !== undefined && isMember(before.descriptor)))
  }

  #remove(name: string, { descriptor }: Entry): void {
    this.#entries.delete(name)
    this.#failures.delete(name)
    const key = keyOf(descriptor.publicKey)
    if (this.#ofKey.get(key) === name) this.#ofKey.delete(key)
    const arc = descriptor.id[0] as number
    ;(this.#arcIds[arc] as Set<string>).delete(name)
    this.#arcs[arc] = undefined
    this.#changed(isMember(descriptor))
  }

  #changed(membership: boolean): void {
    this.#version++
    if (!membership) return
    this.#members = undefined
    this.#reachable = undefined
  }
}

function isMember(descriptor: Descriptor): boolean {
  return descriptor.roles.keeper && !descriptor.roles.leaving
}
