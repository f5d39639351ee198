/**
 * The one queue of events that the whole simulated network runs on, and its trace. Time is virtual, in
 * milliseconds since the start; events at the same time run in the order they were made.
 *
 * Each event runs in a turn of its own: what it resolves has run its course before the next one starts, as
 * on a real machine. So promises need no care, and one seed gives one course of events.
 */
import type { Timer } from '../core/index.ts'

export interface SimEvent extends Timer {
  readonly atMs: number
}

class Scheduled implements SimEvent {
  readonly atMs: number
  readonly order: number
  run: (() => void) | undefined
  constructor(atMs: number, order: number, run: () => void) {
    this.atMs = atMs
    this.order = order
    this.run = run
  }
  cancel(): void {
    this.run = undefined
  }
}

/** Events handed to the event loop of the process at once: it drains promises between two of them. */
const BATCH = 512
/** Notable happenings kept for the report of a failure. */
const TRACE_MAX = 3_000

export class World {
  nowMs = 0
  /** Events that have run. */
  count = 0
  readonly trace = new Trace()
  #heap: Scheduled[] = []
  #order = 0
  #failure: unknown

  after(delayMs: number, run: () => void): SimEvent {
    return this.at(this.nowMs + Math.max(0, delayMs), run)
  }

  at(atMs: number, run: () => void): SimEvent {
    const event = new Scheduled(Math.max(atMs, this.nowMs), this.#order++, run)
    push(this.#heap, event)
    return event
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.after(delayMs, resolve))
  }

  /** Events waiting, cancelled ones included. */
  get waiting(): number {
    return this.#heap.length
  }

  /** Ends the run with this error, at the next event. */
  fail(error: unknown): void {
    this.#failure ??= error
  }

  /** Runs until `isDone` says so, looked at after each event; rejects when no event is left before that. */
  run(isDone: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      let left = 0
      let isOver = false
      const step = (): void => {
        left--
        if (isOver) return
        try {
          if (this.#failure !== undefined) throw this.#failure
          if (isDone()) {
            isOver = true
            resolve()
            return
          }
          this.#runNext()
        } catch (error) {
          isOver = true
          reject(error)
          return
        }
        if (left === 0) refill()
      }
      const refill = (): void => {
        left = BATCH
        for (let i = 0; i < BATCH; i++) setImmediate(step)
      }
      refill()
    })
  }

  #runNext(): void {
    for (;;) {
      const event = pop(this.#heap)
      if (event === undefined) throw new Error('the simulation stands still: no event is left')
      if (event.run === undefined) continue
      this.nowMs = event.atMs
      this.count++
      event.run()
      return
    }
  }
}

/** The course of events in a few bytes, to compare two runs, and its last notable lines. */
export class Trace {
  #a = 0x9e3779b9
  #b = 0x85ebca6b
  #lines: string[] = []
  /** Told of each line as it happens. */
  onLine: (line: string) => void = () => {}

  /** Mixes a number into the hash: each event of the network and each fault does. */
  mix(value: number): void {
    this.#a = Math.imul(this.#a ^ value, 0x85ebca6b)
    this.#a ^= this.#a >>> 13
    this.#b = (Math.imul(this.#b, 31) + this.#a) | 0
  }

  note(atMs: number, line: string): void {
    for (let i = 0; i < line.length; i++) this.mix(line.charCodeAt(i))
    const timed = `${(atMs / 1000).toFixed(3).padStart(10)} ${line}`
    this.#lines.push(timed)
    this.onLine(timed)
    if (this.#lines.length > 2 * TRACE_MAX) this.#lines = this.#lines.slice(-TRACE_MAX)
  }

  last(count: number): readonly string[] {
    return this.#lines.slice(-count)
  }

  hash(): string {
    const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, '0')
    return hex(this.#a) + hex(this.#b)
  }
}

// --- a binary heap, the earliest event first ----------------------------------------------------

function isBefore(a: Scheduled, b: Scheduled): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}

function push(heap: Scheduled[], event: Scheduled): void {
  let at = heap.push(event) - 1
  while (at > 0) {
    const above = (at - 1) >> 1
    const parent = heap[above] as Scheduled
    if (!isBefore(event, parent)) break
    heap[at] = parent
    at = above
  }
  heap[at] = event
}

function pop(heap: Scheduled[]): Scheduled | undefined {
  const first = heap[0]
  const last = heap.pop()
  if (first === undefined || last === undefined || heap.length === 0) return first
  let at = 0
  for (;;) {
    let below = 2 * at + 1
    if (below >= heap.length) break
    const right = heap[below + 1]
    if (right !== undefined && isBefore(right, heap[below] as Scheduled)) below++
    const child = heap[below] as Scheduled
    if (!isBefore(child, last)) break
    heap[at] = child
    at = below
  }
  heap[at] = last
  return first
}
