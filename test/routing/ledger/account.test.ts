/** Limits, forgiveness and standing of one account. SPEC ledger §5 to §7 */
import { describe, expect, it } from 'vitest'
import { Account, uploadShare } from '../../../routing/ledger/account.ts'
import { copyPrice, dataPrice, storePrice } from '../../../routing/ledger/price.ts'

const SHARD = 63_488
const account = () => new Account({ side: 'A', top: undefined, memory: undefined, minute: 0 })

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
    expect(own.standing().word).toBe('refuse')
  })

  it('turns from serve to delay at the limit and to refuse where no shard fits any more', () => {
    const own = account()
    own.gave(4_096, 0)
    expect(own.standing().word).toBe('serve')
    own.gave(1, 0)
    expect(own.standing().word).toBe('delay')
    own.gave(961, 0)
    expect(own.standing().word).toBe('delay')
    own.gave(1, 0)
    expect(own.standing().word).toBe('refuse')
  })

  it('cancels service in both directions', () => {
    const own = account()
    own.gave(5_000, 0)
    own.took(5_000, 0)
    expect(own.exposure).toBe(0)
    expect(own.standing().word).toBe('serve')
  })

  it('gives more room to who answers with good data', () => {
    const [good, bad] = [account(), account()]
    for (let i = 0; i < 20; i++) {
      good.asked(true)
      bad.asked(false)
    }
    expect(uploadShare(good.standing())).toBeGreaterThan(1.5 * uploadShare(bad.standing()))
    // Sixteen times what one gets that owes too much, or eight at least.
    bad.gave(4_097, 0)
    expect(uploadShare(good.standing()) / uploadShare(bad.standing())).toBeGreaterThan(16)
  })

  it('asks to be signed at a quarter of the limit, or after a minute, or never for nothing', () => {
    const own = account()
    expect(own.wish({ nowMs: 0, minute: 0 })).toBeUndefined()
    own.took(1_023, 0)
    expect(own.wish({ nowMs: 59_999, minute: 0 })).toBeUndefined()
    expect(own.wish({ nowMs: 60_000, minute: 0 })).toMatchObject({ servedByPeer: 1_023 })
    own.took(1, 0)
    expect(own.wish({ nowMs: 1, minute: 0 })).toMatchObject({ servedByPeer: 1_024 })
  })

  it('asks again for what a dropped proposal said', () => {
    const own = account()
    own.took(100, 0)
    const wish = own.wish({ nowMs: 60_000, minute: 1 })
    expect(wish).toBeDefined()
    if (wish !== undefined) own.proposed(wish, 60_000)
    expect(own.wish({ nowMs: 70_000, minute: 1 })).toBeUndefined()
    expect(own.wish({ nowMs: 130_000, minute: 2 })).toMatchObject({ servedByPeer: 100 })
  })

  it('refuses a peer after four debts that it did not sign for', () => {
    const own = account()
    let nowMs = 0
    for (let strike = 1; strike <= 4; strike++) {
      own.gave(1_200, nowMs)
      nowMs += 601_000
      own.tick({ nowMs, minute: 0, elapsedMs: 1_000 })
      expect(own.strikes).toBe(strike)
    }
    expect(own.limit).toBe(512)
    expect(own.exposure).toBe(0)
    expect(own.standing().word).toBe('refuse')
  })
})
