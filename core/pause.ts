import type { Clock } from './ports.ts'

/** Resolves after `delayMs`, or at once when the signal says that nobody waits any more. */
export function pause(clock: Pick<Clock, 'setTimer'>, delayMs: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const timer = clock.setTimer(delayMs, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    const onAbort = (): void => {
      timer.cancel()
      resolve()
    }
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
