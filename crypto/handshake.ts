/**
 * How a client and one relay of its circuit come to share keys: X25519 proves the relay, a one-time ML-KEM-768
 * key of the client's keeps recorded traffic closed to a later quantum computer. Only the relay with the onion
 * key can answer, and only for this id, network and hop; who asks is told by nothing. SPEC crypto §7
 *
 * Message, 1,313 bytes                          Reply, 1,152 bytes
 *      0     1  suite, 1                             0    32  Y, the relay's one-time X25519 key
 *      1    32  relay id                            32  1088  ct, ML-KEM-768 ciphertext for ek
 *     33    32  B, the relay's onion key          1120    32  AUTH
 *     65    32  X, the client's one-time X25519 key
 *     97  1184  ek, the client's one-time ML-KEM-768 key
 *   1281    32  MAC over all before, so that a relay does no work for what is not meant for it
 */
import { timingSafeEqual } from 'node:crypto'
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js'
import {
  assert,
  concatBytes,
  equalBytes,
  type NetworkId,
  type NodeId,
  type OnionKey,
  type SecretRandom,
} from '../core/index.ts'
import { type ExchangeKey, exchangeKeyFromSeed } from './exchange.ts'
import { tagged } from './hash.ts'
import { hkdf } from './kdf.ts'
import { LABELS } from './labels.ts'

/** Which algorithms; another set takes another number. */
const SUITE = 1
const X_AT = 65
const EK_AT = 97
const MAC_AT = 1_281
export const HANDSHAKE_MESSAGE_SIZE = 1_313
const CT_AT = 32
const AUTH_AT = 1_120
export const HANDSHAKE_REPLY_SIZE = 1_152
const KEM_SEED_SIZE = 64

/** One key for each direction; forward is away from the client. */
export interface CircuitKeys {
  readonly forward: Uint8Array
  readonly backward: Uint8Array
}

/** What a handshake gives both ends. */
export interface HandshakeKeys extends CircuitKeys {
  /** Names this one handshake to both ends and to nobody else: what is signed over it is good here only. 32 bytes. */
  readonly binding: Uint8Array
}

/** What both sides know without being told; a difference in any makes the handshake fail. */
export interface HandshakeScene {
  readonly networkId: NetworkId
  readonly relayId: NodeId
  /** Which relay of the circuit, from 1. */
  readonly hop: number
}

export interface StartedHandshake {
  /** HANDSHAKE_MESSAGE_SIZE bytes for the relay. */
  readonly message: Uint8Array
  /** The keys, or undefined when the reply is not from that relay for this message; then give the circuit up. */
  finish(reply: Uint8Array): HandshakeKeys | undefined
}

/** Undefined when the relay's onion key is no usable key. Draws 32, then 64 bytes. */
export function beginHandshake(
  wish: HandshakeScene & { readonly random: SecretRandom; readonly onionKey: OnionKey },
): StartedHandshake | undefined {
  const oneTime = exchangeKeyFromSeed(wish.random.bytes(32))
  const kem = ml_kem768.keygen(wish.random.bytes(KEM_SEED_SIZE))
  const staticSecret = oneTime.agree(wish.onionKey)
  if (staticSecret === undefined) return undefined
  const head = concatBytes(new Uint8Array([SUITE]), wish.relayId, wish.onionKey, oneTime.publicKey, kem.publicKey)
  const message = concatBytes(head, macOf(wish, staticSecret, head))
  return {
    message,
    finish: (reply) => {
      if (reply.length !== HANDSHAKE_REPLY_SIZE) return undefined
      const freshSecret = oneTime.agree(reply.subarray(0, CT_AT))
      if (freshSecret === undefined) return undefined
      const kemSecret = ml_kem768.decapsulate(reply.subarray(CT_AT, AUTH_AT), kem.secretKey)
      const secret = concatBytes(freshSecret, staticSecret, kemSecret)
      const { auth, keys } = deriveKeys(secret, transcriptOf(wish, message, reply.subarray(0, AUTH_AT)))
      return timingSafeEqual(auth, reply.subarray(AUTH_AT)) ? keys : undefined
    },
  }
}

/**
 * The relay's side. `onionKeys` are those it still answers for, newest first. Undefined when the message is
 * not for this relay, or wrong in any way. Draws 32, then 32 bytes, and only for a message that is right.
 */
export function answerHandshake(
  asked: HandshakeScene & {
    readonly random: SecretRandom
    readonly onionKeys: readonly ExchangeKey[]
    readonly message: Uint8Array
  },
): { reply: Uint8Array; keys: HandshakeKeys } | undefined {
  const { message } = asked
  if (!isHop(asked.hop) || message.length !== HANDSHAKE_MESSAGE_SIZE || message[0] !== SUITE) return undefined
  if (!equalBytes(message.subarray(1, 33), asked.relayId)) return undefined
  const onionKey = asked.onionKeys.find((key) => equalBytes(message.subarray(33, X_AT), key.publicKey))
  const clientKey = message.subarray(X_AT, EK_AT)
  const staticSecret = onionKey?.agree(clientKey)
  if (staticSecret === undefined) return undefined
  const mac = macOf(asked, staticSecret, message.subarray(0, MAC_AT))
  if (!timingSafeEqual(mac, message.subarray(MAC_AT))) return undefined

  const oneTime = exchangeKeyFromSeed(asked.random.bytes(32))
  const freshSecret = oneTime.agree(clientKey)
  const kem = encapsulate(message.subarray(EK_AT, MAC_AT), asked.random.bytes(32))
  if (freshSecret === undefined || kem === undefined) return undefined
  const opening = concatBytes(oneTime.publicKey, kem.cipherText)
  const secret = concatBytes(freshSecret, staticSecret, kem.sharedSecret)
  const { auth, keys } = deriveKeys(secret, transcriptOf(asked, message, opening))
  return { reply: concatBytes(opening, auth), keys }
}

/** X, the client's one-time key, out of a handshake message: a view of it. */
export function clientKeyOf(message: Uint8Array): Uint8Array {
  return message.subarray(X_AT, EK_AT)
}

/** Undefined for a client key with coefficients out of range (FIPS 203 §7.2). */
function encapsulate(
  ek: Uint8Array,
  seed: Uint8Array,
): { cipherText: Uint8Array; sharedSecret: Uint8Array } | undefined {
  try {
    return ml_kem768.encapsulate(ek, seed)
  } catch {
    return undefined
  }
}

function isHop(hop: number): boolean {
  return Number.isInteger(hop) && hop >= 1 && hop <= 255
}

function sceneOf(scene: HandshakeScene): Uint8Array {
  assert(isHop(scene.hop), 'hops count from 1')
  return concatBytes(scene.networkId, new Uint8Array([scene.hop]))
}

/** A key derived from the one secret and everything it vouches for, used as the MAC itself. */
function macOf(scene: HandshakeScene, staticSecret: Uint8Array, head: Uint8Array): Uint8Array {
  const context = tagged(LABELS.handshakeOpening, sceneOf(scene), head)
  return hkdf({ secret: staticSecret, label: LABELS.handshakeMac, context, length: 32 })
}

/** Covers every byte of both messages but AUTH, which is a MAC over this. */
function transcriptOf(scene: HandshakeScene, message: Uint8Array, opening: Uint8Array): Uint8Array {
  return tagged(LABELS.handshakeTranscript, sceneOf(scene), message, opening)
}

function deriveKeys(secret: Uint8Array, transcript: Uint8Array): { auth: Uint8Array; keys: HandshakeKeys } {
  const derived = hkdf({ secret, label: LABELS.handshakeKeys, context: transcript, length: 128 })
  return {
    auth: derived.slice(0, 32),
    keys: { forward: derived.slice(32, 64), backward: derived.slice(64, 96), binding: derived.slice(96, 128) },
  }
}
