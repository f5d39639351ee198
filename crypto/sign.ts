/**
 * Ed25519 signatures. One rule for all nodes: what node:crypto accepts is valid (cofactorless, RFC 8032), and
 * keys of small order or unusual encoding are refused once, at admission, by isSafePublicKey(). Libraries
 * differ on exactly those, and a node with another rule would see another network. SPEC crypto §5
 */
import { type KeyObject, sign, verify } from 'node:crypto'
import { ed25519 } from '@noble/curves/ed25519.js'
import { named32, type PublicKey } from '../core/index.ts'
import { privateKeyFromSeed, publicKeyFromRaw, rawPublicKey, toBase64Url } from './curve-key.ts'

export const SIGNATURE_SIZE = 64

export interface SigningKey {
  readonly publicKey: PublicKey
  /** 64 bytes, the same for the same message. */
  sign(message: Uint8Array): Uint8Array
}

/** `seed` is the 32-byte private key of RFC 8032. */
export function signingKeyFromSeed(seed: Uint8Array): SigningKey {
  const key = privateKeyFromSeed('Ed25519', seed)
  return {
    publicKey: named32<'PublicKey'>(rawPublicKey(key), 'public key'),
    sign: (message) => new Uint8Array(sign(null, message, key)),
  }
}

/** Never throws: a key or signature of any wrong form is a wrong signature. */
export function verifySignature(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== 32 || signature.length !== SIGNATURE_SIZE) return false
  try {
    return verify(null, message, verifyKey(publicKey), signature)
  } catch {
    return false
  }
}

/**
 * Whether a key from outside may be admitted: the canonical encoding of a point that is not of small order.
 * Takes about twice as long as checking a signature.
 */
export function isSafePublicKey(raw: Uint8Array): boolean {
  if (raw.length !== 32) return false
  const text = toBase64Url(raw)
  if (SAFE_KEYS.has(text)) return true
  try {
    if (ed25519.Point.fromBytes(raw, false).isSmallOrder()) return false
  } catch {
    return false
  }
  const [oldest] = SAFE_KEYS
  if (SAFE_KEYS.size >= SAFE_KEYS_MAX && oldest !== undefined) SAFE_KEYS.delete(oldest)
  SAFE_KEYS.add(text)
  return true
}

/** Descriptors of one key come again and again; only what was found safe is remembered. */
const SAFE_KEYS_MAX = 4_096
const SAFE_KEYS = new Set<string>()

/** The same keepers sign many receipts; a key made ready costs 200 bytes and saves a tenth of the check. */
const VERIFY_KEYS_MAX = 512
const VERIFY_KEYS = new Map<string, KeyObject>()

function verifyKey(publicKey: Uint8Array): KeyObject {
  const text = toBase64Url(publicKey)
  const known = VERIFY_KEYS.get(text)
  if (known !== undefined) return known
  const made = publicKeyFromRaw('Ed25519', publicKey)
  const [oldest] = VERIFY_KEYS.keys()
  if (VERIFY_KEYS.size >= VERIFY_KEYS_MAX && oldest !== undefined) VERIFY_KEYS.delete(oldest)
  VERIFY_KEYS.set(text, made)
  return made
}
