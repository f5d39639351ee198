/** The contract of the erasure code, run on every kernel. SPEC erasure §1, §2, §3 */
import { createHash } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../../core/index.ts'
import {
  availableKernels,
  type CodeShape,
  ErasureCode,
  encodeParity,
  type Fragment,
  rebuildData,
  rebuildFragment,
} from '../../../crypto/erasure/index.ts'
import { plainKernel } from '../../../crypto/erasure/kernel-plain.ts'
import { relaxedKernel, simdKernel } from '../../../crypto/erasure/kernel-simd.ts'
import { seededBytes } from './chance.ts'
import { refereeParity, refereeRebuild } from './referee.ts'

// As a daemon does it: Node 20 has the relaxed look-ups behind this flag, later ones always.
if (Number.parseInt(process.versions.node, 10) < 22) setFlagsFromString('--experimental-wasm-relaxed-simd')
const simd = simdKernel()
const relaxed = relaxedKernel()
if (simd === undefined || relaxed === undefined) throw new Error('these tests need a machine with WebAssembly SIMD')

/** SHA-256 of all parity for seededBytes(k * size, k). Never edited: stored stripes depend on them. */
const FROZEN = [
  { k: 1, parity: 7, size: 100, sha256: '5b29ea0f74e43dee3b0e13ffb4114a9ad972622b83788e6898812518ad45ddb6' },
  { k: 4, parity: 10, size: 1_001, sha256: '095771875627e2f0f45f3213c785d9ea8b071b2b97d1ad2796dac098d55be027' },
  { k: 8, parity: 14, size: 63_360, sha256: 'a45472283d057d35fefc4b4cf136c3c4f334c22c3925512e45d7a36366e5367e' },
  { k: 10, parity: 20, size: 333, sha256: '5bd69b317a12c0edfeeee8cfbde940a065f2f97763ed2884602c7496684b0d9c' },
]

/** All n fragments of some data. */
function encodeAll(code: ErasureCode, { k, n, size }: CodeShape, data: Uint8Array): Fragment[] {
  const parity = n > k ? code.encodeParity({ k, parity: n - k, size }, data) : new Uint8Array(0)
  return Array.from({ length: n }, (_, index) => {
    const [from, at] = index < k ? [data, index] : [parity, index - k]
    return { index, bytes: from.slice(at * size, (at + 1) * size) }
  })
}

/** Every way to choose `count` of the items. */
function* subsets<T>(items: readonly T[], count: number): Generator<T[]> {
  if (count === 0) {
    yield []
    return
  }
  for (let at = 0; at + count <= items.length; at++) {
    for (const rest of subsets(items.slice(at + 1), count - 1)) yield [items[at] as T, ...rest]
  }
}

describe.each([relaxed, simd, plainKernel()])('erasure code on the $name kernel', (kernel) => {
  const code = new ErasureCode(kernel)

  it('has the rows for (2, 4) that are found by hand', () => {
    // V = [1 0; 1 1; 1 2; 1 3]. Its top is its own inverse, so row 2 is [3 2] and row 3 is [2 3].
    const data = Uint8Array.of(1, 0, 0x80, 0, 1, 0x80)
    // 3*1, 2*1, (3+2)*0x80; 2*1, 3*1, (2+3)*0x80
    expect(toHex(code.encodeParity({ k: 2, parity: 2, size: 3 }, data))).toBe('030280020380')
  })

  it.each(FROZEN)('gives the frozen parity for k=$k, parity=$parity, size=$size', ({ k, parity, size, sha256 }) => {
    const found = code.encodeParity({ k, parity, size }, seededBytes(k * size, k))
    expect(createHash('sha256').update(found).digest('hex')).toBe(sha256)
  })

  it.each([
    { k: 1, n: 2 },
    { k: 1, n: 8 },
    { k: 2, n: 10 },
    { k: 3, n: 4 },
    { k: 3, n: 12 },
    { k: 4, n: 14 },
    { k: 7, n: 20 },
    { k: 8, n: 22 },
    { k: 10, n: 30 },
    { k: 40, n: 100 },
    { k: 100, n: 255 },
    { k: 254, n: 255 },
    { k: 1, n: 255 },
  ])('gives the parity of the Rust crate, byte for byte, for ($k, $n)', ({ k, n }) => {
    for (const size of k > 20 ? [1, 33, 1_000] : [1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 1_000, 4_097]) {
      const data = seededBytes(k * size, size)
      const shape = { k, parity: n - k, size }
      expect(Buffer.compare(code.encodeParity(shape, data), refereeParity(shape, data))).toBe(0)
    }
  })

  it.each([63_359, 63_360, 63_361, 131_071, 200_003])('agrees with the Rust crate on fragments of %i bytes', (size) => {
    const shape = { k: 3, parity: 5, size }
    const data = seededBytes(3 * size, size)
    expect(Buffer.compare(code.encodeParity(shape, data), refereeParity(shape, data))).toBe(0)
  })

  it('multiplies every coefficient with every byte as the Rust crate does', () => {
    const data = Uint8Array.from({ length: 2 * 256 }, (_, i) => (i < 256 ? i : 0))
    const shape = { k: 2, parity: 253, size: 256 }
    expect(Buffer.compare(code.encodeParity(shape, data), refereeParity(shape, data))).toBe(0)
  })

  it.each([
    { k: 1, n: 8 },
    { k: 2, n: 5 },
    { k: 2, n: 10 },
    { k: 3, n: 7 },
    { k: 3, n: 12 },
    { k: 4, n: 10 },
    { k: 5, n: 9 },
    { k: 4, n: 14 },
  ])('rebuilds the data and every fragment from each subset of k for ($k, $n)', ({ k, n }) => {
    const shape = { k, n, size: 37 }
    const data = seededBytes(k * shape.size, n)
    const all = encodeAll(code, shape, data)
    let count = 0
    for (const have of subsets(all, k)) {
      expect(Buffer.compare(code.rebuildData(shape, have), data)).toBe(0)
      const index = count++ % n
      expect(Buffer.compare(code.rebuildFragment(shape, have, index), all[index]?.bytes as Uint8Array)).toBe(0)
    }
    expect(count).toBe(Array.from({ length: k }, (_, i) => (n - i) / (i + 1)).reduce((a, b) => a * b, 1))
  })

  it('rebuilds data and any fragment from any 8 of 22, in any order', () => {
    fc.assert(
      fc.property(
        fc.shuffledSubarray(
          Array.from({ length: 22 }, (_, i) => i),
          { minLength: 8, maxLength: 8 },
        ),
        fc.integer({ min: 1, max: 700 }),
        fc.integer({ min: 0, max: 21 }),
        fc.integer(),
        (indices, size, wanted, seed) => {
          const shape = { k: 8, n: 22, size }
          const data = seededBytes(8 * size, seed)
          const all = encodeAll(code, shape, data)
          const have = indices.map((index) => all[index] as Fragment)
          expect(Buffer.compare(code.rebuildData(shape, have), data)).toBe(0)
          expect(Buffer.compare(refereeRebuild(shape, have), data)).toBe(0)
          expect(Buffer.compare(code.rebuildFragment(shape, have, wanted), all[wanted]?.bytes as Uint8Array)).toBe(0)
        },
      ),
      { numRuns: 150 },
    )
  })

  it('rebuilds a full stripe whose data is all lost', () => {
    const shape = { k: 8, n: 22, size: 63_360 }
    const data = seededBytes(8 * shape.size, 5)
    const have = encodeAll(code, shape, data).slice(14)
    expect(Buffer.compare(code.rebuildData(shape, have), data)).toBe(0)
  })

  it('rebuilds where n equals k, and copies what is there', () => {
    const shape = { k: 3, n: 3, size: 5 }
    const data = seededBytes(15, 1)
    const all = encodeAll(code, shape, data)
    const rebuilt = code.rebuildData(shape, all)
    expect(rebuilt).toEqual(data)
    const copy = code.rebuildFragment(shape, all, 1)
    copy.fill(0)
    rebuilt.fill(0)
    expect(all[1]?.bytes).toEqual(data.slice(5, 10))
  })

  it('writes into the place it is given and leaves data and fragments as they were', () => {
    const shape = { k: 4, n: 14, size: 100 }
    const data = seededBytes(400, 9)
    const before = data.slice()
    const parityPlace = new Uint8Array(1_000).fill(0xee)
    const parity = code.encodeParity({ k: 4, parity: 10, size: 100 }, data, parityPlace)
    expect(parity).toBe(parityPlace)
    expect(parity).toEqual(code.encodeParity({ k: 4, parity: 10, size: 100 }, data))
    const have = encodeAll(code, shape, data).slice(2, 6)
    const kept = have.map(({ bytes }) => bytes.slice())
    const dataPlace = new Uint8Array(400).fill(0xee)
    expect(code.rebuildData(shape, have, dataPlace)).toBe(dataPlace)
    expect(dataPlace).toEqual(before)
    expect(data).toEqual(before)
    expect(have.map(({ bytes }) => bytes)).toEqual(kept)
  })

  it('reads data and fragments that lie at odd places of larger buffers', () => {
    const data = seededBytes(8 * 50, 3)
    const odd = new Uint8Array(8 * 50 + 3)
    odd.set(data, 3)
    const shape = { k: 8, parity: 3, size: 50 }
    expect(code.encodeParity(shape, odd.subarray(3))).toEqual(refereeParity(shape, data))
  })

  it('does not let a short call leave traces in the next one', () => {
    const large = seededBytes(4 * 5_000, 1)
    const small = seededBytes(4 * 3, 2)
    const shape = { k: 4, parity: 4, size: 3 }
    const alone = refereeParity(shape, small)
    code.encodeParity({ k: 4, parity: 4, size: 5_000 }, large)
    expect(code.encodeParity(shape, small)).toEqual(alone)
  })

  it('gives wrong data, not an error, for a wrong fragment', () => {
    const shape = { k: 2, n: 4, size: 4 }
    const data = seededBytes(8, 1)
    const have = encodeAll(code, shape, data).slice(2)
    have[0]?.bytes.fill(0)
    expect(code.rebuildData(shape, have)).not.toEqual(data)
  })

  it('holds a bounded number of matrices however many sets of fragments it meets', () => {
    const shape = { k: 3, n: 30, size: 1 }
    const small = new ErasureCode(kernel)
    const data = seededBytes(3, 1)
    const all = encodeAll(small, shape, data)
    for (const have of subsets(all.slice(3, 20), 3)) expect(small.rebuildData(shape, have)).toEqual(data)
    expect(small.rebuildingsCached).toBe(256)
  })

  it.each([
    { k: 0, parity: 1, size: 1 },
    { k: -1, parity: 3, size: 1 },
    { k: 1.5, parity: 1, size: 1 },
    { k: Number.NaN, parity: 1, size: 1 },
    { k: 1, parity: 0, size: 1 },
    { k: 3, parity: -1, size: 1 },
    { k: 3, parity: 0.5, size: 1 },
    { k: 128, parity: 128, size: 1 },
    { k: 1, parity: 255, size: 1 },
    { k: 1, parity: 1, size: 0 },
    { k: 1, parity: 1, size: -4 },
    { k: 1, parity: 1, size: 0.5 },
    { k: 1, parity: 1, size: Number.POSITIVE_INFINITY },
  ])('refuses to encode with k=$k, parity=$parity, size=$size', (shape) => {
    expect(() => code.encodeParity(shape, new Uint8Array(Math.max(0, Math.floor(shape.k)) || 0))).toThrowError(
      expect.objectContaining({ code: 'ERR_CODE_SHAPE', kind: 'input' }),
    )
  })

  it('refuses data or places of the wrong length', () => {
    const refused = expect.objectContaining({ code: 'ERR_CODE_SHAPE' })
    const shape = { k: 2, parity: 2, size: 4 }
    expect(() => code.encodeParity(shape, new Uint8Array(7))).toThrowError(refused)
    expect(() => code.encodeParity(shape, new Uint8Array(9))).toThrowError(refused)
    expect(() => code.encodeParity(shape, new Uint8Array(8), new Uint8Array(7))).toThrowError(refused)
    const have = encodeAll(code, { k: 2, n: 4, size: 4 }, new Uint8Array(8)).slice(2)
    expect(() => code.rebuildData({ k: 2, n: 4, size: 4 }, have, new Uint8Array(9))).toThrowError(refused)
    expect(() => code.rebuildData({ k: 2, n: 1, size: 4 }, have)).toThrowError(refused)
  })

  it('refuses sets of fragments that are not k distinct ones of the right size', () => {
    const shape = { k: 2, n: 4, size: 4 }
    const all = encodeAll(code, shape, seededBytes(8, 1))
    const [a, b, c] = all as [Fragment, Fragment, Fragment]
    const sets: Fragment[][] = [
      [],
      [a],
      [a, b, c],
      [a, a],
      [a, { index: 0, bytes: b.bytes }],
      [a, { index: 4, bytes: b.bytes }],
      [a, { index: -1, bytes: b.bytes }],
      [a, { index: 1.5, bytes: b.bytes }],
      [a, { index: Number.NaN, bytes: b.bytes }],
      [a, { index: 1, bytes: b.bytes.subarray(1) }],
      [a, { index: 1, bytes: new Uint8Array(5) }],
    ]
    const refused = expect.objectContaining({ code: 'ERR_FRAGMENT_SET', kind: 'input' })
    for (const have of sets) {
      expect(() => code.rebuildData(shape, have)).toThrowError(refused)
      expect(() => code.rebuildFragment(shape, have, 3)).toThrowError(refused)
    }
    for (const index of [4, -1, 0.5]) expect(() => code.rebuildFragment(shape, [a, b], index)).toThrowError(refused)
  })
})

describe('choice of the kernel', () => {
  it('prefers relaxed SIMD to SIMD and always has the plain one to fall back on', () => {
    expect(availableKernels().map(({ name }) => name)).toEqual(['relaxed', 'simd', 'plain'])
  })

  it('has no SIMD kernel where WebAssembly is missing or does not know the instructions', () => {
    const real = Reflect.get(globalThis, 'WebAssembly')
    try {
      Reflect.set(globalThis, 'WebAssembly', undefined)
      expect([relaxedKernel(), simdKernel()]).toEqual([undefined, undefined])
      Reflect.set(globalThis, 'WebAssembly', { validate: () => false })
      expect([relaxedKernel(), simdKernel()]).toEqual([undefined, undefined])
    } finally {
      Reflect.set(globalThis, 'WebAssembly', real)
    }
    expect(simdKernel()?.name).toBe('simd')
  })

  it('gives the plain functions the fastest kernel', () => {
    const shape = { k: 2, n: 5, size: 40 }
    const data = seededBytes(80, 4)
    const parity = encodeParity({ k: 2, parity: 3, size: 40 }, data)
    expect(parity).toEqual(refereeParity({ k: 2, parity: 3, size: 40 }, data))
    const have = [3, 4].map((index) => ({ index, bytes: parity.subarray((index - 2) * 40, (index - 1) * 40) }))
    expect(rebuildData(shape, have)).toEqual(data)
    expect(rebuildFragment(shape, have, 2)).toEqual(parity.slice(0, 40))
  })
})
