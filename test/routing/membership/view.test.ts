import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareBytes, type NodeId, PROFILES } from '../../../core/index.ts'
import { MEMBERS_MAX, View } from '../../../routing/membership/view.ts'
import { pointOf } from '../ring/rings.ts'
import { EPOCH_MS, EVERY_ROLE, unsignedOf } from './members.ts'

const profile = PROFILES.testnet
const periodMs = profile.descriptorEveryMs
const viewOf = (...seeds: number[]) => {
  const view = new View({ profile })
  for (const seed of seeds) expect(view.admit(unsignedOf(seed), EPOCH_MS)).toBe('new')
  return view
}
const idOf = (seed: number) => pointOf(seed) as NodeId
const sortedIds = (...seeds: number[]) => seeds.map(idOf).sort(compareBytes)

describe('a view', () => {
  it('takes what is new or newer and nothing that is known or older', () => {
    const view = viewOf(1)
    expect(view.admit(unsignedOf(1), EPOCH_MS)).toBe('known')
    expect(view.admit(unsignedOf(1, { issuedMs: EPOCH_MS + 1 }), EPOCH_MS + 500)).toBe('newer')
    expect(view.admit(unsignedOf(1), EPOCH_MS)).toBe('stale')
    expect(view.get(idOf(1))?.issuedMs).toBe(EPOCH_MS + 1)
    expect(view.firstSeenMs(idOf(1))).toBe(EPOCH_MS)
    expect(view.byKey(unsignedOf(1).publicKey)?.id).toEqual(idOf(1))
  })

  it('refuses what is past its time or too far in the future', () => {
    const view = viewOf()
    expect(view.admit(unsignedOf(1), EPOCH_MS + 3 * periodMs)).toBe('stale')
    expect(view.admit(unsignedOf(1, { issuedMs: EPOCH_MS + periodMs + 1 }), EPOCH_MS)).toBe('stale')
    expect(view.admit(unsignedOf(1, { issuedMs: EPOCH_MS + periodMs }), EPOCH_MS)).toBe('new')
  })

  it('forgets a node that has not renewed its descriptor for three periods', () => {
    const view = viewOf(1, 2)
    view.admit(unsignedOf(2, { issuedMs: EPOCH_MS + periodMs }), EPOCH_MS + periodMs)
    expect(view.members(EPOCH_MS + 3 * periodMs - 1)).toEqual(sortedIds(1, 2))
    expect(view.members(EPOCH_MS + 3 * periodMs)).toEqual([idOf(2)])
    expect(view.get(idOf(1))).toBeUndefined()
    expect(view.byKey(unsignedOf(1).publicKey)).toBeUndefined()
    expect(view.size).toBe(1)
  })

  it('a leaver is no member, and its older descriptor does not bring it back', () => {
    const view = viewOf(1, 2)
    const leaving = unsignedOf(1, { roles: { ...EVERY_ROLE, leaving: true }, issuedMs: EPOCH_MS + 1 })
    expect(view.admit(leaving, EPOCH_MS + 1)).toBe('newer')
    expect(view.members(EPOCH_MS + 1)).toEqual([idOf(2)])
    expect(view.admit(unsignedOf(1), EPOCH_MS + 1)).toBe('stale')
    expect(view.members(EPOCH_MS + 1)).toEqual([idOf(2)])
    expect(view.admit(unsignedOf(1, { issuedMs: EPOCH_MS + 2 }), EPOCH_MS + 2)).toBe('newer')
    expect(view.members(EPOCH_MS + 2)).toEqual(sortedIds(1, 2))
  })

  it('a node that is not on the ring yet is known but no member', () => {
    const view = viewOf()
    view.admit(unsignedOf(1, { roles: { ...EVERY_ROLE, keeper: false } }), EPOCH_MS)
    expect(view.members(EPOCH_MS)).toEqual([])
    expect(view.size).toBe(1)
  })

  it('a key that appears under another id leaves its old place and its age', () => {
    const view = viewOf(1)
    const moved = { ...unsignedOf(2, { issuedMs: EPOCH_MS + 5 }), publicKey: unsignedOf(1).publicKey }
    expect(view.admit(moved, EPOCH_MS + 5)).toBe('new')
    expect(view.members(EPOCH_MS + 5)).toEqual([idOf(2)])
    expect(view.firstSeenMs(idOf(2))).toBe(EPOCH_MS + 5)
  })

  it('an id under another key is refused', () => {
    const view = viewOf(1)
    const other = { ...unsignedOf(1, { issuedMs: EPOCH_MS + 5 }), publicKey: unsignedOf(2).publicKey }
    expect(view.admit(other, EPOCH_MS + 5)).toBe('stale')
    expect(view.byKey(unsignedOf(1).publicKey)?.issuedMs).toBe(EPOCH_MS)
  })

  it('hands out one list of members until they change', () => {
    const view = viewOf(1, 2, 3)
    const members = view.members(EPOCH_MS)
    view.admit(unsignedOf(1, { issuedMs: EPOCH_MS + 1 }), EPOCH_MS + 1)
    expect(view.members(EPOCH_MS + 1)).toBe(members)
    const version = view.version
    view.admit(unsignedOf(4), EPOCH_MS + 1)
    expect(view.version).toBeGreaterThan(version)
    expect(view.members(EPOCH_MS + 1)).toEqual(sortedIds(1, 2, 3, 4))
  })

  it('is full at its limit and takes newcomers again when old ones have gone', () => {
    const view = new View({ profile })
    for (let seed = 0; seed < MEMBERS_MAX; seed++) view.admit(unsignedOf(seed), EPOCH_MS)
    expect(view.size).toBe(MEMBERS_MAX)
    expect(view.admit(unsignedOf(MEMBERS_MAX), EPOCH_MS)).toBe('full')
    expect(view.admit(unsignedOf(0, { issuedMs: EPOCH_MS + 1 }), EPOCH_MS + 1)).toBe('newer')
    const laterMs = EPOCH_MS + 3 * periodMs
    expect(view.admit(unsignedOf(MEMBERS_MAX, { issuedMs: laterMs }), laterMs)).toBe('new')
    expect(view.size).toBe(2)
  })
})

describe('a node that cannot be reached', () => {
  it('rests for 5 s, doubling to 10 min, until it is heard of', () => {
    const view = viewOf(1, 2)
    // Long enough for the longest rest.
    const rests: number[] = []
    let nowMs = EPOCH_MS
    for (let failure = 0; failure < 10; failure++) {
      view.admit(unsignedOf(1, { issuedMs: nowMs }), nowMs)
      view.markFailed(idOf(1), nowMs)
      let restMs = 0
      while (!view.isReachable(idOf(1), nowMs + restMs)) restMs += 1_000
      expect(view.isReachable(idOf(1), nowMs + restMs - 1)).toBe(false)
      rests.push(restMs / 1_000)
      nowMs += restMs
      for (let renewMs = EPOCH_MS; renewMs <= nowMs; renewMs += periodMs) {
        view.admit(unsignedOf(1, { issuedMs: renewMs }), renewMs)
      }
    }
    expect(rests).toEqual([5, 10, 20, 40, 80, 160, 320, 600, 600, 600])
    view.markAlive(idOf(1))
    view.markFailed(idOf(1), nowMs)
    expect(view.isReachable(idOf(1), nowMs + 5_000)).toBe(true)
  })

  it('stays a member but is not reachable', () => {
    const view = viewOf(1, 2)
    expect(view.reachable(EPOCH_MS)).toBe(view.members(EPOCH_MS))
    view.markFailed(idOf(1), EPOCH_MS)
    expect(view.reachable(EPOCH_MS + 4_999)).toEqual([idOf(2)])
    expect(view.members(EPOCH_MS + 4_999)).toEqual(sortedIds(1, 2))
    expect(view.reachable(EPOCH_MS + 5_000)).toEqual(sortedIds(1, 2))
    view.markFailed(idOf(2), EPOCH_MS + 5_000)
    view.markAlive(idOf(2))
    expect(view.reachable(EPOCH_MS + 5_000)).toEqual(sortedIds(1, 2))
  })

  it('attempts that fail together count once', () => {
    const view = viewOf(1)
    for (let attempt = 0; attempt < 5; attempt++) view.markFailed(idOf(1), EPOCH_MS + attempt)
    expect(view.isReachable(idOf(1), EPOCH_MS + 5_000)).toBe(true)
  })

  it('whom nobody knows is not remembered', () => {
    const view = viewOf(1)
    view.markFailed(idOf(9), EPOCH_MS)
    expect(view.isReachable(idOf(9), EPOCH_MS)).toBe(true)
  })
})

describe('a saved view', () => {
  it('comes back with what it knew and since when', () => {
    const view = viewOf(1, 2, 3)
    view.admit(unsignedOf(1, { issuedMs: EPOCH_MS + 7 }), EPOCH_MS + 9)
    const back = View.fromBytes(view.toBytes(), { profile })
    expect(back?.members(EPOCH_MS + 9)).toEqual(view.members(EPOCH_MS + 9))
    expect(back?.get(idOf(1))).toEqual(view.get(idOf(1)))
    expect(back?.firstSeenMs(idOf(1))).toBe(EPOCH_MS)
    expect(back?.members(EPOCH_MS + 4 * periodMs)).toEqual([])
  })

  it('that was damaged is no view', () => {
    const bytes = viewOf(1, 2).toBytes()
    expect(View.fromBytes(new Uint8Array(), { profile })).toBeUndefined()
    expect(View.fromBytes(bytes.subarray(1), { profile })).toBeUndefined()
    expect(View.fromBytes(Uint8Array.from([...bytes, 0]), { profile })).toBeUndefined()
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), (cut) => {
        expect(View.fromBytes(bytes.subarray(0, cut), { profile })).toBeUndefined()
      }),
    )
  })
})
