/**
 * The gateway: last relay of a circuit, which puts its requests onto the ring. It sees locations of
 * unrelated-looking shards, and neither who asks nor what they are part of. What vaults say of their lines
 * goes to the keeper instead. SPEC requests §5, vaults §2
 */
import {
  type CircuitRequest,
  decodeCircuitRequest,
  decodeLineRequest,
  encodeCircuitOutcome,
  encodeLineAnswer,
  type Outcome,
} from '../../routing/index.ts'
import type { Attachments } from './attachments.ts'

import type { Router } from './router.ts'

/** A circuit that ends here, as those see it who answer what comes by it. */
export interface AskedCircuit {
  /** What the handshake gave both ends. 32 bytes. */
  readonly binding: Uint8Array
  readonly isGone: boolean
  /** Called once, when the circuit is no more. */
  onGone: () => void
  /** Asks the client. Throws CircuitError: broken, full, or silent for so long. */
  ask(question: Uint8Array, options: { readonly timeoutMs: number }): Promise<Uint8Array>
  /** Ends the circuit. */
  misbehaved(reason: string): void
}

export class Gateway {
  readonly #router: Router
  readonly #lines: Pick<Attachments, 'serve'> | undefined

  /** `lines`: those of vaults; absent where none are taken. */
  constructor(router: Router, lines?: Pick<Attachments, 'serve'>) {
    this.#router = router
    this.#lines = lines
  }

  /** The answer to one request of a circuit. Rejects with MalformedError: the circuit is destroyed then. */
  async serve(request: Uint8Array, circuit: AskedCircuit): Promise<Uint8Array> {
    const line = decodeLineRequest(request)
    if (line !== undefined) return encodeLineAnswer((await this.#lines?.serve(line, circuit)) ?? { kind: 'refused' })
    const asked = decodeCircuitRequest(request)
    return encodeCircuitOutcome(await this.#outcomeOf(asked))
  }

  #outcomeOf(asked: CircuitRequest): Promise<Outcome> {
    if (asked.kind === 'get') return this.#router.get({ ...asked.get, isPastOwner: false })
    return asked.kind === 'put' ? this.#router.put(asked.put) : this.#router.renew(asked.renew)
  }
}
