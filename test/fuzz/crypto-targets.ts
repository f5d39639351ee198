/** Keys, handshakes, proofs and sealed bytes from outside. SPEC crypto §2, §4, §5, §7, erasure §3, §4 */
import fc from 'fast-check'
import { concatBytes, equalBytes, LEAF_SIZE, named32, SHARD_SIZE } from '../../core/index.ts'
import { openWith, sealWith } from '../../crypto/aead.ts'
import { publicKeyOfCertificate, selfSignedCertificate } from '../../crypto/certificate.ts'
import { CodeShapeError, FragmentSetError, rebuildData } from '../../crypto/erasure/index.ts'
import { exchangeKeyFromSeed } from '../../crypto/exchange.ts'
import {
  answerHandshake,
  beginHandshake,
  HANDSHAKE_MESSAGE_SIZE,
  HANDSHAKE_REPLY_SIZE,
} from '../../crypto/handshake.ts'
import { tagged } from '../../crypto/hash.ts'
import { hkdf } from '../../crypto/kdf.ts'
import { LABELS } from '../../crypto/labels.ts'
import { merkleProof, merkleRoot, verifyMerkleProof } from '../../crypto/merkle.ts'
import { combineShares, ShareSetError, SharingError } from '../../crypto/shamir/index.ts'
import { isSafePublicKey, signingKeyFromSeed } from '../../crypto/sign.ts'
import { NETWORK, noise, noiseOf, noiseUpTo, Steps } from './shapes.ts'
import { FuzzFault, type Target } from './target.ts'

function derOf(seed: number): Uint8Array {
  const { certPem } = selfSignedCertificate(noiseOf(seed, 32))
  return new Uint8Array(Buffer.from(certPem.split('\n').slice(1, -2).join(''), 'base64'))
}
const certificate: Target = {
  name: 'certificate',
  covers: ['crypto/certificate.ts#publicKeyOfCertificate'],
  valid: fc.nat(1_000).map(derOf),
  decode: publicKeyOfCertificate,
  permitted: [],
  tokens: [
    '\x30\x80',
    '\x06\x03\x2b\x65\x70',
    '\x06\x03\x2b\x65\x6e',
    '\x30\x84\x7f\xff\xff\xff',
    '-----BEGIN CERTIFICATE-----',
  ],
}

const publicKey: Target = {
  name: 'public-key',
  covers: ['crypto/sign.ts#isSafePublicKey'],
  valid: fc.nat(20).map((seed) => signingKeyFromSeed(noiseOf(seed, 32)).publicKey),
  decode: isSafePublicKey,
  permitted: [],
  runs: 40,
}

// --- handshake --------------------------------------------------------------------------------------

const RELAY_ID = named32<'NodeId'>(noiseOf(5, 32), 'relay id')
const SCENE = { networkId: NETWORK, relayId: RELAY_ID, hop: 1 }
const ONION = exchangeKeyFromSeed(noiseOf(6, 32))
const chance = (seed: number) => ({
  bytes: (size: number) => noiseOf(seed, size),
  fill: (target: Uint8Array) => target.set(noiseOf(seed, target.length)),
})
function begin(seed: number) {
  const begun = beginHandshake({ ...SCENE, onionKey: ONION.publicKey, random: chance(seed) })
  if (begun === undefined) throw new Error('the relay has a usable key')
  return begun
}
function answer(message: Uint8Array) {
  return answerHandshake({ ...SCENE, random: chance(9), onionKeys: [ONION], message })
}

const handshakeMessage: Target = {
  name: 'handshake-message',
  covers: ['crypto/handshake.ts#answerHandshake'],
  valid: fc.nat(10).map((seed) => begin(seed).message),
  decode: (message) => answer(message)?.reply,
  permitted: [],
  fillTo: HANDSHAKE_MESSAGE_SIZE,
  runs: 25,
}

/** What only a client can send that takes part: an encapsulation key of any bytes, under a right MAC. */
const handshakeKey: Target = {
  name: 'handshake-key',
  covers: ['crypto/handshake.ts#answerHandshake'],
  valid: fc.nat(10).map((seed) => begin(seed).message.slice(97, 1_281)),
  decode: (bytes) => {
    const ek = new Uint8Array(1_184)
    ek.set(bytes.subarray(0, 1_184))
    const oneTime = exchangeKeyFromSeed(noiseOf(3, 32))
    const secret = oneTime.agree(ONION.publicKey) as Uint8Array
    const head = concatBytes(Uint8Array.of(1), RELAY_ID, ONION.publicKey, oneTime.publicKey, ek)
    const context = tagged(LABELS.handshakeOpening, concatBytes(NETWORK, Uint8Array.of(1)), head)
    const mac = hkdf({ secret, label: LABELS.handshakeMac, context, length: 32 })
    const reply = answer(concatBytes(head, mac))?.reply
    if (reply !== undefined && reply.length !== HANDSHAKE_REPLY_SIZE) throw new FuzzFault(handshakeKey, 'odd reply')
    return reply
  },
  permitted: [],
  fillTo: 1_184,
  runs: 25,
}

const BEGUN = begin(4)
const REPLY = answer(BEGUN.message)?.reply ?? new Uint8Array(0)
const handshakeReply: Target = {
  name: 'handshake-reply',
  covers: ['crypto/handshake.ts#beginHandshake.finish'],
  valid: fc.constant(REPLY),
  decode: (reply) => {
    const keys = BEGUN.finish(reply)
    if (keys !== undefined && !equalBytes(reply, REPLY)) throw new FuzzFault(handshakeReply, 'took a false reply')
    return keys
  },
  permitted: [],
  fillTo: HANDSHAKE_REPLY_SIZE,
  runs: 25,
}

// --- sealed bytes and proofs -----------------------------------------------------------------------------

const KEY = noiseOf(7, 32)
const NONCE = noiseOf(8, 12)
const sealed: Target<Uint8Array> = {
  name: 'sealed',
  covers: ['crypto/aead.ts#openWith'],
  valid: noiseUpTo(100).map((plain) => sealWith(KEY, NONCE, plain)),
  decode: (bytes) => openWith(KEY, NONCE, bytes),
  encode: (plain) => sealWith(KEY, NONCE, plain),
  isCanonical: true,
  permitted: [],
}

const SHARD = noiseOf(11, SHARD_SIZE)
const SHARD_ROOT = merkleRoot(SHARD)
/** from u8, count u8, hashes u8, the proof's hashes, the leaves */
const leafProof: Target = {
  name: 'leaf-proof',
  covers: ['crypto/merkle.ts#verifyMerkleProof'],
  valid: fc.tuple(fc.nat(15), fc.integer({ min: 1, max: 2 })).map(([at, count]) => {
    const range = { from: Math.min(at, 16 - count), count }
    const proof = merkleProof(SHARD, range)
    const leaves = SHARD.subarray(range.from * LEAF_SIZE, (range.from + count) * LEAF_SIZE)
    return concatBytes(Uint8Array.of(range.from, count, proof.length / 32), proof, leaves)
  }),
  decode: (bytes) => {
    const steps = new Steps(bytes)
    const range = { from: steps.u8(), count: steps.u8() }
    const proof = steps.take(32 * steps.u8())
    const leaves = steps.take(bytes.length)
    const isGood = verifyMerkleProof(SHARD_ROOT, range, leaves, proof)
    const own = SHARD.subarray(range.from * LEAF_SIZE, (range.from + range.count) * LEAF_SIZE)
    if (isGood && !equalBytes(leaves, own)) throw new FuzzFault(leafProof, 'took leaves of another shard')
    return isGood
  },
  permitted: [],
  runs: 100,
}

/** threshold u8, then for each share: index u8, size u8, bytes */
const shareSet: Target = {
  name: 'share-set',
  covers: ['crypto/shamir/sharing.ts#combineShares'],
  valid: fc
    .uniqueArray(fc.nat(254), { minLength: 1, maxLength: 8 })
    .chain((indexes) =>
      noise(32).map((share) =>
        concatBytes(Uint8Array.of(indexes.length), ...indexes.map((at) => concatBytes(Uint8Array.of(at, 32), share))),
      ),
    ),
  decode: (bytes) => {
    const steps = new Steps(bytes)
    const threshold = steps.u8()
    const shares: { index: number; bytes: Uint8Array }[] = []
    while (steps.hasMore) shares.push({ index: steps.u8(), bytes: steps.take(steps.u8()) })
    return combineShares(shares, threshold)
  },
  permitted: [ShareSetError, SharingError],
}

/** k u8, n u8, size u8, then for each fragment: index u8, bytes */
const fragmentSet: Target = {
  name: 'fragment-set',
  covers: ['crypto/erasure/code.ts#ErasureCode.rebuildData'],
  valid: fc
    .integer({ min: 1, max: 8 })
    .chain((k) =>
      fc
        .uniqueArray(fc.nat(2 * k + 5), { minLength: k, maxLength: k })
        .map((indexes) =>
          concatBytes(
            Uint8Array.of(k, 2 * k + 6, 8),
            ...indexes.map((at) => concatBytes(Uint8Array.of(at), noiseOf(at, 8))),
          ),
        ),
    ),
  decode: (bytes) => {
    const steps = new Steps(bytes)
    const shape = { k: steps.u8(), n: steps.u8(), size: steps.u8() }
    const have: { index: number; bytes: Uint8Array }[] = []
    while (steps.hasMore && have.length < 256) have.push({ index: steps.u8(), bytes: steps.take(shape.size) })
    return rebuildData(shape, have)
  },
  permitted: [FragmentSetError, CodeShapeError],
}

export const cryptoTargets = [
  certificate,
  publicKey,
  handshakeMessage,
  handshakeKey,
  handshakeReply,
  sealed,
  leafProof,
  shareSet,
  fragmentSet,
]
