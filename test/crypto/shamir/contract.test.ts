/**
 * One contract, three makers: our secret sharing and two npm packages as referees; then shares of one
 * maker put together by another. SPEC erasure §4
 *
 * shamir-secret-sharing has our field and shuffles its x, which it writes behind each share.
 * shamirs-secret-sharing-ts has the field 0x11d and our x; there is exactly one way (up to conjugates)
 * to read its bytes as values of our field: write them as polynomials of a root of 0x11d in 0x11b.
 */
import { randomFillSync } from 'node:crypto'
import { combine as combineAudited, split as splitAudited } from 'shamir-secret-sharing'
import { combine as combineOther, split as splitOther } from 'shamirs-secret-sharing-ts'
import { describe, expect, it } from 'vitest'
import type { SecretRandom } from '../../../core/index.ts'
import { multiply } from '../../../crypto/shamir/field.ts'
import { combineShares, type Share, type SharingCounts, splitSecret } from '../../../crypto/shamir/index.ts'

const random: SecretRandom = {
  bytes: (size) => randomFillSync(new Uint8Array(size)),
  fill: (target) => void randomFillSync(target),
}

interface Maker<Piece> {
  readonly name: string
  readonly thresholdMin: number
  split(secret: Uint8Array, counts: SharingCounts): Promise<readonly Piece[]>
  combine(pieces: readonly Piece[]): Promise<Uint8Array>
}

function ours(): Maker<Share> {
  return {
    name: 'this project',
    thresholdMin: 1,
    split: async (secret, counts) => splitSecret(secret, counts, random).map((bytes, index) => ({ index, bytes })),
    combine: async (pieces) => combineShares(pieces, pieces.length),
  }
}

function audited(): Maker<Uint8Array> {
  return {
    name: 'shamir-secret-sharing',
    thresholdMin: 2,
    split: (secret, { threshold, count }) => splitAudited(secret, count, threshold),
    combine: (pieces) => combineAudited([...pieces]),
  }
}

function other(): Maker<Buffer> {
  return {
    name: 'shamirs-secret-sharing-ts',
    thresholdMin: 1,
    split: async (secret, { threshold, count }) =>
      splitOther(Buffer.from(secret), { shares: count, threshold }) as Buffer[],
    combine: async (pieces) => Uint8Array.from(combineOther([...pieces])),
  }
}

const SECRETS = [
  ['zeros', new Uint8Array(32)],
  ['ones', new Uint8Array(32).fill(0xff)],
  ['chance', random.bytes(32)],
] as const

function keepsTheContract<Piece>(maker: Maker<Piece>): void {
  describe(`secret sharing by ${maker.name}`, () => {
    it.each(SECRETS)('gives %s back from any threshold of the shares', async (_, secret) => {
      for (const [threshold, count] of [
        [1, 1],
        [1, 8],
        [2, 2],
        [2, 10],
        [4, 14],
        [8, 22],
        [30, 40],
      ] as const) {
        if (threshold < maker.thresholdMin) continue
        const pieces = await maker.split(secret, { threshold, count })
        expect(pieces.length).toBe(count)
        for (const start of [0, count - threshold, Math.floor((count - threshold) / 2)]) {
          const some = pieces.slice(start, start + threshold)
          expect(await maker.combine(some)).toEqual(secret)
          expect(await maker.combine(some.reverse())).toEqual(secret)
        }
      }
    })

    it('does not give the secret for one share too few', async () => {
      const secret = random.bytes(32)
      const pieces = await maker.split(secret, { threshold: 8, count: 22 })
      expect(await maker.combine(pieces.slice(0, 7))).not.toEqual(secret)
    })

    it('splits one secret differently each time', async () => {
      const secret = random.bytes(32)
      const counts = { threshold: 3, count: 5 }
      expect(await maker.split(secret, counts)).not.toEqual(await maker.split(secret, counts))
    })
  })
}

keepsTheContract(ours())
keepsTheContract(audited())
keepsTheContract(other())

describe('shares of one maker put together by another', () => {
  const counts = { threshold: 8, count: 22 }

  it('the audited package rebuilds from our shares', async () => {
    const secret = random.bytes(32)
    const shares = splitSecret(secret, counts, random).map((bytes, index) => Uint8Array.of(...bytes, index + 1))
    for (const start of [0, 5, 14]) expect(await combineAudited(shares.slice(start, start + 8))).toEqual(secret)
  })

  it('we rebuild from the shares of the audited package, wherever they sit', async () => {
    const secret = random.bytes(32)
    const theirs = await splitAudited(secret, counts.count, counts.threshold)
    const shares = theirs.map((share) => ({ index: (share[32] as number) - 1, bytes: share.subarray(0, 32) }))
    for (const start of [0, 5, 14]) expect(combineShares(shares.slice(start, start + 8), 8)).toEqual(secret)
  })

  it('we rebuild from the shares of the other package, read into our field', () => {
    const secret = random.bytes(32)
    const toOurs = isomorphism()
    const toTheirs = new Map(toOurs.map((value, byte) => [value, byte]))
    // A share: 08, x, then 15 zeros of padding, a one, and the secret's bytes from the last, each after a zero;
    // every byte of that is shared by itself.
    const theirs = splitOther(Buffer.from(secret), { shares: 22, threshold: 8 }) as Buffer[]
    const shares = theirs.map((share) => ({
      index: (toOurs[share[1] as number] as number) - 1,
      bytes: Uint8Array.from({ length: 32 }, (_, i) => toOurs[share[share.length - 1 - 2 * i] as number] as number),
    }))
    for (const start of [0, 5, 14]) {
      const found = combineShares(shares.slice(start, start + 8), 8)
      expect(found.map((value) => toTheirs.get(value) as number)).toEqual(secret)
    }
  })
})

/** The value in our field of each byte read as a polynomial of a root of x^8 + x^4 + x^3 + x^2 + 1. */
function isomorphism(): number[] {
  const powersOf = (value: number) => {
    const powers = [1]
    for (let i = 1; i <= 8; i++) powers.push(multiply(powers[i - 1] as number, value))
    return powers
  }
  for (let root = 2; root < 256; root++) {
    const powers = powersOf(root)
    const value = [8, 4, 3, 2, 0].reduce((sum, i) => sum ^ (powers[i] as number), 0)
    if (value !== 0) continue
    return Array.from({ length: 256 }, (_, byte) =>
      powers.slice(0, 8).reduce((sum, power, bit) => sum ^ ((byte >> bit) & 1 ? power : 0), 0),
    )
  }
  throw new Error('two fields of one size have one shape')
}
