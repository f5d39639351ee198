/**
 * One link over an open WebSocket. SPEC links §2, home §4
 *
 * Sending: cells wait in a list; once a turn of the event loop they are gathered, up to 12 a message, and
 * at most MESSAGES_FLYING_MAX messages are with the kernel at a time, so what piles up are whole cells
 * held by reference. A message of several cells is copied once into a buffer that is borrowed until the
 * kernel has taken it; a message of one cell is not copied.
 *
 * Receiving: cells are handed up as views that do not overlap, into the message they came in. Whoever
 * keeps one keeps the whole message alive, up to 98,208 B.
 *
 *   open --close()/violation/silence/overflow--> ended (onClose is due) --socket gone--> gone
 *   open --socket gone--> ended and gone
 */
import { WebSocket } from 'ws'
import { assert, CELL_SIZE, type Clock, type PublicKey, type Timer } from '../../core/index.ts'
import type { Link, LinkHandlers } from '../../routing/index.ts'
import { TokenBucket } from '../token-bucket.ts'
import { MESSAGE_CELLS_MAX, MESSAGE_SIZE_MAX_WIRE, QUEUED_BYTES_LOW, type TransportLimits } from './link-settings.ts'

/** Two keep the kernel busy while the next is gathered; more only hold memory. */
const MESSAGES_FLYING_MAX = 2
/** Free batch buffers kept for the next sender, all links together. */
const BATCHES_FREE_MAX = 64

/** What a close code tells, in our own words. RFC 6455 §7.4 */
const CLOSE_WORDS: Readonly<Record<number, string>> = {
  1000: 'closed by the peer',
  1001: 'the peer is going away',
  1002: 'the peer saw a protocol violation',
  1003: 'the peer saw a protocol violation',
  1006: 'connection lost',
  1007: 'the peer saw a protocol violation',
  1008: 'the peer saw a protocol violation',
  1009: 'the peer saw a message too large',
  1013: 'the peer is overloaded',
}
const GOING = 1000
const VIOLATION = 1002

/** Counts of all links of a transport, as plain numbers. */
export interface LinkCounts {
  cellsIn: number
  cellsOut: number
  messagesIn: number
  messagesOut: number
  violations: number
}

/** Buffers of one full message each, borrowed for the time a message is with the kernel. */
export class BatchBuffers {
  readonly #free: Buffer[] = []
  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(MESSAGE_SIZE_MAX_WIRE)
  }
  give(buffer: Buffer): void {
    if (this.#free.length < BATCHES_FREE_MAX) this.#free.push(buffer)
  }
}

/** What a link needs of the transport it belongs to. */
export interface LinkSurroundings {
  readonly clock: Clock
  readonly limits: TransportLimits
  readonly batches: BatchBuffers
  readonly counts: LinkCounts
  /** Called once, when the socket is gone. */
  onGone(link: SocketLink): void
}

export class SocketLink implements Link {
  readonly peerKey: PublicKey
  readonly isDialer: boolean
  readonly #socket: WebSocket
  readonly #around: LinkSurroundings
  #handlers: LinkHandlers | undefined
  /** Cells before `#next` have been sent. */
  #cells: Uint8Array[] = []
  #next = 0
  #flying = 0
  #queuedBytes = 0
  #isHigh = false
  #isTurnDue = false
  #endReason: string | undefined
  #isTold = false
  #endTimer: Timer | undefined
  #heardMs: number
  #pingedMs: number
  /** When the kernel last took something, or had nothing to take. */
  #takenMs: number
  readonly #controlFrames: TokenBucket

  /** The socket is open; nothing is read from it before `start`. */
  constructor(
    socket: WebSocket,
    peer: { readonly key: PublicKey; readonly isDialer: boolean },
    around: LinkSurroundings,
  ) {
    this.#socket = socket
    this.peerKey = peer.key
    this.isDialer = peer.isDialer
    this.#around = around
    this.#heardMs = around.clock.monotonicMs()
    this.#pingedMs = this.#heardMs
    this.#takenMs = this.#heardMs
    this.#controlFrames = new TokenBucket(around.limits.controlFrames, this.#heardMs)
    socket.pause()
    socket.on('message', (data, isBinary) => this.#onMessage(data as Buffer, isBinary))
    socket.on('ping', () => {
      if (this.#onControlFrame()) socket.pong()
    })
    socket.on('pong', () => this.#onControlFrame())
    socket.on('error', (error) => this.#onError(error))
    socket.on('close', (code) => this.#onGone(code))
  }

  get queuedBytes(): number {
    return this.#queuedBytes
  }

  start(handlers: LinkHandlers): void {
    assert(this.#handlers === undefined, 'a link is started once')
    this.#handlers = handlers
    if (this.#endReason !== undefined) this.#tellEnd()
    else this.#socket.resume()
  }

  send(cell: Uint8Array): void {
    assert(cell.length === CELL_SIZE, 'a link takes whole cells')
    if (this.#endReason !== undefined) return
    if (this.#queuedBytes === 0) this.#takenMs = this.#around.clock.monotonicMs()
    this.#cells.push(cell)
    this.#queuedBytes += CELL_SIZE
    if (this.#queuedBytes > QUEUED_BYTES_LOW) this.#isHigh = true
    if (this.#queuedBytes > this.#around.limits.queuedBytesMax) this.#abort('the peer reads too slowly')
    else if (!this.#isTurnDue && this.#flying < MESSAGES_FLYING_MAX) {
      this.#isTurnDue = true
      setImmediate(this.#onTurn)
    }
  }

  close(reason: string): void {
    this.#end(reason, GOING)
  }

  /** Pings, and ends the link when nothing was heard for too long. The transport calls it now and then. */
  beat(nowMs: number): void {
    if (this.#endReason !== undefined) return
    const { silenceMs, stallMs, pingEveryMs } = this.#around.limits
    if (nowMs - this.#heardMs >= silenceMs) this.#abort('the peer fell silent')
    else if (this.#queuedBytes > 0 && nowMs - this.#takenMs >= stallMs) this.#abort('the peer takes nothing')
    else if (nowMs - this.#pingedMs >= pingEveryMs) {
      this.#pingedMs = nowMs
      this.#socket.ping()
    }
  }

  // --- sending ---------------------------------------------------------------------------------

  readonly #onTurn = () => {
    this.#isTurnDue = false
    this.#pump(MESSAGES_FLYING_MAX)
  }

  #pump(flyingMax: number): void {
    while (this.#flying < flyingMax && this.#next < this.#cells.length) this.#sendMessage()
    if (this.#next === this.#cells.length) {
      this.#cells.length = 0
      this.#next = 0
    } else if (this.#next >= 1_024) {
      this.#cells.splice(0, this.#next)
      this.#next = 0
    }
  }

  #sendMessage(): void {
    const count = Math.min(MESSAGE_CELLS_MAX, this.#cells.length - this.#next)
    const first = this.#cells[this.#next] as Uint8Array
    const batch = count === 1 ? undefined : this.#around.batches.take()
    for (let i = 0; i < count && batch !== undefined; i++)
      batch.set(this.#cells[this.#next + i] as Uint8Array, i * CELL_SIZE)
    this.#next += count
    this.#flying += 1
    this.#around.counts.messagesOut += 1
    this.#around.counts.cellsOut += count
    const message = batch === undefined ? first : batch.subarray(0, count * CELL_SIZE)
    this.#socket.send(message, { binary: true, compress: false }, (error) => this.#onTaken(count, batch, error))
  }

  /** The kernel has taken a message, or never will. */
  #onTaken(count: number, batch: Buffer | undefined, error: Error | null | undefined): void {
    this.#flying -= 1
    // After an error the buffer may still be in use below: it is let go, not lent again.
    if (error !== undefined && error !== null) return
    if (batch !== undefined) this.#around.batches.give(batch)
    if (this.#endReason !== undefined) return
    this.#queuedBytes -= count * CELL_SIZE
    this.#takenMs = this.#around.clock.monotonicMs()
    this.#pump(MESSAGES_FLYING_MAX)
    const isLow = this.#queuedBytes === 0 || (this.#isHigh && this.#queuedBytes <= QUEUED_BYTES_LOW)
    if (!isLow) return
    this.#isHigh = false
    this.#handlers?.onDrain()
  }

  // --- receiving -------------------------------------------------------------------------------

  #onMessage(data: Buffer, isBinary: boolean): void {
    if (this.#endReason !== undefined) return
    this.#onHeard()
    const count = data.length / CELL_SIZE
    if (!isBinary) this.#violate('a text message from the peer')
    else if (!Number.isInteger(count) || count === 0) this.#violate('a message from the peer that is not whole cells')
    else this.#deliver(data, count)
  }

  #deliver(data: Buffer, count: number): void {
    this.#around.counts.messagesIn += 1
    this.#around.counts.cellsIn += count
    // A cell's receiver may close the link; what follows it is then dropped.
    for (let i = 0; i < count && this.#endReason === undefined; i++)
      this.#handlers?.onCell(new Uint8Array(data.buffer, data.byteOffset + i * CELL_SIZE, CELL_SIZE))
  }

  #onHeard(): void {
    this.#heardMs = this.#around.clock.monotonicMs()
  }

  /** False when it was one too many, or the link has ended: then it is not answered. */
  #onControlFrame(): boolean {
    if (this.#endReason !== undefined) return false
    this.#onHeard()
    if (this.#controlFrames.take(this.#heardMs)) return true
    this.#around.counts.violations += 1
    this.#abort('a flood of control frames from the peer')
    return false
  }

  #onError(error: Error): void {
    if (this.#endReason === undefined && isFrameFault(error)) this.#violate(reasonOf(error))
    else this.#end(reasonOf(error), VIOLATION)
  }

  #violate(reason: string): void {
    this.#around.counts.violations += 1
    this.#end(reason, VIOLATION)
  }

  // --- ending ----------------------------------------------------------------------------------

  /** Sends what is held, then the close frame; the peer has `closeMs` to take it. */
  #end(reason: string, code: number): void {
    if (this.#endReason !== undefined) return
    this.#endReason = reason
    if (this.#socket.readyState === WebSocket.OPEN) this.#pump(Number.POSITIVE_INFINITY)
    this.#forgetCells()
    this.#endTimer = this.#around.clock.setTimer(this.#around.limits.closeMs, () => this.#socket.terminate())
    this.#socket.resume()
    this.#socket.close(code)
    this.#tellEnd()
  }

  /** Ends at once: the peer takes nothing any more. */
  #abort(reason: string): void {
    if (this.#endReason !== undefined) return
    this.#endReason = reason
    this.#forgetCells()
    this.#socket.terminate()
    this.#tellEnd()
  }

  #forgetCells(): void {
    this.#cells = []
    this.#next = 0
    this.#queuedBytes = 0
  }

  #onGone(code: number): void {
    this.#endTimer?.cancel()
    if (this.#endReason === undefined) {
      this.#endReason = CLOSE_WORDS[code] ?? 'closed by the peer'
      this.#forgetCells()
      this.#tellEnd()
    }
    this.#around.onGone(this)
  }

  /** Never from inside a call of the link's user, whose own state may be halfway. */
  #tellEnd(): void {
    if (this.#isTold || this.#handlers === undefined) return
    this.#isTold = true
    queueMicrotask(() => this.#handlers?.onClose(this.#endReason as string))
  }
}

/** Whether the peer sent what is no frame, or more than a frame may hold; else the connection itself failed. */
function isFrameFault(error: Error): boolean {
  return String((error as { code?: unknown }).code).startsWith('WS_ERR_')
}

/** Our own words for what the WebSocket library or the socket says. */
function reasonOf(error: Error): string {
  const code = String((error as { code?: unknown }).code)
  if (code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH') return 'a message from the peer that is too large'
  if (code === 'WS_ERR_TOO_MANY_BUFFERED_PARTS') return 'a message from the peer in too many pieces'
  return isFrameFault(error) ? 'a malformed frame from the peer' : 'connection lost'
}
