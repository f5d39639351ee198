/**
 * When keepers compare what they hold: soon after the ring or the view around this node has changed, now and
 * then anyway, and once more, thoroughly, before leaving. SPEC requests §7
 */
import { around, type Clock, type Jitter, type Log, messageOf, type Profile, type Timer } from '../../core/index.ts'
import type { Crowd } from '../../routing/index.ts'
import type { Copies } from '../roles/copies.ts'
import type { Holders } from '../roles/holders.ts'
import type { PointerReconciler } from '../roles/pointer-reconciler.ts'
import type { ReconcileOptions, ReconcileReport, Reconciler } from '../roles/reconciler.ts'
import type { Tending } from '../roles/tending.ts'

/** Passes a leaver makes until nothing lacks. */
const HAND_OVER_PASSES_MAX = 5

export interface ReconcilePorts {
  readonly clock: Clock
  readonly jitter: Jitter
  readonly log: Log
  readonly profile: Profile
  readonly holders: Holders
  readonly copies: Copies
  readonly reconciler: Reconciler
  readonly pointerReconciler: PointerReconciler
  readonly tending: Tending
}

export class Reconcile {
  readonly #p: ReconcilePorts
  #timer: Timer | undefined
  #running: Promise<void> | undefined
  #dueMs = Number.POSITIVE_INFINITY
  #isWanted = false
  #isStopped = false
  #around = ''
  #isCrowded = false

  constructor(ports: ReconcilePorts) {
    this.#p = ports
  }

  start(): void {
    this.#plan(this.#p.profile.reconcileEveryMs)
    this.#watch()
  }

  /** The ring has changed: once it has had a moment to settle. */
  soon(): void {
    this.#isWanted = true
    this.#plan(this.#p.profile.stabiliseEveryMs * 2)
  }

  /** Who should hold what is a matter of the view, which may learn of a neighbour later than the ring does. */
  #watch(): void {
    const { clock, jitter, profile, holders, copies, tending } = this.#p
    clock.setTimer(around(jitter, profile.stabiliseEveryMs * 2, 0.2), () => {
      if (this.#isStopped) return
      const found = holders.neighbourhood()
      if (found !== this.#around || copies.takeAside() || tending.isDue()) this.soon()
      this.#around = found
      this.#warn(holders.crowd())
      this.#watch()
    })
  }

  /** Once when a crowd is there, and once when it is gone. */
  #warn(crowd: Crowd | undefined): void {
    if ((crowd !== undefined) === this.#isCrowded) return
    this.#isCrowded = crowd !== undefined
    if (crowd === undefined) this.#p.log('info', 'region no longer crowded')
    else this.#p.log('warn', 'region is crowded', { members: crowd.members, arcs: Number(crowd.arcs.toPrecision(2)) })
  }

  /** Passes, as if this node were gone, until every shard has its copies elsewhere. */
  async handOver(): Promise<ReconcileReport> {
    this.#isStopped = true
    this.#timer?.cancel()
    await this.#running
    let report: ReconcileReport = { pushed: 0, dropped: 0, lacking: 0, surplus: 0 }
    for (let pass = 0; pass < HAND_OVER_PASSES_MAX; pass++) {
      report = await this.#passAll({ leaving: true, isStopped: () => false })
      if (report.lacking === 0) break
    }
    return report
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  /** What is due earlier stays due: news that never ends must not put the pass off for ever. */
  #plan(delayMs: number): void {
    const { clock, jitter } = this.#p
    const waitMs = around(jitter, delayMs, 0.2)
    const dueMs = clock.monotonicMs() + waitMs
    if (this.#isStopped || dueMs >= this.#dueMs) return
    this.#timer?.cancel()
    this.#dueMs = dueMs
    this.#timer = clock.setTimer(waitMs, () => {
      this.#dueMs = Number.POSITIVE_INFINITY
      if (this.#running === undefined) {
        this.#running = this.#pass().finally(() => {
          this.#running = undefined
        })
      }
    })
  }

  /** Pointers first: they are small, and what others cannot answer for without them is much. */
  async #passAll(options: ReconcileOptions): Promise<ReconcileReport> {
    const pointers = await this.#p.pointerReconciler.pass(options)
    const contents = await this.#p.reconciler.pass(options)
    const sum = (name: keyof ReconcileReport): number => pointers[name] + contents[name]
    return { pushed: sum('pushed'), dropped: sum('dropped'), lacking: sum('lacking'), surplus: sum('surplus') }
  }

  async #pass(): Promise<void> {
    this.#isWanted = false
    try {
      const options = { leaving: false, isStopped: () => this.#isStopped }
      const { moved, left } = await this.#p.tending.move(options)
      if (moved > 0) this.#p.log('info', 'moved to vaults', { moved, left })
      if (left > 0) this.#isWanted = true
      const report = await this.#passAll(options)
      if (report.pushed + report.dropped + report.lacking > 0) {
        const { pushed, dropped, lacking, surplus } = report
        this.#p.log('info', 'reconciled', { pushed, dropped, lacking, surplus })
      }
      if (report.lacking > 0) this.#isWanted = true
    } catch (error) {
      this.#p.log('error', 'reconciling failed', { reason: messageOf(error) })
    }
    if (this.#isWanted) this.soon()
    else this.#plan(this.#p.profile.reconcileEveryMs)
  }
}
