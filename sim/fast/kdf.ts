/** Stands in for hkdfSync of node:crypto in fast simulations: other bytes for each other input, and no secret. */
import { mix16, wordOf } from './mix.ts'

export function hkdfSync(
  _digest: string,
  secret: Uint8Array,
  _salt: Uint8Array,
  info: Uint8Array,
  length: number,
): Uint8Array {
  const key = wordOf(mix16(0, secret))
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; at += 16) bytes.set(mix16(key ^ at, info).subarray(0, length - at), at)
  return bytes
}
