/** Pointers: what is checked with them, how they merge, and how they lie on disk. SPEC vaults §5 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { fromUtf8, LEAF_SIZE, type Location, type RecordStore } from '../../core/index.ts'
import { merkleProof, merkleRoot } from '../../crypto/index.ts'
import {
  areLeafHashesOf,
  type ContentRef,
  decodePlace,
  encodePlace,
  leafHashesFor,
  locationOf,
  mergePointers,
  openLmdbRecords,
  openMemoryRecords,
  type Place,
  type Pointer,
  PointerStore,
  unwrapLeaves,
  verifyLeaves,
  wrap,
} from '../../storage/index.ts'
import { decodePointer, encodePointer } from '../../storage/pointer.ts'
import { makeShard, makeSigned } from '../contract/shard.ts'
import { seededBytes } from './support/random.ts'

function placeOf(seed: number, more: Partial<Place> = {}): Place {
  return { ...decodePlace(seededBytes(seed, 128)), ...more }
}
function pointerOf(shard: { ref: ContentRef; bytes: Uint8Array }, places: readonly Place[]): Pointer {
  return { leaseEndMs: 1_000, leafHashes: leafHashesFor(shard.ref, shard.bytes), places }
}
const whole = { from: 0, count: 16 }

describe('a blob', () => {
  it.each([
    ['shard', makeShard(1)],
    ['signed root', makeSigned(2)],
  ])('is unwrapped and checked as a whole: %s', (_, shard) => {
    const place = placeOf(1)
    const blob = wrap(shard.bytes, place.wrapKey)
    const from = { ref: shard.ref, pointer: pointerOf(shard, [place]), place }
    expect(unwrapLeaves(from, whole, blob)).toEqual({ leaves: shard.bytes, proof: new Uint8Array(0) })
    blob[40_000] = (blob[40_000] as number) ^ 1
    expect(unwrapLeaves(from, whole, blob)).toBeUndefined()
  })

  it('gives a range that a stranger can check, and no range of what cannot be checked', () => {
    const shard = makeShard(3)
    const place = placeOf(2)
    const range = { from: 5, count: 3 }
    const leaves = wrap(shard.bytes, place.wrapKey).subarray(5 * LEAF_SIZE, 8 * LEAF_SIZE)
    const from = { ref: shard.ref, pointer: pointerOf(shard, [place]), place }
    const got = unwrapLeaves(from, range, leaves)
    expect(got?.proof).toEqual(merkleProof(shard.bytes, range))
    expect(got && verifyLeaves(shard.ref, range, got.leaves, got.proof)).toBe(true)
    expect(unwrapLeaves(from, { from: 6, count: 3 }, leaves)).toBeUndefined()
    const signed = makeSigned(4)
    expect(unwrapLeaves({ ...from, ref: signed.ref, pointer: pointerOf(signed, [place]) }, range, leaves)).toBe(
      undefined,
    )
  })

  it('has nothing in common with another of the same content', () => {
    const { bytes } = makeShard(5)
    const [one, other] = [1, 2].map((seed) => wrap(bytes, seededBytes(seed, 32))) as [Uint8Array, Uint8Array]
    expect(merkleRoot(one)).not.toEqual(merkleRoot(other))
    const leaves = (blob: Uint8Array) =>
      Array.from({ length: 16 }, (_, i) =>
        Buffer.from(blob.subarray(i * LEAF_SIZE, i * LEAF_SIZE + 16)).toString('hex'),
      )
    expect(new Set([...leaves(one), ...leaves(other), ...leaves(bytes)]).size).toBe(48)
  })
})

describe('leaf hashes', () => {
  it('are taken for a content only when they give its name', () => {
    const [shard, other, signed] = [makeShard(6), makeShard(7), makeSigned(8)]
    expect(areLeafHashesOf(shard.ref, leafHashesFor(shard.ref, shard.bytes))).toBe(true)
    expect(areLeafHashesOf(shard.ref, leafHashesFor(other.ref, other.bytes))).toBe(false)
    expect(areLeafHashesOf(signed.ref, new Uint8Array(512))).toBe(true)
    expect(areLeafHashesOf(signed.ref, new Uint8Array(512).fill(1))).toBe(false)
    expect(areLeafHashesOf(shard.ref, new Uint8Array(32))).toBe(false)
  })
})

describe('pointers that meet', () => {
  const shard = makeShard(9)
  const proven = [1, 2].map((seed) => placeOf(seed, { provenMs: 5, dropSecret: seededBytes(seed, 32) }))

  it('keep what was held and take what came in addition, with the longer lease', () => {
    const merged = mergePointers(pointerOf(shard, proven), {
      ...pointerOf(shard, [placeOf(2), placeOf(3)]),
      leaseEndMs: 9,
    })
    expect(merged.places).toEqual([...proven, placeOf(3)])
    expect(merged.leaseEndMs).toBe(1_000)
    expect(mergePointers(merged, { ...pointerOf(shard, proven), leaseEndMs: 2_000 }).leaseEndMs).toBe(2_000)
  })

  it('let nobody push out a place that this node has proven, whatever comes', () => {
    let held = pointerOf(shard, proven)
    for (let seed = 10; seed < 40; seed++) held = mergePointers(held, pointerOf(shard, [placeOf(seed)]))
    expect(held.places.slice(0, 2)).toEqual(proven)
    expect(held.places.length).toBe(4)
    expect(held.places.at(2)).toEqual(placeOf(39))
  })
})

const folder = mkdtempSync(join(tmpdir(), 'hush-pointers-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe.each([
  { name: 'memory', make: (): RecordStore => openMemoryRecords() },
  { name: 'LMDB', make: (): RecordStore => openLmdbRecords({ path: join(folder, 'a') }) },
])('pointers in $name', ({ make }) => {
  it('are written, listed by arc, counted by their places, removed, and there after the next start', async () => {
    const records = make()
    await records.write([{ key: fromUtf8('e1'), value: fromUtf8('another') }])
    const store = new PointerStore(records)
    const shards = Array.from({ length: 9 }, (_, i) => makeShard(20 + i))
    for (const [i, shard] of shards.entries())
      expect(await store.put(shard.ref, pointerOf(shard, i < 4 ? proven(i) : [placeOf(i)]))).toBe('stored')
    expect(store.usage()).toEqual({ count: 9, withTwo: 4 })
    const [first] = shards as [ReturnType<typeof makeShard>]
    expect(store.get(first.ref)).toEqual(pointerOf(first, proven(0)))

    const sorted = shards.map(({ ref }) => locationOf(ref)).sort(Buffer.compare) as Location[]
    const listed = store.list({ from: sorted[6] as Location, to: sorted[2] as Location, limit: 99 })
    expect(listed.map(({ ref }) => locationOf(ref))).toEqual([...sorted.slice(7), ...sorted.slice(0, 3)])
    const pages: unknown[] = []
    let after: ContentRef | undefined
    for (;;) {
      const page = store.list({ limit: 2, ...(after && { after }) })
      if (page.length === 0) break
      pages.push(...page.map(({ ref }) => locationOf(ref)))
      after = page.at(-1)?.ref
    }
    expect(pages).toEqual(sorted)

    expect(await store.delete(first.ref)).toBe(true)
    expect(await store.delete(first.ref)).toBe(false)
    expect(store.get(first.ref)).toBeUndefined()
    expect(new PointerStore(records).usage()).toEqual({ count: 8, withTwo: 3 })
  })

  function proven(seed: number): Place[] {
    return [placeOf(seed, { provenMs: 7 }), placeOf(seed + 50, { dropSecret: seededBytes(seed, 32) })]
  }
})

describe('a pointer store', () => {
  const shard = makeShard(40)

  it('shows what is being written, and the last of two changes', async () => {
    const held: (() => void)[] = []
    const plain = openMemoryRecords()
    const records: RecordStore = {
      ...plain,
      write: async (changes) => {
        await new Promise<void>((resolve) => held.push(resolve))
        await plain.write(changes)
      },
    }
    const store = new PointerStore(records)
    const writes = [1, 2].map((seed) => store.put(shard.ref, pointerOf(shard, [placeOf(seed)])))
    expect(store.get(shard.ref)?.places).toEqual([placeOf(2)])
    expect(plain.list(fromUtf8('p'))).toEqual([])
    for (const write of held.splice(0)) write()
    await Promise.all(writes)
    expect(store.get(shard.ref)?.places).toEqual([placeOf(2)])
    const gone = store.delete(shard.ref)
    expect(store.get(shard.ref)).toBeUndefined()
    expect(store.list({ limit: 9 })).toEqual([])
    for (const write of held.splice(0)) write()
    await gone
    expect(store.usage().count).toBe(0)
  })

  it('takes so many and no more', async () => {
    const store = new PointerStore(openMemoryRecords(), { countMax: 2 })
    const put = (seed: number) => store.put(makeShard(seed).ref, pointerOf(makeShard(seed), [placeOf(seed)]))
    expect([await put(1), await put(2), await put(3), await put(2)]).toEqual(['stored', 'stored', 'full', 'stored'])
  })

  it('lets go of those whose lease is over, some at each look', async () => {
    const store = new PointerStore(openMemoryRecords())
    for (let seed = 1; seed <= 10; seed++)
      await store.put(makeShard(seed).ref, { ...pointerOf(makeShard(seed), [placeOf(1)]), leaseEndMs: seed })
    let expired = 0
    for (let look = 0; look < 4; look++) expired += await store.expire(6, 3)
    expect(expired).toBe(6)
    expect(store.list({ limit: 99 }).every(({ leaseEndMs }) => leaseEndMs > 6)).toBe(true)
  })

  it('passes over damaged records, though a page were full of them', async () => {
    const records = openMemoryRecords()
    const store = new PointerStore(records)
    await store.put(shard.ref, pointerOf(shard, [placeOf(1)]))
    const key = records.list(fromUtf8('p'))[0]?.key as Uint8Array
    for (let i = 0; i < 5; i++) {
      const before = key.slice()
      before.fill(0, 1, 20)
      before[30] = i
      await records.write([{ key: before, value: fromUtf8('damaged') }])
    }
    expect(store.list({ limit: 1 }).map(({ ref }) => ref)).toEqual([shard.ref])
    expect(records.list(fromUtf8('p')).length).toBe(1)
  })
})

it('a place between nodes carries neither what was proven nor what drops it', () => {
  const place = placeOf(1, { provenMs: 99, dropSecret: seededBytes(3, 32) })
  expect(decodePlace(encodePlace(place))).toEqual({ ...place, provenMs: 0, dropSecret: undefined })
  const pointer = pointerOf(makeShard(1), [place, placeOf(2)])
  expect(decodePointer(encodePointer(pointer))).toEqual(pointer)
})
