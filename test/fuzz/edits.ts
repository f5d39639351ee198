/**
 * Changes to an encoding that know what encodings are made of: bits, lengths, counts, texts, parts that
 * could stand elsewhere. Given as plain numbers, so that a property can shrink them and a seed can draw
 * them.
 */
import fc from 'fast-check'
import { below, concatBytes, fromUtf8, type Jitter } from '../../core/index.ts'

export interface Edit {
  readonly kind: number
  /** Where; taken modulo the size. */
  readonly at: number
  /** What; the kind says how it is read. */
  readonly value: number
}

export interface Material {
  /** Another input of the same target, to take parts from. */
  readonly other: Uint8Array
  readonly tokens: readonly Uint8Array[]
}

export const INPUT_SIZE_MAX = 128 * 1024
const BYTES = [0, 1, 2, 7, 8, 9, 10, 13, 15, 16, 17, 31, 32, 33, 64, 0x7f, 0x80, 0xfe, 0xff]
const NUMBERS = [
  0n,
  1n,
  2n,
  255n,
  256n,
  0x7fffn,
  0xffffn,
  0x7fff_ffffn,
  0xffff_ffffn,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 64n - 1n,
]
const WIDTHS = [1, 2, 4, 8]
const DECIMALS = ['0', '-1', '1', '65535', '65536', '4294967296', '9007199254740993', '1e999', '00', '0.5', '1e3']
/** For every format: texts hide in most of them. */
export const COMMON_TOKENS = ['\ufeff', '\0', '\n', '%', '%00', '\u2028', '\u212a', '"', '{}', 'null', '[[[['].map(
  fromUtf8,
)

type Apply = (bytes: Uint8Array, edit: Edit, material: Material) => Uint8Array

const KINDS: readonly Apply[] = [
  // One bit.
  (bytes, { at, value }) => changed(bytes, at, (old) => old ^ (1 << (value % 8))),
  // One byte, to a value at a boundary.
  (bytes, { at, value }) => changed(bytes, at, () => BYTES[value % BYTES.length] as number),
  // One byte, by a little.
  (bytes, { at, value }) => changed(bytes, at, (old) => old + (value % 2 === 0 ? 1 : -1) * (1 + ((value >>> 1) % 16))),
  // Cut off.
  (bytes, { at }) => bytes.slice(0, at % (bytes.length + 1)),
  // Longer, by zeros or by its own beginning.
  (bytes, { at, value }) => {
    const tail = new Uint8Array(1 + (at % 64))
    if (value % 2 === 1) tail.set(bytes.subarray(0, tail.length))
    return concatBytes(bytes, tail)
  },
  // A part taken out.
  (bytes, { at, value }) => {
    const from = at % (bytes.length + 1)
    return concatBytes(bytes.subarray(0, from), bytes.subarray(from + 1 + (value % 64)))
  },
  // A part twice.
  (bytes, { at, value }) => {
    const from = at % (bytes.length + 1)
    const to = from + 1 + (value % 256)
    return concatBytes(bytes.subarray(0, to), bytes.subarray(from))
  },
  // The beginning of this and the end of another.
  (bytes, { at, value }, { other }) =>
    concatBytes(bytes.subarray(0, at % (bytes.length + 1)), other.subarray(value % (other.length + 1))),
  // A length or count that lies: at a boundary, or about what is left.
  (bytes, { at, value }) => {
    const width = WIDTHS[value % 4] as number
    const from = at % (bytes.length + 1)
    const left = BigInt(Math.max(0, bytes.length - from - width))
    const choices = [...NUMBERS, left, left + 1n, BigInt(bytes.length)]
    const copy = bytes.slice()
    let number = choices[(value >>> 2) % choices.length] as bigint
    for (let i = width - 1; i >= 0; i--) {
      if (from + i < copy.length) copy[from + i] = Number(number & 0xffn)
      number >>= 8n
    }
    return copy
  },
  // A piece of the format put in, or written over.
  (bytes, { at, value }, { tokens }) => {
    const token = tokens[(value >>> 1) % tokens.length] as Uint8Array
    const from = at % (bytes.length + 1)
    return concatBytes(bytes.subarray(0, from), token, bytes.subarray(from + (value % 2 === 0 ? 0 : token.length)))
  },
  // The next run of digits, as text, made another number.
  (bytes, { at, value }) => {
    let from = at % (bytes.length + 1)
    while (from < bytes.length && !isDigit(bytes[from])) from++
    let to = from
    while (isDigit(bytes[to])) to++
    const number = fromUtf8(DECIMALS[value % DECIMALS.length] as string)
    return concatBytes(bytes.subarray(0, from), number, bytes.subarray(to))
  },
]

function changed(bytes: Uint8Array, at: number, change: (old: number) => number): Uint8Array {
  if (bytes.length === 0) return bytes
  const copy = bytes.slice()
  const index = at % bytes.length
  copy[index] = change(copy[index] as number)
  return copy
}

function isDigit(value: number | undefined): boolean {
  return value !== undefined && value >= 0x30 && value <= 0x39
}

/** A new input; never longer than INPUT_SIZE_MAX. */
export function applyEdits(bytes: Uint8Array, edits: readonly Edit[], material: Material): Uint8Array {
  let edited = bytes
  for (const edit of edits) {
    edited = (KINDS[edit.kind % KINDS.length] as Apply)(edited, edit, material).subarray(0, INPUT_SIZE_MAX)
  }
  return edited
}

const nat = fc.nat()
/** For properties: none to five edits, shrinking towards none. */
export const someEdits: fc.Arbitrary<readonly Edit[]> = fc.array(
  fc.record({ kind: fc.nat(KINDS.length - 1), at: nat, value: nat }),
  { maxLength: 5 },
)

/** For the fuzzer: one to eight edits, near the beginning as often as anywhere. */
export function drawEdits(chance: Jitter): Edit[] {
  return Array.from({ length: 1 + below(chance, 1 << below(chance, 4)) }, () => ({
    kind: below(chance, KINDS.length),
    at: below(chance, 3) === 0 ? below(chance, 64) : chance.uint32(),
    value: chance.uint32() >>> 1,
  }))
}
