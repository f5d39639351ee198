/**
 * Writing to LMDB so that a full disk is an answer and nothing is waited for in vain. SPEC shard-store §3, §4
 *
 * lmdb-js keeps a promise for each flush; when a commit fails, that promise never settles, so whoever waits
 * for a flush is also told of failures.
 */
import type { RootDatabase } from 'lmdb'

export type Environment = RootDatabase<Uint8Array, Uint8Array>

interface Queued {
  readonly write: () => unknown
  readonly done: () => void
  readonly fail: (error: unknown) => void
}

/**
 * Writes are committed in groups: what comes while one group is on its way to the disk, and for a `pause`
 * after it, makes up the next. A commit costs a millisecond and rewrites the path to the root, whether it
 * holds one shard or twenty. The first write after a rest waits for nothing.
 */
export class Writes {
  readonly #env: Environment
  readonly #waiting = new Set<() => void>()
  #queue: Queued[] = []
  #running: Promise<void> | undefined
  #hasFailed = false
  readonly #pause: () => Promise<void>
  #endPause: () => void = () => undefined
  #isClosing = false

  constructor(env: Environment, pause: () => Promise<void>) {
    this.#env = env
    this.#pause = pause
  }

  /** Queues the writes that `write` asks for as one; resolves once they are committed, rejects with the cause. */
  commit(write: () => unknown): Promise<void> {
    return new Promise((done, fail) => {
      this.#queue.push({ write, done, fail })
      this.#running ??= this.#run()
    })
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      const group = this.#queue
      this.#queue = []
      try {
        await this.#commitGroup(group)
        for (const { done } of group) done()
        await this.flush()
        if (!this.#isClosing) await this.#rest()
      } catch (error) {
        for (const { fail } of group) fail(error)
      }
    }
    // In the same step as the last look at the queue: what comes later begins a run of its own.
    this.#running = undefined
  }

  async #commitGroup(group: readonly Queued[]): Promise<void> {
    try {
      await this.#env.batch(() => {
        for (const { write } of group) write()
      })
      this.#hasFailed = false
    } catch (error) {
      this.#hasFailed = true
      for (const fail of this.#waiting) fail()
      // lmdb-js hands the cause over as a promise that rejects.
      await (error instanceof Error && 'commitError' in error ? error.commitError : undefined)
      throw error
    }
  }

  #rest(): Promise<void> {
    return new Promise((resolve) => {
      this.#endPause = resolve
      void this.#pause().then(resolve)
    })
  }

  /** Resolves once nothing waits to be committed; from now on there are no pauses. */
  async settled(): Promise<void> {
    this.#isClosing = true
    this.#endPause()
    while (this.#running !== undefined) await this.#running
  }

  /** Resolves with true once everything committed is on disk; with false when the last commit failed or the next does. */
  flush(): Promise<boolean> {
    if (this.#hasFailed) return Promise.resolve(false)
    return new Promise((resolve, reject) => {
      const fail = () => resolve(false)
      this.#waiting.add(fail)
      this.#env.flushed
        .then(
          () => resolve(true),
          (error: unknown) => reject(error),
        )
        .finally(() => this.#waiting.delete(fail))
    })
  }

  /** Whether the last commit failed: then closing would wait for ever. */
  get hasFailed(): boolean {
    return this.#hasFailed
  }
}

/** What LMDB makes of a write that the disk took in part only, as a full one does. */
const EIO = 5
const EFBIG = 27
const ENOSPC = 28
const EDQUOT = 122
const MDB_MAP_FULL = -30_792

export function isDiskFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code: unknown = 'code' in error ? error.code : undefined
  const isKnown = [EIO, ENOSPC, EFBIG, EDQUOT, MDB_MAP_FULL].some((full) => full === code)
  return isKnown || /no space left|file too large|disk quota exceeded|mapsize limit/i.test(error.message)
}
