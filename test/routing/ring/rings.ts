/** Rings in memory for the tests: whole rounds of stabilising over the product's steps. */
import fc from 'fast-check'
import { compareBytes, type Location, type NodeId, toHex } from '../../../core/index.ts'
import { answerOf, perfectRing, type RingState } from '../../../routing/ring/state.ts'
import * as steps from '../../../routing/ring/steps.ts'

export const pointArbitrary = fc.uint8Array({ minLength: 32, maxLength: 32 })
export const idsArbitrary = (size: { minLength: number; maxLength: number }) =>
  fc
    .uniqueArray(pointArbitrary, { ...size, selector: toHex })
    .map((points) => points.map((point) => point as NodeId).sort(compareBytes))

/** A fixed, well-spread point for a number. */
export function pointOf(seed: number): Uint8Array {
  let state = (seed + 1) * 0x9e3779b9
  return Uint8Array.from({ length: 32 }, () => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d)
    state = Math.imul(state ^ (state >>> 12), 0x297a2d39)
    state = (state + 0x9e3779b9) | 0
    return (state ^ (state >>> 15)) & 0xff
  })
}
export const idOf = (seed: number) => pointOf(seed) as NodeId
export const locationOf = (seed: number) => pointOf(1_000_000 + seed) as Location

/** Members by hex id; who is not in it is silent. */
export class Rings {
  readonly states = new Map<string, RingState>()
  readonly successorsMax: number

  constructor(successorsMax: number) {
    this.successorsMax = successorsMax
  }
  addPerfect(ids: readonly NodeId[]): void {
    for (const id of ids) this.set(perfectRing(id, ids, this.successorsMax))
  }
  get(id: NodeId): RingState | undefined {
    return this.states.get(toHex(id))
  }
  set(state: RingState): void {
    this.states.set(toHex(state.self), state)
  }
  members(): NodeId[] {
    return [...this.states.values()].map((state) => state.self).sort(compareBytes)
  }
  /** Asks members in turn until one takes the joiner; false when none can yet. */
  join(id: NodeId): boolean {
    for (const member of this.states.values()) {
      const state = steps.afterJoin(id, answerOf(member), this.successorsMax)
      if (state === undefined) continue
      this.set(state)
      return true
    }
    return false
  }
  /** Whether every other member would still have a live successor. */
  mayFail(id: NodeId): boolean {
    const others = [...this.states.values()].filter((state) => state.self !== id)
    return others.every((state) => state.successors.some((other) => other !== id && this.get(other) !== undefined))
  }
  fail(id: NodeId): void {
    this.states.delete(toHex(id))
  }
  /** Every member stabilises once, in the order given, and looks at its view where gossip is on. */
  round(options: { gossip: boolean }): void {
    for (const id of this.members()) {
      const state = this.get(id) as RingState
      this.#stabilise(state)
      if (!options.gossip) continue
      const after = this.get(id) as RingState
      const nearer = steps.nearerMember(after, this.members())
      if (nearer !== undefined) this.#candidate(after, nearer)
    }
  }
  roundsUntilIdeal(options: { gossip: boolean; roundsMax: number }): number {
    for (let rounds = 0; rounds <= options.roundsMax; rounds++) {
      if (this.isIdeal()) return rounds
      this.round(options)
    }
    return Number.POSITIVE_INFINITY
  }
  isIdeal(): boolean {
    const members = this.members()
    return members.every((id) => {
      const ideal = perfectRing(id, members, this.successorsMax)
      return describeState(ideal) === describeState(this.get(id) as RingState)
    })
  }

  #stabilise(state: RingState): void {
    const query = steps.firstQuery(state)
    if (query === undefined) return
    if (query.do === 'query-candidate') {
      this.#candidate(state, query.node)
      return
    }
    const head = this.get(query.node)
    const step =
      head === undefined
        ? steps.afterSuccessorDead(state, query.node)
        : steps.afterSuccessorAnswer(state, answerOf(head))
    this.#take(step)
  }
  #candidate(state: RingState, node: NodeId): void {
    const candidate = this.get(node)
    this.#take(
      candidate === undefined
        ? steps.afterCandidateSilent(state, node)
        : steps.afterCandidateAnswer(state, answerOf(candidate)),
    )
  }
  #take({ state, next }: steps.RingStep): void {
    this.set(state)
    if (next?.do === 'query-candidate') this.#candidate(state, next.node)
    if (next?.do === 'notify') this.#notify(next.node, state.self)
  }
  #notify(node: NodeId, from: NodeId): void {
    const state = this.get(node)
    if (state === undefined) return
    const outcome = steps.onNotify(state, from)
    if ('state' in outcome) this.set(outcome.state)
    else if (this.get(outcome.query) === undefined) {
      this.set(steps.onPredecessorDead(state, { dead: outcome.query, from }))
    }
  }
}

export function describeState(state: RingState): string {
  const short = (id: NodeId) => toHex(id)
  return `${short(state.self)} < ${state.predecessor && short(state.predecessor)} > ${state.successors.map(short)}`
}
