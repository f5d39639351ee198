/**
 * One side's view of a peer beyond what both have signed: counts, tails, merit, forgiveness, limits, strikes,
 * and how the peer is to be served. Pure: time and load come in. SPEC ledger §5-§7
 *
 * `given` and `got` count credits of the peer and this side since the ledger began, signed or not. The
 * difference to what is signed is the tail.
 */
import { type Entry, LIMIT_MAX, LIMIT_MIN, LIMIT_START, type Side } from './entry.ts'
import type { Word } from './messages.ts'
import { balanceFor, type Wish } from './pair.ts'

const FORGIVEN_PER_S = 1 / 1_024
/** From this load on who owes all it may waits until it is forgiven ... */
export const LOAD_HOLDING = 0.5
/** ... and from this on peers have shares. */
export const LOAD_SCARCE = 0.9
const PROPOSE_CREDITS_MAX = 16_384
const PROPOSE_PAUSE_MS = 5_000
/** What is only forgiven waits so much longer, while the peer owes less than half of what it may: it presses nobody. */
const FORGIVING_TIMES = 8
const UNSIGNED_MS_MAX = 10 * 60_000
/** An answer that has not come by then comes no more. */
const RESERVED_MS_MAX = 30_000
const STRIKES_MAX = 4
/** Less room than this, a shard, is none. */
const ROOM_MIN = 62
const DAY_MINUTES = 24 * 60
/** What a member that never served may owe under load: with the quarter beyond it, less than 1 MiB for a puzzle. */
const NEWCOMER_CREDITS = 800
/** So long until half of a peer's merit has faded. */
const MERIT_HALF_MS = DAY_MINUTES * 60_000
/** Below 2^48 by far. */
const MERIT_MAX = 2 ** 40
/** Own requests of which the peer's answers are remembered; half fade away at each round number. */
const ANSWERS_REMEMBERED = 256

/** What of an account outlives the process besides the pair's state. */
export interface AccountMemory {
  readonly limit: number
  readonly strikes: number
  /** When the day began whose service is counted, and what had been got then. */
  readonly dayMinute: number
  readonly dayGot: number
  /** Credits that are forgiven under load for what the peer has served. */
  readonly merit: number
}

/** What the membership view says of a peer. */
export interface Place {
  /** It has shown a descriptor, and so solved a puzzle. */
  readonly isMember: boolean
  /** How many there are. */
  readonly members: number
}

export interface Standing {
  readonly word: Word
  readonly exposure: number
  /** What the peer may owe under load; at most its limit. */
  readonly allowance: number
  /** 0 to 1; orders peers of one word. */
  readonly score: number
}

const SHARES: Readonly<Record<Word, number>> = { serve: 16, delay: 1, refuse: 0.25 }

/** How the peer is to be served at that load. SPEC ledger §7 */
export function wordAt(load: number, { word }: Pick<Standing, 'word'>): Word {
  if (load < LOAD_HOLDING || (load < LOAD_SCARCE && word !== 'refuse')) return 'serve'
  return word
}

/** Its part of what is sent while others wait. SPEC ledger §7 */
export function uploadShare({ word, score }: Pick<Standing, 'word' | 'score'>): number {
  return SHARES[word] * (0.5 + score / 2)
}

export class Account {
  readonly side: Side
  #top: Entry | undefined
  #given = 0
  #got = 0
  #limit: number
  #strikes: number
  #dayMinute: number
  #dayGot: number
  #forgiving = 0
  #merit: number
  #fadedMs: number | undefined
  /** Until when it was forgiven what the peer owes. */
  #forgivenMs: number | undefined
  /** What was let in and is not answered yet. */
  #reserved = 0
  #reservedMs = 0
  #unsignedSinceMs: number | undefined
  #proposedMs = Number.NEGATIVE_INFINITY
  #servedMs = 0
  #ackedMs = 0
  #asked = 0
  #answered = 0
  /** Credits served and not counted, since there was room for all; and tails written off. */
  gifts = 0
  writtenOff = 0
  isFraud = false

  constructor(from: { side: Side; top: Entry | undefined; memory: AccountMemory | undefined; minute: number }) {
    this.side = from.side
    this.#limit = from.memory?.limit ?? LIMIT_START
    this.#strikes = from.memory?.strikes ?? 0
    this.#dayMinute = from.memory?.dayMinute ?? from.minute
    this.#dayGot = from.memory?.dayGot ?? 0
    this.#merit = from.memory?.merit ?? 0
    this.signed(from.top, 0)
  }

  get memory(): AccountMemory {
    const merit = Math.floor(this.#merit)
    return { limit: this.#limit, strikes: this.#strikes, dayMinute: this.#dayMinute, dayGot: this.#dayGot, merit }
  }
  get limit(): number {
    return this.#limit
  }
  /** What the peer lets this side owe. */
  get peerLimit(): number {
    if (this.#top === undefined) return LIMIT_START
    return this.side === 'A' ? this.#top.limitBA : this.#top.limitAB
  }
  get signedGiven(): number {
    return (this.side === 'A' ? this.#top?.servedAB : this.#top?.servedBA) ?? 0
  }
  get signedGot(): number {
    return (this.side === 'A' ? this.#top?.servedBA : this.#top?.servedAB) ?? 0
  }
  /** By both signatures, above zero: the peer owes. */
  get balance(): number {
    return balanceFor(this.side, this.#top)
  }
  get given(): number {
    return this.#given
  }
  get got(): number {
    return this.#got
  }
  get tailGiven(): number {
    return this.#given - this.signedGiven
  }
  get tailGot(): number {
    return this.#got - this.signedGot
  }
  get strikes(): number {
    return this.#strikes
  }
  get merit(): number {
    return this.#merit
  }
  /** Fraud, or debts again and again not signed for: nothing is lent any more. */
  get isOut(): boolean {
    return this.isFraud || this.#strikes >= STRIKES_MAX
  }
  /** What the peer owes, tails included; below zero this side owes. */
  get exposure(): number {
    return this.balance + this.tailGiven - this.tailGot - this.#forgiving
  }
  /** Of own requests to the peer, the share answered with good data. A peer never asked is trusted half. */
  get reliability(): number {
    return (this.#answered + 1) / (this.#asked + 2)
  }

  /** A new last entry. */
  signed(top: Entry | undefined, nowMs: number): void {
    const before = { given: this.signedGiven, got: this.signedGot }
    this.#top = top
    if (this.signedGiven > before.given) this.#ackedMs = nowMs
    this.#given = Math.max(this.#given, this.signedGiven)
    this.#got = Math.max(this.#got, this.signedGot)
    this.#forgiving = Math.max(0, Math.min(this.#forgiving, this.balance + this.tailGiven))
    // What came since the entry was proposed waits from now on.
    if (this.tailGot === 0) this.#unsignedSinceMs = undefined
    else if (this.signedGot > before.got) this.#unsignedSinceMs = nowMs
  }

  /** This side served the peer. */
  gave(credits: number, nowMs: number): void {
    this.#servedMs = nowMs
    if (this.exposure <= 0) this.#forgivenMs = nowMs
    this.#reserved = Math.max(0, this.#reserved - credits)
    // Beyond, it had room that nobody else wanted: that costs nothing.
    const counted = Math.floor(Math.max(0, Math.min(credits, 1.25 * this.#limit - this.exposure)))
    this.gifts += credits - counted
    this.#given += counted
  }

  /** A request of a peer that is held back was let in: its answer counts at once. */
  reserve(credits: number, nowMs: number): void {
    this.#reserved += credits
    this.#reservedMs = nowMs
  }

  /** The peer served this side, and what came was good. */
  took(credits: number, at: { readonly nowMs: number; readonly members: number }): void {
    this.#fade(at.nowMs)
    this.#merit = Math.min(MERIT_MAX, this.#merit + credits * at.members)
    const counted = Math.floor(Math.max(0, Math.min(credits, 1.25 * this.peerLimit + this.exposure)))
    this.#got += counted
    if (counted > 0) this.#unsignedSinceMs ??= at.nowMs
  }

  /** How a request of this side to the peer ended. */
  asked(wasGood: boolean): void {
    if (this.#asked >= ANSWERS_REMEMBERED) {
      this.#asked /= 2
      this.#answered /= 2
    }
    this.#asked++
    if (wasGood) this.#answered++
  }

  standing({ isMember, members }: Place): Standing {
    const exposure = this.exposure + this.#reserved
    const earned = Math.min(this.#limit, this.#got * members)
    const allowance = Math.min(this.#limit, (isMember ? NEWCOMER_CREDITS : 0) + this.#got * members)
    const word = this.isOut || exposure > 1.25 * allowance - ROOM_MIN ? 'refuse' : exposure > earned ? 'delay' : 'serve'
    const room = allowance === 0 ? 0 : Math.max(0, Math.min(1, (allowance - exposure) / allowance))
    return { word, exposure, allowance, score: room * this.reliability }
  }

  /** Nothing is to be forgiven, and no answer is awaited: seconds change nothing. */
  get isStill(): boolean {
    return this.#reserved === 0 && this.exposure <= 0
  }

  /** Nobody owes anything, nothing is to be proposed, and time changes nothing but the day. */
  get isQuiet(): boolean {
    if (this.isOut || !this.isStill) return false
    if (this.tailGiven > 0 || this.tailGot > 0 || this.#limitToSign() !== this.#signedLimit) return false
    return this.#forgiving < 1 || this.balance <= 0
  }

  /** Time passes: forgives, writes off, lets the limit grow. */
  tick(at: { nowMs: number; minute: number; isLoaded: boolean }): void {
    if (this.exposure > 0) this.#forgive(at)
    this.#fade(at.nowMs)
    if (at.nowMs - this.#reservedMs > RESERVED_MS_MAX) this.#reserved = 0
    const quietMs = at.nowMs - Math.max(this.#servedMs, this.#ackedMs)
    if (this.tailGiven > 0 && quietMs > UNSIGNED_MS_MAX) this.#writeOff()
    if (at.minute - this.#dayMinute >= DAY_MINUTES) this.#newDay(at.minute)
  }

  /** What is to be proposed now, or undefined. What is little waits for `everyMs`. */
  wish(at: { nowMs: number; minute: number; everyMs: number }): Wish | undefined {
    if (at.nowMs - this.#proposedMs < PROPOSE_PAUSE_MS) return undefined
    // What the peer has not signed yet does not count here: neither balance may pass what the entry allows.
    const owed = Math.max(0, Math.min(this.tailGot, Math.floor(1.25 * this.peerLimit) + this.balance))
    const forgive = Math.max(0, Math.min(Math.floor(this.#forgiving), this.balance - owed))
    const limit = this.#limitToSign()
    const amount = owed + forgive
    const isNews = amount > 0 || limit !== this.#signedLimit
    if (!isNews) return undefined
    this.#unsignedSinceMs ??= at.nowMs
    const enough = Math.min(PROPOSE_CREDITS_MAX, Math.min(this.#limit, this.peerLimit) / 4)
    const isPressing = owed > 0 || limit !== this.#signedLimit || 2 * this.balance > this.#limit
    const waitsMs = isPressing ? at.everyMs : FORGIVING_TIMES * at.everyMs
    const isLate = at.nowMs - (this.#unsignedSinceMs ?? at.nowMs) >= waitsMs
    if (amount < enough && !isLate) return undefined
    return { servedByPeer: this.signedGot + owed, forgive, pay: 0, limit, minute: at.minute }
  }

  /** When what is unsigned has waited for `everyMs`; monotonic ms. */
  lateAtMs(everyMs: number): number {
    return (this.#unsignedSinceMs ?? Number.POSITIVE_INFINITY) + everyMs
  }

  /** The wish became a proposal that is out. Dropped for one of the peer's, what it said is still to be said, and soon. */
  proposed(wish: Wish, nowMs: number): void {
    this.#proposedMs = nowMs
    this.#forgiving = Math.max(0, this.#forgiving - wish.forgive)
  }

  /** Also of an account that was not looked at for a while. */
  #fade(nowMs: number): void {
    this.#merit *= 0.5 ** (Math.max(0, nowMs - (this.#fadedMs ?? nowMs)) / MERIT_HALF_MS)
    this.#fadedMs = nowMs
  }

  /** Under load for what the peer has done; else since it costs nobody anything. */
  #forgive({ nowMs, isLoaded }: { nowMs: number; isLoaded: boolean }): void {
    const elapsedMs = nowMs - (this.#forgivenMs ?? nowMs)
    this.#forgivenMs = nowMs
    const most = isLoaded ? this.#merit : (elapsedMs / 1_000) * FORGIVEN_PER_S * this.#limit
    const share = Math.min(most, this.exposure)
    this.#forgiving += share
    if (isLoaded) this.#merit -= share
  }

  get #signedLimit(): number {
    if (this.#top === undefined) return LIMIT_START
    return this.side === 'A' ? this.#top.limitAB : this.#top.limitBA
  }

  /** Never below what the peer owes by signature already, never above double what is signed. */
  #limitToSign(): number {
    const least = Math.ceil(Math.max(0, this.balance) / 1.25)
    return Math.min(LIMIT_MAX, 2 * this.#signedLimit, Math.max(this.#limit, least))
  }

  #newDay(minute: number): void {
    if (this.#got - this.#dayGot >= this.#limit / 4) {
      this.#limit = Math.min(LIMIT_MAX, 2 * this.#limit)
      this.#strikes = 0
    }
    this.#dayMinute = minute
    this.#dayGot = this.#got
  }

  #writeOff(): void {
    const lost = this.tailGiven
    this.#given -= lost
    this.writtenOff += lost
    this.#forgiving = Math.max(0, Math.min(this.#forgiving, this.balance))
    if (4 * lost <= this.#limit) return
    this.#strikes++
    this.#limit = Math.max(LIMIT_MIN, Math.floor(this.#limit / 2))
  }
}
