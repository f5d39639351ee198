/**
 * AES-256-CTR from a zero counter block, for keys that encrypt one thing and are never used again. It
 * authenticates nothing: what it hides is checked by a hash that names it. SPEC crypto §4
 */
import { createCipheriv } from 'node:crypto'
import { assert } from '../core/index.ts'
import { plainBytes } from './hash.ts'

const ZERO_BLOCK = new Uint8Array(16)

/** Encrypts or decrypts (the same step) into a new buffer. `key` has 32 bytes and serves this data alone. */
export function aesCtr(key: Uint8Array, data: Uint8Array): Uint8Array {
  assert(key.length === 32, 'an AES-256 key has 32 bytes')
  return plainBytes(createCipheriv('aes-256-ctr', key, ZERO_BLOCK).update(data))
}
