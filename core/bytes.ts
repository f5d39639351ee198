/**
 * Byte strings with names: two alike arguments get swapped once and stay so for ever, so what
 * matters has a type of its own, checked for length where raw bytes enter.
 */
import { assert, InputError } from './errors.ts'

declare const brand: unique symbol
export type Named<Name extends string> = Uint8Array & { readonly [brand]: Name }

/** A node's place on the ring and its name; 32 bytes. SPEC crypto §6 */
export type NodeId = Named<'NodeId'>
/** A place on the ring that content hashes to; 32 bytes. SPEC dispersal §6 */
export type Location = Named<'Location'>
/** An Ed25519 public key; 32 bytes. */
export type PublicKey = Named<'PublicKey'>
/** An X25519 public key a relay answers CREATE with; 32 bytes. SPEC circuits §2 */
export type OnionKey = Named<'OnionKey'>
/** Random name of a network; 32 bytes. SPEC overview §3 */
export type NetworkId = Named<'NetworkId'>

/** Gives 32 raw bytes their name. Throws ERR_BAD_LENGTH otherwise. The bytes are not copied. */
export function named32<Name extends string>(raw: Uint8Array, what: string): Named<Name> {
  if (raw.length !== 32) throw new BadLengthError(what, { got: raw.length, wanted: 32 })
  return raw as Named<Name>
}

export class BadLengthError extends InputError {
  readonly code = 'ERR_BAD_LENGTH'
  constructor(what: string, sizes: { got: number; wanted: number }) {
    super(`${what} has ${sizes.got} bytes, not ${sizes.wanted}`)
  }
}

const HEX = Array.from({ length: 256 }, (_, value) => value.toString(16).padStart(2, '0'))

export function toHex(bytes: Uint8Array): string {
  let text = ''
  for (const value of bytes) text += HEX[value]
  return text
}

/**
 * A text that two ids of 32 bytes share exactly when they are the same: for maps, where it costs a tenth of
 * hex. Two bytes a letter; not for people, files or the wire.
 */
export function keyOf(id: Uint8Array): string {
  assert(id.length === 32, 'a key is made of 32 bytes')
  const at = (i: number): number => ((id[i] as number) << 8) | (id[i + 1] as number)
  const low = String.fromCharCode(at(0), at(2), at(4), at(6), at(8), at(10), at(12), at(14))
  return low + String.fromCharCode(at(16), at(18), at(20), at(22), at(24), at(26), at(28), at(30))
}

/** The bytes that `text` spells, or undefined when it is not an even run of hex digits. */
export function fromHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(text)) return undefined
  const bytes = new Uint8Array(text.length / 2)
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16)
  return bytes
}

/** Whether two public byte strings are the same. Not for secrets: the time tells where they part. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** Big-endian order: below zero when `a` comes first. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length)
  for (let i = 0; i < shared; i++) {
    const difference = (a[i] as number) - (b[i] as number)
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  let size = 0
  for (const part of parts) size += part.length
  const whole = new Uint8Array(size)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

const UTF8_IN = new TextEncoder()
const UTF8_OUT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function fromUtf8(text: string): Uint8Array {
  return UTF8_IN.encode(text)
}

/** The text, or undefined when the bytes are not valid UTF-8. A byte order mark stays: two byte strings, two texts. */
export function toUtf8(bytes: Uint8Array): string | undefined {
  try {
    return UTF8_OUT.decode(bytes)
  } catch {
    return undefined
  }
}

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567'
const BASE32_VALUE = new Map([...BASE32].map((letter, value) => [letter, value]))

/** RFC 4648 base32 in lower case, without padding. */
export function toBase32(bytes: Uint8Array): string {
  let text = ''
  let held = 0
  let heldBits = 0
  for (const value of bytes) {
    held = (held << 8) | value
    heldBits += 8
    while (heldBits >= 5) {
      heldBits -= 5
      text += BASE32[(held >>> heldBits) & 31]
    }
    held &= 0xff
  }
  if (heldBits > 0) text += BASE32[(held << (5 - heldBits)) & 31]
  return text
}

/** The bytes, or undefined when a letter is foreign, the length impossible or a spare bit set. */
export function fromBase32(text: string): Uint8Array | undefined {
  const size = Math.floor((text.length * 5) / 8)
  if (Math.ceil((size * 8) / 5) !== text.length) return undefined
  const bytes = new Uint8Array(size)
  let held = 0
  let heldBits = 0
  let at = 0
  for (const letter of text.toLowerCase()) {
    const value = BASE32_VALUE.get(letter)
    if (value === undefined) return undefined
    held = ((held << 5) | value) & 0xfff
    heldBits += 5
    if (heldBits >= 8) {
      heldBits -= 8
      bytes[at++] = (held >>> heldBits) & 0xff
    }
  }
  return (held & ((1 << heldBits) - 1)) === 0 ? bytes : undefined
}
