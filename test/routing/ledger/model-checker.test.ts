/**
 * The two-party protocol in every reachable state of a small model, and the faults that the search must
 * find when they are planted. SPEC ledger §4, §5
 */
import { describe, expect, it } from 'vitest'
import { type Machine, PRODUCTION, search } from './model.ts'

describe('two sides never hold different last entries with one number', () => {
  it.each([
    { name: 'two proposals each, three crashes', proposals: 2, crashes: 3, losses: 0, states: 2_284 },
    { name: 'three proposals each, a crash', proposals: 3, crashes: 1, losses: 0, states: 33_881 },
    { name: 'two proposals each, a crash, a disk lost', proposals: 2, crashes: 1, losses: 1, states: 20_247 },
  ])(
    '$name',
    ({ name: _, states, ...model }) => {
      const verdict = search({ ...model, machine: PRODUCTION })
      expect(verdict.broken).toBeUndefined()
      // A search that has become smaller proves less: say so here when a step is changed on purpose.
      expect(verdict.states).toBe(states)
    },
    240_000,
  )
})

describe('the search finds faults that are planted', () => {
  const planted = (machine: Partial<Machine>) =>
    search({ proposals: 2, crashes: 1, losses: 0, machine: { ...PRODUCTION, ...machine } }).broken

  it('a signature that leaves before the flush', () => {
    expect(planted({ flushesFirst: false })).toBe('one side signed two entries with one number')
  })

  it('a side that forgets which numbers it signed', () => {
    const restart: Machine['restart'] = (disk) => ({
      ...disk,
      proposal: undefined,
      signedNumber: disk.top?.number ?? 0,
    })
    expect(planted({ restart })).toBeDefined()
  })

  it('a side that signs while its own proposal is out, and keeps it', () => {
    const receive: Machine['receive'] = (state, context, message, minute) => {
      const got = PRODUCTION.receive({ ...state, proposal: undefined }, context, message, minute)
      const isDone = got.state.top !== undefined && got.state.top.number === state.proposal?.number
      return isDone ? got : { ...got, state: { ...got.state, proposal: state.proposal } }
    }
    expect(planted({ receive })).toBeDefined()
  })

  it('A gives up its proposal for that of B', () => {
    const receive: Machine['receive'] = (state, context, message, minute) =>
      PRODUCTION.receive(message.proposal ? { ...state, proposal: undefined } : state, context, message, minute)
    expect(planted({ receive })).toBeDefined()
  })

  it('a side that signs what does not follow its last entry', () => {
    const receive: Machine['receive'] = (state, context, message, minute) => {
      const { proposal } = message
      const isNewer = proposal !== undefined && proposal.number > (state.top?.number ?? 0)
      const got = PRODUCTION.receive(isNewer ? { ...state, top: message.top } : state, context, message, minute)
      return got.state.top === message.top && isNewer ? { ...got, state } : got
    }
    expect(planted({ receive })).toBeDefined()
  })
})
