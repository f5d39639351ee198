/** A circuit's side away from the client, at a relay that has extended it. SPEC circuits §2 */
import { assert, CELL_BODY_SIZE, type Clock, type Timer } from '../../core/index.ts'
import {
  COMMANDS,
  DESTROY_REASONS,
  type DestroyReason,
  decodeCreated,
  decodeDestroy,
  EXTEND_FAILURES,
  type ExtendFailure,
  effortAsked,
} from '../../routing/index.ts'
import type { CircuitEnd, CircuitTable } from '../circuit-table.ts'
import type { PeerLink } from '../links.ts'

const EXTEND_TIMEOUT_MS = 8_000

/** Why a circuit was not extended; `effort` counts when the reason is a puzzle. */
export interface ExtendFailed {
  readonly reason: ExtendFailure
  readonly effort: number
}
const REFUSED: ExtendFailed = { reason: EXTEND_FAILURES.refused, effort: 0 }
const BUSY: ExtendFailed = { reason: EXTEND_FAILURES.busy, effort: 0 }

/** The side towards the client. */
interface SideBefore {
  sendBack(raw: Uint8Array): void
  nextGone(): void
}

export class NextHop implements CircuitEnd {
  readonly #p: { readonly clock: Clock; readonly circuits: CircuitTable }
  readonly #peer: PeerLink
  readonly #before: SideBefore
  #circuit: number | undefined
  #onCreated: ((reply: Uint8Array | ExtendFailed) => void) | undefined
  #timer: Timer | undefined

  constructor(
    ports: { readonly clock: Clock; readonly circuits: CircuitTable },
    from: { peer: PeerLink; before: SideBefore },
  ) {
    this.#p = ports
    this.#peer = from.peer
    this.#before = from.before
  }

  /** The new relay's handshake reply, or why there is none. */
  create(body: Uint8Array): Promise<Uint8Array | ExtendFailed> {
    assert(body.length <= CELL_BODY_SIZE, 'a create fits its cell')
    return new Promise((resolve) => {
      this.#onCreated = (reply) => {
        this.#timer?.cancel()
        this.#onCreated = undefined
        resolve(reply)
      }
      this.#circuit = this.#p.circuits.open(this.#peer, this)
      if (this.#circuit === undefined) return this.#onCreated(BUSY)
      this.#timer = this.#p.clock.setTimer(EXTEND_TIMEOUT_MS, () => this.#onCreated?.(REFUSED))
      if (!this.#peer.sendCommand(this.#circuit, COMMANDS.create, body)) this.#onCreated(BUSY)
    })
  }

  send(raw: Uint8Array): boolean {
    return this.#circuit !== undefined && this.#peer.sendRelay(this.#circuit, raw)
  }

  onCreated(body: Uint8Array): void {
    this.#onCreated?.(decodeCreated(body))
  }

  onRelay(_cell: unknown, raw: Uint8Array): void {
    this.#before.sendBack(raw)
  }

  onDestroyed(body?: Uint8Array): void {
    this.#circuit = undefined
    if (this.#onCreated !== undefined) this.#onCreated(failedBy(body))
    else this.#before.nextGone()
  }

  destroy(reason: DestroyReason): void {
    const circuit = this.#circuit
    this.#circuit = undefined
    if (circuit !== undefined) this.#p.circuits.destroy(this.#peer, circuit, reason)
  }
}

/** What the client is told when a relay refuses a create with a destroy of this body. */
function failedBy(body: Uint8Array | undefined): ExtendFailed {
  const effort = body && effortAsked(body)
  if (effort !== undefined) return { reason: EXTEND_FAILURES.puzzle, effort }
  return body !== undefined && decodeDestroy(body) === DESTROY_REASONS.full ? BUSY : REFUSED
}
