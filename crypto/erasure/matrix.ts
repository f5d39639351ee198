/**
 * Matrices over the field of the code, and the one matrix that is the code. SPEC erasure §1
 *
 * Stored by rows in one byte string. Sizes are up to 255 by 255.
 */
import { assert } from '../../core/index.ts'
import { invert, multiply, power } from './field.ts'

export interface Matrix {
  readonly rows: number
  readonly columns: number
  readonly cells: Uint8Array
}

/** View of row `row`. */
export function rowOf(matrix: Matrix, row: number): Uint8Array {
  return matrix.cells.subarray(row * matrix.columns, (row + 1) * matrix.columns)
}

/** The rows named by `rows`, in that order, as a new matrix. */
export function selectRows(matrix: Matrix, rows: readonly number[]): Matrix {
  const cells = new Uint8Array(rows.length * matrix.columns)
  for (const [at, row] of rows.entries()) cells.set(rowOf(matrix, row), at * matrix.columns)
  return { rows: rows.length, columns: matrix.columns, cells }
}

export function multiplyMatrices(left: Matrix, right: Matrix): Matrix {
  assert(left.columns === right.rows, 'matrices fit')
  const cells = new Uint8Array(left.rows * right.columns)
  const product: Matrix = { rows: left.rows, columns: right.columns, cells }
  for (let row = 0; row < left.rows; row++) {
    const target = rowOf(product, row)
    for (let i = 0; i < left.columns; i++) {
      addScaled(target, rowOf(right, i), left.cells[row * left.columns + i] as number)
    }
  }
  return product
}

/** The inverse of a square matrix, by Gauss and Jordan. A singular one is a bug: the code has none. */
export function invertMatrix(matrix: Matrix): Matrix {
  const size = matrix.rows
  assert(size === matrix.columns, 'only a square matrix has an inverse')
  const work: Matrix = { rows: size, columns: size, cells: matrix.cells.slice() }
  const inverse: Matrix = { rows: size, columns: size, cells: new Uint8Array(size * size) }
  for (let i = 0; i < size; i++) inverse.cells[i * size + i] = 1

  for (let column = 0; column < size; column++) {
    let pivot = column
    while (pivot < size && work.cells[pivot * size + column] === 0) pivot++
    assert(pivot < size, 'any k rows of the code matrix are independent')
    if (pivot !== column) {
      addScaled(rowOf(work, column), rowOf(work, pivot), 1)
      addScaled(rowOf(inverse, column), rowOf(inverse, pivot), 1)
    }
    const scale = invert(work.cells[column * size + column] as number)
    scaleRow(rowOf(work, column), scale)
    scaleRow(rowOf(inverse, column), scale)
    for (let row = 0; row < size; row++) {
      const factor = work.cells[row * size + column] as number
      if (row === column || factor === 0) continue
      addScaled(rowOf(work, row), rowOf(work, column), factor)
      addScaled(rowOf(inverse, row), rowOf(inverse, column), factor)
    }
  }
  return inverse
}

/**
 * The n by k matrix of the code: V[r][c] = r^c, times the inverse of its own top square, so that the
 * first k rows are the identity and any k rows are independent.
 */
export function codeMatrix(k: number, n: number): Matrix {
  const vandermonde: Matrix = { rows: n, columns: k, cells: new Uint8Array(n * k) }
  for (let row = 0; row < n; row++) {
    for (let column = 0; column < k; column++) vandermonde.cells[row * k + column] = power(row, column)
  }
  const top: Matrix = { rows: k, columns: k, cells: vandermonde.cells.slice(0, k * k) }
  return multiplyMatrices(vandermonde, invertMatrix(top))
}

/** target += factor * source */
function addScaled(target: Uint8Array, source: Uint8Array, factor: number): void {
  if (factor === 0) return
  for (let i = 0; i < target.length; i++) {
    target[i] = (target[i] as number) ^ multiply(source[i] as number, factor)
  }
}

function scaleRow(row: Uint8Array, factor: number): void {
  for (let i = 0; i < row.length; i++) row[i] = multiply(row[i] as number, factor)
}
