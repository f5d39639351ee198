/**
 * The vault: keeps wrapped bytes for keepers that reach it over its lines, in a store of its own. It has no key to
 * what it keeps, and knows of a blob its root, the line it came by, a lease, and what takes it away. SPEC vaults §3
 *
 * A blob is read and dropped only over its own line. Two lines may hold one root, if somebody means them to: the
 * bytes are there once, and stay until the last of them lets go.
 */
import {
  ByteReader,
  ByteWriter,
  type Clock,
  concatBytes,
  equalBytes,
  keyOf,
  type Log,
  MalformedError,
  messageOf,
  type PublicKey,
  type RecordStore,
  type Timer,
} from '../../core/index.ts'
import { LABELS, merkleRoot, tagged } from '../../crypto/index.ts'
import {
  decodeVaultRequest,
  encodeVaultAnswer,
  LEASE_DAYS_MAX,
  type VaultAnswer,
  type VaultRequest,
} from '../../routing/index.ts'
import { type ContentRef, type ShardStore, type StoreUsage, shardRef } from '../../storage/index.ts'
import { cut } from './keeper.ts'

const DAY_MS = 24 * 60 * 60_000
/** What a put may ask for, and a day for clocks that differ. */
const LEASE_MS_MAX = (LEASE_DAYS_MAX + 1) * DAY_MS
/** So often the records of one root in 256 are gone through for leases that ended: all in 43 min. */
const SWEEP_EVERY_MS = 10_000
const SWEEPS = 256
/** Bytes whose lease ended that are deleted in one go. */
const EXPIRE_PAGE = 1_000
/** First byte of the vault's keys in the record store. */
const KIND = 0x76
/** Where in such a key the line's begins. */
const LINE_AT = 33
const VERSION = 1
const NONE: VaultAnswer = { kind: 'none' }
const KEPT: VaultAnswer = { kind: 'kept' }
const FULL: VaultAnswer = { kind: 'full' }

export interface VaultPorts {
  readonly clock: Clock
  readonly log: Log
  readonly records: RecordStore
  /** For this alone: nothing that a keeper holds lies in it. */
  readonly store: ShardStore
}

interface Held {
  readonly leaseEndMs: number
  readonly dropHash: Uint8Array
}

/** What a DROP of this secret is allowed by. SPEC vaults §3 */
export function dropHashOf(secret: Uint8Array): Uint8Array {
  return tagged(LABELS.vaultDrop, secret)
}

export class Vault {
  readonly #p: VaultPorts
  #timer: Timer | undefined
  #sweep = 0

  constructor(ports: VaultPorts) {
    this.#p = ports
  }

  usage(): StoreUsage {
    return this.#p.store.usage()
  }

  /** The keys of the lines by which blobs came that are still here, for `keyOf`. Looks at all records. */
  linesWithBlobs(): ReadonlySet<string> {
    const records = this.#p.records.list(Uint8Array.of(KIND))
    return new Set(records.map(({ key }) => keyOf(key.subarray(LINE_AT))))
  }

  start(): void {
    this.#timer = this.#p.clock.setTimer(SWEEP_EVERY_MS, () => {
      void this.#expire().finally(() => {
        if (this.#timer !== undefined) this.start()
      })
    })
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  /** The answer to what a keeper asks over `line`. Rejects with MalformedError: the circuit has to go then. */
  async answer(
    line: PublicKey,
    message: Uint8Array,
    { isFull = false }: { readonly isFull?: boolean } = {},
  ): Promise<Uint8Array> {
    const request = decodeVaultRequest(message)
    try {
      if (isFull && request.kind === 'keep') return encodeVaultAnswer(FULL)
      return encodeVaultAnswer(await this.#answer(line, request))
    } catch (error) {
      this.#p.log('error', 'the vault failed', { reason: messageOf(error) })
      return encodeVaultAnswer(request.kind === 'keep' ? FULL : NONE)
    }
  }

  #answer(line: PublicKey, request: VaultRequest): Promise<VaultAnswer> {
    if (request.kind === 'keep') return this.#keep(line, request)
    return request.kind === 'read' ? this.#read(line, request) : this.#drop(line, request)
  }

  /** Answers once bytes and record are flushed: in this order, so that no record is without bytes. */
  async #keep(line: PublicKey, keep: Extract<VaultRequest, { kind: 'keep' }>): Promise<VaultAnswer> {
    const { leaseEndMs, dropHash } = keep
    if (!this.#isSane(leaseEndMs)) return FULL
    // Of its own: it came as part of a larger message.
    const bytes = keep.bytes.slice()
    const root = merkleRoot(bytes)
    const held = this.#held(line, root)
    // Nobody else can have given this blob by this line; what takes it away stays.
    const kept = { leaseEndMs: Math.max(leaseEndMs, held?.leaseEndMs ?? 0), dropHash: held?.dropHash ?? dropHash }
    const stored = await this.#p.store.put({ ref: shardRef(root), bytes, leaseEndMs: kept.leaseEndMs })
    if (stored === 'full') return FULL
    await this.#p.records.write([{ key: recordKey(root, line), value: encodeHeld(kept) }])
    return KEPT
  }

  async #read(line: PublicKey, read: Extract<VaultRequest, { kind: 'read' }>): Promise<VaultAnswer> {
    const { root, leaseEndMs, range } = read
    const held = this.#held(line, root)
    if (held === undefined || (leaseEndMs > 0 && !this.#isSane(leaseEndMs))) return NONE
    const ref = shardRef(root)
    if (leaseEndMs > held.leaseEndMs && !(await this.#prolong({ line, ref, held }, leaseEndMs))) return NONE
    const bytes = this.#p.store.get(ref)
    if (bytes === undefined) return NONE
    const data = cut(bytes, range)
    return data.end === 'data' ? { kind: 'data', leaves: data.leaves, proof: data.proof } : NONE
  }

  async #prolong(blob: { line: PublicKey; ref: ContentRef; held: Held }, leaseEndMs: number): Promise<boolean> {
    if (!(await this.#p.store.renew(blob.ref, leaseEndMs))) return false
    const value = encodeHeld({ ...blob.held, leaseEndMs })
    await this.#p.records.write([{ key: recordKey(blob.ref.id, blob.line), value }])
    return true
  }

  async #drop(line: PublicKey, drop: Extract<VaultRequest, { kind: 'drop' }>): Promise<VaultAnswer> {
    const held = this.#held(line, drop.root)
    if (held === undefined || !equalBytes(dropHashOf(drop.secret), held.dropHash)) return NONE
    await this.#p.records.write([{ key: recordKey(drop.root, line), value: undefined }])
    if (this.#p.records.list(rootKey(drop.root), 1).length === 0) this.#p.store.delete(shardRef(drop.root))
    return KEPT
  }

  /** What is held of the root for this line, its lease not over. */
  #held(line: PublicKey, root: Uint8Array): Held | undefined {
    const [record] = this.#p.records.list(recordKey(root, line), 1)
    const held = record && readHeld(record.value)
    return held !== undefined && held.leaseEndMs > this.#p.clock.nowMs() ? held : undefined
  }

  #isSane(leaseEndMs: number): boolean {
    const nowMs = this.#p.clock.nowMs()
    return leaseEndMs > nowMs && leaseEndMs <= nowMs + LEASE_MS_MAX
  }

  /** The store deletes what no lease holds any more; records go when their own lease ends, or are damaged. */
  async #expire(): Promise<void> {
    const nowMs = this.#p.clock.nowMs()
    try {
      const expired = this.#p.store.expire(nowMs, EXPIRE_PAGE)
      if (expired > 0) this.#p.log('info', 'leases of the vault ended', { expired })
      const records = this.#p.records.list(Uint8Array.of(KIND, this.#sweep))
      this.#sweep = (this.#sweep + 1) % SWEEPS
      const over = records.filter(({ value }) => (readHeld(value)?.leaseEndMs ?? 0) <= nowMs)
      if (over.length > 0) await this.#p.records.write(over.map(({ key }) => ({ key, value: undefined })))
    } catch (error) {
      this.#p.log('error', 'the vault could not be swept', { reason: messageOf(error) })
    }
  }
}

function rootKey(root: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of(KIND), root)
}
function recordKey(root: Uint8Array, line: Uint8Array): Uint8Array {
  return concatBytes(rootKey(root), line)
}

// a blob, under KIND ‖ root 32 ‖ line key 32: version u8 (1), lease end u64 (Unix ms), drop hash 32
function encodeHeld({ leaseEndMs, dropHash }: Held): Uint8Array {
  return new ByteWriter(41).u8(VERSION).u64(leaseEndMs).bytes(dropHash).done()
}

/** Undefined for a damaged record: the blob is gone. */
function readHeld(value: Uint8Array): Held | undefined {
  try {
    const r = new ByteReader(value, 'blob record')
    if (r.u8() !== VERSION) return undefined
    const held = { leaseEndMs: r.u64(), dropHash: r.bytes(32) }
    r.end()
    return held
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
}
