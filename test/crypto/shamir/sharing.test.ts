/** Secret sharing: vectors, laws, refusals, and what fewer shares tell. SPEC erasure §4 */
import { randomFillSync } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromHex, type SecretRandom, toHex } from '../../../core/index.ts'
import { invert, multiply, POLYNOMIAL } from '../../../crypto/shamir/field.ts'
import { combineShares, evaluateShare, type Share, splitSecret } from '../../../crypto/shamir/index.ts'

const random: SecretRandom = {
  bytes: (size) => randomFillSync(new Uint8Array(size)),
  fill: (target) => void randomFillSync(target),
}

/** Gives out `script` once; remembers the buffers it gave. */
function scripted(script: Uint8Array): SecretRandom & { given: Uint8Array[] } {
  const given: Uint8Array[] = []
  return {
    given,
    bytes(size) {
      if (size !== script.length) throw new Error(`asked for ${size} bytes, not ${script.length}`)
      const bytes = script.slice()
      given.push(bytes)
      return bytes
    },
    fill() {
      throw new Error('not asked for')
    },
  }
}

function indexed(shares: readonly Uint8Array[]): Share[] {
  return shares.map((bytes, index) => ({ index, bytes }))
}

const counting = (from: number, size: number) => Uint8Array.from({ length: size }, (_, i) => from + i)
const BYTES = counting(0, 256)

/** Shares 0, 1 and 13; worked out by a program of its own. Never edited: stored shares depend on them. */
const FROZEN = [
  '444444444c4c4c4c444444445c5c5c5c444444444c4c4c4c44444444fcfcfcfc',
  'b9b6a7a8f5faebe4c1cedfd06d62737c49465758050a1b14313e2f20ebe4f5fa',
  'c3ed9fb11836446aa886f4dab59be9c7153b4967cee092bc7e50220c5c72002e',
]

describe('field 0x11b', () => {
  it('multiplies as FIPS 197 §4.2 prints', () => {
    expect(multiply(0x57, 0x83)).toBe(0xc1)
    expect(multiply(0x57, 0x13)).toBe(0xfe)
    expect([0x02, 0x04, 0x08, 0x10].map((b) => multiply(0x57, b))).toEqual([0xae, 0x47, 0x8e, 0x07])
  })

  it('multiplies every pair as the definition has it, and inverts every value but zero', () => {
    let wrong = 0
    for (const a of BYTES) {
      for (const b of BYTES) {
        let product = 0
        for (let bit = 0; bit < 8; bit++) if ((b >> bit) & 1) product ^= a << bit
        for (let bit = 14; bit >= 8; bit--) if ((product >> bit) & 1) product ^= POLYNOMIAL << (bit - 8)
        if (multiply(a, b) !== product) wrong++
      }
      if (multiply(a, invert(a)) !== (a === 0 ? 0 : 1)) wrong++
    }
    expect(wrong).toBe(0)
  })
})

describe('secret sharing', () => {
  it('follows the polynomial: a share worked out by hand', () => {
    // f(x) = 42 + 83 x + ca x^2. At 1: 42 ^ 83 ^ ca = 0b. At 2: 83*2 = 1d, ca*4 = 05: 42 ^ 1d ^ 05 = 5a.
    const coefficients = new Uint8Array(64).fill(0x83, 0, 32).fill(0xca, 32)
    const shares = splitSecret(new Uint8Array(32).fill(0x42), { threshold: 3, count: 3 }, scripted(coefficients))
    expect(shares.slice(0, 2).map((share) => share[0])).toEqual([0x0b, 0x5a])
  })

  it('gives the frozen shares for frozen coefficients', () => {
    const shares = splitSecret(counting(0, 32), { threshold: 4, count: 14 }, scripted(counting(100, 96)))
    expect([0, 1, 13].map((index) => toHex(shares[index] as Uint8Array))).toEqual(FROZEN)
  })

  it('rebuilds the frozen secret from the frozen shares', () => {
    const shares = [0, 1, 13].map((index, at) => ({ index, bytes: fromHex(FROZEN[at] as string) as Uint8Array }))
    const third = splitSecret(counting(0, 32), { threshold: 4, count: 14 }, scripted(counting(100, 96)))[5]
    expect(combineShares([...shares, { index: 5, bytes: third as Uint8Array }], 4)).toEqual(counting(0, 32))
  })

  it('rebuilds the secret and remakes every share from any threshold of them, byte for byte', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc
          .integer({ min: 1, max: 24 })
          .chain((count) => fc.tuple(fc.integer({ min: 1, max: count }), fc.constant(count))),
        fc.infiniteStream(fc.integer({ min: 0, max: 1_000_000 })),
        (secret, [threshold, count], order) => {
          const shares = indexed(splitSecret(secret, { threshold, count }, random))
          const mixed = shares.map((share) => ({ share, key: order.next().value as number }))
          const have = mixed
            .sort((a, b) => a.key - b.key)
            .slice(0, threshold)
            .map(({ share }) => share)
          expect(combineShares(have, threshold)).toEqual(secret)
          for (const { index, bytes } of shares) expect(evaluateShare(have, threshold, index)).toEqual(bytes)
        },
      ),
      { numRuns: 100 },
    )
  })

  it('rebuilds from each subset of 3 of 7', () => {
    const secret = random.bytes(32)
    const shares = indexed(splitSecret(secret, { threshold: 3, count: 7 }, random))
    let subsets = 0
    for (const a of shares) {
      for (const b of shares.slice(a.index + 1)) {
        for (const c of shares.slice(b.index + 1)) {
          expect(combineShares([c, a, b], 3)).toEqual(secret)
          subsets++
        }
      }
    }
    expect(subsets).toBe(35)
  })

  it('works at its limits: 255 of 255, 1 of 255, and the last index', () => {
    const secret = random.bytes(32)
    const all = indexed(splitSecret(secret, { threshold: 255, count: 255 }, random))
    expect(combineShares(all, 255)).toEqual(secret)
    const copies = splitSecret(secret, { threshold: 1, count: 255 }, random)
    for (const copy of copies) expect(copy).toEqual(secret)
    expect(evaluateShare([{ index: 254, bytes: secret }], 1, 0)).toEqual(secret)
    const three = indexed(splitSecret(secret, { threshold: 3, count: 255 }, random)).slice(252)
    expect(combineShares(three, 3)).toEqual(secret)
  })

  it('draws the coefficients in one request and wipes them', () => {
    const chance = scripted(counting(1, 64))
    splitSecret(random.bytes(32), { threshold: 3, count: 5 }, chance)
    expect(chance.given).toEqual([new Uint8Array(64)])
  })

  it('leaves the secret and the shares as they were and hands out buffers of its own', () => {
    const secret = counting(7, 32)
    const shares = indexed(splitSecret(secret, { threshold: 1, count: 2 }, random))
    shares[0]?.bytes.fill(0)
    expect(secret).toEqual(counting(7, 32))
    expect(shares[1]?.bytes).toEqual(secret)
    const [, second] = shares as [Share, Share]
    combineShares([second], 1).fill(0)
    expect(second.bytes).toEqual(secret)
  })

  it('gives a wrong secret, not an error, for a wrong share', () => {
    const secret = counting(0, 32)
    const shares = indexed(splitSecret(secret, { threshold: 2, count: 2 }, random))
    const [first, second] = shares as [Share, Share]
    first.bytes[31] = (first.bytes[31] as number) ^ 1
    const found = combineShares([first, second], 2)
    expect(found.slice(0, 31)).toEqual(secret.slice(0, 31))
    expect(found[31]).not.toBe(secret[31])
  })
})

describe('what fewer shares tell', () => {
  it('one of two: for every secret, each value of the share comes from exactly one coefficient', () => {
    for (const index of [0, 1, 254]) {
      for (const secretByte of BYTES) {
        const seen = new Set<number>()
        for (let from = 0; from < 256; from += 32) {
          const secret = new Uint8Array(32).fill(secretByte)
          const shares = splitSecret(
            secret,
            { threshold: 2, count: 255 - (index === 254 ? 0 : 253) },
            scripted(counting(from, 32)),
          )
          for (const value of shares[index] as Uint8Array) seen.add(value)
        }
        if (seen.size !== 256) throw new Error(`share ${index} tells of secret ${secretByte}`)
      }
    }
  })

  it.each([
    [2, [4]],
    [3, [0, 1]],
    [4, [9, 2, 5]],
  ])(
    'a fixed set of threshold - 1 shares leaves every secret possible, each once (threshold %i)',
    (threshold, indices) => {
      const fixed = indices.map((index) => ({ index, bytes: random.bytes(32) }))
      const possible = Array.from({ length: 32 }, () => new Set<number>())
      for (const value of BYTES) {
        const last = { index: 20, bytes: new Uint8Array(32).fill(value) }
        const secret = combineShares([...fixed, last], threshold)
        for (const [at, byte] of secret.entries()) possible[at]?.add(byte)
      }
      expect(possible.map((secrets) => secrets.size)).toEqual(new Array(32).fill(256))
    },
  )
})

describe('refusals', () => {
  const shares = indexed(splitSecret(counting(0, 32), { threshold: 2, count: 4 }, random))
  const [a, b, c] = shares as [Share, Share, Share]

  it.each([
    { threshold: 0, count: 3 },
    { threshold: -1, count: 3 },
    { threshold: 2.5, count: 3 },
    { threshold: Number.NaN, count: 3 },
    { threshold: 4, count: 3 },
    { threshold: 2, count: 256 },
    { threshold: 256, count: 256 },
    { threshold: 2, count: 2.5 },
    { threshold: 2, count: Number.NaN },
  ])('refuses to split with $threshold of $count', (counts) => {
    expect(() => splitSecret(counting(0, 32), counts, random)).toThrowError(
      expect.objectContaining({ code: 'ERR_SHARING', kind: 'input' }),
    )
  })

  it.each([0, 31, 33, 64])('refuses to split a secret of %i bytes', (size) => {
    expect(() => splitSecret(new Uint8Array(size), { threshold: 2, count: 3 }, random)).toThrowError(
      expect.objectContaining({ code: 'ERR_SHARING' }),
    )
  })

  it.each<[string, readonly Share[]]>([
    ['no shares', []],
    ['too few', [a]],
    ['too many', [a, b, c]],
    ['the same one twice', [a, a]],
    ['two with one index', [a, { index: 0, bytes: b.bytes }]],
    ['one at the place of the secret', [a, { index: -1, bytes: b.bytes }]],
    ['an index past the last', [a, { index: 255, bytes: b.bytes }]],
    ['a broken index', [a, { index: 0.5, bytes: b.bytes }]],
    ['an index that is no number', [a, { index: Number.NaN, bytes: b.bytes }]],
    ['a short share', [a, { index: 1, bytes: b.bytes.subarray(1) }]],
    ['a long share', [a, { index: 1, bytes: new Uint8Array(33) }]],
  ])('refuses %s', (_, set) => {
    const refused = expect.objectContaining({ code: 'ERR_SHARE_SET', kind: 'input' })
    expect(() => combineShares(set, 2)).toThrowError(refused)
    expect(() => evaluateShare(set, 2, 3)).toThrowError(refused)
  })

  it('refuses to remake a share that cannot be, and impossible thresholds', () => {
    for (const index of [-1, 255, 0.5, Number.NaN]) {
      expect(() => evaluateShare([a, b], 2, index)).toThrowError(expect.objectContaining({ code: 'ERR_SHARE_SET' }))
    }
    for (const threshold of [0, 256, 1.5]) {
      expect(() => combineShares([a, b], threshold)).toThrowError(expect.objectContaining({ code: 'ERR_SHARING' }))
    }
  })
})
