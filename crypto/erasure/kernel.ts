/**
 * A kernel multiplies a small matrix with long rows of bytes: the whole cost of the code. All of them
 * give the same bytes; the fastest that this machine can run is chosen once. SPEC erasure §2
 */
import { plainKernel } from './kernel-plain.ts'
import { relaxedKernel, simdKernel } from './kernel-simd.ts'
import type { Matrix } from './matrix.ts'

export interface Kernel {
  readonly name: 'relaxed' | 'simd' | 'plain'
  /**
   * outputs[r] = the sum over c of matrix[r][c] * inputs[c], byte by byte. One input per column, one
   * output per row, all of one size; outputs are overwritten and share no memory with inputs.
   */
  multiply(matrix: Matrix, inputs: readonly Uint8Array[], outputs: readonly Uint8Array[]): void
}

/** Every kernel this machine can run, the fastest first; each with memory of its own. */
export function availableKernels(): readonly Kernel[] {
  return [relaxedKernel(), simdKernel(), plainKernel()].filter((kernel) => kernel !== undefined)
}

export function fastestKernel(): Kernel {
  return relaxedKernel() ?? simdKernel() ?? plainKernel()
}
