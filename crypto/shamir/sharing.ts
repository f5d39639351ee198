/**
 * Secret sharing after Shamir: any `threshold` of `count` shares give the secret, and fewer tell nothing
 * about it. Byte by byte over GF(2^8), share i at x = i + 1, so that the secret sits at x = 0 and no
 * share does. SPEC erasure §4
 *
 * A wrong share is not noticed here: it gives a wrong secret. What carries a share authenticates it, and
 * the result is checked against a commitment.
 */
import type { SecretRandom } from '../../core/index.ts'
import { ShareSetError, SharingError } from './errors.ts'
import { invert, multiply } from './field.ts'

/** Bytes of the secret and of each share. */
export const SECRET_SIZE = 32
/** The field has so many places besides zero. */
export const SHARES_MAX = 255
/** Where the secret sits. */
const SECRET_X = 0

/** Share `index` (from 0) of a secret. */
export interface Share {
  readonly index: number
  readonly bytes: Uint8Array
}

export interface SharingCounts {
  /** Shares that are needed. With 1, each share is the secret itself. */
  readonly threshold: number
  readonly count: number
}

/**
 * Shares 0 to count - 1, in new buffers. Draws (threshold - 1) * 32 bytes at once: the coefficients of
 * x, then those of x^2, and so on. They are wiped afterwards. Throws ERR_SHARING.
 */
export function splitSecret(secret: Uint8Array, counts: SharingCounts, random: SecretRandom): Uint8Array[] {
  const { threshold, count } = counts
  checkThreshold(threshold)
  if (!Number.isInteger(count) || count < threshold || count > SHARES_MAX) {
    throw new SharingError(`no sharing has ${count} shares with ${threshold} needed, at most ${SHARES_MAX}`)
  }
  if (secret.length !== SECRET_SIZE) throw new SharingError(`a shared secret has ${SECRET_SIZE} bytes`)
  const coefficients = random.bytes((threshold - 1) * SECRET_SIZE)
  const shares = Array.from({ length: count }, (_, index) => evaluate(secret, coefficients, xOf(index)))
  coefficients.fill(0)
  return shares
}

/** The secret, in a new buffer, from exactly `threshold` distinct shares in any order. Throws ERR_SHARE_SET. */
export function combineShares(shares: readonly Share[], threshold: number): Uint8Array {
  checkShares(shares, threshold)
  return interpolate(shares, SECRET_X)
}

/**
 * Share `index`, in a new buffer, from exactly `threshold` distinct shares: the same bytes that
 * splitSecret gave it, without the secret ever being put together. Throws ERR_SHARE_SET.
 */
export function evaluateShare(shares: readonly Share[], threshold: number, index: number): Uint8Array {
  checkShares(shares, threshold)
  checkIndex(index)
  return interpolate(shares, xOf(index))
}

function xOf(index: number): number {
  return index + 1
}

/** secret + c1 * x + c2 * x^2 + …, after Horner, from the highest coefficient down. */
function evaluate(secret: Uint8Array, coefficients: Uint8Array, x: number): Uint8Array {
  const sums = new Uint8Array(SECRET_SIZE)
  for (let start = coefficients.length - SECRET_SIZE; start >= 0; start -= SECRET_SIZE) {
    for (let i = 0; i < SECRET_SIZE; i++) {
      sums[i] = multiply((sums[i] as number) ^ (coefficients[start + i] as number), x)
    }
  }
  for (let i = 0; i < SECRET_SIZE; i++) sums[i] = (sums[i] as number) ^ (secret[i] as number)
  return sums
}

/** The value at `x` of the lowest polynomial through the shares, after Lagrange. */
function interpolate(shares: readonly Share[], x: number): Uint8Array {
  const sums = new Uint8Array(SECRET_SIZE)
  for (const share of shares) {
    let numerator = 1
    let denominator = 1
    for (const other of shares) {
      if (other === share) continue
      numerator = multiply(numerator, x ^ xOf(other.index))
      denominator = multiply(denominator, xOf(share.index) ^ xOf(other.index))
    }
    const weight = multiply(numerator, invert(denominator))
    for (let i = 0; i < SECRET_SIZE; i++) {
      sums[i] = (sums[i] as number) ^ multiply(share.bytes[i] as number, weight)
    }
  }
  return sums
}

function checkThreshold(threshold: number): void {
  if (!Number.isInteger(threshold) || threshold < 1 || threshold > SHARES_MAX) {
    throw new SharingError(`a threshold of ${threshold} is not from 1 to ${SHARES_MAX}`)
  }
}

function checkIndex(index: number): void {
  if (!Number.isInteger(index) || index < 0 || index >= SHARES_MAX) {
    throw new ShareSetError(`share ${index} is not from 0 to ${SHARES_MAX - 1}`)
  }
}

function checkShares(shares: readonly Share[], threshold: number): void {
  checkThreshold(threshold)
  if (shares.length !== threshold) throw new ShareSetError(`${shares.length} shares given, not ${threshold}`)
  const seen = new Set<number>()
  for (const { index, bytes } of shares) {
    checkIndex(index)
    if (seen.has(index)) throw new ShareSetError(`share ${index} given twice`)
    seen.add(index)
    if (bytes.length !== SECRET_SIZE)
      throw new ShareSetError(`share ${index} has ${bytes.length} bytes, not ${SECRET_SIZE}`)
  }
}
