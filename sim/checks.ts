/**
 * What must hold, looked at while faults go on and after they have stopped. protocol.md's ring invariants are
 * in SPEC ring §2; "acknowledged" and its assumption are in SPEC overview §5.
 *
 * Checkers see everything, the disks of all machines included: they are not part of the network.
 */
import { compareBytes, equalBytes, type Location, type NodeId, shardCount, toHex } from '../core/index.ts'
import { isBetween, nextHop, ownersOf, type RingState } from '../routing/index.ts'
import { type ContentRef, contentRefKey, encodeContentRef, locationOf } from '../storage/index.ts'
import { Chance } from './chance.ts'
import type { SimHost } from './host.ts'
import type { SimNetwork } from './network.ts'
import { answersFor, blobsOf, copiesOf, whereabouts } from './whereabouts.ts'
import { type Acknowledged, isExpected, Workload } from './workload.ts'

/** A node may have so much on its way; beyond, something grows without bound. */
const QUEUED_BYTES_MAX = 24 * 2 ** 20
const LINKS_MAX = 2_048
/** Ends of a circuit of three hops, at all who have a part in it. */
const ENDS_PER_CIRCUIT = 6
/** Hops of a lookup and nodes that were down on its way. */
const WALK_STEPS_MAX = 256
/** As in node/roles/holders.ts: so many further members may hold a content. */
const REGION_EXTRA = 4
/** Vaults are audited at all times, from afar too. */
const READS_AT_REST = 8
/** Objects read at the same time. */
const READERS = 8

/** At every moment, at each honest node: lists in order, without repetition, without itself. */
export function checkLists(network: SimNetwork): void {
  for (const host of network.nodes) {
    const state = host.isHostile ? undefined : host.node?.member?.ring.state
    if (state === undefined) continue
    const fault = listFault(state)
    if (fault !== undefined) network.violate(`${host.name}: successors ${fault}: ${describe(state)}`)
  }
}

function listFault({ self, successors }: RingState): string | undefined {
  for (let i = 1; i < successors.length; i++) {
    const [before, id] = [successors[i - 1] as NodeId, successors[i] as NodeId]
    if (equalBytes(before, id)) return 'hold one node twice'
    // In a ring smaller than the list it may wrap to the node itself; never past it.
    if (!isBetween(self, before, id) && !equalBytes(self, id)) return 'are out of order'
  }
  return undefined
}

function describe(state: RingState): string {
  const short = (id: Uint8Array | undefined) => (id === undefined ? '-' : toHex(id).slice(0, 6))
  return `${short(state.self)} after ${short(state.predecessor)}: ${state.successors.map(short).join(' ')}`
}

/** Nothing grows without bound. */
export function checkBounds(network: SimNetwork): void {
  if (network.net.queuedBytesSeen > QUEUED_BYTES_MAX)
    network.violate(`a link had ${network.net.queuedBytesSeen} bytes waiting`)
  for (const host of network.hosts) {
    const { node } = host
    if (node === undefined || host.isHostile) continue
    if (node.links.count > LINKS_MAX) network.violate(`${host.name} has ${node.links.count} links`)
    if (host.disk.heldCount * 2 > host.disk.quotaBytes) network.violate(`${host.name} keeps more than its quota`)
  }
}

/** Once faults are over and users rest: nothing is under way, nothing is kept for nothing. */
export function checkRest(network: SimNetwork): void {
  let ends = 0
  let circuits = 0
  for (const host of network.hosts) {
    const { node } = host
    if (node === undefined) continue
    ends += node.circuits.count
    circuits += node.pool.ready.length + node.pool.building
    // A vault's circuit has four hops, and the old one goes on beside the new for a while.
    circuits += (node.member?.vaulting?.lines.keepers.length ?? 0) * 2
    if (host.isHostile) continue
    const open = node.member?.router.open ?? 0
    if (open > (host.vaultDisk === undefined ? 0 : READS_AT_REST))
      network.violate(`${host.name} has ${open} requests that do not end`)
    if (node.client.pendingCount > 0) network.violate(`${host.name} has ${node.client.pendingCount} shards not placed`)
    for (const ref of host.disk.falseRefs()) network.violate(`${host.name} stores what is not ${shown(ref)}`)
  }
  // Client 1, guard 2, middle 2, gateway 1; some are just ending.
  if (ends > circuits * ENDS_PER_CIRCUIT * 1.5 + 20)
    network.violate(`${ends} circuit ends are left of ${circuits} circuits`)
}

/** The members form one ring: each one's first successor is the next of all. Undefined when so. */
export function ringFault(network: SimNetwork): string | undefined {
  const ids = network.liveIds()
  const up = network.nodes.filter((host) => host.isUp)
  const outside = up.find((host) => host.node?.member?.ring.state === undefined)
  if (outside !== undefined) return `${outside.name} is up and no member`
  for (const host of up) {
    const state = host.node?.member?.ring.state
    const at = ids.findIndex((id) => compareBytes(id, host.identity.id) === 0)
    const next = ids[(at + 1) % ids.length] as NodeId
    const head = state?.successors[0]
    if (host.isHostile) continue
    if (head === undefined || !equalBytes(head, next))
      return `${host.name} ${toHex(host.identity.id).slice(0, 6)} takes ${head && toHex(head).slice(0, 6)} for its successor instead of ${toHex(next).slice(0, 6)}`
    const before = ids[(at + ids.length - 1) % ids.length] as NodeId
    const held = state?.predecessor
    if (held === undefined || !equalBytes(held, before)) return `${host.name} has another predecessor than its own`
  }
  return undefined
}

/** From wherever a location is asked for, one node answers. */
export function checkOneKeeper(network: SimNetwork, locations: readonly Location[]): void {
  const hosts = new Map(network.nodes.filter((host) => host.isUp).map((host) => [toHex(host.identity.id), host]))
  const ids = network.liveIds()
  const honest = [...hosts.values()].filter((host) => !host.isHostile)
  for (const location of locations) {
    const [owner] = ownersOf(location, ids, 1)
    for (const start of honest.slice(0, 20)) {
      const end = walk(hosts, start, location)
      if (owner === undefined || (end !== undefined && !equalBytes(end, owner)))
        network.violate(`${start.name} is led to another keeper of ${toHex(location).slice(0, 8)} than there is`)
    }
  }
}

/** Undefined when a hostile node is on the way: what it says is its own. A node that is down is gone around. */
function walk(hosts: ReadonlyMap<string, SimHost>, start: SimHost, location: Location): Uint8Array | undefined {
  let host: SimHost = start
  let exclude: NodeId[] = []
  for (let steps = 0; steps < WALK_STEPS_MAX; steps++) {
    const node = host.node
    const state = node?.member?.ring.state
    if (node === undefined || state === undefined) return new Uint8Array(32)
    const members = [...node.view.descriptors()].map(({ id }) => id).sort(compareBytes)
    const step = nextHop({ state, members, location, exclude })
    if ('own' in step) return host.identity.id
    const next = hosts.get(toHex(step.hop))
    if (next === undefined) {
      exclude.push(step.hop)
      continue
    }
    if (next.isHostile && !step.isOwner) return undefined
    if (step.isOwner) return next.identity.id
    host = next
    exclude = []
  }
  return new Uint8Array(32)
}

// --- nothing acknowledged is lost ------------------------------------------------------------------

export interface ReadBack {
  right: number
  /** Refused, and too few shards lie on honest machines: the promise does not reach so far. */
  explained: number
  readonly losses: string[]
  tries: number
}

/**
 * Where each content lies now, by what is on honest machines that are up. Made once, since it looks at every disk.
 */
export function census(network: SimNetwork): Map<string, number> {
  const up = network.nodes.filter((host) => host.isUp && !host.isHostile)
  return new Map([...whereabouts(up)].map(([key, at]) => [key, at.size]))
}

/** Every acknowledged object is read by somebody else; a failure is held against what lies where. */
export async function readBack(
  network: SimNetwork,
  objects: readonly Acknowledged[],
  options: { readonly triesMax: number },
): Promise<ReadBack> {
  const result: ReadBack = { right: 0, explained: 0, losses: [], tries: 0 }
  const chance = new Chance('read back')
  const waiting = [...objects]
  const readOne = async (object: Acknowledged): Promise<void> => {
    let why = 'nobody could read'
    for (let tried = 0; tried < options.triesMax; tried++) {
      const readers = network.clients.filter((host) => host.isUp && host !== object.author)
      const reader = readers[tried % Math.max(1, readers.length)]
      result.tries++
      try {
        if (reader?.node === undefined) throw new Error('no client is up')
        const got = await Workload.read(reader.node, object.address, chance)
        if (Buffer.compare(got, object.content) !== 0) network.violate(`${object.name} is read with wrong bytes`)
        else result.right++
        return
      } catch (error) {
        if (!isExpected(error)) network.violate(`reading ${object.name} ends with a bug: ${String(error)}`)
        why = String(error)
        await network.world.sleep(30_000)
      }
    }
    const found = whyLost(object.stripes, census(network))
    if (found === undefined) network.violate(`${object.name} was acknowledged and is gone: ${why}`)
    else {
      result.explained++
      result.losses.push(`${object.name}: ${found}`)
    }
  }
  const readSome = async (): Promise<void> => {
    for (let object = waiting.shift(); object !== undefined; object = waiting.shift()) await readOne(object)
  }
  await Promise.all(Array.from({ length: READERS }, readSome))
  return result
}

/** The first stripe of which too little lies on honest machines; undefined when all have enough. */
export function whyLost(
  stripes: readonly (readonly ContentRef[])[],
  copies: ReadonlyMap<string, number>,
): string | undefined {
  for (const refs of stripes) {
    const there = refs.filter((ref) => (copies.get(contentRefKey(ref)) ?? 0) > 0).length
    const needed = neededOf(refs)
    if (there < needed) return `${there} of ${refs.length} shards lie on honest machines, ${needed} needed`
  }
  return undefined
}

/** Any root copy will do; of n shards of a stripe the k of its code. */
function neededOf(refs: readonly ContentRef[]): number {
  if (refs[0]?.kind !== 'shard') return 1
  for (let k = 1; k <= 8; k++) if (shardCount(k) === refs.length) return k
  return refs.length
}

/**
 * Watches where acknowledged contents lie. A content must never vanish from the last honest machine that has
 * it, unless that machine died or the bits rotted; and once faults are over it is to have its copies again.
 */
export class Custody {
  readonly #network: SimNetwork
  readonly #copies: number
  readonly #holders = new Map<string, { ref: ContentRef; at: readonly SimHost[]; sinceMs: number }>()
  lost = 0

  constructor(network: SimNetwork, copies: number) {
    this.#network = network
    this.#copies = copies
    network.onDelete = (host, ref) => this.#letGo(host, ref)
    network.onLog = (host, line) => {
      if (/^handed over .*lacking=0$/.test(line)) this.#handedOver(host)
    }
  }

  get count(): number {
    return this.#holders.size
  }
  /** Contents that two vaults have or more. */
  get inVaults(): number {
    let count = 0
    for (const { ref } of this.#holders.values()) {
      const vaults = copiesOf(ref, this.#network.nodes).filter((host) => !host.disk.keeps(ref))
      if (vaults.length > 1) count++
    }
    return count
  }

  /** At the moment of the receipt. */
  acknowledged(ref: ContentRef): void {
    const at = this.#holdersOf(ref)
    const honest = at.filter((host) => !host.isHostile)
    // A hostile machine may have said stored and have nothing: then fewer are found.
    const hasHostile = this.#network.nodes.some((host) => host.isHostile)
    if (at.length < (hasHostile ? 1 : this.#copies))
      this.#network.violate(`${shown(ref)} was acknowledged with ${at.length} durable copies`)
    this.#holders.set(contentRefKey(ref), { ref, at: honest, sinceMs: this.#network.world.nowMs })
  }

  /** Surplus goes when its holders have proven that they have it. What they do afterwards is another matter. */
  #letGo(host: SimHost, ref: ContentRef): void {
    if (host.isHostile || host.isClient || host.disk.hasRotted(ref)) return
    const others = Math.max(this.#keptBy(ref, host).length, blobsOf(ref, this.#network.nodes))
    if (others < this.#copies)
      this.#network.violate(`${host.name} lets go of ${shown(ref)}, which ${others} others have`)
  }

  /** A leaver that says that nothing lacks leaves the copies behind, but for those it gave to machines that lie. */
  #handedOver(host: SimHost): void {
    const { leavingMs } = host
    if (host.isHostile || leavingMs === undefined) return
    const ids = this.#network.liveIds()
    const hosts = new Map(this.#network.nodes.map((other) => [toHex(other.identity.id), other]))
    for (const { ref, sinceMs } of this.#holders.values()) {
      if (sinceMs >= leavingMs || !host.disk.holds(ref) || host.disk.hasRotted(ref)) continue
      const near = ownersOf(locationOf(ref), ids, this.#copies + REGION_EXTRA).map((id) => hosts.get(toHex(id)))
      const kept = this.#keptBy(ref, host)
      const liars = near.filter((other) => other?.isHostile === true && !kept.includes(other))
      if (Math.max(kept.length + liars.length, blobsOf(ref, this.#network.nodes)) < this.#copies)
        this.#network.violate(`${host.name} has handed over ${shown(ref)}, which ${kept.length} others have`)
    }
  }

  /** Also machines that are down or have just died: they had it when they were asked. */
  #keptBy(ref: ContentRef, without: SimHost): SimHost[] {
    return copiesOf(
      ref,
      this.#network.nodes.filter((other) => other !== without),
    )
  }

  /** Now and then: contents move as the ring changes, and are never dropped by their last holder. */
  watch(): void {
    const now = this.#whereAll()
    for (const [key, held] of this.#holders) {
      const at = now.get(key) ?? []
      if (at.length === 0 && held.at.length > 0) {
        const guilty = held.at.find((host) => this.#isGuilty(host, held.ref))
        if (guilty !== undefined)
          this.#network.violate(`${shown(held.ref)} vanished from ${guilty.name}, its last holder`)
        this.lost++
      }
      this.#holders.set(key, { ...held, at })
    }
  }

  /** Contents with fewer copies than promised although honest machines could hold them; for the end. */
  lacking(): string[] {
    const now = this.#whereAll({ isUp: true })
    const lacking: string[] = []
    for (const [key, { ref }] of this.#holders) {
      // What has rotted is dropped when it is next read: that machine has nothing to copy from.
      const at = (now.get(key) ?? []).filter((host) => !host.disk.hasRotted(ref))
      if (at.length === 0) continue
      const owners = this.#ownersOf(ref)
      if (owners.some((host) => host === undefined || host.isHostile)) continue
      const missing = owners.filter((host) => host !== undefined && !answersFor(host, ref))
      // With vaults that lie too: who they are a keeper cannot know.
      const everywhere = copiesOf(
        ref,
        this.#network.nodes.filter((host) => host.isUp),
      )
      const isShort = everywhere.length < this.#copies && blobsOf(ref, this.#network.nodes) < this.#copies
      if (isShort && everywhere.some(({ vaultDisk }) => vaultDisk !== undefined))
        lacking.push(`${shown(ref)} lies at ${namesOf(everywhere)} only`)
      if (missing.length > 0)
        lacking.push(`${shown(ref)} lacks at ${namesOf(missing)} of ${namesOf(owners)}, lies at ${namesOf(at)}`)
    }
    return lacking
  }

  /** Who died could not help it, nor who left and handed over to a machine that lied. */
  #isGuilty(host: SimHost, ref: ContentRef): boolean {
    if (host.disk.hasRotted(ref)) return false
    // Hostile machines keep what they proved to hold, and may be all who should.
    if (copiesOf(ref, this.#network.nodes).some((other) => other.isHostile)) return false
    if (!host.isDead) return true
    return host.hasLeft && !this.#ownersOf(ref).some((owner) => owner === undefined || owner.isHostile)
  }

  #ownersOf(ref: ContentRef): (SimHost | undefined)[] {
    const hosts = new Map(this.#network.nodes.map((host) => [toHex(host.identity.id), host]))
    const ids = ownersOf(locationOf(ref), this.#network.liveIds(), this.#copies)
    return ids.map((id) => hosts.get(toHex(id)))
  }

  #holdersOf(ref: ContentRef): SimHost[] {
    return copiesOf(ref, this.#network.nodes)
  }

  #whereAll(wish: { isUp?: boolean } = {}): Map<string, SimHost[]> {
    const hosts = this.#network.nodes.filter(
      (host) => !host.isHostile && !host.isDead && (wish.isUp !== true || host.isUp),
    )
    const held = [...whereabouts(hosts)].filter(([key]) => this.#holders.has(key))
    const where = new Map(held.map(([key, at]) => [key, [...at]]))
    return where
  }
}

function shown(ref: ContentRef): string {
  const bytes = encodeContentRef(ref)
  return `${ref.kind} ${toHex(bytes.subarray(2)).slice(0, 8)}/${ref.copy}`
}

function namesOf(hosts: readonly (SimHost | undefined)[]): string {
  return hosts.map((host) => host?.name ?? 'nobody').join(', ')
}
