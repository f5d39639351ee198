/** Which CREATEs are answered, refused or asked for work. SPEC circuits §7 */
import { beforeEach, describe, expect, it } from 'vitest'
import { type Clock, named32 } from '../../core/index.ts'
import { clientKeyOf, HANDSHAKE_MESSAGE_SIZE, PuzzleSearch } from '../../crypto/index.ts'
import { PuzzleSolver } from '../../node/puzzle-solver.ts'
import { CreateDesk, type CreateLink, hourOf, type WaitingCreate } from '../../node/roles/create-desk.ts'
import type { PuzzleProof } from '../../routing/index.ts'

const relayId = named32<'NodeId'>(new Uint8Array(32).fill(7), 'id')
const NOW_MS = 1_700_000_000_000
/** The desk's bound when none is given, and the part of it that needs no work. */
const WAITING_MAX = 256
const HALF = WAITING_MAX / 2

/** Time stands but for timers that a test runs. */
class Stage {
  nowMs = NOW_MS
  #timers: { atMs: number; run: () => void }[] = []
  readonly clock: Clock = {
    nowMs: () => this.nowMs,
    monotonicMs: () => this.nowMs,
    setTimer: (delayMs, run) => {
      const timer = { atMs: this.nowMs + delayMs, run }
      this.#timers.push(timer)
      return { cancel: () => void this.#timers.splice(this.#timers.indexOf(timer), 1) }
    },
  }
  advance(byMs: number): void {
    const endMs = this.nowMs + byMs
    for (;;) {
      const due = this.#timers.filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0]
      if (due === undefined) break
      this.#timers = this.#timers.filter((other) => other !== due)
      this.nowMs = Math.max(this.nowMs, due.atMs)
      due.run()
    }
    this.nowMs = endMs
  }
}

let stage: Stage
let desk: CreateDesk
let handshakes = 0
/** What became of each, in order. */
const told: string[] = []

beforeEach(() => {
  stage = new Stage()
  desk = new CreateDesk({ clock: stage.clock, relayId })
  told.length = 0
})

const member = (): CreateLink => ({ isMember: true })
const stranger = (): CreateLink => ({ isMember: false })

function create(
  name: string,
  link: CreateLink,
  more: { proof?: PuzzleProof; message?: Uint8Array; bad?: boolean } = {},
) {
  const message = more.message ?? newMessage()
  const waiting: WaitingCreate = {
    link,
    message,
    proof: more.proof,
    answer: () => {
      told.push(`${name} ${more.bad ? 'bad' : 'answered'}`)
      return more.bad !== true
    },
    refuse: (why) => told.push(`${name} ${why.reason}${why.reason === 'puzzle' ? ` ${why.effort}` : ''}`),
    flooded: () => told.push(`${name} flooded`),
  }
  return waiting
}

function newMessage(): Uint8Array {
  const message = new Uint8Array(HANDSHAKE_MESSAGE_SIZE)
  new DataView(message.buffer).setUint32(65, ++handshakes)
  return message
}

function proven(bits: number, hour = hourOf(NOW_MS)): { message: Uint8Array; proof: PuzzleProof } {
  const message = newMessage()
  const nonce = new PuzzleSearch({ relayId, hour, clientKey: clientKeyOf(message) }, { bits }).run(1e8)
  return { message, proof: { effort: bits, hour, nonce: nonce as number } }
}

/** So many wait afterwards, from as many members as it takes. */
function fill(count: number): void {
  desk.offer(create('first', member()))
  while (desk.waiting < count) {
    const link = member()
    for (let i = 0; i < 100 && desk.waiting < count; i++) desk.offer(create('filler', link))
  }
  told.length = 0
}

describe('a relay without load', () => {
  it('answers at once and asks nobody for work', () => {
    for (let i = 0; i < 20; i++) {
      desk.offer(create('one', stranger()))
      stage.advance(10)
    }
    expect(told).toEqual(Array.from({ length: 20 }, () => 'one answered'))
    expect(desk.effortAsked).toBe(0)
  })

  it('answers in short goes, with a pause between them', () => {
    const link = member()
    for (let i = 0; i < 9; i++) desk.offer(create(`${i}`, link))
    expect(told).toEqual(['0 answered'])
    stage.advance(1)
    expect(told).toHaveLength(5)
    stage.advance(1)
    expect(told).toHaveLength(9)
  })

  it('takes a bounded number and rate from one stranger, more from a member, and others still get theirs', () => {
    const [hostile, busy] = [stranger(), member()]
    for (let i = 0; i < 60; i++) desk.offer(create('hostile', hostile))
    expect(told.filter((what) => what === 'hostile full').length).toBeGreaterThanOrEqual(60 - 33)
    for (let i = 0; i < 60; i++) desk.offer(create('busy', busy))
    expect(told).not.toContain('busy full')
    stage.advance(1_000)
    told.length = 0
    for (let i = 0; i < 30; i++) {
      desk.offer(create('hostile', hostile))
      stage.advance(10)
    }
    expect(told.filter((what) => what === 'hostile answered').length).toBeLessThan(25)
    desk.offer(create('other', stranger()))
    expect(told).toContain('other answered')
  })

  it('closes a stranger who goes on with what is refused, and one of bad handshakes, but no member', () => {
    const some = [stranger(), stranger(), member()]
    for (let i = 0; i < 500; i++) desk.offer(create('refused', some[0] as CreateLink))
    for (let i = 0; i < 40; i++) {
      for (const [name, link] of [['bad', some[1]] as const, ['relayed', some[2]] as const])
        desk.offer(create(name, link as CreateLink, { bad: true }))
      stage.advance(50)
    }
    expect(told).toContain('refused flooded')
    expect(told).toContain('bad flooded')
    expect(told).not.toContain('relayed flooded')
  })
})

describe('a relay whose queue is half full', () => {
  it('asks for 16 bits of work, until it is less full again', () => {
    fill(HALF)
    desk.offer(create('one', member()))
    expect(told).toEqual(['one puzzle 16'])
    stage.advance(2)
    expect(desk.effortAsked).toBe(0)
    desk.offer(create('two', member()))
    expect(told).not.toContain('two puzzle 16')
  })

  it('answers who has shown the most work first', () => {
    fill(HALF)
    desk.offer(create('16', member(), proven(16)))
    desk.offer(create('18', member(), proven(18)))
    desk.offer(create('17', member(), proven(17)))
    stage.advance(2)
    expect(told.slice(0, 4)).toEqual(['18 answered', '17 answered', '16 answered', 'filler answered'])
  })

  it('takes no work that is less than it says, of another hour, for another handshake, or shown before', () => {
    fill(HALF)
    const good = proven(16)
    desk.offer(create('good', member(), good))
    desk.offer(create('again', member(), good))
    desk.offer(create('other', member(), { ...proven(16), message: newMessage() }))
    desk.offer(create('old', member(), proven(16, hourOf(NOW_MS) - 2)))
    desk.offer(create('more', member(), { ...good, message: newMessage(), proof: { ...good.proof, effort: 24 } }))
    expect(told).toEqual(['again full', 'other full', 'old full', 'more full'])
    desk.offer(create('late', member(), proven(16, hourOf(NOW_MS) - 1)))
    stage.advance(10)
    expect(told).toContain('good answered')
    expect(told).toContain('late answered')
  })

  it('never lets more wait than its bound: less work gives way to more, and more is asked for', () => {
    desk = new CreateDesk({ clock: stage.clock, relayId, waitingMax: 8 })
    fill(4)
    for (let i = 0; i < 4; i++) desk.offer(create('early', member(), proven(16)))
    expect([desk.waiting, told]).toEqual([8, []])
    for (let i = 0; i < 4; i++) desk.offer(create('worker', member(), proven(16)))
    // The last of the four is told the price as it is by then.
    expect([desk.waiting, told]).toEqual([8, [16, 16, 16, 17].map((effort) => `filler puzzle ${effort}`)])
    expect(desk.effortAsked).toBe(17)
    desk.offer(create('least', member(), proven(16)))
    desk.offer(create('most', member(), proven(17)))
    expect(told.slice(4)).toEqual(['least puzzle 17', 'worker puzzle 17'])
    expect(desk.waiting).toBe(8)
  })

  it('forgets those whose circuit ends, and refuses those who have waited too long', () => {
    fill(HALF)
    const gone = create('gone', member(), proven(16))
    desk.offer(gone)
    desk.withdraw(gone)
    expect(desk.waiting).toBe(HALF)
    stage.nowMs += 10_000
    stage.advance(1)
    expect(desk.waiting).toBe(0)
    expect(told.every((what) => what === 'filler full')).toBe(true)
    expect(told).toHaveLength(HALF)
  })
})

describe('a client', () => {
  it('solves what is asked in slices between which others have their turn', async () => {
    const solver = new PuzzleSolver({ clock: stage.clock })
    const message = newMessage()
    let proof: PuzzleProof | undefined
    let isDone = false
    void solver
      .solve({ relayId, clientKey: clientKeyOf(message) }, { bits: 17, isWanted: () => true })
      .then((found) => {
        proof = found
        isDone = true
      })
    for (let turns = 0; !isDone && turns < 10_000; turns++) {
      await new Promise((resolve) => setImmediate(resolve))
      stage.advance(1)
    }
    fill(HALF)
    desk.offer(create('solved', member(), { message, ...(proof && { proof }) }))
    stage.advance(2)
    expect(told[0]).toBe('solved answered')
  })

  it('gives up what would take too long, what nobody wants any more, and what is beyond all measure', async () => {
    const solver = new PuzzleSolver({ clock: stage.clock })
    const puzzle = { relayId, clientKey: clientKeyOf(newMessage()) }
    expect(await solver.solve(puzzle, { bits: 25, isWanted: () => true })).toBeUndefined()
    expect(await solver.solve(puzzle, { bits: 24, isWanted: () => false })).toBeUndefined()
    let isDone = false
    const late = solver.solve(puzzle, { bits: 24, isWanted: () => true }).finally(() => {
      isDone = true
    })
    while (!isDone) {
      await new Promise((resolve) => setImmediate(resolve))
      stage.advance(7_000)
    }
    expect(await late).toBeUndefined()
  })
})
