/**
 * What two ends of a link say about their ledger, and a chain as a file. SPEC ledger §4, §8
 *
 * LEDGER: type u8, flags u8 (1 opening, 2 top, 4 proposal, 8 notice), then those present in that order.
 * Export: `hush-ledger`, version u8, network id 32, key A 32, key B 32, opening 16, count u16, entries.
 */
import {
  ByteReader,
  ByteWriter,
  equalBytes,
  fromUtf8,
  type NetworkId,
  named32,
  type PublicKey,
} from '../../core/index.ts'
import { LINK_MESSAGE } from '../request/messages.ts'
import { decodeEntry, ENTRY_SIZE, type Ends, type Entry, encodeEntry, OPENING_SIZE } from './entry.ts'

/** How a peer is served under load, in the order of the wire. */
export const WORDS = ['serve', 'delay', 'refuse'] as const
export type Word = (typeof WORDS)[number]

/** What a peer that is held back is told. */
export interface Notice {
  readonly word: Word
  /** Credits it owes, tails included; at least 0. */
  readonly exposure: number
  readonly limit: number
}

export interface LedgerMessage {
  readonly opening?: Uint8Array | undefined
  readonly top?: Entry | undefined
  readonly proposal?: Entry | undefined
  readonly notice?: Notice | undefined
}

const NOTICE_SIZE = 13
const FLAGS = { opening: 1, top: 2, proposal: 4, notice: 8 } as const

export function encodeLedgerMessage({ opening, top, proposal, notice }: LedgerMessage): Uint8Array {
  const w = new ByteWriter(2 + OPENING_SIZE + 2 * ENTRY_SIZE + NOTICE_SIZE).u8(LINK_MESSAGE.ledger)
  w.u8(
    (opening ? FLAGS.opening : 0) |
      (top ? FLAGS.top : 0) |
      (proposal ? FLAGS.proposal : 0) |
      (notice ? FLAGS.notice : 0),
  )
  if (opening !== undefined) w.bytes(opening)
  if (top !== undefined) w.bytes(encodeEntry(top))
  if (proposal !== undefined) w.bytes(encodeEntry(proposal))
  if (notice !== undefined) w.u8(WORDS.indexOf(notice.word)).u64(notice.exposure).u32(notice.limit)
  return w.done()
}

/** Undefined when the message is none of the ledger. Throws MalformedError. */
export function decodeLedgerMessage(message: Uint8Array): LedgerMessage | undefined {
  const r = new ByteReader(message, 'ledger message')
  if (r.u8() !== LINK_MESSAGE.ledger) return undefined
  const flags = r.u8()
  if (flags > 15) throw r.malformed('unknown flags')
  const has = (flag: number): boolean => (flags & flag) !== 0
  if (!has(FLAGS.opening) && has(FLAGS.top | FLAGS.proposal)) throw r.malformed('entries of no ledger')
  const opening = has(FLAGS.opening) ? r.bytes(OPENING_SIZE).slice() : undefined
  const top = has(FLAGS.top) ? decodeEntry(r.bytes(ENTRY_SIZE)) : undefined
  const proposal = has(FLAGS.proposal) ? decodeEntry(r.bytes(ENTRY_SIZE)) : undefined
  let notice: Notice | undefined
  if (has(FLAGS.notice)) {
    const word = WORDS[r.u8()]
    if (word === undefined) throw r.malformed('unknown word')
    notice = { word, exposure: r.u64(), limit: r.u32() }
  }
  r.end()
  return { opening, top, proposal, notice }
}

export interface ChainFile {
  readonly ends: Ends
  readonly opening: Uint8Array
  readonly entries: readonly Entry[]
}

const MAGIC = fromUtf8('hush-ledger')
const FILE_VERSION = 1
const FILE_HEAD_SIZE = MAGIC.length + 1 + 3 * 32 + OPENING_SIZE + 2
/** Of one export; the newest ones. */
export const CHAIN_ENTRIES_MAX = 4_096
export const CHAIN_SIZE_MAX = FILE_HEAD_SIZE + CHAIN_ENTRIES_MAX * ENTRY_SIZE

export function encodeChain({ ends, opening, entries }: ChainFile): Uint8Array {
  const w = new ByteWriter(FILE_HEAD_SIZE + entries.length * ENTRY_SIZE).bytes(MAGIC).u8(FILE_VERSION)
  w.bytes(ends.networkId).bytes(ends.keyA).bytes(ends.keyB).bytes(opening).u16(entries.length)
  for (const entry of entries) w.bytes(encodeEntry(entry))
  return w.done()
}

/** Throws MalformedError. */
export function decodeChain(bytes: Uint8Array): ChainFile {
  const r = new ByteReader(bytes, 'ledger file')
  if (!equalBytes(r.bytes(MAGIC.length), MAGIC)) throw r.malformed('not a ledger')
  if (r.u8() !== FILE_VERSION) throw r.malformed('another version')
  const name32 = <T extends string>(what: string) => named32<T>(r.bytes(32).slice(), what)
  const networkId: NetworkId = name32<'NetworkId'>('network id')
  const keyA: PublicKey = name32<'PublicKey'>('key')
  const keyB: PublicKey = name32<'PublicKey'>('key')
  const opening = r.bytes(OPENING_SIZE).slice()
  const count = r.u16()
  if (count > CHAIN_ENTRIES_MAX) throw r.malformed('too many entries')
  const entries = Array.from({ length: count }, () => decodeEntry(r.bytes(ENTRY_SIZE)))
  r.end()
  return { ends: { networkId, keyA, keyB }, opening, entries }
}
