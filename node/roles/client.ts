/**
 * The client: sends each shard's request over one of its circuits, so that no node learns both who asks
 * and what for. Puts count only with a keeper's receipt; gets count only when the bytes match their
 * name. SPEC requests §5, §6, §8
 */
import {
  around,
  below,
  type Clock,
  type Jitter,
  LEAF_COUNT,
  type Log,
  type NetworkId,
  PeerError,
  type Profile,
  pause,
  type SecretRandom,
  STRIPE_K_MAX,
  shardCount,
  UnavailableError,
} from '../../core/index.ts'
import {
  type CircuitOutcome,
  decodeCircuitOutcome,
  type Ending,
  encodeCircuitRequest,
  type GetRequest,
  type Hold,
  isWhole,
  NONCE_SIZE,
  type Outcome,
  REFUSAL,
  type View,
  WHOLE,
} from '../../routing/index.ts'
import {
  type ContentRef,
  encodeContentRef,
  type FetchContent,
  type PlaceOutcome,
  type PlaceShard,
  type ProbeContent,
  type RepairPorts,
  verifyContent,
  verifyLeaves,
} from '../../storage/index.ts'
import { CircuitError } from '../circuit-error.ts'
import type { CircuitPool } from '../circuit-pool.ts'
import type { ClientCircuit } from '../client-circuit.ts'
import type { Paced, Pacing, Turn } from '../pacing.ts'
import type { PendingPuts } from '../tasks/pending-puts.ts'
import { Receipts } from './receipts.ts'

/** Shards on their way at once, of all puts together: this bounds memory. */
const PUTS_MAX = 64
/** Gateways tried for one request ... */
const GATEWAYS_TRIED_MAX = 4
/** ... besides circuits that broke before they answered: when a guard dies they all do at once. */
const CIRCUITS_LOST_MAX = 12
/** Gateways that may say that nothing is held there before it is believed, when a lease is to be prolonged. */
const RENEW_MISSES_MAX = 2
/** Longer than the 10 s a request may take on the ring; and than the 30 s that a guard lets a request wait. */
const ANSWER_TIMEOUT_MS = 15_000
const HELD_BACK_TIMEOUT_MS = 35_000
/** No gateway is tried later than so long after the first; a put waits so long for the budget of retries. */
const TRIES_MS_MAX = 30_000
const RETRY_LOOK_MS = 1_000
/** A get goes elsewhere when nothing at all has come over its circuit for so long, so many times: then it waits. */
const SILENCE_MS = 4_000
const SILENCES_MAX = 2
const CIRCUIT_WAIT_MS = 20_000
/** Vaults that do not answer now may be building new circuits to their keepers: what they have is asked for again. */
const AWAY_WAIT_MS = [1_000, 2_000, 4_000]
/** For a circuit that has not had its part of a stripe yet, while some are being built. */
const FAIR_WAIT_MS = 5_000
/** Requests of one stripe that one circuit may see when it is read. */
const GETS_PER_CIRCUIT_MAX = 2
/** Stripes whose spread is remembered. */
const STRIPES_REMEMBERED = 64
export const LEASE_DAYS = 30
const DAY_MS = 24 * 60 * 60_000
/** When no gateway takes more to hold, they are asked again so often, for at most so many holds of mean length. */
const HELD_FULL_EVERY_MS = 5_000
const HELD_FULL_HOLDS_MAX = 20

export interface ClientPorts {
  readonly clock: Clock
  readonly jitter: Jitter
  readonly random: SecretRandom
  readonly log: Log
  readonly profile: Profile
  readonly networkId: NetworkId
  readonly view: View
  readonly pool: CircuitPool
  /** Of all clients of this home. */
  readonly pacing: Pacing
  /** Takes shards that found no keeper yet. */
  readonly pending: Pick<PendingPuts, 'add'>
  /** Has the view compared with another's before long. */
  readonly refreshView: () => void
}

type Request = Parameters<typeof encodeCircuitRequest>[0]

interface AskedHow {
  readonly spread?: string
  readonly cap: number
  readonly tried: ClientCircuit[]
  readonly silenceMs?: number
  readonly signal?: AbortSignal
}

/** Why a request brought no outcome: the circuit broke under it, or the gateway or time failed it. */
interface NoAnswer {
  readonly end: 'lost' | 'failed'
  readonly why: string
}

/** Fewer keepers answered than were asked; `attempts` says what happened, by role. */
export class RequestError extends UnavailableError {
  readonly code = 'ERR_REQUEST'
  readonly attempts: readonly string[]
  constructor(attempts: readonly string[]) {
    super(`no answer after ${attempts.length} tries: ${[...new Set(attempts)].join('; ')}`)
    this.attempts = attempts
  }
}

export class Client {
  readonly #p: ClientPorts
  #puts = 0
  #objects = 0
  readonly #queue: (() => void)[] = []
  readonly #spread = new Map<string, Map<ClientCircuit, number>>()
  readonly #receipts: Receipts
  #isStopped = false
  readonly counts = { puts: 0, gets: 0, retries: 0, badReceipts: 0, badData: 0 }

  constructor(ports: ClientPorts) {
    this.#p = ports
    const { clock, view, networkId, profile } = ports
    this.#receipts = new Receipts({ clock, view, networkId, copies: profile.copies })
  }

  stop(): void {
    this.#isStopped = true
    this.#receipts.stop()
  }

  /** Whether a shard that found no keeper before has found one now. */
  async placeAgain(ref: ContentRef, bytes: Uint8Array): Promise<boolean> {
    return (await this.#put(ref, bytes, { spread: 'pending' })) === 'stored'
  }

  /**
   * What places the shards of one put. SPEC dispersal §7 says what its answers mean. With a hold they are handed to
   * gateways, which put them onto the ring later. SPEC requests §10
   */
  placer(hold?: Hold): PlaceShard {
    // At the start of the object, never for one receipt: that would tell the guard where a shard lies.
    this.#p.refreshView()
    const put = ++this.#objects
    if (hold === undefined) return (shard) => this.#place(shard, `put ${put} ${shard.stripe}`)
    return (shard) => this.#handOver(shard, { spread: `put ${put} ${shard.stripe}`, hold })
  }

  /** What fetches the shards of one get. */
  fetcher(): FetchContent {
    const get = ++this.#objects
    return async (ref, wish) => {
      const spread = wish.stripe === undefined ? {} : { spread: `get ${get} ${wish.stripe}` }
      return (await this.#get(ref, { range: WHOLE, ...wish, ...spread }))?.leaves
    }
  }

  /** Whether the network has room for more than is needed. */
  hasRoom(): boolean {
    return this.#p.pacing.isCalm
  }

  /** What one repair of an object asks of the network. */
  repairPorts(): Pick<RepairPorts, 'fetch' | 'probe' | 'renew' | 'place'> {
    const probe: ProbeContent = (ref, wish) => this.probe(ref, wish)
    const renew: ProbeContent = (ref, wish) => this.renew(ref, wish)
    return { fetch: this.fetcher(), probe, renew, place: this.placer() }
  }

  #place(shard: Parameters<PlaceShard>[0], spread: string): Promise<PlaceOutcome> {
    return this.#inTurn(async () => {
      shard.signal.throwIfAborted()
      if ((await this.#put(shard.ref, shard.bytes, { spread })) === 'stored') return 'stored'
      if (!shard.final) return 'refused'
      const leaseEndMs = this.#p.clock.nowMs() + LEASE_DAYS * DAY_MS
      const kept = await this.#p.pending.add({ ref: shard.ref, bytes: shard.bytes, leaseEndMs })
      return kept === 'stored' ? 'pending' : 'refused'
    })
  }

  /** Gateways hold little: it waits until one has room, so a large object goes as fast as they let go. Throws ERR_REQUEST. */
  async #handOver(
    shard: Parameters<PlaceShard>[0],
    how: { readonly spread: string; readonly hold: Hold },
  ): Promise<PlaceOutcome> {
    const { clock, jitter, profile } = this.#p
    const giveUpMs = clock.monotonicMs() + HELD_FULL_HOLDS_MAX * profile.holdMeanMs[how.hold]
    for (;;) {
      const outcome = await this.#inTurn(() => {
        shard.signal.throwIfAborted()
        return this.#put(shard.ref, shard.bytes, how)
      })
      if (outcome !== 'refused') return outcome
      if (this.#isStopped || clock.monotonicMs() >= giveUpMs) throw new RequestError(['no gateway takes more to hold'])
      await pause(clock, around(jitter, HELD_FULL_EVERY_MS, 0.2))
    }
  }

  /** At most PUTS_MAX at once. */
  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#puts >= PUTS_MAX) await new Promise<void>((resolve) => this.#queue.push(resolve))
    this.#puts++
    try {
      return await work()
    } finally {
      this.#puts--
      this.#queue.shift()?.()
    }
  }

  /** Whether a keeper proves that it holds the content: a random leaf of it, never from a cache. */
  async probe(ref: ContentRef, wish: { signal?: AbortSignal } = {}): Promise<boolean> {
    // A signed root has no leaves of its own name: it is read whole.
    const range = ref.kind === 'signed' ? WHOLE : { from: below(this.#p.jitter, LEAF_COUNT), count: 1 }
    try {
      return (await this.#get(ref, { range, ...wish })) !== undefined
    } catch (error) {
      if (error instanceof UnavailableError) return false
      throw error
    }
  }

  /** Whether a keeper gave a receipt that the content, which it holds, has a full lease again. */
  async renew(ref: ContentRef, wish: { signal?: AbortSignal } = {}): Promise<boolean> {
    const { random } = this.#p
    const tried: ClientCircuit[] = []
    const retries = this.#retries('get')
    let misses = 0
    for (let tries = 0, lost = 0; tries < GATEWAYS_TRIED_MAX && misses < RENEW_MISSES_MAX; tries++) {
      const nonce = random.bytes(NONCE_SIZE)
      const renew = { ref: encodeContentRef(ref), leaseDays: LEASE_DAYS, nonce }
      const outcome = await this.#ask(
        { kind: 'renew', renew },
        { cap: Number.POSITIVE_INFINITY, tried, ...(wish.signal && { signal: wish.signal }) },
      )
      if (wish.signal?.aborted || this.#isStopped) return false
      if (outcome.end === 'lost' && ++lost <= CIRCUITS_LOST_MAX) tries--
      else if (outcome.end === 'none') misses++
      else if (outcome.end === 'stored') {
        if (await this.#receipts.isGood({ ref, nonce, leaseDays: LEASE_DAYS, receipt: outcome.receipt })) return true
        this.counts.badReceipts++
      } else if (!(await retries.may())) return false
    }
    return false
  }

  async #put(
    ref: ContentRef,
    bytes: Uint8Array,
    { spread, hold }: { readonly spread: string; readonly hold?: Hold },
  ): Promise<'stored' | 'handed' | 'refused'> {
    const { random, pool } = this.#p
    this.counts.puts++
    const cap = Math.max(1, Math.ceil(shardCount(STRIPE_K_MAX) / Math.max(1, pool.wanted)))
    const tried: ClientCircuit[] = []
    const retries = this.#retries('put')
    for (let tries = 0, lost = 0; tries < GATEWAYS_TRIED_MAX && !this.#isStopped; tries++) {
      if (tries + lost > 0) this.counts.retries++
      const nonce = random.bytes(NONCE_SIZE)
      const put = { ref: encodeContentRef(ref), leaseDays: LEASE_DAYS, nonce, bytes }
      const outcome = await this.#ask({ kind: 'put', put, ...(hold && { hold }) }, { spread, cap, tried })
      if (outcome.end === 'lost' && ++lost <= CIRCUITS_LOST_MAX) tries--
      if (outcome.end === 'failed' || outcome.end === 'busy') {
        if (!(await retries.may())) break
      }
      if (outcome.end === 'lost' || outcome.end === 'failed') continue
      if (outcome.end === 'handed' && hold !== undefined) return 'handed'
      if (outcome.end === 'stored') {
        if (await this.#receipts.isGood({ ref, nonce, leaseDays: LEASE_DAYS, receipt: outcome.receipt }))
          return 'stored'
        this.counts.badReceipts++
      }
      // A full keeper stays full whoever asks: another location is wanted.
      if (outcome.end === 'none' && outcome.reason === REFUSAL.full) break
    }
    return 'refused'
  }

  async #get(
    ref: ContentRef,
    wish: { range: GetRequest['range']; skip?: number; spread?: string; signal?: AbortSignal; onSlow?: () => void },
  ): Promise<Extract<Outcome, { end: 'data' }> | undefined> {
    const { clock, jitter } = this.#p
    this.counts.gets++
    const attempts: string[] = []
    const tried: ClientCircuit[] = []
    const retries = this.#retries('get')
    let misses = 0
    let isAway = false
    for (let tries = 0, lost = 0; tries < GATEWAYS_TRIED_MAX && !this.#isStopped; tries++) {
      if (wish.signal?.aborted) return undefined
      if (tries + lost > 0) this.counts.retries++
      // After two gateways found nothing, members further on are asked.
      const skip = (wish.skip ?? 0) + Math.max(0, misses - 1)
      const get = { ref: encodeContentRef(ref), skip, isPastOwner: false, range: wish.range }
      const outcome = await this.#ask(
        { kind: 'get', get },
        {
          cap: GETS_PER_CIRCUIT_MAX,
          tried,
          ...(tries < SILENCES_MAX && { silenceMs: SILENCE_MS }),
          ...(wish.spread && { spread: wish.spread }),
          ...(wish.signal && { signal: wish.signal }),
        },
      )
      if (wish.signal?.aborted) return undefined
      if (outcome.end === 'lost' && ++lost <= CIRCUITS_LOST_MAX) tries--
      else if (outcome.end === 'data') {
        if (isGoodData(ref, wish.range, outcome)) return outcome
        this.counts.badData++
        attempts.push('the gateway answered with wrong bytes')
      } else if (outcome.end === 'none' && outcome.reason === REFUSAL.away) {
        attempts.push('the vaults that have it did not answer')
        isAway = true
        wish.onSlow?.()
        const waitMs = AWAY_WAIT_MS[tries]
        if (waitMs !== undefined) await pause(clock, around(jitter, waitMs, 0.2), wish.signal)
      } else if (outcome.end === 'none') misses++
      else {
        attempts.push(outcome.end === 'lost' || outcome.end === 'failed' ? outcome.why : 'the ring was busy')
        if (outcome.end === 'lost' || (await retries.may())) continue
        attempts.push(this.#p.pacing.reason.message)
        break
      }
    }
    if (misses > 0 && !isAway) return undefined
    throw new RequestError(attempts)
  }

  /** Whether one request may be tried once more that was not answered, or not let in. SPEC requests §11 */
  #retries(kind: Paced): { may(): Promise<boolean> } {
    const { clock, jitter, pacing } = this.#p
    const untilMs = clock.monotonicMs() + TRIES_MS_MAX
    pacing.asksFirst(kind)
    const may = async (): Promise<boolean> => {
      while (!this.#isStopped && clock.monotonicMs() < untilMs) {
        if (pacing.mayRetry(kind)) return true
        // A get is better answered with a no: there are other shards. A put has nothing else to do.
        if (kind === 'get') return false
        await pause(clock, around(jitter, RETRY_LOOK_MS, 0.5))
      }
      return false
    }
    return { may }
  }

  /** One request over one circuit not tried yet, once the network has room for it. Throws CongestedError. */
  async #ask(request: Request, how: AskedHow): Promise<CircuitOutcome | NoAnswer> {
    const turn = await this.#p.pacing.enter(request.kind === 'put' ? 'put' : 'get', how.signal)
    if (turn === undefined) return { end: 'failed', why: 'no longer wanted' }
    let ending: Ending = 'broken'
    try {
      const outcome = await this.#askNow(request, { ...how, turn })
      if (outcome.end === 'failed') ending = how.signal?.aborted ? 'broken' : 'unanswered'
      else if (outcome.end !== 'lost') ending = outcome.end === 'busy' ? 'busy' : 'answered'
      return outcome
    } finally {
      turn.end(ending)
    }
  }

  async #askNow(request: Request, how: AskedHow & { readonly turn: Turn }): Promise<CircuitOutcome | NoAnswer> {
    const { pool, pacing } = this.#p
    const load = how.spread === undefined ? undefined : this.#spreadOf(how.spread)
    const isFresh = (circuit: ClientCircuit): boolean => !how.tried.includes(circuit)
    const isFair = (circuit: ClientCircuit): boolean => isFresh(circuit) && (load?.get(circuit) ?? 0) < how.cap
    const onTaken = (taken: ClientCircuit): void => {
      how.tried.push(taken)
      load?.set(taken, (load.get(taken) ?? 0) + 1)
    }
    const isFirst = load !== undefined && how.tried.length === 0
    let circuit: ClientCircuit | undefined
    // Rather than give a gateway more than its part, a first try waits a while for circuits that are being built.
    if (isFirst && !pool.ready.some(isFair) && pool.ready.length < pool.wanted) {
      circuit = await pool.acquire({ accept: isFair, onTaken }, FAIR_WAIT_MS).catch(ifUnavailable)
    }
    // When every circuit has had its part already, repetition is better than failure.
    const accept = pool.ready.some(isFair) ? isFair : pool.ready.some(isFresh) ? isFresh : () => true
    try {
      circuit ??= await pool.acquire({ accept, onTaken }, CIRCUIT_WAIT_MS)
    } catch (error) {
      // Without any circuit nothing can be asked of anybody: that is no refusal of one keeper.
      if (!(error instanceof UnavailableError) || pool.ready.length === 0) throw error
      return { end: 'failed', why: error.message }
    }
    try {
      how.turn.sent()
      // While the guard makes it wait, nothing comes over any circuit, and another one goes through the same guard.
      const { isHeldBack } = pacing
      const wait = {
        onOver: () => how.turn.over(),
        timeoutMs: isHeldBack ? HELD_BACK_TIMEOUT_MS : ANSWER_TIMEOUT_MS,
        ...(how.signal && { signal: how.signal }),
        ...(how.silenceMs && !isHeldBack && { silenceMs: how.silenceMs }),
      }
      const answer = await circuit.request(encodeCircuitRequest(request), wait)
      return decodeCircuitOutcome(answer)
    } catch (error) {
      if (error instanceof CircuitError) return { end: circuit.isOpen ? 'failed' : 'lost', why: error.message }
      if (!(error instanceof PeerError)) throw error
      circuit.close()
      return { end: 'failed', why: 'the gateway answered nonsense' }
    } finally {
      pool.released()
    }
  }

  #spreadOf(name: string): Map<ClientCircuit, number> {
    const known = this.#spread.get(name)
    if (known !== undefined) return known
    const load = new Map<ClientCircuit, number>()
    this.#spread.set(name, load)
    if (this.#spread.size > STRIPES_REMEMBERED) {
      const [oldest] = this.#spread.keys()
      if (oldest !== undefined) this.#spread.delete(oldest)
    }
    return load
  }
}

function ifUnavailable(error: unknown): undefined {
  if (!(error instanceof UnavailableError)) throw error
}

function isGoodData(ref: ContentRef, range: GetRequest['range'], data: Extract<Outcome, { end: 'data' }>): boolean {
  return isWhole(range) ? verifyContent(ref, data.leaves) : verifyLeaves(ref, range, data.leaves, data.proof)
}
