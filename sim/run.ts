/** One seed from its first event to its verdict. */
import type { Location, Profile } from '../core/index.ts'
import type { HushNode } from '../node/compose.ts'
import { Chance } from './chance.ts'
import { checkBounds, checkLists, checkOneKeeper, checkRequestsEnd, checkRest, ringFault } from './checks.ts'
import { Custody } from './custody.ts'
import { churn, drawFaults, Faults } from './faults.ts'
import { drawCharacters, hostileTamper } from './hostile.ts'
import { checkLedgersAgree, checkLedgersWritten, LEDGERS_AGREE_WITHIN_MS, ledgerPairs } from './ledger-check.ts'
import { SIM_PROFILE, SimNetwork } from './network.ts'
import { type ReadBack, readBack } from './read-back.ts'
import { ENDS_WITHIN_MS, type ObjectSizes, Workload, type WorkloadCounts } from './workload.ts'

export interface RunWish {
  readonly seed: number
  readonly nodes: number
  /** Simulated minutes with faults. */
  readonly minutes: number
  readonly puts: number
  /** While faults go on; all that was acknowledged is read after them in any case. */
  readonly gets: number
  readonly objects: ObjectSizes
  /** drawn: kinds and rates by the seed. churn: machines that come and go, and nothing else. */
  readonly faults: 'drawn' | 'churn'
  /** Of the nodes; drawn as well unless given. */
  readonly hostileShare?: number
  /** Nodes are vaults of each other; not unless given. */
  readonly hasVaults?: boolean
  /** Told of what happens, line by line. */
  readonly onLine?: (line: string) => void
}

export interface RunReport {
  readonly seed: number
  readonly nodes: number
  readonly violations: readonly string[]
  readonly traceHash: string
  readonly events: number
  readonly cells: number
  readonly simulatedSeconds: number
  readonly hostileShare: number
  readonly faults: Faults['counts']
  readonly load: WorkloadCounts
  readonly read: Omit<ReadBack, 'losses'>
  /** What the authors' own nodes read back while they were up: objects that were whole, shards put again, objects given up. */
  readonly readBack: Pick<HushNode['readBack']['counts'], 'verified' | 'restored' | 'unproven'>
  readonly losses: readonly string[]
  readonly contents: number
  readonly contentsLost: number
  /** Of all contents at the end, those whose bytes lie with two vaults at least. */
  readonly contentsInVaults: number
  /** Until there was one ring again after the last fault. */
  readonly healedAfterSeconds: number
  readonly lastEvents: readonly string[]
}

const MINUTE = 60_000
/** A day of a vault's absence would be longer than a run. */
const VAULT_PROFILE: Profile = { ...SIM_PROFILE, vaultAbsentMs: 2 * MINUTE, vaultAuditEveryMs: MINUTE / 2 }
const CHECK_EVERY_MS = 10_000
const WATCH_EVERY_MS = MINUTE
const START_MS_MAX = 10 * MINUTE
const SETTLE_MS = 5 * MINUTE
/** A request on the ring ends within 10 s, whether or not its asker still waits. SPEC requests §3 */
const REQUEST_ENDS_MS = 15_000
const LAST_EVENTS = 60
const CLIENTS = 6

export async function runSeed(wish: RunWish): Promise<RunReport> {
  const plan = new Chance(`plan ${wish.seed}`)
  const drawnShare = plan.pick([0, 0, 0.05, 0.1, 0.2])
  const hostileShare = wish.hostileShare ?? drawnShare
  const network = new SimNetwork({
    seed: wish.seed,
    nodes: wish.nodes,
    clients: CLIENTS,
    profile: wish.hasVaults === true ? VAULT_PROFILE : SIM_PROFILE,
    hostileShare,
    tamper: (chance) => hostileTamper(network.world, chance, drawCharacters(chance)),
    quotaBytes: 2 ** 28,
    skewMs: plan.pick([0, 1_000, 30_000]),
    drift: plan.pick([0, 0.0001, 0.01]),
    ...(wish.hasVaults === true && { hasVaults: true }),
  })
  const { world } = network
  network.onCrash = (host) => checkLedgersWritten(network, host)
  if (wish.onLine !== undefined) world.trace.onLine = wish.onLine
  const custody = new Custody(network, SIM_PROFILE.copies)
  const workload = new Workload(network, new Chance(`load ${wish.seed}`), {
    sizes: wish.objects,
    onStored: (ref) => custody.acknowledged(ref),
  })
  const faults = new Faults(
    network,
    new Chance(`faults ${wish.seed}`),
    wish.faults === 'churn' ? churn(wish.nodes) : drawFaults(plan, wish.nodes),
  )
  let healedAfterSeconds = Number.NaN
  const authors = { verified: 0, restored: 0, unproven: 0 }
  let read: ReadBack = { right: 0, explained: 0, losses: [], tries: 0 }
  try {
    await network.start()
    await begin(network)
    watch(network, custody)
    const fromMs = world.nowMs
    const untilMs = fromMs + wish.minutes * MINUTE
    faults.begin()
    workload.plan({ fromMs, untilMs: untilMs - MINUTE, puts: wish.puts, gets: wish.gets })
    await world.run(() => world.nowMs >= untilMs)
    faults.heal()
    healedAfterSeconds = await heal(network, workload)
    await during(network, endReadBacks(network, authors))
    const quietMs = world.nowMs + REQUEST_ENDS_MS
    await world.run(() => world.nowMs >= quietMs)
    checkOneKeeper(
      network,
      Array.from({ length: 20 }, () => plan.bytes(32) as Location),
    )
    custody.watch()
    const ledgers = { pairs: ledgerPairs(network), atMs: world.nowMs }
    for (const lack of custody.lacking().slice(0, 5)) network.violate(`not copied again: ${lack}`)
    checkRest(network)
    await checkRequestsEnd(network)
    read = await during(network, readBack(network, workload.acknowledged, { triesMax: 6 }))
    await world.run(() => world.nowMs >= ledgers.atMs + LEDGERS_AGREE_WITHIN_MS)
    checkLedgersAgree(network, ledgers.pairs)
  } catch (error) {
    network.violate(String(error))
  }
  return {
    seed: wish.seed,
    nodes: wish.nodes,
    violations: network.violations,
    traceHash: world.trace.hash(),
    events: world.count,
    cells: network.net.cells,
    simulatedSeconds: Math.round(world.nowMs / 1_000),
    hostileShare,
    faults: faults.counts,
    load: workload.counts,
    read: { right: read.right, explained: read.explained, tries: read.tries },
    readBack: authors,
    losses: read.losses,
    contents: custody.count,
    contentsLost: custody.lost,
    contentsInVaults: custody.inVaults,
    healedAfterSeconds,
    lastEvents: world.trace.last(LAST_EVENTS),
  }
}

/** Until all have joined one ring and users have circuits. */
async function begin(network: SimNetwork): Promise<void> {
  const { world } = network
  let nextMs = 0
  await world.run(() => {
    if (world.nowMs < nextMs) return false
    nextMs = world.nowMs + 5_000
    const isReady =
      world.nowMs > 150_000 &&
      ringFault(network) === undefined &&
      network.clients.every((host) => (host.node?.pool.ready.length ?? 0) >= 5) &&
      haveLines(network)
    if (!isReady && world.nowMs > START_MS_MAX) throw new Error(`the network does not begin: ${ringFault(network)}`)
    return isReady
  })
  network.note('the network stands')
}

/** All but a tenth of the keepers could give a content to two vaults; where there are none, all are as ready as they will be. */
function haveLines({ nodes }: SimNetwork): boolean {
  const few = nodes.filter(
    ({ node, vaultDisk }) => vaultDisk !== undefined && (node?.member?.lines?.attached().length ?? 0) < 2,
  )
  return few.length <= nodes.length / 10
}

function watch(network: SimNetwork, custody: Custody): void {
  const { world } = network
  const check = (): void => {
    checkLists(network)
    checkBounds(network)
    world.after(CHECK_EVERY_MS, check)
  }
  const look = (): void => {
    custody.watch()
    world.after(WATCH_EVERY_MS, look)
  }
  check()
  look()
}

/** One ring within 10 log2 N rounds, then time for the copies; all work has ended by then. Seconds until the ring. */
async function heal(network: SimNetwork, workload: Workload): Promise<number> {
  const { world } = network
  const fromMs = world.nowMs
  const roundsMax = 10 * Math.log2(network.nodes.length)
  const untilMs = fromMs + roundsMax * SIM_PROFILE.stabiliseEveryMs
  let nextMs = 0
  await world.run(() => {
    if (world.nowMs < nextMs) return false
    nextMs = world.nowMs + 5_000
    const fault = ringFault(network)
    if (fault !== undefined && world.nowMs > untilMs)
      throw new Error(`no one ring within ${Math.round(roundsMax)} rounds: ${fault}`)
    return fault === undefined
  })
  const healedMs = world.nowMs
  network.note('one ring again')
  await world.run(() => world.nowMs > healedMs + SETTLE_MS)
  // What does not end is told by the workload; nothing began after the faults had ended.
  await world.run(() => workload.running === 0 || world.nowMs > fromMs + ENDS_WITHIN_MS + MINUTE)
  return Math.round((healedMs - fromMs) / 1_000)
}

/** They go on for an hour; what is under way ends here, so that everything can be looked at when it rests. */
async function endReadBacks(network: SimNetwork, sum: { verified: number; restored: number; unproven: number }) {
  for (const { node } of network.hosts) {
    if (node === undefined) continue
    await node.readBack.stop()
    for (const count of ['verified', 'restored', 'unproven'] as const) sum[count] += node.readBack.counts[count]
  }
}

/** Lets the world go on until the work in it is done. */
async function during<T>(network: SimNetwork, work: Promise<T>): Promise<T> {
  let isDone = false
  const done = work.finally(() => {
    isDone = true
  })
  await network.world.run(() => isDone)
  return done
}
