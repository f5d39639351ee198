import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareBytes, type NodeId } from '../../../core/index.ts'
import { answerOf, perfectRing, type RingState, successorList } from '../../../routing/ring/state.ts'
import {
  afterCandidateAnswer,
  afterCandidateSilent,
  afterJoin,
  afterSuccessorAnswer,
  afterSuccessorDead,
  firstQuery,
  nearerMember,
  onNotify,
  onPredecessorDead,
} from '../../../routing/ring/steps.ts'
import { idsArbitrary } from './rings.ts'

const R = 3
const ids = Array.from({ length: 8 }, (_, index) => Uint8Array.from({ length: 32 }, () => 10 + 20 * index) as NodeId)
const id = (index: number) => ids[index] as NodeId
const ring = (...indexes: number[]) => indexes.map(id)
const stateOf = (self: number, indexes: number[]) => perfectRing(id(self), ring(...indexes), R)

describe('the steps', () => {
  it('a joiner copies the whole list of the member before it, and belongs nowhere else', () => {
    const member = answerOf(stateOf(1, [1, 4, 5, 6]))
    expect(afterJoin(id(2), member, R)).toEqual({
      self: id(2),
      predecessor: id(1),
      successors: ring(4, 5, 6),
      successorsMax: R,
    })
    for (const elsewhere of [0, 1, 4, 5, 7]) expect(afterJoin(id(elsewhere), member, R)).toBeUndefined()
  })

  it('an answer of a node that is no longer the head changes nothing', () => {
    const state = stateOf(0, [0, 1, 2, 3])
    expect(afterSuccessorAnswer(state, answerOf(stateOf(2, [0, 1, 2, 3])))).toEqual({ state, next: undefined })
    expect(afterSuccessorDead(state, id(2))).toEqual({ state, next: undefined })
  })

  it('looks at the nearer node that the head names, else notifies the head', () => {
    const state = stateOf(0, [0, 3, 5, 6])
    const near = afterSuccessorAnswer(state, { ...answerOf(stateOf(3, [0, 3, 5, 6])), predecessor: id(2) })
    expect(near.next).toEqual({ do: 'query-candidate', node: id(2) })
    const settled = afterSuccessorAnswer(state, answerOf(stateOf(3, [0, 3, 5, 6])))
    expect(settled).toEqual({ state, next: { do: 'notify', node: id(3) } })
  })

  it('a candidate that comes too late does not replace a nearer head', () => {
    const state = stateOf(0, [0, 1, 3, 5])
    const step = afterCandidateAnswer(state, answerOf(stateOf(2, [0, 2, 3, 5])))
    expect(step).toEqual({ state, next: { do: 'notify', node: id(1) } })
  })

  it('a predecessor gives way to a nearer node at once, to a farther one only when silent', () => {
    const state = stateOf(5, [2, 5, 6])
    expect(onNotify(state, id(4))).toEqual({ state: { ...state, predecessor: id(4) } })
    expect(onNotify(state, id(2))).toEqual({ state })
    expect(onNotify(state, id(5))).toEqual({ state })
    expect(onNotify(state, id(1))).toEqual({ query: id(2) })
    expect(onPredecessorDead(state, { dead: id(2), from: id(1) }).predecessor).toEqual(id(1))
  })

  it('a predecessor found meanwhile is not displaced by the verdict on the one before it', () => {
    const state = stateOf(5, [4, 5, 6])
    expect(onPredecessorDead(state, { dead: id(2), from: id(1) })).toEqual(state)
  })

  it('a node whose last successor is silent is alone, then forgets a silent predecessor', () => {
    const pair = stateOf(0, [0, 1])
    const { state, next } = afterSuccessorDead(pair, id(1))
    expect([state.successors, next]).toEqual([[], undefined])
    expect(firstQuery(state)).toEqual({ do: 'query-candidate', node: id(1) })
    expect(firstQuery(afterCandidateSilent(state, id(1)).state)).toBeUndefined()
  })

  it('the nearer member of a view is the nearest one before the head', () => {
    const state = stateOf(0, [0, 3, 5])
    expect(nearerMember(state, ring(0, 1, 2, 3, 5))).toEqual(id(1))
    expect(nearerMember(state, ring(1, 2))).toEqual(id(1))
    expect(nearerMember(state, ring(0, 3, 5))).toBeUndefined()
    expect(nearerMember(state, ring(0))).toBeUndefined()
    expect(nearerMember(state, [])).toBeUndefined()
  })

  it('no answer, however wrong, can disorder a list', () => {
    fc.assert(
      fc.property(idsArbitrary({ minLength: 4, maxLength: 12 }), fc.array(fc.nat(11)), fc.nat(11), (all, picks, at) => {
        const self = all[at % all.length] as NodeId
        const list = successorList(
          { self, max: R },
          picks.map((pick) => all[pick % all.length] as NodeId),
        )
        const ideal = perfectRing(self, list, R).successors
        expect(list).toEqual(ideal)
      }),
    )
  })
})

/**
 * Zave's lists always have r entries: a dropped one is replaced by the identifier just after the
 * last. Here those placeholders are left out, so filling up our lists must give her steps exactly.
 */
describe('a short list stands for one filled up with placeholders', () => {
  const next = (point: Uint8Array): NodeId => {
    const after = Uint8Array.from(point)
    for (let i = 31; i >= 0; i--) {
      after[i] = ((after[i] as number) + 1) & 0xff
      if (after[i] !== 0) break
    }
    return after as NodeId
  }
  const filled = (list: readonly NodeId[], length = R): readonly NodeId[] =>
    list.length >= length ? list : filled([...list, next(list.at(-1) as NodeId)], length)

  // Any stretch of the circle: self, a head, and what either may list behind it.
  const scene = fc
    .tuple(
      idsArbitrary({ minLength: 9, maxLength: 9 }),
      fc.nat(8),
      fc.subarray([1, 2, 3, 4, 5, 6, 7, 8], { minLength: 1, maxLength: R }),
    )
    .map(([all, turn, own]) => ({ around: [...all.slice(turn), ...all.slice(0, turn)], own }))

  it('when the head has died', () => {
    fc.assert(
      fc.property(scene, ({ around, own }) => {
        fc.pre(own.length >= 2)
        const state = stateWith(around, own)
        const { state: after } = afterSuccessorDead(state, state.successors[0] as NodeId)
        const hers = filled(filled(state.successors).slice(1))
        expect(filled(after.successors)).toEqual(hers)
      }),
    )
  })

  it('when the head or a candidate has answered', () => {
    fc.assert(
      fc.property(
        scene,
        fc.subarray([2, 3, 4, 5, 6, 7, 8], { minLength: 1, maxLength: R }),
        ({ around, own }, theirs) => {
          const state = stateWith(around, own)
          const answering = own[0] as number
          const behind = theirs.filter((index) => index > answering)
          fc.pre(behind.length >= 1)
          const answer = {
            node: around[answering] as NodeId,
            predecessor: undefined,
            successors: behind.map((index) => around[index] as NodeId),
          }
          const hers = [answer.node, ...filled(answer.successors).slice(0, R - 1)]
          expect(filled(afterSuccessorAnswer(state, answer).state.successors)).toEqual(hers)
          const farther = { ...state, successors: [] }
          expect(filled(afterCandidateAnswer(farther, answer).state.successors)).toEqual(hers)
        },
      ),
    )
  })

  function stateWith(around: readonly NodeId[], own: readonly number[]): RingState {
    const successors = own.map((index) => around[index] as NodeId)
    expect([...successors].sort(compareBytes)).toHaveLength(own.length)
    return { self: around[0] as NodeId, predecessor: undefined, successors, successorsMax: R }
  }
})
