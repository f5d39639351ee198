/**
 * When keepers compare what they hold: soon after the ring has changed, now and then anyway, and once
 * more, thoroughly, before leaving. SPEC requests §7
 */
import { around, type Clock, type Jitter, type Log, messageOf, type Profile, type Timer } from '../../core/index.ts'
import type { Keeper, ReconcileReport } from '../roles/keeper.ts'

/** Passes a leaver makes until nothing lacks. */
const HAND_OVER_PASSES_MAX = 5

export class Reconcile {
  readonly #p: { clock: Clock; jitter: Jitter; log: Log; profile: Profile; keeper: Keeper }
  #timer: Timer | undefined
  #running: Promise<void> | undefined
  #isWanted = false
  #isStopped = false

  constructor(ports: { clock: Clock; jitter: Jitter; log: Log; profile: Profile; keeper: Keeper }) {
    this.#p = ports
  }

  start(): void {
    this.#plan(this.#p.profile.reconcileEveryMs)
  }

  /** The ring has changed: once it has had a moment to settle. */
  soon(): void {
    this.#isWanted = true
    this.#plan(this.#p.profile.stabiliseEveryMs * 2)
  }

  /** Passes, as if this node were gone, until every shard has its copies elsewhere. */
  async handOver(): Promise<ReconcileReport> {
    this.#isStopped = true
    this.#timer?.cancel()
    await this.#running
    let report: ReconcileReport = { pushed: 0, dropped: 0, lacking: 0 }
    for (let pass = 0; pass < HAND_OVER_PASSES_MAX; pass++) {
      report = await this.#p.keeper.reconcile({ leaving: true, isStopped: () => false })
      if (report.lacking === 0) break
    }
    return report
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  #plan(delayMs: number): void {
    if (this.#isStopped) return
    this.#timer?.cancel()
    this.#timer = this.#p.clock.setTimer(around(this.#p.jitter, delayMs, 0.2), () => {
      if (this.#running === undefined) {
        this.#running = this.#pass().finally(() => {
          this.#running = undefined
        })
      }
    })
  }

  async #pass(): Promise<void> {
    this.#isWanted = false
    try {
      const report = await this.#p.keeper.reconcile({ leaving: false, isStopped: () => this.#isStopped })
      if (report.pushed + report.dropped + report.lacking > 0) {
        const { pushed, dropped, lacking } = report
        this.#p.log('info', 'reconciled', { pushed, dropped, lacking })
      }
      if (report.lacking > 0) this.#isWanted = true
    } catch (error) {
      this.#p.log('error', 'reconciling failed', { reason: messageOf(error) })
    }
    if (this.#isWanted) this.soon()
    else this.start()
  }
}
