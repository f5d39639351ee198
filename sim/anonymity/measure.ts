/**
 * From scenes to figures with their intervals. The nodes of a scene are shuffled and dealt out into hands of the
 * wanted share; each hand is hostile once. So every node is hostile equally often, and one deal's mean is one
 * value of the sample: it has none of the scatter of who happens to be drawn. SPEC anonymity §4
 */
import { Chance } from '../chance.ts'
import { meanOf, meanWithin, type Share, shareOf } from '../lookups/statistics.ts'
import type { Place } from './neighbours.ts'
import { runScene, type Scene, type SceneWish } from './scene.ts'
import {
  type Alone,
  type Placement,
  scoreAlone,
  scoreNeighbours,
  scorePlacement,
  scoreTargetedStorer,
  type Told,
} from './score.ts'

export interface Effort extends Omit<SceneWish, 'seed'> {
  readonly seed: string
  /** Scenes, each a network of its own. */
  readonly networks: number
  /** Deals of each network for each share. */
  readonly deals: number
  readonly shares: readonly number[]
}

export interface Row {
  readonly share: number
  readonly placements: number
  readonly figures: Readonly<Record<Figure, Share | undefined>>
}

export interface Results {
  readonly effort: Effort
  readonly gets: number
  readonly puts: number
  readonly failed: number
  readonly rows: readonly Row[]
  readonly storerTargeted: Share
  readonly alone: Alone
  readonly overTwo: Share
  readonly linked: Share
  readonly neighbours: Readonly<Record<Place, NeighbourFigures>>
  readonly cpuSeconds: number
  readonly peakMiB: number
}

export interface NeighbourFigures {
  readonly gets: number
  /** Undefined when too few saw anything. */
  readonly area: Share | undefined
  readonly right: Share | undefined
  readonly guess: Share | undefined
}

const NAMING = ['right', 'degree', 'guarded', 'claimsRight', 'requestsSeen', 'requestsNamed', 'guess'] as const
const BASES = ['circuit', 'guard', 'time'] as const
type Figure =
  | `${'get' | 'put'} ${(typeof NAMING)[number]}`
  | `${(typeof BASES)[number]} ${'share' | 'purity'}`
  | 'stripeSeen'
  | 'storersNamed'
  | 'marked circuits'
  | 'marked requests'

export async function measureAnonymity(effort: Effort, say: (line: string) => void = () => {}): Promise<Results> {
  const scenes: Scene[] = []
  for (let network = 0; network < effort.networks; network++) {
    scenes.push(await runScene({ ...effort, seed: `${effort.seed} ${effort.nodes} ${network}` }))
    const { deeds, failed, simulatedSeconds, events } = scenes.at(-1) as Scene
    say(
      `network ${network + 1}: ${deeds.length} puts and gets, ${failed} failed, ${events} events, ${simulatedSeconds} s simulated`,
    )
  }
  return measureScenes(effort, scenes)
}

export function measureScenes(effort: Effort, scenes: readonly Scene[]): Results {
  const deeds = scenes.flatMap((scene) => scene.deeds)
  const alone = summed(scenes.map(scoreAlone))
  const storers = scenes.map(scoreTargetedStorer)
  const told = scenes.map(scoreNeighbours)
  const neighbours = (place: Place): NeighbourFigures => neighbourFigures(told.map((each) => each[place]))
  return {
    effort,
    gets: deeds.filter(({ kind }) => kind === 'get').length,
    puts: deeds.filter(({ kind }) => kind === 'put').length,
    failed: scenes.reduce((sum, { failed }) => sum + failed, 0),
    rows: effort.shares.map((share) => measureShare(share, effort, scenes)),
    storerTargeted: shareOf(total(storers, 'right'), total(storers, 'trials')),
    alone,
    overTwo: shareOf(alone.overTwo, alone.pairs),
    linked: shareOf(alone.linked, alone.pairs),
    neighbours: { ring: neighbours('ring'), middle: neighbours('middle'), guard: neighbours('guard') },
    cpuSeconds: Math.round((process.cpuUsage().user + process.cpuUsage().system) / 1e6),
    peakMiB: Math.round(process.resourceUsage().maxRSS / 1_024),
  }
}

function measureShare(share: number, { seed, deals, networks }: Effort, scenes: readonly Scene[]): Row {
  const values: Record<Figure, number | undefined>[] = []
  let placements = 0
  for (const [network, scene] of scenes.entries()) {
    const chance = new Chance(`deals ${seed} ${network} ${share}`)
    for (let deal = 0; deal < deals; deal++) {
      const hands = dealt(scene, share, chance).map((hostile) => figuresOf(scorePlacement(scene, hostile, chance)))
      placements += hands.length
      values.push(combined(hands, meanOf))
    }
  }
  // One value has no interval: so a single deal shows none.
  const within =
    networks * deals > 1 ? meanWithin : (list: readonly number[]) => ({ share: meanOf(list), low: 0, high: 1 })
  return { share, placements, figures: combined(values, within) }
}

/** Shuffled and cut into as many hands as there are; what is left over belongs to none. */
export function dealt({ members }: Pick<Scene, 'members'>, share: number, chance: Chance): Set<string>[] {
  const keys = members.map(({ key }) => key)
  for (let i = keys.length - 1; i > 0; i--) {
    const j = chance.below(i + 1)
    const [a, b] = [keys[i] as string, keys[j] as string]
    keys[i] = b
    keys[j] = a
  }
  const size = Math.round(share * keys.length)
  if (size === 0) return [new Set()]
  return Array.from({ length: Math.floor(keys.length / size) }, (_, hand) => {
    return new Set(keys.slice(hand * size, (hand + 1) * size))
  })
}

function figuresOf(placement: Placement): Record<Figure, number | undefined> {
  const { linkage, stripeSeen, storersNamed, marks } = placement
  const naming = (['get', 'put'] as const).flatMap((kind) =>
    NAMING.map((name) => [`${kind} ${name}`, placement[kind][name]] as const),
  )
  const linked = BASES.flatMap((basis) =>
    (['share', 'purity'] as const).map((name) => [`${basis} ${name}`, linkage[basis][name]] as const),
  )
  return Object.fromEntries([
    ...naming,
    ...linked,
    ['stripeSeen', stripeSeen],
    ['storersNamed', storersNamed],
    ['marked circuits', marks.circuits],
    ['marked requests', marks.requests],
  ]) as Record<Figure, number | undefined>
}

/** Each figure over those that have it. */
function combined<T>(
  all: readonly Record<Figure, number | undefined>[],
  how: (values: readonly number[]) => T,
): Record<Figure, T | undefined> {
  const names = Object.keys(all[0] ?? {}) as Figure[]
  const entries = names.map((name) => {
    const values = all
      .map((figures) => figures[name])
      .filter((value) => value !== undefined)
      .filter((value) => !Number.isNaN(value))
    return [name, values.length > (how === (meanWithin as unknown) ? 1 : 0) ? how(values) : undefined] as const
  })
  return Object.fromEntries(entries) as Record<Figure, T | undefined>
}

function neighbourFigures(told: readonly Told[]): NeighbourFigures {
  const all = (of: keyof Told): number[] => told.flatMap((each) => each[of])
  const [area, right, guess] = [all('area'), all('right'), all('guess')]
  const within = (values: readonly number[]) => (values.length > 1 ? meanWithin(values) : undefined)
  return { gets: area.length, area: within(area), right: within(right), guess: within(guess) }
}

function summed(all: readonly Alone[]): Alone {
  return {
    pairs: total(all, 'pairs'),
    overTwo: total(all, 'overTwo'),
    linked: total(all, 'linked'),
    mostAsGateway: Math.max(0, ...all.map(({ mostAsGateway }) => mostAsGateway)),
    mostInAll: Math.max(0, ...all.map(({ mostInAll }) => mostInAll)),
  }
}

function total<Name extends string>(all: readonly Readonly<Record<Name, number>>[], name: Name): number {
  return all.reduce((sum, each) => sum + each[name], 0)
}
