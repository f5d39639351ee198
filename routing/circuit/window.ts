/**
 * Flow control of a circuit, one direction: at most CIRCUIT_WINDOW_CELLS data cells are on their way,
 * and after every CIRCUIT_ACK_EVERY_CELLS of them the receiver acknowledges. SPEC circuits §5
 *
 * The acknowledgement carries the AEAD tag of the cell it acknowledges, in the layer of the two ends.
 * Only who opened that cell knows it, so nobody can draw data faster by claiming what it has not seen.
 */
import { assert, CIRCUIT_ACK_EVERY_CELLS, CIRCUIT_WINDOW_CELLS, equalBytes } from '../../core/index.ts'
import { SEAL_TAG_SIZE } from '../../crypto/index.ts'

assert(CIRCUIT_WINDOW_CELLS % CIRCUIT_ACK_EVERY_CELLS === 0, 'a full window ends on an acknowledgement')

/** The sender's side. */
export class SendWindow {
  /** Tags of the cells whose acknowledgement is to come, in order; at most window / every. */
  readonly #awaited: Uint8Array[] = []
  #sinceMark = 0

  /** Cells sent and not acknowledged. */
  get inFlight(): number {
    return this.#awaited.length * CIRCUIT_ACK_EVERY_CELLS + this.#sinceMark
  }
  get room(): number {
    return CIRCUIT_WINDOW_CELLS - this.inFlight
  }

  /** Notes one data cell and its tag (copied). Without room it must not be sent: a bug. */
  sent(tag: Uint8Array): void {
    assert(this.room > 0, 'the window has room')
    assert(tag.length === SEAL_TAG_SIZE, 'a tag has its size')
    this.#sinceMark++
    if (this.#sinceMark < CIRCUIT_ACK_EVERY_CELLS) return
    this.#sinceMark = 0
    this.#awaited.push(tag.slice())
  }

  /** Frees the acknowledged cells. False: not the tag that is due, so the circuit has to be destroyed. */
  acknowledge(tag: Uint8Array): boolean {
    const [due] = this.#awaited
    if (due === undefined || !equalBytes(due, tag)) return false
    this.#awaited.shift()
    return true
  }
}

/** The receiver's side. */
export class ReceiveWindow {
  /** Tags to acknowledge, oldest first; at most window / every. */
  readonly #due: Uint8Array[] = []
  #sinceMark = 0

  /** Cells received and not acknowledged. */
  get unacknowledged(): number {
    return this.#due.length * CIRCUIT_ACK_EVERY_CELLS + this.#sinceMark
  }

  /** Notes one data cell and its tag (copied). False: the sender overran the window; destroy the circuit. */
  received(tag: Uint8Array): boolean {
    assert(tag.length === SEAL_TAG_SIZE, 'a tag has its size')
    if (this.unacknowledged >= CIRCUIT_WINDOW_CELLS) return false
    this.#sinceMark++
    if (this.#sinceMark === CIRCUIT_ACK_EVERY_CELLS) {
      this.#sinceMark = 0
      this.#due.push(tag.slice())
    }
    return true
  }

  /** The tag to acknowledge next, if one is due. Whoever cannot take more yet simply does not ask. */
  takeAck(): Uint8Array | undefined {
    return this.#due.shift()
  }
}
