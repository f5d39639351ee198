/** What the tests of this room share: chance that repeats, vectors that must not be empty, damaged bytes. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fromHex, type SecretRandom } from '../../core/index.ts'

/** Bytes that follow from `name` alone; `drawn` counts them. */
export function repeatableRandom(name: string): SecretRandom & { readonly drawn: number } {
  let block = 0
  let held = new Uint8Array(0)
  let drawn = 0
  const fill = (target: Uint8Array): void => {
    for (let at = 0; at < target.length; ) {
      if (held.length === 0) held = new Uint8Array(createHash('sha256').update(`${name} ${block++}`).digest())
      const part = held.subarray(0, target.length - at)
      target.set(part, at)
      held = held.slice(part.length)
      at += part.length
    }
    drawn += target.length
  }
  return {
    fill,
    bytes: (size) => {
      const made = new Uint8Array(size)
      fill(made)
      return made
    },
    get drawn() {
      return drawn
    },
  }
}

/** The file's cases; an empty file is a failure, not a pass. */
export function vectors<Case>(name: string): readonly (Case & { readonly name: string })[] {
  const { cases } = vectorFile<{ cases: (Case & { name: string })[] }>(name)
  if (cases.length === 0) throw new Error(`no vectors in ${name}`)
  return cases
}

export function vectorFile<Content>(name: string): Content & { readonly spec: string; readonly source: string } {
  return JSON.parse(readFileSync(new URL(`../vectors/crypto/${name}.json`, import.meta.url), 'utf8'))
}

export function bytesOf(hex: string): Uint8Array {
  const bytes = fromHex(hex)
  if (bytes === undefined) throw new Error(`not hex: ${hex}`)
  return bytes
}

/** A copy with one bit turned. */
export function flipped(bytes: Uint8Array, at: number, bit = 0): Uint8Array {
  const copy = new Uint8Array(bytes)
  copy[at] = (copy[at] as number) ^ (1 << bit)
  return copy
}

/** A function to test with when any bytes will do. */
export function someBytes(size: number, name = 'some bytes'): Uint8Array {
  return repeatableRandom(name).bytes(size)
}
