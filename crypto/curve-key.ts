/**
 * Raw 32-byte Ed25519 and X25519 keys as node:crypto keys and back. By JWK, which is an order of magnitude
 * faster than DER for raw keys. SPEC crypto §5, §7
 */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { assert } from '../core/index.ts'

export type Curve = 'Ed25519' | 'X25519'

export function privateKeyFromSeed(curve: Curve, seed: Uint8Array): KeyObject {
  assert(seed.length === 32, 'a curve key has a 32-byte seed')
  // `x` must be present but is not read: the public half follows from `d`.
  return createPrivateKey({ key: { kty: 'OKP', crv: curve, d: toBase64Url(seed), x: '' }, format: 'jwk' })
}

/** `raw` has 32 bytes. */
export function publicKeyFromRaw(curve: Curve, raw: Uint8Array): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: curve, x: toBase64Url(raw) }, format: 'jwk' })
}

/** The raw public half of either half. */
export function rawPublicKey(key: KeyObject): Uint8Array {
  const { x } = key.export({ format: 'jwk' })
  assert(x !== undefined, 'a curve key has a public half')
  return new Uint8Array(Buffer.from(x, 'base64url'))
}

export function toBase64Url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url')
}
