/**
 * A network inside one process: the production composition over links that are function calls. What the
 * node touches of the world are its ports, so nothing else is needed. Its time is the simulator's: it runs on to
 * the next event whenever a test awaits something, so nobody waits for a timer, and a busy machine changes nothing.
 * All chance comes from one seed: what a run shows, the next one shows too.
 */
import {
  type Clock,
  type Log,
  type NetworkId,
  PROFILES,
  type Profile,
  type PublicKey,
  type StateStore,
  toHex,
} from '../../core/index.ts'
import { nodeIdOf, signingKeyFromSeed } from '../../crypto/index.ts'
import { HushNode } from '../../node/compose.ts'
import type { Link, LinkHandlers, Transport } from '../../routing/index.ts'
import { Chance } from '../../sim/chance.ts'
import { Life, simClock } from '../../sim/clock.ts'
import { World } from '../../sim/world.ts'
import { openMemoryRecords, openMemoryStore, type ShardStore } from '../../storage/index.ts'

/** Of the networks and of what the tests of a file draw themselves. HUSH_TEST_SEED looks for rarer courses. */
export const chance = new Chance(process.env.HUSH_TEST_SEED ?? '1')

const LINK_MS = 1
const PATIENCE_MS = 10 * 60_000

class MemoryLink implements Link {
  readonly queuedBytes = 0
  readonly peerKey: PublicKey
  readonly isDialer: boolean
  readonly #world: World
  readonly #sends: (cell: Uint8Array) => readonly Uint8Array[]
  other: MemoryLink | undefined
  #handlers: LinkHandlers | undefined
  #held: Uint8Array[] = []
  #isClosed = false

  constructor(world: World, peerKey: PublicKey, isDialer: boolean, sends: (cell: Uint8Array) => readonly Uint8Array[]) {
    this.#world = world
    this.peerKey = peerKey
    this.isDialer = isDialer
    this.#sends = sends
  }
  start(handlers: LinkHandlers): void {
    this.#handlers = handlers
    for (const cell of this.#held.splice(0)) handlers.onCell(cell)
  }
  send(cell: Uint8Array): void {
    const { other } = this
    if (this.#isClosed || other === undefined) return
    for (const sent of this.#sends(cell)) this.#world.after(LINK_MS, () => other.#take(sent))
  }
  close(reason: string): void {
    const { other } = this
    this.#world.after(0, () => this.#end(reason))
    if (other !== undefined) this.#world.after(LINK_MS, () => other.#end('the peer closed'))
  }
  #take(cell: Uint8Array): void {
    if (this.#isClosed) return
    if (this.#handlers === undefined) this.#held.push(cell)
    else this.#handlers.onCell(cell)
  }
  #end(reason: string): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#handlers?.onClose(reason)
  }
}

export interface Member {
  readonly node: HushNode
  readonly store: ShardStore
  readonly vaultStore: ShardStore
  readonly address: string
}

export class MemoryNetwork {
  readonly members: Member[] = []
  readonly #world = new World()
  readonly clock: Clock = simClock(this.#world, { skewMs: 0, drift: 0 }, new Life())
  readonly log: Log = () => {}
  /** What becomes of a cell that a node sends, by the node's key in hex; whoever is not here sends it as it is. */
  readonly hostile = new Map<string, (cell: Uint8Array, to: PublicKey) => readonly Uint8Array[]>()
  readonly #listeners = new Map<string, { key: PublicKey; onLink: (link: Link) => void }>()
  readonly #networkId = chance.bytes(32) as NetworkId
  readonly #profile: Profile
  readonly #hasVaults: boolean
  #running: Promise<void> | undefined
  #isStopped = false

  constructor(options: { hasVaults?: boolean; profile?: Partial<Profile> } = {}) {
    this.#hasVaults = options.hasVaults === true
    this.#profile = { ...PROFILES.testnet, ...options.profile }
  }

  /** The perfect first ring, r + 1 nodes, and some that join. */
  async start(counts: { joining: number }): Promise<void> {
    this.#goOn()
    const seeds = await Promise.all(
      Array.from({ length: this.#profile.successors + 1 }, async (_, i) => this.#identity(`10.${i}.0.1:1`)),
    )
    const contacts = seeds.map(({ id, publicKey, address }) => ({ id, publicKey, addresses: [address] }))
    for (const seed of seeds) await this.#add(seed, contacts)
    for (let i = 0; i < counts.joining; i++) await this.#add(await this.#identity(`10.${100 + i}.0.1:1`), contacts)
  }

  /** A client of its own home; `contacts` are the first ring. */
  async addClient(options: { hasCover?: boolean; profile?: Partial<Profile> } = {}): Promise<HushNode> {
    this.#goOn()
    const identity = await this.#identity('')
    const { node } = await this.#add(identity, this.members[0]?.node.settings.seeds ?? [], {
      isClient: true,
      ...options,
    })
    return node
  }

  /**
   * A node of a new home, which has its puzzle to solve yet; alone, in a network of its own rules. Until others are
   * there time stands still: to solve a puzzle takes none of it.
   */
  async addFresh(profile: Partial<Profile>, onNonce: (nonce: number) => void): Promise<Member> {
    return this.#add(await this.#identity('10.99.0.1:1'), [], { profile, onNonce })
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map(({ node }) => node.stop()))
    this.#isStopped = true
    // A turn for the end to be seen in, though nothing else may be left to happen.
    this.#world.after(0, () => {})
    await this.#running
  }

  /** Of the network's time. */
  sleep(delayMs: number): Promise<void> {
    return this.#world.sleep(delayMs)
  }

  async until(isSo: () => boolean, what: string): Promise<void> {
    for (const endMs = this.#world.nowMs + PATIENCE_MS; !isSo(); await this.sleep(50))
      if (this.#world.nowMs > endMs) throw new Error(`still waiting: ${what}`)
  }

  #goOn(): void {
    this.#running ??= this.#world.run(() => this.#isStopped)
  }

  async #identity(address: string) {
    const seed = chance.bytes(32)
    const { publicKey } = signingKeyFromSeed(seed)
    const id = await nodeIdOf({ publicKey, nonce: 0, networkId: this.#networkId, puzzleBits: 0 })
    if (id === undefined) throw new Error('no id')
    return { seed, publicKey, id, address }
  }

  async #add(
    identity: { seed: Uint8Array; publicKey: PublicKey; address: string },
    seeds: HushNode['settings']['seeds'],
    options: {
      isClient?: boolean
      hasCover?: boolean
      profile?: Partial<Profile>
      onNonce?: (nonce: number) => void
    } = {},
  ): Promise<Member> {
    const { onNonce } = options
    const { store, cache } = openMemoryStore({ quotaBytes: 2 ** 30, cacheBytes: 2 ** 24 })
    const vaultStore = openMemoryStore({ quotaBytes: 2 ** 30 }).store
    const node = new HushNode(
      {
        clock: this.clock,
        jitter: chance,
        random: chance,
        log: this.log,
        state: memoryState(),
        transport: this.#transport(identity.publicKey),
        store,
        cache,
        pending: openMemoryStore({ quotaBytes: 2 ** 30 }).store,
        records: openMemoryRecords(),
        ...(this.#hasVaults && { vaultStore }),
      },
      {
        profile: { ...this.#profile, ...options.profile },
        networkId: this.#networkId,
        networkCreatedMs: 0,
        seeds,
        seed: identity.seed,
        ...(options.isClient !== true && {
          node: {
            listen: identity.address,
            advertise: [],
            onionSeed: chance.bytes(32),
            nonce: onNonce === undefined ? 0 : undefined,
            saveNonce: async (nonce) => onNonce?.(nonce),
          },
        }),
        hasPrefixLimits: true,
        hasCover: options.hasCover === true,
        readBackMs: { min: 0, max: 1_000 },
      },
    )
    await node.start()
    const member = { node, store, vaultStore, address: identity.address }
    this.members.push(member)
    return member
  }

  #senderOf(from: PublicKey, to: PublicKey) {
    const name = toHex(from)
    return (cell: Uint8Array): readonly Uint8Array[] => this.hostile.get(name)?.(cell, to) ?? [cell]
  }

  #transport(own: PublicKey): Transport {
    return {
      dial: async ({ address, publicKey }) => {
        const listener = this.#listeners.get(address)
        if (listener === undefined || toHex(listener.key) !== toHex(publicKey)) throw new UnreachableForTests()
        const here = new MemoryLink(this.#world, publicKey, true, this.#senderOf(own, publicKey))
        const there = new MemoryLink(this.#world, own, false, this.#senderOf(publicKey, own))
        here.other = there
        there.other = here
        listener.onLink(there)
        return here
      },
      listen: async (address, onLink) => {
        this.#listeners.set(address, { key: own, onLink })
        return { address, close: async () => void this.#listeners.delete(address) }
      },
      close: async () => {},
    }
  }
}

class UnreachableForTests extends Error {}

function memoryState(): StateStore {
  const values = new Map<string, Uint8Array>()
  return {
    get: (key) => values.get(key),
    put: async (key, value) => void values.set(key, value),
  }
}
