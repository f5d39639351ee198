/** The rules between two sides of a ledger. SPEC ledger §3 to §5 */
import { describe, expect, it } from 'vitest'
import {
  balanceOf,
  type Entry,
  isSameEntry,
  isSignedByBoth,
  signEntry,
  unsigned,
} from '../../../routing/ledger/entry.ts'
import { beforeFirst, faultOfStep, judgeChain, linkAfter } from '../../../routing/ledger/judge.ts'
import {
  lastOf,
  messageOf,
  NEW_PAIR,
  open,
  type PairContext,
  type PairState,
  propose,
  receive,
} from '../../../routing/ledger/pair.ts'
import { A, B, ENDS, OPENED, OPENING } from './support.ts'

const WISH = { servedByPeer: 100, forgive: 0, pay: 0, limit: 4_096, minute: 1 }
const wish = (change: Partial<typeof WISH> = {}) => ({ ...WISH, ...change })

function proposed(state: PairState, context: PairContext, change: Partial<typeof WISH> = {}): PairState {
  const next = propose(state, context, wish(change))
  if (next === undefined) throw new Error('not proposed')
  return next
}
/** Both sides after one entry of A. */
function signedOnce(change: Partial<typeof WISH> = {}): [PairState, PairState, Entry] {
  const a = proposed(OPENED, A, change)
  const b = receive(OPENED, B, messageOf(a), 1).state
  const after = receive(a, A, messageOf(b), 1).state
  return [after, receive(b, B, messageOf(after), 1).state, after.top as Entry]
}

describe('an entry', () => {
  it('is signed by both after a proposal and its acceptance', () => {
    const [a, b, top] = signedOnce()
    expect(isSignedByBoth(top, ENDS)).toBe(true)
    expect(b.top !== undefined && isSameEntry(top, b.top)).toBe(true)
    expect(balanceOf(top)).toBe(-100)
    expect([a.proposal, b.proposal]).toEqual([undefined, undefined])
  })

  it('has an odd number from A and an even one from B', () => {
    const [a, b] = signedOnce()
    expect(proposed(a, A, { servedByPeer: 101 }).proposal?.number).toBe(3)
    expect(proposed(b, B, { servedByPeer: 5 }).proposal?.number).toBe(2)
  })

  it('of A stands when both propose at once, and B says its own again later', () => {
    const [a0, b0] = signedOnce()
    const a = proposed(a0, A, { servedByPeer: 200 })
    const b = proposed(b0, B, { servedByPeer: 7 })
    const ignored = receive(a, A, messageOf(b), 1)
    expect(ignored.fault).toBe('own proposal out')
    const yielded = receive(b, B, messageOf(a), 1).state
    expect(yielded.top?.number).toBe(3)
    expect(yielded.proposal).toBeUndefined()
    expect(proposed(yielded, B, { servedByPeer: 7 }).proposal?.number).toBe(4)
  })

  it('of B does not come first', () => {
    expect(propose(OPENED, B, wish())).toBeUndefined()
  })

  it('is taken once, however often its proposal comes', () => {
    const a = proposed(OPENED, A)
    const once = receive(OPENED, B, messageOf(a), 1)
    const twice = receive(once.state, B, messageOf(a), 1)
    expect(twice.state).toEqual(once.state)
    expect([once.taken.length, twice.taken.length]).toEqual([1, 0])
    // The proposer does not know it yet: it is told again.
    expect(twice.mustAnswer).toBe(true)
  })

  it('is not signed when its minute is an hour ahead', () => {
    expect(receive(OPENED, B, messageOf(proposed(OPENED, A, { minute: 62 })), 1).fault).toBe('time ahead')
    expect(receive(OPENED, B, messageOf(proposed(OPENED, A, { minute: 61 })), 1).fault).toBeUndefined()
  })

  it('never says more for its proposer', () => {
    const [a] = signedOnce()
    expect(propose(a, A, wish({ servedByPeer: 99 }))).toBeUndefined()
    expect(propose(a, A, wish({ forgive: -1 }))).toBeUndefined()
    expect(propose(a, A, wish({ forgive: 1 }))).toBeUndefined()
    expect(propose(a, A, wish({ pay: -1 }))).toBeUndefined()
    expect(propose(a, A, wish({ servedByPeer: 5_121 }))).toBeUndefined()
    expect(propose(a, A, wish({ servedByPeer: 5_120 }))).toBeDefined()
    expect(propose(a, A, wish({ limit: 8_193 }))).toBeUndefined()
    expect(propose(a, A, wish({ limit: 8_192 }))).toBeDefined()
  })

  it('forgives what the other side owes, and no more', () => {
    const [a, b] = signedOnce()
    const forgiven = proposed(b, B, { servedByPeer: 0, forgive: 100 })
    expect(receive(a, A, messageOf(forgiven), 1).state.top?.forgiven).toBe(100)
    expect(propose(b, B, wish({ servedByPeer: 0, forgive: 101 }))).toBeUndefined()
  })
})

describe('a disk that was lost', () => {
  it('is made up for by what the peer holds', () => {
    const [a, b, top] = signedOnce()
    const restored = receive(NEW_PAIR, B, messageOf(a), 1).state
    expect(restored.top).toEqual(top)
    // Numbers it may have signed and forgotten are left out.
    expect(proposed(restored, B, { servedByPeer: 1 }).proposal?.number).toBeGreaterThan(1_024)
    const reopened = open(NEW_PAIR, new Uint8Array(16).fill(7))
    expect(receive(reopened, A, messageOf(b), 1).state.top).toEqual(b.top)
  })

  it('cannot be claimed against a side that remembers', () => {
    const [a, b] = signedOnce()
    const later = proposed(b, B, { servedByPeer: 50 })
    const newest = receive(a, A, messageOf(later), 1)
    // B shows an older entry: it is answered with the newer one.
    const rolledBack = receive(newest.state, A, messageOf(b), 1)
    expect(rolledBack.state).toEqual(newest.state)
    expect(rolledBack.mustAnswer).toBe(true)
    const fresh = receive(newest.state, A, { opening: new Uint8Array(16).fill(8) }, 1)
    expect(fresh.state).toEqual(newest.state)
    expect(fresh.mustAnswer).toBe(true)
  })
})

describe('two entries of one number with one signature', () => {
  it('are kept as proof, and nothing more is signed', () => {
    const [a, b] = signedOnce()
    const one = proposed(b, B, { servedByPeer: 10 })
    const other = proposed(b, B, { servedByPeer: 11 })
    const signed = receive(a, A, messageOf(one), 1).state
    const caught = receive(signed, A, messageOf(other), 1)
    expect(caught.fault).toBe('fraud')
    expect(caught.state.fraud).toHaveLength(2)
    expect(propose(caught.state, A, wish({ servedByPeer: 200 }))).toBeUndefined()
    const [first, second] = caught.state.fraud as readonly [Entry, Entry]
    const chain = [a.top as Entry, first, second]
    expect(judgeChain(ENDS, OPENING, chain)).toEqual({ verdict: 'forked', at: 3, by: 'B' })
  })

  it('are seen when the first was not signed either', () => {
    const [a, b] = signedOnce()
    const waiting = proposed(a, A, { servedByPeer: 200 })
    const refused = receive(waiting, A, messageOf(proposed(b, B, { servedByPeer: 10 })), 1)
    expect(refused.fault).toBe('own proposal out')
    expect(receive(refused.state, A, messageOf(proposed(b, B, { servedByPeer: 11 })), 1).fault).toBe('fraud')
  })

  it('cannot be made by somebody else', () => {
    const [a, b, top] = signedOnce()
    const forged = signEntry(unsigned({ ...top, servedBA: 5_000 }), 'A', A.key)
    // Signed by A with the signature of B taken from the true one.
    const pasted = { ...forged, signatureB: top.signatureB }
    const got = receive(a, A, { ...messageOf(b), top: pasted }, 1)
    expect(got.state).toEqual(a)
  })
})

describe('the amounts of a step', () => {
  const before = { ...beforeFirst(lastOf(OPENED, A).pair), number: 3, servedAB: 10, servedBA: 10 }
  const next = { ...before, number: 5, previous: linkAfter(before) }
  it.each([
    { what: 'falls', change: { servedBA: 9 }, fault: 'counter falls' },
    { what: "the other side's", change: { servedAB: 11 }, fault: 'counter of the other side' },
    { what: 'taken', change: { forwarded: 1 }, fault: 'payment by the other side' },
    { what: 'forgiven by the other side', change: { forgiven: 1 }, fault: 'forgives the other side' },
    { what: 'forgiven beyond nothing', change: { forgiven: -1 }, fault: 'forgives too much' },
    { what: 'too large', change: { servedBA: 2 ** 48 + 1 }, fault: 'counter too large' },
    { what: 'over the limit', change: { servedBA: 10 + 5_121 }, fault: 'over the limit' },
    { what: 'a low limit', change: { limitAB: 511 }, fault: 'limit out of range' },
    { what: "the other side's limit", change: { limitBA: 4_095 }, fault: 'limit of the other side' },
  ])('are refused: $what', ({ change, fault }) => {
    expect(faultOfStep(before, { ...next, ...change })).toBe(fault)
  })
})
