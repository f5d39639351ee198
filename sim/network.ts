/** Makes the machines of one simulated network and brings them up: r + 1 seeds, joiners, clients. */
import { compareBytes, type NetworkId, type NodeId, PROFILES, type Profile } from '../core/index.ts'
import type { ContentRef } from '../storage/index.ts'
import { Chance } from './chance.ts'
import { type HostIdentity, makeIdentity, type NetworkPlan, SimHost, type Tamper } from './host.ts'
import { SimNet } from './net.ts'
import { World } from './world.ts'

export interface NetworkWish {
  readonly seed: number
  readonly nodes: number
  readonly clients: number
  readonly profile: Profile
  /** Of the nodes, seeds excepted. */
  readonly hostileShare: number
  readonly tamper: (chance: Chance) => Tamper
  /** On every machine, as SimHost has it. */
  readonly tap?: Tamper
  /** Circuits that the node at this place keeps ready for its own user; few, unless given, since nodes are seldom users here. */
  readonly nodeGateways?: (place: number) => number
  /** Of each node; as fast as its line is unless given. */
  readonly uploadBytesPerSecond?: number
  readonly quotaBytes: number
  /** Whether nodes are vaults; not unless given. */
  readonly hasVaults?: boolean
  readonly skewMs: number
  readonly drift: number
}

/** Production's numbers, without the puzzle that would only burn time here. */
export const SIM_PROFILE: Profile = { ...PROFILES.production, puzzleBits: 0 }
/** A network in which nothing fails and nobody is hostile, for what is measured rather than checked. */
export const CALM = {
  profile: SIM_PROFILE,
  hostileShare: 0,
  tamper: () => (transport) => transport,
  quotaBytes: 2 ** 28,
  skewMs: 0,
  drift: 0,
} satisfies Partial<NetworkWish>
/** Nodes are clients too; most of the work of an idle network would be their spare circuits, and their accounts. */
const NODE_GATEWAYS = 1
const CACHE_BYTES = 2 ** 20
const JOIN_SPREAD_MS = 120_000

export class SimNetwork {
  readonly world = new World()
  readonly chance: Chance
  readonly net: SimNet
  readonly hosts: SimHost[] = []
  readonly violations: string[] = []
  /** Told of each line a node logs, of each content that a node lets go of, of each process that went down. */
  onLog: (host: SimHost, line: string) => void = () => {}
  onDelete: (host: SimHost, ref: ContentRef) => void = () => {}
  onCrash: (host: SimHost) => void = () => {}
  #plan: NetworkPlan | undefined
  #nextPlace = 0
  readonly #wish: NetworkWish
  readonly #networkId: NetworkId

  constructor(wish: NetworkWish) {
    this.#wish = wish
    this.chance = new Chance(`network ${wish.seed}`)
    this.net = new SimNet(this.world, new Chance(`net ${wish.seed}`))
    this.#networkId = this.chance.bytes(32) as NetworkId
  }

  get plan(): NetworkPlan {
    if (this.#plan === undefined) throw new Error('the network has not begun')
    return this.#plan
  }
  /** Nodes, not clients. */
  get nodes(): SimHost[] {
    return this.hosts.filter((host) => !host.isClient)
  }
  get clients(): SimHost[] {
    return this.hosts.filter((host) => host.isClient)
  }
  /** Ids of the nodes that are up and have their place, sorted. */
  liveIds(): NodeId[] {
    const up = this.nodes.filter((host) => host.node?.member?.ring.state !== undefined)
    return up.map((host) => host.identity.id).sort(compareBytes)
  }

  note(line: string): void {
    this.world.trace.note(this.world.nowMs, line)
  }

  violate(what: string): void {
    this.violations.push(`at ${(this.world.nowMs / 1000).toFixed(3)} s: ${what}`)
    this.note(`VIOLATION ${what}`)
  }

  /** Seeds at once, the others spread over two minutes, clients last. */
  async start(): Promise<void> {
    const { profile, nodes, clients } = this.#wish
    const seeds = await Promise.all(Array.from({ length: profile.successors + 1 }, () => this.#identity('node')))
    this.#plan = {
      networkId: this.#networkId,
      profile,
      seeds: seeds.map(({ id, publicKey, address }) => ({ id, publicKey, addresses: [address] })),
    }
    for (const identity of seeds) await this.#add(identity, { isClient: false, isSeed: true }).start(this.plan)
    for (let i = seeds.length; i < nodes; i++) {
      const host = this.#add(await this.#identity('node'), { isClient: false, isSeed: false })
      this.#startLater(host, this.chance.between(0, JOIN_SPREAD_MS))
    }
    for (let i = 0; i < clients; i++) {
      const host = this.#add(await this.#identity('client'), { isClient: true, isSeed: false })
      this.#startLater(host, JOIN_SPREAD_MS + this.chance.between(0, 10_000))
    }
  }

  /** A node that was not there before. */
  async addNode(): Promise<SimHost> {
    const host = this.#add(await this.#identity('node'), { isClient: false, isSeed: false })
    await host.start(this.plan)
    return host
  }

  /** A hostile node that was not there before, whose id is as wanted: it tries until it has one. */
  async addHostile(isWanted: (id: NodeId) => boolean, tamper: Tamper): Promise<SimHost> {
    for (;;) {
      const identity = await this.#identity('node')
      if (!isWanted(identity.id)) continue
      const host = this.#add(identity, { isClient: false, isSeed: false, tamper })
      await host.start(this.plan)
      return host
    }
  }

  #startLater(host: SimHost, delayMs: number): void {
    this.world.after(delayMs, () => {
      host.start(this.plan).catch((error: unknown) => this.world.fail(error))
    })
  }

  #identity(kind: string): Promise<HostIdentity> {
    const place = this.#nextPlace++
    const name = `${kind}-${place}`
    // One address prefix each: the limits per prefix are on, and every node may be any hop.
    const address = `${10 + (place >> 8)}.${place & 0xff}.0.1:7001`
    return makeIdentity(this.chance, this.#networkId, { name, address })
  }

  #add(identity: HostIdentity, role: { isClient: boolean; isSeed: boolean; tamper?: Tamper }): SimHost {
    const { world, net, chance } = this
    const {
      hostileShare,
      tamper,
      tap,
      nodeGateways = () => NODE_GATEWAYS,
      quotaBytes,
      hasVaults = false,
      skewMs,
      drift,
      uploadBytesPerSecond,
    } = this.#wish
    const isHostile = !role.isClient && !role.isSeed && chance.isLucky(hostileShare)
    const host = new SimHost({
      world,
      net,
      chance: new Chance(`${identity.name} ${this.#wish.seed}`),
      identity,
      site: {
        index: this.hosts.length,
        x: chance.unit(),
        y: chance.unit(),
        bytesPerMs: chance.pick([1_000, 5_000, 12_000]),
        slowMs: 0,
      },
      isClient: role.isClient,
      gateways: role.isClient ? this.#wish.profile.gateways : nodeGateways(this.hosts.length),
      clockFault: { skewMs: chance.between(-skewMs, skewMs), drift: chance.between(-drift, drift) },
      ...(uploadBytesPerSecond !== undefined && !role.isClient && { uploadBytesPerSecond }),
      quotaBytes,
      cacheBytes: CACHE_BYTES,
      ...(hasVaults && !role.isClient && { vaultQuotaBytes: quotaBytes }),
      ...(role.tamper !== undefined && { tamper: role.tamper }),
      ...(role.tamper === undefined &&
        isHostile && { tamper: tamper(new Chance(`hostile ${identity.name} ${this.#wish.seed}`)) }),
      ...(tap !== undefined && { tap }),
      onLog: (from, level, line) => {
        this.note(`${from.name} ${level}: ${line}`)
        this.onLog(from, line)
        if (level === 'error' && !from.isHostile) this.violate(`${from.name} logs an error: ${line}`)
      },
    })
    host.disk.onDelete = (ref) => this.onDelete(host, ref)
    host.onCrash = () => this.onCrash(host)
    this.hosts.push(host)
    return host
  }
}
