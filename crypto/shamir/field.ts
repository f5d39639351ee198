/**
 * The field of secret sharing: bytes as polynomials over GF(2) modulo x^8 + x^4 + x^3 + x + 1 (0x11b),
 * the one of AES. SPEC erasure §4
 *
 * No tables and no branches: neither the time taken nor the memory touched depends on the values, for
 * these are secrets. (The erasure code has another field, 0x11d, and tables: its values are public.)
 */
export const POLYNOMIAL = 0x11b

export function multiply(a: number, b: number): number {
  let product = 0
  let shifted = a
  for (let bit = 0; bit < 8; bit++) {
    product ^= -((b >>> bit) & 1) & shifted
    shifted = (shifted << 1) ^ (-(shifted >>> 7) & POLYNOMIAL)
  }
  return product
}

/** a^254, which is 1 / a; of zero, zero. */
export function invert(a: number): number {
  let power = a
  let result = 1
  for (let bit = 1; bit < 8; bit++) {
    power = multiply(power, power)
    result = multiply(result, power)
  }
  return result
}
