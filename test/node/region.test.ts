/** Regions of the ring: whom a flood of newcomers cannot push out, and who is asked when the first ones deny. SPEC vaults §5 */
import { describe, expect, it } from 'vitest'
import { type NodeId, named32, PROFILES, toHex } from '../../core/index.ts'
import { Holders } from '../../node/roles/holders.ts'
import { distance, View } from '../../routing/index.ts'
import { EPOCH_MS, unsignedOf } from '../routing/membership/members.ts'
import { seededBytes } from '../storage/support/random.ts'

const HONEST = 100
const LOCATION = seededBytes(7, 32)

function idOf(bytes: Uint8Array): NodeId {
  return named32<'NodeId'>(bytes, 'node id')
}

/** Honest members at random places, known first; then newcomers right behind the location. */
function ring(newcomers: number) {
  const view = new View({ profile: PROFILES.testnet })
  const honest = Array.from({ length: HONEST }, (_, i) => idOf(seededBytes(i + 1, 32)))
  for (const [i, id] of honest.entries()) view.admit(unsignedOf(i, { id }), EPOCH_MS - 10_000)
  for (let i = 0; i < newcomers; i++) {
    const id = LOCATION.slice()
    id.set([i >> 8, i & 0xff], 20)
    if (id[19] === 255) throw new Error('past zero')
    id[19] = (id[19] as number) + 1
    view.admit(unsignedOf(HONEST + i, { id: idOf(id) }), EPOCH_MS)
  }
  const holders = new Holders({
    clock: { nowMs: () => EPOCH_MS, monotonicMs: () => 0, setTimer: () => ({ cancel: () => {} }) },
    view,
    profile: PROFILES.testnet,
    selfId: honest[0] as NodeId,
  })
  const known = new Set(honest.map(toHex))
  return { holders, honest, isHonest: (id: NodeId) => known.has(toHex(id)) }
}

describe('a region', () => {
  it('is all members within eight average arcs of the location, the nearest first', () => {
    const { holders, honest } = ring(0)
    const region = holders.region(LOCATION)
    const reach = (2n ** 256n / BigInt(HONEST)) * 8n
    const within = honest.filter((id) => distance(LOCATION, id) <= reach)
    expect(within.length).toBeGreaterThan(2)
    expect(new Set(region.map(toHex))).toEqual(new Set(within.map(toHex)))
    expect(region.map(toHex)).toEqual(
      [...region].sort((a, b) => (distance(LOCATION, a) < distance(LOCATION, b) ? -1 : 1)).map(toHex),
    )
  })

  it('keeps its long-known members when newcomers crowd in, but for the first two places', () => {
    const before = ring(0).holders.region(LOCATION)
    for (const newcomers of [20, 100, 200]) {
      const { holders, isHonest } = ring(newcomers)
      const region = holders.region(LOCATION)
      expect(region.length).toBe(20)
      const left = region.filter(isHonest)
      // More members make an average arc shorter: that is all that a flood can do.
      const share = HONEST / (HONEST + newcomers)
      expect(left.length).toBeGreaterThanOrEqual(Math.floor(before.length * share * 0.6))
      expect(left.length).toBeGreaterThan(0)
      const eldest = holders.eldest(LOCATION, { past: 3, count: 3 })
      expect(eldest.slice(0, 1).every(isHonest)).toBe(true)
    }
  })

  it('is told to be crowded when newcomers stand beside this node, and not before', () => {
    const { holders, honest } = ring(0)
    expect(holders.crowd()).toBeUndefined()
    const view = new View({ profile: PROFILES.testnet })
    const [self] = honest as [NodeId]
    for (const [i, id] of honest.entries()) view.admit(unsignedOf(i, { id }), EPOCH_MS)
    const clock = { nowMs: () => EPOCH_MS, monotonicMs: () => 0, setTimer: () => ({ cancel: () => {} }) }
    const watching = new Holders({ clock, view, profile: PROFILES.testnet, selfId: self })
    expect(watching.crowd()).toBeUndefined()
    for (let i = 1; i <= 6; i++) {
      const near = self.slice()
      near[31] = (near[31] as number) ^ i
      view.admit(unsignedOf(HONEST + i, { id: idOf(near) }), EPOCH_MS)
    }
    expect(watching.crowd()?.members).toBeGreaterThan(0)
    expect(watching.crowd()?.arcs).toBeLessThan(1e-9)
  })

  it('in a network of a few nodes is all of it', () => {
    const view = new View({ profile: PROFILES.testnet })
    const ids = [1, 2, 3, 4].map((seed) => idOf(seededBytes(seed, 32)))
    for (const [i, id] of ids.entries()) view.admit(unsignedOf(i, { id }), EPOCH_MS)
    const clock = { nowMs: () => EPOCH_MS, monotonicMs: () => 0, setTimer: () => ({ cancel: () => {} }) }
    const holders = new Holders({ clock, view, profile: PROFILES.testnet, selfId: ids[0] as NodeId })
    expect(holders.region(LOCATION).length).toBe(4)
    expect(holders.othersOfRegion(LOCATION).length).toBe(3)
    expect(holders.region(LOCATION, { leaving: true }).length).toBe(3)
  })
})
