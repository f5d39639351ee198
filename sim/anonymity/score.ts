/**
 * How often the adversary is right. Here, and here only, what it says meets what really happened. It is handed
 * the recordings of its own nodes and the list of members, never the scene. SPEC anonymity §4
 *
 * Shares are of 1. All figures of one placement of hostile nodes are one value of a sample.
 */
import type { Chance } from '../chance.ts'
import { meanOf } from '../lookups/statistics.ts'
import { Adversary, type Belief } from './adversary.ts'
import { type Basis, cutAtPauses, groupPuts } from './groups.ts'
import { type Counts, Neighbours, type Place } from './neighbours.ts'
import type { Recording } from './recording.ts'
import type { Deed, Scene, Stored } from './scene.ts'
import { Storers } from './storers.ts'

/** Shards that rebuild a stripe, and of which a party that sees so many together has linked it. */
export const LINKED_SHARDS = 8
/** Requests of each put and get that are looked at for themselves. */
const SINGLE_REQUESTS = 3
/** A belief is a claim when it is surer than a coin. */
const CLAIM_SHARE = 0.5
export const COPIES = 2
/** A single node takes puts that follow each other so closely for one thing. */
const ALONE_PAUSE_MS = 250

export interface Naming {
  /** Chance that the one it names did it. */
  readonly right: number
  /** Of all: named rightly and with more than even belief, so without the lucky guesses. */
  readonly found: number
  /** Entropy of its belief over the most that it could be. */
  readonly degree: number
  /** Users whose guard is its own. */
  readonly guarded: number
  /** Its claims that are right; undefined when it made none. */
  readonly claimsRight: number | undefined
  /** Of all single requests: seen by it, and claimed rightly. */
  readonly requestsSeen: number
  readonly requestsNamed: number
  /** What a guess among those that are not its own gives. */
  readonly guess: number
}

export interface Linkage {
  /** Shards of a stripe in the largest group, of all n; 0 when no two are in one. */
  readonly share: number
  /** Of that group, what is of the same put, its root included. */
  readonly purity: number | undefined
}

export interface Placement {
  readonly get: Naming
  readonly put: Naming
  readonly stripeSeen: number
  readonly linkage: Readonly<Record<Basis, Linkage>>
  readonly storers: StorerNaming
  readonly marks: Marks
}

/** Over pairs of a shard and the vault that has it, hostile vaults left out. */
export interface StorerNaming {
  /** Named rightly by looking alone, without the address. */
  readonly watched: number
  /** By asking for what own pointers speak of, without the address. */
  readonly pointed: number
  /** By asking, with the address. */
  readonly asked: number
  /** As `asked`, or guessed among all that are not its own. */
  readonly askedOrGuessed: number
  /** Of the vaults that it says: those that are right. */
  readonly watchedRight: number | undefined
  readonly askedRight: number | undefined
  /** Shards of which an own node has a pointer. */
  readonly pointers: number
}

/** So many right of so many. */
export interface Counted {
  readonly right: number
  readonly trials: number
}

/** What is joined by its bytes alone, of what was seen at two places. */
export interface Marks {
  readonly circuits: Counted
  readonly requests: Counted
}

export function scorePlacement(scene: Scene, hostile: ReadonlySet<string>, chance: Chance): Placement {
  const pool = scene.recordings.filter(({ self }) => hostile.has(self))
  const adversary = new Adversary(pool, scene.members, scene)
  const honest = scene.deeds.filter(({ who }) => !hostile.has(who))
  const naming = (kind: Deed['kind']): Naming => {
    const deeds = honest.filter((deed) => deed.kind === kind)
    return scoreNaming({ scene, adversary, deeds, chance })
  }
  const seen = new Set(adversary.sightings.filter(({ kind }) => kind !== 'get').map(({ ref }) => ref))
  const puts = honest.filter(({ kind }) => kind === 'put')
  const stripes = stripesOf(puts, scene)
  const seenShare = meanOf(stripes.map((names) => names.filter((name) => seen.has(name)).length / names.length))
  const linkage = (basis: Basis): Linkage => scoreLinkage(groupPuts(adversary, basis), { stripes, puts })
  return {
    get: naming('get'),
    put: naming('put'),
    stripeSeen: seenShare,
    linkage: { circuit: linkage('circuit'), guard: linkage('guard'), time: linkage('time') },
    storers: scoreStorers(scene, hostile, stripes.flat()),
    marks: scoreMarks(adversary, pool),
  }
}

/** One put or get of one object; undefined when its user is hostile. */
export function scorePlaced(
  scene: Scene,
  of: { hostile: ReadonlySet<string>; object: number; kind: Deed['kind']; chance: Chance },
): { kind: Deed['kind']; naming: Naming; seen: number; linked: number } | undefined {
  const { hostile, object, kind, chance } = of
  const deeds = scene.deeds.filter((deed) => deed.object === object && !hostile.has(deed.who))
  const asked = deeds.filter((deed) => deed.kind === kind)
  if (asked.length === 0) return undefined
  const adversary = new Adversary(
    scene.recordings.filter(({ self }) => hostile.has(self)),
    scene.members,
    scene,
  )
  const names = scene.targets.find((target) => target.object === object)?.stripes[0] ?? []
  const seen = new Set(adversary.sightings.filter((each) => each.kind !== 'get').map(({ ref }) => ref))
  return {
    kind,
    naming: scoreNaming({ scene, adversary, deeds: asked, chance }),
    seen: names.filter((name) => seen.has(name)).length / names.length,
    linked: scoreLinkage(groupPuts(adversary, 'time'), { stripes: [names], puts: scene.deeds }).share,
  }
}

function scoreNaming(of: { scene: Scene; adversary: Adversary; deeds: readonly Deed[]; chance: Chance }): Naming {
  const { scene, adversary, deeds, chance } = of
  const namesOf = new Map(scene.targets.map(({ object, stripes }) => [object, stripes.flat()]))
  const targeted = deeds.map((deed) => ({ deed, belief: adversary.whoDid(deed.kind, namesOf.get(deed.object) ?? []) }))
  const claims = targeted.filter(({ belief }) => isClaim(belief))
  const single = deeds.flatMap((deed) =>
    Array.from({ length: SINGLE_REQUESTS }, () => {
      const belief = adversary.whoDid(deed.kind, [chance.pick(deed.asked)])
      return { isSeen: belief.isSeen, right: isClaim(belief) ? rightOf(belief, deed) : 0 }
    }),
  )
  const { observed } = adversary
  return {
    right: meanOf(targeted.map(({ deed, belief }) => rightOf(belief, deed))),
    found: meanOf(targeted.map(({ deed, belief }) => (isClaim(belief) ? rightOf(belief, deed) : 0))),
    degree: meanOf(targeted.map(({ belief }) => entropyOf(belief) / Math.log2(scene.members.length))),
    guarded: meanOf(deeds.map(({ who }) => (observed.has(who) ? 1 : 0))),
    claimsRight: claims.length === 0 ? undefined : meanOf(claims.map(({ deed, belief }) => rightOf(belief, deed))),
    requestsSeen: meanOf(single.map(({ isSeen }) => (isSeen ? 1 : 0))),
    requestsNamed: meanOf(single.map(({ right }) => right)),
    guess: 1 / adversary.others.length,
  }
}

function rightOf({ named }: Belief, { who }: Deed): number {
  return named.includes(who) ? 1 / named.length : 0
}

function isClaim({ shares, named }: Belief): boolean {
  return named.length === 1 && (shares.get(named[0] as string) ?? 0) > CLAIM_SHARE
}

function entropyOf({ shares }: Belief): number {
  let bits = 0
  for (const share of shares.values()) if (share > 0) bits -= share * Math.log2(share)
  return bits
}

/** The one stripe of data that each of these puts has. */
function stripesOf(puts: readonly Deed[], { targets }: Scene): (readonly string[])[] {
  const wanted = new Set(puts.map(({ object }) => object))
  return targets.filter(({ object }) => wanted.has(object)).map(({ stripes }) => stripes[0] ?? [])
}

function scoreLinkage(
  groups: readonly (readonly string[])[],
  { stripes, puts }: { stripes: readonly (readonly string[])[]; puts: readonly Deed[] },
): Linkage {
  const putOf = new Map(puts.flatMap((put) => put.asked.map((name) => [name, put] as const)))
  const groupOf = new Map(groups.flatMap((group) => group.map((name) => [name, group] as const)))
  const best = stripes.map((stripe) => {
    const parts = new Map<readonly string[], number>()
    for (const name of stripe) {
      const group = groupOf.get(name)
      if (group !== undefined) parts.set(group, (parts.get(group) ?? 0) + 1)
    }
    const [group, count] = [...parts].sort((a, b) => b[1] - a[1])[0] ?? [[], 0]
    if (count < 2) return undefined
    const ofPut = group.filter((name) => putOf.get(name) === putOf.get(stripe[0] as string))
    return { share: count / stripe.length, purity: ofPut.length / group.length }
  })
  const linked = best.filter((linkage) => linkage !== undefined)
  return {
    share: meanOf(best.map((linkage) => linkage?.share ?? 0)),
    purity: linked.length === 0 ? undefined : meanOf(linked.map(({ purity }) => purity)),
  }
}

/** `names`: of shards that honest users put. */
function scoreStorers(scene: Scene, hostile: ReadonlySet<string>, names: readonly string[]): StorerNaming {
  const pool = scene.recordings.filter(({ self }) => hostile.has(self))
  const storers = new Storers(pool, scene.members, scene.questions)
  const wanted = new Set(names)
  const asked = new Set(scene.questions.map(({ ref }) => ref).filter((ref) => wanted.has(ref)))
  const pairs = scene.stored.filter(({ ref, vault }) => wanted.has(ref) && !hostile.has(vault))
  const askedPairs = pairs.filter(({ ref }) => asked.has(ref))
  const share = (of: readonly Stored[], isNamed: (pair: Stored) => boolean): number =>
    of.length === 0 ? Number.NaN : of.filter(isNamed).length / of.length
  const byAsking = share(askedPairs, ({ ref, vault }) => storers.byAsking(ref).includes(vault))
  const guess = 1 / (scene.members.length - hostile.size)
  const truths = vaultsOf(scene.stored)
  return {
    watched: share(pairs, ({ ref, vault }) => storers.byWatching(ref).includes(vault)),
    pointed: share(askedPairs, ({ ref, vault }) => storers.hasPointer(ref) && storers.byAsking(ref).includes(vault)),
    asked: byAsking,
    askedOrGuessed: byAsking + (1 - byAsking) * guess,
    watchedRight: rightShare(names, (ref) => storers.byWatching(ref), truths),
    askedRight: rightShare([...asked], (ref) => storers.byAsking(ref), truths),
    pointers: meanOf(names.map((ref) => (storers.hasPointer(ref) ? 1 : 0))),
  }
}

function vaultsOf(stored: readonly Stored[]): ReadonlyMap<string, ReadonlySet<string>> {
  const vaults = new Map<string, Set<string>>()
  for (const { ref, vault } of stored) addTo(vaults, ref, vault)
  return vaults
}

/** Of the vaults that are named for each of these; undefined when none is. */
function rightShare(
  refs: readonly string[],
  named: (ref: string) => readonly string[],
  truths: ReadonlyMap<string, ReadonlySet<string>>,
): number | undefined {
  const claims = refs.flatMap((ref) => named(ref).map((vault) => truths.get(ref)?.has(vault) === true))
  return claims.length === 0 ? undefined : claims.filter((isRight) => isRight).length / claims.length
}

/** Of the shards of data, those that lie with two vaults, and where keepers have the bytes themselves. */
export function scoreWhereabouts(scene: Scene): { readonly inVaults: Counted; readonly withKeepers: Counted } {
  const names = stripesOf(
    scene.deeds.filter(({ kind }) => kind === 'put'),
    scene,
  ).flat()
  const truths = vaultsOf(scene.stored)
  const count = (isOne: (name: string) => boolean): Counted => ({
    right: names.filter(isOne).length,
    trials: names.length,
  })
  return {
    inVaults: count((name) => (truths.get(name)?.size ?? 0) > 1),
    withKeepers: count((name) => scene.holders.has(name)),
  }
}

function scoreMarks(adversary: Adversary, pool: readonly Recording[]): Marks {
  const legs = [...new Set(adversary.sightings.map(({ leg }) => leg).filter((leg) => leg !== undefined))]
  const joined = legs.map((leg) => adversary.originOf(leg)).filter(({ client }) => client !== undefined)
  const nodes = { ref: new Map<string, Set<string>>(), rid: new Map<string, Set<string>>() }
  for (const { self, ring } of pool) {
    for (const { ref, rid, kind } of ring) {
      if (kind === 'copy') continue
      addTo(nodes.ref, `${kind} ${ref}`, self)
      addTo(nodes.rid, rid, self)
    }
  }
  const twice = (seen: Map<string, Set<string>>) => [...seen.values()].filter(({ size }) => size > 1).length
  const both = twice(nodes.ref)
  return {
    circuits: { right: joined.filter(({ isByMark }) => isByMark).length, trials: joined.length },
    requests: { right: Math.min(both, twice(nodes.rid)), trials: both },
  }
}

function addTo(map: Map<string, Set<string>>, name: string, value: string): void {
  const known = map.get(name)
  if (known === undefined) map.set(name, new Set([value]))
  else known.add(value)
}

// --- single nodes, whoever they are ----------------------------------------------------------------

export interface Alone {
  /** Pairs of a node and a stripe. */
  readonly pairs: number
  /** Of these, with more than two shards opened as gateway; with k or more, in any role, that came together. */
  readonly overTwo: number
  readonly linked: number
  /** The most shards of one stripe at one node: as gateway, and in all roles. */
  readonly mostAsGateway: number
  readonly mostInAll: number
}

/** What each node sees of each stripe that is put, itself not the author. */
export function scoreAlone(scene: Scene): Alone {
  const stripes = new Map<string, number>()
  const puts = scene.deeds.filter(({ kind }) => kind === 'put')
  for (const [index, names] of stripesOf(puts, scene).entries()) for (const name of names) stripes.set(name, index)
  const alone = { pairs: 0, overTwo: 0, linked: 0, mostAsGateway: 0, mostInAll: 0 }
  for (const { gateway, ring } of scene.recordings) {
    alone.pairs += puts.length
    const isThen = ({ atMs }: { readonly atMs: number }): boolean => atMs <= scene.untilMs
    const opened = gateway.filter((sighting) => sighting.kind === 'put' && isThen(sighting)).map(({ ref }) => ref)
    const asGateway = countByStripe([...new Set(opened)], stripes)
    const all = [...gateway, ...ring].filter((sighting) => sighting.kind !== 'get' && isThen(sighting))
    const inAll = countByStripe([...new Set(all.map(({ ref }) => ref))], stripes)
    alone.overTwo += [...asGateway.values()].filter((count) => count > 2).length
    alone.mostAsGateway = Math.max(alone.mostAsGateway, ...asGateway.values())
    alone.mostInAll = Math.max(alone.mostInAll, ...inAll.values())
    const sightings = all.map(({ atMs, kind, ref }) => ({ atMs, kind, ref, leg: undefined }))
    for (const group of cutAtPauses(sightings, ALONE_PAUSE_MS))
      alone.linked += [...countByStripe([...new Set(group)], stripes).values()].filter(
        (count) => count >= LINKED_SHARDS,
      ).length
  }
  return alone
}

function countByStripe(refs: readonly string[], stripes: ReadonlyMap<string, number>): Map<number, number> {
  const counts = new Map<number, number>()
  for (const ref of refs) {
    const stripe = stripes.get(ref)
    if (stripe !== undefined) counts.set(stripe, (counts.get(stripe) ?? 0) + 1)
  }
  return counts
}

/** One value for each get of an object, over the nodes that saw it and have the reader for a neighbour. */
export interface Told {
  /** Chance that the reader has the higher count than another neighbour, a tie counting half: 0.5 tells nothing. */
  readonly area: readonly number[]
  /** Chance that the neighbour with the highest count is the reader, and what a guess gives. */
  readonly right: readonly number[]
  readonly guess: readonly number[]
}

export function scoreNeighbours(scene: Scene): Readonly<Record<Place, Told>> {
  const nodes = scene.recordings.map((recording) => ({ self: recording.self, told: new Neighbours(recording) }))
  const namesOf = new Map(scene.targets.map(({ object, stripes }) => [object, new Set(stripes.flat())]))
  const empty = () => ({ area: [] as number[], right: [] as number[], guess: [] as number[] })
  const result = { ring: empty(), middle: empty(), guard: empty() }
  for (const { kind, who, object } of scene.deeds) {
    if (kind !== 'get') continue
    const refs = namesOf.get(object) ?? new Set<string>()
    const counts: Record<Place, Counts[]> = { ring: [], middle: [], guard: [] }
    for (const { self, told } of nodes) {
      const span = self === who ? undefined : told.spanOf('get', refs)
      if (span === undefined) continue
      counts.ring.push(told.ring('get', refs))
      for (const place of ['middle', 'guard'] as const) counts[place].push(told.cells(place, span))
    }
    for (const place of ['ring', 'middle', 'guard'] as const) addTold(result[place], counts[place], who)
  }
  return result
}

function addTold(to: { area: number[]; right: number[]; guess: number[] }, all: readonly Counts[], who: string): void {
  const usable = all.filter((counts) => counts !== undefined && counts.size > 1 && counts.has(who))
  if (usable.length === 0) return
  const each = usable.map((counts) => {
    const own = counts?.get(who) ?? 0
    const others = [...(counts ?? [])].filter(([key]) => key !== who).map(([, count]) => count)
    const above = others.filter((count) => count < own).length
    const equal = others.filter((count) => count === own).length
    const isMost = above + equal === others.length
    return {
      area: (above + equal / 2) / others.length,
      right: isMost ? 1 / (1 + equal) : 0,
      guess: 1 / (1 + others.length),
    }
  })
  to.area.push(meanOf(each.map(({ area }) => area)))
  to.right.push(meanOf(each.map(({ right }) => right)))
  to.guess.push(meanOf(each.map(({ guess }) => guess)))
}
