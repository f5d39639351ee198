/** Padding on the link to the guard. SPEC circuits §6 */
import { describe, expect, it } from 'vitest'
import type { PeerLink } from '../../node/links.ts'
import { GuardPadding } from '../../node/tasks/guard-padding.ts'
import { COMMANDS } from '../../routing/index.ts'
import { seededJitter } from '../storage/support/random.ts'
import { HandClock } from './hand-clock.ts'

function stage() {
  const clock = new HandClock()
  const sent: { atMs: number; circuit: number; command: number }[] = []
  const state = { queuedBytes: 0, isOpen: true }
  const link = {
    get queuedBytes() {
      return state.queuedBytes
    },
    sendCommand(circuit: number, command: number) {
      sent.push({ atMs: clock.monotonicMs(), circuit, command })
      return true
    },
  } as unknown as PeerLink
  const padding = new GuardPadding({
    clock,
    jitter: seededJitter('padding'),
    link: () => (state.isOpen ? link : undefined),
  })
  return { clock, sent, state, padding }
}

describe('padding', () => {
  it('is sent at times without memory, of mean 5 s', async () => {
    const { clock, sent, padding } = stage()
    padding.start()
    await clock.pass(2_000_000)
    expect(sent.every(({ circuit, command }) => circuit === 0 && command === COMMANDS.padding)).toBe(true)
    const gaps = sent.slice(1).map(({ atMs }, at) => atMs - (sent[at]?.atMs ?? 0))
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length
    expect(mean).toBeGreaterThan(4_000)
    expect(mean).toBeLessThan(6_000)
    // An exponential distribution has 63 % below its mean, an even one 50.
    const early = gaps.filter((gap) => gap < 5_000).length / gaps.length
    expect(early).toBeGreaterThan(0.56)
    expect(early).toBeLessThan(0.7)
    expect(padding.count).toBe(sent.length)
  })

  it('is not added to what waits already, and needs a link', async () => {
    const { clock, sent, state, padding } = stage()
    padding.start()
    state.queuedBytes = 1
    await clock.pass(100_000)
    state.isOpen = false
    state.queuedBytes = 0
    await clock.pass(100_000)
    expect(sent).toEqual([])
    state.isOpen = true
    await clock.pass(100_000)
    expect(sent.length).toBeGreaterThan(5)
    padding.stop()
    const { length } = sent
    await clock.pass(100_000)
    expect(sent).toHaveLength(length)
  })
})
