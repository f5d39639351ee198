/** What a repair came to, over all stripes. SPEC repair §2, dispersal §9 */
import { healthOf, type StripeHealth, type StripeRepair } from '../../storage/index.ts'

/** Best first. */
export const HEALTHS: readonly StripeHealth[] = ['perfect', 'good', 'weak', 'critical', 'lost']

/** Sums over the stripes of a repair. */
export class RepairTally {
  #sum = {
    stripes: 0,
    shards: 0,
    missing: 0,
    rebuilt: 0,
    pending: 0,
    renewed: 0,
    movedBytes: 0,
    health: 'perfect' as StripeHealth,
  }

  add(stripe: StripeRepair): void {
    const { needed, total, missing, rebuilt } = stripe
    const health = healthOf({ reachable: total - missing + rebuilt, needed, total })
    const sum = this.#sum
    this.#sum = {
      stripes: sum.stripes + 1,
      shards: sum.shards + total,
      missing: sum.missing + missing,
      rebuilt: sum.rebuilt + rebuilt,
      pending: sum.pending + stripe.pending,
      renewed: sum.renewed + stripe.renewed,
      movedBytes: sum.movedBytes + stripe.movedBytes,
      health: HEALTHS.indexOf(health) > HEALTHS.indexOf(sum.health) ? health : sum.health,
    }
  }

  /** `health`: the worst that any stripe was left in. */
  get sum() {
    return this.#sum
  }
}
