/** Decoders of messages: membership, requests and calls. SPEC membership §1 to §3, requests §2, §5 */
import fc from 'fast-check'
import { fromUtf8, MalformedError, PROFILES } from '../../core/index.ts'
import { prefixOf, splitEndpoint } from '../../routing/membership/address.ts'
import { decodeDescriptor, encodeDescriptor, verifyDescriptor } from '../../routing/membership/descriptor.ts'
import * as gossip from '../../routing/membership/gossip.ts'
import { View } from '../../routing/membership/view.ts'
import * as messages from '../../routing/request/messages.ts'
import * as shapes from './shapes.ts'
import { FuzzFault, type Target } from './target.ts'

const { noise, noiseUpTo, refBytes, timeMs, u32 } = shapes
const permitted = [MalformedError]

// --- membership ---------------------------------------------------------------------------------------

const endpoint: Target<string> = {
  name: 'endpoint',
  covers: ['routing/membership/address.ts#splitEndpoint', 'routing/membership/address.ts#prefixOf'],
  valid: shapes.textBytes(shapes.endpointText),
  decode: (bytes) => {
    const text = shapes.textOf(bytes)
    const found = splitEndpoint(text)
    if ((prefixOf(text) === undefined) !== (found === undefined)) throw new FuzzFault(endpoint, 'prefix of no address')
    return found && (found.family === 'ipv6' ? `[${found.host}]:${found.port}` : `${found.host}:${found.port}`)
  },
  encode: fromUtf8,
  isCanonical: true,
  permitted: [],
  tokens: ['::', '[', ']', ':0', ':65536', '255.255.255.256', '.', '-', 'g', '%eth0', '::ffff:'],
}

const descriptor: Target<ReturnType<typeof decodeDescriptor>> = {
  name: 'descriptor',
  covers: ['routing/membership/descriptor.ts#decodeDescriptor'],
  valid: shapes.descriptorBytes,
  decode: decodeDescriptor,
  encode: encodeDescriptor,
  isCanonical: true,
  permitted,
  tokens: ['127.0.0.1:1', '[::1]:1'],
}

const SIGNED = [1, 2, 3].map((seed) => encodeDescriptor(shapes.signedDescriptor(seed)))
const signedDescriptor: Target = {
  name: 'signed-descriptor',
  covers: ['routing/membership/descriptor.ts#verifyDescriptor', 'crypto/sign.ts#verifySignature'],
  valid: fc.constantFrom(...SIGNED),
  decode: (bytes) => {
    const isGood = verifyDescriptor(decodeDescriptor(bytes), shapes.NETWORK)
    const isOurs = SIGNED.some((signed) => Buffer.compare(signed, bytes) === 0)
    if (isGood && !isOurs) throw new FuzzFault(signedDescriptor, 'verified what nobody has signed')
    return isGood
  },
  permitted,
  runs: 40,
}

const digests: Target<Uint8Array> = {
  name: 'digests',
  covers: ['routing/membership/gossip.ts#decodeDigests'],
  valid: noise(2_048),
  decode: gossip.decodeDigests,
  encode: (value) => value,
  isCanonical: true,
  permitted,
  fillTo: 2_048,
}

const summaries: Target<gossip.Summaries> = {
  name: 'summaries',
  covers: ['routing/membership/gossip.ts#decodeSummaries'],
  valid: fc.tuple(noise(256), fc.array(fc.tuple(noise(32), timeMs), { maxLength: 20 })).map(([bits, entries]) =>
    gossip.encodeSummaries({
      isWhole: Array.from(bits, (bit) => bit % 2 === 1),
      entries: entries.map(([id, issuedMs]) => ({ id: id as gossip.Summary['id'], issuedMs })),
    }),
  ),
  decode: gossip.decodeSummaries,
  encode: gossip.encodeSummaries,
  isCanonical: true,
  permitted,
}

const exchange: Target<gossip.Exchange> = {
  name: 'exchange',
  covers: ['routing/membership/gossip.ts#decodeExchange'],
  valid: fc
    .tuple(fc.array(noise(32), { maxLength: 6 }), fc.array(shapes.descriptors, { maxLength: 4 }))
    .map(([want, give]) => gossip.encodeExchange({ want: want as unknown as gossip.Exchange['want'], give })),
  decode: gossip.decodeExchange,
  encode: gossip.encodeExchange,
  isCanonical: true,
  permitted,
}

const savedView: Target<View> = {
  name: 'saved-view',
  covers: ['routing/membership/view.ts#View.fromBytes'],
  valid: fc.uniqueArray(fc.nat(20), { maxLength: 4 }).chain((seeds) =>
    fc.constant(null).map(() => {
      const view = new View({ profile: PROFILES.testnet })
      for (const seed of seeds) view.admit(VIEW_MEMBERS[seed] as ReturnType<typeof decodeDescriptor>, 1)
      return view.toBytes()
    }),
  ),
  decode: (bytes) => View.fromBytes(bytes, { profile: PROFILES.testnet }),
  encode: (view) => view.toBytes(),
  isCanonical: true,
  permitted: [],
}
const VIEW_MEMBERS = Array.from({ length: 21 }, (_, seed) => shapes.signedDescriptor(seed + 10))

// --- requests and calls ---------------------------------------------------------------------------------

const range = fc
  .integer({ min: 1, max: 16 })
  .chain((count) => fc.integer({ min: 0, max: 16 - count }).map((from) => ({ from, count })))
const get = fc.record({ ref: refBytes, skip: fc.nat(8), isPastOwner: fc.boolean(), range })
const put = fc.record({
  ref: refBytes,
  leaseDays: fc.integer({ min: 1, max: 90 }),
  nonce: noise(16),
  bytes: noiseUpTo(200),
})
const renew = fc.record({ ref: refBytes, leaseDays: fc.integer({ min: 1, max: 90 }), nonce: noise(16) })
const outcome: fc.Arbitrary<messages.Outcome> = fc.oneof(
  fc.record({ end: fc.constant('data' as const), leaves: noiseUpTo(200), proof: noiseUpTo(128) }),
  fc
    .record({ leaseEndMs: timeMs, nonce: noise(16), keeper: noise(32), signature: noise(64) })
    .map((receipt) => ({ end: 'stored' as const, receipt })),
  fc.constantFrom(0, 1, 2).map((reason) => ({ end: 'none' as const, reason: reason as 0 })),
  fc.constant({ end: 'busy' as const }),
)

function encodeRing(message: messages.RingRequestMessage): Uint8Array {
  if (message.kind === 'rget') return messages.encodeRingGet(message.rid, message.get)
  if (message.kind === 'rput') return messages.encodeRingPut(message.rid, message.put)
  if (message.kind === 'rrenew') return messages.encodeRingRenew(message.rid, message.renew)
  if (message.kind === 'rwait') return messages.encodeRingWait(message.rid)
  return messages.encodeRingOutcome(message.rid, message.outcome)
}
const rid = noise(8)
const ringRequest: Target<messages.RingRequestMessage> = {
  name: 'ring-request',
  covers: ['routing/request/messages.ts#decodeRingRequest'],
  valid: fc
    .oneof(
      fc.record({ kind: fc.constant('rget' as const), rid, get }),
      fc.record({ kind: fc.constant('rput' as const), rid, put }),
      fc.record({ kind: fc.constant('rrenew' as const), rid, renew }),
      fc.record({ kind: fc.constant('outcome' as const), rid, outcome }),
      fc.record({ kind: fc.constant('rwait' as const), rid }),
    )
    .map(encodeRing),
  decode: messages.decodeRingRequest,
  encode: encodeRing,
  isCanonical: true,
  permitted,
}
const circuitRequest: Target<messages.CircuitRequest> = {
  name: 'circuit-request',
  covers: ['routing/request/messages.ts#decodeCircuitRequest'],
  valid: fc
    .oneof(
      fc.record({ kind: fc.constant('get' as const), get }),
      fc.record({ kind: fc.constant('put' as const), put }),
      fc.record({ kind: fc.constant('put' as const), put, hold: fc.constantFrom('minutes' as const, 'long' as const) }),
      fc.record({ kind: fc.constant('renew' as const), renew }),
    )
    .map(messages.encodeCircuitRequest),
  decode: messages.decodeCircuitRequest,
  encode: messages.encodeCircuitRequest,
  isCanonical: true,
  permitted,
}
const circuitOutcome: Target<messages.CircuitOutcome> = {
  name: 'circuit-outcome',
  covers: ['routing/request/messages.ts#decodeCircuitOutcome'],
  valid: fc.oneof(outcome, fc.constant({ end: 'handed' as const })).map(messages.encodeCircuitOutcome),
  decode: messages.decodeCircuitOutcome,
  encode: messages.encodeCircuitOutcome,
  isCanonical: true,
  permitted,
}

const ids = fc.array(noise(32), { maxLength: 7 })
/** Every kind of call and answer; the node's own target uses them too. */
export const calls: fc.Arbitrary<messages.Call> = fc.oneof(
  fc.record({ kind: fc.constant('ringQuery' as const), tag: u32 }),
  fc.record({
    kind: fc.constant('ringState' as const),
    tag: u32,
    isMember: fc.boolean(),
    predecessor: fc.option(noise(32), { nil: undefined }),
    successors: ids,
    descriptors: fc.array(shapes.descriptorBytes, { maxLength: 3 }),
  }),
  fc.record({
    kind: fc.constant('copy' as const),
    tag: u32,
    ref: refBytes,
    leaseEndMs: timeMs,
    bytes: noiseUpTo(200),
  }),
  fc.record({ kind: fc.constant('copied' as const), tag: u32, result: fc.nat(3) }),
  fc.record({ kind: fc.constant('have' as const), tag: u32, refs: fc.array(refBytes, { maxLength: 6 }) }),
  fc.record({ kind: fc.constant('haves' as const), tag: u32, held: noiseUpTo(9) }),
  fc.record({
    kind: fc.constant('prove' as const),
    tag: u32,
    nonce: noise(16),
    wanted: fc.array(fc.record({ ref: refBytes, leaseEndMs: timeMs }), { maxLength: 4 }),
  }),
  fc.record({ kind: fc.constant('proved' as const), tag: u32, proofs: fc.array(noise(32), { maxLength: 4 }) }),
  fc.record({
    kind: fc.constant('pointer' as const),
    tag: u32,
    pointers: fc.array(
      fc.record({
        ref: refBytes,
        leaseEndMs: timeMs,
        leafHashes: noise(512),
        places: fc.array(noise(128), { minLength: 1, maxLength: 4 }),
      }),
      { minLength: 1, maxLength: 3 },
    ),
  }),
  fc.record({ kind: fc.constant('pointed' as const), tag: u32, results: noiseUpTo(5) }),
)
const call: Target<messages.Call> = {
  name: 'call',
  covers: ['routing/request/messages.ts#decodeCall'],
  valid: calls.map(messages.encodeCall),
  decode: messages.decodeCall,
  encode: messages.encodeCall,
  permitted,
}

export const messageTargets = [
  endpoint,
  descriptor,
  signedDescriptor,
  digests,
  summaries,
  exchange,
  savedView,
  ringRequest,
  circuitRequest,
  circuitOutcome,
  call,
]
