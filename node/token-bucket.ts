/**
 * How often something may happen: at once as often as the bucket holds, in the long run as often as it
 * fills up. It starts full. Times in milliseconds, handed in, from a clock that never goes back.
 */
export interface Rate {
  readonly burst: number
  readonly perSecond: number
}

export class TokenBucket {
  readonly #rate: Rate
  #left: number
  #atMs: number

  constructor(rate: Rate, nowMs: number) {
    this.#rate = rate
    this.#left = rate.burst
    this.#atMs = nowMs
  }

  /** Takes `count` out if so many are in it. */
  take(nowMs: number, count = 1): boolean {
    this.#left = this.left(nowMs)
    this.#atMs = nowMs
    if (this.#left < count) return false
    this.#left -= count
    return true
  }

  /** Whether it is as full as it gets: then it may be forgotten and made anew. */
  isFull(nowMs: number): boolean {
    return this.left(nowMs) >= this.#rate.burst
  }

  left(nowMs: number): number {
    const { burst, perSecond } = this.#rate
    return Math.min(burst, this.#left + (Math.max(0, nowMs - this.#atMs) / 1_000) * perSecond)
  }
}
