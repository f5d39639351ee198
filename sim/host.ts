/**
 * One machine of the simulated network: its place, clock, disk and identity outlive the processes that run
 * on it one after the other. A process is the production composition (node/compose.ts) over simulated ports.
 */
import {
  type Log,
  type LogLevel,
  type NetworkId,
  type NodeId,
  type Profile,
  type PublicKey,
  toHex,
} from '../core/index.ts'
import { nodeIdOf, signingKeyFromSeed } from '../crypto/index.ts'
import { HushNode, type NodeSettings } from '../node/compose.ts'
import type { Transport } from '../routing/index.ts'
import type { Chance } from './chance.ts'
import { type ClockFault, Life, START_MS, simClock } from './clock.ts'
import { SimDisk } from './disk.ts'
import type { Endpoint, SimNet, Site } from './net.ts'
import type { World } from './world.ts'

/** As a home's default. */
const READ_BACK_MS = { min: 5 * 60_000, max: 60 * 60_000 }

export interface HostIdentity {
  readonly name: string
  readonly seed: Uint8Array
  readonly onionSeed: Uint8Array
  readonly publicKey: PublicKey
  readonly id: NodeId
  readonly address: string
}

export interface NetworkPlan {
  readonly networkId: NetworkId
  readonly profile: Profile
  readonly seeds: NodeSettings['seeds']
}

/** Changes what goes in and out of a process: how hostile machines are made. */
export type Tamper = (transport: Transport, host: SimHost) => Transport

export interface HostParts {
  readonly world: World
  readonly net: SimNet
  readonly chance: Chance
  readonly identity: HostIdentity
  readonly site: Site
  readonly isClient: boolean
  /** Circuits it keeps ready. */
  readonly gateways: number
  readonly clockFault: ClockFault
  readonly quotaBytes: number
  readonly cacheBytes: number
  /** Absent: no vault, as all nodes of the large runs are. */
  readonly vaultQuotaBytes?: number
  readonly tamper?: Tamper
  /** Writes down what goes in and out and changes nothing: an honest machine may have it. */
  readonly tap?: Tamper
  /** Told of each line a process logs. */
  readonly onLog: (host: SimHost, level: LogLevel, line: string) => void
}

export class SimHost {
  readonly identity: HostIdentity
  readonly site: Site
  readonly disk: SimDisk
  readonly pendingDisk: SimDisk
  /** What it keeps as a vault. */
  readonly vaultDisk: SimDisk | undefined
  readonly isClient: boolean
  readonly isHostile: boolean
  /** Will never come back. */
  isDead = false
  /** When it was asked to leave. */
  leavingMs: number | undefined
  /** It announced its leave and had the time for it. */
  hasLeft = false
  node: HushNode | undefined
  /** When the process that runs now began. */
  startedMs = 0
  readonly #p: HostParts
  #endpoint: Endpoint | undefined
  #life = new Life()

  constructor(parts: HostParts) {
    this.#p = parts
    this.identity = parts.identity
    this.site = parts.site
    this.isClient = parts.isClient
    this.isHostile = parts.tamper !== undefined
    this.disk = new SimDisk(parts.world, parts.chance, parts.quotaBytes)
    this.pendingDisk = new SimDisk(parts.world, parts.chance, 2 ** 30)
    const { vaultQuotaBytes } = parts
    this.vaultDisk = vaultQuotaBytes === undefined ? undefined : new SimDisk(parts.world, parts.chance, vaultQuotaBytes)
  }

  get name(): string {
    return this.identity.name
  }
  get isUp(): boolean {
    return this.node !== undefined
  }

  async start(plan: NetworkPlan): Promise<HushNode> {
    if (this.node !== undefined) throw new Error(`${this.name} runs already`)
    const { world, net, chance, identity, clockFault, cacheBytes, isClient, gateways, tamper, tap } = this.#p
    const life = new Life()
    this.#life = life
    this.startedMs = world.nowMs
    const endpoint = { site: this.site, key: identity.publicKey, life }
    this.#endpoint = endpoint
    const { store, cache } = this.disk.open(life, cacheBytes)
    const plain = net.transport(endpoint)
    const transport = tap === undefined ? plain : tap(plain, this)
    const node = new HushNode(
      {
        clock: simClock(world, clockFault, life),
        jitter: chance,
        random: chance,
        log: this.#log(life),
        state: this.disk.state(life),
        records: this.disk.records(life),
        transport: tamper === undefined ? transport : tamper(transport, this),
        store,
        cache,
        pending: this.pendingDisk.open(life, 0).store,
        vaultStore: this.vaultDisk?.open(life, 0).store,
      },
      {
        profile: { ...plan.profile, gateways },
        networkId: plan.networkId,
        networkCreatedMs: START_MS,
        seeds: plan.seeds,
        seed: identity.seed,
        ...(!isClient && {
          node: {
            listen: identity.address,
            advertise: [identity.address],
            onionSeed: identity.onionSeed,
            nonce: 0,
            saveNonce: async () => {},
          },
        }),
        hasPrefixLimits: true,
        readBackMs: READ_BACK_MS,
      },
    )
    this.node = node
    await node.start()
    return node
  }

  /** kill -9 of the process, or the plug of the machine pulled. */
  crash(options: { isSilent: boolean }): void {
    const endpoint = this.#endpoint
    if (this.node === undefined || endpoint === undefined) return
    this.#life.isOver = true
    this.node = undefined
    this.disk.crash()
    this.pendingDisk.crash()
    this.vaultDisk?.crash()
    this.#p.net.cut(endpoint, options)
  }

  /** `hush down`: announced, handed over. */
  async leave(): Promise<void> {
    const { node } = this
    if (node === undefined) return
    this.leavingMs = this.#p.world.nowMs
    await node.leave()
    // It may have crashed meanwhile.
    if (this.node !== node) return
    this.hasLeft = true
    await node.stop()
    this.crash({ isSilent: false })
  }

  #log(life: Life): Log {
    return (level, event, fields) => {
      if (life.isOver || level === 'debug') return
      const told = Object.entries(fields ?? {}).map(([name, value]) => `${name}=${value}`)
      this.#p.onLog(this, level, [event, ...told].join(' '))
    }
  }
}

export async function makeIdentity(
  chance: Chance,
  networkId: NetworkId,
  named: { name: string; address: string },
): Promise<HostIdentity> {
  const seed = chance.bytes(32)
  const { publicKey } = signingKeyFromSeed(seed)
  const id = await nodeIdOf({ publicKey, nonce: 0, networkId, puzzleBits: 0 })
  if (id === undefined) throw new Error('no id without work')
  return { ...named, seed, onionSeed: chance.bytes(32), publicKey, id }
}

export function shortId(id: Uint8Array): string {
  return toHex(id).slice(0, 8)
}
