import { describe, expect, it } from 'vitest'
import { type NodeId, PROFILES, toHex } from '../../../core/index.ts'
import type { Descriptor } from '../../../routing/membership/descriptor.ts'
import { areApart, pickGuard, pickMiddle } from '../../../routing/membership/selection.ts'
import { View } from '../../../routing/membership/view.ts'
import { EPOCH_MS, EVERY_ROLE, seededJitter, unsignedOf } from './members.ts'

const HOUR_MS = 3_600_000
const profile = { ...PROFILES.production, descriptorEveryMs: 1_000 * HOUR_MS }

/** Nodes by seed with the hour at which each was first heard of. */
function viewSince(hours: readonly number[]): View {
  const view = new View({ profile })
  for (const [seed, hour] of hours.entries()) view.admit(unsignedOf(seed), EPOCH_MS + hour * HOUR_MS)
  return view
}
const idOf = (seed: number) => unsignedOf(seed).id
const seedsOf = (drawn: readonly (Descriptor | undefined)[]) =>
  [...new Set(drawn.map((descriptor) => descriptor?.nonce))].sort((a, b) => (a ?? -1) - (b ?? -1))
const draws = (draw: () => Descriptor | undefined) => Array.from({ length: 300 }, draw)

describe('a guard', () => {
  const guards = (view: View, atHour: number, exclude: readonly NodeId[] = []) => {
    const jitter = seededJitter(1)
    const nowMs = EPOCH_MS + atHour * HOUR_MS
    return seedsOf(draws(() => pickGuard(view, { nowMs, profile, networkCreatedMs: EPOCH_MS, jitter, exclude })))
  }

  it('is one of the older half that was known for 48 hours', () => {
    expect(guards(viewSince([0, 0, 100, 150, 160, 170, 180, 190]), 200)).toEqual([0, 1, 2, 3])
    expect(guards(viewSince([0, 0, 100, 180, 181, 182, 183, 184]), 200)).toEqual([0, 1, 2])
  })

  it('in a young network is one that was known for half its age', () => {
    expect(guards(viewSince([0, 1, 6, 7]), 10)).toEqual([0, 1])
    expect(guards(viewSince([0, 6, 7, 8]), 10)).toEqual([0])
  })

  it('of a node that has just come is anyone', () => {
    expect(guards(viewSince([200, 200, 200, 200]), 200)).toEqual([0, 1, 2, 3])
  })

  it('is never excluded, leaving, resting or without the role', () => {
    const view = viewSince([0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    const nowMs = EPOCH_MS + HOUR_MS
    view.admit(unsignedOf(1, { roles: { ...EVERY_ROLE, leaving: true }, issuedMs: nowMs }), nowMs)
    view.admit(unsignedOf(2, { roles: { ...EVERY_ROLE, relay: false }, issuedMs: nowMs }), nowMs)
    view.markFailed(idOf(3), nowMs)
    expect(guards(view, 1, [idOf(0)])).toEqual([4, 5, 6])
    expect(guards(new View({ profile }), 1)).toEqual([undefined])
  })
})

describe('a middle', () => {
  const view = viewSince([0, 0, 0, 0, 0])
  const [guard, gateway] = [unsignedOf(0), unsignedOf(1)]
  const middles = (of: View, hasPrefixLimits: boolean, exclude: readonly NodeId[] = []) => {
    const jitter = seededJitter(2)
    return seedsOf(draws(() => pickMiddle(of, { nowMs: EPOCH_MS, guard, gateway, hasPrefixLimits, jitter, exclude })))
  }

  it('is any other relay, all with the same chance', () => {
    expect(middles(view, true)).toEqual([2, 3, 4])
    const jitter = seededJitter(3)
    const counts = new Map<string, number>()
    for (let draw = 0; draw < 3_000; draw++) {
      const picked = pickMiddle(view, { nowMs: EPOCH_MS, guard, gateway, hasPrefixLimits: true, jitter, exclude: [] })
      const name = toHex((picked as Descriptor).id)
      counts.set(name, (counts.get(name) ?? 0) + 1)
    }
    for (const count of counts.values()) expect(Math.abs(count - 1_000)).toBeLessThan(150)
  })

  it('is never the node itself, and is none where nobody is left', () => {
    expect(middles(view, true, [idOf(4)])).toEqual([2, 3])
    expect(middles(viewSince([0, 0]), true)).toEqual([undefined])
  })

  it('shares no neighbourhood with guard or gateway unless the limits are off', () => {
    const crowded = viewSince([0, 0, 0])
    crowded.admit(unsignedOf(3, { addresses: ['127.1.200.9:1'] }), EPOCH_MS)
    crowded.admit(unsignedOf(4, { addresses: ['node.example.org:1', '127.2.200.9:1'] }), EPOCH_MS)
    expect(middles(crowded, true)).toEqual([2])
    expect(middles(crowded, false)).toEqual([2, 3, 4])
  })

  it('a node is never apart from itself, whatever the limits', () => {
    for (const hasPrefixLimits of [true, false]) {
      expect(areApart(guard, guard, { hasPrefixLimits })).toBe(false)
      expect(areApart(guard, { ...gateway, publicKey: guard.publicKey }, { hasPrefixLimits })).toBe(false)
      expect(areApart(guard, gateway, { hasPrefixLimits })).toBe(true)
    }
  })
})
