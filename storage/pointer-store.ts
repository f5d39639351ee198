/**
 * The pointers that a keeper holds, as records under `p` ‖ location 32 ‖ content reference 34, so that they lie in
 * the order of the ring. SPEC vaults §5, shard-store §5
 *
 * A change is seen by readers at once; its promise waits for the disk. What was changed twice meanwhile is written
 * in that order.
 */
import { concatBytes, fromUtf8, keyOf, MalformedError, type PublicKey, type RecordStore } from '../core/index.ts'
import type { ContentRef } from './content-ref.ts'
import { decodePointer, encodePointer, type Pointer } from './pointer.ts'
import { type ArcRange, keySpans, refOfKey, type StoredShard, storeKey } from './shard-store/port.ts'

const PREFIX = fromUtf8('p')
/** About a gigabyte of records. */
const POINTERS_MAX = 2 ** 20
/** Records read at a time when they are counted. */
const PAGE = 1_024

export interface PointerUsage {
  readonly count: number
  /** Of these, with two places or more, as against one. */
  readonly withTwo: number
}

export interface HeldPointer extends StoredShard {
  readonly pointer: Pointer
}

export class PointerStore {
  readonly #records: RecordStore
  readonly #countMax: number
  /** What readers see of keys that are being written; null: removed. */
  readonly #written = new Map<string, Pointer | null>()
  #lookedAt: ContentRef | undefined
  readonly #onLines = new Map<string, { readonly line: PublicKey; readonly count: number }>()
  #count = 0
  #withTwo = 0

  constructor(records: RecordStore, options: { readonly countMax?: number } = {}) {
    this.#records = records
    this.#countMax = options.countMax ?? POINTERS_MAX
    this.#countAll()
  }

  get(ref: ContentRef): Pointer | undefined {
    const key = recordKey(ref)
    const written = this.#written.get(nameOf(key))
    if (written !== undefined) return written ?? undefined
    const value = this.#records.get(key)
    return value && pointerOf(value)
  }

  /** Resolves with 'stored' once it would survive a crash; rejects when the disk does not take it. */
  async put(ref: ContentRef, pointer: Pointer): Promise<'stored' | 'full'> {
    const held = this.get(ref)
    if (held === undefined && this.#count >= this.#countMax) return 'full'
    this.#tally(held, -1)
    this.#tally(pointer, 1)
    await this.#write(recordKey(ref), pointer)
    return 'stored'
  }

  /** Whether it was held. */
  async delete(ref: ContentRef): Promise<boolean> {
    const held = this.get(ref)
    if (held === undefined) return false
    this.#tally(held, -1)
    await this.#write(recordKey(ref), null)
    return true
  }

  /** As ShardStore.list, with the pointers themselves. */
  list(range: ArcRange): readonly HeldPointer[] {
    const listed: HeldPointer[] = []
    for (const span of keySpans(range)) {
      let above = concatBytes(PREFIX, span.above)
      const upTo = concatBytes(PREFIX, span.upTo)
      while (listed.length < range.limit) {
        const wanted = Math.min(PAGE, range.limit - listed.length)
        const page = this.#records.range({ above, upTo }, wanted)
        for (const { key, value } of page) {
          const found = this.#readRecord(key, value)
          if (found !== undefined) listed.push(found)
          above = key
        }
        if (page.length < wanted) break
      }
    }
    return listed
  }

  /** Looks at the next `limit` pointers around the ring, and removes those whose lease is over; how many. */
  async expire(nowMs: number, limit: number): Promise<number> {
    const after = this.#lookedAt
    const page = this.list({ limit, ...(after !== undefined && { after }) })
    this.#lookedAt = page.length < limit ? undefined : page.at(-1)?.ref
    const over = page.filter(({ leaseEndMs }) => leaseEndMs <= nowMs)
    await Promise.all(over.map(({ ref }) => this.delete(ref)))
    return over.length
  }

  /** A record that is none, or damaged, is removed: the content is had from another member's pointer. */
  #readRecord(key: Uint8Array, value: Uint8Array): HeldPointer | undefined {
    const written = this.#written.get(nameOf(key))
    if (written === null) return undefined
    const ref = refOfKey(key.subarray(PREFIX.length))
    const pointer = written ?? pointerOf(value)
    if (ref !== undefined && pointer !== undefined) return { ref, leaseEndMs: pointer.leaseEndMs, pointer }
    // Damaged still if the disk takes no more: it is met again.
    this.#records.write([{ key, value: undefined }]).catch(() => undefined)
    return undefined
  }

  /** Places on that line. */
  onLine(line: PublicKey): number {
    return this.#onLines.get(keyOf(line))?.count ?? 0
  }

  /** Those that a place is on. */
  lines(): PublicKey[] {
    return [...this.#onLines.values()].map(({ line }) => line)
  }

  usage(): PointerUsage {
    return { count: this.#count, withTwo: this.#withTwo }
  }

  async #write(key: Uint8Array, pointer: Pointer | null): Promise<void> {
    const name = nameOf(key)
    this.#written.set(name, pointer)
    try {
      await this.#records.write([{ key, value: pointer === null ? undefined : encodePointer(pointer) }])
    } finally {
      if (this.#written.get(name) === pointer) this.#written.delete(name)
    }
  }

  #tally(pointer: Pointer | undefined, by: 1 | -1): void {
    if (pointer === undefined) return
    this.#count += by
    if (pointer.places.length > 1) this.#withTwo += by
    for (const { line } of pointer.places) {
      const count = this.onLine(line) + by
      if (count > 0) this.#onLines.set(keyOf(line), { line, count })
      else this.#onLines.delete(keyOf(line))
    }
  }

  #countAll(): void {
    let after: ContentRef | undefined
    for (;;) {
      const page = this.list({ limit: PAGE, ...(after !== undefined && { after }) })
      for (const { pointer } of page) this.#tally(pointer, 1)
      after = page.at(-1)?.ref
      if (after === undefined) return
    }
  }
}

function recordKey(ref: ContentRef): Uint8Array {
  return concatBytes(PREFIX, storeKey(ref))
}
/** Each letter a byte: for maps. */
function nameOf(key: Uint8Array): string {
  return String.fromCharCode(...key)
}

/** Undefined for what is damaged. */
function pointerOf(value: Uint8Array): Pointer | undefined {
  try {
    return decodePointer(value)
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
}
