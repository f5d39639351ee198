/**
 * Link messages: what neighbours tell each other, cut into cells of command `message` on circuit 0.
 * SPEC links §3. Body of such a cell, big-endian:
 *
 *   0     4  flow    number of the message on this link and direction; free again after its last cell
 *   4     1  flags   1 = last cell of its message; no other bit is known
 *   5     2  length  bytes of data; full unless last
 *   7  8172  data    the part past `length` is zero
 *
 * The filler is zero and not random: the peer is the reader, nothing of the cell is handed on, and TLS
 * below hides and authenticates all of it. (An onion layer has no such shelter: circuit/layers.ts.)
 */
import { assert, ByteReader, CELL_BODY_SIZE, CELL_HEADER_SIZE, MESSAGE_SIZE_MAX } from '../../core/index.ts'
import { COMMANDS, newCell } from '../circuit/cell.ts'
import { cutPieces, Partials } from './partials.ts'

export const FRAGMENT_HEADER_SIZE = 7
/** Bytes of a message that one cell carries. */
export const FRAGMENT_DATA_SIZE_MAX = CELL_BODY_SIZE - FRAGMENT_HEADER_SIZE
const LAST = 1
/** A sender has at most so many messages begun and not finished. */
export const MESSAGES_BEGUN_MAX = 64
/** So a sender within its limit never breaks the receiver's. */
const PARTIAL_BYTES_MAX = MESSAGES_BEGUN_MAX * MESSAGE_SIZE_MAX

/** Cells that a message of `sizeBytes` takes. */
export function messageCellCount(sizeBytes: number): number {
  return Math.max(1, Math.ceil(sizeBytes / FRAGMENT_DATA_SIZE_MAX))
}

/**
 * The whole cells that carry `bytes`, each new memory. All of them have to be sent, in order: a
 * message that is begun and not finished stays open at the peer. Longer than MESSAGE_SIZE_MAX: a bug.
 */
export function splitMessage(flow: number, bytes: Uint8Array): Uint8Array[] {
  assert(bytes.length <= MESSAGE_SIZE_MAX, 'a message fits its limit')
  assert(Number.isInteger(flow) && flow >= 0 && flow <= 0xffff_ffff, 'a flow number is a u32')
  const cells: Uint8Array[] = []
  for (const piece of cutPieces(bytes, FRAGMENT_DATA_SIZE_MAX)) {
    const cell = newCell(0, COMMANDS.message)
    const view = new DataView(cell.buffer, cell.byteOffset + CELL_HEADER_SIZE, FRAGMENT_HEADER_SIZE)
    view.setUint32(0, flow)
    view.setUint8(4, piece.isLast ? LAST : 0)
    view.setUint16(5, piece.bytes.length)
    cell.set(piece.bytes, CELL_HEADER_SIZE + FRAGMENT_HEADER_SIZE)
    cells.push(cell)
  }
  return cells
}

export interface MessageBounds {
  readonly messageSizeMax?: number
  /** Messages begun and not finished. */
  readonly partialMax?: number
  /** Bytes of these together. */
  readonly partialBytesMax?: number
}

/** Joins the messages of one link and direction; cells of several may come mixed. */
export class MessageJoiner {
  readonly #partials: Partials

  constructor(bounds: MessageBounds = {}) {
    this.#partials = new Partials({
      what: 'link message',
      pieceSize: FRAGMENT_DATA_SIZE_MAX,
      messageSizeMax: bounds.messageSizeMax ?? MESSAGE_SIZE_MAX,
      partialMax: bounds.partialMax ?? MESSAGES_BEGUN_MAX,
      partialBytesMax: bounds.partialBytesMax ?? PARTIAL_BYTES_MAX,
    })
  }

  get partialCount(): number {
    return this.#partials.count
  }
  get heldBytes(): number {
    return this.#partials.heldBytes
  }

  /**
   * The message that `body` completes, if it does. A message of one cell is a view of `body`; of a
   * longer one the parts are copied, since a view would keep the whole network buffer of twelve
   * cells alive. Throws ERR_MALFORMED; the link has to be closed then.
   */
  add(body: Uint8Array): Uint8Array | undefined {
    const reader = new ByteReader(body, 'link message')
    if (body.length !== CELL_BODY_SIZE) throw reader.malformed('not a cell body')
    const flow = reader.u32()
    const flags = reader.u8()
    if (flags > LAST) throw reader.malformed('unknown flag')
    const bytes = reader.bytes16(FRAGMENT_DATA_SIZE_MAX)
    const isLast = flags === LAST
    return this.#partials.add(flow, { bytes: isLast ? bytes : bytes.slice(), isLast })
  }
}
