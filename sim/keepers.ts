/**
 * A ring of keepers without the rest of the node: the program's keeper, its reconciling, its calls and its
 * stores, over simulated time. Who is a member is known to each node some time after it is so, as gossip and
 * the ring would have it; there are no links, circuits or requests. A node-hour costs a thousandth of what a
 * whole node does, so losses can be counted. SPEC requests §7
 */
import { compareBytes, type NetworkId, type NodeId, named32, type Profile, SHARD_SIZE, toHex } from '../core/index.ts'
import { merkleRoot, signingKeyFromSeed } from '../crypto/index.ts'
import { Calls } from '../node/calls.ts'
import type { PeerLink } from '../node/links.ts'
import { type Keeping, makeKeeping } from '../node/roles/keeping.ts'
import type { ReconcileReport } from '../node/roles/reconciler.ts'
import { Reconcile } from '../node/tasks/reconcile.ts'
import { type Call, decodeCall, ownersOf, type View } from '../routing/index.ts'
import {
  type ContentRef,
  contentRefKey,
  locationOf,
  openMemoryRecords,
  openMemoryStore,
  PointerStore,
  type ShardStore,
} from '../storage/index.ts'
import type { Chance } from './chance.ts'
import { Life, simClock } from './clock.ts'
import type { World } from './world.ts'

const LEASE_MS = 30 * 24 * 60 * 60_000
/** One way; a copy takes longer than a question. */
const DELAY_MS = { min: 20, max: 120 }
/** A machine that is gone does not refuse. */
const DIAL_MS = 5_000
const QUOTA_BYTES = 2 ** 30

export interface RingWish {
  readonly world: World
  readonly chance: Chance
  /** Draws the ids: two rings with the same one have the same ids, whatever else happens in them. */
  readonly ids: Chance
  readonly profile: Profile
  /** Until another node has learnt that one has come or gone, on average; exponential. */
  readonly noticeMs: number
}

/** One node of the ring, from its coming to its going. */
export interface RingNode {
  readonly id: NodeId
  readonly store: ShardStore
  readonly isUp: boolean
  /** Hands over and goes. What it says is what the keeper says. */
  leave(): Promise<ReconcileReport>
}

export class KeeperRing {
  /** COPY messages that were answered, of one content each. */
  copiesSent = 0
  readonly #wish: RingWish
  readonly #nodes = new Map<string, RingKeeper>()
  readonly #networkId: NetworkId
  /** By contentRefKey; kept up with every change, since asking all nodes each time costs more than all else. */
  readonly #copies = new Map<string, number>()

  constructor(wish: RingWish) {
    this.#wish = wish
    this.#networkId = named32<'NetworkId'>(wish.chance.bytes(32), 'network id')
  }

  get nodes(): RingNode[] {
    return [...this.#nodes.values()]
  }
  /** In their order on the ring. */
  get ids(): NodeId[] {
    return this.nodes.map(({ id }) => id).sort(compareBytes)
  }

  /** A node that knows all others; they learn of it. At the very start everybody knows at once. */
  add(options: { readonly isFirst?: boolean } = {}): RingNode {
    const { world, chance, ids, profile } = this.#wish
    const id = named32<'NodeId'>(ids.bytes(32), 'node id')
    const node = new RingKeeper({
      world,
      chance,
      profile,
      networkId: this.#networkId,
      id,
      known: this.ids,
      reach: (from, to) => this.#reach(from, to),
      count: (ref, change) => this.#count(contentRefKey(ref), change),
    })
    for (const other of this.#nodes.values()) this.#tell(other, id, options.isFirst === true)
    this.#nodes.set(toHex(id), node)
    node.start()
    return node
  }

  /** Gone for good, with all it had. */
  remove(gone: RingNode): void {
    const node = this.#nodes.get(toHex(gone.id))
    if (node === undefined) return
    this.#nodes.delete(toHex(gone.id))
    node.end()
    for (const { ref } of node.store.list({ limit: Number.MAX_SAFE_INTEGER })) this.#count(contentRefKey(ref), -1)
    for (const other of this.#nodes.values()) this.#tell(other, gone.id)
  }

  /** Content as it lies after a put that was acknowledged. The bytes may be the same for many. */
  async place(content: { readonly ref: ContentRef; readonly bytes: Uint8Array }): Promise<void> {
    const leaseEndMs = simClock(this.#wish.world, { skewMs: 0, drift: 0 }, new Life()).nowMs() + LEASE_MS
    for (const holder of this.#owners(content.ref)) await holder.store.put({ ...content, leaseEndMs })
  }

  /** How many nodes have the content of this `contentRefKey`. */
  copiesOf(key: string): number {
    return this.#copies.get(key) ?? 0
  }

  /** Whether a request that arrives at the owner, and goes on clockwise through the region, finds it. */
  isFetchable(ref: ContentRef, regionSize: number): boolean {
    return this.#owners(ref, regionSize).some(({ store }) => store.has(ref))
  }

  #owners(ref: ContentRef, count = this.#wish.profile.copies): RingKeeper[] {
    return ownersOf(locationOf(ref), this.ids, count).map((id) => this.#nodes.get(toHex(id)) as RingKeeper)
  }

  #count(key: string, change: number): void {
    this.#copies.set(key, this.copiesOf(key) + change)
  }

  /** What it learns is what is so by then. */
  #tell(node: RingKeeper, about: NodeId, isNow = false): void {
    const { world, chance, noticeMs } = this.#wish
    const learn = (): void => node.learn(about, this.#nodes.has(toHex(about)))
    if (isNow) node.learn(about, true)
    else world.after(chance.exponential(noticeMs), learn)
  }

  /** Messages arrive one way after the other; a link to a node that goes is closed. */
  async #reach(from: RingKeeper, to: NodeId): Promise<PeerLink | undefined> {
    const { world, chance } = this.#wish
    const peer = this.#nodes.get(toHex(to))
    if (peer === undefined) {
      await world.sleep(DIAL_MS)
      from.learn(to, false)
      return undefined
    }
    const hop = (): Promise<void> => world.sleep(chance.between(DELAY_MS.min, DELAY_MS.max))
    const answer = async (message: Uint8Array, link: PeerLink): Promise<void> => {
      const call = decodeCall(message)
      if (call === undefined) throw new Error('not a call')
      await hop()
      const said = peer.isUp ? await peer.answer(call) : undefined
      await hop()
      if (said?.kind === 'copied') this.copiesSent++
      if (said?.kind === 'haves' || said?.kind === 'copied' || said?.kind === 'proved') from.calls.answered(link, said)
      else from.calls.closed(link)
    }
    const link = {
      sendMessage: (message: Uint8Array): boolean => {
        void answer(message, link)
        return true
      },
    } as PeerLink
    return link
  }
}

class RingKeeper implements RingNode {
  readonly id: NodeId
  readonly store: ShardStore
  readonly #keeping: Keeping
  readonly calls: Calls
  isUp = true
  readonly #reconcile: Reconcile
  readonly #life = new Life()
  #members: NodeId[]
  #around = ''

  constructor(parts: {
    readonly world: World
    readonly chance: Chance
    readonly profile: Profile
    readonly networkId: NetworkId
    readonly id: NodeId
    readonly known: readonly NodeId[]
    readonly reach: (from: RingKeeper, to: NodeId) => Promise<PeerLink | undefined>
    readonly count: (ref: ContentRef, change: number) => void
  }) {
    const { world, chance, profile, networkId, id, known, reach, count } = parts
    this.id = id
    this.#members = [...known, id].sort(compareBytes)
    this.store = counted(openMemoryStore({ quotaBytes: QUOTA_BYTES }).store, (ref, change) => {
      if (this.isUp) count(ref, change)
    })
    const clock = simClock(world, { skewMs: 0, drift: 0 }, this.#life)
    this.calls = new Calls(clock)
    this.#keeping = makeKeeping({
      clock,
      log: () => {},
      jitter: chance,
      random: chance,
      pointers: new PointerStore(openMemoryRecords()),
      store: this.store,
      calls: this.calls,
      // What is owed is another measurement's affair.
      accounts: { received: () => {} },
      // All that a keeper asks of its view.
      view: { reachable: () => this.#members } as unknown as View,
      profile,
      networkId,
      key: signingKeyFromSeed(chance.bytes(32)),
      selfId: id,
      reach: (to) => reach(this, to),
    })
    this.#reconcile = new Reconcile({ clock, jitter: chance, log: () => {}, profile, ...this.#keeping })
  }

  answer(call: Call): Promise<Call | undefined> {
    return this.#keeping.keeper.answer(call)
  }

  start(): void {
    this.#around = this.#keeping.holders.neighbourhood()
    this.#reconcile.start()
    this.#reconcile.soon()
  }

  /** As the member does when the ring around it has changed. */
  learn(id: NodeId, isMember: boolean): void {
    if (!this.isUp) return
    const others = this.#members.filter((other) => compareBytes(other, id) !== 0)
    this.#members = isMember ? [...others, id].sort(compareBytes) : others
    const around = this.#keeping.holders.neighbourhood()
    if (around !== this.#around) this.#reconcile.soon()
    this.#around = around
  }

  leave(): Promise<ReconcileReport> {
    return this.#reconcile.handOver()
  }

  end(): void {
    this.isUp = false
    this.#life.isOver = true
    this.#reconcile.stop()
  }
}

/** The store, telling of each content that comes or goes. */
function counted(store: ShardStore, onChange: (ref: ContentRef, change: number) => void): ShardStore {
  return {
    put: async (shard) => {
      const isNew = !store.has(shard.ref)
      const result = await store.put(shard)
      if (isNew && result === 'stored') onChange(shard.ref, 1)
      return result
    },
    get: (ref) => store.get(ref),
    has: (ref) => store.has(ref),
    leaseEnd: (ref) => store.leaseEnd(ref),
    delete: (ref) => {
      const isGone = store.delete(ref)
      if (isGone) onChange(ref, -1)
      return isGone
    },
    renew: (ref, leaseEndMs) => store.renew(ref, leaseEndMs),
    list: (range) => store.list(range),
    expire: (nowMs, limit) => store.expire(nowMs, limit),
    usage: () => store.usage(),
    close: () => store.close(),
  }
}

/** A content of random bytes. */
export function contentOf(chance: Chance): { ref: ContentRef; bytes: Uint8Array } {
  const bytes = chance.bytes(SHARD_SIZE)
  return { ref: { kind: 'shard', id: merkleRoot(bytes), copy: 0 }, bytes }
}
