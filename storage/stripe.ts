/**
 * One stripe into its shards and back, without knowing where they go. SPEC dispersal §2, §3
 *
 * The plaintext is encrypted under a key that needs a secret r besides the object key; r is shared out
 * over the headers, so fewer than k shards tell nothing even to someone who has the address. The stripe
 * hash covers the ciphertext and the commitment to r: whichever k shards a reader finds, the plaintext is
 * the same or refused. Every shard is masked whole; its Merkle root names it. Sizes in bytes.
 */
import {
  assert,
  ByteWriter,
  concatBytes,
  equalBytes,
  FRAGMENT_SIZE,
  type SecretRandom,
  SHARD_HEADER_SIZE,
  SHARD_SIZE,
  shardCount,
} from '../core/index.ts'
import { aesCtr, combineShares, encodeParity, hkdf, LABELS, rebuildData, splitSecret, tagged } from '../crypto/index.ts'

const SECRET_SIZE = 32
export const SHARD_VERSION = 1

/** What an object's stripes are encrypted and masked with; both follow from the object key. */
export interface StripeKeys {
  readonly data: Uint8Array
  /** With it and the list of shards one can rebuild shards, but read nothing. */
  readonly repair: Uint8Array
}

/** `level` 0: file data, `index` counts stripes. Above: manifest nodes of that level. No two stripes share a place. */
export interface StripePlace {
  readonly level: number
  readonly index: number
}

/** A shard's header and fragment, once unmasked; views of the unmasked bytes. */
export interface OpenedShard {
  readonly index: number
  readonly share: Uint8Array
  readonly commitment: Uint8Array
  readonly fragment: Uint8Array
}

export function stripeKeys(objectKey: Uint8Array): StripeKeys {
  return {
    data: hkdf({ secret: objectKey, label: LABELS.dataKey, length: 32 }),
    repair: hkdf({ secret: objectKey, label: LABELS.repairKey, length: 32 }),
  }
}

/**
 * Encrypts and encodes `plain` (k whole fragments). `pieceOf(i)` gives shard i unmasked, in a buffer that
 * the next call overwrites.
 */
export function encodeStripe(input: {
  readonly keys: StripeKeys
  readonly place: StripePlace
  readonly k: number
  readonly plain: Uint8Array
  readonly random: SecretRandom
}): { readonly hash: Uint8Array; readonly pieceOf: (shard: number) => Uint8Array } {
  const { keys, place, k, plain, random } = input
  const n = shardCount(k)
  assert(plain.length === k * FRAGMENT_SIZE, 'a stripe is whole fragments')

  const secret = random.bytes(SECRET_SIZE)
  const commitment = tagged(LABELS.stripeCommitment, secret)
  const cipher = aesCtr(stripeKey(keys, place, secret), plain)
  const parity = encodeParity({ k, parity: n - k, size: FRAGMENT_SIZE }, cipher)
  const hash = tagged(LABELS.stripeHash, commitment, cipher)
  const shares = k === 1 ? undefined : splitSecret(secret, { threshold: k, count: n }, random)

  // shard header: 128 bytes, masked with the fragment after it. SPEC dispersal §2
  //   0  32  share       of the stripe's secret r; r itself when k is 1
  //  32  32  commitment  to r
  //  64  32  stripe hash
  //  96   1  version     1
  //  97  31  zeros
  const piece = new Uint8Array(SHARD_SIZE)
  piece.set(commitment, 32)
  piece.set(hash, 64)
  piece[96] = SHARD_VERSION
  const pieceOf = (shard: number): Uint8Array => {
    piece.set(shares?.[shard] ?? secret, 0)
    const [whole, at] = shard < k ? [cipher, shard] : [parity, shard - k]
    piece.set(whole.subarray(at * FRAGMENT_SIZE, (at + 1) * FRAGMENT_SIZE), SHARD_HEADER_SIZE)
    return piece
  }
  return { hash, pieceOf }
}

/** Masks a shard or takes its mask off (the same step) into a new buffer. Another salt, another mask. */
export function maskShard(
  keys: Pick<StripeKeys, 'repair'>,
  at: { readonly place: StripePlace; readonly shard: number; readonly salt: number },
  bytes: Uint8Array,
): Uint8Array {
  const context = new ByteWriter(11).u8(at.place.level).u64(at.place.index).u8(at.shard).u8(at.salt).done()
  return aesCtr(hkdf({ secret: keys.repair, label: LABELS.shardMask, context, length: 32 }), bytes)
}

/** The parts of unmasked shard `index`, or undefined when its header is not one of the stripe named `hash`. */
export function openPiece(index: number, piece: Uint8Array, hash: Uint8Array): OpenedShard | undefined {
  if (piece.length !== SHARD_SIZE || piece[96] !== SHARD_VERSION) return undefined
  if (!equalBytes(piece.subarray(64, 96), hash)) return undefined
  for (let at = 97; at < SHARD_HEADER_SIZE; at++) if (piece[at] !== 0) return undefined
  return {
    index,
    share: piece.subarray(0, 32),
    commitment: piece.subarray(32, 64),
    fragment: piece.subarray(SHARD_HEADER_SIZE),
  }
}

/**
 * The plaintext (k whole fragments) from exactly k distinct shards, or undefined when they do not give the
 * stripe that `hash` names.
 */
export function decodeStripe(
  stripe: { readonly keys: StripeKeys; readonly place: StripePlace; readonly k: number; readonly hash: Uint8Array },
  shards: readonly OpenedShard[],
): Uint8Array | undefined {
  const { keys, place, k, hash } = stripe
  const [first] = shards
  assert(first !== undefined && shards.length === k, 'a stripe is decoded from k shards')
  const { commitment } = first
  const cipher = rebuildData(
    { k, n: shardCount(k), size: FRAGMENT_SIZE },
    shards.map(({ index, fragment }) => ({ index, bytes: fragment })),
  )
  if (!equalBytes(tagged(LABELS.stripeHash, commitment, cipher), hash)) return undefined
  const secret =
    k === 1
      ? first.share
      : combineShares(
          shards.map(({ index, share }) => ({ index, bytes: share })),
          k,
        )
  if (!equalBytes(tagged(LABELS.stripeCommitment, secret), commitment)) return undefined
  return aesCtr(stripeKey(keys, place, secret), cipher)
}

function stripeKey(keys: StripeKeys, place: StripePlace, secret: Uint8Array): Uint8Array {
  const at = new ByteWriter(9).u8(place.level).u64(place.index).done()
  return hkdf({ secret: keys.data, label: LABELS.stripeKey, context: concatBytes(at, secret), length: 32 })
}
