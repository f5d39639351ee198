/**
 * Stands in for crypto/sign.ts in fast simulations: a signature is a hash that names its key. Whoever knows
 * the public key can make one; hostile machines of the simulation do not.
 */
import { createHash } from 'node:crypto'
import { equalBytes, named32, type PublicKey } from '../../core/index.ts'
import { mix16, wordOf } from './mix.ts'

export const SIGNATURE_SIZE = 64

export interface SigningKey {
  readonly publicKey: PublicKey
  sign(message: Uint8Array): Uint8Array
}

export function signingKeyFromSeed(seed: Uint8Array): SigningKey {
  const hash = createHash('sha256').update('public').update(seed).digest()
  const publicKey = named32<'PublicKey'>(new Uint8Array(hash), 'public key')
  return { publicKey, sign: (message) => signature(publicKey, message) }
}

export function verifySignature(publicKey: Uint8Array, message: Uint8Array, given: Uint8Array): boolean {
  if (publicKey.length !== 32 || given.length !== SIGNATURE_SIZE) return false
  return equalBytes(signature(publicKey, message), given)
}

export function isSafePublicKey(raw: Uint8Array): boolean {
  return raw.length === 32
}

function signature(publicKey: Uint8Array, message: Uint8Array): Uint8Array {
  const quarter = mix16(wordOf(publicKey), message)
  const whole = new Uint8Array(SIGNATURE_SIZE)
  for (let at = 0; at < SIGNATURE_SIZE; at += quarter.length) whole.set(quarter, at)
  return whole
}
