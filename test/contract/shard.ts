/** Contents for tests of shard stores. */
import { SHARD_SIZE } from '../../core/index.ts'
import { LABELS, merkleRoot, signingKeyFromSeed, tagged } from '../../crypto/index.ts'
import type { ContentRef } from '../../storage/index.ts'
import { seededBytes } from '../storage/support/random.ts'

export function makeShard(seed: number): { ref: ContentRef; bytes: Uint8Array } {
  const bytes = seededBytes(seed, SHARD_SIZE)
  return { ref: { kind: 'shard', id: merkleRoot(bytes), copy: 0 }, bytes }
}

export function makeSigned(seed: number): { ref: ContentRef; bytes: Uint8Array } {
  const key = signingKeyFromSeed(seededBytes(seed, 32))
  const bytes = seededBytes(seed, SHARD_SIZE)
  bytes.set(key.sign(tagged(LABELS.signedRoot, bytes.subarray(64))))
  return { ref: { kind: 'signed', id: key.publicKey, copy: 0 }, bytes }
}
