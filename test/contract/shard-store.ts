/**
 * What every maker of a shard store promises. SPEC shard-store §1-§4. Called with the maker; the makers'
 * own tests add what only they can do.
 */
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { compareBytes, type Location, SHARD_SIZE } from '../../core/index.ts'
import { LABELS, signingKeyFromSeed, tagged } from '../../crypto/index.ts'
import { type ContentRef, contentRefKey, locationOf, type ShardStores } from '../../storage/index.ts'
import { seededBytes } from '../storage/support/random.ts'
import { makeShard, makeSigned } from './shard.ts'

export interface StoreMaker {
  readonly name: string
  open(options: { quotaBytes: number; cacheBytes: number; onCorrupt: (ref: ContentRef) => void }): Promise<ShardStores>
  /** Flips a bit of what is stored, in the store and the cache, behind the store's back. */
  corrupt(ref: ContentRef, bytes: Uint8Array): Promise<void>
}

const ROOMY = 100 * SHARD_SIZE

export function describeShardStore(maker: StoreMaker): void {
  describe(`shard store in ${maker.name}`, () => {
    let opened: ShardStores | undefined
    let corrupted: ContentRef[] = []

    async function open(sizes: { quotaBytes?: number; cacheBytes?: number } = {}): Promise<ShardStores> {
      corrupted = []
      opened = await maker.open({
        quotaBytes: sizes.quotaBytes ?? ROOMY,
        cacheBytes: sizes.cacheBytes ?? 0,
        onCorrupt: (ref) => corrupted.push(ref),
      })
      return opened
    }

    afterEach(async () => {
      await opened?.store.close()
      opened = undefined
    })

    it('gives back what was stored, byte for byte, for every kind of content', async () => {
      const { store } = await open()
      const shard = makeShard(1)
      const root: ContentRef = { kind: 'root', id: shard.ref.id, copy: 5 }
      const signed = makeSigned(2)
      expect(await store.put({ ...shard, leaseEndMs: 10 })).toBe('stored')
      expect(await store.put({ ref: root, bytes: shard.bytes, leaseEndMs: 20 })).toBe('stored')
      expect(await store.put({ ...signed, leaseEndMs: 30 })).toBe('stored')
      expectBytes(store.get(shard.ref), shard.bytes)
      expectBytes(store.get(root), shard.bytes)
      expectBytes(store.get(signed.ref), signed.bytes)
      expect(store.get({ ...root, copy: 4 })).toBeUndefined()
      expect([shard.ref, root, signed.ref].map((ref) => store.leaseEnd(ref))).toEqual([10, 20, 30])
      expect(store.usage()).toEqual({ bytes: 3 * SHARD_SIZE, count: 3, quotaBytes: ROOMY, corrupt: 0 })
    })

    it('knows nothing of what was never stored or was deleted', async () => {
      const { store } = await open()
      const { ref, bytes } = makeShard(3)
      expect([store.get(ref), store.has(ref), store.leaseEnd(ref), store.delete(ref)]).toEqual([
        undefined,
        false,
        undefined,
        false,
      ])
      expect(await store.renew(ref, 5)).toBe(false)
      await store.put({ ref, bytes, leaseEndMs: 10 })
      expect(store.has(ref)).toBe(true)
      expect(store.delete(ref)).toBe(true)
      expect([store.get(ref), store.has(ref), store.leaseEnd(ref), store.delete(ref)]).toEqual([
        undefined,
        false,
        undefined,
        false,
      ])
      expect(store.list({ limit: 10 })).toEqual([])
      expect(store.usage().count).toBe(0)
      expect(await store.put({ ref, bytes, leaseEndMs: 20 })).toBe('stored')
      expect(store.leaseEnd(ref)).toBe(20)
      expectBytes(store.get(ref), bytes)
    })

    it('keeps the first bytes of signed content', async () => {
      const { store } = await open()
      const first = makeSigned(4)
      const key = signingKeyFromSeed(seededBytes(4, 32))
      const second = seededBytes(5, SHARD_SIZE)
      second.set(key.sign(tagged(LABELS.signedRoot, second.subarray(64))))
      await store.put({ ...first, leaseEndMs: 10 })
      expect(await store.put({ ref: first.ref, bytes: second, leaseEndMs: 10 })).toBe('stored')
      expectBytes(store.get(first.ref), first.bytes)
      expect(store.usage().count).toBe(1)
    })

    it('prolongs leases and never shortens them', async () => {
      const { store } = await open()
      const { ref, bytes } = makeShard(6)
      await store.put({ ref, bytes, leaseEndMs: 100 })
      expect(await store.renew(ref, 50)).toBe(true)
      expect(store.leaseEnd(ref)).toBe(100)
      expect(await store.renew(ref, 200)).toBe(true)
      expect(store.leaseEnd(ref)).toBe(200)
      await store.put({ ref, bytes, leaseEndMs: 150 })
      expect(store.leaseEnd(ref)).toBe(200)
      await store.put({ ref, bytes, leaseEndMs: 300 })
      expect(store.leaseEnd(ref)).toBe(300)
    })

    it('refuses what exceeds its quota, and takes it once there is room', async () => {
      const { store } = await open({ quotaBytes: 2 * SHARD_SIZE + 1 })
      const [a, b, c] = [makeShard(7), makeShard(8), makeShard(9)]
      expect(await store.put({ ...a, leaseEndMs: 1 })).toBe('stored')
      expect(await store.put({ ...b, leaseEndMs: 1 })).toBe('stored')
      expect(await store.put({ ...c, leaseEndMs: 1 })).toBe('full')
      expect(store.has(c.ref)).toBe(false)
      expect(await store.put({ ...a, leaseEndMs: 9 })).toBe('stored')
      store.delete(b.ref)
      expect(await store.put({ ...c, leaseEndMs: 1 })).toBe('stored')
    })

    it('never exceeds its quota under puts at the same time', async () => {
      const { store } = await open({ quotaBytes: 5 * SHARD_SIZE })
      const shards = Array.from({ length: 12 }, (_, i) => makeShard(100 + i))
      const outcomes = await Promise.all(shards.map((shard) => store.put({ ...shard, leaseEndMs: 1 })))
      expect(outcomes.filter((outcome) => outcome === 'stored')).toHaveLength(5)
      expect(store.usage().count).toBe(5)
    })

    it('expires exactly what is due, oldest first, so many at a time', async () => {
      const { store } = await open()
      const shards = [40, 10, 30, 20].map((leaseEndMs, i) => ({ ...makeShard(20 + i), leaseEndMs }))
      for (const shard of shards) await store.put(shard)
      await store.renew((shards[1] as (typeof shards)[0]).ref, 35)
      expect(store.expire(9, 10)).toBe(0)
      expect(store.expire(30, 1)).toBe(1)
      expect(shards.map(({ ref }) => store.has(ref))).toEqual([true, true, true, false])
      expect(store.expire(30, 10)).toBe(1)
      expect(store.expire(30, 10)).toBe(0)
      expect(shards.map(({ ref }) => store.has(ref))).toEqual([true, true, false, false])
      expect(store.expire(40, 10)).toBe(2)
      expect(store.usage().count).toBe(0)
    })

    it('drops, counts and tells of content with a flipped bit, and takes it anew', async () => {
      const { store } = await open()
      for (const { ref, bytes } of [makeShard(30), makeSigned(31)]) {
        const intact = bytes.slice()
        await store.put({ ref, bytes, leaseEndMs: 10 })
        const before = store.usage()
        await maker.corrupt(ref, bytes)
        expect(store.get(ref)).toBeUndefined()
        expect(store.has(ref)).toBe(false)
        expect(corrupted.at(-1)).toEqual(ref)
        expect(store.usage()).toEqual({
          ...before,
          corrupt: before.corrupt + 1,
          count: before.count - 1,
          bytes: before.bytes - SHARD_SIZE,
        })
        expect(await store.put({ ref, bytes: intact, leaseEndMs: 10 })).toBe('stored')
        expectBytes(store.get(ref), intact)
      }
    })

    it('lists every arc in clockwise order, past zero too, page by page', async () => {
      const { store } = await open()
      const shards = Array.from({ length: 24 }, (_, i) => makeShard(200 + i))
      await Promise.all(shards.map((shard, i) => store.put({ ...shard, leaseEndMs: i })))
      const edge = fc.oneof(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.constantFrom(...shards.map(({ ref }) => locationOf(ref) as Uint8Array)),
      )
      fc.assert(
        fc.property(edge, edge, fc.integer({ min: 1, max: 30 }), (from, to, limit) => {
          const arc = { from: from as Location, to: to as Location }
          const onArc = shards
            .filter(({ ref }) => {
              const [x, above] = [locationOf(ref), compareBytes(from, to)]
              const [afterFrom, upToTo] = [compareBytes(x, from) > 0, compareBytes(x, to) <= 0]
              return above === 0 || (above < 0 ? afterFrom && upToTo : afterFrom || upToTo)
            })
            .sort((a, b) => compareBytes(clockwise(from, locationOf(a.ref)), clockwise(from, locationOf(b.ref))))
          const pages: ContentRef[] = []
          for (;;) {
            const after = pages.at(-1)
            const page = store.list({ ...arc, limit, ...(after === undefined ? {} : { after }) })
            expect(page.length).toBeLessThanOrEqual(limit)
            pages.push(...page.map(({ ref }) => ref))
            if (page.length < limit) break
          }
          expect(pages.map(contentRefKey)).toEqual(onArc.map(({ ref }) => contentRefKey(ref)))
        }),
        { numRuns: 60 },
      )
      const everything = store.list({ limit: 100 })
      expect(everything).toHaveLength(24)
      for (const { ref, leaseEndMs } of everything) {
        expect(contentRefKey((shards[leaseEndMs] as (typeof shards)[0]).ref)).toBe(contentRefKey(ref))
      }
      const pastEnd = store.list({ from: new Uint8Array(32).fill(255) as Location, limit: 100 })
      expect(pastEnd).toEqual([])
      const last = everything.at(-1)?.ref as ContentRef
      store.delete(last)
      expect(store.list({ after: last, limit: 5 })).toEqual([])
    })

    it('stores, renews, deletes and lists as a plain map does, in any order of commands', async () => {
      const shards = Array.from({ length: 5 }, (_, i) => makeShard(300 + i))
      const which = fc.integer({ min: 0, max: shards.length - 1 })
      const command = fc.oneof(
        fc.record({ do: fc.constantFrom('put', 'renew'), which, at: fc.integer({ min: 1, max: 50 }) }),
        fc.record({ do: fc.constant('delete'), which, at: fc.constant(0) }),
        fc.record({ do: fc.constant('expire'), which, at: fc.integer({ min: 1, max: 50 }) }),
      )
      await fc.assert(
        fc.asyncProperty(fc.array(command, { maxLength: 12 }), async (commands) => {
          await opened?.store.close()
          const { store } = await open()
          for (const { ref } of store.list({ limit: 100 })) store.delete(ref)
          const model = new Map<number, number>()
          for (const { do: name, which: i, at } of commands) {
            const { ref, bytes } = shards[i] as (typeof shards)[0]
            if (name === 'put') {
              expect(await store.put({ ref, bytes, leaseEndMs: at })).toBe('stored')
              model.set(i, Math.max(at, model.get(i) ?? 0))
            } else if (name === 'renew') {
              expect(await store.renew(ref, at)).toBe(model.has(i))
              if (model.has(i)) model.set(i, Math.max(at, model.get(i) ?? 0))
            } else if (name === 'delete') expect(store.delete(ref)).toBe(model.delete(i))
            else {
              const due = [...model].filter(([, end]) => end <= at)
              expect(store.expire(at, 100)).toBe(due.length)
              for (const [key] of due) model.delete(key)
            }
            expect(store.usage().count).toBe(model.size)
          }
          const held = store.list({ limit: 100 }).map(({ ref, leaseEndMs }) => [contentRefKey(ref), leaseEndMs])
          const expected = [...model].map(([i, end]) => [contentRefKey((shards[i] as (typeof shards)[0]).ref), end])
          expect(new Map(held as [string, number][])).toEqual(new Map(expected as [string, number][]))
        }),
        { numRuns: 15 },
      )
    })

    it('caches so much and forgets the least recently used', async () => {
      const { cache } = await open({ cacheBytes: 3 * SHARD_SIZE })
      const [a, b, c, d] = [makeShard(40), makeShard(41), makeShard(42), makeShard(43)]
      for (const { ref, bytes } of [a, b, c]) cache.put(ref, bytes)
      expectBytes(cache.get(a.ref), a.bytes)
      cache.put(d.ref, d.bytes)
      expect(cache.get(b.ref)).toBeUndefined()
      for (const { ref, bytes } of [a, c, d]) expectBytes(cache.get(ref), bytes)
      expect(cache.usage()).toEqual({ bytes: 3 * SHARD_SIZE, count: 3, sizeMaxBytes: 3 * SHARD_SIZE })
    })

    it('caches nothing when the cache has no room', async () => {
      const { cache } = await open({ cacheBytes: SHARD_SIZE - 1 })
      const { ref, bytes } = makeShard(44)
      cache.put(ref, bytes)
      expect(cache.get(ref)).toBeUndefined()
      expect(cache.usage().count).toBe(0)
    })
  })
}

/** As toEqual, which takes half a second for a shard. */
function expectBytes(got: Uint8Array | undefined, wanted: Uint8Array): void {
  expect(got !== undefined && Buffer.compare(got, wanted) === 0).toBe(true)
}

/** How far `to` lies clockwise from just after `from`. */
function clockwise(from: Uint8Array, to: Uint8Array): Uint8Array {
  const value = (bytes: Uint8Array) => BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
  const distance = (value(to) - value(from) - 1n + (1n << 257n)) % (1n << 256n)
  return new Uint8Array(Buffer.from(distance.toString(16).padStart(64, '0'), 'hex'))
}
