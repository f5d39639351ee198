/** X25519 (RFC 7748): a relay's onion keys and the one-time keys of a handshake. SPEC crypto §7 */
import { diffieHellman } from 'node:crypto'
import { named32, type OnionKey } from '../core/index.ts'
import { privateKeyFromSeed, publicKeyFromRaw, rawPublicKey } from './curve-key.ts'

export interface ExchangeKey {
  readonly publicKey: OnionKey
  /** The 32 bytes both sides share; undefined when `other` is not 32 bytes or makes the result all zero. */
  agree(other: Uint8Array): Uint8Array | undefined
}

export function exchangeKeyFromSeed(seed: Uint8Array): ExchangeKey {
  const privateKey = privateKeyFromSeed('X25519', seed)
  return {
    publicKey: named32<'OnionKey'>(rawPublicKey(privateKey), 'onion key'),
    agree: (other) => {
      if (other.length !== 32) return undefined
      try {
        return new Uint8Array(diffieHellman({ privateKey, publicKey: publicKeyFromRaw('X25519', other) }))
      } catch {
        // OpenSSL refuses the points of small order, whose shared secret anyone could tell.
        return undefined
      }
    },
  }
}
