/**
 * The ring's invariant in every reachable state of a small model, and the faults of the published
 * Chord that the search must find when they are planted. SPEC ring §2
 */
import { describe, expect, it } from 'vitest'
import type { RingAnswer, RingState } from '../../../routing/ring/state.ts'
import { PRODUCTION, type Steps, search } from './model.ts'

const FIVE = { ids: 5, successorsMax: 2 } as const

describe('the ring steps keep the invariant in every reachable state', () => {
  it.each([
    {
      name: 'five identifiers, nearer nodes named by the head',
      ...FIVE,
      adoption: 'predecessor' as const,
      states: 163_307,
    },
    {
      name: 'five identifiers, nearer nodes named by gossip too',
      ...FIVE,
      adoption: 'gossip' as const,
      states: 212_627,
    },
    {
      name: 'six identifiers, whatever notices and predecessors say',
      ids: 6,
      successorsMax: 2,
      adoption: 'unheeded' as const,
      states: 102_046,
    },
    {
      name: 'five identifiers, the same with answers that come late',
      ...FIVE,
      adoption: 'unheeded' as const,
      answersLate: true,
      states: 427_291,
    },
    {
      name: 'six identifiers and lists of three, whatever notices and predecessors say',
      ids: 6,
      successorsMax: 3,
      adoption: 'unheeded' as const,
      states: 220_646,
    },
  ])(
    '$name',
    ({ name: _, states, ...model }) => {
      const verdict = search({ ...model, steps: PRODUCTION })
      expect(verdict.broken).toBeUndefined()
      // A search that has become smaller proves less: say so here when a step is changed on purpose.
      expect(verdict.states).toBe(states)
    },
    120_000,
  )
})

describe('the search finds the faults of the published protocol', () => {
  const planted = (steps: Partial<Steps>, listsUnchecked = false) =>
    search({ ...FIVE, adoption: 'predecessor', steps: { ...PRODUCTION, ...steps }, listsUnchecked }).broken

  it('a joiner that learns one successor can have none that lives', () => {
    const broken = planted({
      join: (self, member, max) => {
        const state = PRODUCTION.join(self, member, max)
        return state && { ...state, predecessor: undefined, successors: state.successors.slice(0, 1) }
      },
    })
    expect(broken?.what).toBe('a member has no live successor')
  })

  it('a list refilled with a duplicate', () => {
    const unchecked = (state: RingState, answer: RingAnswer) => ({
      ...state,
      successors: [answer.node, ...answer.successors].slice(0, state.successorsMax),
    })
    const broken = planted({
      answered: unchecked,
      adopted: unchecked,
      dead: (state, dead) => {
        const after = PRODUCTION.dead(state, dead)
        return { ...after, successors: [...after.successors, ...after.successors.slice(-1)] }
      },
    })
    expect(broken?.what).toBe('a list is out of order or repeats')
  })

  it("a leaver's list taken over unchecked", () => {
    const inherit = (state: RingState, leaver: RingState) => ({ ...state, successors: leaver.successors })
    expect(planted({ inherit })?.what).toBe('a list is out of order or repeats')
    expect(planted({ inherit }, true)?.what).toBe('a member has no live successor')
  })

  it('a joiner that takes its place without looking whether it is there', () => {
    const broken = planted({
      join: (self, member, max) => ({
        self,
        predecessor: member.node,
        successors: member.successors,
        successorsMax: max,
      }),
    })
    expect(broken).toBeDefined()
  })
})
