/** What is sent, all links together: held to a rate, in shares. SPEC ledger §7 */
import { describe, expect, it } from 'vitest'
import type { Clock, PublicKey } from '../../core/index.ts'
import { Gate, type HeldCell } from '../../node/gate.ts'
import type { PeerLink } from '../../node/links.ts'
import { type Sender, Upload } from '../../node/upload.ts'
import type { Word } from '../../routing/index.ts'

const SIZE = 8_184

class Time {
  nowMs = 0
  #timers: { atMs: number; run: () => void }[] = []
  readonly clock: Clock = {
    nowMs: () => this.nowMs,
    monotonicMs: () => this.nowMs,
    setTimer: (delayMs, run) => {
      this.#timers.push({ atMs: this.nowMs + delayMs, run })
      return { cancel: () => {} }
    },
  }
  pass(ms: number): void {
    const untilMs = this.nowMs + ms
    for (;;) {
      this.#timers.sort((a, b) => a.atMs - b.atMs)
      const next = this.#timers[0]
      if (next === undefined || next.atMs > untilMs) break
      this.#timers.shift()
      this.nowMs = next.atMs
      next.run()
    }
    this.nowMs = untilMs
  }
}

const KEY = new Uint8Array(32) as PublicKey

/** Has always something to send. */
class Greedy implements Sender {
  readonly key = KEY
  sent = 0
  readonly #upload: Upload
  constructor(upload: Upload) {
    this.#upload = upload
  }
  sendOne(): boolean {
    if (!this.#upload.admits(this, { sizeBytes: SIZE, isControl: false })) return false
    this.sent++
    return true
  }
}

function world(shares: Map<Sender, number>): { time: Time; upload: Upload } {
  const time = new Time()
  const shareOf = (sender: Sender): number => shares.get(sender) ?? 1
  return { time, upload: new Upload({ clock: time.clock, bytesPerSecond: 100 * SIZE, shareOf }) }
}

describe('an upload with a rate', () => {
  it('goes out in shares while links wait, and at the rate', () => {
    const shares = new Map<Sender, number>()
    const { time, upload } = world(shares)
    const [a, b, c] = [16, 16, 1].map((share) => {
      const sender = new Greedy(upload)
      shares.set(sender, share)
      return sender
    }) as [Greedy, Greedy, Greedy]
    for (const sender of [a, b, c]) while (sender.sendOne()) {}
    time.pass(60_000)
    const total = a.sent + b.sent + c.sent
    expect(total).toBeGreaterThan(5_900)
    expect(total).toBeLessThan(6_100)
    expect(Math.abs(a.sent - b.sent)).toBeLessThan(40)
    expect(a.sent / c.sent).toBeGreaterThan(13)
    expect(upload.load).toBeGreaterThanOrEqual(1)
  })

  it('gives the room that nobody else wants to whoever waits', () => {
    const shares = new Map<Sender, number>()
    const { time, upload } = world(shares)
    const alone = new Greedy(upload)
    shares.set(alone, 0.01)
    while (alone.sendOne()) {}
    time.pass(10_000)
    expect(alone.sent).toBeGreaterThan(970)
  })

  it('holds back no cell of control', () => {
    const { upload } = world(new Map())
    const busy = new Greedy(upload)
    while (busy.sendOne()) {}
    const other: Sender = { key: KEY, sendOne: () => false }
    expect(upload.admits(other, { sizeBytes: SIZE, isControl: false })).toBe(false)
    expect(upload.admits(other, { sizeBytes: SIZE, isControl: true })).toBe(true)
  })

  it('tells its load, which falls when nothing is sent', () => {
    const { time, upload } = world(new Map())
    const sender: Sender = { key: KEY, sendOne: () => false }
    for (let i = 0; i < 4_000; i++) {
      time.pass(20)
      upload.admits(sender, { sizeBytes: SIZE, isControl: false })
    }
    expect(upload.load).toBeGreaterThan(0.35)
    expect(upload.load).toBeLessThan(0.6)
    time.pass(120_000)
    expect(upload.load).toBeLessThan(0.05)
  })
})

/** A cell that says when it is taken, and never minds waiting. */
function cell(take: () => void): HeldCell {
  return {
    take: () => {
      take()
      return true
    },
    drop: () => {},
  }
}

describe('a gate', () => {
  it('lets a peer that is held back have its turn among what is sent, in order', () => {
    const shares = new Map<Sender, number>()
    const { time, upload } = world(shares)
    const peer = { key: KEY } as PeerLink
    let word: Word = 'delay'
    const gate = new Gate({
      clock: time.clock,
      upload,
      admit: () => word,
      mayLetIn: () => true,
      onLetIn: () => {},
    })
    const busy = new Greedy(upload)
    shares.set(busy, 16)
    while (busy.sendOne()) {}
    const taken: number[] = []
    for (let i = 0; i < 100; i++)
      expect(
        gate.pass(
          peer,
          cell(() => taken.push(i)),
        ),
      ).toBe(true)
    expect(taken).toEqual([])
    const before = busy.sent
    time.pass(5_000)
    // One for each sixteen cells of the other: its share is 1.
    expect(taken.length).toBeGreaterThan((busy.sent - before) / 20)
    expect(taken.length).toBeLessThan((busy.sent - before) / 12)
    word = 'serve'
    // What waits goes first, whatever changed meanwhile.
    gate.pass(
      peer,
      cell(() => taken.push(100)),
    )
    time.pass(30_000)
    expect(taken).toEqual(Array.from({ length: 101 }, (_, i) => i))
    expect(
      gate.pass(
        peer,
        cell(() => taken.push(101)),
      ),
    ).toBe(true)
    expect(taken.at(-1)).toBe(101)
  })

  it('holds so much and no more, and forgets a link that closed', () => {
    const { time, upload } = world(new Map())
    const peer = { key: KEY } as PeerLink
    const gate = new Gate({
      clock: time.clock,
      upload,
      admit: () => 'refuse',
      mayLetIn: () => false,
      onLetIn: () => {},
    })
    const busy = new Greedy(upload)
    while (busy.sendOne()) {}
    let taken = 0
    let held = 0
    while (
      gate.pass(
        peer,
        cell(() => taken++),
      )
    )
      held++
    expect(held).toBe(2_048)
    gate.onClosed(peer)
    time.pass(10_000)
    expect([taken, gate.waiting]).toEqual([0, 0])
  })

  it('holds no more of all peers together than of one: who has most waiting gives way', () => {
    const { time, upload } = world(new Map())
    const gate = new Gate({
      clock: time.clock,
      upload,
      admit: () => 'refuse',
      mayLetIn: () => false,
      onLetIn: () => {},
    })
    const [much, little] = [1, 2].map((name) => ({ key: new Uint8Array(32).fill(name) }) as unknown as PeerLink)
    const dropped = new Map<PeerLink | undefined, number>()
    const pass = (from: PeerLink | undefined, count: number): void => {
      const drop = (): void => void dropped.set(from, (dropped.get(from) ?? 0) + 1)
      for (let i = 0; i < count; i++) gate.pass(from as PeerLink, { take: () => true, drop })
    }
    pass(much, 1_500)
    pass(little, 548)
    expect([gate.waiting, dropped.size]).toEqual([2_048, 0])
    pass(little, 1)
    expect(gate.waiting).toBe(549)
    expect([...dropped]).toEqual([[much, 1_500]])
  })

  it('ends what has waited half a minute, and charges nothing for what a circuit left that has gone', () => {
    const { time, upload } = world(new Map())
    const peer = { key: KEY } as PeerLink
    let mayLetIn = false
    let charged = 0
    const gate = new Gate({
      clock: time.clock,
      upload,
      admit: () => 'refuse',
      mayLetIn: () => mayLetIn,
      onLetIn: () => void charged++,
    })
    let [dropped, isGone] = [0, false]
    const held: HeldCell = { take: () => !isGone, drop: () => void dropped++ }
    for (let i = 0; i < 10; i++) gate.pass(peer, held)
    time.pass(29_000)
    expect([dropped, gate.waiting]).toEqual([0, 10])
    time.pass(2_000)
    expect([dropped, gate.waiting]).toEqual([10, 0])
    for (let i = 0; i < 10; i++) gate.pass(peer, held)
    mayLetIn = true
    isGone = true
    time.pass(5_000)
    expect([dropped, charged, gate.waiting]).toEqual([10, 0, 0])
    isGone = false
    for (let i = 0; i < 10; i++) gate.pass(peer, held)
    time.pass(5_000)
    expect([dropped, charged, gate.waiting]).toEqual([10, 10, 0])
  })

  it('lets peers in by turns where nothing is sent at a rate', () => {
    const time = new Time()
    const upload = new Upload({ clock: time.clock, bytesPerSecond: undefined, shareOf: () => 1 })
    const peers = [1, 2, 3].map(() => ({ key: KEY }) as PeerLink)
    let room = 0
    const gate = new Gate({
      clock: time.clock,
      upload,
      admit: () => 'refuse',
      mayLetIn: () => room > 0,
      onLetIn: () => void room--,
    })
    const taken: number[] = []
    for (let i = 0; i < 20; i++)
      for (const [who, peer] of peers.entries())
        gate.pass(
          peer,
          cell(() => taken.push(who)),
        )
    for (let i = 0; i < 6; i++) {
      room = 2
      time.pass(500)
    }
    expect([0, 1, 2].map((who) => taken.filter((each) => each === who).length)).toEqual([4, 4, 4])
  })
})
