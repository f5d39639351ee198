/**
 * How many requests one home has under way at once: more while answers come in time, fewer as they come late, as
 * "busy", or not at all. By the share of them that do, as DCTCP does, not by each: a few silent or hostile relays
 * slow nobody down, a network that is full everybody. Pure: time and chance come in. SPEC requests §11
 *
 *   doubling each round ── the first bad round ──> a request more each round; each bad round a part less
 *
 * A round is as long as one request takes: it ends with the first answer to what was asked after it began.
 */
import { between, type Jitter } from '../../core/index.ts'

/** An answer that took longer has waited for others on its way: links and disks take tenths of a second. */
export const LATE_MS = 5_000
/** As many as a small object asks for at once. */
export const WINDOW_START = 16
/** More than one object asks for at a time. */
export const WINDOW_MAX = 128
/** One request in sixteen seconds. Late answers alone never go below one at a time: that fills nothing. */
export const WINDOW_LEAST = 1 / 16
/** From one request to the next, of a window below one: so long for each that it is less than a whole one. */
const PAUSE_MS = 1_000
/** How much one round counts against those before. */
const ROUND_WEIGHT = 1 / 4
/** Below such a share of bad answers, lately, more may be asked for than is needed. */
const CALM_SHARE = 1 / 8
/** Above, it is the network, and not a few relays that do not answer. */
const FULL_SHARE = 1 / 2

export type Ending =
  /** An answer of any kind but busy. */
  | 'answered'
  /** A hop had no room. */
  | 'busy'
  /** Given up for want of an answer. */
  | 'unanswered'
  /** It broke, or nobody wants it any more: says nothing, unless it had been late by then. */
  | 'broken'

/** One request under way: when it left, and in which round. */
export interface Begun {
  readonly atMs: number
  readonly round: number
}

export class CongestionWindow {
  readonly #jitter: Jitter
  readonly #lateMs: number
  #size = WINDOW_START
  #underWay = 0
  #round = 0
  #good = 0
  #bad = 0
  /** Of this round something was refused or is missing; else what was bad came, and late. */
  #isWorse = false
  /** Of bad answers, of the last rounds. */
  #badShare = 0
  #isDoubling = true
  #notBeforeMs = Number.NEGATIVE_INFINITY

  constructor(from: { readonly jitter: Jitter; readonly lateMs?: number }) {
    this.#jitter = from.jitter
    this.#lateMs = from.lateMs ?? LATE_MS
  }

  /** Requests that may be under way; below one, they have pauses between them. */
  get size(): number {
    return this.#size
  }
  get underWay(): number {
    return this.#underWay
  }
  /** Few answers are late or missing, and there is room: what is not needed yet may be asked for as well. */
  get isCalm(): boolean {
    return this.#badShare < CALM_SHARE && this.#underWay < this.#size
  }

  /** Most answers come late or not at all: what is given up is still on its way. */
  get isFull(): boolean {
    return this.#badShare > FULL_SHARE
  }

  /** Until the next may begin: 0: at once, infinity for when one has ended. `most`: that others allow. */
  waitMs(nowMs: number, most = Number.POSITIVE_INFINITY): number {
    if (this.#underWay >= Math.max(1, Math.floor(Math.min(this.#size, most)))) return Number.POSITIVE_INFINITY
    return Math.max(0, this.#notBeforeMs - nowMs)
  }

  begin(nowMs: number): Begun {
    this.#underWay++
    return { atMs: nowMs, round: this.#round }
  }

  /** How it ended for who asked. Its place it keeps until it leaves. */
  judge(begun: Begun, how: Ending, nowMs: number): void {
    const isLate = nowMs - begun.atMs > this.#lateMs
    if (how === 'broken' && !isLate) return
    const isBad = isLate || how === 'busy' || how === 'unanswered'
    if (isBad) this.#bad++
    else this.#good++
    // A window that was not made use of says nothing about a larger one.
    if (!isBad && 2 * this.#underWay > this.#size) this.#grow()
    if (how === 'busy' || how === 'unanswered') this.#isWorse = true
    if (begun.round === this.#round) this.#endRound()
  }

  /** It loads the network no more. */
  leave(nowMs: number): void {
    this.#underWay--
    if (this.#size < 1) this.#notBeforeMs = nowMs + this.#pauseMs()
  }

  #grow(): void {
    const more = this.#size < 1 || this.#isDoubling ? Math.min(1, this.#size) : 1 / this.#size
    this.#size = Math.min(WINDOW_MAX, this.#size + more)
  }

  #endRound(): void {
    const share = this.#bad / (this.#good + this.#bad)
    const isFirst = this.#isDoubling && share > 0
    this.#badShare = isFirst ? 1 : this.#badShare + ROUND_WEIGHT * (share - this.#badShare)
    if (share > 0) {
      const least = this.#isWorse ? WINDOW_LEAST : Math.min(1, this.#size)
      this.#size = Math.max(least, this.#size * (1 - this.#badShare / 2))
      this.#isDoubling = false
    }
    this.#round++
    this.#good = 0
    this.#bad = 0
    this.#isWorse = false
  }

  /** Drawn, so that those who were refused together do not come back together. */
  #pauseMs(): number {
    return between(this.#jitter, { min: 0.5, max: 1.5 }) * (1 / this.#size - 1) * PAUSE_MS
  }
}
