import { describe, expect, it } from 'vitest'
import { FRAGMENT_SIZE, SHARD_SIZE, shardCount } from '../../core/index.ts'
import { merkleRoot } from '../../crypto/index.ts'
import { contentRefKey, shardRef } from '../../storage/content-ref.ts'
import { gatherStripe } from '../../storage/gather.ts'
import { Halt } from '../../storage/halt.ts'
import { StripeMismatchError } from '../../storage/index.ts'
import { decodeStripe, encodeStripe, maskShard, type OpenedShard, openPiece, stripeKeys } from '../../storage/stripe.ts'
import { seededBytes, seededJitter, seededRandom } from './support/random.ts'

const keys = stripeKeys(seededBytes(1, 32))
const place = { level: 0, index: 5 }

function encode(seed: number, k: number) {
  const plain = seededBytes(seed, k * FRAGMENT_SIZE)
  const { hash, pieceOf } = encodeStripe({ keys, place, k, plain, random: seededRandom(`stripe ${seed}`) })
  return { plain, hash, pieces: Array.from({ length: shardCount(k) }, (_, shard) => pieceOf(shard).slice()) }
}

function open(pieces: readonly Uint8Array[], hash: Uint8Array, shards: readonly number[]): OpenedShard[] {
  return shards.map((shard) => {
    const opened = openPiece(shard, pieces[shard] as Uint8Array, hash)
    if (opened === undefined) throw new Error('a header of its own stripe was refused')
    return opened
  })
}

describe('stripe', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])('decodes from first, last and mixed choices of k = %i shards', (k) => {
    const { plain, hash, pieces } = encode(k, k)
    const n = shardCount(k)
    const all = Array.from({ length: n }, (_, i) => i)
    for (const chosen of [all.slice(0, k), all.slice(n - k), all.filter((i) => i % 2 === 1).slice(0, k)]) {
      const got = decodeStripe({ keys, place, k, hash }, open(pieces, hash, chosen))
      expect(got !== undefined && Buffer.compare(got, plain) === 0).toBe(true)
    }
  })

  it('shows neither fragment nor header to those who lack the mask', () => {
    const { pieces } = encode(3, 2)
    const plain = new Uint8Array(SHARD_SIZE)
    const at = { place, shard: 0, salt: 0 }
    const mask = maskShard(keys, at, plain)
    const masked = maskShard(keys, at, pieces[0] as Uint8Array)
    expect(Buffer.compare(maskShard(keys, at, masked), pieces[0] as Uint8Array)).toBe(0)
    for (const other of [
      { ...at, salt: 1 },
      { ...at, shard: 1 },
      { ...at, place: { level: 1, index: 5 } },
      { ...at, place: { level: 0, index: 6 } },
    ]) {
      expect(Buffer.compare(maskShard(keys, other, plain), mask)).not.toBe(0)
    }
  })

  it('cannot be read with the object key from fewer shards than k: the secret is missing', () => {
    const { hash, pieces, plain } = encode(4, 2)
    // All data fragments are known here; only shares of the secret are too few.
    const [first, second] = open(pieces, hash, [0, 1]) as [OpenedShard, OpenedShard]
    const guessed = decodeStripe({ keys, place, k: 2, hash }, [first, { ...second, share: first.share }])
    expect(guessed).toBeUndefined()
    expect(decodeStripe({ keys, place, k: 2, hash }, [first, second])).toEqual(plain)
  })

  it('refuses headers of another stripe, version or with spare bytes set', () => {
    const { hash, pieces } = encode(5, 1)
    const piece = pieces[0] as Uint8Array
    expect(openPiece(0, piece, hash)).toBeDefined()
    expect(openPiece(0, piece, seededBytes(9, 32))).toBeUndefined()
    for (const at of [96, 97, 127]) {
      const changed = piece.slice()
      changed[at] = 2
      expect(openPiece(0, changed, hash)).toBeUndefined()
    }
    expect(openPiece(0, piece.subarray(1), hash)).toBeUndefined()
  })

  it('refuses a secret that differs from the committed one, and a commitment the hash does not cover', () => {
    const { hash, pieces } = encode(6, 1)
    const [shard] = open(pieces, hash, [0]) as [OpenedShard]
    expect(decodeStripe({ keys, place, k: 1, hash }, [{ ...shard, share: seededBytes(1, 32) }])).toBeUndefined()
    expect(decodeStripe({ keys, place, k: 1, hash }, [{ ...shard, commitment: seededBytes(1, 32) }])).toBeUndefined()
  })

  /** A stripe whose publisher listed `wrong` shards with fragments that are not of it. */
  async function gatherWith(wrong: number, seed: string): Promise<boolean> {
    const { plain, hash, pieces } = encode(7, 8)
    const n = shardCount(8)
    const held = new Map<string, Uint8Array>()
    const entry = { k: 8, hash, ids: new Uint8Array(32 * n), salts: new Uint8Array(n) }
    for (const [shard, piece] of pieces.entries()) {
      if (shard < wrong) piece.set(seededBytes(shard, 100), 200)
      const bytes = maskShard(keys, { place, shard, salt: 0 }, piece)
      const id = merkleRoot(bytes)
      entry.ids.set(id, 32 * shard)
      held.set(contentRefKey(shardRef(id)), bytes)
    }
    const fetch = async (ref: Parameters<typeof contentRefKey>[0]) => held.get(contentRefKey(ref))
    const got = await gatherStripe({ entry, place, keys }, { fetch, jitter: seededJitter(seed) }, new Halt())
    return Buffer.compare(got, plain) === 0
  }

  it('tries other shards when those found do not fit together', async () => {
    for (let seed = 0; seed < 8; seed++) expect(await gatherWith(2, `other ${seed}`)).toBe(true)
  })

  it('names the publisher when no choice of shards fits together', async () => {
    const error = await gatherWith(15, 'none').catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(StripeMismatchError)
    expect(error).toMatchObject({ kind: 'peer', stripe: 5, level: 0 })
  })
})
