/** What a gateway keeps back: how long, how much, and what becomes of it. SPEC requests §10 */
import { describe, expect, it } from 'vitest'
import { CIRCUIT_HELD_PUTS_MAX, HELD_PUTS_MAX, HeldPuts } from '../../node/roles/held-puts.ts'
import type { Outcome, PutRequest } from '../../routing/index.ts'
import { seededJitter } from '../storage/support/random.ts'
import { HandClock } from './hand-clock.ts'

const MINUTE_MS = 60_000
const meansMs = { minutes: MINUTE_MS, long: 10 * MINUTE_MS }
const RECEIPT = { leaseEndMs: 0, nonce: new Uint8Array(16), keeper: new Uint8Array(32), signature: new Uint8Array(64) }
const STORED: Outcome = { end: 'stored', receipt: RECEIPT }

function stage(answer: (tries: number) => Outcome = () => STORED) {
  const clock = new HandClock()
  const put: { atMs: number; put: PutRequest }[] = []
  const held = new HeldPuts({
    clock,
    jitter: seededJitter('held'),
    meansMs,
    put: async (request) => {
      put.push({ atMs: clock.monotonicMs(), put: request })
      return answer(put.length)
    },
  })
  return { clock, held, put, startMs: clock.monotonicMs() }
}

const shard = (): PutRequest => ({
  ref: new Uint8Array(34),
  leaseDays: 30,
  nonce: new Uint8Array(16),
  bytes: new Uint8Array(1),
})

describe('a held put', () => {
  it.each(['minutes', 'long'] as const)('comes after a time without memory of its own: %s', async (hold) => {
    const { clock, held, put, startMs } = stage()
    for (let i = 0; i < HELD_PUTS_MAX; i++) expect(held.take({}, shard(), hold)).toBe(true)
    await clock.pass(10 * meansMs[hold])
    const waits = put.map(({ atMs }) => (atMs - startMs) / meansMs[hold])
    expect(waits).toHaveLength(HELD_PUTS_MAX)
    const mean = waits.reduce((sum, wait) => sum + wait, 0) / waits.length
    // Of 512 draws the mean of an exponential one is 1 give or take 0.044.
    expect(Math.abs(mean - 1)).toBeLessThan(0.18)
    expect(waits.filter((wait) => wait < 1).length / waits.length).toBeGreaterThan(0.56)
    expect(new Set(waits.map((wait) => Math.round(wait * 1_000))).size).toBeGreaterThan(300)
    expect(held.counts).toEqual({ taken: HELD_PUTS_MAX, stored: HELD_PUTS_MAX, failed: 0 })
    expect(held.count).toBe(0)
  })

  it('is one of so many of a circuit and of all, and makes room when it goes', async () => {
    const { clock, held } = stage()
    const circuit = {}
    for (let i = 0; i < CIRCUIT_HELD_PUTS_MAX; i++) expect(held.take(circuit, shard(), 'minutes')).toBe(true)
    expect(held.take(circuit, shard(), 'minutes')).toBe(false)
    for (let i = CIRCUIT_HELD_PUTS_MAX; i < HELD_PUTS_MAX; i++) expect(held.take({}, shard(), 'minutes')).toBe(true)
    expect(held.take({}, shard(), 'minutes')).toBe(false)
    await clock.pass(10 * MINUTE_MS)
    expect(held.count).toBe(0)
    for (let i = 0; i < CIRCUIT_HELD_PUTS_MAX; i++) expect(held.take(circuit, shard(), 'minutes')).toBe(true)
    expect(held.take(circuit, shard(), 'minutes')).toBe(false)
  })

  it('that the ring does not take is held again, three times in all', async () => {
    const { clock, held, put } = stage(() => ({ end: 'busy' }))
    held.take({}, shard(), 'minutes')
    await clock.pass(60 * MINUTE_MS)
    expect(put).toHaveLength(3)
    expect(held.counts).toEqual({ taken: 1, stored: 0, failed: 1 })
    const later = stage((tries) => (tries < 2 ? { end: 'busy' } : STORED))
    later.held.take({}, shard(), 'minutes')
    await later.clock.pass(60 * MINUTE_MS)
    expect(later.held.counts).toEqual({ taken: 1, stored: 1, failed: 0 })
  })

  it('is forgotten by a gateway that ends', async () => {
    const { clock, held, put } = stage()
    held.take({}, shard(), 'minutes')
    held.stop()
    expect([held.count, held.take({}, shard(), 'minutes')]).toEqual([0, false])
    await clock.pass(60 * MINUTE_MS)
    expect(put).toEqual([])
  })
})
