/** Requests wait at home until there is room for them. SPEC requests §11 */
import { describe, expect, it } from 'vitest'
import { CongestedError, Pacing, type Turn } from '../../node/pacing.ts'
import { CongestionWindow } from '../../routing/index.ts'
import { seededJitter } from '../storage/support/random.ts'
import { HandClock, settled } from './hand-clock.ts'

const WINDOW_START = new CongestionWindow({ jitter: seededJitter('window') }).size

function make({ hasCover = false } = {}) {
  const clock = new HandClock()
  const state = { isHeldBack: false }
  const ports = { clock, jitter: seededJitter('pacing'), isHeldBack: () => state.isHeldBack, hasCover }
  return { clock, state, pacing: new Pacing(ports) }
}
type Made = ReturnType<typeof make>

async function begin({ pacing }: Made, signal?: AbortSignal): Promise<Turn> {
  const turn = await pacing.enter('get', signal)
  if (turn === undefined) throw new Error('called off')
  turn.sent()
  return turn
}
const beginMany = (made: Made, count: number): Promise<Turn[]> =>
  Promise.all(Array.from({ length: count }, () => begin(made)))

/** In the order in which they were let in. */
function queue(made: Made, count: number) {
  const entered: number[] = []
  const turns: Turn[] = []
  const failed: unknown[] = []
  for (let i = 0; i < count; i++)
    begin(made).then(
      (turn) => {
        entered.push(i)
        turns.push(turn)
      },
      (error: unknown) => failed.push(error),
    )
  return { entered, turns, failed }
}

/** All the answers late until one request at a time is left. */
async function congest(made: Made): Promise<void> {
  for (let i = 0; i < 8; i++) {
    const count = Math.floor(made.pacing.stateOf('get').window)
    const turns = await beginMany(made, count)
    await made.clock.pass(6_000)
    for (const turn of turns) {
      turn.over()
      turn.end('answered')
    }
  }
}

describe('pacing', () => {
  it('lets in as many as the window holds, the rest in the order of their coming as others end', async () => {
    const made = make()
    const first = await beginMany(made, WINDOW_START)
    const { entered } = queue(made, 3)
    await settled()
    expect(entered).toEqual([])
    first[0]?.end('broken')
    await settled()
    expect(entered).toEqual([0])
    for (const turn of first) turn.end('broken')
    await settled()
    expect(entered).toEqual([0, 1, 2])
  })

  it('lets go of who is called off while waiting, and gives the place to the next', async () => {
    const made = make()
    const first = await beginMany(made, WINDOW_START)
    const off = new AbortController()
    const calledOff = made.pacing.enter('get', off.signal)
    const { entered } = queue(made, 1)
    off.abort()
    expect(await calledOff).toBeUndefined()
    first[0]?.end('broken')
    await settled()
    expect(entered).toEqual([0])
    expect(made.pacing.stateOf('get')).toMatchObject({ waiting: 0, underWay: WINDOW_START })
  })

  it('gets and puts have a window each', async () => {
    const made = make()
    await beginMany(made, WINDOW_START)
    expect(await made.pacing.enter('put')).toBeDefined()
  })

  it('tells who waits that the network is too busy when nothing is answered for a minute', async () => {
    const made = make()
    await beginMany(made, WINDOW_START)
    const { failed } = queue(made, 2)
    await made.clock.pass(59_000)
    expect(failed).toEqual([])
    await made.clock.pass(3_000)
    expect(failed).toHaveLength(2)
    expect(failed[0]).toBeInstanceOf(CongestedError)
    expect((failed[0] as Error).message).toContain('too busy')
  })

  it('goes on waiting while others are answered', async () => {
    const made = make()
    await congest(made)
    const { entered, turns, failed } = queue(made, 30)
    for (let i = 0; i < 30; i++) {
      await made.clock.pass(6_000)
      expect(turns).toHaveLength(i + 1)
      turns[i]?.end('answered')
      turns[i]?.over()
    }
    expect(failed).toEqual([])
    expect(entered).toEqual(Array.from({ length: 30 }, (_, i) => i))
  })

  it('asks for one thing at a time while its guard makes it wait, says so, and goes on when it does not', async () => {
    const made = make()
    made.state.isHeldBack = true
    await begin(made)
    const { entered, failed } = queue(made, 3)
    await made.clock.pass(61_000)
    expect(entered).toEqual([])
    expect((failed[0] as Error).message).toContain('guard')
    const later = queue(made, 3)
    made.state.isHeldBack = false
    await made.clock.pass(1_000)
    expect(later.entered).toEqual([0, 1, 2])
  })

  it('keeps the place of what was given up in a full network until it is over there, or for 20 s', async () => {
    for (const howItEnds of ['answered there', 'never'] as const) {
      const made = make()
      await congest(made)
      const turn = await begin(made)
      await made.clock.pass(15_000)
      turn.end('unanswered')
      const { entered } = queue(made, 1)
      await made.clock.pass(10_000)
      expect(entered).toEqual([])
      if (howItEnds === 'answered there') turn.over()
      await made.clock.pass(howItEnds === 'never' ? 20_000 : 5_000)
      expect(entered).toEqual([0])
    }
  })

  it('frees the place at once of what one relay does not answer', async () => {
    const made = make()
    const turns = await beginMany(made, WINDOW_START)
    for (const turn of turns.slice(1)) turn.end('answered')
    await made.clock.pass(4_000)
    turns[0]?.end('unanswered')
    expect(made.pacing.stateOf('get').underWay).toBe(0)
  })

  it('does not take for late what waits for cover', async () => {
    const made = make({ hasCover: true })
    await congest(made)
    expect(made.pacing.stateOf('get').window).toBeGreaterThan(WINDOW_START)
  })
})
