/**
 * What a vault and a keeper say over a line, and how a keeper asks for what lies behind another keeper's line.
 * SPEC vaults §2, §3, §4. Numbers and layouts are append-only. Times are Unix milliseconds.
 */
import { ByteReader, ByteWriter, LEAF_COUNT, SHARD_SIZE } from '../../core/index.ts'
import {
  decodeCircuitOutcome,
  encodeCircuitOutcome,
  type LeafRange,
  LINK_MESSAGE,
  REFUSAL,
  RID_SIZE,
} from './messages.ts'

/** First byte on a stream; the numbers of requests §5 go on with 8 to 11. */
const LINE = { attach: 8, attached: 9, leave: 10, left: 11 } as const
const ASKED = { keep: 64, read: 65, drop: 66, kept: 67, full: 68 } as const

// --- a vault to its keeper: type u8, part ---------------------------------------------------------

export type LineRequest =
  | {
      readonly kind: 'attach'
      /** 32 bytes each. */
      readonly line: Uint8Array
      readonly point: Uint8Array
      /** 64 bytes. */
      readonly signature: Uint8Array
    }
  | { readonly kind: 'leave' }

/** `refused`: NONE, or BUSY as any gateway may say. */
export type LineAnswer =
  | { readonly kind: 'attached'; readonly slots: number }
  | { readonly kind: 'left'; readonly left: number }
  | { readonly kind: 'refused' }

export function encodeLineRequest(request: LineRequest): Uint8Array {
  if (request.kind === 'leave') return Uint8Array.of(LINE.leave)
  const { line, point, signature } = request
  return new ByteWriter(129).u8(LINE.attach).bytes(line).bytes(point).bytes(signature).done()
}

/** Undefined for another kind of request. Throws MalformedError. */
export function decodeLineRequest(message: Uint8Array): LineRequest | undefined {
  const r = new ByteReader(message, 'line request')
  const type = r.u8()
  if (type !== LINE.attach && type !== LINE.leave) return undefined
  const request: LineRequest =
    type === LINE.leave
      ? { kind: 'leave' }
      : { kind: 'attach', line: r.bytes(32), point: r.bytes(32), signature: r.bytes(64) }
  r.end()
  return request
}

export function encodeLineAnswer(answer: LineAnswer): Uint8Array {
  if (answer.kind === 'refused') return encodeCircuitOutcome({ end: 'none', reason: REFUSAL.notFound })
  if (answer.kind === 'left') return new ByteWriter(5).u8(LINE.left).u32(answer.left).done()
  return new ByteWriter(5).u8(LINE.attached).u32(answer.slots).done()
}

/** Throws MalformedError. */
export function decodeLineAnswer(message: Uint8Array): LineAnswer {
  const r = new ByteReader(message, 'line answer')
  const type = r.u8()
  if (type === LINE.attached || type === LINE.left) {
    const count = r.u32()
    r.end()
    return type === LINE.attached ? { kind: 'attached', slots: count } : { kind: 'left', left: count }
  }
  const { end } = decodeCircuitOutcome(message)
  if (end !== 'none' && end !== 'busy') throw r.malformed('an answer to something else')
  return { kind: 'refused' }
}

// --- a keeper to a vault: type u8, part -----------------------------------------------------------

export type VaultRequest =
  | {
      readonly kind: 'keep'
      readonly leaseEndMs: number
      /** 32 bytes. */
      readonly dropHash: Uint8Array
      /** SHARD_SIZE bytes. */
      readonly bytes: Uint8Array
    }
  /** `leaseEndMs` 0: as it is. */
  | { readonly kind: 'read'; readonly root: Uint8Array; readonly leaseEndMs: number; readonly range: LeafRange }
  | { readonly kind: 'drop'; readonly root: Uint8Array; readonly secret: Uint8Array }

export type VaultAnswer =
  | { readonly kind: 'kept' }
  | { readonly kind: 'full' }
  | { readonly kind: 'data'; readonly leaves: Uint8Array; readonly proof: Uint8Array }
  | { readonly kind: 'none' }

export function encodeVaultRequest(request: VaultRequest): Uint8Array {
  switch (request.kind) {
    case 'keep': {
      const w = new ByteWriter(41 + SHARD_SIZE).u8(ASKED.keep).u64(request.leaseEndMs)
      return w.bytes(request.dropHash).bytes(request.bytes).done()
    }
    case 'read':
      return writeRead(new ByteWriter(43).u8(ASKED.read), request).done()
    case 'drop':
      return new ByteWriter(65).u8(ASKED.drop).bytes(request.root).bytes(request.secret).done()
  }
}

/** Throws MalformedError. */
export function decodeVaultRequest(message: Uint8Array): VaultRequest {
  const r = new ByteReader(message, 'request to a vault')
  switch (r.u8()) {
    case ASKED.keep: {
      const keep = { kind: 'keep', leaseEndMs: r.u64(), dropHash: r.bytes(32), bytes: r.bytes(SHARD_SIZE) } as const
      r.end()
      return keep
    }
    case ASKED.read: {
      const { root, leaseEndMs, range } = readRead(r)
      return { kind: 'read', root, leaseEndMs, range }
    }
    case ASKED.drop: {
      const drop = { kind: 'drop', root: r.bytes(32), secret: r.bytes(32) } as const
      r.end()
      return drop
    }
    default:
      throw r.malformed('unknown request')
  }
}

export function encodeVaultAnswer(answer: VaultAnswer): Uint8Array {
  if (answer.kind === 'data') return encodeCircuitOutcome({ end: 'data', leaves: answer.leaves, proof: answer.proof })
  if (answer.kind === 'none') return encodeCircuitOutcome({ end: 'none', reason: REFUSAL.notFound })
  return Uint8Array.of(ASKED[answer.kind])
}

/** Throws MalformedError. Whether data are what was asked for is the asker's to check. */
export function decodeVaultAnswer(message: Uint8Array): VaultAnswer {
  const r = new ByteReader(message, 'answer of a vault')
  const type = r.u8()
  if (type === ASKED.kept || type === ASKED.full) {
    r.end()
    return { kind: type === ASKED.kept ? 'kept' : 'full' }
  }
  const outcome = decodeCircuitOutcome(message)
  if (outcome.end === 'data') return { kind: 'data', leaves: outcome.leaves, proof: outcome.proof }
  if (outcome.end === 'none') return { kind: 'none' }
  throw r.malformed('an answer to something else')
}

// --- between keepers: RREAD, type u8, rid 8, part; answered with RDATA, RNONE, RBUSY, RWAIT -----------

/** A read at the keeper that has the line. */
export interface RemoteRead {
  readonly point: Uint8Array
  readonly line: Uint8Array
  readonly root: Uint8Array
  /** 0: the lease stays as it is. */
  readonly leaseEndMs: number
  readonly range: LeafRange
  /** As of a get. SPEC requests §3 */
  readonly isPastOwner: boolean
}
const PAST_OWNER = 0x80

export function encodeRemoteRead(rid: Uint8Array, read: RemoteRead): Uint8Array {
  const w = new ByteWriter(115).u8(LINK_MESSAGE.rread).bytes(rid).bytes(read.point).bytes(read.line)
  return writeRead(w, read).done()
}

/** Undefined for another kind of message. Throws MalformedError. */
export function decodeRemoteRead(message: Uint8Array): { rid: Uint8Array; read: RemoteRead } | undefined {
  const r = new ByteReader(message, 'remote read')
  if (r.u8() !== LINK_MESSAGE.rread) return undefined
  const rid = r.bytes(RID_SIZE)
  const [point, line] = [r.bytes(32), r.bytes(32)]
  return { rid, read: { point, line, ...readRead(r, { mayBePastOwner: true }) } }
}

// read: root 32, lease end u64, from u8 (of RREAD with the highest bit: past the owner), count u8
function writeRead(
  w: ByteWriter,
  read: { root: Uint8Array; leaseEndMs: number; range: LeafRange; isPastOwner?: boolean },
): ByteWriter {
  const mark = read.isPastOwner === true ? PAST_OWNER : 0
  return w
    .bytes(read.root)
    .u64(read.leaseEndMs)
    .u8(read.range.from | mark)
    .u8(read.range.count)
}
function readRead(
  r: ByteReader,
  options?: { mayBePastOwner: boolean },
): { root: Uint8Array; leaseEndMs: number; range: LeafRange; isPastOwner: boolean } {
  const [root, leaseEndMs, first, count] = [r.bytes(32), r.u64(), r.u8(), r.u8()]
  r.end()
  const isPastOwner = options?.mayBePastOwner === true && (first & PAST_OWNER) !== 0
  const from = isPastOwner ? first & ~PAST_OWNER : first
  if (count < 1 || from + count > LEAF_COUNT) throw r.malformed('leaves out of range')
  return { root, leaseEndMs, range: { from, count }, isPastOwner }
}
