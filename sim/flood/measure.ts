/**
 * Two attacks on what the ring knows by location. A flood: identities made, at the price of the puzzle, until enough of
 * them stand behind one location, which then deny all; with regions as they are, and as they were before there were any.
 * And the keepers of eight locations of one file shut down at once. SPEC vaults §5, anonymity §7
 */
import { type NodeId, PROFILES, STRIPE_SIZE, toHex } from '../../core/index.ts'
import { isUpTo, ownersOf, pointAfter } from '../../routing/index.ts'
import {
  type Address,
  type ContentRef,
  contentRefKey,
  locationOf,
  openObject,
  type PlaceShard,
  putObject,
} from '../../storage/index.ts'
import { Chance } from '../chance.ts'
import { ringFault } from '../checks.ts'
import type { SimHost } from '../host.ts'
import { CALM, SimNetwork } from '../network.ts'
import { isExpected } from '../workload.ts'
import { denying } from './deny.ts'

const MINUTE_MS = 60_000
const START_MS = 4 * MINUTE_MS
const START_MS_MAX = 15 * MINUTE_MS
/** Newcomers come one after another, and everybody hears of the last. */
const FLOOD_MS = 5 * MINUTE_MS
const SETTLED_MS = 10 * MINUTE_MS
/** A machine that fell silent is given up by then. */
const NOTICED_MS = 3 * MINUTE_MS
const USERS = 6
/** Of a region. SPEC vaults §5 */
const REGION_ARCS = 8
/** A try of the puzzle on one core. SPEC crypto §6 */
const TRY_SECONDS = 0.045
export const IDENTITY_SECONDS = TRY_SECONDS * 2 ** PROFILES.production.puzzleBits

export interface FloodWish {
  readonly seed: string
  readonly nodes: number
  readonly networks: number
  /** Of each network, each flooded by the whole budget. */
  readonly targets: number
  readonly coreHours: number
  /** Of each target, before and after. */
  readonly gets: number
  readonly hasRegions: boolean
}

export interface Flooded {
  readonly wish: FloodWish
  /** Identities that a budget makes, and those of them that stand in a region. */
  readonly made: number
  readonly placed: number
  readonly before: { readonly right: number; readonly all: number }
  readonly after: { readonly right: number; readonly all: number }
  /** Honest members near the targets that say that they are crowded. */
  readonly warned: number
  readonly beside: number
}

type Holders = NonNullable<NonNullable<SimHost['node']>['member']>['holders']

interface Stored {
  readonly address: Address
  readonly content: Uint8Array
  readonly refs: readonly ContentRef[]
}

export async function measureFlood(wish: FloodWish): Promise<Flooded> {
  const made = Math.floor((wish.coreHours * 3_600) / IDENTITY_SECONDS)
  const placed = Math.round((made * REGION_ARCS) / wish.nodes)
  const before = { right: 0, all: 0 }
  const after = { right: 0, all: 0 }
  let [warned, beside] = [0, 0]
  let undo = (): void => {}
  try {
    for (let number = 0; number < wish.networks; number++) {
      const name = `flood ${wish.seed} ${number}`
      const { network, chance, users } = await begun(name, wish.nodes)
      const holders = network.nodes[0]?.node?.member?.holders
      if (!wish.hasRegions && holders !== undefined && number === 0) undo = withoutRegions(holders)
      const stored = await put(network, { user: users[0] as SimHost, chance })
      const refs = stored.refs.slice(0, wish.targets)
      await getAll(network, { users, refs, gets: wish.gets, into: before })
      const honest = network.nodes
      for (const ref of refs) {
        const start = locationOf(ref)
        const end = pointAfter(start, { parts: wish.nodes, count: REGION_ARCS }) as NodeId
        for (let each = 0; each < placed; each++) {
          await network.addHostile((id) => isUpTo(start, id, end), denying)
          const untilMs = network.world.nowMs + FLOOD_MS / (placed * refs.length)
          await network.world.run(() => network.world.nowMs >= untilMs)
        }
      }
      const settledMs = network.world.nowMs + SETTLED_MS
      await network.world.run(() => network.world.nowMs >= settledMs)
      await getAll(network, { users, refs, gets: wish.gets, into: after })
      const near = honest.filter((host) => refs.some((ref) => isBeside(host, ref, wish.nodes)))
      beside += near.length
      warned += near.filter((host) => host.node?.member?.holders.crowd() !== undefined).length
    }
  } finally {
    undo()
  }
  return { wish, made, placed, before, after, warned, beside }
}

export interface ShutDown {
  readonly nodes: number
  readonly networks: number
  readonly locations: number
  readonly down: number
  /** The files whose keepers they were, and all others. */
  readonly own: { readonly right: number; readonly all: number }
  readonly others: { readonly right: number; readonly all: number }
}

export async function measureShutDown(wish: {
  readonly seed: string
  readonly nodes: number
  readonly networks: number
  readonly files: number
  readonly locations: number
}): Promise<ShutDown> {
  const own = { right: 0, all: 0 }
  const others = { right: 0, all: 0 }
  let down = 0
  for (let number = 0; number < wish.networks; number++) {
    const { network, chance, users } = await begun(`shut down ${wish.seed} ${number}`, wish.nodes)
    const [author = users[0] as SimHost, ...readers] = users
    const files: Stored[] = []
    for (let file = 0; file < wish.files; file++) files.push(await put(network, { user: author, chance }))
    const ids = network.liveIds()
    const locations = (files[0]?.refs ?? []).slice(0, wish.locations).map(locationOf)
    const keepers = new Set(
      locations.flatMap((location) => ownersOf(location, ids, PROFILES.production.copies).map(toHex)),
    )
    for (const host of network.nodes) {
      if (!keepers.has(toHex(host.identity.id)) || users.includes(host)) continue
      host.crash({ isSilent: true })
      down++
    }
    // Clients find out whether their guards are among them.
    const foundMs = network.world.nowMs + NOTICED_MS
    await network.world.run(() => network.world.nowMs >= foundMs)
    for (const [at, file] of files.entries()) {
      const into = at === 0 ? own : others
      into.all++
      if (await isFetched(network, chance.pick(readers), file)) into.right++
    }
  }
  return { nodes: wish.nodes, networks: wish.networks, locations: wish.locations, down, own, others }
}

/** A network with vaults and no caches, whose users are clients. */
async function begun(name: string, nodes: number) {
  const chance = new Chance(name)
  const network = new SimNetwork({ seed: chance.uint32(), nodes, clients: USERS, ...CALM, hasVaults: true })
  await network.start()
  const { world } = network
  const users = (): SimHost[] => network.clients
  let nextMs = START_MS
  await world.run(() => {
    if (world.nowMs < nextMs) return false
    nextMs = world.nowMs + 5_000
    const isReady = users().every(({ node }) => (node?.pool.ready.length ?? 0) > 5 && (node?.view.size ?? 0) >= nodes)
    const hasLines = network.nodes.every(({ node }) => (node?.member?.vaulting?.lines.keepers.length ?? 0) > 4)
    if (world.nowMs > START_MS_MAX) throw new Error('the network does not begin')
    return isReady && hasLines && users().length === USERS && ringFault(network) === undefined
  })
  for (const host of network.hosts) host.disk.hasCache = false
  return { network, chance, users: users() }
}

async function put(network: SimNetwork, of: { user: SimHost; chance: Chance }): Promise<Stored> {
  const { node } = of.user
  if (node === undefined) throw new Error('a user is down')
  const content = of.chance.bytes(STRIPE_SIZE - 100)
  const refs = new Map<string, ContentRef>()
  const through = node.client.placer()
  const place: PlaceShard = (shard) => {
    if (shard.stripe === 0) refs.set(contentRefKey(shard.ref), shard.ref)
    return through(shard)
  }
  const source = (async function* () {
    yield content
  })()
  const address = await during(network, async () => {
    return (await putObject({ source, kind: 'private' }, { random: of.chance, place })).address
  })
  if (address === undefined) throw new Error('a put failed before anything was done')
  return { address, content, refs: [...refs.values()] }
}

async function isFetched(network: SimNetwork, user: SimHost, { address, content }: Stored): Promise<boolean> {
  const read = await during(network, async () => {
    const { client } = user.node ?? {}
    if (client === undefined) return undefined
    const opened = await openObject(address, { fetch: client.fetcher(), jitter: network.chance })
    const parts: Uint8Array[] = []
    for await (const part of opened.read()) parts.push(part)
    return Buffer.concat(parts)
  })
  return read?.equals(content) === true
}

/** Single shards, by users in turn. */
async function getAll(
  network: SimNetwork,
  of: {
    users: readonly SimHost[]
    refs: readonly ContentRef[]
    gets: number
    into: { right: number; all: number }
  },
): Promise<void> {
  for (let get = 0; get < of.gets; get++) {
    for (const ref of of.refs) {
      const fetch = of.users[get % of.users.length]?.node?.client.fetcher()
      const { signal } = new AbortController()
      const bytes = await during(network, async () => fetch?.(ref, { signal }))
      of.into.all++
      if (bytes !== undefined) of.into.right++
    }
  }
}

/** Runs the world until it is done; undefined when it failed as requests may. */
async function during<T>(network: SimNetwork, act: () => Promise<T>): Promise<T | undefined> {
  let isOver = false
  const acting = act()
    .catch((error: unknown) => {
      if (!isExpected(error)) throw error
      return undefined
    })
    .finally(() => {
      isOver = true
    })
  await network.world.run(() => isOver)
  return acting
}

function isBeside(host: SimHost, ref: ContentRef, nodes: number): boolean {
  const end = pointAfter(locationOf(ref), { parts: nodes, count: REGION_ARCS })
  return end !== undefined && isUpTo(locationOf(ref), host.identity.id, end)
}

/**
 * As it was before there were regions: the first `copies` members alone have a pointer, and nobody asks the eldest. For
 * all nodes of this process, until what is returned is called.
 */
export function withoutRegions(holders: Pick<Holders, 'of' | 'region' | 'eldest'>): () => void {
  const shared = Object.getPrototypeOf(holders) as Pick<Holders, 'of' | 'region' | 'eldest'>
  const { region, eldest } = shared
  shared.region = function (location, options = {}) {
    return this.of(location, { count: PROFILES.production.copies, ...options })
  }
  shared.eldest = () => []
  return () => {
    shared.region = region
    shared.eldest = eldest
  }
}
