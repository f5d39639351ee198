/**
 * The hash tree over a shard: 16 leaves of 3,968 bytes, a full binary tree. Its root names the shard, and a
 * run of leaves can be checked alone with the hashes of what was left out. SPEC crypto §2
 *
 *   leaf = SHA-256(0x00 ‖ 3,968 bytes)     node = SHA-256(0x01 ‖ left 32 ‖ right 32)
 *
 * Proof of the leaves [from, from + count): going up from the leaves, at each level first the hash left of the
 * run if the run starts at an odd place, then the one right of it if it ends at an even place; 32 bytes each.
 */
import { hash, timingSafeEqual } from 'node:crypto'
import { assert, ByteReader, concatBytes, equalBytes, LEAF_COUNT, LEAF_SIZE, SHARD_SIZE } from '../core/index.ts'
import { plainBytes } from './hash.ts'

const HASH_SIZE = 32
/** Hashes of all leaves of a shard. */
export const MERKLE_LEAVES_SIZE = LEAF_COUNT * HASH_SIZE

/** Leaves `from` to `from + count - 1` of the 16. */
export interface LeafRange {
  readonly from: number
  readonly count: number
}

/** Whether the range is one of whole numbers, not empty, and within the 16 leaves. */
export function isLeafRange(range: LeafRange): boolean {
  const { from, count } = range
  return Number.isInteger(from) && Number.isInteger(count) && from >= 0 && count >= 1 && from + count <= LEAF_COUNT
}

/** `shard` has SHARD_SIZE bytes. */
export function merkleRoot(shard: Uint8Array): Uint8Array {
  assert(shard.length === SHARD_SIZE, 'a shard has its one size')
  return rootAbove(leafHashes(shard))
}

/** The hashes of the 16 leaves, one after the other: enough to check and to prove any leaf without the others. */
export function merkleLeaves(shard: Uint8Array): Uint8Array {
  assert(shard.length === SHARD_SIZE, 'a shard has its one size')
  return concatBytes(...leafHashes(shard))
}

/** The root of a shard whose leaves have these hashes. `leaves` are MERKLE_LEAVES_SIZE bytes. */
export function merkleRootOfLeaves(leaves: Uint8Array): Uint8Array {
  return rootAbove(splitHashes(leaves))
}

/** As merkleProof, from the hashes of all leaves. */
export function merkleProofOfLeaves(leaves: Uint8Array, range: LeafRange): Uint8Array {
  return proofIn(splitHashes(leaves), range)
}

/** Whether `shardLeaves` are the leaves of that range, by the hashes of all. */
export function isLeavesOf(leaves: Uint8Array, range: LeafRange, shardLeaves: Uint8Array): boolean {
  if (!isLeafRange(range) || shardLeaves.length !== range.count * LEAF_SIZE) return false
  const wanted = leaves.subarray(range.from * HASH_SIZE, (range.from + range.count) * HASH_SIZE)
  return equalBytes(wanted, concatBytes(...leafHashes(shardLeaves)))
}

/** What verifyMerkleProof() needs besides the leaves; empty for all 16, at most 8 hashes. The range must be one. */
export function merkleProof(shard: Uint8Array, range: LeafRange): Uint8Array {
  assert(shard.length === SHARD_SIZE, 'a proof is of leaves of a shard')
  return proofIn(leafHashes(shard), range)
}

function proofIn(hashes: readonly Uint8Array[], range: LeafRange): Uint8Array {
  assert(isLeafRange(range), 'a proof is of leaves of a shard')
  const siblings: Uint8Array[] = []
  let first = range.from
  let last = range.from + range.count - 1
  for (let level = hashes; level.length > 1; level = levelAbove(level)) {
    if (first % 2 === 1) siblings.push(level[first - 1] as Uint8Array)
    if (last % 2 === 0) siblings.push(level[last + 1] as Uint8Array)
    first >>= 1
    last >>= 1
  }
  const proof = new Uint8Array(32 * siblings.length)
  for (const [index, sibling] of siblings.entries()) proof.set(sibling, 32 * index)
  return proof
}

/** Whether `leaves` (contiguous) are that range of the shard named `root`. False for any wrong size or range. */
export function verifyMerkleProof(root: Uint8Array, range: LeafRange, leaves: Uint8Array, proof: Uint8Array): boolean {
  if (root.length !== 32 || !isLeafRange(range)) return false
  if (leaves.length !== range.count * LEAF_SIZE || proof.length !== proofSize(range)) return false
  let run = leafHashes(leaves)
  let first = range.from
  const siblings = new ByteReader(proof, 'leaf proof')
  for (let width = LEAF_COUNT; width > 1; width /= 2) {
    const last = first + run.length - 1
    if (first % 2 === 1) run.unshift(siblings.bytes(32))
    if (last % 2 === 0) run.push(siblings.bytes(32))
    run = levelAbove(run)
    first >>= 1
  }
  return timingSafeEqual(run[0] as Uint8Array, root)
}

/** Bytes of the proof of a range. */
export function proofSize(range: LeafRange): number {
  let size = 0
  let first = range.from
  let last = range.from + range.count - 1
  for (let width = LEAF_COUNT; width > 1; width /= 2) {
    size += (first % 2 === 1 ? 32 : 0) + (last % 2 === 0 ? 32 : 0)
    first >>= 1
    last >>= 1
  }
  return size
}

// Inputs of one hash, reused: filled and hashed in one go, nothing of them is kept.
const LEAF_INPUT = new Uint8Array(1 + LEAF_SIZE)
const NODE_INPUT = new Uint8Array(1 + 64)
NODE_INPUT[0] = 0x01

function splitHashes(leaves: Uint8Array): Uint8Array[] {
  assert(leaves.length === MERKLE_LEAVES_SIZE, 'a shard has its 16 leaves')
  return Array.from({ length: LEAF_COUNT }, (_, i) => leaves.subarray(i * HASH_SIZE, (i + 1) * HASH_SIZE))
}

function rootAbove(hashes: readonly Uint8Array[]): Uint8Array {
  let level = hashes
  while (level.length > 1) level = levelAbove(level)
  return plainBytes(level[0] as Uint8Array)
}

function leafHashes(leaves: Uint8Array): Uint8Array[] {
  const hashes: Uint8Array[] = []
  for (let at = 0; at < leaves.length; at += LEAF_SIZE) {
    LEAF_INPUT.set(leaves.subarray(at, at + LEAF_SIZE), 1)
    hashes.push(hash('sha256', LEAF_INPUT, 'buffer'))
  }
  return hashes
}

/** `level` has an even count. */
function levelAbove(level: readonly Uint8Array[]): Uint8Array[] {
  const above: Uint8Array[] = []
  for (let i = 0; i < level.length; i += 2) {
    NODE_INPUT.set(level[i] as Uint8Array, 1)
    NODE_INPUT.set(level[i + 1] as Uint8Array, 33)
    above.push(hash('sha256', NODE_INPUT, 'buffer'))
  }
  return above
}
