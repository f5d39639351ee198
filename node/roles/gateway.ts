/**
 * The gateway: last relay of a circuit, which puts its requests onto the ring. It sees locations of
 * unrelated-looking shards, and neither who asks nor what they are part of. SPEC requests §5
 */
import {
  type CircuitOutcome,
  type CircuitRequest,
  decodeCircuitRequest,
  encodeCircuitOutcome,
} from '../../routing/index.ts'
import type { HeldPuts } from './held-puts.ts'
import type { Router } from './router.ts'

export class Gateway {
  readonly #router: Router
  readonly #held: HeldPuts
  constructor(router: Router, held: HeldPuts) {
    this.#router = router
    this.#held = held
  }

  /** The answer to one request of a circuit. Rejects with MalformedError: the circuit is destroyed then. */
  async serve(request: Uint8Array, circuit: object): Promise<Uint8Array> {
    const asked = decodeCircuitRequest(request)
    return encodeCircuitOutcome(await this.#outcomeOf(asked, circuit))
  }

  async #outcomeOf(asked: CircuitRequest, circuit: object): Promise<CircuitOutcome> {
    if (asked.kind === 'get') return this.#router.get({ ...asked.get, isPastOwner: false })
    if (asked.kind === 'renew') return this.#router.renew(asked.renew)
    if (asked.hold === undefined) return this.#router.put(asked.put)
    return { end: this.#held.take(circuit, asked.put, asked.hold) ? 'handed' : 'busy' }
  }
}
