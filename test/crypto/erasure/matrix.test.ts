/** The field and the matrices of the erasure code. SPEC erasure §1 */
import { describe, expect, it } from 'vitest'
import { BoundedCache } from '../../../crypto/erasure/bounded-cache.ts'
import { invert, multiply, NIBBLE_PRODUCTS, POLYNOMIAL, power } from '../../../crypto/erasure/field.ts'
import { codeMatrix, invertMatrix, multiplyMatrices, rowOf, selectRows } from '../../../crypto/erasure/matrix.ts'

/** The product as the definition has it: long multiplication, then division by the polynomial. */
function longProduct(a: number, b: number): number {
  let product = 0
  for (let bit = 0; bit < 8; bit++) if ((b >> bit) & 1) product ^= a << bit
  for (let bit = 14; bit >= 8; bit--) if ((product >> bit) & 1) product ^= POLYNOMIAL << (bit - 8)
  return product
}

const BYTES = Array.from({ length: 256 }, (_, value) => value)

describe('field 0x11d', () => {
  it('multiplies every pair as the definition has it, by table and by nibbles', () => {
    let wrong = 0
    for (const a of BYTES) {
      for (const b of BYTES) {
        const expected = longProduct(a, b)
        const byNibbles =
          (NIBBLE_PRODUCTS[a * 32 + (b & 15)] as number) ^ (NIBBLE_PRODUCTS[a * 32 + 16 + (b >> 4)] as number)
        if (multiply(a, b) !== expected || byNibbles !== expected) wrong++
      }
    }
    expect(wrong).toBe(0)
  })

  it('has an inverse for every value but zero', () => {
    for (const a of BYTES.slice(1)) expect(multiply(a, invert(a))).toBe(1)
  })

  it('raises to powers by repeated multiplication, with 0^0 = 1', () => {
    for (const base of BYTES) {
      let expected = 1
      for (let exponent = 0; exponent < 256; exponent++) {
        if (power(base, exponent) !== expected) throw new Error(`${base}^${exponent}`)
        expected = longProduct(expected, base)
      }
    }
    expect(power(0, 0)).toBe(1)
  })
})

describe('code matrix', () => {
  it.each([
    [2, 4, [3, 2]],
    [4, 14, [27, 28, 18, 20]],
    [8, 22, [26, 132, 186, 51, 231, 16, 198, 39]],
  ])('has the row k that the specification prints for (%i, %i)', (k, n, expected) => {
    expect([...rowOf(codeMatrix(k, n), k)]).toEqual(expected)
  })

  it.each([
    [1, 255],
    [8, 22],
    [128, 255],
    [100, 255],
  ])('starts with the identity for (%i, %i)', (k, n) => {
    const matrix = codeMatrix(k, n)
    let wrong = 0
    for (let row = 0; row < k; row++) {
      for (let column = 0; column < k; column++) {
        if (matrix.cells[row * k + column] !== (row === column ? 1 : 0)) wrong++
      }
    }
    expect(wrong).toBe(0)
  })

  it('inverts, with zeros on the diagonal too, and refuses what has no inverse', () => {
    const square = selectRows(codeMatrix(8, 22), [21, 3, 9, 0, 14, 1, 7, 20])
    const identity = codeMatrix(8, 8)
    expect(multiplyMatrices(square, invertMatrix(square))).toEqual(identity)
    const swapped = { rows: 2, columns: 2, cells: Uint8Array.of(0, 1, 1, 0) }
    expect(invertMatrix(swapped)).toEqual(swapped)
    expect(() => invertMatrix({ rows: 2, columns: 2, cells: Uint8Array.of(1, 2, 1, 2) })).toThrowError(/independent/)
  })
})

describe('bounded cache', () => {
  it('computes once, and lets go of what was taken longest ago', () => {
    const cache = new BoundedCache<string>(2)
    const computed: string[] = []
    const take = (key: string) =>
      cache.take(key, () => {
        computed.push(key)
        return key.toUpperCase()
      })
    expect(['a', 'b', 'a', 'c', 'a', 'b'].map(take)).toEqual(['A', 'B', 'A', 'C', 'A', 'B'])
    expect(computed).toEqual(['a', 'b', 'c', 'b'])
    expect(cache.size).toBe(2)
  })
})
