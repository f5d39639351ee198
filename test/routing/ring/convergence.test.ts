/** Once faults stop, any history ends in the ideal ring. SPEC ring §5 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { NodeId } from '../../../core/index.ts'
import { idsArbitrary, Rings } from './rings.ts'

const roundsMaxFor = (count: number, successorsMax: number) =>
  Math.ceil(10 * Math.log2(Math.max(2, count))) + 2 * successorsMax

type Event = { readonly do: 'join' | 'fail' | 'round'; readonly at: number }
const eventsArbitrary = fc.array(
  fc.record<Event>({ do: fc.constantFrom('join', 'join', 'fail', 'fail', 'round'), at: fc.nat() }),
  { maxLength: 60 },
)

/** Joins, failures that leave everyone a live successor, and rounds, as drawn. */
function play(rings: Rings, spare: readonly NodeId[], events: readonly Event[]): void {
  for (const { do: what, at } of events) {
    if (what === 'round') rings.round({ gossip: at % 2 === 0 })
    if (what === 'join') {
      const id = spare[at % spare.length] as NodeId
      if (rings.get(id) === undefined) rings.join(id)
    }
    if (what === 'fail') {
      const members = rings.members()
      const id = members[at % members.length] as NodeId
      if (members.length > 1 && rings.mayFail(id)) rings.fail(id)
    }
  }
}

describe('convergence', () => {
  it('joins, leaves and crashes end in the ideal ring', () => {
    fc.assert(
      fc.property(idsArbitrary({ minLength: 30, maxLength: 30 }), eventsArbitrary, (ids, events) => {
        const rings = new Rings(4)
        rings.addPerfect(ids.filter((_, index) => index % 3 === 0))
        play(rings, ids, events)
        const roundsMax = roundsMaxFor(rings.states.size, 4)
        expect(rings.roundsUntilIdeal({ gossip: true, roundsMax })).toBeLessThanOrEqual(roundsMax)
      }),
      { numRuns: 300 },
    )
  })

  it('rings smaller than r + 1, down to a node alone, end in the ideal ring', () => {
    fc.assert(
      fc.property(
        idsArbitrary({ minLength: 5, maxLength: 5 }),
        fc.integer({ min: 1, max: 5 }),
        eventsArbitrary,
        (ids, founders, events) => {
          const rings = new Rings(6)
          rings.addPerfect(ids.slice(0, founders))
          play(rings, ids, events)
          const roundsMax = roundsMaxFor(rings.states.size, 6)
          expect(rings.roundsUntilIdeal({ gossip: true, roundsMax })).toBeLessThanOrEqual(roundsMax)
        },
      ),
      { numRuns: 500 },
    )
  })

  it('a node that joins one alone makes a ring of two without gossip', () => {
    fc.assert(
      fc.property(idsArbitrary({ minLength: 2, maxLength: 2 }), (ids) => {
        const rings = new Rings(6)
        rings.addPerfect(ids.slice(0, 1))
        expect(rings.join(ids[1] as NodeId)).toBe(true)
        expect(rings.roundsUntilIdeal({ gossip: false, roundsMax: 4 })).toBeLessThanOrEqual(4)
      }),
    )
  })

  it('nodes that lost every successor find back through gossip', () => {
    fc.assert(
      fc.property(idsArbitrary({ minLength: 12, maxLength: 24 }), (ids) => {
        const rings = new Rings(3)
        rings.addPerfect(ids)
        for (const id of ids.slice(1, 6)) rings.fail(id)
        const roundsMax = roundsMaxFor(ids.length, 3)
        expect(rings.roundsUntilIdeal({ gossip: true, roundsMax })).toBeLessThanOrEqual(roundsMax)
      }),
    )
  })

  it('two rings, however their nodes interleave, become one', () => {
    fc.assert(
      fc.property(
        idsArbitrary({ minLength: 2, maxLength: 24 }),
        fc.infiniteStream(fc.boolean()),
        fc.constantFrom(2, 6),
        (ids, sides, successorsMax) => {
          const rings = new Rings(successorsMax)
          const left: NodeId[] = []
          const right: NodeId[] = []
          for (const id of ids) (sides.next().value === true ? left : right).push(id)
          rings.addPerfect(left)
          rings.addPerfect(right)
          const roundsMax = roundsMaxFor(ids.length, successorsMax)
          expect(rings.roundsUntilIdeal({ gossip: true, roundsMax })).toBeLessThanOrEqual(roundsMax)
        },
      ),
      { numRuns: 300 },
    )
  })

  it('without gossip two rings stay apart', () => {
    const ids = fc.sample(idsArbitrary({ minLength: 10, maxLength: 10 }), { numRuns: 1, seed: 3 })[0] as NodeId[]
    const rings = new Rings(2)
    rings.addPerfect(ids.filter((_, index) => index % 2 === 0))
    rings.addPerfect(ids.filter((_, index) => index % 2 === 1))
    expect(rings.roundsUntilIdeal({ gossip: false, roundsMax: 100 })).toBe(Number.POSITIVE_INFINITY)
  })
})
