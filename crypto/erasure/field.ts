/**
 * The field of the erasure code: bytes as polynomials over GF(2) modulo x^8 + x^4 + x^3 + x^2 + 1
 * (0x11d), in which x generates every value but zero. Addition is exclusive or. SPEC erasure §1
 *
 * Table look-ups: for public coefficients only. Secrets use crypto/shamir's field.
 */
export const POLYNOMIAL = 0x11d

const EXP = new Uint8Array(510)
const LOG = new Uint8Array(256)
for (let power = 0, value = 1; power < 255; power++) {
  EXP[power] = value
  EXP[power + 255] = value
  LOG[value] = power
  value <<= 1
  if (value > 255) value ^= POLYNOMIAL
}

// The arithmetic below stays within bounds: bytes in, so LOG gives 0..254 and sums stay below 510.

export function multiply(a: number, b: number): number {
  if (a === 0 || b === 0) return 0
  return EXP[(LOG[a] as number) + (LOG[b] as number)] as number
}

/** 1 / a; `a` is not zero. */
export function invert(a: number): number {
  return EXP[255 - (LOG[a] as number)] as number
}

/** base^exponent, with 0^0 = 1. */
export function power(base: number, exponent: number): number {
  if (exponent === 0) return 1
  if (base === 0) return 0
  return EXP[((LOG[base] as number) * exponent) % 255] as number
}

/** Bytes of one entry of NIBBLE_PRODUCTS. */
export const NIBBLE_PRODUCTS_SIZE = 32

/**
 * For each coefficient c, at c * 32:
 *    0  16  c * i         for i = 0..15
 *   16  16  c * (16 * i)  for i = 0..15
 * A product c * v is the exclusive or of the entries of v's two nibbles.
 */
export const NIBBLE_PRODUCTS = new Uint8Array(256 * NIBBLE_PRODUCTS_SIZE)
for (let c = 0; c < 256; c++) {
  for (let i = 0; i < 16; i++) {
    NIBBLE_PRODUCTS[c * NIBBLE_PRODUCTS_SIZE + i] = multiply(c, i)
    NIBBLE_PRODUCTS[c * NIBBLE_PRODUCTS_SIZE + 16 + i] = multiply(c, i << 4)
  }
}
