/** Shards of own puts that found no keeper: they are tried again until there is one, across restarts. SPEC requests §8 */
import { around, type Clock, type Jitter, type Log, messageOf, type Timer } from '../../core/index.ts'
import type { ContentRef, ShardStore } from '../../storage/index.ts'

/** Twice as long after each round that placed nothing: some are refused for as long as their keepers are who they are. */
const EVERY_MS = { min: 5_000, max: 60_000 }
/** Tried in one round. */
const ROUND_MAX = 32

export interface PendingPutsPorts {
  readonly clock: Clock
  readonly jitter: Jitter
  readonly log: Log
  readonly pending: ShardStore
  /** Whether it has a keeper now. */
  readonly place: (ref: ContentRef, bytes: Uint8Array) => Promise<boolean>
}

export class PendingPuts {
  readonly #p: PendingPutsPorts
  #everyMs = EVERY_MS.min
  /** The last one that was tried: the next round goes on behind it. */
  #last: ContentRef | undefined
  #timer: Timer | undefined
  #isTrying = false
  #isStopped = false

  constructor(ports: PendingPutsPorts) {
    this.#p = ports
  }

  get count(): number {
    return this.#p.pending.usage().count
  }

  /** What an earlier process left, and from then on whatever is added. */
  start(): void {
    this.#later()
  }

  /** Resolves with 'stored' once it would survive a crash. */
  async add(shard: Parameters<ShardStore['put']>[0]): Promise<'stored' | 'full'> {
    const kept = await this.#p.pending.put(shard)
    this.#later()
    return kept
  }

  #later(): void {
    const { clock, jitter, log } = this.#p
    if (this.#isStopped || this.#isTrying || this.#timer !== undefined || this.count === 0) return
    this.#timer = clock.setTimer(around(jitter, this.#everyMs, 0.5), () => {
      this.#timer = undefined
      this.#isTrying = true
      void this.#round()
        .catch((error: unknown) => log('debug', 'pending shards wait on', { reason: messageOf(error) }))
        .finally(() => {
          this.#isTrying = false
          this.#later()
        })
    })
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  async #round(): Promise<void> {
    const { pending, place } = this.#p
    const after = this.#last
    const page = pending.list({ limit: ROUND_MAX, ...(after && { after }) })
    this.#last = page.length < ROUND_MAX ? undefined : page.at(-1)?.ref
    let placed = 0
    for (const { ref } of page) {
      if (this.#isStopped) return
      const bytes = pending.get(ref)
      if (bytes !== undefined && !(await place(ref, bytes))) continue
      await pending.delete(ref)
      placed++
    }
    const isVain = page.length > 0 && placed === 0
    this.#everyMs = isVain ? Math.min(EVERY_MS.max, 2 * this.#everyMs) : EVERY_MS.min
  }
}
