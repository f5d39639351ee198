import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { fromHex, MalformedError, toHex } from '../../core/index.ts'
import {
  type Address,
  decodeContentRef,
  encodeContentRef,
  formatAddress,
  locationOf,
  openObject,
  parseAddress,
  putObject,
} from '../../storage/index.ts'
import { collect, inPieces, Keepers } from './support/keepers.ts'
import { seededJitter, seededRandom } from './support/random.ts'

function load<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../vectors/storage/${name}.json`, import.meta.url), 'utf8')) as T
}

const bytesOf = (hex: string) => fromHex(hex) as Uint8Array

interface AddressVector {
  kind: 'private' | 'public'
  locator: string
  key: string
  hash: string
  expect: string
}
interface ObjectVector {
  seed: string
  kind: Address['kind']
  name: string
  type: string
  length: number
  address: string
  expect: Record<string, string>
}

const addresses = load<{ vectors: AddressVector[] }>('addresses').vectors
const refs = load<{ vectors: { ref: string; expect: string }[]; refused: string[] }>('content-refs')
const objects = load<{ vectors: ObjectVector[] }>('objects').vectors

describe('vectors of a second program', () => {
  it('are all there', () => {
    expect([addresses.length, refs.vectors.length, refs.refused.length, objects.length]).toEqual([6, 10, 8, 5])
  })

  it.each(addresses)('address $expect', (vector) => {
    const address: Address =
      vector.kind === 'private'
        ? { kind: 'private', locator: bytesOf(vector.locator), key: bytesOf(vector.key) }
        : { kind: 'public', hash: bytesOf(vector.hash) }
    expect(formatAddress(address)).toBe(vector.expect)
    expect(parseAddress(vector.expect)).toEqual(address)
  })

  it.each(refs.vectors)('location of $ref', (vector) => {
    const ref = decodeContentRef(bytesOf(vector.ref))
    expect(toHex(locationOf(ref))).toBe(vector.expect)
    expect(toHex(encodeContentRef(ref))).toBe(vector.ref)
  })

  it.each(refs.refused)('refused reference "%s"', (hex) => {
    expect(() => decodeContentRef(bytesOf(hex))).toThrow(MalformedError)
  })

  it.each(objects)(
    'object "$seed", byte for byte, both ways',
    async ({ seed, kind, name, type, length, ...vector }) => {
      const keepers = new Keepers()
      const bytes = Uint8Array.from({ length }, (_, i) => i % 251)
      const { address } = await putObject(
        { source: inPieces(bytes), kind, name, type },
        { random: seededRandom(seed), place: keepers.place },
      )
      expect(formatAddress(address)).toBe(vector.address)
      const placed = [...keepers.held.values()].map((shard) => [
        toHex(encodeContentRef(shard.ref)),
        createHash('sha256').update(shard.bytes).digest('hex'),
      ])
      expect(Object.fromEntries(placed)).toEqual(vector.expect)

      const object = await openObject(parseAddress(vector.address), { fetch: keepers.fetch, jitter: seededJitter('v') })
      expect([object.name ?? '', object.type ?? '']).toEqual([name, type])
      expect(Buffer.compare(await collect(object.read()), bytes)).toBe(0)
    },
  )
})
