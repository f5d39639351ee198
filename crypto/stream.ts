/**
 * AES-256-CTR from a zero counter block, for keys that encrypt one thing and are never used again. It
 * authenticates nothing: what it hides is checked by a hash that names it. SPEC crypto §4
 */
import { createCipheriv } from 'node:crypto'
import { assert } from '../core/index.ts'
import { plainBytes } from './hash.ts'

const BLOCK_SIZE = 16
/** No data here has so many bytes that the counter would need more than its last four. */
const COUNTER_AT = 12

/**
 * Encrypts or decrypts (the same step) into a new buffer. `key` has 32 bytes and serves one run of data alone, of
 * which `data` is what begins at byte `from`, a multiple of 16.
 */
export function aesCtr(key: Uint8Array, data: Uint8Array, from = 0): Uint8Array {
  assert(key.length === 32, 'an AES-256 key has 32 bytes')
  assert(Number.isInteger(from / BLOCK_SIZE) && from >= 0, 'a part begins with a block')
  const counter = new Uint8Array(BLOCK_SIZE)
  new DataView(counter.buffer).setUint32(COUNTER_AT, from / BLOCK_SIZE)
  return plainBytes(createCipheriv('aes-256-ctr', key, counter).update(data))
}
