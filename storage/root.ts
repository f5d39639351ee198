/**
 * A root's way to its eight keepers and back, for both kinds of address. SPEC addresses §2, §3
 *
 * Private: the root encrypted under a random key; its Merkle root is the locator, and nobody can put
 * anything else there. Public: everything follows from the hash of the root, so each copy is signed by a
 * key of its own and the reader tests the hash, for whoever has the address can sign junk.
 */
import { concatBytes, equalBytes, ROOT_COPIES, type SecretRandom, SHARD_SIZE } from '../core/index.ts'
import { aesCtr, hkdf, LABELS, merkleRoot, type SigningKey, signingKeyFromSeed, tagged } from '../crypto/index.ts'
import type { Address } from './address.ts'
import { type ContentRef, SIGNED_BODY_SIZE } from './content-ref.ts'
import { ROOT_SIZE } from './manifest.ts'

/** One copy of a root, ready to be placed; the bytes may be shared between copies. */
export interface RootCopy {
  readonly ref: ContentRef
  readonly bytes: Uint8Array
}

/** Encrypts a root (ROOT_SIZE bytes of plaintext): its address and the eight copies. */
export function sealRoot(
  kind: Address['kind'],
  root: Uint8Array,
  random: SecretRandom,
): { readonly address: Address; readonly copies: readonly RootCopy[] } {
  if (kind === 'private') {
    const key = random.bytes(32)
    const padded = new Uint8Array(SHARD_SIZE)
    padded.set(root)
    const bytes = aesCtr(privateRootKey(key), padded)
    const address: Address = { kind, locator: merkleRoot(bytes), key }
    return { address, copies: rootRefs(address).map((ref) => ({ ref, bytes })) }
  }
  const hash = tagged(LABELS.root, root)
  return { address: { kind, hash }, copies: signedCopies(hash, root) }
}

/**
 * All eight copies again, byte for byte, from one that openRoot() has taken: those of a private object are
 * alike, those of a public one are signed anew, which gives the same signatures.
 */
export function rootCopies(address: Address, taken: { readonly root: Uint8Array; readonly bytes: Uint8Array }) {
  return address.kind === 'private'
    ? rootRefs(address).map((ref): RootCopy => ({ ref, bytes: taken.bytes }))
    : signedCopies(address.hash, taken.root)
}

function signedCopies(hash: Uint8Array, root: Uint8Array): readonly RootCopy[] {
  return Array.from({ length: ROOT_COPIES }, (_, copy): RootCopy => {
    const body = aesCtr(publicRootKey(hash, copy), root)
    const signer = copySigner(hash, copy)
    const signature = signer.sign(tagged(LABELS.signedRoot, body))
    return { ref: { kind: 'signed', id: signer.publicKey, copy: 0 }, bytes: concatBytes(signature, body) }
  })
}

/** The names of the eight copies, in their order. */
export function rootRefs(address: Address): readonly ContentRef[] {
  if (address.kind === 'private') return privateRootRefs(address.locator)
  return Array.from({ length: ROOT_COPIES }, (_, copy): ContentRef => {
    return { kind: 'signed', id: copySigner(address.hash, copy).publicKey, copy: 0 }
  })
}

/** As rootRefs of a private address, of which the locator is enough. */
export function privateRootRefs(locator: Uint8Array): readonly ContentRef[] {
  return Array.from({ length: ROOT_COPIES }, (_, copy): ContentRef => ({ kind: 'root', id: locator, copy }))
}

/** The plaintext root from copy `copy`, or undefined when it is not the one the address names. */
export function openRoot(address: Address, copy: number, bytes: Uint8Array): Uint8Array | undefined {
  if (bytes.length !== SHARD_SIZE) return undefined
  if (address.kind === 'private') {
    // The locator has vouched for the bytes; the check here only guards against a careless fetch.
    if (!equalBytes(merkleRoot(bytes), address.locator)) return undefined
    return aesCtr(privateRootKey(address.key), bytes).subarray(0, ROOT_SIZE)
  }
  const root = aesCtr(publicRootKey(address.hash, copy), bytes.subarray(SHARD_SIZE - SIGNED_BODY_SIZE))
  return equalBytes(tagged(LABELS.root, root), address.hash) ? root : undefined
}

function privateRootKey(key: Uint8Array): Uint8Array {
  return hkdf({ secret: key, label: LABELS.rootKey, length: 32 })
}

function publicRootKey(hash: Uint8Array, copy: number): Uint8Array {
  return hkdf({ secret: hash, label: LABELS.enc, context: Uint8Array.of(copy), length: 32 })
}

function copySigner(hash: Uint8Array, copy: number): SigningKey {
  return signingKeyFromSeed(hkdf({ secret: hash, label: LABELS.sign, context: Uint8Array.of(copy), length: 32 }))
}
