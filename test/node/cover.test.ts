/** Cover traffic: loops, what goes in their place, and what does not wait. SPEC circuits §8 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { HushNode } from '../../node/compose.ts'
import { Cover, type Covered } from '../../node/tasks/cover.ts'
import { type ContentRef, openObject, putObject } from '../../storage/index.ts'
import { seededJitter } from '../storage/support/random.ts'
import { HandClock } from './hand-clock.ts'
import { chance, MemoryNetwork } from './memory-network.ts'

function stage(seed = 'cover') {
  const clock = new HandClock()
  const startMs = clock.monotonicMs()
  const sent: { atMs: number; what: 'loop' | 'real' }[] = []
  const note = (what: 'loop' | 'real') => sent.push({ atMs: clock.monotonicMs() - startMs, what })
  class Circuit implements Covered {
    waiting = 0
    sendOne(): void {
      if (this.waiting === 0) return
      this.waiting--
      note('real')
    }
    sendAll(): void {
      while (this.waiting > 0) this.sendOne()
    }
    sendLoop(): boolean {
      note('loop')
      return true
    }
    ask(cells: number): void {
      this.waiting += cells
      if (!cover.holds(this)) this.sendAll()
    }
  }
  const circuits = [new Circuit(), new Circuit(), new Circuit()] as const
  const cover = new Cover({ clock, jitter: seededJitter(seed), circuits: () => circuits })
  return { clock, sent, circuits, cover }
}

describe('cover traffic', () => {
  it('is a loop at times without memory, of mean 2 s', async () => {
    const { clock, sent, cover } = stage()
    cover.start()
    await clock.pass(1_000_000)
    expect(sent.every(({ what }) => what === 'loop')).toBe(true)
    const gaps = sent.slice(1).map(({ atMs }, at) => atMs - (sent[at]?.atMs ?? 0))
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length
    // About 500 draws: the mean of an exponential one is 2 s give or take 0.09.
    expect(Math.abs(mean - 2_000)).toBeLessThan(360)
    expect(gaps.filter((gap) => gap < 2_000).length / gaps.length).toBeGreaterThan(0.56)
    expect(cover.counts.sent).toBe(sent.length)
  })

  it('sends small requests in place of loops: the times are the same as without them', async () => {
    const times = async (asks: boolean) => {
      const { clock, sent, circuits, cover } = stage()
      cover.start()
      for (let i = 0; i < 100; i++) {
        // One cell now and then, never while another waits.
        if (asks && i % 5 === 0 && circuits.every(({ waiting }) => waiting === 0)) circuits[i % 3]?.ask(1)
        await clock.pass(3_900)
      }
      return { sent, cover }
    }
    const idle = await times(false)
    const asking = await times(true)
    const until = idle.sent.map(({ atMs }) => atMs)
    const onTime = asking.sent.filter(({ atMs }) => until.includes(atMs))
    // Those that nothing came for within 4 s are sent then: e^-2 of them.
    expect(asking.sent.length - onTime.length).toBe(asking.cover.counts.beside)
    expect(asking.cover.counts.inPlace).toBeGreaterThan(12)
    expect(asking.cover.counts.beside).toBeLessThan(8)
    expect(onTime.map(({ atMs }) => atMs)).toEqual(until)
    expect(asking.cover.counts.inPlace + asking.cover.counts.sent).toBe(until.length)
  })

  it('keeps nothing waiting that does not pass for loops, of all circuits together', async () => {
    const { clock, sent, circuits, cover } = stage()
    cover.start()
    circuits[0].ask(2)
    circuits[1].ask(2)
    expect(sent).toEqual([])
    circuits[2].ask(1)
    expect(sent).toHaveLength(5)
    sent.length = 0
    circuits[0].ask(9)
    expect(sent).toHaveLength(9)
    await clock.pass(60_000)
    expect(sent.slice(9).every(({ what }) => what === 'loop')).toBe(true)
    expect(cover.counts).toMatchObject({ inPlace: 0, beside: 14 })
  })

  it('lets go after 4 s of what no loop came for, and of everything when it stops', async () => {
    const { clock, sent, circuits, cover } = stage()
    circuits[0].ask(1)
    await clock.pass(3_999)
    expect(sent).toEqual([])
    await clock.pass(1)
    expect(sent).toHaveLength(1)
    circuits[1].ask(1)
    cover.stop()
    expect(sent).toHaveLength(2)
    circuits[2].ask(1)
    expect(sent).toHaveLength(3)
  })
})

describe('a client with cover traffic', () => {
  const network = new MemoryNetwork()
  let client: HushNode

  beforeAll(async () => {
    await network.start({ joining: 1 })
    await network.until(
      () => network.members.every(({ node }) => node.member?.ring.state !== undefined),
      'all have joined',
    )
    client = await network.addClient({ hasCover: true })
    await network.until(() => client.pool.ready.length >= 4, 'circuits')
  })
  afterAll(() => network.stop())

  it('sends loops that come back, and no padding', async () => {
    await network.until(() => (client.cover?.counts.back ?? 0) >= 4, 'loops')
    expect(client.cover?.counts.sent).toBeGreaterThanOrEqual(4)
    expect(client.guardPadding.count).toBe(0)
    expect(client.pool.ready.every((circuit) => circuit.isOpen)).toBe(true)
  })

  it('puts and gets as others do, and asks for a leaf in place of a loop', async () => {
    const bytes = chance.bytes(300_000)
    const refs: ContentRef[] = []
    const place = client.client.placer()
    const source = (async function* () {
      yield bytes
    })()
    const { address } = await putObject(
      { source, kind: 'private' },
      {
        random: chance,
        place: (shard) => {
          refs.push(shard.ref)
          return place(shard)
        },
      },
    )
    const object = await openObject(address, { fetch: client.client.fetcher(), jitter: chance })
    const parts: Uint8Array[] = []
    for await (const part of object.read()) parts.push(part)
    expect(Buffer.concat(parts).equals(bytes)).toBe(true)
    const before = client.cover?.counts.inPlace ?? 0
    const [ref] = refs
    // One cell of request: of five, all miss their place with e^-10.
    for (let i = 0; i < 5; i++) expect(ref && (await client.client.probe(ref))).toBe(true)
    expect(client.cover?.counts.inPlace).toBeGreaterThan(before)
  })
})
