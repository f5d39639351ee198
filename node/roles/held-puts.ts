/**
 * Puts that a gateway keeps back for a while before it puts them onto the ring, so that what was handed over
 * together does not appear there together. SPEC requests §10
 *
 * They lie in memory, each a shard, and outlive the circuit they came over. Nobody hears what becomes of them: a
 * gateway that ends forgets them, and the client that reads back puts them again.
 */
import { type Clock, exponential, type Jitter, type Profile, type Timer } from '../../core/index.ts'
import type { Hold, Outcome, PutRequest } from '../../routing/index.ts'

/** Of one circuit: 2 MB. */
export const CIRCUIT_HELD_PUTS_MAX = 32
/** Of all circuits together: 32 MB. */
export const HELD_PUTS_MAX = 512
/** A put that the ring did not take is held again, so often in all. */
const TRIES_MAX = 3

export interface HeldPutsPorts {
  readonly clock: Clock
  /** Draws how long each is held. */
  readonly jitter: Jitter
  readonly meansMs: Profile['holdMeanMs']
  readonly put: (put: PutRequest) => Promise<Outcome>
}

export class HeldPuts {
  readonly #p: HeldPutsPorts
  readonly #timers = new Set<Timer>()
  /** By the circuit they came over, for its bound alone. */
  readonly #ofCircuit = new WeakMap<object, number>()
  #isStopped = false
  /** Since the start: taken, put onto the ring with a receipt, given up. */
  readonly counts = { taken: 0, stored: 0, failed: 0 }

  constructor(ports: HeldPutsPorts) {
    this.#p = ports
  }

  get count(): number {
    return this.#timers.size
  }

  /** False: as much as may be is held already. Keeps `put`, whose bytes nobody else writes. */
  take(circuit: object, put: PutRequest, hold: Hold): boolean {
    const ofCircuit = this.#ofCircuit.get(circuit) ?? 0
    if (this.#isStopped || ofCircuit >= CIRCUIT_HELD_PUTS_MAX || this.count >= HELD_PUTS_MAX) return false
    this.#ofCircuit.set(circuit, ofCircuit + 1)
    this.counts.taken++
    this.#hold(put, { hold, circuit, tries: 0 })
    return true
  }

  /** Forgets all that is held. */
  stop(): void {
    this.#isStopped = true
    for (const timer of this.#timers) timer.cancel()
    this.#timers.clear()
  }

  #hold(put: PutRequest, how: { hold: Hold; circuit: object; tries: number }): void {
    const { clock, jitter, meansMs } = this.#p
    const timer = clock.setTimer(exponential(jitter, meansMs[how.hold]), () => {
      void this.#p.put(put).then((outcome) => {
        if (!this.#timers.delete(timer)) return
        if (outcome.end !== 'stored' && how.tries + 1 < TRIES_MAX) {
          return this.#hold(put, { ...how, tries: how.tries + 1 })
        }
        this.#ofCircuit.set(how.circuit, (this.#ofCircuit.get(how.circuit) ?? 1) - 1)
        if (outcome.end === 'stored') this.counts.stored++
        else this.counts.failed++
      })
    })
    this.#timers.add(timer)
  }
}
