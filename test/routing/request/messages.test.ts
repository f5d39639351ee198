/** Messages between nodes and on circuits: what is written is read back, what is wrong is refused. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LEAF_COUNT, MalformedError, SHARD_SIZE } from '../../../core/index.ts'
import {
  type Call,
  decodeCall,
  decodeCircuitOutcome,
  decodeCircuitRequest,
  decodeRingRequest,
  encodeCall,
  encodeCircuitOutcome,
  encodeCircuitRequest,
  encodeRingGet,
  encodeRingOutcome,
  encodeRingPut,
  encodeRingRenew,
  encodeRingWait,
  HAVE_REFS_MAX,
  type Outcome,
  POINTERS_MAX,
  PROVE_REFS_MAX,
  REFUSAL,
} from '../../../routing/index.ts'

const bytes = (size: number) => fc.uint8Array({ minLength: size, maxLength: size })
const range = fc
  .tuple(fc.integer({ min: 0, max: LEAF_COUNT - 1 }), fc.integer({ min: 1, max: LEAF_COUNT }))
  .filter(([from, count]) => from + count <= LEAF_COUNT)
  .map(([from, count]) => ({ from, count }))
const get = fc.record({ ref: bytes(34), skip: fc.integer({ min: 0, max: 8 }), isPastOwner: fc.boolean(), range })
const put = fc.record({
  ref: bytes(34),
  leaseDays: fc.integer({ min: 1, max: 90 }),
  nonce: bytes(16),
  bytes: fc.uint8Array({ maxLength: 300 }),
})
const renew = fc.record({ ref: bytes(34), leaseDays: fc.integer({ min: 1, max: 90 }), nonce: bytes(16) })
const receipt = fc.record({
  leaseEndMs: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  nonce: bytes(16),
  keeper: bytes(32),
  signature: bytes(64),
})
const outcome: fc.Arbitrary<Outcome> = fc.oneof(
  fc.record({ end: fc.constant('data' as const), leaves: fc.uint8Array({ maxLength: 300 }), proof: bytes(128) }),
  fc.record({ end: fc.constant('stored' as const), receipt }),
  fc.record({ end: fc.constant('none' as const), reason: fc.constantFrom(...Object.values(REFUSAL)) }),
  fc.constant({ end: 'busy' as const }),
)
const tag = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const call: fc.Arbitrary<Call> = fc.oneof(
  fc.record({ kind: fc.constant('ringQuery' as const), tag }),
  fc.record({
    kind: fc.constant('ringState' as const),
    tag,
    isMember: fc.boolean(),
    predecessor: fc.option(bytes(32), { nil: undefined }),
    successors: fc.array(bytes(32), { maxLength: 32 }),
    descriptors: fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 34 }),
  }),
  fc.record({
    kind: fc.constant('copy' as const),
    tag,
    ref: bytes(34),
    leaseEndMs: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    bytes: fc.uint8Array({ maxLength: 300 }),
  }),
  fc.record({ kind: fc.constant('copied' as const), tag, result: fc.integer({ min: 0, max: 255 }) }),
  fc.record({ kind: fc.constant('have' as const), tag, refs: fc.array(bytes(34), { maxLength: 40 }) }),
  fc.record({ kind: fc.constant('haves' as const), tag, held: fc.uint8Array({ maxLength: HAVE_REFS_MAX }) }),
  fc.record({
    kind: fc.constant('prove' as const),
    tag,
    nonce: bytes(16),
    wanted: fc.array(fc.record({ ref: bytes(34), leaseEndMs: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }) }), {
      maxLength: PROVE_REFS_MAX,
    }),
  }),
  fc.record({
    kind: fc.constant('proved' as const),
    tag,
    proofs: fc.array(bytes(32), { maxLength: PROVE_REFS_MAX }),
  }),
  fc.record({
    kind: fc.constant('pointer' as const),
    tag,
    pointers: fc.array(
      fc.record({
        ref: bytes(34),
        leaseEndMs: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
        leafHashes: bytes(512),
        places: fc.array(bytes(128), { minLength: 1, maxLength: 4 }),
      }),
      { minLength: 1, maxLength: POINTERS_MAX },
    ),
  }),
  fc.record({ kind: fc.constant('pointed' as const), tag, results: fc.uint8Array({ maxLength: POINTERS_MAX }) }),
)

describe('requests on the ring', () => {
  it('reads back what it wrote', () => {
    fc.assert(
      fc.property(bytes(8), get, put, renew, outcome, (rid, asked, placed, renewed, end) => {
        expect(decodeRingRequest(encodeRingGet(rid, asked))).toEqual({ kind: 'rget', rid, get: asked })
        expect(decodeRingRequest(encodeRingPut(rid, placed))).toEqual({ kind: 'rput', rid, put: placed })
        expect(decodeRingRequest(encodeRingRenew(rid, renewed))).toEqual({ kind: 'rrenew', rid, renew: renewed })
        expect(decodeRingRequest(encodeRingOutcome(rid, end))).toEqual({ kind: 'outcome', rid, outcome: end })
        expect(decodeRingRequest(encodeRingWait(rid))).toEqual({ kind: 'rwait', rid })
      }),
    )
  })

  it('carries a whole shard in one message', () => {
    const rid = new Uint8Array(8)
    const shard = new Uint8Array(SHARD_SIZE).fill(7)
    const whole: Outcome = { end: 'data', leaves: shard, proof: new Uint8Array(0) }
    expect(decodeRingRequest(encodeRingOutcome(rid, whole))).toEqual({ kind: 'outcome', rid, outcome: whole })
  })

  it('refuses leaves out of range, too many skips and a lease of no or too many days', () => {
    const rid = new Uint8Array(8)
    const ref = new Uint8Array(34)
    const bad = (change: object) => ({ ref, skip: 0, isPastOwner: false, range: { from: 0, count: 1 }, ...change })
    for (const wrong of [
      bad({ skip: 9 }),
      bad({ range: { from: 0, count: 0 } }),
      bad({ range: { from: LEAF_COUNT, count: 1 } }),
      bad({ range: { from: 1, count: LEAF_COUNT } }),
    ]) {
      expect(() => decodeRingRequest(encodeRingGet(rid, wrong))).toThrow(MalformedError)
    }
    for (const leaseDays of [0, 91, 255]) {
      const wrong = { ref, leaseDays, nonce: new Uint8Array(16), bytes: ref }
      expect(() => decodeRingRequest(encodeRingPut(rid, wrong))).toThrow(MalformedError)
      expect(() => decodeRingRequest(encodeRingRenew(rid, wrong))).toThrow(MalformedError)
    }
  })
})

describe('requests on a circuit', () => {
  it('reads back what it wrote', () => {
    fc.assert(
      fc.property(get, put, renew, outcome, (asked, placed, renewed, end) => {
        expect(decodeCircuitRequest(encodeCircuitRequest({ kind: 'get', get: asked }))).toEqual({
          kind: 'get',
          get: asked,
        })
        expect(decodeCircuitRequest(encodeCircuitRequest({ kind: 'put', put: placed }))).toEqual({
          kind: 'put',
          put: placed,
        })
        for (const hold of ['minutes', 'long'] as const) {
          const held = { kind: 'put' as const, put: placed, hold }
          expect(decodeCircuitRequest(encodeCircuitRequest(held))).toEqual(held)
        }
        expect(decodeCircuitRequest(encodeCircuitRequest({ kind: 'renew', renew: renewed }))).toEqual({
          kind: 'renew',
          renew: renewed,
        })
        for (const answer of [end, { end: 'handed' as const }]) {
          expect(decodeCircuitOutcome(encodeCircuitOutcome(answer))).toEqual(answer)
        }
      }),
    )
  })

  it('refuses a hold that it does not know', () => {
    const put = { ref: new Uint8Array(34), leaseDays: 1, nonce: new Uint8Array(16), bytes: new Uint8Array(0) }
    const held = encodeCircuitRequest({ kind: 'put', put, hold: 'minutes' })
    for (const hold of [0, 3, 255]) expect(() => decodeCircuitRequest(held.with(1, hold))).toThrow(MalformedError)
  })
})

describe('calls between neighbours', () => {
  it('reads back what it wrote', () => {
    fc.assert(
      fc.property(call, (asked) => {
        expect(decodeCall(encodeCall(asked))).toEqual(asked)
      }),
    )
  })

  it('refuses no pointers, too many, one to no place, to more than four, and what is cut short or lengthened', () => {
    const [ref, leafHashes] = [new Uint8Array(34), new Uint8Array(512)]
    const told = (pointers: number, places: number) => {
      const pointer = {
        ref,
        leaseEndMs: 1,
        leafHashes,
        places: Array.from({ length: places }, () => new Uint8Array(128)),
      }
      return encodeCall({ kind: 'pointer', tag: 1, pointers: Array.from({ length: pointers }, () => pointer) })
    }
    for (const good of [told(1, 1), told(POINTERS_MAX, 4)]) expect(decodeCall(good)?.kind).toBe('pointer')
    const wrong = [told(0, 1), told(POINTERS_MAX + 1, 1), told(1, 0), told(2, 5)]
    for (const bad of [...wrong, told(2, 2).subarray(0, -1), Uint8Array.of(...told(1, 2), 0)])
      expect(() => decodeCall(bad)).toThrow(MalformedError)
  })
})

describe('bytes from outside', () => {
  it('end in a message, in nothing known, or in MalformedError, whatever they are', () => {
    const typed = fc
      .tuple(fc.integer({ min: 0, max: 50 }), fc.uint8Array({ maxLength: 200 }))
      .map(([type, rest]) => Uint8Array.of(type, ...rest))
    fc.assert(
      fc.property(typed, (message) => {
        for (const decode of [decodeCall, decodeRingRequest, decodeCircuitRequest, decodeCircuitOutcome]) {
          try {
            decode(message)
          } catch (error) {
            expect(error).toBeInstanceOf(MalformedError)
          }
        }
      }),
      { numRuns: 2_000 },
    )
  })
})
