/**
 * Places on the circle of 256-bit numbers. Clockwise is upwards, past the largest to zero. Node ids
 * and locations are both points, so these functions take either. SPEC ring §1
 */
import { compareBytes, toHex } from '../../core/index.ts'

/**
 * Whether `x` lies strictly inside the arc that runs clockwise from `from` to `to`. An arc whose two
 * ends are the same point is the whole circle but that point.
 */
export function isBetween(from: Uint8Array, x: Uint8Array, to: Uint8Array): boolean {
  const afterFrom = compareBytes(from, x)
  const beforeTo = compareBytes(x, to)
  if (afterFrom === 0 || beforeTo === 0) return false
  return compareBytes(from, to) < 0 ? afterFrom < 0 && beforeTo < 0 : afterFrom < 0 || beforeTo < 0
}

/** As isBetween, with the far end part of the arc: what a node at `to` answers for. */
export function isUpTo(from: Uint8Array, x: Uint8Array, to: Uint8Array): boolean {
  return compareBytes(x, to) === 0 || isBetween(from, x, to)
}

const CIRCLE = 1n << 256n

/** Steps from one point clockwise to the other; 0 when they are the same. */
export function distance(from: Uint8Array, to: Uint8Array): bigint {
  const steps = BigInt(`0x${toHex(to)}`) - BigInt(`0x${toHex(from)}`)
  return steps < 0n ? steps + CIRCLE : steps
}

/** The point `count` of `parts` of the circle after `from`; undefined when that is all of it. */
export function pointAfter(
  from: Uint8Array,
  share: { readonly parts: number; readonly count: number },
): Uint8Array | undefined {
  if (share.count >= share.parts) return undefined
  return pointAt(BigInt(`0x${toHex(from)}`) + (CIRCLE / BigInt(share.parts)) * BigInt(share.count))
}

/**
 * The point that `drawn` picks on the arc after `from` up to and including `to`; on the whole circle when they are
 * the same. Even, as far as `drawn` is longer than a point: 40 random bytes.
 */
export function pointOnArc(from: Uint8Array, to: Uint8Array, drawn: Uint8Array): Uint8Array {
  const length = distance(from, to) || CIRCLE
  return pointAt(BigInt(`0x${toHex(from)}`) + 1n + (BigInt(`0x${toHex(drawn)}`) % length))
}

/** Past zero if need be. */
function pointAt(steps: bigint): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, i) => Number((steps >> BigInt(8 * (31 - i))) & 0xffn))
}

/**
 * Index of the first of `sorted` at or after `point`, past zero if need be: what answers for it.
 * `sorted` rises, without duplicates. 0 for an empty list, which has no such index.
 */
export function indexAtOrAfter(sorted: readonly Uint8Array[], point: Uint8Array): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareBytes(sorted[middle] as Uint8Array, point) < 0) low = middle + 1
    else high = middle
  }
  return low === sorted.length ? 0 : low
}

/** Whether the sorted list holds the point. */
export function holdsPoint(sorted: readonly Uint8Array[], point: Uint8Array): boolean {
  const found = sorted[indexAtOrAfter(sorted, point)]
  return found !== undefined && compareBytes(found, point) === 0
}
