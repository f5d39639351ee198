/**
 * What nodes say to each other over a link, and what a client and its gateway say over a circuit.
 * SPEC requests §2, §5. Numbers and layouts are append-only.
 *
 * A reference travels as its 34 bytes; what they mean is storage's affair. `range` is in leaves.
 */
import { ByteReader, ByteWriter, LEAF_COUNT, type MalformedError } from '../../core/index.ts'

export const REF_SIZE = 34
export const RID_SIZE = 8
export const NONCE_SIZE = 16
/** References one HAVE may ask after. */
export const HAVE_REFS_MAX = 1_024
/** References of which one PROVE may want proof: each costs the answerer a read of the whole content. */
export const PROVE_REFS_MAX = 16
/** Leases are whole days. */
export const LEASE_DAYS_MAX = 90

/** First byte of every link message. */
export const LINK_MESSAGE = {
  announce: 1,
  ringQuery: 10,
  ringState: 11,
  ringNotify: 12,
  ringLeave: 13,
  gossipDigests: 20,
  gossipSummaries: 21,
  gossipDescriptors: 22,
  rget: 30,
  rdata: 31,
  rnone: 32,
  rbusy: 33,
  rwait: 34,
  rput: 35,
  rstored: 36,
  rrenew: 37,
  rread: 38,
  copy: 40,
  copied: 41,
  have: 42,
  haves: 43,
  prove: 44,
  proved: 45,
  pointer: 46,
  pointed: 47,
  ledger: 50,
} as const

/** Why a request ended without data or a receipt. */
export const REFUSAL = { notFound: 0, full: 1, copies: 2, away: 3 } as const
export type Refusal = (typeof REFUSAL)[keyof typeof REFUSAL]

export interface LeafRange {
  readonly from: number
  readonly count: number
}
export const WHOLE: LeafRange = { from: 0, count: LEAF_COUNT }
export function isWhole(range: LeafRange): boolean {
  return range.count === LEAF_COUNT
}

export interface GetRequest {
  readonly ref: Uint8Array
  /** Members of the location's region to pass over. SPEC requests §8 */
  readonly skip: number
  /** On its way through the location's region, from the owner clockwise; never set by a client. SPEC requests §3 */
  readonly isPastOwner: boolean
  readonly range: LeafRange
}
export interface PutRequest {
  readonly ref: Uint8Array
  readonly leaseDays: number
  /** Chosen by the client, repeated in the receipt: a receipt cannot be replayed. */
  readonly nonce: Uint8Array
  readonly bytes: Uint8Array
}
/** Prolongs what is held; never brings bytes. */
export interface RenewRequest {
  readonly ref: Uint8Array
  readonly leaseDays: number
  /** As of a put. */
  readonly nonce: Uint8Array
}
export interface Receipt {
  readonly leaseEndMs: number
  readonly nonce: Uint8Array
  readonly keeper: Uint8Array
  readonly signature: Uint8Array
}
/** How a request ended, the same on links and circuits. */
export type Outcome =
  | { readonly end: 'data'; readonly leaves: Uint8Array; readonly proof: Uint8Array }
  | { readonly end: 'stored'; readonly receipt: Receipt }
  | { readonly end: 'none'; readonly reason: Refusal }
  | { readonly end: 'busy' }
/** On a circuit a put may also be taken without a receipt. SPEC requests §10 */
export type CircuitOutcome = Outcome | { readonly end: 'handed' }
/** How long, on the average, a gateway keeps a put back. Numbers on the wire, append-only. */
export const HOLDS = { minutes: 1, long: 2 } as const
export type Hold = keyof typeof HOLDS

// --- the parts -----------------------------------------------------------------------------------

// get: ref 34, skip u8 (highest bit: past the owner), from u8, count u8
const PAST_OWNER = 0x80
function writeGet(w: ByteWriter, get: GetRequest): ByteWriter {
  return w
    .bytes(get.ref)
    .u8(get.skip | (get.isPastOwner ? PAST_OWNER : 0))
    .u8(get.range.from)
    .u8(get.range.count)
}
const SKIP_MAX = 8
function readGet(r: ByteReader): GetRequest {
  const ref = r.bytes(REF_SIZE)
  const skips = r.u8()
  const range = { from: r.u8(), count: r.u8() }
  const get = { ref, skip: skips & ~PAST_OWNER, isPastOwner: (skips & PAST_OWNER) !== 0, range }
  r.end()
  const { from, count } = get.range
  if (count < 1 || from + count > LEAF_COUNT) throw r.malformed('leaves out of range')
  if (get.skip > SKIP_MAX) throw r.malformed('skips too many')
  return get
}

// put: ref 34, lease days u8, nonce 16, bytes to the end
function writePut(w: ByteWriter, put: PutRequest): ByteWriter {
  return w.bytes(put.ref).u8(put.leaseDays).bytes(put.nonce).bytes(put.bytes)
}
function readPut(r: ByteReader): PutRequest {
  const put = { ref: r.bytes(REF_SIZE), leaseDays: r.u8(), nonce: r.bytes(NONCE_SIZE), bytes: r.rest() }
  if (put.leaseDays < 1 || put.leaseDays > LEASE_DAYS_MAX) throw r.malformed('lease out of range')
  return put
}

// renew: ref 34, lease days u8, nonce 16
function writeRenew(w: ByteWriter, renew: RenewRequest): ByteWriter {
  return w.bytes(renew.ref).u8(renew.leaseDays).bytes(renew.nonce)
}
function readRenew(r: ByteReader): RenewRequest {
  const renew = { ref: r.bytes(REF_SIZE), leaseDays: r.u8(), nonce: r.bytes(NONCE_SIZE) }
  r.end()
  if (renew.leaseDays < 1 || renew.leaseDays > LEASE_DAYS_MAX) throw r.malformed('lease out of range')
  return renew
}

// data: proof length u16, proof, leaves to the end
// receipt: lease end u64 (Unix ms), nonce 16, keeper 32, signature 64
function writeOutcome(w: ByteWriter, outcome: Exclude<Outcome, { end: 'busy' }>): ByteWriter {
  if (outcome.end === 'none') return w.u8(outcome.reason)
  if (outcome.end === 'data') return w.bytes16(outcome.proof).bytes(outcome.leaves)
  const { leaseEndMs, nonce, keeper, signature } = outcome.receipt
  return w.u64(leaseEndMs).bytes(nonce).bytes(keeper).bytes(signature)
}
const PROOF_SIZE_MAX = 32 * 8
function readData(r: ByteReader): Outcome {
  return { end: 'data', proof: r.bytes16(PROOF_SIZE_MAX), leaves: r.rest() }
}
function readStored(r: ByteReader): Outcome {
  const receipt = { leaseEndMs: r.u64(), nonce: r.bytes(NONCE_SIZE), keeper: r.bytes(32), signature: r.bytes(64) }
  r.end()
  return { end: 'stored', receipt }
}
function readNone(r: ByteReader): Outcome {
  const reason = r.u8()
  r.end()
  if (reason > REFUSAL.away) throw r.malformed('unknown refusal')
  return { end: 'none', reason: reason as Refusal }
}

/** A small message, or one with room for `contentSize` bytes besides: memory is zeroed, so what is not needed costs. */
function writer(type: number, contentSize = 0): ByteWriter {
  return new ByteWriter(512 + contentSize).u8(type)
}

// --- between nodes: type u8, rid 8, part ---------------------------------------------------------

/** What a request is called on one link: 8 fresh random bytes, never the same on two links. */
export type Rid = Uint8Array

export type RingRequestMessage =
  | { readonly kind: 'rget'; readonly rid: Rid; readonly get: GetRequest }
  | { readonly kind: 'rput'; readonly rid: Rid; readonly put: PutRequest }
  | { readonly kind: 'rrenew'; readonly rid: Rid; readonly renew: RenewRequest }
  | { readonly kind: 'outcome'; readonly rid: Rid; readonly outcome: Outcome }
  | { readonly kind: 'rwait'; readonly rid: Rid }

export function encodeRingGet(rid: Rid, get: GetRequest): Uint8Array {
  return writeGet(writer(LINK_MESSAGE.rget).bytes(rid), get).done()
}
export function encodeRingPut(rid: Rid, put: PutRequest): Uint8Array {
  return writePut(writer(LINK_MESSAGE.rput, put.bytes.length).bytes(rid), put).done()
}
export function encodeRingRenew(rid: Rid, renew: RenewRequest): Uint8Array {
  return writeRenew(writer(LINK_MESSAGE.rrenew).bytes(rid), renew).done()
}
export function encodeRingWait(rid: Rid): Uint8Array {
  return writer(LINK_MESSAGE.rwait).bytes(rid).done()
}
export function encodeRingOutcome(rid: Rid, outcome: Outcome): Uint8Array {
  switch (outcome.end) {
    case 'busy':
      return writer(LINK_MESSAGE.rbusy).bytes(rid).done()
    case 'none':
      return writeOutcome(writer(LINK_MESSAGE.rnone).bytes(rid), outcome).done()
    case 'stored':
      return writeOutcome(writer(LINK_MESSAGE.rstored).bytes(rid), outcome).done()
    case 'data':
      return writeOutcome(writer(LINK_MESSAGE.rdata, outcome.leaves.length).bytes(rid), outcome).done()
  }
}

/** Undefined when the message is of no kind known here. Throws MalformedError. */
export function decodeRingRequest(message: Uint8Array): RingRequestMessage | undefined {
  const r = new ByteReader(message, 'ring request')
  const type = r.u8()
  if (type < LINK_MESSAGE.rget || type > LINK_MESSAGE.rrenew) return undefined
  const rid = r.bytes(RID_SIZE)
  switch (type) {
    case LINK_MESSAGE.rget:
      return { kind: 'rget', rid, get: readGet(r) }
    case LINK_MESSAGE.rput:
      return { kind: 'rput', rid, put: readPut(r) }
    case LINK_MESSAGE.rrenew:
      return { kind: 'rrenew', rid, renew: readRenew(r) }
    case LINK_MESSAGE.rdata:
      return { kind: 'outcome', rid, outcome: readData(r) }
    case LINK_MESSAGE.rstored:
      return { kind: 'outcome', rid, outcome: readStored(r) }
    case LINK_MESSAGE.rnone:
      return { kind: 'outcome', rid, outcome: readNone(r) }
    case LINK_MESSAGE.rbusy:
      r.end()
      return { kind: 'outcome', rid, outcome: { end: 'busy' } }
    default:
      r.end()
      return { kind: 'rwait', rid }
  }
}

// --- between client and gateway, on a stream of a circuit: type u8, part --------------------------

const CIRCUIT_REQUEST = {
  get: 1,
  put: 2,
  data: 3,
  stored: 4,
  none: 5,
  busy: 6,
  renew: 7,
  // 8 to 11 are those of lines: vault-messages.ts
  heldPut: 12,
  handed: 13,
} as const

export type CircuitRequest =
  | { readonly kind: 'get'; readonly get: GetRequest }
  | { readonly kind: 'put'; readonly put: PutRequest; readonly hold?: Hold }
  | { readonly kind: 'renew'; readonly renew: RenewRequest }

export function encodeCircuitRequest(request: CircuitRequest): Uint8Array {
  if (request.kind === 'renew') return writeRenew(writer(CIRCUIT_REQUEST.renew), request.renew).done()
  if (request.kind === 'get') return writeGet(writer(CIRCUIT_REQUEST.get), request.get).done()
  const { put, hold } = request
  if (hold === undefined) return writePut(writer(CIRCUIT_REQUEST.put, put.bytes.length), put).done()
  // heldPut: hold u8, put
  return writePut(writer(CIRCUIT_REQUEST.heldPut, put.bytes.length).u8(HOLDS[hold]), put).done()
}

/** Throws MalformedError. */
export function decodeCircuitRequest(message: Uint8Array): CircuitRequest {
  const r = new ByteReader(message, 'circuit request')
  const type = r.u8()
  if (type === CIRCUIT_REQUEST.get) return { kind: 'get', get: readGet(r) }
  if (type === CIRCUIT_REQUEST.put) return { kind: 'put', put: readPut(r) }
  if (type === CIRCUIT_REQUEST.renew) return { kind: 'renew', renew: readRenew(r) }
  if (type !== CIRCUIT_REQUEST.heldPut) throw r.malformed('unknown request')
  const hold = holdOf(r.u8())
  if (hold === undefined) throw r.malformed('unknown hold')
  return { kind: 'put', hold, put: readPut(r) }
}

function holdOf(number: number): Hold | undefined {
  return number === HOLDS.minutes ? 'minutes' : number === HOLDS.long ? 'long' : undefined
}

export function encodeCircuitOutcome(outcome: CircuitOutcome): Uint8Array {
  switch (outcome.end) {
    case 'busy':
      return writer(CIRCUIT_REQUEST.busy).done()
    case 'handed':
      return writer(CIRCUIT_REQUEST.handed).done()
    case 'none':
      return writeOutcome(writer(CIRCUIT_REQUEST.none), outcome).done()
    case 'stored':
      return writeOutcome(writer(CIRCUIT_REQUEST.stored), outcome).done()
    case 'data':
      return writeOutcome(writer(CIRCUIT_REQUEST.data, outcome.leaves.length), outcome).done()
  }
}

/** Throws MalformedError. */
export function decodeCircuitOutcome(message: Uint8Array): CircuitOutcome {
  const r = new ByteReader(message, 'circuit answer')
  switch (r.u8()) {
    case CIRCUIT_REQUEST.data:
      return readData(r)
    case CIRCUIT_REQUEST.stored:
      return readStored(r)
    case CIRCUIT_REQUEST.none:
      return readNone(r)
    case CIRCUIT_REQUEST.busy:
      r.end()
      return { end: 'busy' }
    case CIRCUIT_REQUEST.handed:
      r.end()
      return { end: 'handed' }
    default:
      throw r.malformed('unknown answer') satisfies MalformedError
  }
}

// --- calls between neighbours: type u8, tag u32, part ---------------------------------------------

/** Calls and their answers carry a tag, chosen by the caller, unique on its link for the while. */
export type Call =
  | { readonly kind: 'ringQuery'; readonly tag: number }
  | {
      readonly kind: 'ringState'
      readonly tag: number
      /** False: the answerer has not joined, or leaves; the rest is empty then. */
      readonly isMember: boolean
      readonly predecessor: Uint8Array | undefined
      readonly successors: readonly Uint8Array[]
      /** Encoded descriptors of those named, where the answerer has them. */
      readonly descriptors: readonly Uint8Array[]
    }
  | {
      readonly kind: 'copy'
      readonly tag: number
      readonly ref: Uint8Array
      readonly leaseEndMs: number
      readonly bytes: Uint8Array
    }
  | { readonly kind: 'copied'; readonly tag: number; readonly result: number }
  | { readonly kind: 'have'; readonly tag: number; readonly refs: readonly Uint8Array[] }
  /** One byte for each reference asked after: HELD. */
  | { readonly kind: 'haves'; readonly tag: number; readonly held: Uint8Array }
  /** Prove that you hold each, and prolong its lease up to the end named. */
  | {
      readonly kind: 'prove'
      readonly tag: number
      readonly nonce: Uint8Array
      readonly wanted: readonly { readonly ref: Uint8Array; readonly leaseEndMs: number }[]
    }
  /** For a member that is to answer for the contents as well: 1 to POINTERS_MAX of them. */
  | { readonly kind: 'pointer'; readonly tag: number; readonly pointers: readonly ToldPointer[] }
  /** One byte for each pointer: COPY_RESULT. */
  | { readonly kind: 'pointed'; readonly tag: number; readonly results: Uint8Array }
  /** 32 bytes for each reference: what only who has the bytes can work out; zeros when it is not held. */
  | { readonly kind: 'proved'; readonly tag: number; readonly proofs: readonly Uint8Array[] }

/** Where a content lies. What a place means is storage's affair. */
export interface ToldPointer {
  readonly ref: Uint8Array
  readonly leaseEndMs: number
  readonly leafHashes: Uint8Array
  readonly places: readonly Uint8Array[]
}

/** Also of POINTED. */
export const COPY_RESULT = { stored: 0, full: 1, refused: 2 } as const
/** What HAVES says of a content: not held under a lease, its bytes are, a pointer to it is. */
export const HELD = { not: 0, bytes: 1, pointer: 2 } as const
const LEAF_HASHES_SIZE = 32 * LEAF_COUNT
const PLACE_SIZE = 128
/** Without its places. */
const POINTER_SIZE = REF_SIZE + 8 + LEAF_HASHES_SIZE + 1
const PLACES_MAX = 4
/** Of one message. 32 with 4 places each take 35 KiB. */
export const POINTERS_MAX = 32
const RING_LIST_MAX = 32
const DESCRIPTOR_SIZE_MAX = 1_024

export function encodeCall(call: Call): Uint8Array {
  const w = writer(LINK_MESSAGE[call.kind], roomFor(call))
  w.u32(call.tag)
  switch (call.kind) {
    case 'ringQuery':
      break
    case 'ringState':
      w.u8(call.isMember ? 1 : 0).u8(call.predecessor === undefined ? 0 : 1)
      if (call.predecessor !== undefined) w.bytes(call.predecessor)
      w.u8(call.successors.length)
      for (const id of call.successors) w.bytes(id)
      w.u8(call.descriptors.length)
      for (const descriptor of call.descriptors) w.bytes16(descriptor)
      break
    case 'copy':
      w.bytes(call.ref).u64(call.leaseEndMs).bytes(call.bytes)
      break
    case 'copied':
      w.u8(call.result)
      break
    case 'pointed':
      w.u8(call.results.length).bytes(call.results)
      break
    case 'pointer':
      w.u8(call.pointers.length)
      for (const { ref, leaseEndMs, leafHashes, places } of call.pointers) {
        w.bytes(ref).u64(leaseEndMs).bytes(leafHashes).u8(places.length)
        for (const place of places) w.bytes(place)
      }
      break
    case 'have':
      w.u16(call.refs.length)
      for (const ref of call.refs) w.bytes(ref)
      break
    case 'haves':
      w.bytes16(call.held)
      break
    case 'prove':
      w.bytes(call.nonce).u8(call.wanted.length)
      for (const { ref, leaseEndMs } of call.wanted) w.bytes(ref).u64(leaseEndMs)
      break
    case 'proved':
      w.u8(call.proofs.length)
      for (const proof of call.proofs) w.bytes(proof)
      break
  }
  return w.done()
}

/** Bytes that a call takes besides those of a small message. */
function roomFor(call: Call): number {
  switch (call.kind) {
    case 'ringQuery':
    case 'copied':
      return 0
    case 'pointed':
      return call.results.length
    case 'pointer':
      return call.pointers.reduce((sum, { places }) => sum + POINTER_SIZE + places.length * PLACE_SIZE, 0)
    case 'ringState':
      return call.descriptors.reduce((sum, { length }) => sum + 2 + length, call.successors.length * 32)
    case 'copy':
      return call.bytes.length
    case 'have':
      return call.refs.length * REF_SIZE
    case 'haves':
      return call.held.length
    case 'prove':
      return call.wanted.length * (REF_SIZE + 8)
    case 'proved':
      return call.proofs.length * 32
  }
}

/** Undefined when the message is of no kind known here. Throws MalformedError. */
export function decodeCall(message: Uint8Array): Call | undefined {
  const r = new ByteReader(message, 'call')
  const type = r.u8()
  switch (type) {
    case LINK_MESSAGE.ringQuery: {
      const tag = r.u32()
      r.end()
      return { kind: 'ringQuery', tag }
    }
    case LINK_MESSAGE.ringState: {
      const tag = r.u32()
      const isMember = r.u8() === 1
      const predecessor = r.u8() === 0 ? undefined : r.bytes(32)
      const successors = readList(r, { countMax: RING_LIST_MAX, read: () => r.bytes(32) })
      const descriptors = readList(r, { countMax: RING_LIST_MAX + 2, read: () => r.bytes16(DESCRIPTOR_SIZE_MAX) })
      r.end()
      return { kind: 'ringState', tag, isMember, predecessor, successors, descriptors }
    }
    case LINK_MESSAGE.copy:
      return { kind: 'copy', tag: r.u32(), ref: r.bytes(REF_SIZE), leaseEndMs: r.u64(), bytes: r.rest() }
    case LINK_MESSAGE.copied: {
      const copied = { kind: 'copied', tag: r.u32(), result: r.u8() } as const
      r.end()
      return copied
    }
    case LINK_MESSAGE.have: {
      const tag = r.u32()
      const count = r.u16()
      if (count > HAVE_REFS_MAX) throw r.malformed('asks after too many')
      const refs = Array.from({ length: count }, () => r.bytes(REF_SIZE))
      r.end()
      return { kind: 'have', tag, refs }
    }
    case LINK_MESSAGE.haves: {
      const tag = r.u32()
      const held = r.bytes16(HAVE_REFS_MAX)
      r.end()
      return { kind: 'haves', tag, held }
    }
    case LINK_MESSAGE.prove: {
      const [tag, nonce] = [r.u32(), r.bytes(NONCE_SIZE)]
      const read = () => ({ ref: r.bytes(REF_SIZE), leaseEndMs: r.u64() })
      const wanted = readList(r, { countMax: PROVE_REFS_MAX, read })
      r.end()
      return { kind: 'prove', tag, nonce, wanted }
    }
    case LINK_MESSAGE.proved: {
      const tag = r.u32()
      const proofs = readList(r, { countMax: PROVE_REFS_MAX, read: () => r.bytes(32) })
      r.end()
      return { kind: 'proved', tag, proofs }
    }
    case LINK_MESSAGE.pointer: {
      const tag = r.u32()
      const pointers = readList(r, { countMax: POINTERS_MAX, read: () => readPointer(r) })
      r.end()
      if (pointers.length === 0) throw r.malformed('no pointers')
      return { kind: 'pointer', tag, pointers }
    }
    case LINK_MESSAGE.pointed: {
      const [tag, count] = [r.u32(), r.u8()]
      if (count > POINTERS_MAX) throw r.malformed('too many results')
      const results = r.bytes(count)
      r.end()
      return { kind: 'pointed', tag, results }
    }
    default:
      return undefined
  }
}

function readPointer(r: ByteReader): ToldPointer {
  const [ref, leaseEndMs, leafHashes] = [r.bytes(REF_SIZE), r.u64(), r.bytes(LEAF_HASHES_SIZE)]
  const places = readList(r, { countMax: PLACES_MAX, read: () => r.bytes(PLACE_SIZE) })
  if (places.length === 0) throw r.malformed('no places')
  return { ref, leaseEndMs, leafHashes, places }
}

function readList<T>(r: ByteReader, list: { countMax: number; read: () => T }): T[] {
  const count = r.u8()
  if (count > list.countMax) throw r.malformed('list too long')
  return Array.from({ length: count }, list.read)
}

// --- plain words: type u8, part -------------------------------------------------------------------

export type Notice = 'ringNotify' | 'ringLeave'
export function encodeNotice(notice: Notice): Uint8Array {
  return Uint8Array.of(LINK_MESSAGE[notice])
}
export function encodeAnnounce(descriptor: Uint8Array): Uint8Array {
  return new ByteWriter(1 + descriptor.length).u8(LINK_MESSAGE.announce).bytes(descriptor).done()
}
