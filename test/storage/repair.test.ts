import { describe, expect, it } from 'vitest'
import { FRAGMENT_SIZE, SHARD_SIZE, STRIPE_SIZE, shardCount, shuffle } from '../../core/index.ts'
import { merkleRoot } from '../../crypto/index.ts'
import { Halt } from '../../storage/halt.ts'
import {
  type Address,
  BadAddressError,
  BadRepairKeyError,
  type ContentRef,
  checkObject,
  contentRefKey,
  formatAddress,
  formatRepairKey,
  type Handle,
  makeRepairKey,
  ObjectNotFoundError,
  openObject,
  parseAddress,
  parseHandle,
  parseRepairKey,
  putObject,
  type RepairKey,
  repairObject,
  type StripeRepair,
  subjectOf,
  subjectOfRepairKey,
} from '../../storage/index.ts'
import type { Piece } from '../../storage/pieces.ts'
import { rebuildShards } from '../../storage/rebuild.ts'
import { listAddress } from '../../storage/repair-key.ts'
import { piecesOf } from '../../storage/repair-list.ts'
import { openRoot } from '../../storage/root.ts'
import { decodeStripe, encodeStripe, maskShard, openPiece, stripeKeys } from '../../storage/stripe.ts'
import { collect, inPieces, KeeperAwayError, Keepers, nextTurn, type PlacedShard } from './support/keepers.ts'
import { seededBytes, seededJitter, seededRandom } from './support/random.ts'

async function store(size: number, kind: Address['kind'] = 'private') {
  const keepers = new Keepers()
  const bytes = seededBytes(size, size)
  const put = await putObject(
    { source: inPieces(bytes, [STRIPE_SIZE]), kind },
    { random: seededRandom(`${kind} ${size}`), place: keepers.place },
  )
  return { keepers, bytes, address: put.address }
}
type Stored = Awaited<ReturnType<typeof store>>

const renewed: string[] = []
function ports(keepers: Keepers) {
  return {
    fetch: keepers.fetch,
    probe: keepers.probe,
    place: keepers.place,
    renew: async (ref: ContentRef) => {
      renewed.push(contentRefKey(ref))
      return keepers.probe(ref)
    },
    jitter: seededJitter('repair'),
  }
}

function makeKey({ address, keepers }: Stored, seed = 'key'): Promise<RepairKey> {
  return makeRepairKey(address, { ...ports(keepers), random: seededRandom(seed) })
}

async function repair(handle: Handle, keepers: Keepers, change: object = {}): Promise<StripeRepair[]> {
  const all: StripeRepair[] = []
  for await (const report of repairObject(handle, { ...ports(keepers), ...change })) all.push(report)
  return all
}

function sum(reports: readonly StripeRepair[]) {
  const total = { missing: 0, rebuilt: 0, pending: 0, renewed: 0, movedBytes: 0 }
  for (const each of reports) {
    for (const name of Object.keys(total) as (keyof typeof total)[]) total[name] += each[name]
  }
  return total
}

/** What has been placed, stripe by stripe, but for what is known already. */
function groupsOf(keepers: Keepers, known: readonly (readonly PlacedShard[])[] = []): PlacedShard[][] {
  const old = new Set(known.flat().map(({ ref }) => contentRefKey(ref)))
  const groups = keepers.stripes.map((stripe) =>
    keepers.ofStripe(stripe).filter(({ ref }) => !old.has(contentRefKey(ref))),
  )
  return groups.filter((group) => group.length > 0)
}

/** Forgets all but k shards of each stripe, and all but one copy of the root; what was forgotten. */
function thinOut(
  keepers: Keepers,
  seed: string,
  groups: readonly (readonly PlacedShard[])[],
): ReadonlyMap<string, Uint8Array> {
  const gone = new Map<string, Uint8Array>()
  const jitter = seededJitter(seed)
  for (const shards of groups) {
    const isRoot = shards[0]?.ref.kind !== 'shard'
    for (const { ref, bytes } of shuffle(jitter, shards).slice(isRoot ? 1 : (shards.length - 6) / 2)) {
      gone.set(contentRefKey(ref), bytes)
      keepers.forget(ref)
    }
  }
  return gone
}

function expectBack(keepers: Keepers, gone: ReadonlyMap<string, Uint8Array>): void {
  expect(gone.size).toBeGreaterThan(0)
  for (const [name, bytes] of gone) {
    expect(Buffer.compare(keepers.held.get(name)?.bytes ?? new Uint8Array(0), bytes)).toBe(0)
  }
}

describe('a shard that is rebuilt', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])('is the lost one byte for byte, every one of them, for k = %i', (k) => {
    const keys = stripeKeys(seededBytes(k, 32))
    const place = { level: 0, index: k }
    const n = shardCount(k)
    const plain = seededBytes(k + 50, k * FRAGMENT_SIZE)
    const { hash, pieceOf } = encodeStripe({ keys, place, k, plain, random: seededRandom(`rebuild ${k}`) })
    const entry = { k, hash, ids: new Uint8Array(32 * n), salts: Uint8Array.from({ length: n }, (_, i) => i % 4) }
    const stored = Array.from({ length: n }, (_, shard) => {
      const bytes = maskShard(keys, { place, shard, salt: shard % 4 }, pieceOf(shard))
      entry.ids.set(merkleRoot(bytes), 32 * shard)
      return bytes
    })
    const all = Array.from({ length: n }, (_, shard) => shard)
    for (const seed of ['a', 'b', 'c']) {
      const chosen = shuffle(seededJitter(seed + k), all).slice(0, k)
      const opened = chosen.map((shard) => {
        const mask = { place, shard, salt: shard % 4 }
        const piece = openPiece(shard, maskShard(keys, mask, stored[shard] as Uint8Array), hash)
        if (piece === undefined) throw new Error('a good shard was refused')
        return piece
      })
      // The repair key alone: the data key is not there to be used.
      const rebuilt = rebuildShards({ keys: { repair: keys.repair }, place, entry }, opened, all)
      expect(rebuilt?.size).toBe(n)
      for (const shard of all) expect(Buffer.compare(rebuilt?.get(shard) ?? plain, stored[shard] as Uint8Array)).toBe(0)
    }
  })

  it('is refused of shards that are not of the stripe, and left out under a name it cannot have', () => {
    const keys = stripeKeys(seededBytes(1, 32))
    const place = { level: 0, index: 0 }
    const { hash, pieceOf } = encodeStripe({
      keys,
      place,
      k: 2,
      plain: seededBytes(2, 2 * FRAGMENT_SIZE),
      random: seededRandom('wrong'),
    })
    const opened = [0, 5].map((shard) => openPiece(shard, pieceOf(shard).slice(), hash))
    const [one, other] = opened
    if (one === undefined || other === undefined) throw new Error('good shards were refused')
    const entry = { k: 2, hash, ids: new Uint8Array(32 * 10), salts: new Uint8Array(10) }
    expect(rebuildShards({ keys, place, entry }, [one, other], [3])).toEqual(new Map())
    const wrongShare = { ...other, share: seededBytes(3, 32) }
    expect(rebuildShards({ keys, place, entry }, [one, wrongShare], [3])).toBeUndefined()
    const wrongFragment = { ...other, fragment: seededBytes(4, FRAGMENT_SIZE) }
    expect(rebuildShards({ keys, place, entry }, [one, wrongFragment], [3])).toBeUndefined()
  })
})

const SIZES = [0, 70_000, STRIPE_SIZE, 3 * STRIPE_SIZE + 5]

describe('repair', () => {
  it.each(SIZES)('puts every lost shard and root copy of %i bytes back, for all handles', async (size) => {
    for (const kind of ['private', 'public'] as const) {
      const stored = await store(size, kind)
      const { keepers, address } = stored
      const own = groupsOf(keepers)
      const key = await makeKey(stored)
      for (const handle of [address, key]) {
        const gone = thinOut(keepers, `${size} ${kind} ${handle.kind}`, own)
        const reports = await repair(handle, keepers)
        expect(sum(reports)).toMatchObject({ missing: gone.size, rebuilt: gone.size, pending: 0 })
        expectBack(keepers, gone)
        expect(sum(await repair(handle, keepers))).toMatchObject({ missing: 0, rebuilt: 0, movedBytes: 0 })
      }
    }
  })

  it('reads the lists of a large object, and repairs those too', async () => {
    const stored = await store(83 * STRIPE_SIZE)
    const { keepers } = stored
    const own = groupsOf(keepers)
    const key = await makeKey(stored)
    const gone = thinOut(keepers, 'large', [...own, ...groupsOf(keepers, own)])
    const reports = await repair(key, keepers)
    expectBack(keepers, gone)
    // The object's root, two nodes and 88 stripes, then its list's own root and stripe.
    expect(reports.map(({ part, level }) => `${part} ${level}`)).toEqual([
      'object 2',
      'object 1',
      ...Array(83).fill('object 0'),
      'object 1',
      ...Array(5).fill('object 0'),
      'list 1',
      'list 0',
    ])
    expect(reports.every(({ missing, rebuilt }) => missing === rebuilt && missing > 0)).toBe(true)
  })

  it('moves k shards in and the lost ones out, and prolongs what was there', async () => {
    const { keepers, address } = await store(STRIPE_SIZE)
    for (const { ref } of keepers.ofStripe(0).slice(4, 8)) keepers.forget(ref)
    renewed.length = 0
    const [root, stripe] = await repair(address, keepers)
    expect(root).toMatchObject({ missing: 0, renewed: 8, movedBytes: 0 })
    expect(stripe).toMatchObject({ missing: 4, rebuilt: 4, renewed: 18, movedBytes: (8 + 4) * SHARD_SIZE })
    expect(new Set(renewed).size).toBe(8 + 18)
  })

  it('goes on after a stripe that cannot be rebuilt, and says so', async () => {
    const { keepers, address } = await store(2 * STRIPE_SIZE)
    for (const { ref } of keepers.ofStripe(0).slice(0, 15)) keepers.forget(ref)
    for (const { ref } of keepers.ofStripe(1).slice(0, 14)) keepers.forget(ref)
    const [, lost, saved] = await repair(address, keepers)
    expect(lost).toMatchObject({ missing: 15, rebuilt: 0, pending: 0 })
    expect(saved).toMatchObject({ missing: 14, rebuilt: 14 })
  })

  it('tells what still looks for a keeper, and what no keeper took', async () => {
    const { keepers, address } = await store(STRIPE_SIZE)
    const [one, other] = keepers.ofStripe(0).map(({ ref }) => ref)
    if (one === undefined || other === undefined) throw new Error('a stripe has shards')
    keepers.forget(one)
    keepers.forget(other)
    keepers.answer = (ref) => (contentRefKey(ref) === contentRefKey(one) ? 'pending' : 'refused')
    expect((await repair(address, keepers))[1]).toMatchObject({ missing: 2, rebuilt: 0, pending: 1 })
  })

  it('puts again what is held but could not be prolonged, and does not call it missing', async () => {
    const { keepers, address } = await store(70_000)
    const [first] = keepers.ofStripe(0).map(({ ref }) => contentRefKey(ref))
    const renew = async (ref: ContentRef) => contentRefKey(ref) !== first
    const placed: string[] = []
    const place: Keepers['place'] = (shard) => {
      placed.push(contentRefKey(shard.ref))
      return keepers.place(shard)
    }
    const [root, stripe] = await repair(address, keepers, { renew, place })
    expect(root).toMatchObject({ missing: 0, renewed: 8, movedBytes: 0 })
    expect(stripe).toMatchObject({ missing: 0, rebuilt: 0, renewed: 10, movedBytes: (2 + 1) * SHARD_SIZE })
    expect(placed).toEqual([first])
  })

  it('takes keepers that cannot be asked for missing, and stops for a bug', async () => {
    const { keepers, address } = await store(70_000)
    const away = async () => Promise.reject(new KeeperAwayError('away'))
    expect(sum(await repair(address, keepers, { probe: away }))).toMatchObject({ missing: 10 + 8, rebuilt: 10 + 8 })
    const slip = () => Promise.reject(new TypeError('a slip of ours'))
    await expect(repair(address, keepers, { probe: slip })).rejects.toThrow('a slip')
  })

  it('holds three stripes at a time and no more', async () => {
    const { keepers, address } = await store(12 * STRIPE_SIZE)
    let [inFlight, inFlightMax] = [0, 0]
    await repair(address, keepers, {
      probe: async () => {
        inFlightMax = Math.max(inFlightMax, ++inFlight)
        await nextTurn()
        inFlight -= 1
        return true
      },
    })
    expect(inFlightMax).toBeLessThanOrEqual(3 * 22)
    expect(inFlightMax).toBeGreaterThan(22)
  })

  it('ends with the reason of its signal, and with not found as a get does', async () => {
    const { keepers, address } = await store(STRIPE_SIZE)
    const gone = new AbortController()
    const stopped = repair(address, keepers, {
      signal: gone.signal,
      probe: async (_: ContentRef, { signal }: { signal: AbortSignal }) => {
        gone.abort(new Error('enough'))
        signal.throwIfAborted()
        return true
      },
    })
    await expect(stopped).rejects.toThrow('enough')
    keepers.held.clear()
    await expect(repair(address, keepers)).rejects.toBeInstanceOf(ObjectNotFoundError)
  })
})

describe('a repair key', () => {
  it('checks what it is for and its own list', async () => {
    const stored = await store(STRIPE_SIZE)
    const key = await makeKey(stored)
    const reports = []
    for await (const report of checkObject(key, ports(stored.keepers))) reports.push(report)
    expect(reports.map(({ part, total, health }) => [part, total, health])).toEqual([
      ['object', 8, 'perfect'],
      ['object', 22, 'perfect'],
      ['list', 8, 'perfect'],
    ])
  })

  it('does not read: with all that can be had by it there is no key that decrypts a stripe', async () => {
    const stored = await store(STRIPE_SIZE)
    const { keepers, bytes, address } = stored
    const key = await makeKey(stored)
    // All that the key gives: the list itself, and every shard of the network.
    const list = await openObject(listAddress(key), ports(keepers))
    const known = await collect(list.read())
    if (address.kind !== 'private') throw new Error('stored privately')
    expect(Buffer.from(known).includes(Buffer.from(address.key))).toBe(false)
    // No 32 bytes of it open the root, and none decrypt a stripe of which every shard is known.
    const pieces: Piece[] = []
    for await (const piece of piecesOf(key, ports(keepers), new Halt())) pieces.push(piece)
    const stripe = pieces.find(({ part, level }) => part === 'object' && level === 0)
    if (stripe === undefined || !('entry' in stripe.makings)) throw new Error('a stripe is listed')
    const { entry, keys } = stripe.makings
    const place = { level: 0, index: 0 }
    const shards = stripe.refs.slice(0, 8).map((ref, shard) => {
      const held = keepers.held.get(contentRefKey(ref))?.bytes ?? new Uint8Array(0)
      const opened = openPiece(shard, maskShard(keys, { place, shard, salt: 0 }, held), entry.hash)
      if (opened === undefined) throw new Error('the repair key takes the mask off')
      return opened
    })
    const root = [...keepers.held.values()].find(({ ref }) => ref.kind === 'root' && equalIds(ref, address))
    for (let at = 0; at + 32 <= known.length; at++) {
      const secret = known.subarray(at, at + 32)
      if (root !== undefined) {
        const guess: Address = { kind: 'private', locator: address.locator, key: secret }
        const plain = openRoot(guess, 0, root.bytes)
        expect(plain?.subarray(0, 2)).not.toEqual(Uint8Array.of(0x48, 0x52))
      }
      if (at % 8 !== 0) continue
      const plain = decodeStripe({ keys: { ...keys, data: secret }, place, k: 8, hash: entry.hash }, shards)
      expect(Buffer.compare(plain?.subarray(0, 64) ?? known, bytes.subarray(0, 64))).not.toBe(0)
    }
  })

  it('names the same subject as the address, whoever made it', async () => {
    for (const kind of ['private', 'public'] as const) {
      const stored = await store(100, kind)
      const [one, other] = [await makeKey(stored), await makeKey(stored, 'another')]
      expect(formatRepairKey(one)).not.toBe(formatRepairKey(other))
      for (const key of [one, other]) {
        expect(await subjectOfRepairKey(key, ports(stored.keepers))).toEqual(subjectOf(stored.address))
      }
    }
  })

  const text = formatRepairKey({ kind: 'repair', locator: seededBytes(1, 32), key: seededBytes(2, 32) })

  it('is written and read back, surrounding space and capitals aside', () => {
    expect(parseRepairKey(text)).toEqual({ kind: 'repair', locator: seededBytes(1, 32), key: seededBytes(2, 32) })
    expect(parseHandle(`  ${text.toUpperCase()}\n`)).toEqual(parseRepairKey(text))
    expect(text).toMatch(/^hush-repair:[a-z2-7]{111}$/)
  })

  it('is refused with any one letter changed, cut off, or as an address', () => {
    for (let at = 'hush-repair:'.length; at < text.length; at++) {
      const other = text[at] === 'a' ? 'b' : 'a'
      expect(() => parseRepairKey(text.slice(0, at) + other + text.slice(at + 1))).toThrow(/repair key|version/)
    }
    expect(() => parseRepairKey(text.slice(0, -1))).toThrow(BadRepairKeyError)
    expect(() => parseRepairKey('hush:abc')).toThrow(BadRepairKeyError)
    expect(() => parseRepairKey(`hush-repair:${'a'.repeat(600)}`)).toThrow(BadRepairKeyError)
    expect(() => parseAddress(text)).toThrow(BadAddressError)
    expect(() => parseAddress(text)).toThrow(/repair key, which does not allow to read/)
    expect(() => parseAddress(text.replace('hush-repair:', 'hush:'))).toThrow(BadAddressError)
    const address = formatAddress({ kind: 'private', locator: seededBytes(1, 32), key: seededBytes(2, 32) })
    expect(() => parseRepairKey(address.replace('hush:', 'hush-repair:'))).toThrow(BadRepairKeyError)
    expect(() => parseRepairKey('hush-repair:')).toThrow(BadRepairKeyError)
  })

  it.each([
    ['magic', 0],
    ['version', 2],
    ['kind', 3],
    ['k', 4],
    ['zeros', 6],
    ['stripes', 15],
    ['subject', 20],
    ['locator', 85],
    ['k of an entry', 112],
  ])('is refused when its list has a wrong %s', async (_, at) => {
    const stored = await store(STRIPE_SIZE)
    const { keepers } = stored
    const list = await openObject(listAddress(await makeKey(stored)), ports(keepers))
    const bytes = await collect(list.read())
    expect(bytes.length).toBe(112 + 759)
    for (const wrong of [changed(bytes, at), bytes.subarray(0, -1), Uint8Array.of(...bytes, 0)]) {
      const source = inPieces(wrong)
      const { address } = await putObject(
        { source, kind: 'private' },
        { random: seededRandom(`wrong ${at}`), place: keepers.place },
      )
      if (address.kind !== 'private') throw new Error('put privately')
      const key: RepairKey = { kind: 'repair', locator: address.locator, key: address.key }
      await expect(repair(key, keepers)).rejects.toThrow(/malformed (repair list|manifest entry)|newer version/)
    }
  })

  it('that leads to something else is refused', async () => {
    const { keepers, address } = await store(500)
    if (address.kind !== 'private') throw new Error('stored privately')
    const wrong: RepairKey = { kind: 'repair', locator: address.locator, key: address.key }
    await expect(repair(wrong, keepers)).rejects.toThrow('malformed repair list')
  })
})

function changed(bytes: Uint8Array, at: number): Uint8Array {
  const other = bytes.slice()
  other[at] = (other[at] ?? 0) ^ 5
  return other
}

function equalIds(ref: ContentRef, address: Address): boolean {
  return address.kind === 'private' && Buffer.compare(ref.id, address.locator) === 0
}
