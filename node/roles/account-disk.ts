/**
 * Accounts on disk: one record for each peer, and the entries both have signed beside it. SPEC ledger §9
 *
 * Keys: `a` and the peer's key: the account; `e`, the peer's key, number u64: an entry.
 */
import {
  ByteWriter,
  concatBytes,
  equalBytes,
  type Log,
  MalformedError,
  type PublicKey,
  type RecordStore,
} from '../../core/index.ts'
import {
  type AccountRecord,
  CHAIN_ENTRIES_MAX,
  decodeAccountRecord,
  decodeEntry,
  type Entry,
  encodeAccountRecord,
  encodeEntry,
} from '../../routing/index.ts'

/** Old entries are looked for after so many new ones. */
const PRUNE_EVERY = 256
const KIND = { account: 0x61, entry: 0x65 } as const

/** One account as it is to be written. */
export interface AccountChange extends AccountRecord {
  readonly peer: PublicKey
  /** Signed by both since the last write. */
  readonly fresh: readonly Entry[]
}

export class AccountDisk {
  readonly #records: RecordStore
  readonly #log: Log
  /** Entries since old ones were last thrown away. */
  readonly #sincePruned = new WeakMap<PublicKey, number>()

  constructor(ports: { readonly records: RecordStore; readonly log: Log }) {
    this.#records = ports.records
    this.#log = ports.log
  }

  /** All accounts, at most `limit`; damaged ones are passed over. */
  readAll(limit: number): (AccountRecord & { readonly peer: PublicKey })[] {
    return this.#records.list(Uint8Array.of(KIND.account), limit).flatMap(({ key, value }) => {
      try {
        return [{ peer: key.slice(1) as PublicKey, ...decodeAccountRecord(value) }]
      } catch (error) {
        if (!(error instanceof MalformedError)) throw error
        this.#log('error', 'an account on disk is damaged; the peer knows what both have signed')
        return []
      }
    })
  }

  /** What both have signed since the ledger was opened that `top` is the last entry of, the oldest first. */
  entries(peer: PublicKey, top: Entry | undefined): Entry[] {
    if (top === undefined) return []
    const stored = this.#records.list(entriesPrefix(peer), CHAIN_ENTRIES_MAX)
    // Of an earlier opening, if a disk was lost in between.
    return stored.map(({ value }) => decodeEntry(value)).filter((entry) => equalBytes(entry.pair, top.pair))
  }

  /** All of it in one flush; the caller's `peer` is the same array each time. */
  async write(changes: readonly AccountChange[]): Promise<void> {
    await this.#records.write(changes.flatMap((change) => this.#recordsOf(change)))
  }

  #recordsOf({ peer, pair, memory, fresh }: AccountChange): { key: Uint8Array; value: Uint8Array | undefined }[] {
    const entries = fresh.map((entry) => ({ key: entryKey(peer, entry.number), value: encodeEntry(entry) }))
    const record = { key: concatBytes(Uint8Array.of(KIND.account), peer), value: encodeAccountRecord({ pair, memory }) }
    return [record, ...entries, ...this.#tooOld(peer, fresh.length)]
  }

  #tooOld(peer: PublicKey, fresh: number): { key: Uint8Array; value: undefined }[] {
    const since = (this.#sincePruned.get(peer) ?? 0) + fresh
    this.#sincePruned.set(peer, since < PRUNE_EVERY ? since : 0)
    if (since < PRUNE_EVERY) return []
    const kept = this.#records.list(entriesPrefix(peer))
    return kept.slice(0, Math.max(0, kept.length - CHAIN_ENTRIES_MAX)).map(({ key }) => ({ key, value: undefined }))
  }
}

/** Of the pair's other key, so that all openings of one pair lie together. */
function entriesPrefix(peer: PublicKey): Uint8Array {
  return concatBytes(Uint8Array.of(KIND.entry), peer)
}
function entryKey(peer: PublicKey, number: number): Uint8Array {
  return new ByteWriter(41).bytes(entriesPrefix(peer)).u64(number).done()
}
