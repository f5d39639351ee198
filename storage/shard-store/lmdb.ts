/**
 * The shard store on disk. SPEC shard-store §2-§4. One LMDB environment, five sub-databases; other processes
 * may open it too. The records of one content are written in one batch and stand or fall together; lmdb-js
 * gathers batches into transactions. 'stored' waits for db.flushed, since a commit alone is not on disk.
 * Removals are queued like writes and hidden from readers until committed: the event loop never waits.
 *
 *   sub-database   key                                  value
 *   index          location 32 ‖ content reference 34   lease end, u64
 *   bytes          the same                             the content
 *   leases         lease end u64 ‖ the same             one zero byte
 *   cache          as index                             the content
 *   meta           "format"                             version, u8
 */
import { type Database, open } from 'lmdb'
import { assert, concatBytes, fromUtf8, SHARD_SIZE } from '../../core/index.ts'
import { type ContentRef, verifyContent } from '../content-ref.ts'
import { ShardStoreError } from '../errors.ts'
import { type Environment, isDiskFull, Writes } from './lmdb-writes.ts'
import {
  type ArcRange,
  countFitting,
  keySpans,
  refOfKey,
  type ShardCache,
  type ShardStore,
  type ShardStores,
  STORE_KEY_SIZE,
  type StoredShard,
  type StoreUsage,
  storeKey,
} from './port.ts'

export interface LmdbStoreOptions {
  /** A folder, made if need be. */
  readonly path: string
  readonly quotaBytes: number
  readonly cacheBytes: number
  readonly onCorrupt?: (ref: ContentRef) => void
  /** Waited for after each commit, so that writes gather for the next. */
  readonly pause?: () => Promise<void>
}

type Records = Database<Uint8Array, Uint8Array>

const FORMAT_VERSION = 1
/** Address space reserved at the start beyond what the contents take; LMDB grows the map when it must. */
const MAP_SLACK_BYTES = 64 * 1024 * 1024
/** Cache writes on their way to the disk; more are dropped. 2 MiB. */
const CACHE_WRITES_MAX = 32
const LEASE_SIZE = 8
/** Other processes may put as well: the count is taken anew after so many puts. */
const COUNT_EVERY_PUTS = 64
const ZERO = new Uint8Array(1)

/** Throws ERR_SHARD_STORE. */
export function openLmdbStore(options: LmdbStoreOptions): ShardStores {
  const onCorrupt = options.onCorrupt ?? (() => undefined)
  try {
    const env = open<Uint8Array, Uint8Array>({
      path: options.path,
      noSubdir: false,
      encoding: 'binary',
      keyEncoding: 'binary',
      // Batches are told apart: the promise of a turn's own batch would fail unseen when the disk is full.
      eventTurnBatching: false,
      maxDbs: 8,
      mapSize: Math.ceil((1.125 * (options.quotaBytes + options.cacheBytes) + MAP_SLACK_BYTES) / 65_536) * 65_536,
    })
    checkFormat(env)
    const writes = new Writes(env, options.pause ?? (() => Promise.resolve()))
    const cache = new LmdbCache({ env, writes }, options.cacheBytes, onCorrupt)
    return { store: new LmdbStore({ env, writes }, options.quotaBytes, onCorrupt), cache }
  } catch (error) {
    throw error instanceof ShardStoreError ? error : new ShardStoreError('cannot be opened', error)
  }
}

function subDatabase(env: Environment, name: string): Records {
  return env.openDB<Uint8Array, Uint8Array>({ name, encoding: 'binary', keyEncoding: 'binary' })
}

function checkFormat(env: Environment): void {
  const meta = subDatabase(env, 'meta')
  const key = fromUtf8('format')
  const version = meta.get(key)?.[0]
  if (version === undefined) meta.putSync(key, Uint8Array.of(FORMAT_VERSION))
  else if (version !== FORMAT_VERSION) {
    throw new ShardStoreError('was written by another version of this program', undefined)
  }
}

interface Removal {
  readonly key: Uint8Array
}

class LmdbStore implements ShardStore {
  readonly #env: Environment
  readonly #writes: Writes
  readonly #index: Records
  readonly #bytes: Records
  readonly #leases: Records
  readonly #quotaBytes: number
  readonly #onCorrupt: (ref: ContentRef) => void
  /** The last removal of each key that is queued and not yet known to be committed. */
  readonly #gone = new Map<string, Removal>()
  /** Puts whose commit is awaited. */
  #writing = 0
  #corrupt = 0
  /** The contents when they were last counted, and those put since. */
  #counted = Number.POSITIVE_INFINITY
  #putSince = 0

  constructor(
    { env, writes }: { env: Environment; writes: Writes },
    quotaBytes: number,
    onCorrupt: (ref: ContentRef) => void,
  ) {
    this.#env = env
    this.#writes = writes
    this.#index = subDatabase(env, 'index')
    this.#bytes = subDatabase(env, 'bytes')
    this.#leases = subDatabase(env, 'leases')
    this.#quotaBytes = quotaBytes
    this.#onCorrupt = onCorrupt
  }

  async put(shard: { ref: ContentRef; bytes: Uint8Array; leaseEndMs: number }): Promise<'stored' | 'full'> {
    const { ref, bytes, leaseEndMs } = shard
    assert(bytes.length === SHARD_SIZE, 'a stored content has its one size')
    if (this.has(ref) && this.get(ref) !== undefined) {
      const outcome = await this.#prolong(storeKey(ref), leaseEndMs)
      if (outcome !== 'absent') return outcome === 'full' ? 'full' : 'stored'
    }
    if (this.#isFull()) return 'full'
    const key = storeKey(ref)
    const lease = encodeLease(leaseEndMs)
    this.#writing += 1
    this.#putSince += 1
    try {
      this.#gone.delete(nameOf(key))
      await this.#writes.commit(() => {
        this.#bytes.put(key, bytes)
        this.#index.put(key, lease)
        this.#leases.put(concatBytes(lease, key), ZERO)
      })
    } catch (error) {
      if (isDiskFull(error)) return 'full'
      throw new ShardStoreError('a write failed', error)
    } finally {
      this.#writing -= 1
    }
    if (!(await this.#flush())) return 'full'
    return 'stored'
  }

  get(ref: ContentRef): Uint8Array | undefined {
    const key = storeKey(ref)
    if (this.#gone.has(nameOf(key))) return undefined
    const bytes = this.#bytes.getBinary(key)
    if (bytes !== undefined && verifyContent(ref, bytes)) return plainBytes(bytes)
    if (bytes === undefined && !this.#index.doesExist(key)) return undefined
    this.delete(ref)
    this.#corrupt += 1
    this.#onCorrupt(ref)
    return undefined
  }

  has(ref: ContentRef): boolean {
    return this.leaseEnd(ref) !== undefined
  }

  leaseEnd(ref: ContentRef): number | undefined {
    return this.#leaseOf(storeKey(ref))
  }

  delete(ref: ContentRef): boolean {
    const key = storeKey(ref)
    const leaseEndMs = this.#leaseOf(key)
    if (this.#gone.has(nameOf(key))) return false
    this.#remove(key, leaseEndMs)
    return leaseEndMs !== undefined
  }

  async renew(ref: ContentRef, leaseEndMs: number): Promise<boolean> {
    const outcome = await this.#prolong(storeKey(ref), leaseEndMs)
    if (outcome === 'full') throw new ShardStoreError('the disk is full', undefined)
    return outcome === 'prolonged'
  }

  list(range: ArcRange): readonly StoredShard[] {
    const listed: StoredShard[] = []
    for (const { above, upTo } of keySpans(range)) {
      const span = { start: above, end: upTo, exclusiveStart: true, inclusiveEnd: true }
      for (const { key, value } of this.#index.getRange(span)) {
        if (listed.length >= range.limit) return listed
        if (this.#gone.has(nameOf(key))) continue
        const ref = refOfKey(key)
        if (ref === undefined) this.#dropDamaged(key)
        else listed.push({ ref, leaseEndMs: decodeLease(value) })
      }
    }
    return listed
  }

  expire(nowMs: number, limit: number): number {
    const over = [
      ...this.#leases.getKeys({ start: encodeLease(0), end: encodeLease(nowMs + 1), limit: limit + this.#gone.size }),
    ]
    let count = 0
    for (const entry of over) {
      if (count >= limit) break
      const key = new Uint8Array(entry.subarray(LEASE_SIZE))
      if (this.#gone.has(nameOf(key))) continue
      const leaseEndMs = decodeLease(entry)
      if (key.length === STORE_KEY_SIZE && this.#leaseOf(key) === leaseEndMs) {
        this.#remove(key, leaseEndMs)
        count += 1
      } else {
        // Two renewals that crossed left it behind, or it is damaged.
        const left = new Uint8Array(entry)
        this.#writes.commit(() => this.#leases.remove(left)).catch(() => undefined)
      }
    }
    return count
  }

  usage(): StoreUsage {
    const count = this.#count()
    return { bytes: count * SHARD_SIZE, count, quotaBytes: this.#quotaBytes, corrupt: this.#corrupt }
  }

  async close(): Promise<void> {
    await this.#writes.settled()
    await this.#flush()
    if (!this.#writes.hasFailed) await this.#env.close()
  }

  /** Answers once the lease is on disk. */
  async #prolong(key: Uint8Array, leaseEndMs: number): Promise<'prolonged' | 'absent' | 'full'> {
    const heldMs = this.#leaseOf(key)
    if (heldMs === undefined) return 'absent'
    if (leaseEndMs > heldMs) {
      const lease = encodeLease(leaseEndMs)
      try {
        await this.#writes.commit(() => {
          this.#index.put(key, lease)
          this.#leases.put(concatBytes(lease, key), ZERO)
          this.#leases.remove(concatBytes(encodeLease(heldMs), key))
        })
      } catch (error) {
        if (isDiskFull(error)) return 'full'
        throw new ShardStoreError('a lease could not be written', error)
      }
    }
    return (await this.#flush()) ? 'prolonged' : 'full'
  }

  /** Counting asks LMDB for all its figures: from time to time, and for certain before the answer is yes. */
  #isFull(): boolean {
    const countMax = countFitting(this.#quotaBytes)
    if (this.#putSince < COUNT_EVERY_PUTS && this.#counted + this.#putSince < countMax) return false
    this.#counted = this.#count()
    this.#putSince = this.#writing
    return this.#counted + this.#writing >= countMax
  }

  #count(): number {
    let { entryCount } = this.#index.getStats() as { readonly entryCount: number }
    for (const { key } of this.#gone.values()) if (this.#index.doesExist(key)) entryCount -= 1
    return entryCount
  }

  #leaseOf(key: Uint8Array): number | undefined {
    if (this.#gone.has(nameOf(key))) return undefined
    const value = this.#index.getBinary(key)
    return value === undefined ? undefined : decodeLease(value)
  }

  #remove(key: Uint8Array, leaseEndMs: number | undefined): void {
    const name = nameOf(key)
    const removal = { key }
    this.#gone.set(name, removal)
    const removed = this.#writes.commit(() => {
      this.#index.remove(key)
      this.#bytes.remove(key)
      if (leaseEndMs !== undefined) this.#leases.remove(concatBytes(encodeLease(leaseEndMs), key))
    })
    // A removal that fails leaves the content; it will be found again, expired or damaged.
    removed
      .catch(() => undefined)
      .finally(() => {
        if (this.#gone.get(name) === removal) this.#gone.delete(name)
      })
  }

  /** A record under what is no key of a content: it could be neither asked for nor expire. */
  #dropDamaged(key: Uint8Array): void {
    this.#corrupt += 1
    this.#remove(new Uint8Array(key), undefined)
  }

  /** Whether everything committed so far is on disk; false when the disk is full. */
  async #flush(): Promise<boolean> {
    try {
      return await this.#writes.flush()
    } catch (error) {
      if (isDiskFull(error)) return false
      throw new ShardStoreError('the disk did not take a write', error)
    }
  }
}

/** The order of use is held in memory, about 300 bytes for each content; after a start it is that of the keys. */
class LmdbCache implements ShardCache {
  readonly #writes: Writes
  readonly #records: Records
  readonly #sizeMaxBytes: number
  readonly #onCorrupt: (ref: ContentRef) => void
  /** The least recently used first. */
  readonly #used = new Map<string, Uint8Array>()
  /** Contents on their way to the disk. */
  readonly #writing = new Map<string, Uint8Array>()

  constructor(
    { env, writes }: { env: Environment; writes: Writes },
    sizeMaxBytes: number,
    onCorrupt: (ref: ContentRef) => void,
  ) {
    this.#writes = writes
    this.#records = subDatabase(env, 'cache')
    this.#sizeMaxBytes = sizeMaxBytes
    this.#onCorrupt = onCorrupt
    for (const key of this.#records.getKeys({ start: new Uint8Array(1) })) {
      const kept = new Uint8Array(key)
      this.#used.set(nameOf(kept), kept)
    }
    this.#evict()
  }

  put(ref: ContentRef, bytes: Uint8Array): void {
    assert(bytes.length === SHARD_SIZE, 'a stored content has its one size')
    const key = storeKey(ref)
    const name = nameOf(key)
    if (this.#used.delete(name)) {
      this.#used.set(name, key)
      return
    }
    if (countFitting(this.#sizeMaxBytes) === 0 || this.#writing.size >= CACHE_WRITES_MAX) return
    this.#used.set(name, key)
    this.#evict()
    this.#writing.set(name, bytes)
    this.#writes
      .commit(() => this.#records.put(key, bytes))
      .catch(() => this.#used.delete(name))
      .finally(() => this.#writing.delete(name))
  }

  get(ref: ContentRef): Uint8Array | undefined {
    const key = storeKey(ref)
    const name = nameOf(key)
    if (!this.#used.delete(name)) return undefined
    const written = this.#writing.get(name)
    const bytes = written === undefined ? this.#records.getBinary(key) : new Uint8Array(written)
    if (bytes !== undefined && verifyContent(ref, bytes)) {
      this.#used.set(name, key)
      return plainBytes(bytes)
    }
    this.#forget(key)
    if (bytes !== undefined) this.#onCorrupt(ref)
    return undefined
  }

  usage(): { bytes: number; count: number; sizeMaxBytes: number } {
    const count = this.#used.size
    return { bytes: count * SHARD_SIZE, count, sizeMaxBytes: this.#sizeMaxBytes }
  }

  #forget(key: Uint8Array): void {
    this.#writes.commit(() => this.#records.remove(key)).catch(() => undefined)
  }

  #evict(): void {
    for (const [name, key] of this.#used) {
      if (this.#used.size <= countFitting(this.#sizeMaxBytes)) return
      this.#used.delete(name)
      this.#forget(key)
    }
  }
}

function encodeLease(leaseEndMs: number): Uint8Array {
  const bytes = new Uint8Array(LEASE_SIZE)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(Math.max(0, Math.floor(leaseEndMs))))
  return bytes
}

/** From the first 8 bytes; a lease that is damaged is over. */
function decodeLease(bytes: Uint8Array): number {
  if (bytes.length < LEASE_SIZE) return 0
  return Number(new DataView(bytes.buffer, bytes.byteOffset, LEASE_SIZE).getBigUint64(0))
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')
}

/** The same memory without Buffer's own ways of slicing and printing. */
function plainBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
