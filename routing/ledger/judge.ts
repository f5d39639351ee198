/**
 * The one verifier of ledgers: whether an entry may follow another, and what a whole chain is worth.
 * Judgements are values; bad data never throws. SPEC ledger §3
 */
import { compareBytes, equalBytes } from '../../core/index.ts'
import { isSafePublicKey } from '../../crypto/index.ts'
import {
  balanceOf,
  COUNTER_MAX,
  type Ends,
  type Entry,
  type EntryFields,
  isSameEntry,
  isSignedBy,
  LIMIT_MAX,
  LIMIT_MIN,
  LIMIT_START,
  linkOf,
  pairOf,
  proposerOf,
} from './entry.ts'

/** Why an entry is not good. Stable words: `hush ledger verify` prints them. */
export type Fault =
  | 'key not allowed'
  | 'wrong pair'
  | 'number not higher'
  | 'does not follow'
  | 'time goes back'
  | 'counter too large'
  | 'counter falls'
  | 'counter of the other side'
  | 'payment by the other side'
  | 'forgives the other side'
  | 'forgives too much'
  | 'limit out of range'
  | 'limit rises too fast'
  | 'limit of the other side'
  | 'over the limit'
  | 'signature of A'
  | 'signature of B'

export type Verdict =
  | { readonly verdict: 'good'; readonly isWhole: boolean }
  | { readonly verdict: 'broken'; readonly at: number; readonly why: Fault }
  | { readonly verdict: 'forked'; readonly at: number; readonly by: 'A' | 'B' | 'both' }

/** What stands before the first entry. */
export function beforeFirst(pair: Uint8Array): EntryFields {
  const nothing = { servedAB: 0, servedBA: 0, forwarded: 0, forgiven: 0, minute: 0 }
  return { pair, number: 0, ...nothing, limitAB: LIMIT_START, limitBA: LIMIT_START, previous: pair }
}

/** What the entry after `entry` has to name as its previous one. */
export function linkAfter(before: EntryFields): Uint8Array {
  return before.number === 0 ? before.pair : linkOf(before)
}

/** What is wrong with an entry taken by itself, signatures aside. */
function faultOfItself(entry: EntryFields, pair: Uint8Array): Fault | undefined {
  if (!equalBytes(entry.pair, pair)) return 'wrong pair'
  if (entry.number < 1 || entry.number > COUNTER_MAX) return 'number not higher'
  const amounts = [entry.servedAB, entry.servedBA, Math.abs(entry.forwarded), Math.abs(entry.forgiven)]
  if (amounts.some((amount) => amount > COUNTER_MAX)) return 'counter too large'
  if (amounts.some((amount) => !(amount >= 0) || !Number.isInteger(amount))) return 'counter falls'
  const limits = [entry.limitAB, entry.limitBA]
  if (limits.some((limit) => limit < LIMIT_MIN || limit > LIMIT_MAX)) return 'limit out of range'
  const balance = balanceOf(entry)
  if (4 * balance > 5 * entry.limitAB || -4 * balance > 5 * entry.limitBA) return 'over the limit'
  return undefined
}

/** What keeps `entry` from following `before`, signatures aside. */
export function faultOfStep(before: EntryFields, entry: EntryFields): Fault | undefined {
  const fault = faultOfItself(entry, before.pair)
  if (fault !== undefined) return fault
  if (entry.number <= before.number) return 'number not higher'
  if (!equalBytes(entry.previous, linkAfter(before))) return 'does not follow'
  if (entry.minute < before.minute) return 'time goes back'
  // Seen from the proposer: `own` is what it is owed by the other side, `sign` turns the balance its way.
  const isA = proposerOf(entry) === 'A'
  const sign = isA ? 1 : -1
  const given = isA ? entry.servedAB - before.servedAB : entry.servedBA - before.servedBA
  const taken = isA ? entry.servedBA - before.servedBA : entry.servedAB - before.servedAB
  if (given < 0 || taken < 0) return 'counter falls'
  if (given > 0) return 'counter of the other side'
  if (sign * (entry.forwarded - before.forwarded) > 0) return 'payment by the other side'
  const forgives = -sign * (entry.forgiven - before.forgiven)
  if (forgives < 0) return 'forgives the other side'
  if (forgives > 0 && sign * balanceOf(entry) < 0) return 'forgives too much'
  const [ownBefore, own] = isA ? [before.limitAB, entry.limitAB] : [before.limitBA, entry.limitBA]
  const [otherBefore, other] = isA ? [before.limitBA, entry.limitBA] : [before.limitAB, entry.limitAB]
  if (own > 2 * ownBefore) return 'limit rises too fast'
  return other === otherBefore ? undefined : 'limit of the other side'
}

function faultOfSignatures(entry: Entry, ends: Ends): Fault | undefined {
  if (!isSignedBy(entry, 'A', ends)) return 'signature of A'
  return isSignedBy(entry, 'B', ends) ? undefined : 'signature of B'
}

/** Whose signature stands on both of two different entries with one number. */
export function forkedBy(one: Entry, other: Entry, ends: Ends): 'A' | 'B' | 'both' | undefined {
  if (one.number !== other.number || !equalBytes(one.pair, other.pair) || isSameEntry(one, other)) return undefined
  const byA = isSignedBy(one, 'A', ends) && isSignedBy(other, 'A', ends)
  const byB = isSignedBy(one, 'B', ends) && isSignedBy(other, 'B', ends)
  if (byA && byB) return 'both'
  if (byA) return 'A'
  return byB ? 'B' : undefined
}

/** Judges entries in order, the first being the ledger's first or a later one. Entries count from 1. */
export function judgeChain(ends: Ends, opening: Uint8Array, entries: readonly Entry[]): Verdict {
  const isAllowed = compareBytes(ends.keyA, ends.keyB) < 0 && isSafePublicKey(ends.keyA) && isSafePublicKey(ends.keyB)
  if (!isAllowed) return { verdict: 'broken', at: 0, why: 'key not allowed' }
  const pair = pairOf(ends, opening)
  const first = entries[0]
  const isWhole = first === undefined || equalBytes(first.previous, pair)
  let before: EntryFields | undefined = isWhole ? beforeFirst(pair) : undefined
  for (const [index, entry] of entries.entries()) {
    const at = index + 1
    const last = entries[index - 1]
    const by = last && forkedBy(last, entry, ends)
    if (by !== undefined) return { verdict: 'forked', at, by }
    const fault =
      (before === undefined ? faultOfItself(entry, pair) : faultOfStep(before, entry)) ??
      // The first of two that fork may bear the cheat's signature alone.
      (isForkAhead(entry, entries[index + 1], ends) ? undefined : faultOfSignatures(entry, ends))
    if (fault !== undefined) return { verdict: 'broken', at, why: fault }
    before = entry
  }
  return { verdict: 'good', isWhole }
}

function isForkAhead(entry: Entry, next: Entry | undefined, ends: Ends): boolean {
  return next !== undefined && forkedBy(entry, next, ends) !== undefined
}
