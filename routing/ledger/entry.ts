/**
 * One entry of the ledger between two link neighbours: layout, link, signatures. SPEC ledger §2
 *
 * A is the side whose key comes first in byte order. Amounts are credits (1 KiB over one link), integers;
 * above zero a balance says that B owes A.
 *
 *     0    1  version 1
 *     1   32  pair
 *    33    8  number u64, odd: proposed by A
 *    41    8  servedAB u64
 *    49    8  servedBA u64
 *    57    8  forwarded i64
 *    65    8  forgiven i64
 *    73    4  limitAB u32
 *    77    4  limitBA u32
 *    81    4  minute u32
 *    85   32  previous
 *   117   64  signature of A, zeros: none
 *   181   64  signature of B
 */
import { ByteReader, ByteWriter, compareBytes, equalBytes, type NetworkId, type PublicKey } from '../../core/index.ts'
import { LABELS, SIGNATURE_SIZE, type SigningKey, tagged, verifySignature } from '../../crypto/index.ts'

export const ENTRY_SIZE = 245
const BODY_SIZE = 117
export const OPENING_SIZE = 16
const VERSION = 1
/** No counter passes it, so that sums of a few stay exact. */
export const COUNTER_MAX = 2 ** 48
export const LIMIT_START = 4_096
export const LIMIT_MIN = 512
export const LIMIT_MAX = 262_144
const NO_SIGNATURE = new Uint8Array(SIGNATURE_SIZE)

export type Side = 'A' | 'B'

export interface Entry {
  readonly pair: Uint8Array
  readonly number: number
  readonly servedAB: number
  readonly servedBA: number
  readonly forwarded: number
  readonly forgiven: number
  /** What A lets B owe. */
  readonly limitAB: number
  readonly limitBA: number
  /** Unix time of the proposal. */
  readonly minute: number
  readonly previous: Uint8Array
  readonly signatureA: Uint8Array
  readonly signatureB: Uint8Array
}
export type EntryFields = Omit<Entry, 'signatureA' | 'signatureB'>

/** The two ends of a link, as both see them. */
export interface Ends {
  readonly networkId: NetworkId
  readonly keyA: PublicKey
  readonly keyB: PublicKey
}

export function endsOf(networkId: NetworkId, one: PublicKey, other: PublicKey): Ends {
  const isFirst = compareBytes(one, other) < 0
  return { networkId, keyA: isFirst ? one : other, keyB: isFirst ? other : one }
}
export function sideOf(ends: Ends, key: PublicKey): Side {
  return equalBytes(ends.keyA, key) ? 'A' : 'B'
}
export function otherSide(side: Side): Side {
  return side === 'A' ? 'B' : 'A'
}
export function keyOf(ends: Ends, side: Side): PublicKey {
  return side === 'A' ? ends.keyA : ends.keyB
}
export function pairOf({ networkId, keyA, keyB }: Ends, opening: Uint8Array): Uint8Array {
  return tagged(LABELS.ledgerPair, networkId, keyA, keyB, opening)
}

/** Above zero: B owes A. */
export function balanceOf(entry: Pick<Entry, 'servedAB' | 'servedBA' | 'forwarded' | 'forgiven'>): number {
  return entry.servedAB - entry.servedBA + entry.forwarded + entry.forgiven
}
export function proposerOf(entry: Pick<Entry, 'number'>): Side {
  return entry.number % 2 === 1 ? 'A' : 'B'
}

function writeBody(w: ByteWriter, entry: EntryFields): ByteWriter {
  w.u8(VERSION).bytes(entry.pair).u64(entry.number).u64(entry.servedAB).u64(entry.servedBA)
  w.i64(entry.forwarded).i64(entry.forgiven).u32(entry.limitAB).u32(entry.limitBA)
  return w.u32(entry.minute).bytes(entry.previous)
}
function bodyOf(entry: EntryFields): Uint8Array {
  return writeBody(new ByteWriter(BODY_SIZE), entry).done()
}

export function encodeEntry(entry: Entry): Uint8Array {
  return writeBody(new ByteWriter(ENTRY_SIZE), entry).bytes(entry.signatureA).bytes(entry.signatureB).done()
}

/** Its own memory. Only the layout is checked; see judge.ts. Throws MalformedError. */
export function decodeEntry(bytes: Uint8Array): Entry {
  const r = new ByteReader(bytes.slice(), 'ledger entry')
  if (r.u8() !== VERSION) throw r.malformed('another version')
  const entry = {
    pair: r.bytes(32),
    number: r.u64(),
    servedAB: r.u64(),
    servedBA: r.u64(),
    forwarded: r.i64(),
    forgiven: r.i64(),
    limitAB: r.u32(),
    limitBA: r.u32(),
    minute: r.u32(),
    previous: r.bytes(32),
    signatureA: r.bytes(SIGNATURE_SIZE),
    signatureB: r.bytes(SIGNATURE_SIZE),
  }
  r.end()
  return entry
}

/** What the next entry names as its previous one. */
export function linkOf(entry: EntryFields): Uint8Array {
  return tagged(LABELS.ledgerLink, bodyOf(entry))
}

/** Whether two entries say the same; signatures aside. */
export function isSameEntry(one: EntryFields, other: EntryFields): boolean {
  if (one === other) return true
  if (one.number !== other.number || one.minute !== other.minute) return false
  if (one.servedAB !== other.servedAB || one.servedBA !== other.servedBA) return false
  if (one.forwarded !== other.forwarded || one.forgiven !== other.forgiven) return false
  if (one.limitAB !== other.limitAB || one.limitBA !== other.limitBA) return false
  return equalBytes(one.pair, other.pair) && equalBytes(one.previous, other.previous)
}

export function unsigned(fields: EntryFields): Entry {
  return { ...fields, signatureA: NO_SIGNATURE, signatureB: NO_SIGNATURE }
}

/** The entry with one more signature. */
export function signEntry(entry: Entry, side: Side, key: SigningKey): Entry {
  const signature = key.sign(tagged(LABELS.ledgerEntry, bodyOf(entry)))
  return side === 'A' ? { ...entry, signatureA: signature } : { ...entry, signatureB: signature }
}

export function isSignedBy(entry: Entry, side: Side, ends: Ends): boolean {
  const signature = side === 'A' ? entry.signatureA : entry.signatureB
  return verifySignature(keyOf(ends, side), tagged(LABELS.ledgerEntry, bodyOf(entry)), signature)
}
export function isSignedByBoth(entry: Entry, ends: Ends): boolean {
  return isSignedBy(entry, 'A', ends) && isSignedBy(entry, 'B', ends)
}
