/**
 * The ledger of one pair as one side holds it, as a pure machine: what is proposed, taken, dropped and
 * answered. SPEC ledger §4, §5
 *
 *   nothing ── propose ──> proposal out ── the peer's signature ──> top
 *   nothing ── the peer's proposal follows the top ──> signed: top
 *   proposal out ── the peer's proposal: B drops its own and signs; A waits for its own to be signed
 *   a higher top is shown ──> top; two entries with one number and the peer's signature ──> fraud, for good
 *
 * The caller flushes the state that comes back before it sends `messageOf` of it: then no crash makes a
 * side sign two entries with one number.
 */
import { equalBytes } from '../../core/index.ts'
import type { SigningKey } from '../../crypto/index.ts'
import {
  balanceOf,
  type Ends,
  type Entry,
  type EntryFields,
  isSameEntry,
  isSignedBy,
  isSignedByBoth,
  linkOf,
  otherSide,
  pairOf,
  proposerOf,
  type Side,
  signEntry,
  unsigned,
} from './entry.ts'
import { beforeFirst, type Fault, faultOfStep, forkedBy, linkAfter } from './judge.ts'
import type { LedgerMessage } from './messages.ts'

/** What survives a crash. */
export interface PairState {
  readonly opening: Uint8Array | undefined
  /** The last entry signed by both. */
  readonly top: Entry | undefined
  /** The peer has shown a top: it knows that there is one, and will never again speak as if there were none. */
  readonly isShown: boolean
  /** Own proposal, signed by this side alone. */
  readonly proposal: Entry | undefined
  /** The highest number this side ever signed. */
  readonly signedNumber: number
  /** The last proposal of the peer that was not signed: a second one with its number would be fraud. */
  readonly refused: Entry | undefined
  readonly fraud: readonly [Entry, Entry] | undefined
}

export interface PairContext {
  readonly ends: Ends
  readonly side: Side
  readonly key: SigningKey
}

/** What a proposal is to say. All of it is to the peer's good but the limit, which is the own risk. */
export interface Wish {
  /** Credits the peer has served this side, in all. */
  readonly servedByPeer: number
  /** Credits to be forgiven and paid, on top. */
  readonly forgive: number
  readonly pay: number
  readonly limit: number
  readonly minute: number
}

export type Received = {
  readonly state: PairState
  readonly mustAnswer: boolean
  /** Entries that became the top, for the journal. */
  readonly taken: readonly Entry[]
  /** Why a proposal was not signed. */
  readonly fault?: Fault | 'time ahead' | 'own proposal out' | 'fraud'
}

/** After the loss of a disk own numbers go on so much higher. */
const NUMBERS_LOST = 1_024
const MINUTES_AHEAD_MAX = 60

export const NEW_PAIR: PairState = {
  opening: undefined,
  top: undefined,
  isShown: false,
  proposal: undefined,
  signedNumber: 0,
  refused: undefined,
  fraud: undefined,
}

export function messageOf({ opening, top, proposal }: PairState): LedgerMessage {
  return { opening, top, proposal }
}

/** What the next entry follows. The ledger has been opened. */
export function lastOf({ top, opening }: PairState, { ends }: PairContext): EntryFields {
  return top ?? beforeFirst(pairOf(ends, opening ?? new Uint8Array(16)))
}

/** Only A opens. `opening` is 16 random bytes. */
export function open(state: PairState, opening: Uint8Array): PairState {
  return state.opening === undefined ? { ...state, opening } : state
}

/** The state with a proposal, or undefined: not opened, one is out, fraud, or it would not be valid. */
export function propose(state: PairState, context: PairContext, wish: Wish): PairState | undefined {
  if (state.opening === undefined || state.proposal !== undefined || state.fraud !== undefined) return undefined
  const isA = context.side === 'A'
  // Before A has the first entry, a B that lost its disk could not tell that it has signed anything.
  if (!isA && !state.isShown) return undefined
  const last = lastOf(state, context)
  const parity = isA ? 1 : 0
  const above = Math.max(last.number, state.signedNumber) + 1
  const sign = isA ? 1 : -1
  const fields: EntryFields = {
    ...fieldsOf(last),
    number: above % 2 === parity ? above : above + 1,
    previous: linkAfter(last),
    minute: Math.max(last.minute, wish.minute),
    forgiven: last.forgiven - sign * wish.forgive,
    forwarded: last.forwarded - sign * wish.pay,
    ...(isA
      ? { servedBA: wish.servedByPeer, limitAB: wish.limit }
      : { servedAB: wish.servedByPeer, limitBA: wish.limit }),
  }
  if (faultOfStep(last, fields) !== undefined) return undefined
  const proposal = signEntry(unsigned(fields), context.side, context.key)
  return { ...state, proposal, signedNumber: fields.number }
}

export function receive(state: PairState, context: PairContext, message: LedgerMessage, nowMinute: number): Received {
  if (state.fraud !== undefined) return { state, mustAnswer: false, taken: [], fault: 'fraud' }
  const opened = takeOpening(state, context, message)
  if (opened === undefined) {
    // The later of two ledgers stands; without a top there is none to compare.
    const isLater = message.top === undefined || (state.top?.minute ?? 0) > message.top.minute
    return { state, mustAnswer: state.opening !== undefined && isLater, taken: [] }
  }
  const seen = takeTop(opened, context, message.top)
  const topped = message.top !== undefined && !seen.isShown ? { ...seen, isShown: seen.top !== undefined } : seen
  const taken = topped.top !== undefined && topped.top !== opened.top ? [topped.top] : []
  // B waits to hear that the first entry is there.
  const isFirst = context.side === 'A' && opened.top === undefined && topped.top !== undefined
  const after = message.proposal && takeProposal(topped, context, message.proposal, nowMinute)
  const next = after?.state ?? topped
  return {
    state: next,
    mustAnswer: (next.top?.number ?? 0) > (message.top?.number ?? 0) || isFirst,
    taken: next.top !== undefined && next.top !== topped.top ? [...taken, next.top] : taken,
    ...(after?.fault !== undefined && { fault: after.fault }),
  }
}

/** Undefined: not of the same opening. */
function takeOpening(state: PairState, context: PairContext, message: LedgerMessage): PairState | undefined {
  const { opening, top } = message
  if (opening === undefined) return undefined
  if (state.opening !== undefined && equalBytes(state.opening, opening)) return state
  const fresh: PairState = { ...NEW_PAIR, opening }
  if (top === undefined) return context.side === 'B' && state.top === undefined ? fresh : undefined
  const isOurs = equalBytes(top.pair, pairOf(context.ends, opening)) && isSignedByBoth(top, context.ends)
  return isOurs && top.minute > (state.top?.minute ?? -1) ? fresh : undefined
}

function takeTop(state: PairState, context: PairContext, shown: Entry | undefined): PairState {
  if (shown === undefined || state.opening === undefined) return state
  const { ends } = context
  if (state.top !== undefined && shown.number === state.top.number) return withFraud(state, context, state.top, shown)
  if (shown.number <= (state.top?.number ?? 0)) return state
  if (!equalBytes(shown.pair, pairOf(ends, state.opening)) || !isSignedByBoth(shown, ends)) return state
  const { proposal } = state
  const isOwn = proposal !== undefined && isSameEntry(proposal, shown)
  const follows =
    proposal !== undefined && proposal.number > shown.number && equalBytes(proposal.previous, linkOf(shown))
  const isLost = !isOwn && shown.number > state.signedNumber
  return {
    ...state,
    top: shown,
    proposal: follows ? proposal : undefined,
    signedNumber: isLost ? shown.number + NUMBERS_LOST : state.signedNumber,
  }
}

function takeProposal(
  state: PairState,
  context: PairContext,
  proposal: Entry,
  nowMinute: number,
): { readonly state: PairState; readonly fault?: Received['fault'] } {
  const { side, ends, key } = context
  const peer = otherSide(side)
  if (!isSignedBy(proposal, peer, ends)) return { state, fault: peer === 'A' ? 'signature of A' : 'signature of B' }
  for (const known of [state.top, state.refused]) {
    const caught = known === undefined ? state : withFraud(state, context, known, proposal)
    if (caught !== state) return { state: caught, fault: 'fraud' }
  }
  if (state.top !== undefined && isSameEntry(state.top, proposal)) return { state }
  const last = lastOf(state, context)
  const fault =
    faultOfStep(last, proposal) ??
    (proposerOf(proposal) === side ? 'number not higher' : undefined) ??
    (proposal.minute > nowMinute + MINUTES_AHEAD_MAX ? 'time ahead' : undefined) ??
    (side === 'A' && state.proposal !== undefined ? 'own proposal out' : undefined)
  if (fault !== undefined) {
    // Old ones may come again and again; only what is newer than the top is worth remembering.
    const isWorth = state.top !== undefined && proposal.number > last.number
    return { state: isWorth ? { ...state, refused: proposal } : state, fault }
  }
  const signedNumber = Math.max(state.signedNumber, proposal.number)
  return {
    state: { ...state, top: signEntry(proposal, side, key), proposal: undefined, refused: undefined, signedNumber },
  }
}

function withFraud(state: PairState, context: PairContext, one: Entry, other: Entry): PairState {
  const by = forkedBy(one, other, context.ends)
  return by === undefined || by === context.side ? state : { ...state, fraud: [one, other] }
}

function fieldsOf(entry: EntryFields): EntryFields {
  const { pair, number, servedAB, servedBA, forwarded, forgiven, limitAB, limitBA, minute, previous } = entry
  return { pair, number, servedAB, servedBA, forwarded, forgiven, limitAB, limitBA, minute, previous }
}

/** What the peer owes this side by the top; below zero this side owes. */
export function balanceFor(side: Side, top: Entry | undefined): number {
  if (top === undefined) return 0
  return side === 'A' ? balanceOf(top) : 0 - balanceOf(top)
}
