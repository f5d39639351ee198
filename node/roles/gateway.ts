/**
 * The gateway: last relay of a circuit, which puts its requests onto the ring. It sees locations of
 * unrelated-looking shards, and neither who asks nor what they are part of. SPEC requests §5
 */
import { type CircuitRequest, decodeCircuitRequest, encodeCircuitOutcome, type Outcome } from '../../routing/index.ts'
import type { Router } from './router.ts'

export class Gateway {
  readonly #router: Router
  constructor(router: Router) {
    this.#router = router
  }

  /** The answer to one request of a circuit. Rejects with MalformedError: the circuit is destroyed then. */
  async serve(request: Uint8Array): Promise<Uint8Array> {
    const asked = decodeCircuitRequest(request)
    return encodeCircuitOutcome(await this.#outcomeOf(asked))
  }

  #outcomeOf(asked: CircuitRequest): Promise<Outcome> {
    if (asked.kind === 'get') return this.#router.get({ ...asked.get, isPastOwner: false })
    return asked.kind === 'put' ? this.#router.put(asked.put) : this.#router.renew(asked.renew)
  }
}
