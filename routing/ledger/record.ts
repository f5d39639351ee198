/**
 * An account as it is kept on disk. SPEC ledger §9
 *
 *   0   1  version 2; in 1 there is no merit
 *   1   1  flags: 1 opening, 2 top, 4 proposal, 8 refused, 16 fraud, 32 shown
 *   2   8  highest number signed u64
 *  10   4  limit u32
 *  14   1  strikes u8
 *  15   4  minute in which the day began u32
 *  19   8  credits got when it did u64
 *  27   8  merit u64
 *  35   +  those present: opening 16, entries 245 each, two for fraud
 */
import { ByteReader, ByteWriter } from '../../core/index.ts'
import type { AccountMemory } from './account.ts'
import { decodeEntry, ENTRY_SIZE, type Entry, encodeEntry, OPENING_SIZE } from './entry.ts'
import type { PairState } from './pair.ts'

export interface AccountRecord {
  readonly pair: PairState
  readonly memory: AccountMemory
}

const VERSION = 2
const WITHOUT_MERIT = 1
const HEAD_SIZE = 35
const SHOWN = 32

export function encodeAccountRecord({ pair, memory }: AccountRecord): Uint8Array {
  const { opening, top, proposal, refused, fraud } = pair
  const flags = [opening, top, proposal, refused, fraud].reduce(
    (sum, part, bit) => sum + (part ? 1 << bit : 0),
    pair.isShown ? SHOWN : 0,
  )
  const w = new ByteWriter(HEAD_SIZE + OPENING_SIZE + 5 * ENTRY_SIZE).u8(VERSION).u8(flags).u64(pair.signedNumber)
  w.u32(memory.limit).u8(memory.strikes).u32(memory.dayMinute).u64(memory.dayGot).u64(memory.merit)
  if (opening !== undefined) w.bytes(opening)
  for (const entry of [top, proposal, refused, ...(fraud ?? [])]) if (entry !== undefined) w.bytes(encodeEntry(entry))
  return w.done()
}

/** Throws MalformedError. */
export function decodeAccountRecord(bytes: Uint8Array): AccountRecord {
  const r = new ByteReader(bytes, 'account')
  const version = r.u8()
  if (version !== VERSION && version !== WITHOUT_MERIT) throw r.malformed('another version')
  const flags = r.u8()
  if (flags > 63) throw r.malformed('unknown flags')
  const signedNumber = r.u64()
  const days = { limit: r.u32(), strikes: r.u8(), dayMinute: r.u32(), dayGot: r.u64() }
  const memory = { ...days, merit: version === WITHOUT_MERIT ? 0 : r.u64() }
  const opening = (flags & 1) !== 0 ? r.bytes(OPENING_SIZE).slice() : undefined
  const entry = (flag: number): Entry | undefined =>
    (flags & flag) !== 0 ? decodeEntry(r.bytes(ENTRY_SIZE)) : undefined
  const [top, proposal, refused] = [entry(2), entry(4), entry(8)]
  const first = entry(16)
  const fraud = first === undefined ? undefined : ([first, decodeEntry(r.bytes(ENTRY_SIZE))] as const)
  r.end()
  return { pair: { opening, top, isShown: (flags & SHOWN) !== 0, proposal, signedNumber, refused, fraud }, memory }
}
