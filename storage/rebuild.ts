/**
 * Lost shards of a stripe out of k others, byte for byte as they were: ciphertext and parity from the
 * erasure code, the share of the stripe's secret from the sharing, the mask from the repair key. Nothing of
 * the plaintext comes into being: that would take the data key. SPEC repair §1
 */
import { assert, equalBytes, FRAGMENT_SIZE, SHARD_HEADER_SIZE, SHARD_SIZE, shardCount } from '../core/index.ts'
import { combineShares, encodeParity, evaluateShare, LABELS, merkleRoot, rebuildData, tagged } from '../crypto/index.ts'
import type { StripeEntry } from './manifest.ts'
import { maskShard, type OpenedShard, SHARD_VERSION, type StripeKeys, type StripePlace } from './stripe.ts'

/**
 * The shards `wanted`, masked as they are stored, from exactly k distinct ones; undefined when these are not
 * of the stripe. A shard that comes out under another name than the manifest lists was never right, and is
 * left out.
 */
export function rebuildShards(
  of: { readonly keys: Pick<StripeKeys, 'repair'>; readonly place: StripePlace; readonly entry: StripeEntry },
  shards: readonly OpenedShard[],
  wanted: readonly number[],
): ReadonlyMap<number, Uint8Array> | undefined {
  const { k, hash, ids, salts } = of.entry
  const n = shardCount(k)
  const [first] = shards
  assert(first !== undefined && shards.length === k, 'a stripe is rebuilt from k shards')
  const { commitment } = first
  const cipher = rebuildData(
    { k, n, size: FRAGMENT_SIZE },
    shards.map(({ index, fragment }) => ({ index, bytes: fragment })),
  )
  if (!equalBytes(tagged(LABELS.stripeHash, commitment, cipher), hash)) return undefined
  const shares = shards.map(({ index, share }) => ({ index, bytes: share }))
  const secret = k === 1 ? first.share : combineShares(shares, k)
  if (!equalBytes(tagged(LABELS.stripeCommitment, secret), commitment)) return undefined

  const hasParity = wanted.some((shard) => shard >= k)
  const parity = hasParity ? encodeParity({ k, parity: n - k, size: FRAGMENT_SIZE }, cipher) : cipher
  const piece = new Uint8Array(SHARD_SIZE)
  piece.set(commitment, 32)
  piece.set(hash, 64)
  piece[96] = SHARD_VERSION
  const rebuilt = new Map<number, Uint8Array>()
  for (const shard of wanted) {
    piece.set(k === 1 ? secret : evaluateShare(shares, k, shard), 0)
    const [whole, at] = shard < k ? [cipher, shard] : [parity, shard - k]
    piece.set(whole.subarray(at * FRAGMENT_SIZE, (at + 1) * FRAGMENT_SIZE), SHARD_HEADER_SIZE)
    const bytes = maskShard(of.keys, { place: of.place, shard, salt: salts[shard] as number }, piece)
    if (equalBytes(merkleRoot(bytes), ids.subarray(32 * shard, 32 * (shard + 1)))) rebuilt.set(shard, bytes)
  }
  return rebuilt
}
