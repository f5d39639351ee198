/**
 * A shard store in memory, for the simulator and for tests: the same promises, except that nothing outlives
 * the process. SPEC shard-store §1. It keeps the bytes it is given, not a copy.
 */
import { assert, SHARD_SIZE } from '../../core/index.ts'
import { type ContentRef, contentRefKey, verifyContent } from '../content-ref.ts'
import {
  type ArcRange,
  compareKeys,
  countFitting,
  keySpans,
  type ShardCache,
  type ShardStore,
  type ShardStores,
  type StoredShard,
  type StoreUsage,
  storeKey,
} from './port.ts'

export interface MemoryStoreOptions {
  readonly quotaBytes: number
  readonly cacheBytes?: number
  readonly onCorrupt?: (ref: ContentRef) => void
}

export function openMemoryStore(options: MemoryStoreOptions): ShardStores {
  const onCorrupt = options.onCorrupt ?? (() => undefined)
  return {
    store: new MemoryStore(options.quotaBytes, onCorrupt),
    cache: new MemoryCache(options.cacheBytes ?? 0, onCorrupt),
  }
}

interface Held {
  readonly ref: ContentRef
  readonly key: Uint8Array
  readonly bytes: Uint8Array
  leaseEndMs: number
}

class MemoryStore implements ShardStore {
  readonly #quotaBytes: number
  readonly #onCorrupt: (ref: ContentRef) => void
  readonly #held = new Map<string, Held>()
  /** By key; made anew after changes, when first listed. */
  #sorted: readonly Held[] | undefined
  #corrupt = 0

  constructor(quotaBytes: number, onCorrupt: (ref: ContentRef) => void) {
    this.#quotaBytes = quotaBytes
    this.#onCorrupt = onCorrupt
  }

  async put(shard: { ref: ContentRef; bytes: Uint8Array; leaseEndMs: number }): Promise<'stored' | 'full'> {
    const { ref, bytes, leaseEndMs } = shard
    assert(bytes.length === SHARD_SIZE, 'a stored content has its one size')
    if (this.get(ref) !== undefined) {
      await this.renew(ref, leaseEndMs)
      return 'stored'
    }
    if (this.#held.size >= countFitting(this.#quotaBytes)) return 'full'
    this.#held.set(contentRefKey(ref), { ref, key: storeKey(ref), bytes, leaseEndMs })
    this.#sorted = undefined
    return 'stored'
  }

  get(ref: ContentRef): Uint8Array | undefined {
    const held = this.#held.get(contentRefKey(ref))
    if (held === undefined) return undefined
    if (verifyContent(ref, held.bytes)) return new Uint8Array(held.bytes)
    this.delete(ref)
    this.#corrupt += 1
    this.#onCorrupt(ref)
    return undefined
  }

  has(ref: ContentRef): boolean {
    return this.#held.has(contentRefKey(ref))
  }

  leaseEnd(ref: ContentRef): number | undefined {
    return this.#held.get(contentRefKey(ref))?.leaseEndMs
  }

  delete(ref: ContentRef): boolean {
    this.#sorted = undefined
    return this.#held.delete(contentRefKey(ref))
  }

  async renew(ref: ContentRef, leaseEndMs: number): Promise<boolean> {
    const held = this.#held.get(contentRefKey(ref))
    if (held === undefined) return false
    held.leaseEndMs = Math.max(held.leaseEndMs, leaseEndMs)
    return true
  }

  list(range: ArcRange): readonly StoredShard[] {
    this.#sorted ??= [...this.#held.values()].sort((a, b) => compareKeys(a.key, b.key))
    const listed: StoredShard[] = []
    for (const { above, upTo } of keySpans(range)) {
      for (const { key, ref, leaseEndMs } of this.#sorted) {
        if (listed.length >= range.limit) return listed
        if (compareKeys(key, above) > 0 && compareKeys(key, upTo) <= 0) listed.push({ ref, leaseEndMs })
      }
    }
    return listed
  }

  expire(nowMs: number, limit: number): number {
    const over = [...this.#held.values()].filter((held) => held.leaseEndMs <= nowMs)
    over.sort((a, b) => a.leaseEndMs - b.leaseEndMs)
    const dropped = over.slice(0, limit)
    for (const { ref } of dropped) this.delete(ref)
    return dropped.length
  }

  usage(): StoreUsage {
    const count = this.#held.size
    return { bytes: count * SHARD_SIZE, count, quotaBytes: this.#quotaBytes, corrupt: this.#corrupt }
  }

  async close(): Promise<void> {
    this.#held.clear()
    this.#sorted = undefined
  }
}

/** A Map remembers the order of setting: the first is the least recently used. */
class MemoryCache implements ShardCache {
  readonly #sizeMaxBytes: number
  readonly #onCorrupt: (ref: ContentRef) => void
  readonly #held = new Map<string, Uint8Array>()

  constructor(sizeMaxBytes: number, onCorrupt: (ref: ContentRef) => void) {
    this.#sizeMaxBytes = sizeMaxBytes
    this.#onCorrupt = onCorrupt
  }

  put(ref: ContentRef, bytes: Uint8Array): void {
    assert(bytes.length === SHARD_SIZE, 'a stored content has its one size')
    const key = contentRefKey(ref)
    this.#held.delete(key)
    this.#held.set(key, bytes)
    while (this.#held.size > countFitting(this.#sizeMaxBytes)) {
      const [oldest] = this.#held.keys()
      this.#held.delete(oldest ?? key)
    }
  }

  get(ref: ContentRef): Uint8Array | undefined {
    const key = contentRefKey(ref)
    const bytes = this.#held.get(key)
    if (bytes === undefined) return undefined
    this.#held.delete(key)
    if (!verifyContent(ref, bytes)) {
      this.#onCorrupt(ref)
      return undefined
    }
    this.#held.set(key, bytes)
    return new Uint8Array(bytes)
  }

  usage(): { bytes: number; count: number; sizeMaxBytes: number } {
    const count = this.#held.size
    return { bytes: count * SHARD_SIZE, count, sizeMaxBytes: this.#sizeMaxBytes }
  }
}
