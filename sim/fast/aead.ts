/**
 * Stands in for crypto/aead.ts in fast simulations: nothing is hidden, and any change, gap or repetition
 * is found, by a keyed hash over all bytes and the count.
 */
import { assert, equalBytes } from '../../core/index.ts'
import { mix16, wordOf } from './mix.ts'

export const SEAL_TAG_SIZE = 16

export function sealWith(key: Uint8Array, nonce: Uint8Array, plain: Uint8Array, aad?: Uint8Array): Uint8Array {
  const sealed = new Uint8Array(plain.length + SEAL_TAG_SIZE)
  sealed.set(plain)
  sealed.set(mix16(keyWord(key) ^ (aad === undefined ? 0 : keyWord(aad)) ^ keyWord(nonce), plain), plain.length)
  return sealed
}

export function openWith(
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  aad?: Uint8Array,
): Uint8Array | undefined {
  if (sealed.length < SEAL_TAG_SIZE) return undefined
  const plain = sealed.slice(0, sealed.length - SEAL_TAG_SIZE)
  return equalBytes(sealWith(key, nonce, plain, aad), sealed) ? plain : undefined
}

export class CounterSealer {
  readonly #key: number
  #count = 0
  #lastTag: Uint8Array = new Uint8Array(SEAL_TAG_SIZE)

  constructor(key: Uint8Array) {
    this.#key = keyWord(key)
  }
  sealInto(plain: Uint8Array, into: Uint8Array): void {
    assert(into.length === plain.length + SEAL_TAG_SIZE, 'a sealed message is its plaintext and a tag')
    const tag = mix16(this.#key ^ Math.imul(this.#count++, 0x9e3779b1), plain)
    into.set(plain)
    into.set(tag, plain.length)
    this.#lastTag = tag
  }
  get lastTag(): Uint8Array {
    return new Uint8Array(this.#lastTag)
  }
}

export class CounterOpener {
  readonly #key: number
  #count = 0
  #lastTag: Uint8Array = new Uint8Array(SEAL_TAG_SIZE)
  #failed = false

  constructor(key: Uint8Array) {
    this.#key = keyWord(key)
  }
  open(sealed: Uint8Array): Uint8Array | undefined {
    const size = sealed.length - SEAL_TAG_SIZE
    if (this.#failed || size < 0) return undefined
    const plain = sealed.slice(0, size)
    const tag = mix16(this.#key ^ Math.imul(this.#count++, 0x9e3779b1), plain)
    if (!equalBytes(tag, sealed.subarray(size))) {
      this.#failed = true
      return undefined
    }
    this.#lastTag = tag
    return plain
  }
  get lastTag(): Uint8Array {
    return new Uint8Array(this.#lastTag)
  }
}

function keyWord(bytes: Uint8Array): number {
  return wordOf(mix16(0, bytes))
}
