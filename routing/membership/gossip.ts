/**
 * Anti-entropy: two nodes compare their views in 256 arcs and exchange what differs. Pure; the caller
 * sends the messages and verifies every descriptor before it is admitted. SPEC membership §3
 *
 *   A -> B  digests     one of 8 bytes for each arc
 *   B -> A  summaries   id and time of every descriptor in the arcs that differ
 *   A -> B  exchange    the ids A wants, the descriptors A gives
 *   B -> A  exchange    the descriptors that A wanted
 *
 * Every message fits MESSAGE_SIZE_MAX. What does not fit waits for the next round.
 */
import {
  ByteReader,
  ByteWriter,
  concatBytes,
  equalBytes,
  keyOf,
  MESSAGE_SIZE_MAX,
  type NodeId,
  named32,
} from '../../core/index.ts'
import { LABELS, tagged } from '../../crypto/index.ts'
import { DESCRIPTOR_SIZE_MAX, type Descriptor, decodeDescriptor, encodeDescriptor } from './descriptor.ts'
import { ARC_COUNT, type View } from './view.ts'

/** The envelope that a link puts around a message stays below this. */
const ENVELOPE_SIZE_MAX = 64
const SIZE_MAX = MESSAGE_SIZE_MAX - ENVELOPE_SIZE_MAX
const DIGEST_SIZE = 8
const SUMMARY_SIZE = 40
const SUMMARIES_HEADER_SIZE = ARC_COUNT / 8 + 2
export const SUMMARIES_MAX = Math.floor((SIZE_MAX - SUMMARIES_HEADER_SIZE) / SUMMARY_SIZE)
/** Wanted ids of one exchange; about as many descriptors as one answer holds. */
export const WANTED_MAX = 256
const EXCHANGE_HEADER_SIZE = 4

export interface Summary {
  readonly id: NodeId
  readonly issuedMs: number
}

export interface Summaries {
  /** By arc: whether everything the sender has in it is listed here. */
  readonly isWhole: readonly boolean[]
  readonly entries: readonly Summary[]
}

export interface Exchange {
  readonly want: readonly NodeId[]
  readonly give: readonly Descriptor[]
}

/**
 * 256 digests of 8 bytes, one after the other: what the view holds now, leavers included. Not to be
 * changed: the same bytes are given out until the view changes.
 */
export function arcDigests(view: View, nowMs: number): Uint8Array {
  view.expire(nowMs)
  const known = OF_VIEW.get(view) ?? NOTHING_KNOWN
  if (known.version === view.version) return known.digests
  // An arc's list is the same object until the arc changes, and most versions change one arc or none.
  const lists = Array.from({ length: ARC_COUNT }, (_, arc) => view.arc(arc))
  let { digests } = known
  for (let arc = 0; arc < ARC_COUNT; arc++) {
    const list = lists[arc] as readonly Descriptor[]
    if (list === known.lists[arc]) continue
    if (digests === known.digests) digests = digests.slice()
    digests.set(digestOf(list), arc * DIGEST_SIZE)
  }
  OF_VIEW.set(view, { version: view.version, lists, digests })
  return digests
}

interface Digested {
  readonly version: number
  readonly lists: readonly (readonly Descriptor[])[]
  readonly digests: Uint8Array
}
const NOTHING_KNOWN: Digested = { version: -1, lists: [], digests: new Uint8Array(ARC_COUNT * DIGEST_SIZE) }
const OF_VIEW = new WeakMap<View, Digested>()

/** The arcs in which our view and the digests of another differ. */
export function differingArcs(view: View, digests: Uint8Array, nowMs: number): readonly number[] {
  const own = arcDigests(view, nowMs)
  const arcs: number[] = []
  if (equalBytes(own, digests)) return arcs
  for (let arc = 0; arc < ARC_COUNT; arc++) {
    const [from, to] = [arc * DIGEST_SIZE, (arc + 1) * DIGEST_SIZE]
    if (!equalBytes(own.subarray(from, to), digests.subarray(from, to))) arcs.push(arc)
  }
  return arcs
}

/**
 * What we hold in those arcs, as much as fits one message, beginning with arc `fromArc` and going
 * around: the caller draws it, so that every arc has its turn. The arc at which the room ends is
 * listed in part, and said to be.
 */
export function summariesFor(view: View, arcs: readonly number[], fromArc: number): Summaries {
  const isWhole = new Array<boolean>(ARC_COUNT).fill(false)
  const entries: Summary[] = []
  const turned = [...arcs.filter((arc) => arc >= fromArc), ...arcs.filter((arc) => arc < fromArc)]
  for (const arc of turned) {
    const list = view.arc(arc)
    const room = SUMMARIES_MAX - entries.length
    isWhole[arc] = list.length <= room
    for (const { id, issuedMs } of list.slice(0, room)) entries.push({ id, issuedMs })
  }
  return { isWhole, entries }
}

/** What to ask of the other and what to give it, as much as one message holds. */
export function missing(view: View, summaries: Summaries, nowMs: number): Exchange {
  view.expire(nowMs)
  const want: NodeId[] = []
  const give: Descriptor[] = []
  const listed = new Set<string>()
  for (const { id, issuedMs } of summaries.entries) {
    listed.add(keyOf(id))
    const own = view.get(id)
    if (own === undefined || own.issuedMs < issuedMs) {
      if (want.length < WANTED_MAX) want.push(id)
    } else if (own.issuedMs > issuedMs) give.push(own)
  }
  for (let arc = 0; arc < ARC_COUNT; arc++) {
    if (!summaries.isWhole[arc]) continue
    for (const descriptor of view.arc(arc)) if (!listed.has(keyOf(descriptor.id))) give.push(descriptor)
  }
  return { want, give: fitting(give, SIZE_MAX - EXCHANGE_HEADER_SIZE - want.length * 32) }
}

/** The answer to an exchange: what was wanted of it, as much as one message holds. */
export function wantedFrom(view: View, want: readonly NodeId[], nowMs: number): Exchange {
  view.expire(nowMs)
  const give = want.map((id) => view.get(id)).filter((descriptor) => descriptor !== undefined)
  return { want: [], give: fitting(give, SIZE_MAX - EXCHANGE_HEADER_SIZE) }
}

/** Digests are sent as they are. Throws ERR_MALFORMED for any other length. */
export function decodeDigests(bytes: Uint8Array): Uint8Array {
  const reader = new ByteReader(bytes, 'digests')
  const digests = reader.bytes(ARC_COUNT * DIGEST_SIZE)
  reader.end()
  return digests
}

/** Layout: 32 bytes of bits, arc 0 the highest of the first; count u16; each: id 32, issued u64. */
export function encodeSummaries(summaries: Summaries): Uint8Array {
  const bits = new Uint8Array(ARC_COUNT / 8)
  for (let arc = 0; arc < ARC_COUNT; arc++) {
    if (summaries.isWhole[arc]) bits[arc >>> 3] = (bits[arc >>> 3] as number) | (0x80 >>> (arc & 7))
  }
  const size = SUMMARIES_HEADER_SIZE + summaries.entries.length * SUMMARY_SIZE
  const writer = new ByteWriter(size).bytes(bits).u16(summaries.entries.length)
  for (const { id, issuedMs } of summaries.entries) writer.bytes(id).u64(issuedMs)
  return writer.done()
}

export function decodeSummaries(bytes: Uint8Array): Summaries {
  const reader = new ByteReader(bytes, 'summaries')
  const bits = reader.bytes(ARC_COUNT / 8)
  const count = reader.u16()
  if (count > SUMMARIES_MAX) throw reader.malformed('too many')
  const isWhole = Array.from(
    { length: ARC_COUNT },
    (_, arc) => ((bits[arc >>> 3] as number) & (0x80 >>> (arc & 7))) !== 0,
  )
  const entries = Array.from({ length: count }, () => ({ id: readId(reader), issuedMs: reader.u64() }))
  reader.end()
  return { isWhole, entries }
}

/** Layout: count u16, ids of 32; count u16, each descriptor with its u16 length. */
export function encodeExchange(exchange: Exchange): Uint8Array {
  const given = exchange.give.map(encodeDescriptor)
  const size = given.reduce((sum, { length }) => sum + 2 + length, EXCHANGE_HEADER_SIZE + exchange.want.length * 32)
  const writer = new ByteWriter(size).u16(exchange.want.length)
  for (const id of exchange.want) writer.bytes(id)
  writer.u16(given.length)
  for (const descriptor of given) writer.bytes16(descriptor)
  return writer.done()
}

export function decodeExchange(bytes: Uint8Array): Exchange {
  const reader = new ByteReader(bytes, 'exchange')
  const wanted = reader.u16()
  if (wanted > WANTED_MAX) throw reader.malformed('too many wanted')
  const want = Array.from({ length: wanted }, () => readId(reader))
  const given = reader.u16()
  const give: Descriptor[] = []
  for (let i = 0; i < given; i++) give.push(decodeDescriptor(reader.bytes16(DESCRIPTOR_SIZE_MAX)))
  reader.end()
  return { want, give }
}

function readId(reader: ByteReader): NodeId {
  return named32<'NodeId'>(reader.bytes(32).slice(), 'node id')
}

/** The longest beginning of the list that fits `sizeMax` bytes, lengths included. */
function fitting(descriptors: readonly Descriptor[], sizeMax: number): readonly Descriptor[] {
  let size = 0
  let count = 0
  for (const descriptor of descriptors) {
    size += 2 + encodeDescriptor(descriptor).length
    if (size > sizeMax) break
    count++
  }
  return descriptors.slice(0, count)
}

function digestOf(arc: readonly Descriptor[]): Uint8Array {
  const parts = arc.map(({ id, issuedMs }) => new ByteWriter(SUMMARY_SIZE).bytes(id).u64(issuedMs).done())
  return tagged(LABELS.arcDigest, concatBytes(...parts)).subarray(0, DIGEST_SIZE)
}
