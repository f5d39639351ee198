/**
 * What a keeper asks of its disk. SPEC shard-store §1-§4. Every maker passes test/contract/shard-store.ts.
 * Contents are SHARD_SIZE bytes each, kept until their lease ends; times are Unix milliseconds.
 */
import { type Location, MalformedError, SHARD_SIZE } from '../../core/index.ts'
import { type ContentRef, decodeContentRef, encodeContentRef, locationOf } from '../content-ref.ts'

export interface StoredShard {
  readonly ref: ContentRef
  readonly leaseEndMs: number
}

export interface StoreUsage {
  readonly bytes: number
  readonly count: number
  readonly quotaBytes: number
  /** Contents found damaged and dropped since the store was opened. */
  readonly corrupt: number
}

export interface ShardStore {
  /**
   * Resolves with 'stored' once the content would survive a crash. The bytes were verified by the caller,
   * and are not to change until then (memory: ever). What is held already stays as it is and its lease is
   * prolonged if the new one is longer. 'full': quota or disk; nothing was stored.
   */
  put(shard: { ref: ContentRef; bytes: Uint8Array; leaseEndMs: number }): Promise<'stored' | 'full'>
  /** The bytes, verified and the caller's own; a damaged content is dropped, counted, told, and undefined. */
  get(ref: ContentRef): Uint8Array | undefined
  /** Whether the content is listed; the bytes are not looked at. */
  has(ref: ContentRef): boolean
  leaseEnd(ref: ContentRef): number | undefined
  /** Whether it was held. Gone at once for readers; a crash soon after may bring it back. */
  delete(ref: ContentRef): boolean
  /** Prolongs a lease, never shortens it; true once that would survive a crash, false when nothing is held. */
  renew(ref: ContentRef, leaseEndMs: number): Promise<boolean>
  /**
   * What lies on the arc after `from` up to and including `to`, clockwise from `from`, past zero if need be;
   * the whole ring when they are equal or absent. `after`: goes on behind this content of the arc, held still or not.
   */
  list(range: ArcRange): readonly StoredShard[]
  /** Deletes at most `limit` contents whose lease ended at or before `nowMs`; how many. */
  expire(nowMs: number, limit: number): number
  usage(): StoreUsage
  /** Waits for writes in work; closes the cache too. Nothing may be called after. */
  close(): Promise<void>
}

export interface ArcRange {
  readonly from?: Location
  readonly to?: Location
  readonly after?: ContentRef
  readonly limit: number
}

/** Contents that passed by; may forget any of them at any time. */
export interface ShardCache {
  /** Without waiting for the disk; dropped when the cache is off or busy. The bytes must not change any more. */
  put(ref: ContentRef, bytes: Uint8Array): void
  /** As ShardStore.get. */
  get(ref: ContentRef): Uint8Array | undefined
  usage(): { readonly bytes: number; readonly count: number; readonly sizeMaxBytes: number }
}

export interface ShardStores {
  readonly store: ShardStore
  readonly cache: ShardCache
}

// --- order of contents, common to the makers. SPEC shard-store §2 -------------------------------------

/** location 32, then the content reference 34: sorting keys sorts by location. */
export const STORE_KEY_SIZE = 66

export function storeKey(ref: ContentRef): Uint8Array {
  const key = new Uint8Array(STORE_KEY_SIZE)
  key.set(locationOf(ref))
  key.set(encodeContentRef(ref), 32)
  return key
}

/** The reference that a key from the disk stands for, or undefined when it is no key of a content. */
export function refOfKey(key: Uint8Array): ContentRef | undefined {
  try {
    const ref = decodeContentRef(key.subarray(32))
    return compareKeys(storeKey(ref), key) === 0 ? ref : undefined
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
}

/** Keys above `above` and not above `upTo`, both of any length, in byte order. */
export interface KeySpan {
  readonly above: Uint8Array
  readonly upTo: Uint8Array
}

const LOWEST = new Uint8Array(0)
const HIGHEST = new Uint8Array(33).fill(0xff)

/** The one or two runs of keys that an arc is, in clockwise order. */
export function keySpans({ from, to, after }: ArcRange): readonly KeySpan[] {
  const start = from === undefined ? LOWEST : endOf(from)
  const end = to === undefined ? HIGHEST : endOf(to)
  const isWhole = from !== undefined && to !== undefined && compareKeys(start, end) === 0
  const wraps = isWhole || compareKeys(start, end) > 0
  const spans = wraps
    ? [
        { above: start, upTo: HIGHEST },
        { above: LOWEST, upTo: end },
      ]
    : [{ above: start, upTo: end }]
  if (after === undefined) return spans
  const key = storeKey(after)
  const reached = spans.findIndex(({ above, upTo }) => compareKeys(key, above) > 0 && compareKeys(key, upTo) <= 0)
  return reached < 0 ? [] : spans.slice(reached).map((span, at) => (at === 0 ? { above: key, upTo: span.upTo } : span))
}

/** Above every key at this location, below the next location's. */
function endOf(location: Location): Uint8Array {
  const end = new Uint8Array(33).fill(0xff)
  end.set(location)
  return end
}

export function compareKeys(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length)
  for (let i = 0; i < shared; i++) {
    const difference = (a[i] as number) - (b[i] as number)
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

/** Contents that a quota or a cache has room for. */
export function countFitting(sizeBytes: number): number {
  return Math.floor(sizeBytes / SHARD_SIZE)
}
