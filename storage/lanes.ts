/**
 * Bounded work: so many tasks at once, in order of asking, and one failure ends them all. No clocks, no
 * queue without bound: whoever adds work waits for a lane first.
 */

import { Halt } from './halt.ts'

/** Tasks that may be in work at once, unless the caller says otherwise. */
export const STRIPES_IN_FLIGHT = 6

export class Lanes {
  /** Halted at the first failure, with it as the reason; tasks hand that on to whatever they wait for. */
  readonly halt = new Halt()
  readonly #tasks = new Set<Promise<unknown>>()
  readonly #waiting: { go: () => void; fail: (error: unknown) => void }[] = []
  #free: number
  #interrupt: ((error: unknown) => void) | undefined

  constructor(count: number) {
    this.#free = count
  }

  /** Resolves once a lane is the caller's, first come first served; rejects with the first failure. */
  async take(): Promise<void> {
    if (this.halt.halted !== undefined) throw this.halt.halted.reason
    if (this.#free > 0) {
      this.#free -= 1
      return
    }
    await new Promise<void>((go, fail) => this.#waiting.push({ go, fail }))
  }

  give(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free += 1
    else next.go()
  }

  /** Starts a task at once. Its failure is everyone's; the promise may be left alone. */
  start<T>(task: () => Promise<T>): Promise<T> {
    const running = task()
    this.#tasks.add(running)
    running.then(
      () => this.#tasks.delete(running),
      (error: unknown) => {
        this.#tasks.delete(running)
        this.fail(error)
      },
    )
    return running
  }

  /** What `promise` gives, unless a task fails before: then that failure. One caller at a time. */
  race<T>(promise: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.halt.halted !== undefined) reject(this.halt.halted.reason)
      this.#interrupt = reject
      promise.then(resolve, reject)
    })
  }

  fail(error: unknown): void {
    if (this.halt.halted !== undefined) return
    this.halt.halt(error)
    this.#interrupt?.(error)
    for (const waiter of this.#waiting.splice(0)) waiter.fail(error)
  }

  /** Resolves when no task is in work any more, however they ended. */
  async settled(): Promise<void> {
    while (this.#tasks.size > 0) await Promise.allSettled([...this.#tasks])
  }
}

/**
 * Runs `run` over the items, so many at once, and yields the results in the items' order. When the reader
 * stops early or anything fails, `halt` is called, and the generator ends once all runs have; they have to
 * heed it. A failure comes after the results before it.
 */
export async function* mapInOrder<Item, Result>(
  items: Iterable<Item> | AsyncIterable<Item>,
  within: { readonly inFlightMax: number; readonly halt: Halt },
  run: (item: Item) => Promise<Result>,
): AsyncGenerator<Result, void, undefined> {
  const source = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]()
  const queue: Promise<Result>[] = []
  let isDrained = false
  try {
    for (;;) {
      while (!isDrained && queue.length < within.inFlightMax) {
        const next = await source.next()
        if (next.done === true) isDrained = true
        else {
          const running = run(next.value)
          // Looked at in its turn; until then a failure is not an unhandled one.
          running.catch(() => undefined)
          queue.push(running)
        }
      }
      const [first] = queue
      if (first === undefined) return
      const result = await first
      queue.shift()
      yield result
    }
  } finally {
    within.halt.halt(undefined)
    await Promise.allSettled(queue)
    await source.return?.()
  }
}
