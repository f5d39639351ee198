/** The system's clock and timers. Milliseconds. */
import type { Clock, Timer } from '../../core/index.ts'

/** Node's timers fire at once when asked for more than this. */
const TIMER_MS_MAX = 2 ** 31 - 1

export function systemClock(): Clock {
  return { nowMs: () => Date.now(), monotonicMs: () => performance.now(), setTimer }
}

function setTimer(delayMs: number, run: () => void): Timer {
  let left = Math.max(0, delayMs)
  let timer: NodeJS.Timeout
  const arm = () => {
    const step = Math.min(left, TIMER_MS_MAX)
    left -= step
    timer = setTimeout(() => (left > 0 ? arm() : run()), step)
    timer.unref()
  }
  arm()
  return { cancel: () => clearTimeout(timer) }
}
