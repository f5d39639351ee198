/**
 * Drives kernel.wat, in the version with relaxed look-ups or without: copies slabs of the rows into WebAssembly memory, multiplies them there in groups
 * of up to three output rows, and copies the sums out. SPEC erasure §2
 *
 * Memory, 18 MiB of addresses, fixed in kernel.wat, and shared by all calls (each call runs to its end, so none meets another):
 *   0            TABLES_SIZE     32 bytes of nibble products per coefficient, column by column in a group
 *   TABLES_SIZE  255 * STRIDE    input slabs
 *   then         3 * STRIDE      output slabs of the group at work
 * Pages that a code never touches are never made real by the system.
 */
import { assert, FRAGMENT_SIZE } from '../../core/index.ts'
import { NIBBLE_PRODUCTS, NIBBLE_PRODUCTS_SIZE } from './field.ts'
import type { Kernel } from './kernel.ts'
import { KERNEL_BYTES, RELAXED_KERNEL_BYTES } from './kernel-bytes.ts'
import type { Matrix } from './matrix.ts'

/** Bytes of a row per round: one stored fragment, a multiple of BLOCK_SIZE. */
const SLAB_SIZE = FRAGMENT_SIZE
/** 192 past a multiple of 4,096: were it near one, all rows would fight for the same lines of the nearest cache. */
const STRIDE = 65_728
/** Bytes the kernel takes at a time; a last partial block is rounded up, within the stride. */
const BLOCK_SIZE = 32
const GROUP_ROWS_MAX = 3
const COLUMNS_MAX = 255
const TABLES_SIZE = 255 * COLUMNS_MAX * NIBBLE_PRODUCTS_SIZE
const INPUTS_AT = Math.ceil(TABLES_SIZE / 64) * 64
const OUTPUTS_AT = INPUTS_AT + COLUMNS_MAX * STRIDE
const MEMORY_SIZE = OUTPUTS_AT + GROUP_ROWS_MAX * STRIDE
/** The tables are moved in words: a call of `set` for each would cost more than its 32 bytes. */
const TABLE_WORDS = NIBBLE_PRODUCTS_SIZE / 4
const PRODUCT_WORDS = new Uint32Array(NIBBLE_PRODUCTS.buffer)
assert(SLAB_SIZE % BLOCK_SIZE === 0 && SLAB_SIZE <= STRIDE, 'a slab is whole blocks and fits its place')

type Multiply = (inputs: number, stride: number, columns: number, outputs: number, tables: number, size: number) => void

interface KernelExports {
  readonly memory: { readonly buffer: ArrayBuffer }
  readonly multiply1: Multiply
  readonly multiply2: Multiply
  readonly multiply3: Multiply
}

/** The part of the global that is used here; neither the language's nor Node's types declare it. */
declare const WebAssembly:
  | undefined
  | {
      validate(bytes: Uint8Array): boolean
      Module: new (bytes: Uint8Array) => object
      Instance: new (module: object) => { readonly exports: object }
    }

interface Group {
  readonly multiply: Multiply
  readonly rows: number
  readonly tablesAt: number
}

/** The kernel, or undefined where WebAssembly or its 128-bit SIMD is missing. */
export function simdKernel(): Kernel | undefined {
  return kernelOf('simd', KERNEL_BYTES)
}

/**
 * The same with look-ups that need not say what an index past 15 gives, which the processor has as one
 * instruction instead of two; undefined where the engine lacks them. SPEC erasure §2
 */
export function relaxedKernel(): Kernel | undefined {
  return kernelOf('relaxed', RELAXED_KERNEL_BYTES)
}

function kernelOf(name: Kernel['name'], bytes: Uint8Array): Kernel | undefined {
  if (typeof WebAssembly === 'undefined' || !WebAssembly.validate(bytes)) return undefined
  const exports = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports as KernelExports
  const { memory, multiply1, multiply2, multiply3 } = exports
  assert(memory.buffer.byteLength >= MEMORY_SIZE, 'kernel.wat declares the memory laid out here')
  const heap = new Uint8Array(memory.buffer)
  const words = new Uint32Array(memory.buffer)

  function layTables(matrix: Matrix): Group[] {
    const groups: Group[] = []
    let tablesAt = 0
    let row = 0
    for (const rows of groupSizes(matrix.rows)) {
      groups.push({ multiply: [multiply1, multiply2, multiply3][rows - 1] as Multiply, rows, tablesAt })
      for (let column = 0; column < matrix.columns; column++) {
        for (let at = 0; at < rows; at++) {
          const from = (matrix.cells[(row + at) * matrix.columns + column] as number) * TABLE_WORDS
          const to = tablesAt / 4
          for (let word = 0; word < TABLE_WORDS; word++) words[to + word] = PRODUCT_WORDS[from + word] as number
          tablesAt += NIBBLE_PRODUCTS_SIZE
        }
      }
      row += rows
    }
    return groups
  }

  return {
    name,
    multiply(matrix, inputs, outputs) {
      const size = inputs[0]?.length ?? 0
      assert(matrix.rows <= 255 && matrix.columns <= COLUMNS_MAX, 'a code has at most 255 fragments')
      const groups = layTables(matrix)
      for (let start = 0; start < size; start += SLAB_SIZE) {
        const end = Math.min(start + SLAB_SIZE, size)
        const sizeRounded = Math.ceil((end - start) / BLOCK_SIZE) * BLOCK_SIZE
        for (const [column, input] of inputs.entries()) {
          heap.set(input.subarray(start, end), INPUTS_AT + column * STRIDE)
        }
        let row = 0
        for (const { multiply, rows, tablesAt } of groups) {
          multiply(INPUTS_AT, STRIDE, matrix.columns, OUTPUTS_AT, tablesAt, sizeRounded)
          for (let at = 0; at < rows; at++, row++) {
            const from = OUTPUTS_AT + at * STRIDE
            outputs[row]?.set(heap.subarray(from, from + end - start), start)
          }
        }
      }
    },
  }
}

/** Splits `rows` into as few groups of at most three as will do, the larger ones first: 4 is 2 + 2. */
function groupSizes(rows: number): number[] {
  const count = Math.ceil(rows / GROUP_ROWS_MAX)
  return Array.from({ length: count }, (_, group) => Math.ceil((rows - group) / count))
}
