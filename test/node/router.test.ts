/** When a hop hands a request on. SPEC requests §3 */
import { describe, expect, it } from 'vitest'
import { type Clock, equalBytes, type NodeId, PROFILES } from '../../core/index.ts'
import type { PeerLink } from '../../node/links.ts'
import type { Holders } from '../../node/roles/holders.ts'
import type { Keeper } from '../../node/roles/keeper.ts'
import { Router } from '../../node/roles/router.ts'
import {
  decodeRingRequest,
  encodeRingOutcome,
  encodeRingWait,
  type Outcome,
  ownersOf,
  perfectRing,
  REFUSAL,
  View,
  WHOLE,
} from '../../routing/index.ts'
import { encodeContentRef, locationOf, openMemoryStore } from '../../storage/index.ts'
import { makeShard } from '../contract/shard.ts'
import { descriptorOf, EPOCH_MS } from '../routing/membership/members.ts'
import { seededJitter, seededRandom } from '../storage/support/random.ts'
import { HandClock } from './hand-clock.ts'

const MEMBERS = 9

describe('a hop', () => {
  it('hands a request on after 0 to 20 ms, at times that differ, whether it is the first or not', async () => {
    const timers: { readonly delayMs: number; readonly run: () => void }[] = []
    const clock: Clock = {
      nowMs: () => EPOCH_MS,
      monotonicMs: () => 0,
      setTimer: (delayMs, run) => {
        timers.push({ delayMs, run })
        return { cancel: () => {} }
      },
    }
    const view = new View({ profile: PROFILES.testnet })
    const ids: NodeId[] = []
    for (let seed = 1; seed <= MEMBERS; seed++) {
      const descriptor = descriptorOf(seed)
      view.admit(descriptor, EPOCH_MS)
      ids.push(descriptor.id)
    }
    const self = ids[0] as NodeId
    let sent = 0
    const link = { sendMessage: () => ++sent > 0 } as unknown as PeerLink
    const router = new Router({
      clock,
      jitter: seededJitter('router'),
      random: seededRandom('router'),
      log: () => {},
      view,
      // Nothing is held here, and every location is somebody else's.
      holders: { rankOf: () => MEMBERS } as unknown as Holders,
      keeper: { read: () => undefined, readVaulted: () => undefined } as unknown as Keeper,
      cache: openMemoryStore({ quotaBytes: 1, cacheBytes: 0 }).cache,
      selfId: self,
      copies: 2,
      accounts: { admitRing: () => true, served: () => {}, received: () => {}, answered: () => {} },
      ring: () => perfectRing(self, ids, 6),
      reach: async () => link,
    })
    const delays: number[] = []
    for (let i = 0; delays.length < 60; i++) {
      const { ref } = makeShard(i)
      const [owner] = ownersOf(locationOf(ref), view.members(EPOCH_MS), 1)
      if (owner !== undefined && equalBytes(owner, self)) continue
      timers.length = 0
      void router.get({ ref: encodeContentRef(ref), skip: 0, isPastOwner: false, range: WHOLE })
      // It waits for one thing, and nothing is sent before that.
      expect(timers).toHaveLength(1)
      const sentBefore = sent
      delays.push(timers[0]?.delayMs ?? Number.NaN)
      timers[0]?.run()
      for (let turn = 0; turn < 10; turn++) await Promise.resolve()
      expect(sent).toBe(sentBefore + 1)
    }
    expect(Math.max(...delays)).toBeLessThanOrEqual(20)
    expect(Math.max(...delays)).toBeGreaterThan(15)
    expect(Math.min(...delays)).toBeLessThan(5)
  })
})

/** The last member behind the location, and what it asks of whom; each answers as `answerOf` says. */
function hopBefore(shard: ReturnType<typeof makeShard>, answerOf: (rank: number) => Outcome) {
  const clock: Clock = {
    nowMs: () => EPOCH_MS,
    monotonicMs: () => 0,
    // The time before a request is handed on is over at once; time-outs never come.
    setTimer: (delayMs, run) => {
      if (delayMs <= 20) queueMicrotask(run)
      return { cancel: () => {} }
    },
  }
  const view = new View({ profile: PROFILES.testnet })
  const ids = Array.from({ length: MEMBERS }, (_, i) => descriptorOf(i + 1).id)
  for (let seed = 1; seed <= MEMBERS; seed++) view.admit(descriptorOf(seed), EPOCH_MS)
  const owners = ownersOf(locationOf(shard.ref), view.members(EPOCH_MS), MEMBERS)
  const self = owners.at(-1) as NodeId
  const asked: { readonly rank: number; readonly isPastOwner: boolean }[] = []
  const router: Router = new Router({
    clock,
    jitter: seededJitter('router'),
    random: seededRandom('router'),
    log: () => {},
    view,
    holders: { rankOf: () => MEMBERS, eldest: () => owners.slice(5, 7) } as unknown as Holders,
    keeper: { read: () => undefined, readVaulted: () => undefined } as unknown as Keeper,
    cache: openMemoryStore({ quotaBytes: 1, cacheBytes: 0 }).cache,
    selfId: self,
    copies: 2,
    accounts: { admitRing: () => true, served: () => {}, received: () => {}, answered: () => {} },
    ring: () => perfectRing(self, ids, 6),
    reach: async (id) => {
      const rank = owners.findIndex((owner) => equalBytes(owner, id))
      const link = {
        sendMessage: (message: Uint8Array) => {
          const request = decodeRingRequest(message)
          if (request?.kind !== 'rget') throw new Error('not a get')
          asked.push({ rank, isPastOwner: request.get.isPastOwner })
          queueMicrotask(() => router.onMessage(link, encodeRingOutcome(request.rid, answerOf(rank))))
          return true
        },
      } as unknown as PeerLink
      return link
    },
  })
  const get = () => router.get({ ref: encodeContentRef(shard.ref), skip: 0, isPastOwner: false, range: WHOLE })
  return { router, asked, get }
}

describe('a hop before a region whose first members deny', () => {
  it('asks those that it has known longest, and takes what they give only when it is right', async () => {
    const shard = makeShard(3)
    const [liar, honest] = [5, 6]
    const hop = hopBefore(shard, (rank) => {
      if (rank !== honest && rank !== liar) return { end: 'none', reason: REFUSAL.notFound }
      return { end: 'data', leaves: rank === liar ? makeShard(4).bytes : shard.bytes, proof: new Uint8Array(0) }
    })
    expect(await hop.get()).toMatchObject({ end: 'data', leaves: shard.bytes })
    expect(hop.asked.map(({ rank }) => rank)).toEqual([0, 1, 2, liar, honest])
    expect(hop.asked.map(({ isPastOwner }) => isPastOwner)).toEqual([false, false, false, true, true])
  })

  it.each([0, 1, 2, 5, 6])('says that it is away when one of them points to it: member %i', async (knows) => {
    const hop = hopBefore(makeShard(3), (rank) => {
      return { end: 'none', reason: rank === knows ? REFUSAL.away : REFUSAL.notFound }
    })
    expect(await hop.get()).toEqual({ end: 'none', reason: REFUSAL.away })
  })
})

describe('a hop before a region whose members are slow', () => {
  it('asks a further member for a tenth of its gets and a few besides, and waits on for the others', async () => {
    const clock = new HandClock()
    const view = new View({ profile: PROFILES.testnet })
    const ids: NodeId[] = []
    for (let seed = 1; seed <= MEMBERS; seed++) {
      view.admit(descriptorOf(seed), clock.nowMs())
      ids.push(descriptorOf(seed).id)
    }
    const self = ids[0] as NodeId
    let sent = 0
    const link = {
      sendMessage: (message: Uint8Array) => {
        const request = decodeRingRequest(message)
        if (request?.kind !== 'rget') throw new Error('not a get')
        sent++
        // They say that they are still at it, and have nothing for a long time.
        for (let afterMs = 1_000; afterMs < 9_000; afterMs += 1_000)
          clock.setTimer(afterMs, () => void router.onMessage(link, encodeRingWait(request.rid)))
        return true
      },
    } as unknown as PeerLink
    const router: Router = new Router({
      clock,
      jitter: seededJitter('router'),
      random: seededRandom('router'),
      log: () => {},
      view,
      holders: { rankOf: () => MEMBERS, eldest: () => [] } as unknown as Holders,
      keeper: { read: () => undefined, readVaulted: () => undefined } as unknown as Keeper,
      cache: openMemoryStore({ quotaBytes: 1, cacheBytes: 0 }).cache,
      selfId: self,
      copies: 2,
      accounts: { admitRing: () => true, served: () => {}, received: () => {}, answered: () => {} },
      ring: () => perfectRing(self, ids, 6),
      reach: async () => link,
    })
    let gets = 0
    for (let i = 0; gets < 50; i++) {
      const { ref } = makeShard(i)
      const [owner] = ownersOf(locationOf(ref), view.members(clock.nowMs()), 1)
      if (owner !== undefined && equalBytes(owner, self)) continue
      gets++
      void router.get({ ref: encodeContentRef(ref), skip: 0, isPastOwner: false, range: WHOLE })
    }
    await clock.pass(2_500)
    expect(sent).toBe(gets)
    await clock.pass(7_000)
    expect(sent).toBeGreaterThan(gets)
    expect(sent).toBeLessThanOrEqual(gets + 10 + gets / 10 + 2)
  })
})
