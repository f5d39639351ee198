import type { Clock } from '../../core/index.ts'

/** Time that passes when the test says so; a timer runs when its time comes. */
export class HandClock implements Clock {
  #now = 1_800_000_000_000
  readonly #timers = new Set<{ readonly atMs: number; readonly run: () => void }>()
  nowMs(): number {
    return this.#now
  }
  monotonicMs(): number {
    return this.#now
  }
  setTimer(delayMs: number, run: () => void) {
    const timer = { atMs: this.#now + delayMs, run }
    this.#timers.add(timer)
    return { cancel: () => void this.#timers.delete(timer) }
  }
  async pass(ms: number): Promise<void> {
    const untilMs = this.#now + ms
    for (;;) {
      await settled()
      const due = [...this.#timers].filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)
      const [first] = due
      if (first === undefined) break
      this.#now = Math.max(this.#now, first.atMs)
      this.#timers.delete(first)
      first.run()
    }
    this.#now = untilMs
  }
}

/** Work that needs no timer has come to its end. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 300; i++) await new Promise((resolve) => setImmediate(resolve))
}
