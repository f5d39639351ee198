/**
 * What a keeper holds in place of a content: where its blobs lie, how each is unwrapped, and the hashes with which
 * any leaf that comes back is checked and proven. SPEC vaults §5
 *
 * A blob is the content under a key of its own, so that two blobs of one content have nothing in common.
 */
import {
  ByteReader,
  ByteWriter,
  equalBytes,
  LEAF_SIZE,
  type Location,
  named32,
  type PublicKey,
  SHARD_SIZE,
} from '../core/index.ts'
import {
  aesCtr,
  isLeavesOf,
  type LeafRange,
  MERKLE_LEAVES_SIZE,
  merkleLeaves,
  merkleProofOfLeaves,
  merkleRootOfLeaves,
} from '../crypto/index.ts'
import { type ContentRef, verifyContent } from './content-ref.ts'

export const PLACES_MAX = 4
export const PLACE_SIZE = 128
export const WRAP_KEY_SIZE = 32
export const DROP_SECRET_SIZE = 32
const VERSION = 1

export interface Place {
  readonly point: Location
  readonly line: PublicKey
  /** Merkle root of the blob. 32 bytes. */
  readonly root: Uint8Array
  /** For this blob alone. 32 bytes. */
  readonly wrapKey: Uint8Array
  /** When this node last had a good answer from there, Unix ms; 0: never. What others have seen proves nothing here. */
  readonly provenMs: number
  /** Of the node that gave the blob away; undefined: it was another. 32 bytes. */
  readonly dropSecret: Uint8Array | undefined
}

export interface Pointer {
  readonly leaseEndMs: number
  /** Of the content's 16 leaves, 512 bytes; zeros for a signed root, which is checked by its signature. */
  readonly leafHashes: Uint8Array
  /** One to PLACES_MAX. */
  readonly places: readonly Place[]
}

// place between nodes: 128 bytes. SPEC vaults §5
//    0  32  point      on the ring, where the line is attached
//   32  32  line key
//   64  32  root       of the blob
//   96  32  wrap key
export function encodePlace({ point, line, root, wrapKey }: Place): Uint8Array {
  return new ByteWriter(PLACE_SIZE).bytes(point).bytes(line).bytes(root).bytes(wrapKey).done()
}

/** A place that this node has not proven and cannot drop. Throws ERR_MALFORMED. */
export function decodePlace(bytes: Uint8Array): Place {
  const r = new ByteReader(bytes, 'place')
  const place = readPlace(r)
  r.end()
  return { ...place, provenMs: 0, dropSecret: undefined }
}

function readPlace(r: ByteReader): Pick<Place, 'point' | 'line' | 'root' | 'wrapKey'> {
  const point = named32<'Location'>(r.bytes(32), 'point')
  const line = named32<'PublicKey'>(r.bytes(32), 'line key')
  return { point, line, root: r.bytes(32), wrapKey: r.bytes(WRAP_KEY_SIZE) }
}

// pointer on disk: 522 bytes, then 168 for each place. SPEC vaults §5
//    0    1  version 1
//    1    8  lease end, Unix ms
//    9  512  leaf hashes
//  521    1  places
//  522  168  each: place 128, proven u64, drop secret 32 (zeros: not known)
const NO_SECRET = new Uint8Array(DROP_SECRET_SIZE)
const STORED_PLACE_SIZE = PLACE_SIZE + 8 + DROP_SECRET_SIZE

export function encodePointer({ leaseEndMs, leafHashes, places }: Pointer): Uint8Array {
  const w = new ByteWriter(1 + 8 + MERKLE_LEAVES_SIZE + 1 + STORED_PLACE_SIZE * places.length)
  w.u8(VERSION).u64(leaseEndMs).bytes(leafHashes).u8(places.length)
  for (const place of places) {
    w.bytes(encodePlace(place))
      .u64(place.provenMs)
      .bytes(place.dropSecret ?? NO_SECRET)
  }
  return w.done()
}

/** Throws ERR_MALFORMED. */
export function decodePointer(bytes: Uint8Array): Pointer {
  const r = new ByteReader(bytes, 'pointer')
  if (r.u8() !== VERSION) throw r.malformed('unknown version')
  const [leaseEndMs, leafHashes, count] = [r.u64(), r.bytes(MERKLE_LEAVES_SIZE), r.u8()]
  if (count < 1 || count > PLACES_MAX) throw r.malformed('places out of range')
  const places = Array.from({ length: count }, (): Place => {
    const place = readPlace(r)
    const provenMs = r.u64()
    const secret = r.bytes(DROP_SECRET_SIZE)
    return { ...place, provenMs, dropSecret: equalBytes(secret, NO_SECRET) ? undefined : secret }
  })
  r.end()
  return { leaseEndMs, leafHashes, places }
}

export function leafHashesFor(ref: ContentRef, bytes: Uint8Array): Uint8Array {
  return ref.kind === 'signed' ? new Uint8Array(MERKLE_LEAVES_SIZE) : merkleLeaves(bytes)
}

/** Whether these are the leaf hashes of what the reference names. */
export function areLeafHashesOf(ref: ContentRef, leafHashes: Uint8Array): boolean {
  if (leafHashes.length !== MERKLE_LEAVES_SIZE) return false
  return ref.kind === 'signed'
    ? leafHashes.every((value) => value === 0)
    : equalBytes(merkleRootOfLeaves(leafHashes), ref.id)
}

/** The blob of a content, under a key that is used for nothing else. */
export function wrap(bytes: Uint8Array, wrapKey: Uint8Array): Uint8Array {
  return aesCtr(wrapKey, bytes)
}

/** Leaves of the content, with what proves them; for all of them nothing. */
export interface ContentLeaves {
  readonly leaves: Uint8Array
  readonly proof: Uint8Array
}

/**
 * The leaves of the content out of those of a blob, checked; undefined when the place gives something else than
 * the reference names. A part of a signed root cannot be checked and is never given.
 */
export function unwrapLeaves(
  from: { readonly ref: ContentRef; readonly pointer: Pointer; readonly place: Place },
  range: LeafRange,
  blobLeaves: Uint8Array,
): ContentLeaves | undefined {
  const { ref, pointer, place } = from
  const leaves = aesCtr(place.wrapKey, blobLeaves, range.from * LEAF_SIZE)
  if (leaves.length === SHARD_SIZE) return verifyContent(ref, leaves) ? { leaves, proof: new Uint8Array(0) } : undefined
  if (ref.kind === 'signed' || !isLeavesOf(pointer.leafHashes, range, leaves)) return undefined
  return { leaves, proof: merkleProofOfLeaves(pointer.leafHashes, range) }
}

export function isSamePlace(a: Place, b: Place): boolean {
  return equalBytes(a.root, b.root) && equalBytes(a.line, b.line)
}

/**
 * What another member says, taken into what is held: the longer lease, and places in addition. Nobody can talk a
 * node out of a place: only one that it has never proven itself gives way to another, when there are too many.
 */
export function mergePointers(held: Pointer, came: Pointer): Pointer {
  const places = [...held.places]
  for (const place of came.places) {
    if (places.some((known) => isSamePlace(known, place))) continue
    if (places.length < PLACES_MAX) places.push(place)
    else {
      const at = places.findIndex(({ provenMs }) => provenMs === 0)
      if (at >= 0) places[at] = place
    }
  }
  return { ...held, leaseEndMs: Math.max(held.leaseEndMs, came.leaseEndMs), places }
}
