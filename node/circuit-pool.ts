/**
 * Circuits kept ready, each with another gateway, so that a stripe's shards spread and no user waits
 * for a handshake. SPEC circuits §6
 */
import {
  below,
  between,
  equalBytes,
  type Jitter,
  type Log,
  messageOf,
  type NodeId,
  type Profile,
  shuffle,
  type Timer,
  UnavailableError,
} from '../core/index.ts'
import { areApart, type Descriptor, pickMiddle, type View } from '../routing/index.ts'
import { CircuitError, faultyRelay } from './circuit-error.ts'
import { ClientCircuit, type ClientCircuitPorts } from './client-circuit.ts'
import type { Guards } from './guards.ts'

/** Circuits built at the same time: a handshake costs milliseconds at each hop. */
const BUILDING_MAX = 4
/** How often the pool looks: circuits are missing; the view is too small for as many as wanted; all is well. */
const TICK_MS = { missing: 500, small: 2_000, complete: 10_000 }
/** After a failed build the next waits a little longer each time. */
const BACKOFF_MS = { min: 250, max: 8_000 }

export class NoCircuitError extends UnavailableError {
  readonly code = 'ERR_NO_CIRCUIT'
  constructor(phase: string) {
    super(`no circuit into the network could be built: ${phase}`, {
      hint: 'see hush status; the network may be unreachable, or have too few nodes',
    })
  }
}

export interface CircuitPoolPorts extends ClientCircuitPorts {
  readonly jitter: Jitter
  readonly log: Log
  readonly profile: Profile
  readonly view: View
  readonly guards: Guards
  readonly selfId: () => NodeId | undefined
  /** At most one hop of a circuit in one address prefix; off where all nodes share one. */
  readonly hasPrefixLimits: boolean
}

interface Pooled {
  readonly circuit: ClientCircuit
  readonly retireMs: number
}

/** What a request asks of its circuit; `onTaken` is called at once when one is given, before anybody else is served. */
export interface CircuitWish {
  readonly accept: (circuit: ClientCircuit) => boolean
  readonly onTaken: (circuit: ClientCircuit) => void
}

interface Waiter {
  readonly wish: CircuitWish
  readonly settle: (circuit: ClientCircuit | undefined) => void
}

/** Gateways found, until the members or the guard change; all of them, or the first `enough`. */
interface Known {
  readonly members: readonly NodeId[]
  readonly guard: Descriptor | undefined
  readonly gateways: readonly NodeId[]
  readonly enough: number
}

export class CircuitPool {
  readonly #p: CircuitPoolPorts
  #pooled: Pooled[] = []
  readonly #buildingTo: NodeId[] = []
  readonly #waiters = new Set<Waiter>()
  #backoffMs = BACKOFF_MS.min
  #known: Known | undefined
  #notBeforeMs = 0
  #isStopped = false
  #timer: Timer | undefined
  #lastFailure = 'the view of the network is empty'
  /** For the metrics. */
  readonly counts = { built: 0, failed: 0 }

  constructor(ports: CircuitPoolPorts) {
    this.#p = ports
  }

  start(): void {
    this.#tick()
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
    for (const { circuit } of this.#pooled) circuit.close()
    for (const waiter of [...this.#waiters]) waiter.settle(undefined)
  }

  get ready(): readonly ClientCircuit[] {
    const nowMs = this.#p.clock.monotonicMs()
    const open = this.#pooled.filter(({ circuit }) => circuit.isOpen)
    const fresh = open.filter(({ retireMs }) => retireMs > nowMs)
    return (fresh.length > 0 ? fresh : open).map(({ circuit }) => circuit)
  }
  get building(): number {
    return this.#buildingTo.length
  }
  /** Circuits wanted: one to each of so many gateways, as far as the network has them. */
  get wanted(): number {
    const { gateways } = this.#p.profile
    return this.#gateways(gateways).slice(0, gateways).length
  }

  /**
   * A circuit with room that the wish accepts, the least busy first, with a place reserved for the caller's one
   * request; waits for one, and throws NoCircuitError after `timeoutMs`.
   */
  async acquire(wish: CircuitWish, timeoutMs: number): Promise<ClientCircuit> {
    const found = this.#reserve(wish)
    if (found !== undefined) return found
    const waited = await new Promise<ClientCircuit | undefined>((resolve) => {
      const settle = (circuit: ClientCircuit | undefined): void => {
        timer.cancel()
        this.#waiters.delete(waiter)
        resolve(circuit)
      }
      const waiter: Waiter = { wish, settle }
      const timer = this.#p.clock.setTimer(timeoutMs, () => settle(undefined))
      this.#waiters.add(waiter)
      // A circuit whose time is over may be missing without anybody having noticed.
      if (this.ready.length < this.wanted) this.#tickIn(0)
    })
    if (waited === undefined) throw new NoCircuitError(this.#lastFailure)
    return waited
  }

  /** A circuit may have room again: serves who waits. */
  released(): void {
    for (const waiter of this.#waiters) {
      const found = this.#reserve(waiter.wish)
      if (found !== undefined) waiter.settle(found)
    }
  }

  #reserve({ accept, onTaken }: CircuitWish): ClientCircuit | undefined {
    const found = this.#best(accept)
    if (found === undefined) return undefined
    found.reserve()
    onTaken(found)
    return found
  }

  #best(accept: (circuit: ClientCircuit) => boolean): ClientCircuit | undefined {
    let best: ClientCircuit | undefined
    for (const circuit of shuffle(this.#p.jitter, this.ready)) {
      if (!circuit.hasRoom || !accept(circuit)) continue
      if (best === undefined || circuit.outstanding < best.outstanding) best = circuit
    }
    return best
  }

  #tick(): void {
    if (this.#isStopped) return
    this.#retire()
    const missing = this.wanted - this.ready.length - this.building
    for (let i = 0; i < Math.min(missing, BUILDING_MAX - this.building); i++) void this.#build()
    const isMissing = missing > 0 || this.wanted === 0 || this.#waiters.size > 0
    const isSmall = this.wanted < this.#p.profile.gateways
    this.#tickIn(isMissing ? TICK_MS.missing : isSmall ? TICK_MS.small : TICK_MS.complete)
  }

  #tickIn(delayMs: number): void {
    this.#timer?.cancel()
    this.#timer = this.#p.clock.setTimer(delayMs, () => this.#tick())
  }

  /** Closes circuits past their time once nothing runs on them and others are there. */
  #retire(): void {
    const nowMs = this.#p.clock.monotonicMs()
    for (const { circuit, retireMs } of this.#pooled) {
      if (circuit.isOpen && retireMs <= nowMs && circuit.outstanding === 0) circuit.close()
    }
    this.#pooled = this.#pooled.filter(({ circuit }) => circuit.isOpen)
  }

  /** All that would do, or the first `enough` of them: members change far more often than circuits are built. */
  #gateways(enough = Number.POSITIVE_INFINITY): readonly NodeId[] {
    const { view, clock, guards, selfId, hasPrefixLimits } = this.#p
    const self = selfId()
    const inUse = guards.inUse?.id
    const guard = inUse && view.get(inUse)
    const members = view.reachable(clock.nowMs())
    // The view gives the same list until something changes.
    const known = this.#known?.members === members && this.#known.guard === guard ? this.#known : undefined
    if (known !== undefined && known.enough >= enough) return known.gateways
    const gateways: NodeId[] = []
    for (const id of members) {
      if (gateways.length >= enough) break
      const descriptor = view.get(id)
      if (descriptor?.roles.gateway !== true || (self !== undefined && equalBytes(id, self))) continue
      if (guard === undefined || areApart(descriptor, guard, { hasPrefixLimits })) gateways.push(id)
    }
    this.#known = { members, guard, gateways, enough }
    return gateways
  }

  async #build(): Promise<void> {
    const { clock, jitter, profile, log } = this.#p
    if (clock.monotonicMs() < this.#notBeforeMs) return
    const used = [...this.ready.map((circuit) => circuit.gateway), ...this.#buildingTo]
    const free = this.#gateways().filter((id) => !used.some((other) => equalBytes(other, id)))
    const gateway = free[free.length > 0 ? below(jitter, free.length) : 0]
    if (gateway === undefined) return
    this.#buildingTo.push(gateway)
    try {
      const circuit = await this.#buildTo(gateway)
      if (this.#isStopped) return circuit.close()
      const retireMs = clock.monotonicMs() + between(jitter, profile.circuitAgeMaxMs)
      this.#pooled.push({ circuit, retireMs })
      circuit.onClosed = () => {
        this.#pooled = this.#pooled.filter((pooled) => pooled.circuit !== circuit)
        if (!this.#isStopped) this.#tickIn(TICK_MS.missing)
      }
      this.counts.built++
      this.#backoffMs = BACKOFF_MS.min
    } catch (error) {
      this.counts.failed++
      this.#lastFailure = messageOf(error)
      log('debug', 'circuit not built', { reason: this.#lastFailure })
      if (!(error instanceof CircuitError) || error.hop === undefined || error.hop === 1) {
        this.#notBeforeMs = clock.monotonicMs() + this.#backoffMs
        this.#backoffMs = Math.min(BACKOFF_MS.max, this.#backoffMs * 2)
      }
    } finally {
      this.#buildingTo.splice(this.#buildingTo.indexOf(gateway), 1)
      this.released()
    }
  }

  async #buildTo(gateway: NodeId): Promise<ClientCircuit> {
    const { view, clock, jitter, guards, selfId, hasPrefixLimits } = this.#p
    const taken = await guards.take()
    if (taken === undefined) throw new NoCircuitError('no guard can be reached')
    const last = view.get(gateway)
    if (last === undefined || !areApart(last, taken.guard, { hasPrefixLimits })) {
      throw new NoCircuitError('the gateway does not fit the guard')
    }
    const self = selfId()
    const exclude = self === undefined ? guards.ids : [...guards.ids, self]
    const hops = { guard: taken.guard, gateway: last, exclude, hasPrefixLimits }
    const middle = pickMiddle(view, { nowMs: clock.nowMs(), jitter, ...hops })
    if (middle === undefined) throw new NoCircuitError('the network has too few relays')
    const path = [taken.guard, middle, last]
    try {
      return await ClientCircuit.build(this.#p, { guard: taken.link, path })
    } catch (error) {
      const failed = faultyRelay(error, path)
      if (failed !== undefined) view.markFailed(failed.id, clock.nowMs())
      throw error
    }
  }
}
