/**
 * Some hostile nodes that pool what they have written down, and what they make of it: which circuit at a
 * gateway is which circuit at a guard, and from that who asked for or brought what. It is given recordings of
 * its own nodes and the public list of members, and imports nothing that knows more. SPEC anonymity §3
 *
 * Names are keys in hex. Times in milliseconds.
 */
import { fromHex, type NodeId, named32 } from '../../core/index.ts'
import { ownersOf } from '../../routing/index.ts'
import { locationOf, readContentRef } from '../../storage/index.ts'
import { isAcross, lowerBound, spreadOf, usedLegsOf } from './legs.ts'
import type { Leg, Member, Recording, SightedKind } from './recording.ts'

/** What is believed of who did it: a weight for each member that is not its own; they add up to 1. */
export interface Belief {
  readonly shares: ReadonlyMap<string, number>
  /** The likeliest; several when nothing tells them apart. */
  readonly named: readonly string[]
  /** Whether anything at all was seen of what was asked after. */
  readonly isSeen: boolean
}

/** A request seen by the pool, with the circuit it came out of if one of its nodes was the gateway. */
export interface Sighting {
  readonly atMs: number
  readonly kind: SightedKind
  readonly ref: string
  readonly leg: Leg | undefined
}

/** Where a gateway's circuit comes from: a client of an own guard, or not. `isCertain`: by own circuit tables or a mark. */
export interface Origin {
  readonly client: string | undefined
  readonly isCertain: boolean
  readonly isByMark: boolean
}

/** A cell's way over one link takes at most so long. */
const LINK_MS_MAX = 3_000
/** From the guard to a hop of the ring, through middle and gateway. */
const TO_RING_MS = { min: 15, max: 800 }
/** A burst of requests is matched when so many of those seen are. */
const BURST_SHARE = 0.8
/** How far each kind of evidence is trusted: what a trial with circuits of its own would tell it. */
const TRUST = { linked: 0.99, mislinked: 5e-4, timed: 0.95, certain: 1e-4 }
/** Circuits that count as evidence, each for itself: they are not independent of each other. */
const CIRCUITS_COUNTED = 4
/** Instants at which it is looked how often somebody sends by chance, and the least that is believed of that. */
const INSTANTS = 120
const CHANCE_MIN = 0.004

interface GuardCircuit {
  readonly client: string
  /** The leg towards the middle. */
  readonly far: Leg
}

/** Members in the order of the ring. */
interface Places {
  readonly ids: readonly NodeId[]
  readonly keys: ReadonlyMap<NodeId, string>
}

export class Adversary {
  readonly sightings: readonly Sighting[]
  /** Members that are not its own. */
  readonly others: readonly string[]
  readonly #own: ReadonlyMap<string, Recording>
  readonly #members: readonly Member[]
  readonly #guarded = new Map<string, GuardCircuit[]>()
  /** Cells that each client of an own guard sent, in order of time. */
  readonly #sent = new Map<string, number[]>()
  readonly #origins = new Map<Leg, Origin>()
  readonly #byRef = new Map<string, Sighting[]>()
  readonly #instants: readonly number[]
  readonly #byChance = new Map<string, number>()
  readonly #marks = new Map<number, GuardCircuit>()
  #farLegs: Map<string, Leg[]> | undefined
  #places: Places | undefined

  /** `untilMs`: what was put later it put itself, to see what happens. */
  constructor(pool: readonly Recording[], members: readonly Member[], { untilMs }: { readonly untilMs: number }) {
    this.#own = new Map(pool.map((recording) => [recording.self, recording]))
    this.#members = members
    this.others = members.map(({ key }) => key).filter((key) => !this.#own.has(key))
    for (const { legs } of pool) for (const leg of usedLegsOf(legs)) this.#noteGuarded(leg)
    for (const sent of this.#sent.values()) sent.sort((a, b) => a - b)
    const sightings: Sighting[] = pool.flatMap(({ gateway, ring }) => [
      ...gateway,
      ...ring.map(({ atMs, kind, ref }) => ({ atMs, kind, ref, leg: undefined })),
    ])
    this.sightings = sightings.filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)
    for (const sighting of this.sightings) {
      const known = this.#byRef.get(sighting.ref)
      if (known === undefined) this.#byRef.set(sighting.ref, [sighting])
      else known.push(sighting)
    }
    const step = Math.max(1, Math.floor(this.sightings.length / INSTANTS))
    this.#instants = this.sightings.filter((_, index) => index % step === 0).map(({ atMs }) => atMs)
  }

  /** Clients that enter through an own guard: these it can see, and nobody else. */
  get observed(): ReadonlySet<string> {
    return new Set(this.#sent.keys())
  }

  /** Who asked for (or brought) what these names stand for. */
  whoDid(kind: 'get' | 'put', refs: readonly string[]): Belief {
    const seen = refs.flatMap((ref) => (this.#byRef.get(ref) ?? []).filter((sighting) => sighting.kind === kind))
    const weights = new Map(this.others.map((key) => [key, 1]))
    const legs = [...new Set(seen.map(({ leg }) => leg).filter((leg) => leg !== undefined))]
    for (const leg of legs.slice(0, CIRCUITS_COUNTED)) this.#weighOrigin(weights, this.originOf(leg))
    // A client is never a relay of its own circuits: whoever stands before the gateway did not ask.
    for (const { peer } of legs) weights.delete(peer)
    const firsts = firstOfEach(seen.filter(({ leg }) => leg === undefined))
    if (firsts.length > 0) this.#weighTimes(weights, firsts)
    return believed(weights, seen.length > 0)
  }

  /** What the circuit at an own gateway is at an own guard, if it is one there. */
  originOf(leg: Leg): Origin {
    const known = this.#origins.get(leg)
    if (known !== undefined) return known
    const origin = this.#originByMark(leg) ?? this.#originByTables(leg) ?? this.#originByTimes(leg)
    this.#origins.set(leg, origin)
    return origin
  }

  /** Members that hold what a name stands for, first the one that answers for it: it can be worked out. */
  keepersOf(ref: string, copies: number): readonly string[] {
    const bytes = fromHex(ref)
    const content = bytes && readContentRef(bytes)
    if (content === undefined) return []
    this.#places ??= placesOf(this.#members)
    const { ids, keys } = this.#places
    return ownersOf(locationOf(content), ids, copies).map((id) => keys.get(id) ?? '')
  }

  #noteGuarded(leg: Leg): void {
    if (this.#own.has(leg.peer)) return
    const sent = this.#sent.get(leg.peer) ?? []
    this.#sent.set(leg.peer, sent)
    for (const atMs of leg.forwardMs) sent.push(atMs)
    if (leg.other === undefined) return
    const circuit = { client: leg.peer, far: leg.other }
    const circuits = this.#guarded.get(leg.other.peer) ?? []
    this.#guarded.set(leg.other.peer, circuits)
    circuits.push(circuit)
    for (const tail of leg.other.forwardTails) this.#marks.set(tail, circuit)
  }

  // --- one circuit seen at both ends -------------------------------------------------------------

  /** Bytes that an own guard wrote at the end of a cell and that the gateway finds there. */
  #originByMark(leg: Leg): Origin | undefined {
    const tail = leg.forwardTails.find((each) => this.#marks.has(each))
    const circuit = tail === undefined ? undefined : this.#marks.get(tail)
    return circuit && { client: circuit.client, isCertain: true, isByMark: true }
  }

  /** An own middle knows which circuit came from where; then an own guard does. */
  #originByTables(leg: Leg): Origin | undefined {
    if (!this.#own.has(leg.peer)) return undefined
    const gateway = this.#selfOf(leg)
    const middle = gateway === undefined ? undefined : this.#otherEnd(leg.peer, gateway, leg)?.other
    if (middle === undefined) return undefined
    if (!this.#own.has(middle.peer)) return { client: undefined, isCertain: true, isByMark: false }
    const client = this.#otherEnd(middle.peer, leg.peer, middle)?.other?.peer
    return client === undefined ? undefined : { client, isCertain: true, isByMark: false }
  }

  /** The leg at own node `at` whose far end is `leg` at own node `of`. */
  #otherEnd(at: string, of: string, leg: Leg): Leg | undefined {
    this.#farLegs ??= this.#indexFarLegs()
    const same = this.#farLegs.get(`${at} ${of} ${leg.circuit}`) ?? []
    return nearest(
      same.filter((far) => far.openedMs <= leg.openedMs && leg.openedMs - far.openedMs < LINK_MS_MAX),
      leg,
    )
  }

  #indexFarLegs(): Map<string, Leg[]> {
    const index = new Map<string, Leg[]>()
    for (const { self, legs } of this.#own.values()) {
      for (const leg of legs) {
        if (leg.isFromPeer) continue
        const name = `${self} ${leg.peer} ${leg.circuit}`
        const same = index.get(name)
        if (same === undefined) index.set(name, [leg])
        else same.push(leg)
      }
    }
    return index
  }

  readonly #selves = new Map<Leg, string>()
  #selfOf(leg: Leg): string | undefined {
    if (this.#selves.size === 0)
      for (const { self, gateway } of this.#own.values()) for (const each of gateway) this.#selves.set(each.leg, self)
    return this.#selves.get(leg)
  }

  /**
   * Through an honest middle: the cells that an own guard sent to it, and those that came out, one for one and
   * a little later. The first that the guard passes on is the extend, which ends at the middle.
   */
  #originByTimes(leg: Leg): Origin {
    let best: { client: string; spreadMs: number } | undefined
    for (const { client, far } of this.#guarded.get(leg.peer) ?? []) {
      const extended = far.forwardMs[0]
      if (extended === undefined || !isAcross(leg.openedMs - extended)) continue
      const spreadMs = spreadOf(far.forwardMs, leg.forwardMs, 1)
      if (spreadMs !== undefined && (best === undefined || spreadMs < best.spreadMs)) best = { client, spreadMs }
    }
    return { client: best?.client, isCertain: false, isByMark: false }
  }

  // --- evidence ----------------------------------------------------------------------------------

  #weighOrigin(weights: Map<string, number>, { client, isCertain }: Origin): void {
    const { linked, mislinked, certain } = TRUST
    for (const key of this.#sent.keys()) {
      if (key === client) scale(weights, key, isCertain ? 1 / certain : linked / mislinked)
      else if (client !== undefined) scale(weights, key, isCertain ? certain : 1 - linked)
      else scale(weights, key, isCertain ? certain : (1 - linked) / (1 - mislinked))
    }
    // Seen to come from one of the observed: from nobody else, if that is certain.
    if (client === undefined || !isCertain) return
    for (const key of this.others) if (!this.#sent.has(key)) scale(weights, key, certain)
  }

  /** Requests seen on the ring, against what each observed client sent shortly before. All of them are one event. */
  #weighTimes(weights: Map<string, number>, seen: readonly Sighting[]): void {
    for (const [client, sent] of this.#sent) {
      const matched = seen.filter(({ atMs }) => isSending(sent, atMs)).length / seen.length
      const byChance = this.#chanceOf(client, sent)
      const { timed } = TRUST
      scale(weights, client, matched >= BURST_SHARE ? timed / byChance : (1 - timed) / (1 - byChance))
    }
  }

  #chanceOf(client: string, sent: readonly number[]): number {
    const known = this.#byChance.get(client)
    if (known !== undefined) return known
    const hits = this.#instants.filter((atMs) => isSending(sent, atMs)).length
    const chance = Math.max(CHANCE_MIN, Math.min(0.9, hits / Math.max(1, this.#instants.length)))
    this.#byChance.set(client, chance)
    return chance
  }
}

function placesOf(members: readonly Member[]): Places {
  const keys = new Map<NodeId, string>()
  for (const { key, id } of [...members].sort((a, b) => (a.id < b.id ? -1 : 1))) {
    const bytes = fromHex(id)
    if (bytes !== undefined) keys.set(named32<'NodeId'>(bytes, 'id'), key)
  }
  return { ids: [...keys.keys()], keys }
}

function isSending(sent: readonly number[], atMs: number): boolean {
  const first = lowerBound(sent, atMs - TO_RING_MS.max)
  return first < sent.length && (sent[first] as number) <= atMs - TO_RING_MS.min
}

function nearest(legs: readonly Leg[], to: Leg): Leg | undefined {
  return [...legs].sort((a, b) => to.openedMs - a.openedMs - (to.openedMs - b.openedMs))[0]
}

/** Each name when it was first seen: further sightings are hops of the same request. */
function firstOfEach(seen: readonly Sighting[]): Sighting[] {
  const firsts = new Map<string, Sighting>()
  for (const sighting of seen) {
    const known = firsts.get(sighting.ref)
    if (known === undefined || sighting.atMs < known.atMs) firsts.set(sighting.ref, sighting)
  }
  return [...firsts.values()]
}

function scale(weights: Map<string, number>, key: string, by: number): void {
  const weight = weights.get(key)
  if (weight !== undefined) weights.set(key, weight * by)
}

function believed(weights: ReadonlyMap<string, number>, isSeen: boolean): Belief {
  let [sum, most] = [0, 0]
  for (const weight of weights.values()) {
    sum += weight
    most = Math.max(most, weight)
  }
  const shares = new Map([...weights].map(([key, weight]) => [key, weight / sum]))
  return { shares, named: [...weights].filter(([, weight]) => weight > most * 0.999).map(([key]) => key), isSeen }
}
