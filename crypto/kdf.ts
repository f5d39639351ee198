/** HKDF-SHA-256 (RFC 5869) with an empty salt; the info is the tag layout of hash.ts. SPEC crypto §3 */
import { hkdfSync } from 'node:crypto'
import { assert } from '../core/index.ts'
import { tagLayout } from './hash.ts'
import type { Label } from './labels.ts'

/** Node takes no longer info; whoever has more to bind hashes it first. */
const INFO_SIZE_MAX = 1_024
const LENGTH_MAX = 255 * 32
const NO_SALT = new Uint8Array(0)

/** `length` bytes that only holders of `secret` can tell. No context and an empty context differ. */
export function hkdf(from: {
  readonly secret: Uint8Array
  readonly label: Label
  readonly context?: Uint8Array
  readonly length: number
}): Uint8Array {
  const info = tagLayout(from.label, from.context === undefined ? [] : [from.context])
  return hkdfWithInfo(from.secret, info, from.length)
}

/** The algorithm without the layout, as its published vectors want it; not for outside this room. */
export function hkdfWithInfo(secret: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  assert(info.length <= INFO_SIZE_MAX, 'a key context is short')
  assert(length >= 1 && length <= LENGTH_MAX, 'a derived key has 1 to 8,160 bytes')
  return new Uint8Array(hkdfSync('sha256', secret, NO_SALT, info, length))
}
