/**
 * A node's id follows from its key, a nonce and work: scrypt of both must begin with so many zero bits. The
 * nonce moves the id, so a chosen place on the ring costs many puzzles. SPEC crypto §6
 *
 *   w  = scrypt(key 32 ‖ nonce u64, salt = label ‖ network id, N = 2^14, r = 8, p = 1), 32 bytes
 *   id = H(id, key, nonce u64, w)       without work: H(id, key, nonce u64)
 *
 * One try takes about 45 ms of a thread of the pool and 16 MiB, never the event loop.
 */
import { scrypt } from 'node:crypto'
import {
  assert,
  ByteWriter,
  concatBytes,
  fromUtf8,
  type NetworkId,
  type NodeId,
  named32,
  type PublicKey,
} from '../core/index.ts'
import { tagged } from './hash.ts'
import { LABELS } from './labels.ts'

const SCRYPT = { N: 2 ** 14, r: 8, p: 1, maxmem: 2 ** 25 } as const
/** A second nonce is tried for years before 2^53 are used up; the bound keeps the number exact. */
const PUZZLE_BITS_MAX = 32

export interface Identity {
  readonly publicKey: PublicKey
  readonly nonce: number
}

export interface PuzzleRule {
  readonly networkId: NetworkId
  /** Leading zero bits that w needs; 0: no work at all. */
  readonly puzzleBits: number
}

/** The id, or undefined when the nonce is no safe integer or does not solve the puzzle. */
export async function nodeIdOf(claim: Identity & PuzzleRule): Promise<NodeId | undefined> {
  assert(isPuzzle(claim.puzzleBits), 'a puzzle asks for 0 to 32 bits')
  if (!Number.isSafeInteger(claim.nonce) || claim.nonce < 0) return undefined
  const nonce = new ByteWriter(8).u64(claim.nonce).done()
  if (claim.puzzleBits === 0) return named32<'NodeId'>(tagged(LABELS.id, claim.publicKey, nonce), 'node id')
  const salt = concatBytes(fromUtf8(LABELS.idPuzzle), claim.networkId)
  const work = await scryptOf(concatBytes(claim.publicKey, nonce), salt)
  if (leadingZeroBits(work) < claim.puzzleBits) return undefined
  return named32<'NodeId'>(tagged(LABELS.id, claim.publicKey, nonce, work), 'node id')
}

/**
 * The lowest nonce that solves the puzzle, found one try after the other; undefined once `isStopped()`, which
 * is asked before each try. 11 bits take about 92 s of one core.
 */
export async function solveIdentity(
  wish: { readonly publicKey: PublicKey; readonly isStopped: () => boolean } & PuzzleRule,
): Promise<{ nonce: number; id: NodeId } | undefined> {
  for (let nonce = 0; !wish.isStopped(); nonce++) {
    const id = await nodeIdOf({ ...wish, nonce })
    if (id !== undefined) return { nonce, id }
  }
  return undefined
}

function isPuzzle(bits: number): boolean {
  return Number.isInteger(bits) && bits >= 0 && bits <= PUZZLE_BITS_MAX
}

/** `bytes` has at least 4. */
function leadingZeroBits(bytes: Uint8Array): number {
  return Math.clz32(new DataView(bytes.buffer, bytes.byteOffset).getUint32(0))
}

function scryptOf(password: Uint8Array, salt: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    scrypt(password, salt, 32, SCRYPT, (error, key) => (error === null ? resolve(key) : reject(error)))
  })
}
