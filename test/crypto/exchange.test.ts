import { x25519 } from '@noble/curves/ed25519.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../core/index.ts'
import { exchangeKeyFromSeed } from '../../crypto/index.ts'
import { bytesOf, someBytes, vectors } from './support.ts'

const seed = fc.uint8Array({ minLength: 32, maxLength: 32 })

describe('X25519', () => {
  it.each(vectors<{ seed: string; other: string; publicKey?: string; expect: string }>('x25519'))(
    'RFC 7748 $name',
    (vector) => {
      const key = exchangeKeyFromSeed(bytesOf(vector.seed))
      if (vector.publicKey !== undefined) expect(toHex(key.publicKey)).toBe(vector.publicKey)
      const agreed = key.agree(bytesOf(vector.other))
      expect(agreed === undefined ? 'refused' : toHex(agreed)).toBe(vector.expect)
    },
  )

  it('agrees with itself and with an independent library', () => {
    fc.assert(
      fc.property(seed, seed, (a, b) => {
        const [left, right] = [exchangeKeyFromSeed(a), exchangeKeyFromSeed(b)]
        const agreed = toHex(left.agree(right.publicKey) as Uint8Array)
        expect(toHex(right.agree(left.publicKey) as Uint8Array)).toBe(agreed)
        expect(toHex(x25519.getSharedSecret(a, right.publicKey))).toBe(agreed)
        expect(toHex(x25519.getPublicKey(a))).toBe(toHex(left.publicKey))
      }),
      { numRuns: 20 },
    )
  })

  it('refuses keys of another length', () => {
    const key = exchangeKeyFromSeed(someBytes(32))
    for (const size of [0, 31, 33, 64]) expect(key.agree(new Uint8Array(size).fill(9))).toBeUndefined()
  })

  it('goes on working after a refusal', () => {
    const key = exchangeKeyFromSeed(someBytes(32))
    const before = toHex(key.agree(key.publicKey) as Uint8Array)
    key.agree(new Uint8Array(32))
    expect(toHex(key.agree(key.publicKey) as Uint8Array)).toBe(before)
  })
})
