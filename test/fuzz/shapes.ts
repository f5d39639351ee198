/** Values that several formats are made of, for generating valid encodings. */
import fc from 'fast-check'
import { concatBytes, fromUtf8, type NetworkId, named32, type OnionKey } from '../../core/index.ts'
import { signingKeyFromSeed } from '../../crypto/index.ts'
import { type Descriptor, encodeDescriptor, signDescriptor } from '../../routing/index.ts'

/** Bytes that follow from a number and look like chance. */
export function noiseOf(seed: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size)
  let state = seed ^ 0x9e37_79b9 || 1
  for (let i = 0; i < size; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[i] = state >>> 11
  }
  return bytes
}

/** Much faster than an array of arbitrary bytes: for what is opaque anyway. */
export function noise(size: number): fc.Arbitrary<Uint8Array> {
  return fc.integer().map((seed) => noiseOf(seed, size))
}
export function noiseUpTo(sizeMax: number): fc.Arbitrary<Uint8Array> {
  return fc.tuple(fc.integer(), fc.nat(sizeMax)).map(([seed, size]) => noiseOf(seed, size))
}
/** Short, with every byte a choice of its own. */
export function plainBytes(sizeMax: number): fc.Arbitrary<Uint8Array> {
  return fc.uint8Array({ maxLength: sizeMax })
}

export const u32 = fc.nat(0xffff_ffff)
export const timeMs = fc.oneof(fc.nat(), fc.maxSafeNat())

export const endpointText = fc.oneof(
  fc.constantFrom('127.0.0.1:1', '[::1]:65535', '[2001:db8::ffff:0]:4100', 'a.example:4100', '203.0.113.7:4100'),
  fc.constantFrom(`${'a'.repeat(63)}.${'b'.repeat(63)}.c:80`, '[::ffff:102:304]:9', 'xn--a-b.c9:7'),
)

/** A content reference's 34 bytes. */
export const refBytes = fc
  .tuple(fc.constantFrom([1, 0], [2, 0], [2, 7], [3, 0]), noise(32))
  .map(([head, id]) => concatBytes(Uint8Array.from(head), id))

export const NETWORK = named32<'NetworkId'>(noiseOf(1, 32), 'network id') satisfies NetworkId

/** Not signed by anybody: the layout is what counts. */
export const descriptors: fc.Arbitrary<Descriptor> = fc
  .record({
    id: noise(32),
    publicKey: noise(32),
    onionKey: noise(32),
    signature: noise(64),
    nonce: timeMs,
    issuedMs: timeMs,
    addresses: fc.array(endpointText, { minLength: 1, maxLength: 2 }),
    roles: fc.record({ relay: fc.boolean(), gateway: fc.boolean(), keeper: fc.boolean(), leaving: fc.boolean() }),
  })
  .map((fields) => fields as unknown as Descriptor)

export const descriptorBytes = descriptors.map(encodeDescriptor)

/** Signed for NETWORK; `seed` names the node. */
export function signedDescriptor(seed: number, id: Uint8Array = noiseOf(seed + 1, 32), issuedMs = 1): Descriptor {
  return signDescriptor(signingKeyFromSeed(noiseOf(seed, 32)), NETWORK, {
    id: named32<'NodeId'>(id, 'node id'),
    nonce: 0,
    onionKey: named32<'OnionKey'>(noiseOf(seed + 2, 32), 'onion key') satisfies OnionKey,
    addresses: ['10.0.0.1:1'],
    roles: { relay: true, gateway: true, keeper: true, leaving: false },
    issuedMs,
  })
}

export function textBytes(texts: fc.Arbitrary<string>): fc.Arbitrary<Uint8Array> {
  return texts.map(fromUtf8)
}

const IN_UTF8 = new TextDecoder('utf-8', { ignoreBOM: true })
/** Bytes as a text, for what takes texts: what is not UTF-8 becomes U+FFFD. */
export function textOf(bytes: Uint8Array): string {
  return IN_UTF8.decode(bytes)
}

/** Takes an input apart, for targets that make several steps of one: 0 and nothing when it has ended. */
export class Steps {
  readonly #bytes: Uint8Array
  #at = 0
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }
  get hasMore(): boolean {
    return this.#at < this.#bytes.length
  }
  u8(): number {
    return this.#bytes[this.#at++] ?? 0
  }
  u16(): number {
    return (this.u8() << 8) | this.u8()
  }
  take(size: number): Uint8Array {
    const part = this.#bytes.subarray(this.#at, this.#at + size)
    this.#at += size
    return part
  }
}
