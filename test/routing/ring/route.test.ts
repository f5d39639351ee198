import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareBytes, type Location, type NodeId, toHex } from '../../../core/index.ts'
import { fingersOf } from '../../../routing/ring/fingers.ts'
import { distance, indexAtOrAfter, isBetween, isUpTo } from '../../../routing/ring/point.ts'
import { isOwner, nextHop, ownersOf, rankOf } from '../../../routing/ring/route.ts'
import { perfectRing } from '../../../routing/ring/state.ts'
import { idOf, idsArbitrary, locationOf, pointArbitrary } from './rings.ts'

const members = Array.from({ length: 1_000 }, (_, seed) => idOf(seed)).sort(compareBytes)
const states = new Map(members.map((id) => [toHex(id), perfectRing(id, members, 16)]))

/** The ids a request passes, from its start to the owner. */
function walk(start: NodeId, location: Location): NodeId[] {
  const path = [start]
  for (;;) {
    const self = path.at(-1) as NodeId
    const state = states.get(toHex(self))
    if (state === undefined || path.length > 50) throw new Error('lost')
    const hop = nextHop({ state, members, location })
    if ('own' in hop) return path
    expect(isUpTo(self, hop.hop, location) || hop.isOwner).toBe(true)
    path.push(hop.hop)
    if (hop.isOwner) return path
  }
}

describe('routing', () => {
  it('reaches the owner from anywhere in at most 6 hops of 1,000, 2 to 3 on average, never passing the location', () => {
    let hops = 0
    const count = 2_000
    for (let seed = 0; seed < count; seed++) {
      const location = locationOf(seed)
      const path = walk(members[(seed * 37) % members.length] as NodeId, location)
      expect(path.at(-1)).toBe(ownersOf(location, members, 1)[0])
      expect(path.length - 1).toBeLessThanOrEqual(6)
      hops += path.length - 1
    }
    expect(hops / count).toBeLessThan(3.5)
    expect(hops / count).toBeGreaterThan(1.5)
  })

  it('exactly one node of an ideal ring owns a location', () => {
    fc.assert(
      fc.property(idsArbitrary({ minLength: 1, maxLength: 12 }), pointArbitrary, (ids, point) => {
        const owners = ids.filter((id) => isOwner(perfectRing(id, ids, 3), point as Location))
        expect(owners).toEqual(ownersOf(point as Location, ids, 1))
        const owning = ids.filter((id) => {
          const state = perfectRing(id, ids, 3)
          return 'own' in nextHop({ state, members: ids, location: point as Location })
        })
        expect(owning).toEqual(owners)
      }),
    )
  })

  it('takes the next live successor for the owner when the owner is silent', () => {
    const location = locationOf(7)
    const [owner, next] = ownersOf(location, members, 2) as [NodeId, NodeId]
    const before = members[(members.indexOf(owner) + members.length - 1) % members.length] as NodeId
    const state = perfectRing(before, members, 16)
    expect(nextHop({ state, members, location })).toEqual({ hop: owner, isOwner: true })
    expect(nextHop({ state, members, location, exclude: [owner] })).toEqual({ hop: next, isOwner: true })
    const without = members.filter((id) => id !== owner)
    expect(nextHop({ state, members: without, location })).toEqual({ hop: next, isOwner: true })
  })

  it('answers for the arc of a dead predecessor', () => {
    const [dead, self] = ownersOf(locationOf(9), members, 2) as [NodeId, NodeId]
    const state = perfectRing(self, members, 16)
    expect(nextHop({ state, members, location: locationOf(9) })).not.toHaveProperty('own')
    expect(nextHop({ state, members, location: locationOf(9), exclude: [dead] })).toEqual({ own: true })
  })

  it('goes around a silent finger', () => {
    fc.assert(
      fc.property(fc.nat({ max: 999 }), fc.nat(5_000), (at, seed) => {
        const self = members[at] as NodeId
        const state = perfectRing(self, members, 16)
        const location = locationOf(seed)
        const first = nextHop({ state, members, location })
        if ('own' in first) return
        const second = nextHop({ state, members, location, exclude: [first.hop] })
        expect(second).not.toEqual(first)
        expect('own' in second || second.isOwner || isUpTo(self, second.hop, location)).toBe(true)
      }),
    )
  })

  it('a node whose view knows nobody else owns everything', () => {
    const self = members[0] as NodeId
    expect(nextHop({ state: perfectRing(self, [], 6), members: [self], location: locationOf(1) })).toEqual({
      own: true,
    })
    expect(nextHop({ state: perfectRing(self, [], 6), members: [], location: locationOf(1) })).toEqual({ own: true })
  })
})

describe('owners and ranks', () => {
  it('agree with a walk around the sorted circle', () => {
    fc.assert(
      fc.property(idsArbitrary({ minLength: 1, maxLength: 20 }), pointArbitrary, fc.nat(25), (ids, point, count) => {
        const location = point as Location
        const byDistance = [...ids].sort((a, b) => (distance(location, a) < distance(location, b) ? -1 : 1))
        expect(ownersOf(location, ids, count)).toEqual(byDistance.slice(0, count))
        for (const [rank, id] of byDistance.entries()) expect(rankOf(location, id, ids)).toBe(rank)
      }),
    )
  })

  it('a node that is no member has the rank it would get as one', () => {
    fc.assert(
      fc.property(idsArbitrary({ minLength: 2, maxLength: 12 }), pointArbitrary, fc.nat(11), (ids, point, pick) => {
        const stranger = ids[pick % ids.length] as NodeId
        const others = ids.filter((id) => id !== stranger)
        expect(rankOf(point, stranger, others)).toBe(rankOf(point, stranger, ids))
      }),
    )
  })

  it('an empty view has no owners, and a stranger ranks first in it', () => {
    expect(rankOf(locationOf(1), idOf(1), [])).toBe(0)
    expect(ownersOf(locationOf(1), [], 3)).toEqual([])
  })
})

describe('fingers', () => {
  it('are what the definition says, computed in whole numbers', () => {
    fc.assert(
      fc.property(idsArbitrary({ minLength: 1, maxLength: 40 }), (ids) => {
        const self = ids[0] as NodeId
        const others = ids
          .slice(1)
          .map((id) => ({ id, away: distance(self, id) }))
          .sort((a, b) => (a.away < b.away ? -1 : 1))
        const wanted = new Set<string>()
        for (let digit = 0; digit < 64; digit++) {
          for (let value = 1n; value <= 15n; value++) {
            const steps = value * 16n ** BigInt(63 - digit)
            const nearest = others.find(({ away }) => away >= steps) ?? others[0]
            if (nearest !== undefined) wanted.add(toHex(nearest.id))
          }
        }
        expect(new Set(fingersOf(self, ids).map(toHex))).toEqual(wanted)
      }),
    )
  })

  it('reach every member of a crowd that lies within a sixteenth of the circle', () => {
    const crowd = [0x00, 0x86, 0xf9].map((second) => Uint8Array.of(0xe9, second, ...new Uint8Array(30)) as NodeId)
    const [self, ...others] = crowd as [NodeId, ...NodeId[]]
    expect(fingersOf(self, crowd)).toEqual(others)
  })

  it('are about 36 in a ring of 1,000', () => {
    const mean = members.reduce((sum, id) => sum + fingersOf(id, members).length, 0) / members.length
    expect(mean).toBeGreaterThan(30)
    expect(mean).toBeLessThan(42)
  })
})

describe('points', () => {
  it('lie between two others exactly when their distance says so, across zero too', () => {
    fc.assert(
      fc.property(pointArbitrary, pointArbitrary, pointArbitrary, (from, x, to) => {
        const whole = distance(from, to) === 0n
        const wanted = distance(from, x) > 0n && (whole || distance(from, x) < distance(from, to))
        expect(isBetween(from, x, to)).toBe(wanted)
      }),
    )
  })

  it('an arc from a point to itself is the whole circle but the point', () => {
    fc.assert(
      fc.property(pointArbitrary, pointArbitrary, (point, x) => {
        expect(isBetween(point, x, point)).toBe(compareBytes(point, x) !== 0)
        expect(isUpTo(point, x, point)).toBe(true)
      }),
    )
  })

  it('the search for what lies at or after a point wraps past zero', () => {
    const [low, high] = [idOf(1), idOf(2)].sort(compareBytes) as [NodeId, NodeId]
    expect(indexAtOrAfter([low, high], new Uint8Array(32))).toBe(0)
    expect(indexAtOrAfter([low, high], high)).toBe(1)
    expect(indexAtOrAfter([low, high], new Uint8Array(32).fill(255))).toBe(0)
  })
})
