/**
 * A machine's clock: off by some, and a little fast or slow. Its timers end with the process that set
 * them, as a crash would have it.
 */
import type { Clock, Timer } from '../core/index.ts'
import type { World } from './world.ts'

/** Unix time at the start of every simulation: 2025-01-01. */
export const START_MS = 1_735_689_600_000

export interface ClockFault {
  readonly skewMs: number
  /** 0.0001: gains 100 µs a second. */
  readonly drift: number
}

/** One process: from its start to its stop or crash. */
export class Life {
  isOver = false
}

export function simClock(world: World, fault: ClockFault, life: Life): Clock {
  const rate = 1 + fault.drift
  const bornMs = world.nowMs
  return {
    nowMs: () => Math.floor(START_MS + fault.skewMs + world.nowMs * rate),
    monotonicMs: () => (world.nowMs - bornMs) * rate,
    setTimer: (delayMs, run): Timer =>
      world.after(delayMs / rate, () => {
        if (!life.isOver) run()
      }),
  }
}
