/**
 * A machine's disk: what the production store promises (storage/shard-store/port.ts) over memory, with what
 * a crash does to it. Writes become durable in order, some milliseconds later; a crash loses the tail of
 * those that are under way, and brings back what was deleted a moment ago. Bits rot, and a disk can be full.
 */
import type { RecordStore, StateStore, StoredRecord } from '../core/index.ts'
import {
  type ArcRange,
  type ContentRef,
  contentRefKey,
  openMemoryRecords,
  openMemoryStore,
  PointerStore,
  type ShardCache,
  type ShardStore,
  type StoredShard,
  type StoreUsage,
  verifyContent,
} from '../storage/index.ts'
import type { Chance } from './chance.ts'
import type { Life } from './clock.ts'
import type { World } from './world.ts'

interface Durable {
  readonly ref: ContentRef
  bytes: Uint8Array
  leaseEndMs: number
}

type Change = { readonly key: string; readonly held: Durable | undefined; readonly done?: () => void }

export class SimDisk {
  readonly quotaBytes: number
  /** Nothing can be written now: ENOSPC. */
  isFull = false
  flushMs = 5
  /** Whether what passes through is kept in memory for others. */
  hasCache = true
  /** Told of each content that the process lets go of, before it is gone; not of leases that end. */
  onDelete: (ref: ContentRef) => void = () => {}
  readonly #world: World
  readonly #chance: Chance
  readonly #durable = new Map<string, Durable>()
  #journal: Change[] = []
  #isFlushing = false
  readonly #values = new Map<string, Uint8Array>()
  readonly #records = openMemoryRecords()
  #pointers: PointerStore | undefined
  readonly #rotten = new Set<string>()
  #store: ReturnType<typeof openMemoryStore> | undefined

  constructor(world: World, chance: Chance, quotaBytes: number) {
    this.#world = world
    this.#chance = chance
    this.quotaBytes = quotaBytes
  }

  /** What would be there after a crash right now. `key` is the content's, for who asks many disks for one. */
  holds(ref: ContentRef, key = contentRefKey(ref)): boolean {
    return this.#durable.has(key)
  }
  /** As `holds`, with what the process that runs has taken and the disk has not yet. */
  keeps(ref: ContentRef, key = contentRefKey(ref)): boolean {
    return this.holds(ref, key) || this.#store?.store.has(ref) === true
  }
  get heldCount(): number {
    return this.#durable.size
  }
  /** contentRefKey of each. */
  keys(): IterableIterator<string> {
    return this.#durable.keys()
  }
  /** Contents that are not what their name says, although no bit rotted: never to be stored. */
  falseRefs(): ContentRef[] {
    const wrong = [...this.#durable.values()].filter(({ ref, bytes }) => !verifyContent(ref, bytes))
    return wrong.map(({ ref }) => ref).filter((ref) => !this.hasRotted(ref))
  }
  hasRotted(ref: ContentRef): boolean {
    return this.#rotten.has(contentRefKey(ref))
  }
  /** Records that would be there after a crash right now, by the first bytes of their key. */
  storedRecords(prefix: Uint8Array): readonly StoredRecord[] {
    return this.#records.list(prefix)
  }
  refs(): ContentRef[] {
    return [...this.#durable.values()].map(({ ref }) => ref)
  }

  /** The stores as a process finds them at its start. */
  open(life: Life, cacheBytes: number): { store: ShardStore; cache: ShardCache } {
    const live = openMemoryStore({ quotaBytes: this.quotaBytes, cacheBytes })
    this.#store = live
    for (const { ref, bytes, leaseEndMs } of this.#durable.values()) void live.store.put({ ref, bytes, leaseEndMs })
    const cache: ShardCache = {
      get: (ref) => (this.hasCache ? live.cache.get(ref) : undefined),
      put: (ref, bytes) => {
        if (this.hasCache) live.cache.put(ref, bytes)
      },
      usage: () => live.cache.usage(),
    }
    return { store: new SimStore(this, live.store, life), cache }
  }

  state(life: Life): StateStore {
    return {
      get: (key) => this.#values.get(key),
      put: async (key, value) => {
        const kept = value.slice()
        await this.#world.sleep(this.flushMs)
        if (life.isOver) return new Promise(() => {})
        this.#values.set(key, kept)
      },
    }
  }

  /** A write that a crash meets is lost as a whole. */
  records(life: Life): RecordStore {
    return {
      list: (prefix, limit) => this.#records.list(prefix, limit),
      get: (key) => this.#records.get(key),
      range: (span, limit) => this.#records.range(span, limit),
      write: async (changes) => {
        const kept = changes.map(({ key, value }) => ({ key: key.slice(), value: value?.slice() }))
        await this.#world.sleep(this.flushMs)
        if (life.isOver) return new Promise(() => {})
        await this.#records.write(kept)
      },
    }
  }

  /** Whatever it points to that would be there after a crash right now, lease or not. */
  get pointers(): PointerStore {
    this.#pointers ??= new PointerStore(this.#records)
    return this.#pointers
  }

  /** Written behind, in order; `done` is called once it would survive a crash. */
  write(change: Change): void {
    this.#journal.push(change)
    if (this.#isFlushing) return
    this.#isFlushing = true
    this.#world.after(this.flushMs * this.#chance.between(0.5, 2), () => this.#flush())
  }

  #flush(): void {
    this.#isFlushing = false
    const flushed = this.#journal
    this.#journal = []
    for (const change of flushed) this.#apply(change)
    for (const { done } of flushed) done?.()
  }

  #apply({ key, held }: Change): void {
    if (held === undefined) this.#durable.delete(key)
    else this.#durable.set(key, held)
  }

  /** The process or the machine went down: a first part of what was under way has reached the disk. */
  crash(): void {
    const reached = this.#chance.below(this.#journal.length + 1)
    for (const change of this.#journal.slice(0, reached)) this.#apply(change)
    this.#journal = []
    this.#store = undefined
  }

  /** Flips one bit of one stored content, unseen. False when nothing is stored. */
  async rot(): Promise<boolean> {
    const all = [...this.#durable.values()]
    const held = all[this.#chance.below(Math.max(1, all.length))]
    if (held === undefined) return false
    const bytes = held.bytes.slice()
    const at = this.#chance.below(bytes.length)
    bytes[at] = (bytes[at] as number) ^ (1 << this.#chance.below(8))
    held.bytes = bytes
    this.#rotten.add(contentRefKey(held.ref))
    const live = this.#store?.store
    if (live?.delete(held.ref) === true) {
      await live.put({ ref: held.ref, bytes, leaseEndMs: held.leaseEndMs })
    }
    return true
  }
}

/** Reads see a write at once, as readers of the process that wrote do; its promise waits for the disk. */
class SimStore implements ShardStore {
  readonly #disk: SimDisk
  readonly #live: ShardStore
  readonly #life: Life

  constructor(disk: SimDisk, live: ShardStore, life: Life) {
    this.#disk = disk
    this.#live = live
    this.#life = life
  }

  async put(shard: { ref: ContentRef; bytes: Uint8Array; leaseEndMs: number }): Promise<'stored' | 'full'> {
    if (this.#life.isOver) return new Promise(() => {})
    if (this.#disk.isFull && !this.#live.has(shard.ref)) return 'full'
    const result = await this.#live.put(shard)
    if (result === 'full') return 'full'
    const leaseEndMs = this.#live.leaseEnd(shard.ref) ?? shard.leaseEndMs
    await this.#written({ key: contentRefKey(shard.ref), held: { ...shard, leaseEndMs } })
    return 'stored'
  }
  get(ref: ContentRef): Uint8Array | undefined {
    return this.#live.get(ref)
  }
  has(ref: ContentRef): boolean {
    return this.#live.has(ref)
  }
  leaseEnd(ref: ContentRef): number | undefined {
    return this.#live.leaseEnd(ref)
  }
  delete(ref: ContentRef): boolean {
    if (this.#life.isOver) return false
    this.#disk.onDelete(ref)
    return this.#remove(ref)
  }
  async renew(ref: ContentRef, leaseEndMs: number): Promise<boolean> {
    if (this.#life.isOver || !(await this.#live.renew(ref, leaseEndMs))) return false
    const bytes = this.#live.get(ref)
    if (bytes === undefined) return false
    const longest = this.#live.leaseEnd(ref) ?? leaseEndMs
    await this.#written({ key: contentRefKey(ref), held: { ref, bytes, leaseEndMs: longest } })
    return true
  }
  list(range: ArcRange): readonly StoredShard[] {
    return this.#live.list(range)
  }
  expire(nowMs: number, limit: number): number {
    const over = this.#live.list({ limit: Number.MAX_SAFE_INTEGER }).filter(({ leaseEndMs }) => leaseEndMs <= nowMs)
    const dropped = over.slice(0, limit)
    for (const { ref } of dropped) this.#remove(ref)
    return dropped.length
  }
  usage(): StoreUsage {
    return this.#live.usage()
  }
  close(): Promise<void> {
    return Promise.resolve()
  }

  #remove(ref: ContentRef): boolean {
    this.#disk.write({ key: contentRefKey(ref), held: undefined })
    return this.#live.delete(ref)
  }

  #written(change: Omit<Change, 'done'>): Promise<void> {
    return new Promise((resolve) => {
      this.#disk.write({
        ...change,
        done: () => {
          if (!this.#life.isOver) resolve()
        },
      })
    })
  }
}
