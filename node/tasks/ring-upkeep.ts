/**
 * Keeps this node's place on the ring: joins, stabilises, answers, leaves. The decisions are the pure
 * steps of routing/ring; here they get their queries, one update at a time. SPEC ring §3-§6
 *
 *   outside ── join ──> member ── leave ──> left
 */
import {
  around,
  type Clock,
  compareBytes,
  equalBytes,
  type Jitter,
  type Log,
  messageOf,
  type NodeId,
  named32,
  type Profile,
  pause,
  toHex,
} from '../../core/index.ts'
import {
  afterCandidateAnswer,
  afterCandidateSilent,
  afterJoin,
  afterSuccessorAnswer,
  afterSuccessorDead,
  answerOf,
  type Call,
  encodeNotice,
  firstQuery,
  isBetween,
  nearerMember,
  onNotify,
  onPredecessorDead,
  ownersOf,
  perfectRing,
  type RingAnswer,
  type RingState,
  type RingStep,
  type View,
} from '../../routing/index.ts'
import type { Calls } from '../calls.ts'
import type { PeerLink } from '../links.ts'

const QUERY_TIMEOUT_MS = 1_500
const QUERY_TRIES = 2
/** Nodes asked for the way to one's place before starting over. */
const JOIN_STEPS_MAX = 24
/** Rounds in which a seed finds nobody before it holds that the whole network starts anew. */
const LONELY_ROUNDS_MAX = 3
/** Dead heads dropped in one round. */
const DEAD_HEADS_MAX = 32

export interface RingUpkeepPorts {
  readonly clock: Clock
  readonly jitter: Jitter
  readonly log: Log
  readonly profile: Profile
  readonly view: View
  readonly calls: Calls
  readonly selfId: NodeId
  /** The nodes the network began with. SPEC ring §3 */
  readonly seeds: readonly NodeId[]
  readonly reach: (id: NodeId) => Promise<PeerLink | undefined>
  /** Takes in descriptors that came with an answer. */
  readonly admit: (descriptors: readonly Uint8Array[]) => Promise<void>
  readonly descriptorOf: (id: NodeId) => Uint8Array | undefined
  /** Called after each change of neighbours. */
  readonly onChange: () => void
}

export class RingUpkeep {
  readonly #p: RingUpkeepPorts
  #state: RingState | undefined
  #isStopped = false
  #hasLeft = false
  /** Only one update at a time; queries are answered all the while. */
  #turn: Promise<void> = Promise.resolve()
  #isRoundDue = false

  constructor(ports: RingUpkeepPorts) {
    this.#p = ports
  }

  /** Undefined while this node is no member. */
  get state(): RingState | undefined {
    return this.#hasLeft ? undefined : this.#state
  }

  /** Takes its place, then keeps it until stopped. `isFirstStart`: this home was never in the ring. */
  async run(options: { isFirstStart: boolean }): Promise<void> {
    const isSeed = this.#p.seeds.some((id) => compareBytes(id, this.#p.selfId) === 0)
    if (isSeed && options.isFirstStart) this.#become(this.#perfect())
    let lonely = 0
    while (this.#state === undefined && !this.#isStopped) {
      const joined = await this.#join()
      if (joined !== undefined) this.#become(joined)
      else if (isSeed && ++lonely >= LONELY_ROUNDS_MAX) this.#become(this.#perfect())
      else await pause(this.#p.clock, around(this.#p.jitter, this.#p.profile.stabiliseEveryMs, 0.2))
    }
    while (!this.#isStopped) {
      await this.round()
      await pause(this.#p.clock, around(this.#p.jitter, this.#p.profile.stabiliseEveryMs, 0.2))
    }
  }

  /** One round of stabilising. */
  round(): Promise<void> {
    return this.#serially(async () => {
      for (let dead = 0; dead < DEAD_HEADS_MAX && !this.#isStopped; dead++) {
        const state = this.#state
        const query = state && firstQuery(state)
        if (state === undefined || query === undefined) break
        const answer = await this.#query(query.node)
        if (query.do === 'query-candidate') {
          await this.#candidate(query.node, answer)
          break
        }
        if (answer !== undefined) {
          await this.#follow(afterSuccessorAnswer(state, answer))
          break
        }
        await this.#follow(afterSuccessorDead(state, query.node))
      }
      const nearer = this.#state && nearerMember(this.#state, this.#p.view.reachable(this.#p.clock.nowMs()))
      if (nearer !== undefined) await this.#candidate(nearer, await this.#query(nearer))
    })
  }

  /** A neighbour's link broke, or something else says that a round should not wait. */
  hurry(): void {
    if (this.#isRoundDue || this.#state === undefined || this.#isStopped) return
    this.#isRoundDue = true
    this.#p.clock.setTimer(0, () => {
      this.#isRoundDue = false
      void this.round()
    })
  }

  isNeighbour(id: NodeId): boolean {
    const state = this.#state
    if (state === undefined) return false
    return [state.predecessor, ...state.successors].some((near) => near !== undefined && compareBytes(near, id) === 0)
  }

  answer(tag: number): Call {
    const state = this.state
    if (state === undefined) {
      return { kind: 'ringState', tag, isMember: false, predecessor: undefined, successors: [], descriptors: [] }
    }
    const { predecessor, successors } = answerOf(state)
    const named = predecessor === undefined ? successors : [predecessor, ...successors]
    const descriptors = named.map((id) => this.#p.descriptorOf(id)).filter((found) => found !== undefined)
    return { kind: 'ringState', tag, isMember: true, predecessor, successors, descriptors }
  }

  notified(from: NodeId): void {
    void this.#serially(async () => {
      if (this.#state === undefined) return
      const step = onNotify(this.#state, from)
      if ('state' in step) return this.#become(step.state)
      const held = await this.#query(step.query)
      if (held === undefined && this.#state !== undefined) {
        this.#become(onPredecessorDead(this.#state, { dead: step.query, from }))
      }
    })
  }

  /** A neighbour said that it goes: as if it were silent from now on. */
  left(from: NodeId): void {
    void this.#serially(async () => {
      const state = this.#state
      if (state === undefined) return
      if (state.successors[0] !== undefined && compareBytes(state.successors[0], from) === 0) {
        await this.#follow(afterSuccessorDead(state, from))
      }
    })
    this.hurry()
  }

  /** Tells the neighbours; from now on this node answers as no member. */
  async leave(): Promise<void> {
    const state = this.#state
    this.#hasLeft = true
    if (state === undefined) return
    for (const id of [state.predecessor, state.successors[0]]) {
      const peer = id && (await this.#p.reach(id))
      peer?.sendMessage(encodeNotice('ringLeave'), 'control')
    }
  }

  stop(): void {
    this.#isStopped = true
  }

  #perfect(): RingState {
    return perfectRing(this.#p.selfId, this.#p.seeds, this.#p.profile.successors)
  }

  /** Walks towards its place, member by member; undefined when the way is lost. */
  async #join(): Promise<RingState | undefined> {
    const { view, clock, selfId, profile } = this.#p
    const others = view.reachable(clock.nowMs()).filter((id) => compareBytes(id, selfId) !== 0)
    let next = ownersOf(selfId, others, others.length).at(-1)
    for (let step = 0; next !== undefined && step < JOIN_STEPS_MAX; step++) {
      const member = await this.#query(next)
      if (member === undefined) {
        this.#p.view.markFailed(next, clock.nowMs())
        return undefined
      }
      const joined = afterJoin(selfId, member, profile.successors)
      if (joined !== undefined) {
        await this.#notify(joined.successors[0])
        return joined
      }
      // Not its place: the furthest listed node that is still before ours, else back one.
      const here = member
      next = [...here.successors].reverse().find((id) => isBetween(here.node, id, selfId)) ?? here.predecessor
    }
    return undefined
  }

  async #candidate(node: NodeId, answer: RingAnswer | undefined): Promise<void> {
    const state = this.#state
    if (state === undefined) return
    await this.#follow(answer === undefined ? afterCandidateSilent(state, node) : afterCandidateAnswer(state, answer))
  }

  async #follow(step: RingStep): Promise<void> {
    this.#become(step.state)
    if (step.next === undefined) return
    if (step.next.do === 'notify') return this.#notify(step.next.node)
    await this.#candidate(step.next.node, await this.#query(step.next.node))
  }

  async #notify(node: NodeId | undefined): Promise<void> {
    const peer = node && (await this.#p.reach(node))
    peer?.sendMessage(encodeNotice('ringNotify'), 'control')
  }

  /** What a member tells of itself; undefined for the silent and for those who are no members. */
  async #query(node: NodeId): Promise<RingAnswer | undefined> {
    for (let tried = 0; tried < QUERY_TRIES && !this.#isStopped; tried++) {
      const peer = await this.#p.reach(node)
      if (peer === undefined) return undefined
      const answer = await this.#p.calls.ask(peer, { kind: 'ringQuery' }, QUERY_TIMEOUT_MS)
      if (answer === undefined) continue
      if (!answer.isMember) return undefined
      await this.#p.admit(answer.descriptors)
      return {
        node,
        predecessor: answer.predecessor && named32<'NodeId'>(answer.predecessor, 'predecessor'),
        successors: answer.successors.map((id) => named32<'NodeId'>(id, 'successor')),
      }
    }
    this.#p.view.markFailed(node, this.#p.clock.nowMs())
    return undefined
  }

  #become(state: RingState): void {
    const before = this.#state
    this.#state = state
    if (before !== undefined && isSame(before, state)) return
    this.#p.log('info', before === undefined ? 'joined the ring' : 'ring neighbours changed', {
      predecessor: state.predecessor && toHex(state.predecessor).slice(0, 8),
      successor: state.successors[0] && toHex(state.successors[0]).slice(0, 8),
    })
    this.#p.onChange()
  }

  #serially(update: () => Promise<void>): Promise<void> {
    this.#turn = this.#turn.then(update).catch((error: unknown) => {
      this.#p.log('error', 'ring upkeep failed', { reason: messageOf(error) })
    })
    return this.#turn
  }
}

function isSame(a: RingState, b: RingState): boolean {
  if (a.successors.length !== b.successors.length) return false
  const isPair = (x: NodeId | undefined, y: NodeId | undefined): boolean =>
    x === undefined || y === undefined ? x === y : equalBytes(x, y)
  return isPair(a.predecessor, b.predecessor) && a.successors.every((id, i) => isPair(id, b.successors[i]))
}
