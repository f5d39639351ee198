/**
 * How many guards a user meets when machines come and go, and how likely one of them is hostile: what a settled guard
 * leaves out. SPEC anonymity §6
 */
import { toHex } from '../../core/index.ts'
import { Chance } from '../chance.ts'
import { churn, Faults } from '../faults.ts'
import { meanOf, meanWithin, type Share } from '../lookups/statistics.ts'
import { CALM, SimNetwork } from '../network.ts'

export interface GuardsWish {
  readonly seed: string
  readonly nodes: number
  /** The users; they go away as well, but seldom. */
  readonly clients: number
  readonly networks: number
  /** After which it is looked how many each has met; the last ends the run. */
  readonly hours: readonly number[]
  readonly shares: readonly number[]
}

export interface GuardsResults {
  readonly wish: GuardsWish
  readonly crashes: number
  readonly rows: readonly {
    readonly hours: number
    readonly met: Share
    /** Users that have sent through at least one hostile guard, for each share of hostile nodes. */
    readonly exposed: readonly Share[]
  }[]
}

const START_MS = 5 * 60_000
const HOUR_MS = 3_600_000
const LOOK_EVERY_MS = 5_000
const DEALS = 200

/** Guards met by each user, at each of the hours. */
async function runNetwork(
  wish: GuardsWish,
  network: number,
): Promise<{ met: Set<string>[][]; crashes: number; all: string[] }> {
  const seed = new Chance(`guards ${wish.seed} ${network}`).uint32()
  const net = new SimNetwork({ seed, nodes: wish.nodes, clients: wish.clients, ...CALM, nodeGateways: () => 1 })
  await net.start()
  const { world } = net
  await world.run(() => world.nowMs >= START_MS)
  const met = new Map(net.clients.map((host) => [host, new Set<string>()]))
  const faults = new Faults(net, new Chance(`churn ${wish.seed} ${network}`), churn(wish.nodes))
  faults.begin()
  let nextMs = 0
  const taken: Set<string>[][] = []
  for (const hours of wish.hours) {
    await world.run(() => {
      if (world.nowMs >= nextMs) {
        nextMs = world.nowMs + LOOK_EVERY_MS
        for (const [host, guards] of met) {
          const guard = host.node?.guards.inUse
          if (guard !== undefined) guards.add(toHex(guard.id))
        }
      }
      return world.nowMs >= START_MS + hours * HOUR_MS
    })
    taken.push([...met.values()].map((guards) => new Set(guards)))
  }
  return { met: taken, crashes: faults.counts.crashes, all: net.nodes.map(({ identity }) => toHex(identity.id)) }
}

export async function measureGuards(wish: GuardsWish, say: (line: string) => void): Promise<GuardsResults> {
  const networks: Awaited<ReturnType<typeof runNetwork>>[] = []
  for (let network = 0; network < wish.networks; network++) {
    networks.push(await runNetwork(wish, network))
    say(`churn ${network + 1}: ${networks.at(-1)?.crashes} machines went away`)
  }
  const chance = new Chance(`guards dealt ${wish.seed}`)
  return {
    wish,
    crashes: networks.reduce((sum, { crashes }) => sum + crashes, 0),
    rows: wish.hours.map((hours, at) => ({
      hours,
      met: over(networks.map(({ met }) => meanOf((met[at] ?? []).map(({ size }) => size)))),
      exposed: wish.shares.map((share) =>
        over(networks.map(({ met, all }) => exposedShare(met[at] ?? [], { all, share, chance }))),
      ),
    })),
  }
}

/** Over placements of hostile nodes. */
function exposedShare(
  met: readonly ReadonlySet<string>[],
  of: { readonly all: readonly string[]; readonly share: number; readonly chance: Chance },
): number {
  const size = Math.round(of.share * of.all.length)
  const deals = Array.from({ length: DEALS }, () => {
    const hostile = new Set<string>()
    while (hostile.size < size) hostile.add(of.chance.pick(of.all))
    return meanOf(met.map((guards) => ([...guards].some((guard) => hostile.has(guard)) ? 1 : 0)))
  })
  return meanOf(deals)
}

function over(values: readonly number[]): Share {
  return values.length > 1 ? meanWithin(values) : { share: values[0] as number, low: 0, high: Number.POSITIVE_INFINITY }
}
