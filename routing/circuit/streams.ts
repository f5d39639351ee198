/**
 * Requests and responses on a circuit, cut into relay messages `data` and, for the last piece,
 * `dataEnd`, all with the stream's number. SPEC circuits §4, §5
 *
 * Every piece but the last fills its cell, so a stream's cells are as few as they can be and all
 * look alike. Sizes in bytes.
 */
import { assert, CIRCUIT_REQUESTS_MAX, MalformedError, MESSAGE_SIZE_MAX } from '../../core/index.ts'
import { cutPieces, Partials } from '../link/partials.ts'
import { RELAY_COMMANDS, type RelayMessage } from './relay-messages.ts'

/** The relay messages that carry `bytes`, in order. Their data are views of `bytes`. */
export function splitForStream(stream: number, bytes: Uint8Array, dataSizeMax: number): RelayMessage[] {
  assert(bytes.length <= MESSAGE_SIZE_MAX, 'a message fits its limit')
  const messages: RelayMessage[] = []
  for (const piece of cutPieces(bytes, dataSizeMax)) {
    const command = piece.isLast ? RELAY_COMMANDS.dataEnd : RELAY_COMMANDS.data
    messages.push({ command, stream, data: piece.bytes })
  }
  return messages
}

export interface StreamBounds {
  /** What one relay message of this circuit holds: relayDataSizeMax(hop). */
  readonly dataSizeMax: number
  readonly messageSizeMax?: number
  /** Streams begun and not finished. */
  readonly streamsMax?: number
  /** Bytes of these together. */
  readonly heldBytesMax?: number
}

/** Joins what comes on the streams of one circuit in one direction. */
export class StreamJoiner {
  readonly #partials: Partials

  constructor(bounds: StreamBounds) {
    const streamsMax = bounds.streamsMax ?? 2 * CIRCUIT_REQUESTS_MAX
    this.#partials = new Partials({
      what: 'stream',
      pieceSize: bounds.dataSizeMax,
      messageSizeMax: bounds.messageSizeMax ?? MESSAGE_SIZE_MAX,
      partialMax: streamsMax,
      partialBytesMax: bounds.heldBytesMax ?? CIRCUIT_REQUESTS_MAX * MESSAGE_SIZE_MAX,
    })
  }

  get openCount(): number {
    return this.#partials.count
  }
  get heldBytes(): number {
    return this.#partials.heldBytes
  }

  /**
   * The bytes that `message` (data or dataEnd) completes, if it does. The data of messages are kept,
   * not copied: they are the opener's own memory, one cell each. Throws ERR_MALFORMED on a violation;
   * the circuit has to be destroyed then.
   */
  add(message: RelayMessage): Uint8Array | undefined {
    const { command, stream, data } = message
    if (command !== RELAY_COMMANDS.data && command !== RELAY_COMMANDS.dataEnd) {
      throw new MalformedError('malformed stream: not a data message')
    }
    return this.#partials.add(stream, { bytes: data, isLast: command === RELAY_COMMANDS.dataEnd })
  }

  /** Forgets what came on `stream`; what still comes on it counts as a new message. */
  drop(stream: number): void {
    this.#partials.drop(stream)
  }
}
