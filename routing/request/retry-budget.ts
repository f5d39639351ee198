/**
 * How often may be asked again for what has not come: a tenth of what is asked for the first time, and a few besides.
 * So a network that is slow is asked for a tenth more, not for many times as much, while single failures are still
 * made good at once. Pure: time comes in. SPEC requests §11
 */

/** Of each first request. */
const EARNED = 1 / 10
/** With time: nobody is left without for ever. */
const PER_S = 1 / 5
const MOST = 10

export class RetryBudget {
  #left = MOST
  #atMs: number | undefined

  /** Something is asked for the first time. */
  earn(): void {
    this.#left = Math.min(MOST, this.#left + EARNED)
  }

  /** Whether it may be asked for again; one less may be then. */
  take(nowMs: number): boolean {
    const passedMs = Math.max(0, nowMs - (this.#atMs ?? nowMs))
    this.#atMs = nowMs
    this.#left = Math.min(MOST, this.#left + (passedMs / 1_000) * PER_S)
    if (this.#left < 1) return false
    this.#left--
    return true
  }
}
