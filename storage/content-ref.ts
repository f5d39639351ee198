/**
 * The name of anything a keeper holds, with which it can be checked by whoever carries it: nobody needs
 * the address, a key or the manifest. SPEC dispersal §6. Everything stored is SHARD_SIZE bytes.
 *
 * - shard:  id is the Merkle root of the bytes, and the location too.
 * - root:   id is the Merkle root of the bytes; `copy` (0..7) picks one of eight locations.
 * - signed: id is an Ed25519 public key; the bytes are a signature (64) over the body (63,424).
 */
import {
  ByteWriter,
  equalBytes,
  keyOf,
  type Location,
  MalformedError,
  named32,
  ROOT_COPIES,
  SHARD_SIZE,
} from '../core/index.ts'
import {
  LABELS,
  type LeafRange,
  merkleRoot,
  SIGNATURE_SIZE,
  tagged,
  verifyMerkleProof,
  verifySignature,
} from '../crypto/index.ts'

export type ContentKind = 'shard' | 'root' | 'signed'

export interface ContentRef {
  readonly kind: ContentKind
  /** 32 bytes. */
  readonly id: Uint8Array
  /** 0..7 for roots, 0 for everything else, so that each content has one name. */
  readonly copy: number
}

export const CONTENT_REF_SIZE = 34
/** What a signed content carries under its signature. */
export const SIGNED_BODY_SIZE = SHARD_SIZE - SIGNATURE_SIZE

const KIND_CODES: Readonly<Record<ContentKind, number>> = { shard: 1, root: 2, signed: 3 }
const KINDS = new Map<number, ContentKind>([
  [1, 'shard'],
  [2, 'root'],
  [3, 'signed'],
])

export function shardRef(id: Uint8Array): ContentRef {
  return { kind: 'shard', id, copy: 0 }
}

// content reference: 34 bytes. SPEC dispersal §6
//   0   1  kind   1 shard, 2 root, 3 signed
//   1   1  copy   0..7 for a root, else 0
//   2  32  id
export function encodeContentRef(ref: ContentRef): Uint8Array {
  return new ByteWriter(CONTENT_REF_SIZE).u8(KIND_CODES[ref.kind]).u8(ref.copy).bytes(ref.id).done()
}

/** The id is copied, so the reference may outlive the bytes. Throws ERR_MALFORMED. */
export function decodeContentRef(bytes: Uint8Array): ContentRef {
  const ref = readContentRef(bytes)
  if (ref === undefined) throw new MalformedError('malformed content reference')
  return ref
}

/** As decodeContentRef, but undefined for what is none: a flood of nonsense costs no error each. */
export function readContentRef(bytes: Uint8Array): ContentRef | undefined {
  if (bytes.length !== CONTENT_REF_SIZE) return undefined
  const kind = KINDS.get(bytes[0] as number)
  const copy = bytes[1] as number
  if (kind === undefined || copy >= (kind === 'root' ? ROOT_COPIES : 1)) return undefined
  return { kind, id: new Uint8Array(bytes.subarray(2)), copy }
}

/** Where on the ring the content belongs. SPEC dispersal §6 */
export function locationOf(ref: ContentRef): Location {
  if (ref.kind === 'shard') return named32<'Location'>(ref.id, 'location')
  if (ref.kind === 'signed') return named32<'Location'>(tagged(LABELS.pos, ref.id), 'location')
  const placed = new Uint8Array(33)
  placed.set(ref.id)
  placed[32] = ref.copy
  return named32<'Location'>(tagged(LABELS.pos, placed), 'location')
}

/** Whether the bytes are what the reference names. Never throws for bad bytes. */
export function verifyContent(ref: ContentRef, bytes: Uint8Array): boolean {
  if (bytes.length !== SHARD_SIZE) return false
  if (ref.kind !== 'signed') return equalBytes(merkleRoot(bytes), ref.id)
  const body = bytes.subarray(SIGNATURE_SIZE)
  return verifySignature(ref.id, tagged(LABELS.signedRoot, body), bytes.subarray(0, SIGNATURE_SIZE))
}

/** Whether `leaves` are the leaves `range` of what a shard or root reference names; never for signed content. */
export function verifyLeaves(ref: ContentRef, range: LeafRange, leaves: Uint8Array, proof: Uint8Array): boolean {
  return ref.kind !== 'signed' && verifyMerkleProof(ref.id, range, leaves, proof)
}

/** A text that two references share exactly when they are the same; for maps. */
export function contentRefKey(ref: ContentRef): string {
  return `${ref.kind}/${ref.copy}/${keyOf(ref.id)}`
}
