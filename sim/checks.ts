/**
 * What must hold of the ring, the queues and what is left over, while faults go on and after they have stopped.
 * The ring's invariants are in SPEC ring §2. Contents: custody.ts, read-back.ts; accounts: ledger-check.ts.
 *
 * Checkers see everything, the disks of all machines included: they are not part of the network.
 */
import { compareBytes, equalBytes, type Location, type NodeId, toHex } from '../core/index.ts'
import { isBetween, nextHop, ownersOf, type RingState } from '../routing/index.ts'
import { type ContentRef, locationOf } from '../storage/index.ts'
import { shown } from './custody.ts'
import type { SimHost } from './host.ts'
import type { SimNetwork } from './network.ts'

/** A node may have so much on its way; beyond, something grows without bound. */
const QUEUED_BYTES_MAX = 24 * 2 ** 20
const LINKS_MAX = 2_048
/** Ends of a circuit of three hops, at all who have a part in it. */
const ENDS_PER_CIRCUIT = 6
/** Hops of a lookup and nodes that were down on its way. */
const WALK_STEPS_MAX = 256
/** A request ends within 10 s, or 15 s for who asked; each node is seen without one in so long. SPEC requests §3 */
const REQUESTS_WATCHED_MS = 60_000

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
    for (const ref of host.pendingDisk.refs())
      if (isAmongHonest(network, ref)) network.violate(`${host.name} has not placed ${shown(ref)}`)
    for (const ref of host.disk.falseRefs()) network.violate(`${host.name} stores what is not ${shown(ref)}`)
  }
  // Client 1, guard 2, middle 2, gateway 1; some are just ending.
  if (ends > circuits * ENDS_PER_CIRCUIT * 1.5 + 20)
    network.violate(`${ends} circuit ends are left of ${circuits} circuits`)
}

/** A keeper that lies may refuse a content for good, and its author goes on trying. */
function isAmongHonest(network: SimNetwork, ref: ContentRef): boolean {
  const hosts = new Map(network.nodes.map((host) => [toHex(host.identity.id), host]))
  const owners = ownersOf(locationOf(ref), network.liveIds(), network.plan.profile.copies)
  return owners.every((id) => hosts.get(toHex(id))?.isHostile === false)
}

/** Hostile nodes ask on, and vaults are audited: so there is always some request, but none stays. */
export async function checkRequestsEnd(network: SimNetwork): Promise<void> {
  const { world } = network
  const openAt = ({ node }: SimHost): number => node?.member?.router.open ?? 0
  const busy = new Set(network.hosts.filter((host) => !host.isHostile))
  const untilMs = world.nowMs + REQUESTS_WATCHED_MS
  await world.run(() => {
    for (const host of busy) if (openAt(host) === 0) busy.delete(host)
    return busy.size === 0 || world.nowMs >= untilMs
  })
  for (const host of busy) network.violate(`${host.name} has ${openAt(host)} requests that do not end`)
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
