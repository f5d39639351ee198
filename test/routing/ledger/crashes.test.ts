/** Two sides, a link that loses and repeats, and crashes at random points. SPEC ledger §4, §5 */
import { describe, expect, it } from 'vitest'
import type { Entry } from '../../../routing/ledger/entry.ts'
import { isSameEntry, isSignedByBoth } from '../../../routing/ledger/entry.ts'
import { judgeChain } from '../../../routing/ledger/judge.ts'
import type { LedgerMessage } from '../../../routing/ledger/messages.ts'
import { balanceFor, messageOf, type PairState, propose, receive } from '../../../routing/ledger/pair.ts'
import { A, B, ENDS, OPENED, OPENING } from './support.ts'

/** xorshift: the same run for the same seed. */
function chanceOf(seed: number): (below: number) => number {
  let state = seed * 2_654_435_761 || 1
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

const CONTEXTS = [A, B] as const

class Side {
  memory: PairState = OPENED
  disk: PairState = OPENED
  /** Credits the other side has served this one, as it counted them; a crash forgets what is not signed. */
  got = 0
  readonly #context: (typeof CONTEXTS)[number]
  constructor(context: (typeof CONTEXTS)[number]) {
    this.#context = context
  }
  get signedGot(): number {
    const { top } = this.memory
    return (this.#context.side === 'A' ? top?.servedBA : top?.servedAB) ?? 0
  }
  propose(forgive: number): void {
    const room = balanceFor(this.#context.side, this.memory.top) + 5_000
    const servedByPeer = Math.min(this.got, this.signedGot + Math.max(0, room))
    const wish = { servedByPeer, forgive, pay: 0, limit: 4_096, minute: 1 }
    this.memory = propose(this.memory, this.#context, wish) ?? this.memory
  }
  take(message: LedgerMessage): void {
    this.memory = receive(this.memory, this.#context, message, 1).state
  }
  crash(): void {
    this.memory = this.disk
    this.got = this.signedGot
  }
}

function run(
  seed: number,
  crashes: number,
): { lost: string[]; crashed: number; tops: (Entry | undefined)[]; chain: Entry[] } {
  const chance = chanceOf(seed)
  const sides = [new Side(A), new Side(B)] as const
  const channel: [LedgerMessage, 0 | 1][] = []
  const lost: string[] = []
  const both = new Map<number, Entry>()
  let crashed = 0
  const flush = (which: 0 | 1): void => {
    const side = sides[which]
    side.disk = side.memory
    const { top } = side.memory
    if (top !== undefined && !both.has(top.number)) both.set(top.number, top)
  }
  const check = (which: 0 | 1): void => {
    const { top } = sides[which].memory
    for (const entry of both.values()) {
      if (top?.number === entry.number && !isSameEntry(top, entry)) lost.push(`two of number ${entry.number}`)
    }
  }
  while (crashed < crashes) {
    const which = chance(2) as 0 | 1
    const side = sides[which]
    side.got += chance(400)
    if (chance(4) === 0) side.propose(chance(3) === 0 ? chance(50) : 0)
    // The crash comes before the flush, between flush and message, or after both.
    const point = chance(6)
    if (point === 0) {
      side.crash()
      crashed++
    }
    flush(which)
    if (point === 1) {
      side.crash()
      crashed++
    } else if (chance(3) !== 0) channel.push([messageOf(side.memory), which === 0 ? 1 : 0])
    for (let due = chance(3); due > 0 && channel.length > 0; due--) {
      const at = chance(channel.length)
      const [message, to] = channel[at] as (typeof channel)[0]
      if (chance(4) !== 0) channel.splice(at, 1)
      sides[to].take(message)
      check(to)
    }
    if (channel.length > 20) channel.splice(0, 10)
  }
  for (let round = 0; round < 4; round++) {
    sides[1].take(messageOf(sides[0].memory))
    flush(1)
    sides[0].take(messageOf(sides[1].memory))
    flush(0)
  }
  const chain = [...both.values()].sort((a, b) => a.number - b.number)
  return { lost, crashed, tops: sides.map((side) => side.memory.top), chain }
}

describe('crashes at random points', () => {
  it('lose nothing that both had signed, in ten thousand of them', () => {
    let [crashed, entries] = [0, 0]
    for (let seed = 1; crashed < 10_000; seed++) {
      const { lost, tops, chain, crashed: here } = run(seed, 50)
      crashed += here
      entries += chain.length
      const [a, b] = tops
      expect({ seed, lost }).toEqual({ seed, lost: [] })
      expect(a !== undefined && b !== undefined && isSameEntry(a, b)).toBe(true)
      // Every entry that was ever signed by both is in one chain, and the last of it stands.
      expect({ seed, ...judgeChain(ENDS, OPENING, chain) }).toEqual({ seed, verdict: 'good', isWhole: true })
      expect(a !== undefined && isSameEntry(a, chain.at(-1) as Entry)).toBe(true)
      expect(chain.every((entry) => isSignedByBoth(entry, ENDS))).toBe(true)
    }
    expect(crashed).toBeGreaterThanOrEqual(10_000)
    expect(entries).toBeGreaterThan(1_000)
  }, 240_000)
})
