/**
 * What it means for a decoder to bear any bytes, as one function: `attempt`. The same for the properties
 * that run on each change, for the replay of the corpus and for the fuzzer.
 *
 * - total: a value, undefined or false, or an error that the target permits; nothing else is ever thrown
 * - bounded: what comes out is not much larger than what went in
 * - harmless: the input is as it was (unless the target says that it works in place)
 * - faithful: a value taken has an encoding that gives the same value; with `isCanonical` it is the input
 *
 * That it ends is the watchdog's affair (fuzz.ts) and the test runner's.
 */
import type fc from 'fast-check'
import { equalBytes, toHex } from '../../core/index.ts'

export interface Target<Value = unknown> {
  /** Names the target on the command line, and its folder in corpus/. */
  readonly name: string
  /** What it covers, as `path#function`, or `path#Class.method`: see registry.test.ts. */
  readonly covers: readonly string[]
  /** Valid encodings, to be changed from. */
  readonly valid: fc.Arbitrary<Uint8Array>
  /** A value; undefined or false when the bytes were refused without an error. */
  decode(bytes: Uint8Array): Value | undefined | Promise<Value | undefined>
  readonly permitted: readonly ErrorClass[]
  /** The encoding of a value taken. */
  readonly encode?: (value: Value) => Uint8Array
  /** Whether each value has one encoding only. */
  readonly isCanonical?: boolean
  /** Whether valid encodings may be refused: what they hold depends on more than themselves. */
  readonly mayRefuseValid?: boolean
  readonly isInPlace?: boolean
  /** The format has one size: in the corpus and the fuzzer a shorter input stands for itself and zeros. */
  readonly fillTo?: number
  /** Runs of the property on each change. */
  readonly runs?: number
  /** Pieces of the format that chance would not find. */
  readonly tokens?: readonly string[]
}

export type ErrorClass = abstract new (...args: never[]) => Error

/** What was wrong with the decoder, and not with its input. */
export class FuzzFault extends Error {
  constructor(target: { readonly name: string }, what: string, cause?: unknown) {
    super(`${target.name}: ${what}`, cause === undefined ? undefined : { cause })
    this.name = 'FuzzFault'
  }
}

export type Verdict = 'taken' | 'refused'

/** Weight of what comes out, at most so many times the input's bytes, and so much in any case. */
const GROWTH_MAX = 64
const WEIGHT_FREE = 64 * 1024

/** Throws FuzzFault, or rejects with it. Without a promise for decoders without one: the fuzzer is faster so. */
export function attempt(target: Target, input: Uint8Array): Verdict | Promise<Verdict> {
  // A copy in memory of its own: reading past the end cannot find anything.
  const bytes = input.slice()
  let result: unknown
  try {
    result = target.decode(bytes)
  } catch (error) {
    return refused(target, error)
  }
  if (!(result instanceof Promise)) return judge(target, { input, bytes }, result)
  return result.then(
    (value) => judge(target, { input, bytes }, value),
    (error: unknown) => refused(target, error),
  )
}

function refused(target: Target, error: unknown): Verdict {
  if (target.permitted.some((permitted) => error instanceof permitted)) return 'refused'
  if (error instanceof FuzzFault) throw error
  throw new FuzzFault(target, `threw ${describe(error)}`, error)
}

function judge(target: Target, { input, bytes }: { input: Uint8Array; bytes: Uint8Array }, value: unknown): Verdict {
  if (target.isInPlace !== true && !equalBytes(bytes, input)) throw new FuzzFault(target, 'changed its input')
  if (value === undefined || value === false) return 'refused'
  const weight = weightOf(value)
  if (weight > WEIGHT_FREE + GROWTH_MAX * input.length) throw new FuzzFault(target, `made ${weight} of ${input.length}`)
  if (target.encode !== undefined) checkEncoding(target, target.encode, input, value)
  return 'taken'
}

function checkEncoding(target: Target, encode: (value: never) => Uint8Array, input: Uint8Array, value: unknown): void {
  const encoded = encodeSafely(target, encode, value)
  if (target.isCanonical === true) {
    if (!equalBytes(encoded, input)) throw new FuzzFault(target, `took a second encoding of ${short(encoded)}`)
    return
  }
  let again: unknown
  try {
    again = target.decode(encoded.slice())
  } catch (error) {
    throw new FuzzFault(target, `refused its own encoding: ${describe(error)}`, error)
  }
  if (again === undefined || again === false) throw new FuzzFault(target, 'refused its own encoding')
  if (!equalBytes(encodeSafely(target, encode, again), encoded)) throw new FuzzFault(target, 'decodes to another value')
}

function encodeSafely(target: Target, encode: (value: never) => Uint8Array, value: unknown): Uint8Array {
  try {
    return encode(value as never)
  } catch (error) {
    throw new FuzzFault(target, `took what it cannot encode: ${describe(error)}`, error)
  }
}

/** Bytes of buffers and texts, and eight for each value and each entry. */
function weightOf(value: unknown): number {
  if (typeof value === 'string') return 8 + 2 * value.length
  if (typeof value !== 'object' || value === null) return 8
  if (value instanceof Uint8Array) return 8 + value.length
  let weight = 8
  for (const inner of value instanceof Map ? value.values() : Object.values(value)) weight += 8 + weightOf(inner)
  return weight
}

function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message.slice(0, 200)}` : String(error)
}

function short(bytes: Uint8Array): string {
  return toHex(bytes.subarray(0, 32))
}

/** The input itself, with zeros up to the one size of its format. */
export function filled(target: Target, bytes: Uint8Array): Uint8Array {
  if (target.fillTo === undefined || bytes.length >= target.fillTo) return bytes
  const whole = new Uint8Array(target.fillTo)
  whole.set(bytes)
  return whole
}
