/**
 * AES-256-GCM with a 16-byte tag after the ciphertext. SPEC crypto §4
 *
 * CounterSealer and CounterOpener are the two ends of one direction of one key: the nonce is a 96-bit
 * big-endian count from zero, never sent. So a lost, repeated or reordered message fails to open, and after
 * the first failure nothing opens any more. A failure has no reason.
 */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto'
import { assert } from '../core/index.ts'
import { plainBytes } from './hash.ts'

export const SEAL_TAG_SIZE = 16
const NONCE_SIZE = 12
const TAG = { authTagLength: SEAL_TAG_SIZE } as const
/** Far more than a circuit ever carries, and far within what one AES-GCM key may seal. */
const SEALS_MAX = 2 ** 32

/** Ciphertext and tag. The caller answers for never using a nonce twice with one key. */
export function sealWith(key: Uint8Array, nonce: Uint8Array, plain: Uint8Array, aad?: Uint8Array): Uint8Array {
  assert(key.length === 32 && nonce.length === NONCE_SIZE, 'AES-256-GCM takes a 32-byte key and a 12-byte nonce')
  const sealed = new Uint8Array(plain.length + SEAL_TAG_SIZE)
  const cipher = createCipheriv('aes-256-gcm', key, nonce, TAG)
  if (aad !== undefined) cipher.setAAD(aad)
  sealed.set(cipher.update(plain))
  cipher.final()
  sealed.set(cipher.getAuthTag(), plain.length)
  return sealed
}

/** The plaintext, or undefined when anything at all is wrong. */
export function openWith(
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  aad?: Uint8Array,
): Uint8Array | undefined {
  assert(key.length === 32 && nonce.length === NONCE_SIZE, 'AES-256-GCM takes a 32-byte key and a 12-byte nonce')
  return open(key, nonce, sealed, aad)
}

export class CounterSealer {
  readonly #key: KeyObject
  readonly #nonce = new Counter()
  #lastTag: Uint8Array = new Uint8Array(SEAL_TAG_SIZE)

  constructor(key: Uint8Array) {
    this.#key = secretKey(key)
  }

  /** Writes ciphertext and tag over all of `into`, which is 16 bytes longer than `plain`; they may overlap. */
  sealInto(plain: Uint8Array, into: Uint8Array): void {
    assert(into.length === plain.length + SEAL_TAG_SIZE, 'a sealed message is its plaintext and a tag')
    assert(this.#nonce.count < SEALS_MAX, 'a key seals a bounded number of messages')
    const cipher = createCipheriv('aes-256-gcm', this.#key, this.#nonce.take(), TAG)
    into.set(cipher.update(plain))
    cipher.final()
    this.#lastTag = cipher.getAuthTag()
    into.set(this.#lastTag, plain.length)
  }

  /** Tag of the newest message; zeros before the first. */
  get lastTag(): Uint8Array {
    return new Uint8Array(this.#lastTag)
  }
}

export class CounterOpener {
  readonly #key: KeyObject
  readonly #nonce = new Counter()
  readonly #lastTag = new Uint8Array(SEAL_TAG_SIZE)
  #failed = false

  constructor(key: Uint8Array) {
    this.#key = secretKey(key)
  }

  /** The plaintext of the next message, owned by the caller, or undefined now and ever after. */
  open(sealed: Uint8Array): Uint8Array | undefined {
    if (this.#failed || this.#nonce.count >= SEALS_MAX) return undefined
    const plain = open(this.#key, this.#nonce.take(), sealed)
    if (plain === undefined) this.#failed = true
    else this.#lastTag.set(sealed.subarray(plain.length))
    return plain
  }

  /** Tag of the newest message that opened; zeros before the first. */
  get lastTag(): Uint8Array {
    return new Uint8Array(this.#lastTag)
  }
}

/** A 96-bit big-endian count of which the low 32 bits suffice. */
class Counter {
  readonly #bytes = new Uint8Array(NONCE_SIZE)
  readonly #view = new DataView(this.#bytes.buffer)
  count = 0

  /** The next nonce, valid until the next call. */
  take(): Uint8Array {
    this.#view.setUint32(NONCE_SIZE - 4, this.count++)
    return this.#bytes
  }
}

function secretKey(key: Uint8Array): KeyObject {
  assert(key.length === 32, 'an AES-256 key has 32 bytes')
  return createSecretKey(key)
}

function open(
  key: Uint8Array | KeyObject,
  nonce: Uint8Array,
  sealed: Uint8Array,
  aad?: Uint8Array,
): Uint8Array | undefined {
  const size = sealed.length - SEAL_TAG_SIZE
  if (size < 0) return undefined
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, TAG)
  if (aad !== undefined) decipher.setAAD(aad)
  decipher.setAuthTag(sealed.subarray(size))
  const plain = decipher.update(sealed.subarray(0, size))
  try {
    decipher.final()
  } catch {
    return undefined
  }
  return plainBytes(plain)
}
