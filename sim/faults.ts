/**
 * What goes wrong in one seed. Each seed draws which kinds it has and how hard (swarm testing: a run that has
 * every fault at once finds less than many runs with some). Faults stop at a stated time; then everything
 * that is not dead comes back.
 */
import type { Chance } from './chance.ts'
import type { SimHost } from './host.ts'
import type { Site } from './net.ts'
import type { SimNetwork } from './network.ts'

export interface FaultPlan {
  /** Crashes of one machine, mean time between two on the whole network; 0: none. */
  readonly crashEveryMs: number
  readonly downMs: { readonly min: number; readonly max: number }
  /** Of the crashed, so many never come back, as long as there are enough left. */
  readonly deathShare: number
  readonly deathsMax: number
  readonly leaveEveryMs: number
  readonly joinEveryMs: number
  readonly partitionEveryMs: number
  readonly lossRate: number
  readonly delayFactor: number
  readonly slowShare: number
  readonly fullEveryMs: number
  readonly rotEveryMs: number
  /** At most so many nodes down at once: the ring's assumption is a live successor for everybody. */
  readonly downMax: number
}

const MINUTE = 60_000
/** Of `--churn`: a machine is up for an hour on average, away for some minutes, and lives for 30 days. */
const CHURN = { sessionMs: 60 * MINUTE, downMs: { min: MINUTE, max: 11 * MINUTE }, lifetimeMs: 30 * 24 * 60 * MINUTE }

export function drawFaults(chance: Chance, nodes: number): FaultPlan {
  const maybe = (value: number, none: number): number => (chance.isLucky(0.6) ? value : none)
  return {
    crashEveryMs: maybe(chance.between(5_000, 60_000), 0),
    downMs: { min: 2_000, max: chance.pick([10_000, 2 * MINUTE, 10 * MINUTE]) },
    deathShare: maybe(0.2, 0),
    deathsMax: Math.floor(nodes / 10),
    leaveEveryMs: maybe(chance.between(MINUTE, 5 * MINUTE), 0),
    joinEveryMs: maybe(chance.between(MINUTE, 5 * MINUTE), 0),
    partitionEveryMs: maybe(chance.between(MINUTE, 10 * MINUTE), 0),
    lossRate: maybe(chance.pick([0.001, 0.01, 0.03]), 0),
    delayFactor: maybe(chance.between(1, 5), 1),
    slowShare: maybe(0.1, 0),
    fullEveryMs: maybe(2 * MINUTE, 0),
    rotEveryMs: maybe(MINUTE, 0),
    downMax: Math.floor(nodes / 8),
  }
}

/** Machines come and go, for ever when their life is over; as many new ones come. No other fault. */
export function churn(nodes: number): FaultPlan {
  const { sessionMs, downMs, lifetimeMs } = CHURN
  return {
    crashEveryMs: sessionMs / nodes,
    downMs,
    deathShare: sessionMs / lifetimeMs,
    deathsMax: nodes,
    leaveEveryMs: 0,
    joinEveryMs: lifetimeMs / nodes,
    partitionEveryMs: 0,
    lossRate: 0,
    delayFactor: 1,
    slowShare: 0,
    fullEveryMs: 0,
    rotEveryMs: 0,
    downMax: Math.floor(nodes / 4),
  }
}

export class Faults {
  readonly counts = { crashes: 0, deaths: 0, leaves: 0, joins: 0, partitions: 0, full: 0, rot: 0 }
  readonly #network: SimNetwork
  readonly #chance: Chance
  readonly #plan: FaultPlan
  #isOver = true

  constructor(network: SimNetwork, chance: Chance, plan: FaultPlan) {
    this.#network = network
    this.#chance = chance
    this.#plan = plan
  }

  begin(): void {
    const { net, nodes } = this.#network
    const plan = this.#plan
    this.#isOver = false
    net.lossRate = plan.lossRate
    net.delayFactor = plan.delayFactor
    for (const host of nodes) {
      if (this.#chance.isLucky(plan.slowShare)) host.site.slowMs = this.#chance.between(100, 800)
    }
    this.#every(plan.crashEveryMs, () => this.#crash())
    this.#every(plan.leaveEveryMs, () => this.#leave())
    this.#every(plan.joinEveryMs, () => this.#join())
    this.#every(plan.partitionEveryMs, () => this.#partition())
    this.#every(plan.fullEveryMs, () => this.#fill())
    this.#every(plan.rotEveryMs, () => this.#rot())
  }

  /** Nothing fails any more; who is down comes back. */
  heal(): void {
    const { net, hosts, plan } = this.#network
    this.#isOver = true
    this.#network.note('faults end')
    net.lossRate = 0
    net.delayFactor = 1
    net.unblockAll()
    for (const host of hosts) {
      host.site.slowMs = 0
      host.disk.isFull = false
      if (!host.isUp && !host.isDead) this.#restart(host, plan)
    }
  }

  #every(meanMs: number, happen: () => void): void {
    if (meanMs === 0) return
    this.#network.world.after(this.#chance.exponential(meanMs), () => {
      if (this.#isOver) return
      happen()
      this.#every(meanMs, happen)
    })
  }

  /** A node that takes part, is up for a while, and may go without breaking the ring's assumption. */
  #victim(): SimHost | undefined {
    const { nodes, world } = this.#network
    const down = nodes.filter((host) => !host.isUp && !host.isDead).length
    if (down >= this.#plan.downMax) return undefined
    const able = nodes.filter((host) => host.isUp && host.startedMs + 20_000 < world.nowMs)
    return able.length === 0 ? undefined : this.#chance.pick(able)
  }

  #crash(): void {
    const { world, plan, clients } = this.#network
    const host = this.#chance.isLucky(0.05) ? this.#chance.pick(clients) : this.#victim()
    if (host === undefined || !host.isUp) return
    const dies =
      !host.isClient && this.counts.deaths < this.#plan.deathsMax && this.#chance.isLucky(this.#plan.deathShare)
    const isSilent = this.#chance.isLucky(0.4)
    this.#network.note(`${host.name} ${dies ? 'dies' : 'crashes'}${isSilent ? ' silently' : ''}`)
    this.counts.crashes++
    host.crash({ isSilent })
    if (dies) {
      host.isDead = true
      this.counts.deaths++
      return
    }
    const { min, max } = this.#plan.downMs
    world.after(this.#chance.between(min, max), () => {
      if (!host.isUp && !host.isDead && !this.#isOver) this.#restart(host, plan)
    })
  }

  #restart(host: SimHost, plan: SimNetwork['plan']): void {
    this.#network.note(`${host.name} starts again`)
    host.start(plan).catch((error: unknown) => this.#network.world.fail(error))
  }

  #leave(): void {
    const host = this.#victim()
    if (host === undefined || host.node?.member?.ring.state === undefined) return
    this.#network.note(`${host.name} leaves`)
    this.counts.leaves++
    host.isDead = true
    host.leave().catch((error: unknown) => this.#network.violate(`${host.name} could not leave: ${String(error)}`))
  }

  #join(): void {
    this.counts.joins++
    this.#network.note('a new node joins')
    this.#network.addNode().catch((error: unknown) => this.#network.world.fail(error))
  }

  /** One way or both, between two groups or two machines. */
  #partition(): void {
    const { nodes, net, world } = this.#network
    const size = this.#chance.pick([1, 1, 3, Math.max(1, Math.floor(nodes.length / 20))])
    const some = new Set(Array.from({ length: size }, () => this.#chance.pick(nodes)))
    const isBothWays = this.#chance.isLucky(0.5)
    this.#network.note(`partition of ${some.size} nodes, ${isBothWays ? 'both ways' : 'one way'}`)
    this.counts.partitions++
    const pairs: [Site, Site][] = []
    for (const inside of some) {
      for (const outside of nodes) {
        if (some.has(outside)) continue
        pairs.push([inside.site, outside.site])
        if (isBothWays) pairs.push([outside.site, inside.site])
      }
    }
    net.block(pairs)
    world.after(this.#chance.between(5_000, 2 * MINUTE), () => net.unblockAll())
  }

  #fill(): void {
    const host = this.#chance.pick(this.#network.nodes)
    this.#network.note(`the disk of ${host.name} is full`)
    this.counts.full++
    host.disk.isFull = true
    this.#network.world.after(this.#chance.between(10_000, 5 * MINUTE), () => {
      host.disk.isFull = false
    })
  }

  #rot(): void {
    const host = this.#chance.pick(this.#network.nodes)
    if (!host.isUp) return
    this.counts.rot++
    this.#network.note(`a bit rots at ${host.name}`)
    void host.disk.rot()
  }
}
