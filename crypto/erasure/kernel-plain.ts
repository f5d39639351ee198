/**
 * The kernel for machines without WebAssembly SIMD: one table look-up multiplies a byte by the
 * coefficients of four rows at once, packed into a 32-bit word. A tenth of the speed, or less. SPEC erasure §2
 */
import { multiply } from './field.ts'
import type { Kernel } from './kernel.ts'
import type { Matrix } from './matrix.ts'

/** Rows that share one look-up: as many as a word has bytes. */
const ROWS_PACKED = 4
/** Bytes of a row worked on at a time, so that the sums stay in the nearest cache. */
const SLAB_SIZE = 4_096

export function plainKernel(): Kernel {
  const sums = new Int32Array(SLAB_SIZE)
  return {
    name: 'plain',
    multiply(matrix, inputs, outputs) {
      const size = inputs[0]?.length ?? 0
      for (let row = 0; row < matrix.rows; row += ROWS_PACKED) {
        const tables = inputs.map((_, column) => packedProducts(matrix, row, column))
        const group = outputs.slice(row, row + ROWS_PACKED)
        for (let start = 0; start < size; start += SLAB_SIZE) {
          const end = Math.min(start + SLAB_SIZE, size)
          sums.fill(0)
          for (const [column, table] of tables.entries()) {
            addProducts(sums, table, (inputs[column] as Uint8Array).subarray(start, end))
          }
          for (const [at, output] of group.entries()) unpack(sums, 8 * at, output.subarray(start, end))
        }
      }
    },
  }
}

/** table[v] holds v times the coefficients of rows `row` to `row + 3` in `column`, the first lowest. */
function packedProducts(matrix: Matrix, row: number, column: number): Int32Array {
  const table = new Int32Array(256)
  for (let at = 0; at < ROWS_PACKED && row + at < matrix.rows; at++) {
    const coefficient = matrix.cells[(row + at) * matrix.columns + column] as number
    for (let value = 0; value < 256; value++) {
      table[value] = (table[value] as number) | (multiply(coefficient, value) << (8 * at))
    }
  }
  return table
}

function addProducts(sums: Int32Array, table: Int32Array, input: Uint8Array): void {
  for (let i = 0; i < input.length; i++) {
    sums[i] = (sums[i] as number) ^ (table[input[i] as number] as number)
  }
}

function unpack(sums: Int32Array, shiftBits: number, output: Uint8Array): void {
  for (let i = 0; i < output.length; i++) output[i] = (sums[i] as number) >>> shiftBits
}
