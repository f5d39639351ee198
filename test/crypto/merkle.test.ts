import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { concatBytes, LEAF_COUNT, LEAF_SIZE, SHARD_SIZE, toHex } from '../../core/index.ts'
import {
  isLeafRange,
  isLeavesOf,
  type LeafRange,
  merkleLeaves,
  merkleProof,
  merkleProofOfLeaves,
  merkleRoot,
  merkleRootOfLeaves,
  verifyMerkleProof,
} from '../../crypto/index.ts'
import { proofSize } from '../../crypto/merkle.ts'
import { flipped, someBytes, vectorFile } from './support.ts'

const shard = someBytes(SHARD_SIZE, 'shard')
const root = merkleRoot(shard)
const RANGES: LeafRange[] = []
for (let from = 0; from < LEAF_COUNT; from++) {
  for (let count = 1; from + count <= LEAF_COUNT; count++) RANGES.push({ from, count })
}

function leavesOf(range: LeafRange): Uint8Array {
  return shard.slice(range.from * LEAF_SIZE, (range.from + range.count) * LEAF_SIZE)
}

/** The same tree written the plain way, top down. */
function rootByRecursion(bytes: Uint8Array): Uint8Array {
  const sha = (...parts: Uint8Array[]) =>
    new Uint8Array(
      createHash('sha256')
        .update(concatBytes(...parts))
        .digest(),
    )
  if (bytes.length === LEAF_SIZE) return sha(new Uint8Array([0]), bytes)
  const half = bytes.length / 2
  return sha(new Uint8Array([1]), rootByRecursion(bytes.subarray(0, half)), rootByRecursion(bytes.subarray(half)))
}

describe('merkleRoot', () => {
  it('is the root of the plain recursive tree', () => {
    expect(toHex(root)).toBe(toHex(rootByRecursion(shard)))
  })

  it('stays what it always was', () => {
    const { merkle } = vectorFile<{ merkle: { zeroShardRoot: string; rampShardRoot: string } }>('frozen')
    expect(toHex(merkleRoot(new Uint8Array(SHARD_SIZE)))).toBe(merkle.zeroShardRoot)
    expect(toHex(merkleRoot(Uint8Array.from({ length: SHARD_SIZE }, (_, i) => i % 251)))).toBe(merkle.rampShardRoot)
  })

  it('changes with a bit of any leaf', () => {
    const roots = Array.from({ length: LEAF_COUNT }, (_, leaf) => merkleRoot(flipped(shard, leaf * LEAF_SIZE + leaf)))
    expect(new Set([root, ...roots].map(toHex)).size).toBe(LEAF_COUNT + 1)
  })

  it('takes shards only', () => {
    expect(() => merkleRoot(shard.subarray(1))).toThrow('internal')
  })
})

describe('the hashes of all leaves', () => {
  const leaves = merkleLeaves(shard)

  it('give the root and every proof, without the shard', () => {
    expect(toHex(merkleRootOfLeaves(leaves))).toBe(toHex(root))
    for (const range of RANGES) {
      expect(toHex(merkleProofOfLeaves(leaves, range))).toBe(toHex(merkleProof(shard, range)))
      expect(isLeavesOf(leaves, range, leavesOf(range))).toBe(true)
    }
  })

  it('tell leaves of another place or with another bit', () => {
    const range = { from: 3, count: 2 }
    const right = leavesOf(range)
    for (const [where, what] of [
      [{ from: 4, count: 2 }, right],
      [{ from: 3, count: 1 }, right],
      [{ from: 15, count: 2 }, right],
      [range, flipped(right, 0)],
      [range, flipped(right, right.length - 1)],
    ] as const)
      expect(isLeavesOf(leaves, where, what)).toBe(false)
  })
})

describe('leaf proofs', () => {
  it('prove every run of leaves, in the size foretold', () => {
    for (const range of RANGES) {
      const proof = merkleProof(shard, range)
      expect(proof.length).toBe(proofSize(range))
      expect(verifyMerkleProof(root, range, leavesOf(range), proof)).toBe(true)
    }
    expect(RANGES.length).toBe(136)
  })

  it('are empty for a whole shard and four hashes for one leaf', () => {
    expect(proofSize({ from: 0, count: LEAF_COUNT })).toBe(0)
    for (let from = 0; from < LEAF_COUNT; from++) expect(proofSize({ from, count: 1 })).toBe(4 * 32)
    expect(Math.max(...RANGES.map(proofSize))).toBe(6 * 32)
  })

  it('list the sibling hashes level by level, left before right', () => {
    const leaf = (index: number) =>
      createHash('sha256')
        .update(new Uint8Array([0]))
        .update(leavesOf({ from: index, count: 1 }))
        .digest()
    const node = (a: Uint8Array, b: Uint8Array) =>
      createHash('sha256')
        .update(new Uint8Array([1]))
        .update(a)
        .update(b)
        .digest()
    const pair = (first: number) => node(leaf(first), leaf(first + 1))
    const quad = (first: number) => node(pair(first), pair(first + 2))
    const upper = node(quad(8), quad(12))
    const wanted = concatBytes(leaf(4), leaf(7), quad(0), upper)
    expect(toHex(merkleProof(shard, { from: 5, count: 2 }))).toBe(toHex(wanted))
  })

  it('fail for a changed bit anywhere in the leaves, the proof or the root', () => {
    for (const range of RANGES.filter((_, index) => index % 5 === 0)) {
      const leaves = leavesOf(range)
      const proof = merkleProof(shard, range)
      for (let leaf = 0; leaf < range.count; leaf++) {
        expect(verifyMerkleProof(root, range, flipped(leaves, leaf * LEAF_SIZE + 7 * leaf, 3), proof)).toBe(false)
      }
      for (let at = 0; at < proof.length; at += 31) {
        expect(verifyMerkleProof(root, range, leaves, flipped(proof, at, 5))).toBe(false)
      }
      expect(verifyMerkleProof(flipped(root, 31), range, leaves, proof)).toBe(false)
    }
  })

  it('fail at another place of the shard', () => {
    for (const range of RANGES.filter(({ count }) => count < LEAF_COUNT)) {
      const moved = { from: range.from === 0 ? 1 : range.from - 1, count: range.count }
      const proof = merkleProof(shard, range)
      expect(verifyMerkleProof(root, moved, leavesOf(range), proof)).toBe(false)
      expect(verifyMerkleProof(root, moved, leavesOf(range), merkleProof(shard, moved))).toBe(false)
    }
  })

  it('fail for wrong sizes and ranges without throwing', () => {
    const range = { from: 3, count: 2 }
    const leaves = leavesOf(range)
    const proof = merkleProof(shard, range)
    expect(verifyMerkleProof(root, range, leaves.subarray(1), proof)).toBe(false)
    expect(verifyMerkleProof(root, range, leaves, proof.subarray(32))).toBe(false)
    expect(verifyMerkleProof(root, range, leaves, concatBytes(proof, new Uint8Array(32)))).toBe(false)
    expect(verifyMerkleProof(root.subarray(1), range, leaves, proof)).toBe(false)
    const wrong = [
      { from: -1, count: 2 },
      { from: 15, count: 2 },
      { from: 0, count: 0 },
      { from: 0.5, count: 1 },
      { from: Number.NaN, count: 1 },
      { from: 0, count: 17 },
    ]
    for (const each of wrong) {
      expect(isLeafRange(each)).toBe(false)
      expect(verifyMerkleProof(root, each, leaves, proof)).toBe(false)
    }
  })

  it('have no second place for a leaf past the sixteenth or before the first', () => {
    const range = { from: 0, count: 1 }
    for (const from of [LEAF_COUNT, 2 * LEAF_COUNT, -LEAF_COUNT]) {
      expect(verifyMerkleProof(root, { from, count: 1 }, leavesOf(range), merkleProof(shard, range))).toBe(false)
    }
  })

  it('do not take two hashes for a leaf, nor a leaf for two hashes', () => {
    const bytes = someBytes(64)
    const asLeaf = createHash('sha256')
      .update(new Uint8Array([0]))
      .update(bytes)
      .digest('hex')
    const asNode = createHash('sha256')
      .update(new Uint8Array([1]))
      .update(bytes)
      .digest('hex')
    expect(asLeaf).not.toBe(asNode)
    expect(toHex(merkleRoot(shard))).not.toBe(createHash('sha256').update(shard).digest('hex'))
  })
})
