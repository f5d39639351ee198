/**
 * A progress line on a terminal, with rate and time left; nothing at all off one. Rate over the last
 * few seconds, since the first ones (circuits, the root) say little about the rest.
 */
import type { Writable } from 'node:stream'
import { sizeText, spanText } from './text.ts'

export interface Progress {
  /** How far it is; `words` follow the figures. */
  update(doneBytes: number, words?: string): void
  /** Takes the line away. Safe to call twice. */
  stop(): void
}

export interface ProgressOptions {
  readonly stream: Writable & { readonly isTTY?: boolean; readonly columns?: number }
  readonly label: string
  /** Absent: unknown, so neither bar nor time left. */
  readonly totalBytes?: number
  readonly isQuiet: boolean
}

const SILENT: Progress = { update: () => undefined, stop: () => undefined }

export async function startProgress(options: ProgressOptions): Promise<Progress> {
  if (options.isQuiet || options.stream.isTTY !== true) return SILENT
  const { SingleBar } = (await import('cli-progress')).default
  const rate = new RateMeter()
  let words = ''
  const bar = new SingleBar({
    stream: options.stream,
    clearOnComplete: true,
    hideCursor: true,
    gracefulExit: false,
    fps: 8,
    format: (_, state) =>
      progressLine({
        label: options.label,
        doneBytes: state.value,
        ...(options.totalBytes !== undefined && { totalBytes: options.totalBytes }),
        bytesPerSecond: rate.perSecond(performance.now(), state.value),
        words,
        width: options.stream.columns ?? 80,
      }),
  })
  bar.start(options.totalBytes ?? 0, 0)
  return {
    update: (doneBytes, more = '') => {
      words = more
      bar.update(doneBytes)
    },
    stop: () => bar.stop(),
  }
}

const BAR_WIDTH = 24

/** The line itself, cut to `width`. */
export function progressLine(state: {
  readonly label: string
  readonly doneBytes: number
  readonly totalBytes?: number
  readonly bytesPerSecond: number
  readonly words: string
  readonly width: number
}): string {
  const parts = [state.label]
  const { totalBytes, doneBytes, bytesPerSecond } = state
  if (totalBytes === undefined) {
    parts.push(sizeText(doneBytes))
  } else {
    const part = totalBytes === 0 ? 1 : Math.min(1, doneBytes / totalBytes)
    const full = Math.floor(part * BAR_WIDTH)
    parts.push(`[${'='.repeat(full)}${' '.repeat(BAR_WIDTH - full)}]`)
    parts.push(`${String(Math.floor(part * 100)).padStart(3)}%`, `${sizeText(doneBytes)} of ${sizeText(totalBytes)}`)
  }
  parts.push(`${sizeText(bytesPerSecond)}/s`)
  if (totalBytes !== undefined && bytesPerSecond > 0 && doneBytes < totalBytes) {
    parts.push(`${spanText((totalBytes - doneBytes) / bytesPerSecond)} left`)
  }
  if (state.words !== '') parts.push(state.words)
  return parts.join('  ').slice(0, Math.max(20, state.width - 1))
}

/** Bytes per second over a window that slides. Times from any clock that does not go back. */
export class RateMeter {
  static readonly WINDOW_MS = 5_000
  #samples: { readonly atMs: number; readonly doneBytes: number }[] = []

  perSecond(nowMs: number, doneBytes: number): number {
    this.#samples.push({ atMs: nowMs, doneBytes })
    while (this.#samples.length > 2 && (this.#samples[1]?.atMs ?? nowMs) <= nowMs - RateMeter.WINDOW_MS) {
      this.#samples.shift()
    }
    const first = this.#samples[0]
    if (first === undefined || nowMs <= first.atMs) return 0
    return Math.max(0, ((doneBytes - first.doneBytes) * 1000) / (nowMs - first.atMs))
  }
}
