/**
 * The same question as economy.ts, asked of whole nodes: the program's own composition over the simulated
 * network, each node's upload held to a rate, nodes and clients that ask for shards of what was put before.
 * SPEC ledger §7
 */
import { STRIPE_SIZE, toHex } from '../../core/index.ts'
import type { HushNode } from '../../node/compose.ts'
import { type ContentRef, putObject } from '../../storage/index.ts'
import { Chance } from '../chance.ts'
import type { SimHost } from '../host.ts'
import { meanOf } from '../lookups/statistics.ts'
import { CALM, SimNetwork } from '../network.ts'
import { isExpected } from '../workload.ts'

export interface WholeWish {
  readonly seed: number
  readonly nodes: number
  /** Clients, which never serve. */
  readonly riders: number
  readonly uploadBytesPerSecond: number
  /** What is asked for, against the sum of all uploads. */
  readonly offered: number
  readonly hasLedgers: boolean
  readonly objects: number
  readonly minutes: number
  /** Of these, not counted. */
  readonly warmMinutes: number
}

export interface WholeShare {
  readonly parties: number
  readonly asked: number
  readonly got: number
  readonly creditsPerSecond: number
}

export interface WholeOutcome {
  readonly contributor: WholeShare
  readonly rider: WholeShare
  /** Mean over the nodes at the end. */
  readonly load: number
  /** Ring requests answered RBUSY for a debt. */
  readonly turnedAway: number
  /** Pairs with an account, and those whose two sides say the same some minutes after the last request. */
  readonly pairs: number
  readonly agreed: number
  readonly violations: readonly string[]
}

const MINUTE_MS = 60_000
const START_MS = 4 * MINUTE_MS
const SETTLE_MS = 4 * MINUTE_MS
const PATIENCE_MS = 20_000
const UNDER_WAY_MAX = 4
const GATEWAYS = 8
const SHARD_CREDITS = 64
/** A shard is eight cells, and so many links long: keeper, ring hops, gateway, middle, guard. */
const SHARD_BYTES_SENT = 8 * 8_184 * 4.5

export async function runWhole(wish: WholeWish): Promise<WholeOutcome> {
  const network = new SimNetwork({
    seed: wish.seed,
    nodes: wish.nodes,
    clients: wish.riders,
    ...CALM,
    nodeGateways: () => GATEWAYS,
    uploadBytesPerSecond: wish.uploadBytesPerSecond,
  })
  const { world } = network
  const chance = new Chance(`ledger ${wish.seed}`)
  await network.start()
  await world.run(() => world.nowMs >= START_MS)
  const refs = await store(network, chance, wish.objects)
  if (!wish.hasLedgers) for (const host of network.hosts) withoutLedger(host.node as HushNode)

  const tallies = new Map(network.hosts.map((host) => [host, { asked: 0, got: 0, underWay: 0 }]))
  const fromMs = world.nowMs + wish.warmMinutes * MINUTE_MS
  const untilMs = world.nowMs + wish.minutes * MINUTE_MS
  const perSecond = (wish.offered * wish.nodes * wish.uploadBytesPerSecond) / SHARD_BYTES_SENT
  const ask = (): void => {
    if (world.nowMs >= untilMs) return
    world.after(exponentialMs(chance, perSecond), ask)
    const host = chance.pick(network.hosts)
    const tally = tallies.get(host)
    if (tally === undefined) return
    const isCounted = world.nowMs >= fromMs
    if (isCounted) tally.asked++
    if (tally.underWay >= UNDER_WAY_MAX) return
    tally.underWay++
    fetchOne(network, host, chance.pick(refs)).then(
      (hasCome) => {
        tally.underWay--
        if (hasCome && isCounted) tally.got++
      },
      (error: unknown) => world.fail(error),
    )
  }
  ask()
  await world.run(() => world.nowMs >= untilMs)
  const load = meanOf(network.nodes.map((host) => Math.min(1, host.node?.accounts.load ?? 0)))
  await world.run(() => world.nowMs >= untilMs + SETTLE_MS)

  const countedS = (wish.minutes - wish.warmMinutes) * 60
  const shareOf = (hosts: readonly SimHost[]): WholeShare => {
    const sum = (of: 'asked' | 'got'): number =>
      hosts.reduce((total, host) => total + (tallies.get(host)?.[of] ?? 0), 0)
    const got = sum('got')
    return {
      parties: hosts.length,
      asked: sum('asked'),
      got,
      creditsPerSecond: (got * SHARD_CREDITS) / countedS / hosts.length,
    }
  }
  return {
    contributor: shareOf(network.nodes),
    rider: shareOf(network.clients),
    load,
    turnedAway: network.nodes.reduce((sum, host) => sum + (host.node?.member?.router.counts.turnedAway ?? 0), 0),
    ...agreement(network),
    violations: network.violations,
  }
}

/** Objects of one stripe each, put by nodes at once; all that was placed of them. */
async function store(network: SimNetwork, chance: Chance, objects: number): Promise<ContentRef[]> {
  const refs: ContentRef[] = []
  let left = objects
  for (let i = 0; i < objects; i++) {
    const node = chance.pick(network.nodes).node as HushNode
    const content = chance.bytes(STRIPE_SIZE)
    const place = node.client.placer()
    const source = (async function* () {
      yield content
    })()
    putObject(
      { source, kind: 'private' },
      {
        random: chance,
        place: async (shard) => {
          const outcome = await place(shard)
          if (outcome === 'stored' && shard.ref.kind === 'shard') refs.push(shard.ref)
          return outcome
        },
      },
    ).then(
      () => left--,
      (error: unknown) => {
        if (isExpected(error)) left--
        else network.world.fail(error)
      },
    )
  }
  await network.world.run(() => left === 0)
  return refs
}

/** Whether the shard came before its user lost patience. */
async function fetchOne({ world }: SimNetwork, host: SimHost, ref: ContentRef): Promise<boolean> {
  const node = host.node as HushNode
  const patience = new AbortController()
  world.after(PATIENCE_MS, () => patience.abort())
  try {
    return (await node.client.fetcher()(ref, { signal: patience.signal })) !== undefined
  } catch (error) {
    if (patience.signal.aborted || isExpected(error)) return false
    throw error
  }
}

/** Serves everybody in turn, as if there were no accounts. */
function withoutLedger({ accounts }: HushNode): void {
  accounts.admit = () => 'serve'
  accounts.admitRing = () => true
  accounts.shareOf = () => 1
}

function agreement(network: SimNetwork): { pairs: number; agreed: number } {
  const books = new Map<string, Map<string, { balance: number; entries: number }>>()
  for (const { node } of network.hosts) {
    if (node === undefined) continue
    const own = new Map(node.accounts.reports().map((report) => [toHex(report.peer), report]))
    books.set(toHex(node.accounts.ownKey), own)
  }
  let [pairs, agreed] = [0, 0]
  for (const [key, own] of books)
    for (const [peer, { balance, entries }] of own) {
      if (key > peer || entries === 0) continue
      pairs++
      const mirror = books.get(peer)?.get(key)
      if (mirror !== undefined && mirror.entries === entries && mirror.balance + balance === 0) agreed++
    }
  return { pairs, agreed }
}

function exponentialMs(chance: Chance, perSecond: number): number {
  return (-Math.log(1 - chance.unit()) / perSecond) * 1_000
}
