import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FRAGMENT_SIZE, ROOT_COPIES, SHARD_SIZE, STRIPE_SIZE } from '../../core/index.ts'
import {
  type Address,
  type ContentRef,
  contentRefKey,
  INLINE_SIZE_MAX,
  ObjectNotFoundError,
  openObject,
  type PutReport,
  putObject,
  StripeNotStoredError,
  TooFewShardsError,
} from '../../storage/index.ts'
import { collect, inPieces, KeeperAwayError, Keepers, nextTurn } from './support/keepers.ts'
import { seededBytes, seededJitter, seededRandom } from './support/random.ts'

interface Stored {
  readonly keepers: Keepers
  readonly bytes: Uint8Array
  readonly address: Address
  readonly report: PutReport
}

async function store(
  size: number,
  options: { kind?: Address['kind']; keepers?: Keepers; pieces?: readonly number[]; seed?: string } = {},
): Promise<Stored> {
  const keepers = options.keepers ?? new Keepers()
  const bytes = seededBytes(size, size)
  const put = await putObject(
    { source: inPieces(bytes, options.pieces), kind: options.kind ?? 'private' },
    { random: seededRandom(options.seed ?? `put ${size}`), place: keepers.place },
  )
  return { keepers, bytes, ...put }
}

function get(address: Address, keepers: Keepers, seed = 'get') {
  return openObject(address, { fetch: keepers.fetch, jitter: seededJitter(seed) })
}

async function expectReadable({ address, keepers, bytes }: Stored, seed = 'get'): Promise<void> {
  const object = await get(address, keepers, seed)
  expect(object.lengthBytes).toBe(bytes.length)
  expectSame(await collect(object.read()), bytes)
}

function expectSame(got: Uint8Array, wanted: Uint8Array): void {
  expect(got.length).toBe(wanted.length)
  expect(Buffer.compare(got, wanted)).toBe(0)
}

/** Keeps `survivors` shards of each stripe and one copy of the root, chosen by the seed. */
function thinOut(keepers: Keepers, seed: string): void {
  const jitter = seededJitter(seed)
  for (const stripe of keepers.stripes) {
    const shards = keepers.ofStripe(stripe)
    const isRoot = shards[0]?.ref.kind !== 'shard'
    const survivors = isRoot ? 1 : (shards.length - 6) / 2
    const order = shards.map((shard) => ({ shard, at: jitter.uint32() })).sort((a, b) => a.at - b.at)
    for (const { shard } of order.slice(survivors)) keepers.forget(shard.ref)
  }
}

const BOUNDARIES = [
  0,
  1,
  INLINE_SIZE_MAX,
  INLINE_SIZE_MAX + 1,
  FRAGMENT_SIZE - 1,
  FRAGMENT_SIZE,
  FRAGMENT_SIZE + 1,
  STRIPE_SIZE - 1,
  STRIPE_SIZE,
  STRIPE_SIZE + 1,
  3 * STRIPE_SIZE,
]

describe('put and get', () => {
  it.each(BOUNDARIES)('gives %i bytes back from any 8 of 22 survivors, for both kinds of address', async (size) => {
    for (const kind of ['private', 'public'] as const) {
      const stored = await store(size, { kind, pieces: [70_001, 0, 1, 500_000] })
      await expectReadable(stored)
      thinOut(stored.keepers, `thin ${size} ${kind}`)
      await expectReadable(stored, 'after the loss')
    }
  })

  it('gives any object back from random survivors, whatever the pieces it came in', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 1_600_000 }),
        fc.array(fc.integer({ min: 0, max: 700_000 }), { minLength: 1, maxLength: 5 }),
        fc.constantFrom('private', 'public'),
        fc.string(),
        async (size, pieces, kind, seed) => {
          const stored = await store(size, { kind, pieces: [...pieces, 10_000], seed })
          thinOut(stored.keepers, seed)
          await expectReadable(stored, seed)
        },
      ),
      { numRuns: 12 },
    )
  })

  it.each([
    [0, 8, 0],
    [INLINE_SIZE_MAX, 8, 0],
    [INLINE_SIZE_MAX + 1, 8 + 8, 1],
    [FRAGMENT_SIZE + 1, 10 + 8, 1],
    [STRIPE_SIZE, 22 + 8, 1],
    [STRIPE_SIZE + 1, 2 * 22 + 8, 2],
    [9 * STRIPE_SIZE - 5, 10 * 22 + 8, 10],
  ])('stores %i bytes as %i contents in %i stripes', async (size, shards, stripes) => {
    const { report, keepers } = await store(size)
    const bytes = shards * SHARD_SIZE
    expect(report).toEqual({ shards, stored: shards, handed: 0, pending: 0, stripes, bytes, lengthBytes: size })
    expect(keepers.held.size).toBe(shards)
    for (const { bytes: placed } of keepers.held.values()) expect(placed.length).toBe(SHARD_SIZE)
  })

  it('lists more stripes than the root holds in nodes, and reads them from any byte', async () => {
    const stored = await store(83 * STRIPE_SIZE - 3)
    // Padding makes 88 stripes of 83: two nodes.
    expect(stored.report).toMatchObject({ stripes: 88 + 2, shards: 88 * 22 + 2 * 8 + 8 })
    const object = await get(stored.address, stored.keepers)
    for (const fromByte of [0, 82 * STRIPE_SIZE - 7, 83 * STRIPE_SIZE - 4]) {
      stored.keepers.fetches = 0
      expectSame(await collect(object.read({ fromByte })), stored.bytes.subarray(fromByte))
    }
    // One byte: its stripe's and one node's shards, no more.
    expect(stored.keepers.fetches).toBeLessThanOrEqual(11 + 4)
  })

  it('keeps name and type, and reads any range', async () => {
    const keepers = new Keepers()
    const bytes = seededBytes(5, 1_200_000)
    const { address } = await putObject(
      { source: inPieces(bytes), kind: 'public', name: 'Übergröße 漢字.tar', type: 'application/x-tar' },
      { random: seededRandom('named'), place: keepers.place },
    )
    const object = await get(address, keepers)
    expect([object.name, object.type]).toEqual(['Übergröße 漢字.tar', 'application/x-tar'])
    const edges = fc.integer({ min: 0, max: bytes.length })
    await fc.assert(
      fc.asyncProperty(edges, edges, async (a, b) => {
        const [fromByte, toByte] = [Math.min(a, b), Math.max(a, b)]
        expectSame(await collect(object.read({ fromByte, toByte })), bytes.subarray(fromByte, toByte))
      }),
      { numRuns: 25 },
    )
    for (const range of [
      { fromByte: bytes.length + 1 },
      { fromByte: -1 },
      { fromByte: 5, toByte: 4 },
      { fromByte: 0.5 },
    ]) {
      expect(() => object.read(range)).toThrow(expect.objectContaining({ code: 'ERR_BAD_RANGE' }))
    }
    expect(await collect(object.read({ fromByte: bytes.length }))).toHaveLength(0)
  })

  it('refuses names that are not those of a single file', async () => {
    const names = ['a/b', '..', 'a\\b', 'line\nfeed', 'x'.repeat(256), '\u202egpj.exe', '\ud800']
    for (const name of names) {
      const put = putObject(
        { source: inPieces(new Uint8Array(1)), kind: 'private', name },
        { random: seededRandom('n'), place: new Keepers().place },
      )
      await expect(put).rejects.toMatchObject({ code: 'ERR_BAD_NAME', kind: 'input' })
    }
  })

  it('gives two puts of the same bytes nothing in common', async () => {
    const [a, b] = [await store(100_000, { seed: 'a' }), await store(100_000, { seed: 'b' })]
    for (const key of a.keepers.held.keys()) expect(b.keepers.held.has(key)).toBe(false)
  })
})

describe('put', () => {
  it('tries a refused shard under four names, the last one final, and reads what came of it', async () => {
    const keepers = new Keepers()
    const tries: boolean[] = []
    let asked = 0
    keepers.answer = (ref, final) => {
      if (ref.kind !== 'shard') return undefined
      // Eight shards ask at first; the first one's later names come after them, alone.
      asked += 1
      if (asked > 1 && asked <= 8) return undefined
      tries.push(final)
      return final ? undefined : 'refused'
    }
    const stored = await store(FRAGMENT_SIZE, { keepers })
    expect(tries).toEqual([false, false, false, true])
    expect(stored.report).toMatchObject({ shards: 16, stored: 16 })
    await expectReadable(stored)
  })

  it('re-salts every shard up to the final try and counts what stays pending', async () => {
    const keepers = new Keepers()
    const seen: boolean[] = []
    const answered = new Set<string>()
    keepers.answer = (ref, final) => {
      expect(answered.has(contentRefKey(ref)) && ref.kind === 'shard').toBe(false)
      answered.add(contentRefKey(ref))
      if (ref.kind !== 'shard') return undefined
      seen.push(final)
      return final ? undefined : 'refused'
    }
    const stored = await store(3 * FRAGMENT_SIZE, { keepers })
    expect(seen.filter((final) => final)).toHaveLength(12)
    expect(seen).toHaveLength(48)
    await expectReadable(stored)
  })

  it('counts a stripe as stored with 15 of 22, and fails with the counts below', async () => {
    for (const [taken, isStored] of [
      [15, true],
      [14, false],
    ] as const) {
      const keepers = new Keepers()
      let shards = 0
      keepers.answer = (ref) => (ref.kind === 'shard' && ++shards > taken ? 'pending' : undefined)
      const put = store(STRIPE_SIZE, { keepers })
      if (isStored) {
        const stored = await put
        expect(stored.report).toMatchObject({ shards: 30, stored: 23, pending: 7 })
        await expectReadable(stored)
      } else {
        const error = await put.catch((thrown: unknown) => thrown)
        expect(error).toBeInstanceOf(StripeNotStoredError)
        expect(error).toMatchObject({ kind: 'unavailable', stripe: 0, stored: 14, pending: 8, needed: 15, total: 22 })
      }
    }
  })

  it('counts what gateways hold apart from what is stored, and both for a stripe', async () => {
    const keepers = new Keepers()
    let shards = 0
    keepers.answer = (ref) => (ref.kind === 'root' || ++shards <= 15 ? 'handed' : 'pending')
    const { report } = await store(STRIPE_SIZE, { keepers })
    expect(report).toMatchObject({ shards: 30, stored: 0, handed: 23, pending: 7 })
  })

  it('is not done with fewer than five copies of the root', async () => {
    const keepers = new Keepers()
    let copies = 0
    keepers.answer = (ref) => (ref.kind === 'root' && ++copies > 4 ? 'pending' : undefined)
    await expect(store(10, { keepers })).rejects.toMatchObject({ code: 'ERR_STRIPE_NOT_STORED', needed: 5, total: 8 })
  })

  it('stops cleanly when the source throws, before, between and within stripes', async () => {
    for (const after of [0, 1, STRIPE_SIZE, 3 * STRIPE_SIZE + 5]) {
      const keepers = new Keepers()
      const broken = new Error('the disk went away')
      const source = (async function* () {
        yield* inPieces(new Uint8Array(after))
        throw broken
      })()
      const put = putObject({ source, kind: 'private' }, { random: seededRandom('x'), place: keepers.place })
      await expect(put).rejects.toBe(broken)
      const { size } = keepers.held
      expect(keepers.inFlight).toBe(0)
      for (let turn = 0; turn < 5; turn++) await nextTurn()
      expect(keepers.held.size).toBe(size)
      expect([...keepers.held.values()].some(({ ref }) => ref.kind !== 'shard')).toBe(false)
    }
  })

  it('lets a silent source go when a stripe fails', async () => {
    const keepers = new Keepers()
    keepers.answer = () => 'pending'
    let isReleased = false
    const source: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]() {
        let given = 0
        return {
          next: () =>
            given++ < 9
              ? Promise.resolve({ done: false, value: new Uint8Array(STRIPE_SIZE / 4) })
              : new Promise<never>(() => undefined),
          return: async () => {
            isReleased = true
            return { done: true, value: undefined }
          },
        }
      },
    }
    const put = putObject({ source, kind: 'private' }, { random: seededRandom('x'), place: keepers.place })
    await expect(put).rejects.toBeInstanceOf(StripeNotStoredError)
    expect(isReleased).toBe(true)
  })

  it('ends when asked to from outside, and tells the placer', async () => {
    const stop = new AbortController()
    const told: boolean[] = []
    const put = putObject(
      { source: inPieces(new Uint8Array(2 * STRIPE_SIZE)), kind: 'private' },
      {
        random: seededRandom('x'),
        signal: stop.signal,
        place: ({ signal }) =>
          new Promise((_, reject) => {
            signal.addEventListener('abort', () => {
              told.push(true)
              reject(signal.reason)
            })
            if (told.length === 0) setImmediate(() => stop.abort(new Error('enough')))
          }),
      },
    )
    await expect(put).rejects.toThrow('enough')
    expect(told.length).toBeGreaterThanOrEqual(22)
  })

  it('fails with what the placer throws', async () => {
    const broken = new Error('no circuits at all')
    const put = putObject(
      { source: inPieces(new Uint8Array(4 * STRIPE_SIZE)), kind: 'private' },
      { random: seededRandom('x'), place: () => Promise.reject(broken) },
    )
    await expect(put).rejects.toBe(broken)
  })

  it('holds no more stripes than it may, and reads no further ahead', async () => {
    const keepers = new Keepers()
    let readBytes = 0
    let placedStripes = 0
    let aheadMax = 0
    const source = (async function* () {
      for (let at = 0; at < 20; at++) {
        readBytes += STRIPE_SIZE
        aheadMax = Math.max(aheadMax, readBytes / STRIPE_SIZE - placedStripes)
        yield new Uint8Array(STRIPE_SIZE)
      }
    })()
    const done = new Map<number, number>()
    await putObject(
      { source, kind: 'private' },
      {
        random: seededRandom('x'),
        stripesInFlight: 3,
        place: async (shard) => {
          const outcome = await keepers.place(shard)
          done.set(shard.stripe, (done.get(shard.stripe) ?? 0) + 1)
          if (done.get(shard.stripe) === 22) placedStripes += 1
          return outcome
        },
      },
    )
    expect(keepers.inFlightMax).toBeLessThanOrEqual(3 * 22)
    expect(keepers.inFlightMax).toBeGreaterThan(22)
    // Three in flight, one filled, one piece from the source.
    expect(aheadMax).toBeLessThanOrEqual(5)
  })

  it('tells how far it is, with the total once the source has ended', async () => {
    const keepers = new Keepers()
    const told: { readBytes: number; storedShards: number; totalShards: number | undefined }[] = []
    await putObject(
      { source: inPieces(new Uint8Array(3 * STRIPE_SIZE)), kind: 'private' },
      { random: seededRandom('x'), place: keepers.place, onProgress: (progress) => told.push(progress) },
    )
    expect(told.at(-1)).toEqual({ readBytes: 3 * STRIPE_SIZE, storedShards: 74, totalShards: 74 })
    for (const { totalShards } of told) expect([undefined, 74]).toContain(totalShards)
  })
})

describe('get', () => {
  it('says how many shards are missing when one too many is lost', async () => {
    for (const [size, k, n] of [
      [STRIPE_SIZE, 8, 22],
      [INLINE_SIZE_MAX + 1, 1, 8],
      [3 * FRAGMENT_SIZE, 3, 12],
    ] as const) {
      const stored = await store(size)
      for (const { ref } of stored.keepers.ofStripe(0).slice(0, n - k + 1)) stored.keepers.forget(ref)
      const object = await get(stored.address, stored.keepers)
      const error = await collect(object.read()).catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(TooFewShardsError)
      expect(error).toMatchObject({ found: k - 1, needed: k, stripe: 0, level: 0, kind: 'unavailable' })
    }
  })

  it('gives what lies before a lost stripe, then the error', async () => {
    const stored = await store(3 * STRIPE_SIZE)
    for (const { ref } of stored.keepers.ofStripe(1).slice(0, 15)) stored.keepers.forget(ref)
    const object = await get(stored.address, stored.keepers)
    const got: Uint8Array[] = []
    const read = async () => {
      for await (const piece of object.read()) got.push(piece)
    }
    await expect(read()).rejects.toMatchObject({ code: 'ERR_TOO_FEW_SHARDS', stripe: 1 })
    expectSame(new Uint8Array(Buffer.concat(got)), stored.bytes.subarray(0, STRIPE_SIZE))
  })

  it('asks k and three more, and one more for each miss', async () => {
    const stored = await store(STRIPE_SIZE)
    const object = await get(stored.address, stored.keepers)
    stored.keepers.fetches = 0
    await collect(object.read())
    expect(stored.keepers.fetches).toBe(11)
    for (const { ref } of stored.keepers.ofStripe(0).slice(0, 14)) stored.keepers.forget(ref)
    stored.keepers.fetches = 0
    await collect(object.read())
    expect(stored.keepers.fetches).toBeLessThanOrEqual(22)
    expect(stored.keepers.fetches).toBeGreaterThanOrEqual(11)
  })

  it('asks another for each that says it is slow, and does not wait for it', async () => {
    const stored = await store(STRIPE_SIZE)
    const slow = new Set(
      stored.keepers
        .ofStripe(0)
        .slice(0, 14)
        .map(({ ref }) => contentRefKey(ref)),
    )
    const object = await openObject(stored.address, {
      jitter: seededJitter('slow'),
      fetch: (ref, wish) => {
        if (!slow.has(contentRefKey(ref))) return stored.keepers.fetch(ref, wish)
        wish.onSlow?.()
        wish.onSlow?.()
        return new Promise(() => {})
      },
    })
    expectSame(await collect(object.read()), stored.bytes)
  })

  it('waits for the slow ones when there are no others, and takes what they bring', async () => {
    const stored = await store(STRIPE_SIZE)
    for (const { ref } of stored.keepers.ofStripe(0).slice(0, 14)) stored.keepers.forget(ref)
    const object = await openObject(stored.address, {
      jitter: seededJitter('slow'),
      fetch: async (ref, wish) => {
        wish.onSlow?.()
        for (let turn = 0; turn < 50; turn++) await nextTurn()
        return stored.keepers.fetch(ref, wish)
      },
    })
    expectSame(await collect(object.read()), stored.bytes)
  })

  it('never gives wrong bytes for flipped ones, and reads on when enough are right', async () => {
    const stored = await store(STRIPE_SIZE + 100)
    const all = [...stored.keepers.held.values()]
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 40 }),
        fc.integer({ min: 0, max: SHARD_SIZE - 1 }),
        fc.integer({ min: 1, max: 255 }),
        fc.string(),
        async (count, at, flip, seed) => {
          const jitter = seededJitter(seed)
          const keepers = new Keepers()
          const spoilt = new Map<number, number>()
          const order = all.map((shard) => ({ shard, rank: jitter.uint32() })).sort((a, b) => a.rank - b.rank)
          for (const [rank, { shard }] of order.entries()) {
            let { bytes } = shard
            if (rank < count) {
              bytes = bytes.slice()
              bytes[at] = (bytes[at] ?? 0) ^ flip
              spoilt.set(shard.stripe, (spoilt.get(shard.stripe) ?? 0) + 1)
            }
            keepers.held.set(contentRefKey(shard.ref), { ...shard, bytes })
          }
          const isReadable = [0, 1].every((stripe) => (spoilt.get(stripe) ?? 0) <= 14) && (spoilt.get(2) ?? 0) <= 7
          const read = async () => collect((await get(stored.address, keepers, seed)).read())
          if (isReadable) expectSame(await read(), stored.bytes)
          else await expect(read()).rejects.toMatchObject({ kind: 'unavailable' })
        },
      ),
      { numRuns: 40 },
    )
  })

  it('passes over junk that was signed with the address, for a public object', async () => {
    const stored = await store(500, { kind: 'public' })
    const asked: number[] = []
    const fetch: typeof stored.keepers.fetch = async (ref, wish) => {
      asked.push(wish.skip ?? 0)
      const bytes = (await stored.keepers.fetch(ref, wish))?.slice()
      if ((wish.skip ?? 0) < 2) bytes?.fill(7, 64)
      return bytes
    }
    const object = await openObject(stored.address, { fetch, jitter: seededJitter('j') })
    expectSame(await collect(object.read()), stored.bytes)
    expect(Math.max(...asked)).toBe(2)
  })

  it('says not found by how many of the eight keepers', async () => {
    const stored = await store(500)
    let asked = 0
    const fetch = async () => {
      if (asked++ < 3) throw new KeeperAwayError('away')
      return undefined
    }
    const error = await openObject(stored.address, { fetch, jitter: seededJitter('j') }).catch(
      (thrown: unknown) => thrown,
    )
    expect(error).toBeInstanceOf(ObjectNotFoundError)
    expect(error).toMatchObject({ misses: 5, failures: 3, total: ROOT_COPIES })
    expect((error as Error).message).toContain('not found by 5 of 8 keepers')
    expect((error as { cause: AggregateError }).cause.errors).toHaveLength(3)
  })

  it('asks for three shards more than it needs of each stripe where there is room, else for none', async () => {
    const stored = await store(STRIPE_SIZE)
    for (const hasRoom of [true, false]) {
      let asked = 0
      const fetch: typeof stored.keepers.fetch = (ref, wish) => {
        if (ref.kind === 'shard') asked++
        return stored.keepers.fetch(ref, wish)
      }
      const jitter = seededJitter('j')
      const opened = await openObject(stored.address, { fetch, jitter, hasRoom: () => hasRoom })
      expectSame(await collect(opened.read()), stored.bytes)
      expect(asked).toBe(hasRoom ? 11 : 8)
    }
  })

  it('does not take a bug in a fetch for a missing shard', async () => {
    const stored = await store(STRIPE_SIZE)
    const object = await openObject(stored.address, {
      jitter: seededJitter('j'),
      fetch: async (ref, wish) => {
        if (ref.kind === 'shard') throw new TypeError('a slip of ours')
        return stored.keepers.fetch(ref, wish)
      },
    })
    await expect(collect(object.read())).rejects.toThrow('a slip of ours')
  })

  it('collects what keepers failed with', async () => {
    const stored = await store(STRIPE_SIZE)
    const object = await openObject(stored.address, {
      jitter: seededJitter('j'),
      fetch: async (ref, wish) => {
        if (ref.kind === 'shard') throw new KeeperAwayError('away')
        return stored.keepers.fetch(ref, wish)
      },
    })
    const error = await collect(object.read()).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'ERR_TOO_FEW_SHARDS', found: 0, needed: 8 })
    expect((error as { cause: AggregateError }).cause.errors).toHaveLength(22)
  })

  it('calls everything off when the reader stops early', async () => {
    const stored = await store(8 * STRIPE_SIZE)
    const open = new Set<ContentRef>()
    const object = await openObject(stored.address, {
      jitter: seededJitter('j'),
      fetch: (ref, wish) => {
        const first = stored.keepers.ofStripe(0).some((shard) => contentRefKey(shard.ref) === contentRefKey(ref))
        if (first || ref.kind !== 'shard') return stored.keepers.fetch(ref, wish)
        open.add(ref)
        return new Promise((_, reject) => {
          wish.signal.addEventListener('abort', () => {
            open.delete(ref)
            reject(wish.signal.reason)
          })
        })
      },
    })
    for await (const piece of object.read()) {
      expectSame(piece, stored.bytes.subarray(0, STRIPE_SIZE))
      expect(open.size).toBe(5 * 11)
      break
    }
    expect(open.size).toBe(0)
  })

  it('ends a read that waits when asked to from outside', async () => {
    const stored = await store(2 * STRIPE_SIZE)
    const stop = new AbortController()
    const object = await openObject(stored.address, {
      jitter: seededJitter('j'),
      fetch: (ref, wish) => (ref.kind === 'shard' ? new Promise(() => undefined) : stored.keepers.fetch(ref, wish)),
    })
    const reading = collect(object.read({ signal: stop.signal }))
    await nextTurn()
    stop.abort(new Error('gone'))
    await expect(reading).rejects.toThrow('gone')
  })

  it('keeps so many stripes in flight and no more', async () => {
    const stored = await store(10 * STRIPE_SIZE)
    let inFlight = 0
    let inFlightMax = 0
    const object = await openObject(stored.address, {
      jitter: seededJitter('j'),
      stripesInFlight: 2,
      fetch: async (ref, wish) => {
        inFlightMax = Math.max(inFlightMax, ++inFlight)
        try {
          return await stored.keepers.fetch(ref, wish)
        } finally {
          inFlight -= 1
        }
      },
    })
    expectSame(await collect(object.read()), stored.bytes)
    expect(inFlightMax).toBeLessThanOrEqual(3 * 11)
  })
})
