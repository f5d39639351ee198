/**
 * How many fragments or stripes an object fills, so that its stored size tells little of its length.
 * SPEC dispersal §4. Counts are safe integers; lengths in bytes.
 */
import { assert, FRAGMENT_SIZE, STRIPE_SIZE } from '../core/index.ts'

/** The next number that Padmé allows: at most log2(log2 count)+1 leading bits differ from zero; at most 12% more. */
export function padmeCount(count: number): number {
  assert(Number.isSafeInteger(count) && count >= 1, 'something is counted')
  const exponent = floorLog2(count)
  const kept = exponent === 0 ? 0 : floorLog2(exponent) + 1
  const step = 2 ** Math.max(0, exponent - kept)
  return Math.ceil(count / step) * step
}

/** What dispersal makes of so many bytes, more than fit the root: one stripe of k fragments, or full stripes. */
export function paddedStripes(lengthBytes: number): { readonly stripes: number; readonly k: number } {
  assert(lengthBytes >= 1, 'an empty object has no stripes')
  if (lengthBytes <= STRIPE_SIZE) return { stripes: 1, k: Math.ceil(lengthBytes / FRAGMENT_SIZE) }
  return { stripes: padmeCount(Math.ceil(lengthBytes / STRIPE_SIZE)), k: STRIPE_SIZE / FRAGMENT_SIZE }
}

/** Exact for every safe integer, where Math.log2 rounds. */
function floorLog2(value: number): number {
  let exponent = Math.floor(Math.log2(value))
  if (2 ** exponent > value) exponent -= 1
  if (2 ** (exponent + 1) <= value) exponent += 1
  return exponent
}
