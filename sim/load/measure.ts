/**
 * One network of whole nodes under load: objects put and read by random users, then a crowd that wants one
 * object at once. What each node did is read off its own counters and its disk.
 */
import { type NodeId, STRIPE_SIZE, toHex } from '../../core/index.ts'
import type { HushNode } from '../../node/compose.ts'
import { ownersOf } from '../../routing/index.ts'
import { type Address, type ContentRef, locationOf, putObject } from '../../storage/index.ts'
import { Chance } from '../chance.ts'
import type { SimHost } from '../host.ts'
import { meanOf, percentileOf } from '../lookups/statistics.ts'
import { CALM, SimNetwork } from '../network.ts'
import { isExpected, Workload } from '../workload.ts'

const MINUTE_MS = 60_000
/** Everybody has joined and users have their circuits. */
const START_MS = 4 * MINUTE_MS
const SPREAD_MS = 2 * MINUTE_MS
const CROWD_MS = 10_000
const CLIENTS = 20
const OBJECT_SIZE_MAX = 16 * 1024
const CIRCLE = 2n ** 256n

export interface Spread {
  readonly what: string
  readonly mean: number
  readonly least: number
  readonly max: number
  /** Largest to mean that the ids of this run give. */
  readonly expected?: number
}

export interface Crowd {
  readonly right: number
  readonly all: number
  readonly keeperMean: number
  readonly keeperMax: number
  readonly busiest: number
  readonly answeredOnTheWay: number
  readonly merged: number
  readonly p50Seconds: number
  readonly p99Seconds: number
}

interface Stored {
  readonly author: SimHost
  readonly address: Address
  readonly content: Uint8Array
  readonly refs: readonly ContentRef[]
}

export async function measureLoad(wish: {
  readonly seed: number
  readonly nodes: number
  readonly objects: number
  readonly crowd: number
}): Promise<{ spreads: readonly Spread[]; withCaches: Crowd; without: Crowd }> {
  const network = new SimNetwork({
    seed: wish.seed,
    nodes: wish.nodes,
    clients: CLIENTS,
    ...CALM,
  })
  const { world } = network
  const chance = new Chance(`load ${wish.seed}`)
  await network.start()
  await world.run(() => world.nowMs >= START_MS)
  const stored: Stored[] = []
  await spread(network, chance, {
    count: wish.objects,
    overMs: SPREAD_MS,
    work: async (user) => void stored.push(await put(user, chance, chance.below(OBJECT_SIZE_MAX))),
  })
  const shards = spreadOf('shards', network, (host) => host.disk.heldCount)
  const putsDone = spreadOf('puts', network, (host) => countsOf(host).puts)
  const before = new Map(network.nodes.map((host) => [host, countsOf(host).gets]))
  const waiting = [...stored]
  await spread(network, chance, {
    count: stored.length,
    overMs: SPREAD_MS,
    work: async (user) => void (await read(user, waiting.pop() as Stored, chance)),
  })
  const getsDone = spreadOf('gets', network, (host) => countsOf(host).gets - (before.get(host) ?? 0))
  const withCaches = await crowdOf(network, chance, wish.crowd)
  for (const host of network.hosts) host.disk.hasCache = false
  const without = await crowdOf(network, chance, wish.crowd)
  return { spreads: [{ ...shards, expected: expectedOf(network) }, putsDone, getsDone], withCaches, without }
}

/** The first holders of each content of a fresh object, and what a crowd of random users makes them do. */
async function crowdOf(network: SimNetwork, chance: Chance, count: number): Promise<Crowd> {
  const { world } = network
  const hosts = new Map(network.nodes.map((host) => [toHex(host.identity.id), host]))
  const [author] = usersOf(network)
  if (author === undefined) throw new Error('nobody can put')
  let object: Stored | undefined
  const wait = put(author, chance, STRIPE_SIZE).then((made) => {
    object = made
  })
  await world.run(() => object !== undefined)
  await wait
  const wanted = object as unknown as Stored
  const keepers = new Set(
    wanted.refs.map((ref) => hosts.get(toHex(ownersOf(locationOf(ref), network.liveIds(), 1)[0] as NodeId)) as SimHost),
  )
  const before = new Map(network.nodes.map((host) => [host, { ...countsOf(host) }]))
  const seconds: number[] = []
  let right = 0
  await spread(network, chance, {
    count,
    overMs: CROWD_MS,
    work: async (user) => {
      const fromMs = world.nowMs
      if (await read(user, wanted, chance)) right++
      seconds.push((world.nowMs - fromMs) / 1_000)
    },
  })
  const since = (host: SimHost, name: 'gets' | 'cacheHits' | 'merged'): number =>
    countsOf(host)[name] - (before.get(host)?.[name] ?? 0)
  const total = (name: 'gets' | 'cacheHits' | 'merged'): number =>
    network.nodes.reduce((sum, host) => sum + since(host, name), 0)
  const atKeepers = [...keepers].map((host) => since(host, 'gets'))
  return {
    right,
    all: count,
    keeperMean: meanOf(atKeepers),
    keeperMax: Math.max(...atKeepers),
    busiest: Math.max(...network.nodes.map((host) => since(host, 'gets'))),
    answeredOnTheWay: total('cacheHits'),
    merged: total('merged'),
    p50Seconds: percentileOf(seconds, 0.5),
    p99Seconds: percentileOf(seconds, 0.99),
  }
}

/** Lets random users do `count` things at random times, and the world go on until the last is done. */
async function spread(
  network: SimNetwork,
  chance: Chance,
  plan: { readonly count: number; readonly overMs: number; readonly work: (user: SimHost) => Promise<void> },
): Promise<void> {
  const { world } = network
  let left = plan.count
  for (let i = 0; i < plan.count; i++)
    world.after(chance.between(0, plan.overMs), () => {
      plan.work(chance.pick(usersOf(network))).then(
        () => left--,
        (error: unknown) => world.fail(error),
      )
    })
  await world.run(() => left === 0)
}

/** Nodes and clients alike. */
function usersOf(network: SimNetwork): SimHost[] {
  return network.hosts.filter((host) => (host.node?.pool.ready.length ?? 0) > 0)
}

async function put(user: SimHost, chance: Chance, sizeBytes: number): Promise<Stored> {
  const node = user.node as HushNode
  const content = chance.bytes(sizeBytes)
  const refs: ContentRef[] = []
  const place = node.client.placer()
  const { address } = await putObject(
    {
      source: (async function* () {
        yield content.slice()
      })(),
      kind: 'private',
    },
    {
      random: chance,
      place: async (shard) => {
        const outcome = await place(shard)
        if (outcome !== 'refused') refs.push(shard.ref)
        return outcome
      },
    },
  )
  return { author: user, address, content, refs }
}

/** Whether the right bytes came. */
async function read(user: SimHost, object: Stored, chance: Chance): Promise<boolean> {
  try {
    const got = await Workload.read(user.node as HushNode, object.address, chance)
    return Buffer.compare(got, object.content) === 0
  } catch (error) {
    if (isExpected(error)) return false
    throw error
  }
}

function countsOf(host: SimHost): NonNullable<HushNode['member']>['router']['counts'] {
  const counts = host.node?.member?.router.counts
  if (counts === undefined) throw new Error(`${host.name} is no member`)
  return counts
}

function spreadOf(what: string, network: SimNetwork, of: (host: SimHost) => number): Spread {
  const values = network.nodes.map(of)
  return { what, mean: meanOf(values), least: Math.min(...values), max: Math.max(...values) }
}

/** The gaps before each node and its predecessor, largest against mean. */
function expectedOf(network: SimNetwork): number {
  const points = network.liveIds().map((id) => BigInt(`0x${toHex(id)}`))
  const gap = (i: number): bigint => {
    const [at, before] = [i, i - 1].map((j) => points.at(j % points.length) as bigint) as [bigint, bigint]
    return (at - before + CIRCLE) % CIRCLE
  }
  const parts = points.map((_, i) => Number((1_000_000n * (gap(i) + gap(i - 1))) / CIRCLE))
  return Math.max(...parts) / meanOf(parts)
}
