/**
 * What a keeper does about its pointers in a pass: each lies with its whole region, and has good places; what this
 * node is no holder of any more is kept while there is room. SPEC vaults §7
 */
import { compareBytes, type NodeId, named32, type Profile } from '../../core/index.ts'
import { HAVE_REFS_MAX, HELD } from '../../routing/index.ts'
import {
  type ContentRef,
  encodeContentRef,
  type HeldPointer,
  locationOf,
  type PointerStore,
} from '../../storage/index.ts'
import type { Calls } from '../calls.ts'
import type { PeerLink } from '../links.ts'
import type { Copies } from './copies.ts'
import type { Holders } from './holders.ts'
import { inParallel } from './in-parallel.ts'
import { byHolder, HAVE_TIMEOUT_MS, type ReconcileOptions, type ReconcileReport } from './reconciler.ts'
import type { Tending } from './tending.ts'
import { Untaken } from './untaken.ts'
import type { Vaulted } from './vaulted.ts'

const PAGE = 512
/** Pointers handed over, and mended, at the same time. */
const PUSHES_MAX = 8
/** Kept beyond what this node is to hold; the farthest go first. */
const SURPLUS_MAX = 65_536

export interface PointerReconcilerPorts {
  readonly profile: Profile
  readonly selfId: NodeId
  readonly pointers: PointerStore
  readonly calls: Calls
  readonly holders: Holders
  readonly copies: Copies
  readonly tending: Tending
  readonly vaulted: Vaulted
  /** An open link to the member, or undefined; a failure is noted in the view. */
  readonly reach: (id: NodeId) => Promise<PeerLink | undefined>
}

interface Plan extends HeldPointer {
  /** Members that are asked whether they have it. */
  readonly others: readonly NodeId[]
  readonly isHolder: boolean
  lacks: number
}

export class PointerReconciler {
  readonly #p: PointerReconcilerPorts
  #surplus = 0

  constructor(ports: PointerReconcilerPorts) {
    this.#p = ports
  }

  async pass(options: ReconcileOptions): Promise<ReconcileReport> {
    const report = { pushed: 0, dropped: 0, lacking: 0, surplus: 0 }
    const untaken = new Untaken()
    // Others have these pointers, but not what has changed in them.
    if (options.leaving) await this.#p.vaulted.tellNow()
    let over = Math.max(0, this.#surplus - SURPLUS_MAX)
    const own = named32<'Location'>(this.#p.selfId, 'location')
    let after: ContentRef | undefined
    for (;;) {
      // From this node on clockwise: what is farthest from its own arc comes first.
      const arc = { from: own, to: own, limit: PAGE, ...(after !== undefined && { after }) }
      const plans = this.#p.pointers.list(arc).map((held) => this.#plan(held, options))
      if (plans.length === 0 || options.isStopped()) break
      report.pushed += await this.#push(plans, options, untaken)
      report.lacking += plans.filter(({ lacks }) => lacks > 0).length
      if (!options.leaving) {
        await inParallel(PUSHES_MAX, plans, async (plan) => {
          if (!options.isStopped()) await this.#p.tending.mend(plan)
        })
        for (const { ref, isHolder } of plans) {
          if (isHolder) continue
          if (over > 0) {
            over--
            report.dropped++
            void this.#p.pointers.delete(ref).catch(() => false)
          } else report.surplus++
        }
      }
      after = plans.at(-1)?.ref
    }
    this.#surplus = report.surplus
    return report
  }

  /** The first member of a region, and one that leaves, asks all of it; the others see to the first ones. */
  #plan(held: HeldPointer, options: ReconcileOptions): Plan {
    const { holders, selfId, profile } = this.#p
    const region = holders.region(locationOf(held.ref), options)
    const rank = region.findIndex((id) => compareBytes(id, selfId) === 0)
    const others = region.filter((_, at) => at !== rank)
    const asked = rank === 0 || options.leaving ? others : others.slice(0, profile.copies)
    return { ...held, others: asked, isHolder: rank >= 0, lacks: 0 }
  }

  /** Hands over what others lack; how many. */
  async #push(plans: readonly Plan[], options: ReconcileOptions, untaken: Untaken): Promise<number> {
    let pushed = 0
    for (const { id, plans: asked } of byHolder(plans)) {
      if (options.isStopped()) break
      const peer = await this.#p.reach(id)
      for (let start = 0; start < asked.length; start += HAVE_REFS_MAX) {
        const some = asked.slice(start, start + HAVE_REFS_MAX)
        const refs = some.map(({ ref }) => encodeContentRef(ref))
        const answer = peer && (await this.#p.calls.ask(peer, { kind: 'have', refs }, HAVE_TIMEOUT_MS))
        const missing = some.filter((_, i) => answer?.held[i] !== HELD.pointer)
        await inParallel(PUSHES_MAX, missing, async (plan) => {
          const give = () => this.#p.copies.point(id, plan.ref, plan.pointer)
          if (peer !== undefined && !options.isStopped() && (await untaken.hand(id, give))) pushed++
          else plan.lacks++
        })
      }
    }
    return pushed
  }
}
