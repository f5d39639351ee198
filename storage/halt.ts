/**
 * One stop for many: whoever works under it is told once, with the reason. Signals are handed out one to
 * each listener, since a shared AbortSignal costs ever more per listener and warns beyond ten.
 */
export class Halt {
  readonly #listeners = new Set<(reason: unknown) => void>()
  #halted: { readonly reason: unknown } | undefined

  /** Undefined while work goes on. */
  get halted(): { readonly reason: unknown } | undefined {
    return this.#halted
  }

  /** Only the first call counts. */
  halt(reason: unknown): void {
    if (this.#halted !== undefined) return
    this.#halted = { reason }
    for (const listener of this.#listeners) listener(reason)
    this.#listeners.clear()
  }

  /** Calls `run` once halted, at once if that has been; the returned function ends that. */
  onHalt(run: (reason: unknown) => void): () => void {
    if (this.#halted !== undefined) run(this.#halted.reason)
    else this.#listeners.add(run)
    return () => this.#listeners.delete(run)
  }

  /** Runs `work` with a signal of its own. */
  async withSignal<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const own = new AbortController()
    const release = this.onHalt((reason) => own.abort(reason))
    try {
      return await work(own.signal)
    } finally {
      release()
    }
  }

  /** Halts when `signal` is or has been aborted; the returned function ends that. */
  follow(signal: AbortSignal | undefined): () => void {
    if (signal === undefined) return () => undefined
    const onAbort = () => this.halt(signal.reason)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    return () => signal.removeEventListener('abort', onAbort)
  }
}
