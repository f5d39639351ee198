/**
 * Nodes that route as the product does, without anything else of a node: a view that all share, a ring
 * state each, and nextHop. A request is followed through them call by call; its time is added up, not
 * waited for. What a node does with a request is node/roles/router.ts without merging, caches and
 * load. SPEC ring §7, requests §3. Times in milliseconds.
 */
import { compareBytes, type Location, type NodeId, named32, PROFILES } from '../../core/index.ts'
import { isBetween, isOwner, nextHop, perfectRing, REGION_EXTRA, type RingState, rankOf } from '../../routing/index.ts'
import type { Chance } from '../chance.ts'

const { successors: SUCCESSORS, copies: COPIES } = PROFILES.production
/** As in node/roles and node/links.ts. */
const HOPS_TRIED_MAX = 3
const SILENCE_MS = 4_000
const MEMBER_MS_MAX = 3_000
const REQUEST_MS_MAX = 10_000
const DIAL_TIMEOUT_MS = 5_000

export function randomLocation(chance: Chance): Location {
  return named32(chance.bytes(32), 'location')
}

/** An ideal ring of the living among `ids`, and the view that all its nodes share, which holds the dead too. */
export class Network {
  /** Sorted. */
  readonly ids: readonly NodeId[]
  readonly #live: readonly NodeId[]
  readonly #indexOf: ReadonlyMap<NodeId, number>
  readonly #liveIndexOf: ReadonlyMap<NodeId, number>
  readonly #states: (RingState | undefined)[] = []

  private constructor(sorted: readonly NodeId[], live: readonly NodeId[]) {
    this.ids = sorted
    this.#live = live
    this.#indexOf = new Map(sorted.map((id, index) => [id, index]))
    this.#liveIndexOf = new Map(live.map((id, index) => [id, index]))
  }

  static random(size: number, chance: Chance): Network {
    const ids = Array.from({ length: size }, () => named32<'NodeId'>(chance.bytes(32), 'node id')).sort(compareBytes)
    return new Network(ids, ids)
  }

  /** The same view, with a ring of some of its nodes: the others have gone and only the ring has noticed. */
  withRingOf(isInRing: (index: number) => boolean): Network {
    return new Network(
      this.ids,
      this.ids.filter((_, index) => isInRing(index)),
    )
  }

  get size(): number {
    return this.ids.length
  }

  indexOf(id: NodeId): number {
    return this.#indexOf.get(id) as number
  }

  state(index: number): RingState {
    const known = this.#states[index]
    if (known !== undefined) return known
    const self = this.ids[index] as NodeId
    const count = this.#live.length
    const at = this.#liveIndexOf.get(self) as number
    // Only its neighbours make a node's state: to hand in all of them would cost a sort for each node.
    const steps = Math.min(count, SUCCESSORS + 2)
    const near = Array.from({ length: steps }, (_, step) => this.#live[(at - 1 + step + count) % count] as NodeId)
    const state = perfectRing(self, near, SUCCESSORS)
    this.#states[index] = state
    return state
  }

  /** The nodes that a request passes when all are honest and alive: its start first, the owner last. */
  path(start: number, location: Location): readonly number[] {
    const path = [start]
    for (;;) {
      const hop = nextHop({ state: this.state(path.at(-1) as number), members: this.ids, location })
      if ('own' in hop) return path
      path.push(this.indexOf(hop.hop))
      if (hop.isOwner) return path
    }
  }
}

/**
 * What a node does with a request. `gone`: its machine answers nothing, a dial takes its whole time. `closed`: it
 * refuses a dial at once. The others are hostile: `silent` takes requests and never answers, `denies` says at
 * once that nothing was found, `stalls` says for ever that it is still at it.
 */
export type Conduct = 'honest' | 'gone' | 'closed' | 'silent' | 'denies' | 'stalls'

export interface Scene {
  readonly network: Network
  readonly conductOf: (index: number) => Conduct
  readonly holds: (index: number) => boolean
}

export interface Answer {
  readonly end: 'data' | 'none' | 'busy' | 'silence'
  readonly tookMs: number
  /** Links between the first node and the one with the data. */
  readonly hops: number
}

interface Get {
  readonly location: Location
  readonly skip: number
  readonly isPastOwner: boolean
}

/** Follows gets through a scene. */
export class Requests {
  readonly #scene: Scene
  /** Nodes that a request was sent to, or could not be. */
  tries = 0

  constructor(scene: Scene) {
    this.#scene = scene
  }

  /** A get from a client, at its gateway. A hostile gateway does to it what it does to other nodes. */
  get(gateway: number, want: { location: Location; skip: number }, limitMs: number): Answer {
    return this.#ask(gateway, gateway, { ...want, isPastOwner: false }, { silenceMs: limitMs, limitMs })
  }

  #ask(to: number, from: number, get: Get, wait: { silenceMs: number; limitMs: number }): Answer {
    const silentFor = (ms: number): Answer => ({ end: 'silence', tookMs: Math.min(ms, wait.limitMs), hops: 0 })
    switch (this.#scene.conductOf(to)) {
      case 'gone':
        // A dial is not cut short by what a member may take to answer.
        return { end: 'silence', tookMs: DIAL_TIMEOUT_MS, hops: 0 }
      case 'closed':
        return silentFor(0)
      case 'silent':
        return silentFor(wait.silenceMs)
      case 'stalls':
        return silentFor(wait.limitMs)
      case 'denies':
        return { end: 'none', tookMs: 0, hops: 0 }
      case 'honest': {
        const answer = this.#resolve(to, from, get)
        return answer.tookMs > wait.limitMs ? silentFor(wait.limitMs) : answer
      }
    }
  }

  #resolve(self: number, sender: number, get: Get): Answer {
    const { network, holds } = this.#scene
    const place = this.#placeOf(self, sender, get)
    if (place === 'refused') return { end: 'busy', tookMs: 0, hops: 0 }
    if (get.skip === 0 && holds(self)) return { end: 'data', tookMs: 0, hops: 0 }
    if (place === 'elsewhere') return this.#forward(self, get)
    const [successor] = network.state(self).successors
    if (successor === undefined || this.#rankOf(self, get.location) + 1 >= COPIES + REGION_EXTRA)
      return { end: 'none', tookMs: 0, hops: 0 }
    return this.#forward(self, { ...get, skip: Math.max(0, get.skip - 1), isPastOwner: true }, successor)
  }

  #placeOf(self: number, sender: number, get: Get): 'owner' | 'region' | 'elsewhere' | 'refused' {
    const { network } = this.#scene
    const isNear = this.#rankOf(self, get.location) < COPIES + REGION_EXTRA
    if (get.isPastOwner) return isNear ? 'region' : 'refused'
    if (isOwner(network.state(self), get.location)) return 'owner'
    if (sender === self) return this.#nextHop(self, get.location, []) === undefined ? 'owner' : 'elsewhere'
    if (isBetween(network.ids[sender] as NodeId, network.ids[self] as NodeId, get.location)) return 'elsewhere'
    return isNear ? 'region' : 'refused'
  }

  #forward(self: number, get: Get, onlyTo?: NodeId): Answer {
    const { network } = this.#scene
    const exclude: NodeId[] = []
    let end: Answer['end'] = 'busy'
    let tookMs = 0
    for (let tried = 0; tried < HOPS_TRIED_MAX && tookMs < REQUEST_MS_MAX; tried++) {
      const next = onlyTo === undefined ? this.#nextHop(self, get.location, exclude) : { hop: onlyTo, isOwner: false }
      if (next === undefined) break
      const { hop } = next
      exclude.push(hop)
      const to = network.indexOf(hop)
      this.tries++
      const limitMs = Math.min(REQUEST_MS_MAX - tookMs, next.isOwner ? MEMBER_MS_MAX : REQUEST_MS_MAX)
      const answer = this.#ask(to, self, get, { silenceMs: SILENCE_MS, limitMs })
      tookMs += answer.tookMs
      if (answer.end === 'none' && next.isOwner) end = 'none'
      else if (answer.end === 'none') return { end: 'none', tookMs, hops: 0 }
      if (answer.end === 'data') return { end: 'data', tookMs, hops: answer.hops + 1 }
      if (onlyTo !== undefined) {
        const conduct = this.#scene.conductOf(to)
        end = conduct === 'gone' || conduct === 'closed' ? 'none' : 'busy'
        break
      }
    }
    return { end, tookMs, hops: 0 }
  }

  #nextHop(
    self: number,
    location: Location,
    exclude: readonly NodeId[],
  ): { hop: NodeId; isOwner: boolean } | undefined {
    const { network } = this.#scene
    const next = nextHop({ state: network.state(self), members: network.ids, location, exclude })
    return 'own' in next ? undefined : next
  }

  #rankOf(self: number, location: Location): number {
    const { network } = this.#scene
    return rankOf(location, network.ids[self] as NodeId, network.ids)
  }
}
