/**
 * Messages of which some pieces have come, by number: bounded in messages, in bytes of one and in
 * bytes of all. Serves the joiners of links and of circuits. SPEC links §3, circuits §5
 *
 * Splitting is canonical: every piece but the last is full, and a message that ends on a full piece
 * has no empty one behind it. So the number of pieces is bounded by the size, and nobody can keep a
 * message open with pieces that carry nothing. Sizes in bytes.
 */
import { concatBytes, MalformedError } from '../../core/index.ts'

export interface PartialBounds {
  /** Names the message in errors. */
  readonly what: string
  readonly pieceSize: number
  readonly messageSizeMax: number
  /** Unfinished messages at one time. */
  readonly partialMax: number
  /** Bytes of all unfinished messages together. */
  readonly partialBytesMax: number
}

export interface Piece {
  readonly bytes: Uint8Array
  readonly isLast: boolean
}

interface Partial {
  readonly pieces: Uint8Array[]
  sizeBytes: number
}

export class Partials {
  readonly #bounds: PartialBounds
  readonly #open = new Map<number, Partial>()
  #heldBytes = 0

  constructor(bounds: PartialBounds) {
    this.#bounds = bounds
  }

  get count(): number {
    return this.#open.size
  }
  get heldBytes(): number {
    return this.#heldBytes
  }

  /**
   * The whole message when `piece` was its last, else undefined. The piece's bytes are kept, not
   * copied; a message of one piece is that piece itself. Throws ERR_MALFORMED on any violation,
   * after which the link or circuit has to go.
   */
  add(number: number, piece: Piece): Uint8Array | undefined {
    const partial = this.#open.get(number)
    this.#check(partial, piece)
    const { bytes, isLast } = piece
    if (partial === undefined) {
      if (isLast) return bytes
      this.#open.set(number, { pieces: [bytes], sizeBytes: bytes.length })
      this.#heldBytes += bytes.length
      return undefined
    }
    if (isLast) {
      this.drop(number)
      return concatBytes(...partial.pieces, bytes)
    }
    partial.pieces.push(bytes)
    partial.sizeBytes += bytes.length
    this.#heldBytes += bytes.length
    return undefined
  }

  /** Forgets what came of `number`, if anything did. */
  drop(number: number): void {
    const partial = this.#open.get(number)
    if (partial === undefined) return
    this.#open.delete(number)
    this.#heldBytes -= partial.sizeBytes
  }

  #check(partial: Partial | undefined, { bytes, isLast }: Piece): void {
    const { pieceSize, messageSizeMax, partialMax, partialBytesMax } = this.#bounds
    if (bytes.length > pieceSize) throw this.#malformed('piece too long')
    if (!isLast && bytes.length !== pieceSize) throw this.#malformed('short piece before the last')
    if (isLast && bytes.length === 0 && partial !== undefined) throw this.#malformed('empty piece at the end')
    if ((partial?.sizeBytes ?? 0) + bytes.length > messageSizeMax) throw this.#malformed('message too long')
    if (isLast) return
    if (partial === undefined && this.#open.size >= partialMax) throw this.#malformed('too many unfinished messages')
    if (this.#heldBytes + bytes.length > partialBytesMax) throw this.#malformed('too many unfinished bytes')
  }

  #malformed(why: string): MalformedError {
    return new MalformedError(`malformed ${this.#bounds.what}: ${why}`)
  }
}

/** Cuts `bytes` into pieces of `pieceSize`, at least one. The pieces are views. */
export function* cutPieces(bytes: Uint8Array, pieceSize: number): Generator<Piece> {
  for (let at = 0; ; at += pieceSize) {
    const isLast = at + pieceSize >= bytes.length
    yield { bytes: bytes.subarray(at, at + pieceSize), isLast }
    if (isLast) return
  }
}
