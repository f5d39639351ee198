/** Reading back what was put: when, over what, and what comes of it. SPEC repair §7 */
import { describe, expect, it } from 'vitest'
import { STRIPE_SIZE } from '../../core/index.ts'
import { READ_BACKS_MAX, ReadBack } from '../../node/tasks/read-back.ts'
import { type Address, type ContentRef, putObject } from '../../storage/index.ts'
import { inPieces, KeeperAwayError, Keepers } from '../storage/support/keepers.ts'
import { seededBytes, seededJitter, seededRandom } from '../storage/support/random.ts'
import { HandClock, settled } from './hand-clock.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const NEVER = new AbortController().signal

function stage(seed = 'read-back') {
  const keepers = new Keepers()
  const clock = new HandClock()
  const visits = { open: 0, closed: 0, isAway: false, renewed: [] as ContentRef['kind'][] }
  const open = () => {
    visits.open++
    const fetch: Keepers['fetch'] = (ref, wish) =>
      visits.isAway ? Promise.reject(new KeeperAwayError('away')) : keepers.fetch(ref, wish)
    const renew: Keepers['probe'] = (ref) => {
      visits.renewed.push(ref.kind)
      return keepers.probe(ref)
    }
    return { ports: { fetch, probe: keepers.probe, renew, place: keepers.place }, close: () => void visits.closed++ }
  }
  const delayMs = { min: 5 * MINUTE_MS, max: HOUR_MS }
  const readBack = new ReadBack({ clock, jitter: seededJitter(seed), log: () => {}, open, delayMs })
  const put = async (size: number, kind: Address['kind'] = 'private'): Promise<Address> => {
    const source = inPieces(seededBytes(size, size))
    const { address } = await putObject({ source, kind }, { random: seededRandom(`${size}`), place: keepers.place })
    readBack.add(address)
    return address
  }
  return { keepers, clock, visits, readBack, put }
}

describe('a read-back', () => {
  it('comes once, 5 to 60 minutes after the put, over circuits of its own', async () => {
    const { clock, visits, readBack, put } = stage()
    await put(STRIPE_SIZE)
    await clock.pass(5 * MINUTE_MS - 1)
    expect(visits.open).toBe(0)
    await clock.pass(55 * MINUTE_MS + 1)
    expect(visits).toMatchObject({ open: 1, closed: 1 })
    expect(readBack.counts).toEqual({ verified: 1, restored: 0, unproven: 0, skipped: 0 })
    await clock.pass(24 * HOUR_MS)
    expect(visits.open).toBe(1)
    expect(readBack.waiting).toBe(0)
  })

  it('of what gateways hold comes when they have let go, and says until then that it is only handed over', async () => {
    const { clock, visits, readBack, put } = stage()
    const address = await put(100)
    const held = { ...address, locator: seededBytes(7, 32) } as Address
    readBack.add(held, { heldMs: 2 * HOUR_MS })
    expect([readBack.waiting, readBack.handedOver]).toEqual([2, 1])
    await clock.pass(2 * HOUR_MS + 5 * MINUTE_MS - 1)
    expect([visits.open, readBack.handedOver]).toEqual([1, 1])
    await clock.pass(HOUR_MS)
    expect([visits.open, readBack.handedOver]).toEqual([2, 0])
  })

  it('comes at times that differ', async () => {
    const { clock, readBack, put } = stage()
    const delays = new Set<number>()
    for (let i = 0; i < 20; i++) {
      await put(100 + i)
      delays.add(Math.floor((readBack.nextInMs ?? 0) / MINUTE_MS))
      await clock.pass(2 * HOUR_MS)
    }
    expect(delays.size).toBeGreaterThan(8)
  })

  it('puts again what is gone, and then calls the object verified', async () => {
    const { keepers, clock, readBack, put } = stage()
    const address = await put(STRIPE_SIZE)
    const before = new Set(keepers.held.keys())
    for (const { ref } of keepers.ofStripe(0).slice(0, 10)) keepers.forget(ref)
    const told = readBack.wait(address, NEVER)
    await clock.pass(HOUR_MS)
    expect(await told).toMatchObject({ isVerified: true, missing: 10, restored: 10, health: 'perfect' })
    expect(new Set(keepers.held.keys())).toEqual(before)
  })

  it('prolongs no lease, but asks the keepers of a signed root', async () => {
    const { clock, visits, put } = stage()
    await put(STRIPE_SIZE)
    await clock.pass(HOUR_MS)
    expect(visits.renewed).toEqual([])
    await put(STRIPE_SIZE + 1, 'public')
    await clock.pass(HOUR_MS)
    expect(new Set(visits.renewed)).toEqual(new Set(['signed']))
  })

  it('tries three times what it cannot prove, and then says so', async () => {
    const { keepers, clock, visits, readBack, put } = stage()
    const address = await put(STRIPE_SIZE)
    for (const { ref } of keepers.ofStripe(0).slice(0, 15)) keepers.forget(ref)
    const told = readBack.wait(address, NEVER)
    await clock.pass(4 * HOUR_MS)
    expect(await told).toMatchObject({ isVerified: false, missing: 15, restored: 0, health: 'lost' })
    expect(visits.open).toBe(3)
    expect(readBack.counts).toMatchObject({ verified: 0, unproven: 1 })
  })

  it('counts a network that was away as a try, and verifies when it is back', async () => {
    const { clock, visits, readBack, put } = stage()
    visits.isAway = true
    const told = readBack.wait(await put(STRIPE_SIZE), NEVER)
    while (visits.open === 0) await clock.pass(MINUTE_MS)
    visits.isAway = false
    await clock.pass(2 * HOUR_MS)
    expect(await told).toMatchObject({ isVerified: true })
    expect(visits.open).toBe(2)
  })

  it('holds a bounded number of addresses, and says that one more is not read back', async () => {
    const { readBack, put } = stage()
    const address = await put(100)
    const others = (index: number): Address => ({ ...address, locator: seededBytes(1_000 + index, 32) }) as Address
    for (let i = 1; i < READ_BACKS_MAX; i++) readBack.add(others(i))
    expect(readBack.waiting).toBe(READ_BACKS_MAX)
    readBack.add(others(READ_BACKS_MAX))
    expect(readBack.counts.skipped).toBe(1)
    await expect(readBack.wait(others(READ_BACKS_MAX), NEVER)).rejects.toMatchObject({ code: 'ERR_READ_BACK' })
  })

  it('lets those who wait go when it is stopped, or when they go away', async () => {
    const { readBack, put } = stage()
    const address = await put(100)
    const gone = new AbortController()
    const first = expect(readBack.wait(address, gone.signal)).rejects.toThrow('went away')
    const second = expect(readBack.wait(address, NEVER)).rejects.toMatchObject({ code: 'ERR_READ_BACK' })
    gone.abort(new Error('went away'))
    await first
    await settled()
    await readBack.stop()
    await second
    expect(readBack.waiting).toBe(0)
  })
})
