/** Stands in for crypto/exchange.ts in fast simulations: anyone can tell the shared bytes, both sides do. */
import { createHash } from 'node:crypto'
import { compareBytes, named32, type OnionKey } from '../../core/index.ts'

export interface ExchangeKey {
  readonly publicKey: OnionKey
  agree(other: Uint8Array): Uint8Array | undefined
}

export function exchangeKeyFromSeed(seed: Uint8Array): ExchangeKey {
  const own = named32<'OnionKey'>(new Uint8Array(createHash('sha256').update('onion').update(seed).digest()), 'key')
  return {
    publicKey: own,
    agree: (other) => {
      if (other.length !== 32) return undefined
      const [low, high] = compareBytes(own, other) < 0 ? [own, other] : [other, own]
      return new Uint8Array(createHash('sha256').update(low).update(high).digest())
    },
  }
}
