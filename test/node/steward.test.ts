/** Looking after objects: what is written down, when they are visited, and what comes of it. SPEC repair §5 */
import { describe, expect, it } from 'vitest'
import { fromUtf8, MalformedError, STRIPE_SIZE, type StateStore } from '../../core/index.ts'
import { decodeKept, encodeKept, KEPT_MAX, Steward } from '../../node/tasks/steward.ts'
import { formatAddress, makeRepairKey, putObject, type RepairKey, subjectOf } from '../../storage/index.ts'
import { inPieces, KeeperAwayError, Keepers } from '../storage/support/keepers.ts'
import { seededBytes, seededJitter, seededRandom } from '../storage/support/random.ts'
import { HandClock } from './hand-clock.ts'

const OWN = { isOwn: true }
const DAY_MS = 24 * 60 * 60_000

async function stage(seed = 'steward') {
  const keepers = new Keepers()
  const clock = new HandClock()
  const values = new Map<string, Uint8Array>()
  const state: StateStore = { get: (key) => values.get(key), put: async (key, value) => void values.set(key, value) }
  const visits: { open: number; closed: number; isAway: boolean } = { open: 0, closed: 0, isAway: false }
  const told: string[] = []
  const open = () => {
    visits.open++
    const fetch: Keepers['fetch'] = (ref, wish) =>
      visits.isAway ? Promise.reject(new KeeperAwayError('away')) : keepers.fetch(ref, wish)
    const ports = { fetch, probe: keepers.probe, renew: keepers.probe, place: keepers.place }
    return { ports, close: () => void visits.closed++ }
  }
  const jitter = seededJitter(seed)
  const log = (level: string, event: string, fields?: object) =>
    void told.push(`${level} ${event} ${JSON.stringify(fields)}`)
  const start = () => {
    const steward = new Steward({ clock, jitter, log, state, open })
    steward.start()
    return steward
  }
  const put = async (size: number) => {
    const source = inPieces(seededBytes(size, size))
    const ports = { random: seededRandom(`${size}`), place: keepers.place }
    const { address } = await putObject({ source, kind: 'private' }, ports)
    const key = await makeRepairKey(address, { ...ports, fetch: keepers.fetch, jitter })
    return { address, key, subject: subjectOf(address) }
  }
  return { keepers, clock, values, visits, told, start, put }
}

describe('a steward', () => {
  it('visits each object about once a week, at times that differ, one at a time', async () => {
    const { clock, visits, start, put } = await stage()
    const steward = start()
    const objects = [await put(100), await put(70_000)]
    for (const { subject, key } of objects) await steward.add(subject, key, OWN)
    expect(visits.open).toBe(0)
    await clock.pass(3 * DAY_MS + 60 * 60_000)
    expect(visits.open).toBeGreaterThanOrEqual(2)
    const gaps = new Set<number>()
    for (let week = 0; week < 12; week++) {
      await clock.pass(7 * DAY_MS)
      for (const { nextMs, last } of steward.kept) gaps.add(Math.floor((nextMs - (last?.atMs ?? 0)) / 60_000))
    }
    expect(visits.open).toBeGreaterThan(2 * 8)
    expect(visits.open).toBeLessThan(2 * 22)
    expect(visits.closed).toBe(visits.open)
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual((3.5 * DAY_MS) / 60_000 - 1)
    expect(Math.max(...gaps)).toBeLessThanOrEqual((10.5 * DAY_MS) / 60_000)
    expect(gaps.size).toBeGreaterThan(10)
  })

  it('puts back what an object has lost, and remembers what it found', async () => {
    const { keepers, clock, start, put } = await stage()
    const steward = start()
    const { subject, key } = await put(STRIPE_SIZE)
    await steward.add(subject, key, OWN)
    const before = new Set(keepers.held.keys())
    for (const { ref } of keepers.ofStripe(0).slice(0, 10)) keepers.forget(ref)
    expect(keepers.held.size).toBeLessThan(before.size)
    await clock.pass(4 * DAY_MS)
    expect(new Set(keepers.held.keys())).toEqual(before)
    expect(steward.find(subject)?.last).toMatchObject({ health: 'perfect', missing: 10, rebuilt: 10, pending: 0 })
  })

  it('goes on after a start anew, and comes soon to what was due meanwhile', async () => {
    const { clock, visits, start, put } = await stage()
    const first = start()
    const { subject, key } = await put(100)
    await first.add(subject, key, OWN)
    await first.stop()
    await clock.pass(60 * DAY_MS)
    expect(visits.open).toBe(0)
    const second = start()
    expect(second.kept).toHaveLength(1)
    await clock.pass(50_000)
    expect(visits.open).toBe(0)
    await clock.pass(600_000)
    expect(visits.open).toBe(1)
  })

  it('comes again within hours when the network cannot be asked', async () => {
    const { clock, visits, told, start, put } = await stage()
    const steward = start()
    const { subject, key } = await put(100)
    await steward.add(subject, key, OWN)
    visits.isAway = true
    await clock.pass(3 * DAY_MS + 6 * 60 * 60_000)
    expect(visits.open).toBeGreaterThanOrEqual(2)
    expect(visits.closed).toBe(visits.open)
    expect(steward.find(subject)?.last).toBeUndefined()
    expect(told.some((line) => line.includes('ERR_OBJECT_NOT_FOUND'))).toBe(true)
    visits.isAway = false
    await clock.pass(DAY_MS / 3)
    expect(steward.find(subject)?.last?.health).toBe('perfect')
  })

  it('writes down no address, and says none in its log', async () => {
    const { clock, values, told, start, put } = await stage()
    const steward = start()
    const { address, subject, key } = await put(100)
    await steward.add(subject, key, OWN)
    await clock.pass(4 * DAY_MS)
    if (address.kind !== 'private') throw new Error('put privately')
    const saved = Buffer.concat([...values.values()])
    expect(saved.includes(Buffer.from(key.key))).toBe(true)
    expect(saved.includes(Buffer.from(address.key))).toBe(false)
    expect(saved.includes(Buffer.from(address.locator))).toBe(false)
    expect(told.join('\n')).not.toContain(formatAddress(address).slice(5, 25))
    expect(told.join('\n')).not.toContain('hush-repair:')
  })

  it('keeps so many objects and no more, each once, until it is told to stop', async () => {
    const { start } = await stage()
    const steward = start()
    for (let i = 0; i < KEPT_MAX; i++) await steward.add(seededBytes(i, 32), keyOf(i), OWN)
    await expect(steward.add(seededBytes(9_999, 32), keyOf(9_999), OWN)).rejects.toMatchObject({
      code: 'ERR_KEPT_LIST_FULL',
      kind: 'input',
    })
    await steward.add(seededBytes(3, 32), keyOf(4), OWN)
    expect(steward.kept).toHaveLength(KEPT_MAX)
    expect(steward.find(seededBytes(3, 32))?.key).toEqual(keyOf(3))
    expect(await steward.remove(seededBytes(3, 32))).toBe(true)
    expect(await steward.remove(seededBytes(3, 32))).toBe(false)
    expect(steward.kept).toHaveLength(KEPT_MAX - 1)
  })
})

describe('a repair key that somebody gave', () => {
  it('makes way for one made from the address, and never takes its place', async () => {
    const { start } = await stage()
    const steward = start()
    const subject = seededBytes(1, 32)
    await steward.add(subject, keyOf(1), { isOwn: false })
    await steward.add(subject, keyOf(2), { isOwn: false })
    expect(steward.kept).toMatchObject([{ key: keyOf(1), isOwn: false }])
    await steward.add(subject, keyOf(3), OWN)
    await steward.add(subject, keyOf(4), { isOwn: false })
    await steward.add(subject, keyOf(5), OWN)
    expect(steward.kept).toMatchObject([{ key: keyOf(3), isOwn: true }])
  })
})

describe('the list of kept objects', () => {
  const kept = [1, 2, 3].map((seed) => ({
    subject: seededBytes(seed, 32),
    key: keyOf(seed),
    isOwn: seed === 2,
    addedMs: 1_000 * seed,
    nextMs: 2_000 * seed,
    last: seed === 1 ? undefined : { atMs: 5, health: 'weak' as const, missing: 1, rebuilt: 2, pending: 3 },
  }))

  it('is read back as it was written', () => {
    expect(decodeKept(encodeKept(kept))).toEqual(kept)
    expect(decodeKept(encodeKept([]))).toEqual([])
  })

  it('is refused when a byte is missing or too many, of another version, or with one object twice', () => {
    const bytes = encodeKept(kept)
    for (const wrong of [
      bytes.subarray(0, -1),
      Uint8Array.of(...bytes, 0),
      Uint8Array.of(2, ...bytes.subarray(1)),
      encodeKept([...kept, ...kept.slice(0, 1)]),
    ]) {
      expect(() => decodeKept(wrong)).toThrow(MalformedError)
    }
  })

  it('is put aside when it is damaged', async () => {
    const { values, told, start } = await stage()
    values.set('kept', fromUtf8('not a list'))
    expect(start().kept).toEqual([])
    expect(values.get('kept-damaged')).toEqual(fromUtf8('not a list'))
    expect(told.join('\n')).toContain('put aside')
  })
})

function keyOf(seed: number): RepairKey {
  return { kind: 'repair', locator: seededBytes(seed + 10_000, 32), key: seededBytes(seed + 20_000, 32) }
}
