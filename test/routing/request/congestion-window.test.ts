/** How many requests a home allows itself. SPEC requests §11 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  CongestionWindow,
  type Ending,
  LATE_MS,
  WINDOW_LEAST,
  WINDOW_MAX,
  WINDOW_START,
} from '../../../routing/request/congestion-window.ts'
import { RetryBudget } from '../../../routing/request/retry-budget.ts'
import { seededJitter } from '../../storage/support/random.ts'

interface Answer {
  readonly how: Ending
  readonly tookMs: number
}
const GOOD: Answer = { how: 'answered', tookMs: 100 }
const LATE: Answer = { how: 'answered', tookMs: LATE_MS + 1 }
const SILENT: Answer = { how: 'unanswered', tookMs: 4_000 }

/** As many requests as may be, each of which ends as `answer` says; the sizes after each. */
function drive(window: CongestionWindow, requests: number, answer: (i: number) => Answer, fromMs = 0): number[] {
  const sizes: number[] = []
  const underWay: { readonly begun: ReturnType<CongestionWindow['begin']>; readonly answer: Answer }[] = []
  let [nowMs, asked] = [fromMs, 0]
  while (sizes.length < requests) {
    for (; asked < requests && window.waitMs(nowMs) === 0; asked++)
      underWay.push({ begun: window.begin(nowMs), answer: answer(asked) })
    underWay.sort((a, b) => a.begun.atMs + a.answer.tookMs - b.begun.atMs - b.answer.tookMs)
    const next = underWay.shift()
    if (next === undefined) {
      // Nothing is under way: it may only be a pause, and it ends.
      const waitMs = window.waitMs(nowMs)
      expect(waitMs).toBeLessThan(1.5 * 16 * 1_000)
      nowMs += waitMs
      continue
    }
    nowMs = Math.max(nowMs, next.begun.atMs + next.answer.tookMs)
    window.judge(next.begun, next.answer.how, nowMs)
    window.leave(nowMs)
    sizes.push(window.size)
  }
  return sizes
}
const newWindow = (): CongestionWindow => new CongestionWindow({ jitter: seededJitter('window') })
const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

describe('a congestion window', () => {
  it('doubles each round while answers come in time, up to its bound', () => {
    const sizes = drive(newWindow(), 400, () => GOOD)
    expect(sizes[WINDOW_START - 1]).toBeGreaterThanOrEqual(2 * WINDOW_START - 2)
    expect(sizes.at(-1)).toBe(WINDOW_MAX)
  })

  it('does not grow while little is asked for', () => {
    const window = newWindow()
    for (let i = 0; i < 100; i++) {
      window.judge(window.begin(0), 'answered', 10)
      window.leave(10)
    }
    expect(window.size).toBe(WINDOW_START)
  })

  it('falls by half in a round in which all is late, once for all of them, and to one request at least', () => {
    const window = newWindow()
    const begun = Array.from({ length: WINDOW_START }, () => window.begin(0))
    for (const each of begun) window.judge(each, 'answered', LATE_MS + 1)
    expect(window.size).toBe(WINDOW_START / 2)
    for (const _ of begun) window.leave(LATE_MS + 1)
    expect(drive(window, 100, () => LATE).at(-1)).toBe(1)
  })

  it('falls below one, with pauses, when nothing is answered or all are busy, and never to nothing', () => {
    for (const how of ['unanswered', 'busy'] as const) {
      const window = newWindow()
      const sizes = drive(window, 100, () => ({ how, tookMs: 4_000 }))
      expect(sizes.at(-1)).toBe(WINDOW_LEAST)
      expect(window.waitMs(0)).toBeGreaterThan(0)
    }
  })

  it('recovers from whatever was before, once answers come in time', () => {
    const any = fc.constantFrom(GOOD, LATE, SILENT, { how: 'busy', tookMs: 50 }, { how: 'broken', tookMs: 9_000 })
    fc.assert(
      fc.property(fc.array(any as fc.Arbitrary<Answer>, { minLength: 1, maxLength: 200 }), (before) => {
        const window = newWindow()
        drive(window, before.length, (i) => before[i] as Answer)
        const sizes = drive(window, 400, () => GOOD, 10_000_000)
        expect(sizes.at(-1)).toBeGreaterThan(WINDOW_START)
        expect(window.isCalm).toBe(true)
      }),
      { examples: [[Array.from({ length: 100 }, () => SILENT)]] },
    )
  })

  it('stays within its bounds and lets in no more than it says, whatever comes', () => {
    const hows: Ending[] = ['answered', 'busy', 'unanswered', 'broken']
    const answer = fc.record({ how: fc.constantFrom(...hows), tookMs: fc.integer({ min: 0, max: 20_000 }) })
    fc.assert(
      fc.property(fc.array(answer, { minLength: 1, maxLength: 300 }), (answers) => {
        const window = newWindow()
        const sizes = drive(window, answers.length, (i) => {
          expect(window.underWay).toBeLessThanOrEqual(Math.max(1, window.size))
          return answers[i] as Answer
        })
        expect(Math.min(...sizes)).toBeGreaterThanOrEqual(WINDOW_LEAST)
        expect(Math.max(...sizes)).toBeLessThanOrEqual(WINDOW_MAX)
      }),
    )
  })

  it('stays wide when a fifth of the relays never answer, and is not taken for full', () => {
    const window = newWindow()
    const sizes = drive(window, 4_000, (i) => (i % 5 === 0 ? SILENT : GOOD))
    expect(meanOf(sizes.slice(1_000))).toBeGreaterThan(6)
    expect(window.isFull).toBe(false)
  })

  it('says nothing of what broke before it was late', () => {
    expect(drive(newWindow(), 100, () => ({ how: 'broken', tookMs: 100 })).at(-1)).toBe(WINDOW_START)
  })

  it('has no room for more than is needed while answers are late or it is full', () => {
    const window = newWindow()
    for (let i = 0; i < WINDOW_START; i++) {
      expect(window.isCalm).toBe(true)
      window.begin(0)
    }
    expect(window.isCalm).toBe(false)
    const late = newWindow()
    drive(late, 20, () => LATE)
    expect(late.isCalm).toBe(false)
    expect(late.isFull).toBe(true)
  })
})

describe('a budget of retries', () => {
  it('lets a tenth of what is asked be asked again, a few besides, and one each five seconds', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 500 }), fc.integer({ min: 0, max: 600 }), (requests, seconds) => {
        const budget = new RetryBudget()
        let taken = 0
        for (let i = 0; i < requests; i++) {
          budget.earn()
          // Each is tried as often as it may be.
          while (budget.take((i / requests) * seconds * 1_000)) taken++
        }
        expect(taken).toBeLessThanOrEqual(10 + requests / 10 + seconds / 5)
        // And nobody is left without for ever.
        expect(budget.take(seconds * 1_000 + 5_001)).toBe(true)
      }),
    )
  })
})
