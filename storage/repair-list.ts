/**
 * Repair lists: the names of all shards of an object and the key that masks them, stored as an object of
 * its own. Whoever has the list can rebuild any shard; the key that decrypts is not in it. SPEC repair §4
 *
 * Both making and reading stream: of a list of any length a few stripes are held.
 */
import {
  assert,
  ByteReader,
  ByteWriter,
  concatBytes,
  equalBytes,
  MalformedError,
  ROOT_COPIES,
  SHARD_SIZE,
  STRIPE_K_MAX,
} from '../core/index.ts'
import { LABELS, tagged } from '../crypto/index.ts'
import type { Address } from './address.ts'
import { type ContentRef, verifyContent } from './content-ref.ts'
import { type PutPorts, putObject } from './disperse.ts'
import { NewerObjectError } from './errors.ts'
import { Halt } from './halt.ts'
import { decodeEntry, encodeEntry, entrySize, kAt, manifestShape, nodeCapacity, STRIPES_MAX } from './manifest.ts'
import {
  type OpenedPieces,
  openPieces,
  type Piece,
  type PiecePorts,
  piecesByAddress,
  rootPiece,
  stripePiece,
} from './pieces.ts'
import { openObject } from './recover.ts'
import { type Handle, listAddress, type RepairKey } from './repair-key.ts'
import { privateRootRefs } from './root.ts'
import { type StripePlace, stripeKeys } from './stripe.ts'

const MAGIC = 0x484c
const VERSION = 1
const HEADER_SIZE = 112
const KIND_CODES = { private: 0, public: 1 } as const

interface ListHeader {
  readonly kind: Address['kind']
  /** Of data stripes: k, and how many; 0 of an object that lives in its root. */
  readonly k: number
  readonly stripes: number
  readonly subject: Uint8Array
  readonly repair: Uint8Array
  /** Zeros of a public object. */
  readonly locator: Uint8Array
}

/** Names an object for those who look after it: the same from its address and from any of its repair lists. */
export function subjectOf(address: Address): Uint8Array {
  return address.kind === 'private' ? subjectOfLocator(address.locator) : tagged(LABELS.repairSubject, address.hash)
}

function subjectOfLocator(locator: Uint8Array): Uint8Array {
  return tagged(LABELS.repairSubject, locator)
}

/** The subject that a repair key is for. Throws as openObject does, and ERR_BAD_REPAIR_KEY. */
export async function subjectOfRepairKey(key: RepairKey, ports: PiecePorts): Promise<Uint8Array> {
  const list = await openList(key, ports, new Halt())
  await list.source.close()
  return list.header.subject
}

/** All pieces of what the handle leads to; see pieces.ts. */
export function piecesOf(handle: Handle, ports: PiecePorts, halt: Halt): AsyncGenerator<Piece, void, undefined> {
  return handle.kind === 'repair'
    ? piecesByList(handle, ports, halt)
    : piecesByAddress(handle, ports, { part: 'object', halt })
}

/**
 * Stores a repair list of the object and gives the key to it. Throws as openObject and putObject do, and
 * ERR_TOO_FEW_SHARDS when one of the object's own lists cannot be read.
 */
export async function makeRepairKey(
  address: Address,
  ports: PiecePorts & Pick<PutPorts, 'random' | 'place' | 'onProgress' | 'signal'>,
): Promise<RepairKey> {
  const halt = new Halt()
  const release = halt.follow(ports.signal)
  try {
    const opened = await openPieces(address, ports, { part: 'object', halt })
    const { address: list } = await putObject({ source: listBytes(address, opened), kind: 'private' }, ports)
    assert(list.kind === 'private', 'a list is put under a private address')
    return { kind: 'repair', locator: list.locator, key: list.key }
  } finally {
    release()
    halt.halt(undefined)
  }
}

// repair list: SPEC repair §4
//   0    2  magic     "HL"
//   2    1  version   1
//   3    1  kind      of the object's address: 0 private, 1 public
//   4    1  k         of data stripes; 0 when there are none
//   5    3  zeros
//   8    8  stripes   of data, padding included
//  16   32  subject
//  48   32  repair key of the object's shards
//  80   32  locator, or zeros
// 112    +  copies    of a public object's root: eight signed contents
//   +    +  entries   each node's before those it lists
async function* listBytes(
  address: Address,
  { root, pieces }: OpenedPieces,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { content } = root
  const stripes = 'inline' in content ? 0 : content.stripes
  const k = 'inline' in content ? 0 : content.level === 0 ? (content.entries[0]?.k ?? 0) : kAt(0)
  const writer = new ByteWriter(HEADER_SIZE)
  writer.u16(MAGIC).u8(VERSION).u8(KIND_CODES[address.kind]).u8(k).bytes(new Uint8Array(3)).u64(stripes)
  writer.bytes(subjectOf(address)).bytes(stripeKeys(root.objectKey).repair)
  writer.bytes(address.kind === 'private' ? address.locator : new Uint8Array(32))
  yield writer.done()
  for await (const { makings, refs, unreadable } of pieces) {
    if (unreadable !== undefined) throw unreadable
    if ('entry' in makings) yield encodeEntry(makings.entry)
    else if (address.kind === 'public') {
      for (const [copy, ref] of refs.entries()) yield concatBytes(ref.id, makings.copies[copy] as Uint8Array)
    }
  }
}

async function* piecesByList(key: RepairKey, ports: PiecePorts, halt: Halt): AsyncGenerator<Piece, void, undefined> {
  const { header, source } = await openList(key, ports, halt)
  try {
    const keys = { repair: header.repair }
    const { level, counts } = header.stripes === 0 ? { level: -1, counts: [] } : manifestShape(header.stripes)
    yield rootPiece('object', level + 1, await readCopies(header, source))
    for (const place of places(counts, level)) {
      const k = place.level === 0 ? header.k : kAt(place.level)
      const entry = decodeEntry(await source.take(entrySize(k)), k)
      yield stripePiece({ part: 'object', keys }, place, entry)
    }
  } finally {
    await source.close()
  }
  yield* piecesByAddress(listAddress(key), ports, { part: 'list', halt })
}

/** Every stripe of every level, each node before those it lists: the order of piecesByAddress(). */
function* places(counts: readonly number[], level: number, only?: number): Generator<StripePlace, void, undefined> {
  const [from, to] = only === undefined ? [0, counts[level] ?? 0] : childrenOf(counts, level, only)
  for (let index = from; index < to; index++) {
    yield { level, index }
    if (level > 0) yield* places(counts, level - 1, index)
  }
}

/** Of the stripes of `level`, the first that node `parent` of the level above lists, and the one after its last. */
function childrenOf(counts: readonly number[], level: number, parent: number): readonly [number, number] {
  const from = parent * nodeCapacity(level)
  return [from, Math.min(from + nodeCapacity(level), counts[level] ?? 0)]
}

async function openList(
  key: RepairKey,
  ports: PiecePorts,
  halt: Halt,
): Promise<{ readonly header: ListHeader; readonly source: ExactSource }> {
  const list = await halt.withSignal((signal) => openObject(listAddress(key), { ...ports, signal }))
  const gone = new AbortController()
  const release = halt.onHalt((reason) => gone.abort(reason))
  const source = new ExactSource(list.read({ signal: gone.signal }), release)
  try {
    const header = readHeader(await source.take(HEADER_SIZE))
    if (list.lengthBytes !== listSize(header)) throw new MalformedError('malformed repair list: impossible length')
    return { header, source }
  } catch (error) {
    await source.close()
    throw error
  }
}

function readHeader(bytes: Uint8Array): ListHeader {
  const r = new ByteReader(bytes, 'repair list')
  if (r.u16() !== MAGIC) throw r.malformed('it is something else')
  if (r.u8() !== VERSION) throw new NewerObjectError()
  const kind = (['private', 'public'] as const)[r.u8()]
  const k = r.u8()
  const zeros = r.bytes(3)
  const stripes = r.u64()
  const [subject, repair, locator] = [r.bytes(32), r.bytes(32), r.bytes(32)]
  r.end()
  const isShape = stripes === 0 ? k === 0 : k >= 1 && k <= STRIPE_K_MAX && (stripes === 1 || k === STRIPE_K_MAX)
  if (kind === undefined || !isShape || stripes > STRIPES_MAX) throw r.malformed('impossible shape')
  if (zeros.some((value) => value !== 0)) throw r.malformed('a spare byte is set')
  const isNamed =
    kind === 'private' ? equalBytes(subject, subjectOfLocator(locator)) : locator.every((value) => value === 0)
  if (!isNamed) throw r.malformed('of another object')
  return { kind, k, stripes, subject, repair, locator }
}

/** Bytes of the whole list. */
function listSize({ kind, k, stripes }: ListHeader): number {
  let size = HEADER_SIZE + (kind === 'public' ? ROOT_COPIES * (32 + SHARD_SIZE) : 0)
  const { counts } = stripes === 0 ? { counts: [] } : manifestShape(stripes)
  for (const [level, count] of counts.entries()) size += count * entrySize(level === 0 ? k : kAt(level))
  return size
}

async function readCopies(
  header: ListHeader,
  source: ExactSource,
): Promise<readonly { readonly ref: ContentRef; readonly bytes?: Uint8Array }[]> {
  if (header.kind === 'private') return privateRootRefs(header.locator).map((ref) => ({ ref }))
  const copies: { ref: ContentRef; bytes: Uint8Array }[] = []
  for (let copy = 0; copy < ROOT_COPIES; copy++) {
    const ref: ContentRef = { kind: 'signed', id: await source.take(32), copy: 0 }
    const bytes = await source.take(SHARD_SIZE)
    if (!verifyContent(ref, bytes)) throw new MalformedError('malformed repair list: a root is not signed')
    copies.push({ ref, bytes })
  }
  return copies
}

/** A stream of pieces of any sizes, taken in exact ones; holds one piece. */
class ExactSource {
  readonly #source: AsyncGenerator<Uint8Array, void, undefined>
  readonly #onClose: () => void
  #rest: Uint8Array = new Uint8Array(0)

  constructor(source: AsyncGenerator<Uint8Array, void, undefined>, onClose: () => void) {
    this.#source = source
    this.#onClose = onClose
  }

  /** A copy of the next `size` bytes. Throws ERR_MALFORMED at the end. */
  async take(size: number): Promise<Uint8Array> {
    const taken = new Uint8Array(size)
    let at = 0
    for (;;) {
      const some = this.#rest.subarray(0, size - at)
      taken.set(some, at)
      at += some.length
      this.#rest = this.#rest.subarray(some.length)
      if (at === size) return taken
      const next = await this.#source.next()
      if (next.done === true) throw new MalformedError('malformed repair list: ends too early')
      this.#rest = next.value
    }
  }

  async close(): Promise<void> {
    this.#onClose()
    await this.#source.return()
  }
}
