import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LEAF_SIZE, MalformedError, SHARD_SIZE, toHex } from '../../core/index.ts'
import { LABELS, merkleProof, tagged } from '../../crypto/index.ts'
import {
  type ContentRef,
  contentRefKey,
  decodeContentRef,
  encodeContentRef,
  locationOf,
  verifyContent,
  verifyLeaves,
} from '../../storage/index.ts'
import { makeShard, makeSigned } from '../contract/shard.ts'

const ids = fc.uint8Array({ minLength: 32, maxLength: 32 })
const refs: fc.Arbitrary<ContentRef> = fc.oneof(
  fc.record({ kind: fc.constantFrom('shard' as const, 'signed' as const), id: ids, copy: fc.constant(0) }),
  fc.record({ kind: fc.constant('root' as const), id: ids, copy: fc.integer({ min: 0, max: 7 }) }),
)

describe('content references', () => {
  it('read back as they were written, and have one spelling each', () => {
    fc.assert(
      fc.property(refs, (ref) => {
        const bytes = encodeContentRef(ref)
        expect(bytes).toHaveLength(34)
        expect(decodeContentRef(bytes)).toEqual(ref)
      }),
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(4), fc.nat(9), (raw, kind, copy) => {
        const bytes = Uint8Array.of(kind, copy, ...raw)
        try {
          expect(encodeContentRef(decodeContentRef(bytes))).toEqual(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedError)
        }
      }),
    )
  })

  it('own their id, even when read from a Buffer', () => {
    const bytes = Buffer.from(encodeContentRef({ kind: 'root', id: new Uint8Array(32), copy: 3 }))
    const ref = decodeContentRef(bytes)
    bytes.fill(9)
    expect(ref.id).toEqual(new Uint8Array(32))
    expect(Buffer.isBuffer(ref.id)).toBe(false)
  })

  it('lead to the locations of the specification', () => {
    const id = new Uint8Array(32).fill(5)
    expect(locationOf({ kind: 'shard', id, copy: 0 })).toEqual(id)
    expect(locationOf({ kind: 'signed', id, copy: 0 })).toEqual(tagged(LABELS.pos, id))
    expect(locationOf({ kind: 'root', id, copy: 6 })).toEqual(tagged(LABELS.pos, Uint8Array.of(...id, 6)))
    const all = Array.from({ length: 8 }, (_, copy) => toHex(locationOf({ kind: 'root', id, copy })))
    expect(new Set(all).size).toBe(8)
  })

  it('have keys that only the same reference shares', () => {
    fc.assert(
      fc.property(refs, refs, (a, b) => {
        const isSame = Buffer.compare(encodeContentRef(a), encodeContentRef(b)) === 0
        expect(contentRefKey(a) === contentRefKey(b)).toBe(isSame)
      }),
    )
  })

  it('accept what they name and nothing that differs in a bit, in size or in kind', () => {
    for (const { ref, bytes } of [makeShard(1), makeSigned(2)]) {
      expect(verifyContent(ref, bytes)).toBe(true)
      for (const at of [0, 63, 64, 127, 128, SHARD_SIZE - 1]) {
        const flipped = bytes.slice()
        flipped[at] = (flipped[at] ?? 0) ^ 1
        expect(verifyContent(ref, flipped)).toBe(false)
      }
      expect(verifyContent(ref, bytes.subarray(1))).toBe(false)
      expect(verifyContent(ref, new Uint8Array(0))).toBe(false)
      const other = ref.kind === 'shard' ? 'signed' : 'shard'
      expect(verifyContent({ ...ref, kind: other }, bytes)).toBe(false)
    }
  })

  it('accept leaves with their proof, and only of the right place', () => {
    const { ref, bytes } = makeShard(3)
    const range = { from: 5, count: 2 }
    const leaves = bytes.subarray(5 * LEAF_SIZE, 7 * LEAF_SIZE)
    const proof = merkleProof(bytes, range)
    expect(verifyLeaves(ref, range, leaves, proof)).toBe(true)
    expect(verifyLeaves({ ...ref, kind: 'root', copy: 2 }, range, leaves, proof)).toBe(true)
    expect(verifyLeaves(ref, { from: 6, count: 2 }, leaves, proof)).toBe(false)
    expect(verifyLeaves({ ...ref, kind: 'signed' }, range, leaves, proof)).toBe(false)
  })
})
