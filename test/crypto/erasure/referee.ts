/**
 * The npm package reed-solomon-erasure 0.1.0, a build of the Rust crate of that name, as an independent
 * referee. Its main entry gives no access to its memory, so its inner module is loaded and memory of
 * our own is added behind the memory that it manages. It works in place and rebuilds data only.
 */
import { createRequire } from 'node:module'

interface Package {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number }
  encode(at: number, size: number, k: number, parity: number): number
  reconstruct(at: number, size: number, k: number, parity: number, flagsAt: number): number
}

const inner = createRequire(import.meta.url)('reed-solomon-erasure/reed_solomon_erasure_bg.js') as Package
const PAGE_SIZE = 65_536
let ownAt = 0
let ownSize = 0

/**
 * Memory of our own inside the package's: the fragments first, then one flag for each. The view is good
 * until the package is called: a call may grow the memory, which detaches every view of it.
 */
export function refereeMemory(sizeBytes: number): { at: number; heap: Uint8Array } {
  if (sizeBytes > ownSize) {
    const pages = Math.ceil(sizeBytes / PAGE_SIZE)
    ownAt = inner.memory.grow(pages) * PAGE_SIZE
    ownSize = pages * PAGE_SIZE
  }
  return { at: ownAt, heap: new Uint8Array(inner.memory.buffer) }
}

/** Encodes in place: the k data fragments at `at`, the parity after them. */
export function refereeEncodeAt(at: number, { k, n, size }: { k: number; n: number; size: number }): void {
  const result = inner.encode(at, size, k, n - k)
  if (result !== 0) throw new Error(`referee refused to encode: ${result}`)
}

/** Rebuilds the missing data fragments in place; the flags tell which of the n fragments are there. */
export function refereeRebuildAt(at: number, { k, n, size }: { k: number; n: number; size: number }): void {
  const result = inner.reconstruct(at, size, k, n - k, at + n * size)
  if (result !== 0) throw new Error(`referee refused to rebuild: ${result}`)
}

export function refereeParity(
  { k, parity, size }: { k: number; parity: number; size: number },
  data: Uint8Array,
): Uint8Array {
  const n = k + parity
  const { at, heap } = refereeMemory(n * size + n)
  heap.set(data, at)
  refereeEncodeAt(at, { k, n, size })
  return refereeMemory(0).heap.slice(at + k * size, at + n * size)
}

export function refereeRebuild(
  { k, n, size }: { k: number; n: number; size: number },
  have: readonly { readonly index: number; readonly bytes: Uint8Array }[],
): Uint8Array {
  const { at, heap } = refereeMemory(n * size + n)
  heap.fill(0, at, at + n * size + n)
  for (const { index, bytes } of have) {
    heap.set(bytes, at + index * size)
    heap[at + n * size + index] = 1
  }
  refereeRebuildAt(at, { k, n, size })
  return refereeMemory(0).heap.slice(at, at + k * size)
}
