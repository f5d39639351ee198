import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MalformedError, MESSAGE_SIZE_MAX, type NodeId, PROFILES } from '../../../core/index.ts'
import * as gossip from '../../../routing/membership/gossip.ts'
import { ARC_COUNT, View } from '../../../routing/membership/view.ts'
import { pointOf } from '../ring/rings.ts'
import { EPOCH_MS, EVERY_ROLE, unsignedOf } from './members.ts'

const profile = PROFILES.production

function viewOf(entries: readonly { seed: number; issuedMs: number }[]): View {
  const view = new View({ profile })
  for (const { seed, issuedMs } of entries) view.admit(unsignedOf(seed, { issuedMs }), EPOCH_MS)
  return view
}

/** One exchange, every message through its bytes; returns how many descriptors were carried. */
function exchange(a: View, b: View, fromArc: number): number {
  const sent = (bytes: Uint8Array) => {
    expect(bytes.length).toBeLessThan(MESSAGE_SIZE_MAX)
    return bytes
  }
  const take = (view: View, given: gossip.Exchange) => {
    for (const descriptor of given.give) view.admit(descriptor, EPOCH_MS)
    return given.give.length
  }
  const digests = gossip.decodeDigests(sent(gossip.arcDigests(a, EPOCH_MS)))
  const arcs = gossip.differingArcs(b, digests, EPOCH_MS)
  const summaries = gossip.decodeSummaries(sent(gossip.encodeSummaries(gossip.summariesFor(b, arcs, fromArc))))
  const toB = gossip.decodeExchange(sent(gossip.encodeExchange(gossip.missing(a, summaries, EPOCH_MS))))
  const toA = gossip.decodeExchange(sent(gossip.encodeExchange(gossip.wantedFrom(b, toB.want, EPOCH_MS))))
  return take(b, toB) + take(a, toA)
}

const isEqual = (a: View, b: View) => gossip.differingArcs(a, gossip.arcDigests(b, EPOCH_MS), EPOCH_MS).length === 0

const entriesArbitrary = fc.uniqueArray(
  fc.record({ seed: fc.nat(200), issuedMs: fc.integer({ min: EPOCH_MS - 1_000, max: EPOCH_MS }) }),
  { selector: (entry) => entry.seed, maxLength: 60 },
)

describe('anti-entropy', () => {
  it('one exchange makes any two small views the same, each with the newest of both', () => {
    fc.assert(
      fc.property(entriesArbitrary, entriesArbitrary, fc.nat(ARC_COUNT - 1), (left, right, fromArc) => {
        const [a, b] = [viewOf(left), viewOf(right)]
        exchange(a, b, fromArc)
        expect(isEqual(a, b)).toBe(true)
        const newest = new Map<number, number>()
        for (const { seed, issuedMs } of [...left, ...right]) {
          newest.set(seed, Math.max(issuedMs, newest.get(seed) ?? 0))
        }
        expect(a.size).toBe(newest.size)
        for (const [seed, issuedMs] of newest) expect(a.get(pointOf(seed) as NodeId)?.issuedMs).toBe(issuedMs)
      }),
    )
  })

  it('equal views carry nothing', () => {
    const entries = Array.from({ length: 50 }, (_, seed) => ({ seed, issuedMs: EPOCH_MS }))
    expect(exchange(viewOf(entries), viewOf([...entries].reverse()), 0)).toBe(0)
  })

  it('spreads that a node leaves', () => {
    const [a, b] = [viewOf([{ seed: 1, issuedMs: EPOCH_MS - 5 }]), viewOf([{ seed: 1, issuedMs: EPOCH_MS - 5 }])]
    a.admit(unsignedOf(1, { roles: { ...EVERY_ROLE, leaving: true }, issuedMs: EPOCH_MS }), EPOCH_MS)
    exchange(b, a, 0)
    expect(b.members(EPOCH_MS)).toEqual([])
    expect(isEqual(a, b)).toBe(true)
  })

  it('views of thousands that share nothing become the same in a bounded number of exchanges', () => {
    const a = viewOf(Array.from({ length: 4_000 }, (_, seed) => ({ seed, issuedMs: EPOCH_MS })))
    const b = viewOf(Array.from({ length: 4_000 }, (_, seed) => ({ seed: 4_000 + seed, issuedMs: EPOCH_MS })))
    let rounds = 0
    for (; !isEqual(a, b) && rounds < 100; rounds++) exchange(a, b, (rounds * 89) % ARC_COUNT)
    expect(a.size).toBe(8_000)
    expect(rounds).toBeLessThan(60)
  })

  it('an arc too large for one message is listed in part and said to be', () => {
    const view = new View({ profile })
    for (let seed = 0; seed < gossip.SUMMARIES_MAX + 10; seed++) {
      const id = pointOf(seed)
      id[0] = 7
      view.admit({ ...unsignedOf(seed), id: id as NodeId }, EPOCH_MS)
    }
    view.admit(unsignedOf(9_999), EPOCH_MS)
    const summaries = gossip.summariesFor(view, [7], 0)
    expect(summaries.entries.length).toBe(gossip.SUMMARIES_MAX)
    expect(summaries.isWhole[7]).toBe(false)
    expect(gossip.encodeSummaries(summaries).length).toBeLessThan(MESSAGE_SIZE_MAX)
    // Who receives it must not take what is not listed for lacking.
    expect(gossip.missing(view, summaries, EPOCH_MS)).toEqual({ want: [], give: [] })
  })

  it('whom only the other lacks is given for arcs listed whole only', () => {
    const view = viewOf([{ seed: 3, issuedMs: EPOCH_MS }])
    const isWhole = new Array<boolean>(ARC_COUNT).fill(false)
    expect(gossip.missing(view, { isWhole, entries: [] }, EPOCH_MS).give).toEqual([])
    isWhole[pointOf(3)[0] as number] = true
    expect(gossip.missing(view, { isWhole, entries: [] }, EPOCH_MS).give).toHaveLength(1)
  })

  it('never wants more than one answer may hold', () => {
    const entries = Array.from({ length: gossip.SUMMARIES_MAX }, (_, seed) => ({
      id: pointOf(seed) as NodeId,
      issuedMs: EPOCH_MS,
    }))
    const isWhole = new Array<boolean>(ARC_COUNT).fill(true)
    expect(gossip.missing(viewOf([]), { isWhole, entries }, EPOCH_MS).want).toHaveLength(gossip.WANTED_MAX)
  })
})

describe('the messages', () => {
  const decoders = [
    { name: 'digests', decode: gossip.decodeDigests, encode: (digests: Uint8Array) => digests },
    { name: 'summaries', decode: gossip.decodeSummaries, encode: gossip.encodeSummaries },
    { name: 'exchange', decode: gossip.decodeExchange, encode: gossip.encodeExchange },
  ] as const
  const view = viewOf(Array.from({ length: 5 }, (_, seed) => ({ seed, issuedMs: EPOCH_MS })))
  const arcs = Array.from({ length: ARC_COUNT }, (_, arc) => arc)
  const good = [
    gossip.arcDigests(view, EPOCH_MS),
    gossip.encodeSummaries(gossip.summariesFor(view, arcs, 0)),
    gossip.encodeExchange({ want: [pointOf(1) as NodeId], give: [unsignedOf(2)] }),
  ]

  it.each(decoders)('$name: any bytes decode to what has the same bytes, or are malformed', ({ decode, encode }) => {
    const mangled = fc
      .tuple(fc.constantFrom(...good), fc.nat(2_048), fc.uint8Array({ maxLength: 9 }))
      .map(([bytes, cut, tail]) => Uint8Array.from([...bytes.subarray(0, cut), ...tail]))
    fc.assert(
      fc.property(fc.oneof(fc.constantFrom(...good), mangled, fc.uint8Array()), (bytes) => {
        try {
          expect((encode as (value: unknown) => Uint8Array)(decode(bytes))).toEqual(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedError)
        }
      }),
      { numRuns: 300 },
    )
  })

  it('counts beyond the limits are malformed before anything is read', () => {
    const summaries = new Uint8Array(34)
    summaries.set([0xff, 0xff], 32)
    expect(() => gossip.decodeSummaries(summaries)).toThrow('too many')
    expect(() => gossip.decodeExchange(Uint8Array.from([0xff, 0xff]))).toThrow('too many')
  })
})
