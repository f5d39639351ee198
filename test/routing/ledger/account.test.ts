/** Limits, forgiveness and standing of one account. SPEC ledger §5 to §7 */
import { describe, expect, it } from 'vitest'
import { Account, type Place, uploadShare } from '../../../routing/ledger/account.ts'
import { type Entry, LIMIT_START } from '../../../routing/ledger/entry.ts'
import { Fund } from '../../../routing/ledger/fund.ts'
import { copyPrice, dataPrice, storePrice } from '../../../routing/ledger/price.ts'

const SHARD = 63_488
const account = () => new Account({ side: 'A', top: undefined, memory: undefined, minute: 0 })
const MEMBER: Place = { isMember: true, members: 200 }
const CLIENT: Place = { isMember: false, members: 200 }
/** Of a network in which a credit served is a credit of merit. */
const at = (nowMs: number) => ({ nowMs, members: 1 })
const FIRST: Entry = {
  pair: new Uint8Array(32),
  number: 1,
  servedAB: 0,
  servedBA: 0,
  forwarded: 0,
  forgiven: 0,
  limitAB: LIMIT_START,
  limitBA: LIMIT_START,
  minute: 0,
  previous: new Uint8Array(32),
  signatureA: new Uint8Array(64),
  signatureB: new Uint8Array(64),
}
const wishAt = (nowMs: number) => ({ nowMs, minute: nowMs / 60_000, everyMs: 60_000 })

describe('prices', () => {
  it('are those of the page, and nothing of them depends on who asks or where', () => {
    expect(dataPrice(SHARD)).toBe(62)
    expect(dataPrice(3_968)).toBe(4)
    expect(storePrice(SHARD, { days: 30, copies: 2 })).toBe(122)
    expect(storePrice(1, { days: 30, copies: 2 })).toBe(61)
    expect(copyPrice(SHARD, 30 * 86_400_000 - 1)).toBe(92)
    // The first stripe of a newcomer, 22 shards, is within its first limit.
    expect(22 * storePrice(SHARD, { days: 30, copies: 2 })).toBeLessThan(4_096)
  })
})

describe('an account', () => {
  it('counts at most a quarter over the limit: beyond is a gift', () => {
    const own = account()
    for (let i = 0; i < 200; i++) own.gave(64, 0)
    expect(own.exposure).toBe(5_120)
    expect(own.gifts).toBe(200 * 64 - 5_120)
    expect(own.standing(MEMBER).word).toBe('refuse')
  })

  it('turns from serve to delay at the allowance and to refuse where no shard fits any more', () => {
    const own = account()
    // It has served enough for an allowance as long as the limit.
    own.took(4_096, at(0))
    own.gave(8_192, 0)
    expect(own.standing(MEMBER).word).toBe('serve')
    own.gave(1, 0)
    expect(own.standing(MEMBER).word).toBe('delay')
    own.gave(961, 0)
    expect(own.standing(MEMBER).word).toBe('delay')
    own.gave(1, 0)
    expect(own.standing(MEMBER).word).toBe('refuse')
  })

  it('cancels service in both directions', () => {
    const own = account()
    own.gave(5_000, 0)
    own.took(5_000, at(0))
    expect(own.exposure).toBe(0)
    expect(own.standing(MEMBER).word).toBe('serve')
  })

  it('lends a member that never served less than 1 MiB under load, and a client nothing', () => {
    const own = account()
    expect(own.standing(CLIENT)).toMatchObject({ word: 'refuse', allowance: 0 })
    expect(own.standing(MEMBER)).toMatchObject({ word: 'serve', allowance: 800 })
    own.gave(1, 0)
    // A loan is for the turn that nobody needs who has served: many who each have one push nobody aside.
    expect(own.standing(MEMBER)).toMatchObject({ word: 'delay', allowance: 800 })
    own.gave(938, 0)
    expect(own.standing(MEMBER).word).toBe('refuse')
  })

  it('forgives under load for service as many times over as there are members, and nothing else', () => {
    const own = account()
    own.took(64, { nowMs: 0, members: 50 })
    expect(own.merit).toBe(3_200)
    own.gave(2_064, 0)
    const tick = { nowMs: 1_000, minute: 0 }
    own.tick({ ...tick, isLoaded: true })
    expect(own.exposure).toBe(0)
    expect(own.merit).toBeCloseTo(1_200, 1)
    // Spent, and the rest fades by half in a day, whether it was looked at or not.
    own.tick({ ...tick, nowMs: 86_401_000, isLoaded: true })
    expect(own.merit).toBeCloseTo(600, 0)
    const idle = account()
    idle.gave(2_000, 0)
    idle.tick({ ...tick, isLoaded: true })
    expect(idle.exposure).toBe(2_000)
    idle.tick({ ...tick, nowMs: 2_000, isLoaded: false })
    expect(idle.exposure).toBe(1_996)
  })

  it('keeps merit over a restart', () => {
    const own = account()
    own.took(64, { nowMs: 0, members: 50 })
    const again = new Account({ side: 'A', top: undefined, memory: own.memory, minute: 0 })
    again.tick({ nowMs: 1.7e12, minute: 0, isLoaded: true })
    expect(again.merit).toBe(3_200)
  })

  it('gives more room to who answers with good data', () => {
    const [good, bad] = [account(), account()]
    for (let i = 0; i < 20; i++) {
      good.asked(true)
      bad.asked(false)
    }
    expect(uploadShare(good.standing(MEMBER))).toBeGreaterThan(1.5 * uploadShare(bad.standing(MEMBER)))
    // Sixteen times what one gets that owes too much, or eight at least.
    bad.gave(4_097, 0)
    expect(uploadShare(good.standing(MEMBER)) / uploadShare(bad.standing(MEMBER))).toBeGreaterThan(16)
  })

  it('asks to be signed at a quarter of the limit, or after a minute, or never for nothing', () => {
    const own = account()
    expect(own.wish(wishAt(0))).toBeUndefined()
    own.took(1_023, at(0))
    expect(own.wish(wishAt(59_999))).toBeUndefined()
    expect(own.wish(wishAt(60_000))).toMatchObject({ servedByPeer: 1_023 })
    own.took(1, at(0))
    expect(own.wish(wishAt(1))).toMatchObject({ servedByPeer: 1_024 })
  })

  it('forgives for the time in which something was owed, not for that before', () => {
    const own = account()
    own.tick({ nowMs: 0, minute: 0, isLoaded: false })
    own.gave(1_000, 3_600_000)
    own.tick({ nowMs: 3_605_000, minute: 0, isLoaded: false })
    expect(own.exposure).toBe(1_000 - 20)
    own.gave(100, 3_606_000)
    own.tick({ nowMs: 3_610_000, minute: 0, isLoaded: false })
    expect(own.exposure).toBe(1_100 - 40)
  })

  it('asks for what is only forgiven later, unless the peer owes more than half of what it may', () => {
    const forgivenAt = (owes: number): Account => {
      const own = account()
      own.gave(owes, 0)
      own.signed({ ...FIRST, servedAB: owes }, 0)
      own.tick({ nowMs: 10_000, minute: 0, isLoaded: false })
      expect(own.wish(wishAt(10_000))).toBeUndefined()
      return own
    }
    const little = forgivenAt(2_000)
    expect(little.wish(wishAt(70_000))).toBeUndefined()
    expect(little.wish(wishAt(489_999))).toBeUndefined()
    expect(little.wish(wishAt(490_000))).toMatchObject({ forgive: 40 })
    expect(forgivenAt(3_000).wish(wishAt(70_000))).toMatchObject({ forgive: 40 })
    // With something to sign it goes along.
    const both = forgivenAt(2_000)
    both.took(10, at(70_000))
    expect(both.wish(wishAt(70_000))).toMatchObject({ servedByPeer: 10, forgive: 40 })
  })

  it('asks again for what a dropped proposal said', () => {
    const own = account()
    own.took(100, at(0))
    const wish = own.wish(wishAt(60_000))
    expect(wish).toBeDefined()
    if (wish !== undefined) own.proposed(wish, 60_000)
    expect(own.wish(wishAt(64_999))).toBeUndefined()
    expect(own.wish(wishAt(65_000))).toMatchObject({ servedByPeer: 100 })
  })

  it('refuses a peer after four debts that it did not sign for', () => {
    const own = account()
    let nowMs = 0
    for (let strike = 1; strike <= 4; strike++) {
      own.gave(1_200, nowMs)
      nowMs += 601_000
      own.tick({ nowMs, minute: 0, isLoaded: false })
      expect(own.strikes).toBe(strike)
    }
    expect(own.limit).toBe(512)
    expect(own.exposure).toBe(0)
    expect(own.standing(MEMBER).word).toBe('refuse')
  })
})

describe('the fund of those that may owe no more', () => {
  const cost = 16 + 64

  /** Lets in what it can and has it answered at once. */
  function spend(fund: Fund, names: readonly string[], nowMs: number): number {
    let cells = 0
    while (fund.hasRoom(nowMs)) {
      const name = names[cells % names.length] ?? ''
      fund.letIn(name, nowMs)
      fund.gave(name, 64)
      cells++
    }
    return cells
  }

  it('is one for all: many names get no more of it than one', () => {
    const [one, many] = [1, 2].map(() => new Fund({ of: 'cells', uploadBytesPerSecond: undefined })) as [Fund, Fund]
    const names = Array.from({ length: 100 }, (_, i) => `name ${i}`)
    const got = [0, 600_000].map((nowMs) => [spend(one, ['one'], nowMs), spend(many, names, nowMs)])
    for (const [alone, together] of got) expect(alone).toBe(together)
    // First what it holds, then 4 credits a second.
    expect(got[0]?.[0]).toBe(Math.ceil(4_096 / cost))
    expect(got[1]?.[0]).toBe(Math.ceil(2_400 / cost))
  })

  it('grows with what the node may send: one in 128', () => {
    const fund = new Fund({ of: 'cells', uploadBytesPerSecond: 1_280 * 1_024 })
    spend(fund, ['one'], 0)
    expect(spend(fund, ['one'], 100_000)).toBeGreaterThanOrEqual(Math.floor(1_000 / cost))
    expect(spend(fund, ['one'], 100_001)).toBeLessThanOrEqual(1)
  })

  it('is larger for requests on the ring: a quarter of what the node may send', () => {
    const fund = new Fund({ of: 'ring', uploadBytesPerSecond: 1_024 * 1_024 })
    const served = (nowMs: number): number => {
      let requests = 0
      for (; fund.hasRoom(nowMs); requests++) fund.spend(64)
      return requests
    }
    expect(served(0)).toBe(64)
    expect(served(8_000)).toBe(32)
  })

  it('waits for what may still be answered, half a minute at most', () => {
    const fund = new Fund({ of: 'cells', uploadBytesPerSecond: undefined })
    let cells = 0
    for (; fund.hasRoom(0); cells++) fund.letIn('one', 0)
    expect(cells).toBe(Math.ceil(4_096 / cost))
    expect(fund.hasRoom(20_000)).toBe(true)
    fund.letIn('one', 20_000)
    expect(fund.hasRoom(20_001)).toBe(false)
    expect(fund.hasRoom(50_001)).toBe(true)
  })
})
