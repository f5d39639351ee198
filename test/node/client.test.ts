/** What the client makes of a gateway's word that a content is away, or that the ring is busy. SPEC requests §8, §11 */
import { describe, expect, it } from 'vitest'
import { PROFILES } from '../../core/index.ts'
import type { CircuitPool, CircuitWish } from '../../node/circuit-pool.ts'
import type { AskOptions } from '../../node/circuit-streams.ts'
import type { ClientCircuit } from '../../node/client-circuit.ts'
import { Pacing } from '../../node/pacing.ts'
import { Client, RequestError } from '../../node/roles/client.ts'
import { type CircuitOutcome, encodeCircuitOutcome, REFUSAL, View } from '../../routing/index.ts'
import { makeShard } from '../contract/shard.ts'
import { NETWORK } from '../routing/membership/members.ts'
import { seededJitter, seededRandom } from '../storage/support/random.ts'
import { HandClock } from './hand-clock.ts'

const shard = makeShard(1)
const AWAY: CircuitOutcome = { end: 'none', reason: REFUSAL.away }
const BUSY: CircuitOutcome = { end: 'busy' }
const DATA: CircuitOutcome = { end: 'data', leaves: shard.bytes, proof: new Uint8Array(0) }

/** A client whose gateways answer one after the other as told, and when each was asked. */
function clientOf(answers: readonly CircuitOutcome[]) {
  const clock = new HandClock()
  const askedMs: number[] = []
  const circuit = {
    isOpen: true,
    request: async (_: Uint8Array, { onOver }: AskOptions) => {
      askedMs.push(clock.monotonicMs())
      onOver?.()
      return encodeCircuitOutcome((answers[askedMs.length - 1] ?? answers.at(-1)) as CircuitOutcome)
    },
  } as unknown as ClientCircuit
  const pool = {
    ready: [circuit],
    wanted: 1,
    acquire: async (wish: CircuitWish) => {
      wish.onTaken(circuit)
      return circuit
    },
    released: () => {},
  } as unknown as CircuitPool
  const jitter = seededJitter('client')
  const pacing = new Pacing({ clock, jitter, isHeldBack: () => false, hasCover: false })
  const client = new Client({
    clock,
    jitter,
    pacing,
    random: seededRandom('client'),
    log: () => {},
    profile: PROFILES.testnet,
    networkId: NETWORK,
    view: new View({ profile: PROFILES.testnet }),
    pool,
    pending: { add: async () => 'full' },
    refreshView: () => {},
  })
  return { client, clock, askedMs }
}

describe('a content whose vaults do not answer now', () => {
  it('is asked for again, a little later each time, and said to be slow meanwhile', async () => {
    const { client, clock, askedMs } = clientOf([AWAY, AWAY, DATA])
    let slow = 0
    const got = client.fetcher()(shard.ref, { signal: new AbortController().signal, onSlow: () => slow++ })
    await clock.pass(20_000)
    expect(await got).toEqual(shard.bytes)
    expect(slow).toBe(2)
    const [first = 0, second = 0, third = 0] = askedMs
    expect(second - first).toBeGreaterThanOrEqual(800)
    expect(third - second).toBeGreaterThan(second - first)
  })

  it('is no miss: what could not be had is said in the end', async () => {
    const { client, clock, askedMs } = clientOf([AWAY, AWAY, AWAY, AWAY])
    const got = client.fetcher()(shard.ref, { signal: new AbortController().signal })
    const failed = got.catch((error: unknown) => error)
    await clock.pass(20_000)
    expect(await failed).toBeInstanceOf(RequestError)
    expect(String(await failed)).toContain('the vaults that have it did not answer')
    expect(askedMs.length).toBe(4)
  })

  it('is not waited for when nobody wants it any more', async () => {
    const { client, clock, askedMs } = clientOf([AWAY, DATA])
    const halt = new AbortController()
    const got = client.fetcher()(shard.ref, { signal: halt.signal })
    await clock.pass(100)
    halt.abort()
    expect(await got).toBeUndefined()
    await clock.pass(20_000)
    expect(askedMs.length).toBe(1)
  })
})

describe('a ring that is busy', () => {
  it('is asked again for a few gets only, and who asked is told', async () => {
    const { client, clock, askedMs } = clientOf([BUSY])
    const gets = 16
    const failed: unknown[] = []
    const fetch = client.fetcher()
    for (let i = 0; i < gets; i++)
      fetch(makeShard(i).ref, { signal: new AbortController().signal }).catch((error: unknown) => failed.push(error))
    await clock.pass(1_000)
    expect(askedMs.length).toBeGreaterThan(gets)
    expect(askedMs.length).toBeLessThanOrEqual(gets + 10 + gets / 10 + 1)
    await clock.pass(120_000)
    expect(failed).toHaveLength(gets)
    expect(failed.filter((error) => String(error).includes('too busy')).length).toBeGreaterThan(0)
  })

  it('is left alone for longer each time, and asked for many things at once again when it answers', async () => {
    const { client, clock, askedMs } = clientOf([...Array.from({ length: 40 }, () => BUSY), DATA])
    const fetch = client.fetcher()
    let got = 0
    const ask = () =>
      fetch(shard.ref, { signal: new AbortController().signal }).then(
        () => got++,
        () => undefined,
      )
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 20; i++) void ask()
      await clock.pass(50_000)
    }
    const pausesMs = askedMs.slice(1, 40).map((atMs, i) => atMs - (askedMs[i] ?? 0))
    // Within one round of asking, not from one to the next.
    expect(pausesMs.filter((ms) => ms > 2_000 && ms < 40_000).length).toBeGreaterThan(2)
    expect(got).toBeGreaterThan(50)
    expect((askedMs.at(-1) ?? 0) - (askedMs.at(-16) ?? 0)).toBe(0)
  })
})
