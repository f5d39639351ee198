/** What a node gives up when it is asked for too much: links, held bytes, rates. SPEC home §4, circuits §5 */
import { describe, expect, it } from 'vitest'
import { HeldBytes } from '../../node/held-bytes.ts'
import { giveWayTo, heaviest, type LinkWorth } from '../../node/link-limits.ts'
import { TRANSPORT_LIMITS } from '../../node/system/link-settings.ts'
import { Origins } from '../../node/system/origins.ts'
import { TokenBucket } from '../../node/token-bucket.ts'

const MIB = 1024 * 1024
const worth = (some: Partial<LinkWorth>): LinkWorth => ({
  standing: 'stranger',
  holds: 1,
  silentMs: 0,
  ageMs: 100_000,
  heldBytes: 0,
  ...some,
})
type Named = LinkWorth & { name: string }
const named = (name: string, some: Partial<LinkWorth>): Named => ({ name, ...worth(some) })
const same = (link: Named) => link

describe('a full table of links', () => {
  const useful = named('useful', {})
  const young = named('young', { ageMs: 5_000 })
  const useless = named('useless', { holds: 0 })
  const silent = named('silent', { holds: 0, silentMs: 50_000 })
  const fresh = named('fresh', { holds: 0, ageMs: 1_000 })
  const member = named('member', { standing: 'member', holds: 0, silentMs: 90_000 })
  const kept = named('kept', { standing: 'kept', holds: 0, silentMs: 90_000 })

  it('lets a stranger in for one who has no circuit, the longest silent first', () => {
    expect(giveWayTo('stranger', [useful, useless, silent, member, kept], same)?.name).toBe('silent')
    expect(giveWayTo('stranger', [useful, useless, member, kept], same)?.name).toBe('useless')
  })

  it('lets no stranger in for one who is useful, has just come, or is a member', () => {
    expect(giveWayTo('stranger', [useful, young, fresh, member, kept], same)).toBeUndefined()
  })

  it('lets a member in for any stranger, the youngest of the useful ones, and a neighbour even for an idle member', () => {
    expect(giveWayTo('member', [useful, young, member, kept], same)?.name).toBe('young')
    expect(giveWayTo('member', [member, kept], same)).toBeUndefined()
    expect(giveWayTo('kept', [member, kept], same)?.name).toBe('member')
    expect(giveWayTo('kept', [kept], same)).toBeUndefined()
  })

  it('that holds too much closes the heaviest stranger, and neighbours only when nobody else is heavy', () => {
    const light = named('light', { heldBytes: MIB / 2 })
    const heavy = named('heavy', { heldBytes: 2 * MIB })
    const full = named('full', { standing: 'member', heldBytes: 16 * MIB })
    const near = named('near', { standing: 'kept', heldBytes: 20 * MIB })
    expect(heaviest([light, heavy, full, near], same)?.name).toBe('heavy')
    expect(heaviest([light, full, near], same)?.name).toBe('full')
    expect(heaviest([light, near], same)?.name).toBe('near')
    expect(heaviest([light], same)).toBeUndefined()
  })
})

describe('bytes held together', () => {
  it('never pass the bound: who holds most gives way, whoever passed it', () => {
    const out: string[] = []
    const held = new HeldBytes<{ name: string }>(100, ({ name }) => out.push(name))
    const [a, b, c] = [{ name: 'a' }, { name: 'b' }, { name: 'c' }]
    held.set(a, 60)
    held.set(b, 30)
    held.set(c, 20)
    expect([out, held.total]).toEqual([['a'], 50])
    held.set(b, 0)
    held.set(c, 101)
    expect([out, held.total]).toEqual([['a', 'c'], 0])
  })
})

describe('a bucket', () => {
  it('gives its burst, then its rate, and never more than its burst', () => {
    const bucket = new TokenBucket({ burst: 3, perSecond: 2 }, 0)
    expect([1, 2, 3, 4].map(() => bucket.take(0))).toEqual([true, true, true, false])
    expect([bucket.take(400), bucket.take(500), bucket.take(600)]).toEqual([false, true, false])
    expect(bucket.isFull(1_000)).toBe(false)
    expect([1, 2, 3, 4].map(() => bucket.take(100_000))).toEqual([true, true, true, false])
  })
})

describe('places that connections come from', () => {
  const limits = { ...TRANSPORT_LIMITS, perOriginMax: 3, perPrefixMax: 5 }
  const count = (origins: Origins, addresses: readonly string[], nowMs = 0) =>
    addresses.map((address) => origins.enter(address, nowMs)).filter((visit) => typeof visit !== 'string')

  it('have so many at once, by address and by the network around it', () => {
    const origins = new Origins(limits)
    const visits = count(origins, ['10.1.0.1', '10.1.0.1', '10.1.0.1', '10.1.0.1', '10.1.0.2', '10.1.0.3', '10.1.0.4'])
    expect(visits).toHaveLength(5)
    expect(origins.enter('10.2.0.1', 0)).not.toBe('too many')
    for (const visit of visits) {
      visit.leave()
      visit.leave()
    }
    expect(count(origins, ['10.1.0.1', '10.1.0.1', '10.1.0.1', '10.1.0.1'])).toHaveLength(3)
  })

  it('are one for an IPv6 /64, and one network for a /32', () => {
    const origins = new Origins(limits)
    const address = (part: number) => `2001:db8:0:1::${part}`
    expect(count(origins, [1, 2, 3, 4, 5].map(address))).toHaveLength(3)
    expect(count(origins, ['2001:db8:9::1', '2001:db8:8::1', '2001:db8:7::1', '2001:db8:6::1'])).toHaveLength(2)
    expect(count(origins, ['2001:db9::1'])).toHaveLength(1)
  })

  it('may come only so often, whether they stayed or not', () => {
    const slow = { burst: 4, perSecond: 1 }
    const origins = new Origins({ ...limits, perOrigin: slow })
    for (let i = 0; i < 4; i++) count(origins, ['10.1.0.1']).map((visit) => visit.leave())
    expect(origins.enter('10.1.0.1', 0)).toBe('too often')
    expect(origins.enter('10.1.0.2', 0)).not.toBe('too often')
    expect(count(origins, ['10.1.0.1'], 1_000)).toHaveLength(1)
  })

  it('are remembered in bounded number', () => {
    const origins = new Origins(limits)
    const stays = origins.enter('9.9.9.9', 0)
    for (let i = 0; i < 20_000; i++)
      for (const visit of count(origins, [`${1 + (i % 200)}.${(i >> 8) & 255}.${i & 255}.1`])) visit.leave()
    expect(origins.placeCount).toBeLessThanOrEqual(4_096)
    // Who is still connected is not forgotten.
    expect(stays).not.toBeTypeOf('string')
    expect(count(origins, ['9.9.9.9', '9.9.9.9', '9.9.9.9'])).toHaveLength(2)
  })
})
