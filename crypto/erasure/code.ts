/**
 * The systematic erasure code: k data fragments, n - k parity fragments, and any k of the n give the
 * rest back, byte for byte. A wrong fragment is not noticed here: fragments are checked against their
 * hashes before, and the stripe against its own after. SPEC erasure §2, §3
 */
import { BoundedCache } from './bounded-cache.ts'
import { CodeShapeError, FragmentSetError } from './errors.ts'
import type { Kernel } from './kernel.ts'
import { codeMatrix, invertMatrix, type Matrix, multiplyMatrices, selectRows } from './matrix.ts'

/** Fragments of one code together; their numbers are bytes. */
export const FRAGMENTS_MAX = 255
/** Matrices held for reuse: of a code at most 64 KiB each, of a rebuilding at most 16 KiB each. */
const CODES_CACHED_MAX = 16
const REBUILDINGS_CACHED_MAX = 256

export interface CodeShape {
  /** Data fragments, and the fragments needed to rebuild. */
  readonly k: number
  /** All fragments. */
  readonly n: number
  /** Bytes of each fragment. */
  readonly size: number
}

export interface ParityShape {
  readonly k: number
  /** n - k */
  readonly parity: number
  readonly size: number
}

/** Fragment `index` of a stripe: 0 to k - 1 are data, k to n - 1 parity. */
export interface Fragment {
  readonly index: number
  readonly bytes: Uint8Array
}

export class ErasureCode {
  readonly #kernel: Kernel
  readonly #codes = new BoundedCache<Matrix>(CODES_CACHED_MAX)
  readonly #rebuildings = new BoundedCache<Matrix>(REBUILDINGS_CACHED_MAX)

  constructor(kernel: Kernel) {
    this.#kernel = kernel
  }

  /** Matrices held for rebuilding; never more than REBUILDINGS_CACHED_MAX. */
  get rebuildingsCached(): number {
    return this.#rebuildings.size
  }

  /**
   * The parity fragments k to n - 1 one after the other; `data` is the k data fragments one after the
   * other. The result is `into`, overwritten, or a new buffer: the system takes longer to hand out fresh
   * pages than the code takes to fill them, so a caller that encodes much keeps one. Throws ERR_CODE_SHAPE.
   */
  encodeParity(shape: ParityShape, data: Uint8Array, into?: Uint8Array): Uint8Array {
    const { k, parity, size } = shape
    checkShape({ k, n: k + parity, size })
    if (parity < 1) throw new CodeShapeError(`a code needs parity, not ${parity} fragments of it`)
    checkSize('the data', data, k * size)
    const result = into ?? new Uint8Array(parity * size)
    checkSize('the place for the parity', result, parity * size)
    const matrix = selectRows(this.#codeMatrix(k, k + parity), range(k, k + parity))
    this.#kernel.multiply(matrix, split(data, size), split(result, size))
    return result
  }

  /**
   * The k data fragments one after the other, from any k distinct fragments in any order. The result is
   * `into`, overwritten, or a new buffer. Throws ERR_CODE_SHAPE and ERR_FRAGMENT_SET.
   */
  rebuildData(shape: CodeShape, have: readonly Fragment[], into?: Uint8Array): Uint8Array {
    const { k, size } = shape
    const sorted = checkFragments(shape, have)
    const result = into ?? new Uint8Array(k * size)
    checkSize('the place for the data', result, k * size)
    const found = new Map(sorted.map((fragment) => [fragment.index, fragment.bytes]))
    const missing: number[] = []
    const places: Uint8Array[] = []
    for (const [index, place] of split(result, size).entries()) {
      const bytes = found.get(index)
      if (bytes !== undefined) {
        place.set(bytes)
        continue
      }
      missing.push(index)
      places.push(place)
    }
    this.#compute(shape, sorted, missing, places)
    return result
  }

  /**
   * Fragment `index`, data or parity, in a new buffer, from any k distinct fragments: the same bytes the
   * first encoding gave it. Throws ERR_CODE_SHAPE and ERR_FRAGMENT_SET.
   */
  rebuildFragment(shape: CodeShape, have: readonly Fragment[], index: number): Uint8Array {
    const sorted = checkFragments(shape, have)
    checkIndex(shape, index)
    const present = sorted.find((fragment) => fragment.index === index)
    if (present !== undefined) return Uint8Array.from(present.bytes)
    const result = new Uint8Array(shape.size)
    this.#compute(shape, sorted, [index], [result])
    return result
  }

  #compute(
    shape: CodeShape,
    sorted: readonly Fragment[],
    wanted: readonly number[],
    outputs: readonly Uint8Array[],
  ): void {
    if (wanted.length === 0) return
    const inputs = sorted.map((fragment) => fragment.bytes)
    const present = sorted.map((fragment) => fragment.index)
    this.#kernel.multiply(this.#rebuildingMatrix(shape, present, wanted), inputs, outputs)
  }

  #codeMatrix(k: number, n: number): Matrix {
    return this.#codes.take(`${k}/${n}`, () => codeMatrix(k, n))
  }

  /** Row by row, how each wanted fragment is made of the present ones. */
  #rebuildingMatrix({ k, n }: CodeShape, present: readonly number[], wanted: readonly number[]): Matrix {
    return this.#rebuildings.take(`${k}/${n}:${present.join()}:${wanted.join()}`, () => {
      const code = this.#codeMatrix(k, n)
      return multiplyMatrices(selectRows(code, wanted), invertMatrix(selectRows(code, present)))
    })
  }
}

function checkShape({ k, n, size }: CodeShape): void {
  if (!Number.isInteger(k) || !Number.isInteger(n) || k < 1 || n < k || n > FRAGMENTS_MAX) {
    throw new CodeShapeError(`no code has ${k} of ${n} fragments: 1 <= k <= n <= ${FRAGMENTS_MAX}`)
  }
  if (!Number.isSafeInteger(size) || size < 1) throw new CodeShapeError(`a fragment cannot have ${size} bytes`)
}

function checkSize(what: string, bytes: Uint8Array, wanted: number): void {
  if (bytes.length !== wanted) throw new CodeShapeError(`${what} has ${bytes.length} bytes, not ${wanted}`)
}

function checkIndex({ n }: CodeShape, index: number): void {
  if (!Number.isInteger(index) || index < 0 || index >= n) throw new FragmentSetError(`no fragment ${index} of ${n}`)
}

/** The fragments by rising index. */
function checkFragments(shape: CodeShape, have: readonly Fragment[]): readonly Fragment[] {
  checkShape(shape)
  if (have.length !== shape.k) throw new FragmentSetError(`${have.length} fragments given, not ${shape.k}`)
  const seen = new Set<number>()
  for (const { index, bytes } of have) {
    checkIndex(shape, index)
    if (seen.has(index)) throw new FragmentSetError(`fragment ${index} given twice`)
    seen.add(index)
    if (bytes.length !== shape.size) {
      throw new FragmentSetError(`fragment ${index} has ${bytes.length} bytes, not ${shape.size}`)
    }
  }
  return [...have].sort((a, b) => a.index - b.index)
}

/** Views of `bytes`, `size` bytes each. */
function split(bytes: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: bytes.length / size }, (_, at) => bytes.subarray(at * size, (at + 1) * size))
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, at) => from + at)
}
