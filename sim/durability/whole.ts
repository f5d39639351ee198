/**
 * The same churn over whole nodes: what the ring of keepers leaves out (links, gossip, the ring finding out who is
 * gone, puts and their receipts) is in here. Much dearer, so one setting only. Times in minutes.
 */

import { type ContentRef, contentRefKey } from '../../storage/index.ts'
import { Chance } from '../chance.ts'
import type { SimHost } from '../host.ts'
import { CALM, SimNetwork } from '../network.ts'
import { Workload } from '../workload.ts'
import type { RingOutcome } from './measure.ts'

const MINUTE_MS = 60_000
const LOOK_EVERY_MS = 10_000
/** Everybody has joined and users have their circuits. */
const START_MS = 4 * MINUTE_MS

/** Of the shards that were acknowledged, roots included. */
export async function runWhole(wish: {
  readonly seed: number
  readonly nodes: number
  readonly puts: number
  readonly lifetimeMinutes: number
  readonly spanMinutes: number
}): Promise<RingOutcome & { readonly shards: number }> {
  const network = new SimNetwork({
    seed: wish.seed,
    nodes: wish.nodes,
    clients: 6,
    ...CALM,
  })
  const { world } = network
  const chance = new Chance(`churn ${wish.seed}`)
  const refs: ContentRef[] = []
  const workload = new Workload(network, new Chance(`load ${wish.seed}`), {
    sizes: 'mixed',
    onStored: (ref) => refs.push(ref),
  })
  await network.start()
  await world.run(() => world.nowMs >= START_MS)
  workload.plan({ fromMs: world.nowMs, untilMs: world.nowMs + MINUTE_MS, puts: wish.puts, gets: 0 })
  await world.run(() => world.nowMs >= START_MS + MINUTE_MS && workload.running === 0)

  let deaths = 0
  const churn = (): void => {
    world.after(chance.exponential((wish.lifetimeMinutes * MINUTE_MS) / wish.nodes), () => {
      const victim = chance.pick(network.nodes.filter((host) => !host.isDead))
      deaths++
      victim.crash({ isSilent: false })
      victim.isDead = true
      network.addNode().catch((error: unknown) => world.fail(error))
      churn()
    })
  }
  churn()
  const seen = { missing: 0, present: 0, looks: 0 }
  const untilMs = world.nowMs + wish.spanMinutes * MINUTE_MS
  let counts: number[] = []
  while (world.nowMs < untilMs) {
    const nextMs = world.nowMs + LOOK_EVERY_MS
    await world.run(() => world.nowMs >= nextMs)
    counts = countCopies(network.nodes, refs)
    seen.looks++
    seen.present += counts.filter((count) => count > 0).length
    seen.missing += counts.filter((count) => count === 1).length
  }
  return {
    lost: 0,
    shardsLost: counts.filter((count) => count === 0).length,
    missing: seen.missing / seen.looks,
    present: seen.present / seen.looks,
    copiesSent: 0,
    deaths,
    shards: refs.length,
  }
}

function countCopies(nodes: readonly SimHost[], refs: readonly ContentRef[]): number[] {
  const copies = new Map<string, number>(refs.map((ref) => [contentRefKey(ref), 0]))
  for (const host of nodes) {
    if (host.isDead) continue
    for (const key of host.disk.keys()) {
      const count = copies.get(key)
      if (count !== undefined) copies.set(key, count + 1)
    }
  }
  return [...copies.values()]
}
