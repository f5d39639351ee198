/**
 * What a keeper does about the ring as it is: copies to where they lack, surplus away, and before leaving
 * everything to others. When: node/tasks/reconcile.ts. SPEC requests §7
 */
import { compareBytes, keyOf, type Location, type NodeId, named32, type Profile, SHARD_SIZE } from '../../core/index.ts'
import { HAVE_REFS_MAX, HELD } from '../../routing/index.ts'
import {
  type ContentRef,
  encodeContentRef,
  locationOf,
  type ShardStore,
  type StoredShard,
} from '../../storage/index.ts'
import type { Calls } from '../calls.ts'
import type { PeerLink } from '../links.ts'
import type { Copies } from './copies.ts'
import type { Holders } from './holders.ts'
import { inParallel } from './in-parallel.ts'
import { Untaken } from './untaken.ts'

export const HAVE_TIMEOUT_MS = 8_000
/** Copies pushed at the same time: repair must not crowd out requests. */
const PUSHES_MAX = 4
/** Times that holders are worked out for one content in a pass, as some turn out to be gone. */
const PLANS_MAX = 4
const PAGE = 512
/** Of the quota, what unproven surplus may take. */
const SURPLUS_SHARE = 1 / 4

export interface ReconcilerPorts {
  readonly profile: Profile
  readonly selfId: NodeId
  readonly store: ShardStore
  readonly calls: Calls
  readonly holders: Holders
  readonly copies: Copies
  /** An open link to the member, or undefined; a failure is noted in the view. */
  readonly reach: (id: NodeId) => Promise<PeerLink | undefined>
}

export interface ReconcileReport {
  readonly pushed: number
  readonly dropped: number
  /** Shards that lack a copy still, because somebody could not be asked or did not take it. */
  readonly lacking: number
  /** What this node is no holder of any more and keeps, since not every holder has proven its copy. */
  readonly surplus: number
}

export interface ReconcileOptions {
  readonly leaving: boolean
  readonly isStopped: () => boolean
}

type Writable<T> = { -readonly [Name in keyof T]: T[Name] }

interface Pass {
  readonly report: Writable<ReconcileReport>
  readonly untaken: Untaken
  /** Surplus beyond what may be kept. */
  over: number
}

/** A content held here, and how it stands with the others that should hold it. */
interface Plan extends StoredShard {
  readonly others: readonly NodeId[]
  readonly isHolder: boolean
  lacks: number
  unproven: number
}

export class Reconciler {
  readonly #p: ReconcilerPorts
  /** Contents that the last pass kept as surplus. */
  #surplus = 0

  constructor(ports: ReconcilerPorts) {
    this.#p = ports
  }

  /**
   * Makes what is stored here fit the ring as it is: copies to where they lack, surplus away once every
   * holder has proven its own. With `leaving`, as if this node were already gone.
   */
  async pass(options: ReconcileOptions): Promise<ReconcileReport> {
    const { store, selfId } = this.#p
    const report = { pushed: 0, dropped: 0, lacking: 0, surplus: 0 }
    const surplusMax = Math.floor((store.usage().quotaBytes * SURPLUS_SHARE) / SHARD_SIZE)
    // From this node on clockwise: what is farthest from its own arc comes first, and leaves first.
    const arc = { from: ownLocation(selfId), to: ownLocation(selfId), limit: PAGE }
    const pass = { report, untaken: new Untaken(), over: Math.max(0, this.#surplus - surplusMax) }
    let after: ContentRef | undefined
    for (;;) {
      const page = store.list({ ...arc, ...(after === undefined ? {} : { after }) })
      if (options.isStopped()) return report
      if (page.length === 0) break
      await this.#page(page, options, pass)
      after = page.at(-1)?.ref
    }
    this.#surplus = report.surplus
    return report
  }

  async #page(page: ReturnType<ShardStore['list']>, options: ReconcileOptions, pass: Pass, attempt = 1): Promise<void> {
    const { selfId, profile, store, holders } = this.#p
    const { report } = pass
    const all = page.map((held): Plan => {
      const those = holders.of(locationOf(held.ref), { count: profile.copies, leaving: options.leaving })
      const others = those.filter((id) => compareBytes(id, selfId) !== 0)
      return { ...held, others, isHolder: others.length < those.length, lacks: 0, unproven: others.length }
    })
    const unreached = new Set<Plan>()
    for (const { id, plans: asked } of byHolder(all)) {
      const peer = await this.#p.reach(id)
      if (peer === undefined) {
        for (const plan of asked) unreached.add(plan)
        continue
      }
      for (let start = 0; start < asked.length; start += HAVE_REFS_MAX) {
        const some = asked.slice(start, start + HAVE_REFS_MAX)
        const refs = some.map((plan) => encodeContentRef(plan.ref))
        const answer = await this.#p.calls.ask(peer, { kind: 'have', refs }, HAVE_TIMEOUT_MS)
        // Who points to it answers for it as well.
        const missing = some.filter((_, i) => (answer?.held[i] ?? HELD.not) === HELD.not)
        await inParallel(PUSHES_MAX, missing, async (plan) => {
          if (options.isStopped() || !(await this.#push(id, plan, pass))) plan.lacks++
        })
      }
    }
    if (attempt < PLANS_MAX && unreached.size > 0 && !options.isStopped()) {
      // Who could not be reached counts as gone now: the holders are others.
      await this.#page([...unreached], options, pass, attempt + 1)
    } else for (const plan of unreached) plan.lacks++
    const plans = attempt < PLANS_MAX ? all.filter((plan) => !unreached.has(plan)) : all
    report.lacking += plans.filter((plan) => plan.lacks > 0).length
    if (options.leaving) return
    const surplus = plans.filter((plan) => !plan.isHolder && plan.others.length >= profile.copies)
    await this.#proveSurplus(surplus, options, pass)
    for (const plan of surplus) {
      const isProven = plan.unproven === 0 && plan.lacks === 0
      if (isProven || pass.over > 0) {
        store.delete(plan.ref)
        report.dropped++
        if (!isProven) pass.over--
      } else report.surplus++
    }
  }

  /** A holder that said it has a content and cannot prove it is given the content anew, and asked again next time. */
  async #proveSurplus(surplus: readonly Plan[], options: ReconcileOptions, pass: Pass): Promise<void> {
    for (const { id, plans } of byHolder(surplus.filter((plan) => plan.lacks === 0))) {
      if (options.isStopped()) return
      const proven = await this.#p.copies.prove(id, plans)
      await inParallel(PUSHES_MAX, [...plans.entries()], async ([at, plan]) => {
        if (proven[at] === true) plan.unproven--
        else if (!options.isStopped()) await this.#push(id, plan, pass)
      })
    }
  }

  async #push(id: NodeId, plan: Plan, { untaken, report }: Pass): Promise<boolean> {
    const isTaken = await untaken.hand(id, () => this.#p.copies.push(id, plan))
    if (isTaken) report.pushed++
    return isTaken
  }
}

/** The plans that each of the other holders has a part in. */
export function byHolder<P extends { readonly others: readonly NodeId[] }>(
  plans: readonly P[],
): Iterable<{ readonly id: NodeId; readonly plans: P[] }> {
  const found = new Map<string, { id: NodeId; plans: P[] }>()
  for (const plan of plans)
    for (const id of plan.others) {
      const name = keyOf(id)
      const entry = found.get(name) ?? { id, plans: [] }
      entry.plans.push(plan)
      found.set(name, entry)
    }
  return found.values()
}

/** A node's id is a place on the ring as well. */
function ownLocation(id: NodeId): Location {
  return named32<'Location'>(id, 'location')
}
