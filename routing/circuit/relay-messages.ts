/**
 * What the ends of a circuit tell each other inside the layers, and the bodies of the cells that make
 * and end a circuit on one link. SPEC circuits §4. A relay message, big-endian, at the innermost:
 *
 *   0  1  command  RELAY_COMMANDS
 *   1  2  stream   which request; 0 for all but data and dataEnd
 *   3  2  length   bytes of data
 *   5  …  data     the rest of the cell is zero, inside the encryption, and ignored
 */
import {
  assert,
  ByteReader,
  ByteWriter,
  concatBytes,
  HOPS_MAX,
  type NodeId,
  named32,
  RELAY_HEADER_SIZE,
} from '../../core/index.ts'
import { HANDSHAKE_MESSAGE_SIZE, HANDSHAKE_REPLY_SIZE, SEAL_TAG_SIZE } from '../../crypto/index.ts'

/** Numbers on the wire, append-only. */
export const RELAY_COMMANDS = {
  extend: 1,
  extended: 2,
  extendFailed: 3,
  data: 4,
  dataEnd: 5,
  ack: 6,
  drop: 7,
  loop: 8,
} as const
export type RelayCommand = (typeof RELAY_COMMANDS)[keyof typeof RELAY_COMMANDS]
const RELAY_COMMAND_MAX = RELAY_COMMANDS.loop

export interface RelayMessage {
  readonly command: RelayCommand
  readonly stream: number
  readonly data: Uint8Array
}

/** Only these count against the window: acks must always get through, or two full windows would wait for ever. */
export function isWindowed(command: RelayCommand): boolean {
  return command === RELAY_COMMANDS.data || command === RELAY_COMMANDS.dataEnd
}

/** Writes header and data at the start of `into`, zeros to its end. The caller has checked the room. */
export function writeRelayMessage(message: RelayMessage, into: Uint8Array): void {
  const { command, stream, data } = message
  into[0] = command
  into[1] = stream >>> 8
  into[2] = stream
  into[3] = data.length >>> 8
  into[4] = data.length
  into.set(data, RELAY_HEADER_SIZE)
  into.fill(0, RELAY_HEADER_SIZE + data.length)
}

/** The data are a view of `bytes`. Throws ERR_MALFORMED. */
export function readRelayMessage(bytes: Uint8Array): RelayMessage {
  const reader = new ByteReader(bytes, 'relay message')
  const command = reader.u8()
  if (command < RELAY_COMMANDS.extend || command > RELAY_COMMAND_MAX) throw reader.malformed('unknown command')
  const stream = reader.u16()
  if (stream !== 0 && !isWindowed(command as RelayCommand)) throw reader.malformed('stream on a circuit command')
  const data = reader.bytes16(bytes.length)
  return { command: command as RelayCommand, stream, data }
}

// --- making a circuit --------------------------------------------------------------------------

/**
 * Body of a create cell: hop u8 (1 to HOPS_MAX), handshake message 1,313, proof 13; the rest zero, as in
 * link messages. The hop tells the relay how long its part of a body is; the handshake vouches for it.
 */
export interface Create {
  readonly hop: number
  /** HANDSHAKE_MESSAGE_SIZE bytes. */
  readonly message: Uint8Array
  /** Work done for this handshake, once the relay has asked for it. SPEC circuits §7 */
  readonly proof?: PuzzleProof | undefined
}

/** effort u8, hour u32, nonce u64. An effort of 0 is none: so the zeros of a create without a proof read. */
export interface PuzzleProof {
  /** What the client says the nonce shows. */
  readonly effort: number
  readonly hour: number
  readonly nonce: number
}
const PROOF_SIZE = 13
const EFFORT_MAX = 32

/** CELL_BODY_SIZE bytes at most, as `makeCell` takes it. */
export function encodeCreate({ hop, message, proof }: Create): Uint8Array {
  return concatBytes(Uint8Array.of(hop), message, encodeProof(proof))
}

/** From a whole body: what follows the proof is ignored. Throws ERR_MALFORMED. */
export function decodeCreate(body: Uint8Array): Create {
  const reader = new ByteReader(body, 'create')
  return { hop: readHop(reader), message: reader.bytes(HANDSHAKE_MESSAGE_SIZE), proof: readProof(reader) }
}

function encodeProof(proof: PuzzleProof | undefined): Uint8Array {
  if (proof === undefined) return new Uint8Array(0)
  return new ByteWriter(PROOF_SIZE).u8(proof.effort).u32(proof.hour).u64(proof.nonce).done()
}

/** Undefined for an effort of 0, after which nothing is read. */
function readProof(reader: ByteReader): PuzzleProof | undefined {
  const effort = reader.u8()
  if (effort > EFFORT_MAX) throw reader.malformed('effort out of range')
  return effort === 0 ? undefined : { effort, hour: reader.u32(), nonce: reader.u64() }
}

/** Body of a created cell: handshake reply 1,152; the rest zero. */
export function encodeCreated(reply: Uint8Array): Uint8Array {
  assert(reply.length === HANDSHAKE_REPLY_SIZE, 'a handshake reply has its size')
  return reply
}

/** The handshake reply out of the body of a created cell, where it comes first. Throws ERR_MALFORMED. */
export function decodeCreated(body: Uint8Array): Uint8Array {
  return new ByteReader(body, 'created').bytes(HANDSHAKE_REPLY_SIZE)
}

/** Data of extend: relay id 32, hop u8 of the new relay, handshake message, proof if any. An id, never an address. */
export interface Extend extends Create {
  readonly relayId: NodeId
}

export function encodeExtend({ relayId, hop, message, proof }: Extend): Uint8Array {
  return concatBytes(relayId, Uint8Array.of(hop), message, encodeProof(proof))
}

/** Throws ERR_MALFORMED. */
export function decodeExtend(data: Uint8Array): Extend {
  const reader = new ByteReader(data, 'extend')
  const relayId = named32<'NodeId'>(reader.bytes(32), 'relay id')
  const hop = readHop(reader)
  const message = reader.bytes(HANDSHAKE_MESSAGE_SIZE)
  const isProven = reader.left > 0
  const proof = isProven ? readProof(reader) : undefined
  if (isProven && proof === undefined) throw reader.malformed('proof of nothing')
  reader.end()
  return { relayId, hop, message, proof }
}

/** Data of extended: the handshake reply and nothing else. */
export function encodeExtended(reply: Uint8Array): Uint8Array {
  return encodeCreated(reply)
}

/** The handshake reply, which is all the data of extended. Throws ERR_MALFORMED. */
export function decodeExtended(data: Uint8Array): Uint8Array {
  const reader = new ByteReader(data, 'extended')
  const reply = reader.bytes(HANDSHAKE_REPLY_SIZE)
  reader.end()
  return reply
}

// --- ends and acknowledgements -----------------------------------------------------------------

/** Why a circuit could not be extended. Append-only; an unknown number reads as `refused`. */
export const EXTEND_FAILURES = { refused: 1, unknownRelay: 2, unreachable: 3, busy: 4, puzzle: 5 } as const
export type ExtendFailure = (typeof EXTEND_FAILURES)[keyof typeof EXTEND_FAILURES]

/** Data of extendFailed: reason u8; for the reason `puzzle` also the effort in bits u8. */
export function encodeExtendFailed(reason: ExtendFailure, effort = 0): Uint8Array {
  return reason === EXTEND_FAILURES.puzzle ? Uint8Array.of(reason, effort) : Uint8Array.of(reason)
}

export function decodeExtendFailed(data: Uint8Array): ExtendFailure {
  const reader = new ByteReader(data, 'extendFailed')
  const reason = reader.u8()
  if (reason === EXTEND_FAILURES.puzzle) reader.u8()
  reader.end()
  return isKnown(EXTEND_FAILURES, reason) ? reason : EXTEND_FAILURES.refused
}

/** The effort that the new relay asks for, out of data that decodeExtendFailed reads as `puzzle`. */
export function effortOfExtendFailed(data: Uint8Array): number {
  return data[1] ?? 0
}

/** Why a circuit ended. Append-only; an unknown number reads as `finished`. */
export const DESTROY_REASONS = { finished: 1, failed: 2, full: 3, unreachable: 4, leaving: 5, puzzle: 6 } as const
export type DestroyReason = (typeof DESTROY_REASONS)[keyof typeof DESTROY_REASONS]

/** Body of a destroy cell: reason u8, for the reason `puzzle` the effort in bits u8; the rest zero. */
export function encodeDestroy(reason: DestroyReason, effort = 0): Uint8Array {
  return Uint8Array.of(reason, effort)
}

/** The effort that a create needs, when this destroy asks for one. Never throws: a whole body has it. */
export function effortAsked(body: Uint8Array): number | undefined {
  return body[0] === DESTROY_REASONS.puzzle ? body[1] : undefined
}

export function decodeDestroy(body: Uint8Array): DestroyReason {
  const reason = new ByteReader(body, 'destroy').u8()
  return isKnown(DESTROY_REASONS, reason) ? reason : DESTROY_REASONS.finished
}

/** Data of ack: the tag that the acknowledged cell had in the layer of the two ends. SPEC circuits §5 */
export function encodeAck(tag: Uint8Array): Uint8Array {
  assert(tag.length === SEAL_TAG_SIZE, 'a tag has its size')
  return tag
}

export function decodeAck(data: Uint8Array): Uint8Array {
  const reader = new ByteReader(data, 'ack')
  const tag = reader.bytes(SEAL_TAG_SIZE)
  reader.end()
  return tag
}

function readHop(reader: ByteReader): number {
  const hop = reader.u8()
  if (hop < 1 || hop > HOPS_MAX) throw reader.malformed('hop out of range')
  return hop
}

function isKnown<T extends Readonly<Record<string, number>>>(table: T, value: number): value is T[keyof T] {
  return Object.values(table).includes(value)
}
