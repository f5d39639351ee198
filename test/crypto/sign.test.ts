import { ED25519_TORSION_SUBGROUP, ed25519 } from '@noble/curves/ed25519.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../core/index.ts'
import { isSafePublicKey, SIGNATURE_SIZE, signingKeyFromSeed, verifySignature } from '../../crypto/index.ts'
import { bytesOf, flipped, someBytes, vectors } from './support.ts'

const published = vectors<Record<'seed' | 'publicKey' | 'message' | 'signature', string>>('ed25519')
const key = signingKeyFromSeed(someBytes(32, 'seed'))
const message = someBytes(200)
const signature = key.sign(message)

describe('Ed25519', () => {
  it.each(published)('RFC 8032 $name', (vector) => {
    const signer = signingKeyFromSeed(bytesOf(vector.seed))
    expect(toHex(signer.publicKey)).toBe(vector.publicKey)
    expect(toHex(signer.sign(bytesOf(vector.message)))).toBe(vector.signature)
    expect(verifySignature(signer.publicKey, bytesOf(vector.message), bytesOf(vector.signature))).toBe(true)
    expect(isSafePublicKey(signer.publicKey)).toBe(true)
  })

  it('agrees with an independent library', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.uint8Array({ maxLength: 100 }), (seed, text) => {
        const signer = signingKeyFromSeed(seed)
        expect(toHex(signer.publicKey)).toBe(toHex(ed25519.getPublicKey(seed)))
        expect(toHex(signer.sign(text))).toBe(toHex(ed25519.sign(text, seed)))
      }),
      { numRuns: 20 },
    )
  })

  it('refuses a changed bit anywhere', () => {
    for (let at = 0; at < SIGNATURE_SIZE; at++) {
      expect(verifySignature(key.publicKey, message, flipped(signature, at, at % 8))).toBe(false)
    }
    for (let at = 0; at < 32; at++) {
      expect(verifySignature(flipped(key.publicKey, at, at % 8), message, signature)).toBe(false)
    }
    expect(verifySignature(key.publicKey, flipped(message, 199), signature)).toBe(false)
  })

  it('refuses a second signature made from the first by adding the order to s', () => {
    const order = 2n ** 252n + 27742317777372353535851937790883648493n
    let s = order
    for (let i = 0; i < 32; i++) s += BigInt(signature[32 + i] as number) << BigInt(8 * i)
    const other = new Uint8Array(signature)
    for (let i = 0; i < 32; i++) other[32 + i] = Number((s >> BigInt(8 * i)) & 255n)
    expect(verifySignature(key.publicKey, message, other)).toBe(false)
  })

  it('answers false for keys and signatures of any wrong form', () => {
    expect(verifySignature(new Uint8Array(0), message, signature)).toBe(false)
    expect(verifySignature(key.publicKey.subarray(1), message, signature)).toBe(false)
    expect(verifySignature(key.publicKey, message, signature.subarray(1))).toBe(false)
    expect(verifySignature(key.publicKey, message, new Uint8Array(65))).toBe(false)
    expect(verifySignature(new Uint8Array(32).fill(255), message, signature)).toBe(false)
    expect(verifySignature(key.publicKey, message, new Uint8Array(64).fill(255))).toBe(false)
  })

  it('stays right when more keys are used than are kept ready', () => {
    const keys = Array.from({ length: 600 }, (_, index) => signingKeyFromSeed(someBytes(32, `seed ${index}`)))
    const signed = keys.map((each) => each.sign(message))
    for (const round of [0, 1]) {
      for (const [index, each] of keys.entries()) {
        expect(verifySignature(each.publicKey, message, signed[index] as Uint8Array)).toBe(true)
        if (index % 20 === round) {
          expect(verifySignature(each.publicKey, message, signed[(index + 1) % 600] as Uint8Array)).toBe(false)
        }
      }
    }
  })
})

describe('isSafePublicKey', () => {
  it('refuses every point of small order', () => {
    expect(ED25519_TORSION_SUBGROUP.length).toBe(8)
    for (const point of ED25519_TORSION_SUBGROUP) expect(isSafePublicKey(bytesOf(point))).toBe(false)
  })

  it('refuses encodings that are not canonical', () => {
    const p = 2n ** 255n - 19n
    const encode = (y: bigint, sign: boolean) =>
      Uint8Array.from({ length: 32 }, (_, i) => Number((y >> BigInt(8 * i)) & 255n) | (i === 31 && sign ? 0x80 : 0))
    for (let extra = 0n; extra < 19n; extra++) {
      expect(isSafePublicKey(encode(p + extra, false))).toBe(false)
      expect(isSafePublicKey(encode(p + extra, true))).toBe(false)
    }
    // x = 0 with its sign bit set
    expect(isSafePublicKey(encode(1n, true))).toBe(false)
  })

  it('refuses what is no point and what has the wrong length', () => {
    let points = 0
    for (let y = 2; y < 42; y++)
      if (isSafePublicKey(Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? y : 0)))) points++
    expect(points).toBeGreaterThan(10)
    expect(points).toBeLessThan(30)
    expect(isSafePublicKey(key.publicKey.subarray(1))).toBe(false)
    expect(isSafePublicKey(new Uint8Array(33))).toBe(false)
  })
})
