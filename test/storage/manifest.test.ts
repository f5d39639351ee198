import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FRAGMENT_SIZE, HushError, STRIPE_SIZE, shardCount } from '../../core/index.ts'
import {
  decodeNode,
  decodeRoot,
  encodeNode,
  encodeRoot,
  entrySize,
  INLINE_SIZE_MAX,
  LENGTH_MAX_BYTES,
  manifestShape,
  nodeCapacity,
  ROOT_SIZE,
  type Root,
  rootCapacity,
  STRIPES_MAX,
  type StripeEntry,
  stripesUnder,
} from '../../storage/manifest.ts'
import { paddedStripes, padmeCount } from '../../storage/padding.ts'
import { seededBytes } from './support/random.ts'

function entry(seed: number, k: number): StripeEntry {
  const n = shardCount(k)
  return { k, hash: seededBytes(seed, 32), ids: seededBytes(seed + 1, 32 * n), salts: seededBytes(seed + 2, n) }
}

function rootOf(lengthBytes: number): Root {
  const base = { lengthBytes, objectKey: seededBytes(1, 32), name: 'a name', type: 'text/plain' }
  if (lengthBytes <= INLINE_SIZE_MAX) return { ...base, content: { inline: seededBytes(2, lengthBytes) } }
  const { stripes, k } = paddedStripes(lengthBytes)
  const { level, counts } = manifestShape(stripes)
  const entries = Array.from({ length: counts[level] ?? 0 }, (_, i) => entry(i, level === 0 ? k : 1))
  return { ...base, content: { level, stripes, entries } }
}

const LENGTHS = [
  0,
  1,
  INLINE_SIZE_MAX,
  INLINE_SIZE_MAX + 1,
  FRAGMENT_SIZE + 1,
  STRIPE_SIZE,
  STRIPE_SIZE + 1,
  80 * STRIPE_SIZE,
  81 * STRIPE_SIZE,
  250e9,
  LENGTH_MAX_BYTES / 2,
]

describe('padding', () => {
  it.each([
    [1, 1],
    [2, 2],
    [3, 3],
    [7, 7],
    [8, 8],
    [9, 10],
    [15, 16],
    [17, 18],
    [83, 88],
    [1_000, 1_024],
    [2 ** 40 + 1, 2 ** 40 + 2 ** 34],
  ])('takes %i stripes to %i', (count, padded) => {
    expect(padmeCount(count)).toBe(padded)
  })

  it('never shrinks, never adds more than 12%, leaves its own results alone and keeps the order', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 45 }), fc.nat(1_000), (count, more) => {
        const padded = padmeCount(count)
        expect(padded).toBeGreaterThanOrEqual(count)
        expect(padded).toBeLessThanOrEqual(count * 1.12)
        expect(padmeCount(padded)).toBe(padded)
        expect(padmeCount(count + more)).toBeGreaterThanOrEqual(padded)
      }),
    )
  })

  it('leaves few sizes to tell apart', () => {
    const sizes = new Set(Array.from({ length: 10_000 }, (_, i) => padmeCount(i + 1)))
    expect(sizes.size).toBeLessThan(130)
  })

  it.each([
    [1, 1, 1],
    [FRAGMENT_SIZE, 1, 1],
    [FRAGMENT_SIZE + 1, 1, 2],
    [STRIPE_SIZE, 1, 8],
    [STRIPE_SIZE + 1, 2, 8],
    [9 * STRIPE_SIZE, 10, 8],
  ])('fills for %i bytes %i stripes of %i fragments', (lengthBytes, stripes, k) => {
    expect(paddedStripes(lengthBytes)).toEqual({ stripes, k })
  })
})

describe('manifest', () => {
  it('has the sizes of the specification', () => {
    expect([ROOT_SIZE, INLINE_SIZE_MAX]).toEqual([63_424, 62_984])
    expect([entrySize(8), entrySize(1)]).toEqual([759, 297])
    expect([rootCapacity(0), rootCapacity(1), nodeCapacity(0), nodeCapacity(1)]).toEqual([82, 212, 83, 213])
    expect(STRIPES_MAX).toBe(212 * 83 * 213 * 213)
  })

  it('reaches beyond 250 GB with two levels of nodes between root and data', () => {
    expect(manifestShape(paddedStripes(40e6).stripes).level).toBe(0)
    expect(manifestShape(paddedStripes(8e9).stripes).level).toBe(1)
    const shape = manifestShape(paddedStripes(250e9).stripes)
    expect(shape.level).toBe(2)
    expect(shape.counts[1]).toBe(Math.ceil((shape.counts[0] ?? 0) / 83))
    expect(shape.counts[2]).toBe(Math.ceil((shape.counts[1] ?? 0) / 213))
    expect(stripesUnder(2)).toBe(83 * 213)
  })

  it('lists every stripe exactly once, at any size', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: STRIPES_MAX }), (stripes) => {
        const { level, counts } = manifestShape(stripes)
        expect(counts[0]).toBe(stripes)
        expect(counts).toHaveLength(level + 1)
        expect(counts[level]).toBeLessThanOrEqual(rootCapacity(level))
        for (let at = 0; at < level; at++) {
          const [below = 0, above = 0] = [counts[at], counts[at + 1]]
          expect(above * nodeCapacity(at)).toBeGreaterThanOrEqual(below)
          expect((above - 1) * nodeCapacity(at)).toBeLessThan(below)
          expect(below).toBeGreaterThan(rootCapacity(at))
        }
      }),
    )
    expect(() => manifestShape(STRIPES_MAX + 1)).toThrow(expect.objectContaining({ code: 'ERR_OBJECT_TOO_LARGE' }))
  })

  it.each(LENGTHS)('reads back the root of %i bytes as it was written', (lengthBytes) => {
    const root = rootOf(lengthBytes)
    const bytes = encodeRoot(root)
    expect(bytes).toHaveLength(ROOT_SIZE)
    const read = decodeRoot(bytes)
    expect({ ...read, content: undefined }).toEqual({ ...root, content: undefined })
    expect(Buffer.compare(encodeRoot(read), bytes)).toBe(0)
  })

  it('reads back nodes, and refuses them in any other place', () => {
    const entries = Array.from({ length: 83 }, (_, i) => entry(i, 8))
    const bytes = encodeNode(0, entries)
    expect(bytes).toHaveLength(FRAGMENT_SIZE)
    expect(Buffer.compare(encodeNode(0, decodeNode(bytes, { level: 0, count: 83 })), bytes)).toBe(0)
    for (const wanted of [
      { level: 1, count: 83 },
      { level: 0, count: 82 },
    ]) {
      expect(() => decodeNode(bytes, wanted)).toThrow(expect.objectContaining({ code: 'ERR_MALFORMED' }))
    }
    expect(
      encodeNode(
        1,
        Array.from({ length: 213 }, (_, i) => entry(i, 1)),
      ),
    ).toHaveLength(FRAGMENT_SIZE)
  })

  it('refuses a root whose parts contradict each other', () => {
    const bytes = encodeRoot(rootOf(3 * STRIPE_SIZE))
    const changes: [at: number, value: number][] = [
      [0, 0],
      [2, 0],
      [4, 1],
      [5, 1],
      [7, 4],
      [15, 9],
      [23, 4],
      [56, 3],
      [312, 200],
      [440, 7],
      [ROOT_SIZE - 1, 1],
    ]
    for (const [at, value] of changes) {
      const changed = bytes.slice()
      expect(changed[at]).not.toBe(value)
      changed[at] = value
      if (at === 15) changed[13] = 0
      if (at === 15) changed[12] = 1
      expect(() => decodeRoot(changed)).toThrow(expect.objectContaining({ code: 'ERR_MALFORMED' }))
    }
  })

  it('says that a newer version wrote a root', () => {
    for (const [at, value] of [
      [2, 2],
      [3, 2],
    ] as const) {
      const changed = encodeRoot(rootOf(5))
      changed[at] = value
      expect(() => decodeRoot(changed)).toThrow(expect.objectContaining({ code: 'ERR_NEWER_OBJECT', kind: 'input' }))
    }
  })

  it('takes a dangerous name for none', () => {
    const root = encodeRoot({ ...rootOf(5), name: '../../etc/passwd', type: 'a\nb' })
    expect(decodeRoot(root)).toMatchObject({ name: '', type: '', lengthBytes: 5 })
  })

  it('answers any bytes with a root or an error that says who must act', () => {
    const valid = LENGTHS.slice(0, 8).map((length) => encodeRoot(rootOf(length)))
    fc.assert(
      fc.property(
        fc.constantFrom(...valid),
        fc.array(fc.tuple(fc.nat(700), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        (bytes, changes) => {
          const changed = bytes.slice()
          for (const [at, value] of changes) changed[at] = value
          try {
            decodeRoot(changed)
          } catch (error) {
            expect(error).toBeInstanceOf(HushError)
            expect(['peer', 'input']).toContain((error as HushError).kind)
          }
        },
      ),
      { numRuns: 500 },
    )
  })
})
