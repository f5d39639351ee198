/**
 * The manifest: a root of one fixed size and, for large objects, nodes beneath it, themselves (1,8)
 * stripes. It lists for each stripe the hash and every shard. SPEC dispersal §5. Big-endian.
 *
 * Level 0 entries are stripes of data. A node of level h lists stripes of level h - 1; a root of level h
 * lists stripes of level h. The whole shape follows from the number of data stripes, and readers refuse a
 * manifest of any other shape.
 */
import {
  assert,
  ByteReader,
  ByteWriter,
  FRAGMENT_SIZE,
  fromUtf8,
  MalformedError,
  SHARD_SIZE,
  STRIPE_K_MAX,
  STRIPE_SIZE,
  shardCount,
  toUtf8,
} from '../core/index.ts'
import { type ContentRef, SIGNED_BODY_SIZE, shardRef } from './content-ref.ts'
import { BadNameError, NewerObjectError, ObjectTooLargeError } from './errors.ts'
import { paddedStripes } from './padding.ts'

/** One stripe as the manifest lists it. `ids` is n × 32 bytes, `salts` n bytes, n = shardCount(k). */
export interface StripeEntry {
  readonly k: number
  readonly hash: Uint8Array
  readonly ids: Uint8Array
  readonly salts: Uint8Array
}

export interface Root {
  readonly lengthBytes: number
  /** Random, of this object alone; every stripe key follows from it. */
  readonly objectKey: Uint8Array
  /** Empty: none. */
  readonly name: string
  readonly type: string
  /** The bytes of an object that fits here; else entries of stripes of `level`. */
  readonly content:
    | { readonly inline: Uint8Array }
    | { readonly level: number; readonly stripes: number; readonly entries: readonly StripeEntry[] }
}

/** What a root's plaintext measures, whatever it carries: fits a private and a public root. */
export const ROOT_SIZE = SIGNED_BODY_SIZE
const ROOT_HEADER_SIZE = 440
const NAME_SIZE_MAX = 255
const TYPE_SIZE_MAX = 127
/** An object up to this length lives in the root. */
export const INLINE_SIZE_MAX = ROOT_SIZE - ROOT_HEADER_SIZE
const NODE_HEADER_SIZE = 8
const ROOT_MAGIC = 0x4852
const NODE_MAGIC = 0x484e
const FORMAT_VERSION = 1
const INLINE_FLAG = 1
/** Levels of nodes between root and data, at most. */
const LEVEL_MAX = 3

export function entrySize(k: number): number {
  return 1 + 32 + 33 * shardCount(k)
}

/** k of the stripes of a level, when there is more than one stripe of data. */
export function kAt(level: number): number {
  return level === 0 ? STRIPE_K_MAX : 1
}

/** Entries that fit one node which lists stripes of `level`. */
export function nodeCapacity(level: number): number {
  return Math.floor((FRAGMENT_SIZE - NODE_HEADER_SIZE) / entrySize(kAt(level)))
}

/** Entries of stripes of `level` that fit the root. */
export function rootCapacity(level: number): number {
  return Math.floor(INLINE_SIZE_MAX / entrySize(kAt(level)))
}

assert(ROOT_SIZE <= SHARD_SIZE && entrySize(STRIPE_K_MAX) === 759, 'sizes are those of the specification')
for (const level of [0, 1]) assert(rootCapacity(level) < nodeCapacity(level), 'a full node never fits the root')

/** Data stripes beneath one stripe of `level`, when full. */
export function stripesUnder(level: number): number {
  let stripes = 1
  for (let at = 0; at < level; at++) stripes *= nodeCapacity(at)
  return stripes
}

/** Data stripes of the largest object. */
export const STRIPES_MAX = rootCapacity(LEVEL_MAX) * stripesUnder(LEVEL_MAX)
export const LENGTH_MAX_BYTES = STRIPES_MAX * STRIPE_SIZE
assert(Number.isSafeInteger(LENGTH_MAX_BYTES), 'lengths are safe integers')

/**
 * How the stripes are listed: `counts[h]` stripes of level h (data, then nodes), and the root's level, which
 * is that of the last. Throws ERR_OBJECT_TOO_LARGE.
 */
export function manifestShape(stripes: number): { readonly level: number; readonly counts: readonly number[] } {
  if (stripes > STRIPES_MAX) throw new ObjectTooLargeError(LENGTH_MAX_BYTES)
  const counts = [stripes]
  let level = 0
  for (let count = stripes; count > rootCapacity(level); level++) {
    count = Math.ceil(count / nodeCapacity(level))
    counts.push(count)
  }
  return { level, counts }
}

export function entryRef(entry: StripeEntry, shard: number): ContentRef {
  return shardRef(entry.ids.subarray(32 * shard, 32 * (shard + 1)))
}

/** Throws ERR_BAD_NAME unless the root can carry these. */
export function checkMeta(meta: { readonly name: string; readonly type: string }): void {
  if (fromUtf8(meta.name).length > NAME_SIZE_MAX) throw new BadNameError('name', `is over ${NAME_SIZE_MAX} bytes`)
  if (meta.name !== '' && !isPlainName(meta.name)) throw new BadNameError('name', 'is not that of a single file')
  if (fromUtf8(meta.type).length > TYPE_SIZE_MAX) throw new BadNameError('type', `is over ${TYPE_SIZE_MAX} bytes`)
  if (!isPlainType(meta.type)) throw new BadNameError('type', 'holds signs other than printable ASCII')
}

/** One path segment, nothing that moves a cursor or leaves a folder: names come from strangers. */
function isPlainName(name: string): boolean {
  return name !== '.' && name !== '..' && !/[/\\\p{Cc}\p{Cs}\u2028-\u202e\u2066-\u2069]/u.test(name)
}

function isPlainType(type: string): boolean {
  return /^[\x20-\x7e]*$/.test(type)
}

// root: 63,424 bytes, zeros after what is used. SPEC dispersal §5
//   0      2  magic       "HR"
//   2      1  version     1
//   3      1  flags       bit 0: inline
//   4      1  level       0 when inline
//   5      1  zero
//   6      2  entries     0 when inline
//   8      8  length      of the object
//  16      8  stripes     of data, padding included; 0 when inline
//  24     32  object key
//  56    256  name        u8 length, UTF-8, zeros
// 312    128  type        u8 length, ASCII, zeros
// 440 62,984  content     the bytes themselves, or the entries
export function encodeRoot(root: Root): Uint8Array {
  const writer = new ByteWriter(ROOT_SIZE)
  const isInline = 'inline' in root.content
  const listed = 'inline' in root.content ? { level: 0, stripes: 0, entries: [] } : root.content
  writer
    .u16(ROOT_MAGIC)
    .u8(FORMAT_VERSION)
    .u8(isInline ? INLINE_FLAG : 0)
    .u8(listed.level)
    .u8(0)
    .u16(listed.entries.length)
    .u64(root.lengthBytes)
    .u64(listed.stripes)
    .bytes(root.objectKey)
    .bytes(textField(root.name, NAME_SIZE_MAX))
    .bytes(textField(root.type, TYPE_SIZE_MAX))
  if ('inline' in root.content) writer.bytes(root.content.inline)
  else for (const entry of listed.entries) writeEntry(writer, entry)
  return filled(writer.done(), ROOT_SIZE)
}

/** The root, in views of `bytes`. Throws ERR_MALFORMED, or ERR_NEWER_OBJECT. */
export function decodeRoot(bytes: Uint8Array): Root {
  const reader = new ByteReader(bytes, 'root')
  if (reader.u16() !== ROOT_MAGIC) throw reader.malformed('no root')
  const version = reader.u8()
  const flags = reader.u8()
  if (version > FORMAT_VERSION || flags > INLINE_FLAG) throw new NewerObjectError()
  if (version !== FORMAT_VERSION || bytes.length !== ROOT_SIZE) throw reader.malformed('wrong version or size')
  const level = reader.u8()
  const zero = reader.u8()
  const entryCount = reader.u16()
  const lengthBytes = reader.u64()
  const stripes = reader.u64()
  const objectKey = reader.bytes(32)
  const name = readText(reader, NAME_SIZE_MAX)
  const type = readText(reader, TYPE_SIZE_MAX)
  if (zero !== 0) throw reader.malformed('a spare byte is set')

  // A stranger's name that could do harm is no name; the object stays readable.
  const meta = { name: isPlainName(name) ? name : '', type: isPlainType(type) ? type : '' }
  if (flags === INLINE_FLAG) {
    if (level !== 0 || entryCount !== 0 || stripes !== 0) throw reader.malformed('stripes beside inline bytes')
    if (lengthBytes > INLINE_SIZE_MAX) throw reader.malformed('too long to be inline')
    const inline = reader.bytes(lengthBytes)
    endInZeros(reader)
    return { lengthBytes, objectKey, ...meta, content: { inline } }
  }

  if (lengthBytes <= INLINE_SIZE_MAX || lengthBytes > LENGTH_MAX_BYTES) throw reader.malformed('impossible length')
  const padded = paddedStripes(lengthBytes)
  if (stripes !== padded.stripes || stripes > STRIPES_MAX) throw reader.malformed('impossible number of stripes')
  const shape = manifestShape(stripes)
  if (level !== shape.level || entryCount !== shape.counts[level]) throw reader.malformed('impossible shape')
  const entries = readEntries(reader, entryCount, level === 0 ? padded.k : kAt(level))
  return { lengthBytes, objectKey, ...meta, content: { level, stripes, entries } }
}

// node: 63,360 bytes, one fragment, zeros after what is used. SPEC dispersal §5
//   0      2  magic    "HN"
//   2      1  version  1
//   3      1  level    of the stripes it lists
//   4      2  entries
//   6      2  zeros
//   8 63,352  entries
export function encodeNode(level: number, entries: readonly StripeEntry[]): Uint8Array {
  const writer = new ByteWriter(FRAGMENT_SIZE)
  writer.u16(NODE_MAGIC).u8(FORMAT_VERSION).u8(level).u16(entries.length).u16(0)
  for (const entry of entries) writeEntry(writer, entry)
  return filled(writer.done(), FRAGMENT_SIZE)
}

/** The entries of a node that lists `count` stripes of `level`, in views of `bytes`. Throws ERR_MALFORMED. */
export function decodeNode(bytes: Uint8Array, wanted: { level: number; count: number }): readonly StripeEntry[] {
  const reader = new ByteReader(bytes, 'manifest node')
  const isNode = reader.u16() === NODE_MAGIC && reader.u8() === FORMAT_VERSION
  if (!isNode || reader.u8() !== wanted.level || reader.u16() !== wanted.count || reader.u16() !== 0) {
    throw reader.malformed('not the node that belongs here')
  }
  return readEntries(reader, wanted.count, kAt(wanted.level))
}

// entry: SPEC dispersal §5
//   0   1  k
//   1  32  stripe hash
//  33 32n  the shards' Merkle roots
//   +   n  their salts
function writeEntry(writer: ByteWriter, entry: StripeEntry): void {
  writer.u8(entry.k).bytes(entry.hash).bytes(entry.ids).bytes(entry.salts)
}

/** One entry alone, as it stands in a manifest. */
export function encodeEntry(entry: StripeEntry): Uint8Array {
  const writer = new ByteWriter(entrySize(entry.k))
  writeEntry(writer, entry)
  return writer.done()
}

/** An entry of a stripe of k fragments, in views of `bytes`. Throws ERR_MALFORMED. */
export function decodeEntry(bytes: Uint8Array, k: number): StripeEntry {
  const reader = new ByteReader(bytes, 'manifest entry')
  const entry = readEntry(reader, k)
  reader.end()
  return entry
}

/** Reads the entries and all zeros that follow. */
function readEntries(reader: ByteReader, count: number, k: number): readonly StripeEntry[] {
  const entries: StripeEntry[] = []
  for (let i = 0; i < count; i++) entries.push(readEntry(reader, k))
  endInZeros(reader)
  return entries
}

function readEntry(reader: ByteReader, k: number): StripeEntry {
  const n = shardCount(k)
  if (reader.u8() !== k) throw reader.malformed('impossible code')
  return { k, hash: reader.bytes(32), ids: reader.bytes(32 * n), salts: reader.bytes(n) }
}

function textField(text: string, sizeMax: number): Uint8Array {
  const bytes = fromUtf8(text)
  const field = new Uint8Array(1 + sizeMax)
  field[0] = bytes.length
  field.set(bytes, 1)
  return field
}

function readText(reader: ByteReader, sizeMax: number): string {
  const size = reader.u8()
  const field = reader.bytes(sizeMax)
  const text = size > sizeMax ? undefined : toUtf8(field.subarray(0, size))
  if (text === undefined || !isZero(field.subarray(size))) throw reader.malformed('a text is not one')
  return text
}

/** The written bytes grown to their fixed size; a ByteWriter's memory has it already. */
function filled(written: Uint8Array, size: number): Uint8Array {
  return new Uint8Array(written.buffer, written.byteOffset, size)
}

function endInZeros(reader: ByteReader): void {
  if (!isZero(reader.rest())) throw new MalformedError('malformed manifest: something after its end')
}

function isZero(bytes: Uint8Array): boolean {
  for (const value of bytes) if (value !== 0) return false
  return true
}
