/**
 * From scenes to figures with their intervals. The nodes of a scene are shuffled and dealt out into hands of the
 * wanted share; each hand is hostile once. So every node is hostile equally often, and a network's mean has none of
 * the scatter of who happens to be drawn. It is one value of the sample: deals of one network share its events, so
 * only networks stand for themselves. SPEC anonymity §4
 */
import { Chance } from '../chance.ts'
import { meanOf, meanWithin, type Share, shareOf } from '../lookups/statistics.ts'
import { AIMS, type Aim, scoreAimed } from './aimed.ts'
import type { GuardsResults } from './guards.ts'
import type { Place } from './neighbours.ts'
import { runScene, type Scene, type SceneWish } from './scene.ts'
import {
  type Alone,
  type Counted,
  type Placement,
  type StorerNaming,
  scoreAlone,
  scoreNeighbours,
  scorePlacement,
  scoreWhereabouts,
  type Told,
} from './score.ts'

export interface Effort extends Omit<SceneWish, 'seed'> {
  readonly seed: string
  /** Scenes, each a network of its own. */
  readonly networks: number
  /** Deals of each network for each share. */
  readonly deals: number
  readonly shares: readonly number[]
  /** Puts and gets of each network at which hostile nodes aim, in turn, for each share and aim. */
  readonly aimed: number
}

export interface Row {
  readonly share: number
  readonly placements: number
  readonly figures: Readonly<Record<Figure, Share | undefined>>
}

/** All that is put onto the page. */
export interface Measured {
  readonly commands: readonly string[]
  readonly all: readonly Results[]
  readonly held: Results | undefined
  /** As `all`, of nodes that are no vaults. */
  readonly bare: Results | undefined
  readonly guards: GuardsResults | undefined
  readonly cpuSeconds: number
  readonly peakMiB: number
}

export interface Results {
  readonly effort: Effort
  readonly gets: number
  readonly puts: number
  readonly failed: number
  readonly rows: readonly Row[]
  /** Of the shards: in two vaults; and those whose bytes keepers have themselves. */
  readonly inVaults: Share
  readonly withKeepers: Share
  /** Pairs of a shard and a vault in all networks, and how often contents were put again. */
  readonly pairs: number
  readonly questions: number
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

const NAMING = ['right', 'found', 'degree', 'guarded', 'claimsRight', 'requestsSeen', 'requestsNamed', 'guess'] as const
const STORERS = [
  'watched',
  'pointed',
  'asked',
  'askedOrGuessed',
  'watchedRight',
  'askedRight',
  'pointers',
] as const satisfies readonly (keyof StorerNaming)[]
const BASES = ['circuit', 'guard', 'time'] as const
type Figure =
  | `${'get' | 'put'} ${(typeof NAMING)[number]}`
  | `${(typeof BASES)[number]} ${'share' | 'purity'}`
  | `${Aim} ${'reader' | 'author' | 'guard' | 'guess' | 'seen' | 'linked'}`
  | 'stripeSeen'
  | `storer ${(typeof STORERS)[number]}`
  | 'marked circuits'
  | 'marked requests'

/** What is kept of a network when its recordings, which are large, are let go of. */
interface Part {
  readonly gets: number
  readonly puts: number
  readonly failed: number
  readonly rows: readonly { readonly placements: number; readonly figures: Record<Figure, number | undefined> }[]
  readonly whereabouts: { readonly inVaults: Counted; readonly withKeepers: Counted }
  readonly pairs: number
  readonly questions: number
  readonly alone: Alone
  readonly told: Readonly<Record<Place, Told>>
}

export async function measureAnonymity(effort: Effort, say: (line: string) => void = () => {}): Promise<Results> {
  const parts: Part[] = []
  for (let network = 0; network < effort.networks; network++) {
    const scene = await runScene({ ...effort, seed: `${effort.seed} ${effort.nodes} ${network}` })
    const { deeds, failed, simulatedSeconds, events } = scene
    say(
      `network ${network + 1}: ${deeds.length} puts and gets, ${failed} failed, ${events} events, ${simulatedSeconds} s simulated`,
    )
    parts.push(partOf(effort, { scene, network }))
  }
  return summedUp(effort, parts)
}

export function measureScenes(effort: Effort, scenes: readonly Scene[]): Results {
  return summedUp(
    effort,
    scenes.map((scene, network) => partOf(effort, { scene, network })),
  )
}

function partOf({ seed, deals, shares, aimed }: Effort, { scene, network }: { scene: Scene; network: number }): Part {
  const count = (kind: string): number => scene.deeds.filter((deed) => deed.kind === kind).length
  const rows = shares.map((share) => {
    const chance = new Chance(`deals ${seed} ${network} ${share}`)
    const placed: Placement[] = []
    for (let deal = 0; deal < deals; deal++)
      for (const hostile of dealt(scene, share, chance)) placed.push(scorePlacement(scene, hostile, chance))
    const figures = { ...figuresOf(placed), ...aimedFigures(scene, { share, objects: aimed, chance }) }
    return { placements: placed.length, figures }
  })
  return {
    gets: count('get'),
    puts: count('put'),
    failed: scene.failed,
    rows,
    whereabouts: scoreWhereabouts(scene),
    pairs: scene.stored.length,
    questions: scene.questions.length,
    alone: scoreAlone(scene),
    told: scoreNeighbours(scene),
  }
}

function summedUp(effort: Effort, parts: readonly Part[]): Results {
  const alone = summed(parts.map((part) => part.alone))
  const lying = (where: 'inVaults' | 'withKeepers'): Share => {
    const counts = parts.map(({ whereabouts }) => whereabouts[where])
    return shareOf(total(counts, 'right'), total(counts, 'trials'))
  }
  const neighbours = (place: Place): NeighbourFigures => neighbourFigures(parts.map(({ told }) => told[place]))
  return {
    effort,
    gets: total(parts, 'gets'),
    puts: total(parts, 'puts'),
    failed: total(parts, 'failed'),
    rows: effort.shares.map((share, index) =>
      rowOf(
        share,
        parts.map(({ rows }) => rows[index] as Part['rows'][number]),
      ),
    ),
    inVaults: lying('inVaults'),
    withKeepers: lying('withKeepers'),
    pairs: total(parts, 'pairs'),
    questions: total(parts, 'questions'),
    alone,
    overTwo: shareOf(alone.overTwo, alone.pairs),
    linked: shareOf(alone.linked, alone.pairs),
    neighbours: { ring: neighbours('ring'), middle: neighbours('middle'), guard: neighbours('guard') },
    cpuSeconds: Math.round((process.cpuUsage().user + process.cpuUsage().system) / 1e6),
    peakMiB: Math.round(process.resourceUsage().maxRSS / 1_024),
  }
}

function rowOf(share: number, rows: Part['rows']): Row {
  const names = Object.keys(rows[0]?.figures ?? {}) as Figure[]
  const entries = names.map((name) => [name, within(rows.map(({ figures }) => figures[name]))] as const)
  return {
    share,
    placements: total(rows, 'placements'),
    figures: Object.fromEntries(entries) as Record<Figure, Share | undefined>,
  }
}

/** Over the networks that have the figure. One value has no interval, so it is given the widest. */
function within(all: readonly (number | undefined)[]): Share | undefined {
  const values = all.filter((value) => value !== undefined)
  if (values.length === 0) return undefined
  return values.length === 1 ? { share: values[0] as number, low: 0, high: 1 } : meanWithin(values)
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

function aimedFigures(scene: Scene, wish: { share: number; objects: number; chance: Chance }) {
  const figures: Partial<Record<Figure, number | undefined>> = {}
  for (const aim of wish.objects > 0 ? AIMS : []) {
    const { get, put, seen, linked } = scoreAimed(scene, { aim, ...wish })
    figures[`${aim} reader`] = get?.right
    figures[`${aim} author`] = put?.right
    figures[`${aim} guard`] = get?.guarded
    figures[`${aim} guess`] = get?.guess
    figures[`${aim} seen`] = seen
    figures[`${aim} linked`] = linked
  }
  return figures
}

/** Means over the placements of one network that have the figure; of marks, of all that there was to join. */
function figuresOf(placed: readonly Placement[]): Record<Figure, number | undefined> {
  const mean = (of: (placement: Placement) => number | undefined): number | undefined => {
    const values = placed.map(of).filter((value) => value !== undefined && !Number.isNaN(value)) as number[]
    return values.length === 0 ? undefined : meanOf(values)
  }
  const joined = (place: 'circuits' | 'requests'): number | undefined => {
    const counts = placed.map(({ marks }) => marks[place])
    const trials = total(counts, 'trials')
    return trials === 0 ? undefined : total(counts, 'right') / trials
  }
  const naming = (['get', 'put'] as const).flatMap((kind) =>
    NAMING.map((name) => [`${kind} ${name}`, mean((placement) => placement[kind][name])] as const),
  )
  const linked = BASES.flatMap((basis) =>
    (['share', 'purity'] as const).map(
      (name) => [`${basis} ${name}`, mean(({ linkage }) => linkage[basis][name])] as const,
    ),
  )
  const storers = STORERS.map((name) => [`storer ${name}`, mean((placement) => placement.storers[name])] as const)
  return Object.fromEntries([
    ...naming,
    ...storers,
    ...linked,
    ['stripeSeen', mean(({ stripeSeen }) => stripeSeen)],
    ['marked circuits', joined('circuits')],
    ['marked requests', joined('requests')],
  ]) as Record<Figure, number | undefined>
}

function neighbourFigures(told: readonly Told[]): NeighbourFigures {
  const all = (of: keyof Told): number[] => told.flatMap((each) => each[of])
  const [area, right, guess] = [all('area'), all('right'), all('guess')]
  const over = (values: readonly number[]) => (values.length > 1 ? meanWithin(values) : undefined)
  return { gets: area.length, area: over(area), right: over(right), guess: over(guess) }
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
