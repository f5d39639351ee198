import { createHash, hkdfSync } from 'node:crypto'
import { x25519 } from '@noble/curves/ed25519.js'
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js'
import { describe, expect, it } from 'vitest'
import { concatBytes, fromUtf8, type NetworkId, type NodeId, named32, type OnionKey, toHex } from '../../core/index.ts'
import type { HandshakeScene } from '../../crypto/handshake.ts'
import {
  answerHandshake,
  beginHandshake,
  type CircuitKeys,
  exchangeKeyFromSeed,
  HANDSHAKE_MESSAGE_SIZE,
  HANDSHAKE_REPLY_SIZE,
} from '../../crypto/index.ts'
import { bytesOf, flipped, repeatableRandom, someBytes, vectorFile, vectors } from './support.ts'

const network = (name: string) => named32<'NetworkId'>(someBytes(32, name), 'network') as NetworkId
const relay = (name: string) => named32<'NodeId'>(someBytes(32, name), 'relay') as NodeId
const scene: HandshakeScene = { networkId: network('network'), relayId: relay('relay'), hop: 2 }
const onionSeed = someBytes(32, 'onion key')
const onionKey = exchangeKeyFromSeed(onionSeed)
const oldOnionKey = exchangeKeyFromSeed(someBytes(32, 'old onion key'))

function begin(name = 'client', key: OnionKey = onionKey.publicKey) {
  const started = beginHandshake({ ...scene, random: repeatableRandom(name), onionKey: key })
  if (started === undefined) throw new Error('a good onion key was refused')
  return started
}

function answer(message: Uint8Array, where: Partial<HandshakeScene> = {}, onionKeys = [onionKey, oldOnionKey]) {
  return answerHandshake({ ...scene, ...where, random: repeatableRandom('relay'), onionKeys, message })
}

function answered(message: Uint8Array) {
  const made = answer(message)
  if (made === undefined) throw new Error('a good message was refused')
  return made
}

const hexOf = (keys: CircuitKeys | undefined) =>
  keys && { forward: toHex(keys.forward), backward: toHex(keys.backward) }

// --- the specification once more, from other building blocks ---------------------------------------

function layout(label: string, ...parts: Uint8Array[]): Uint8Array {
  const sized = parts.flatMap((part) => [new Uint8Array([0, 0, part.length >> 8, part.length & 255]), part])
  return concatBytes(new Uint8Array([label.length]), fromUtf8(label), ...sized)
}
const digest = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest())
const derive = (secret: Uint8Array, label: string, context: Uint8Array, length: number) =>
  new Uint8Array(hkdfSync('sha256', secret, '', layout(label, context), length))

/** A client's message made by hand from its secrets, with any KEM key. */
function messageByHand(xSeed: Uint8Array, ek: Uint8Array): Uint8Array {
  const head = concatBytes(new Uint8Array([1]), scene.relayId, onionKey.publicKey, x25519.getPublicKey(xSeed), ek)
  const place = concatBytes(scene.networkId, new Uint8Array([scene.hop]))
  const context = digest(layout('hush/1/handshake-opening', place, head))
  const secret = x25519.getSharedSecret(xSeed, onionKey.publicKey)
  return concatBytes(head, derive(secret, 'hush/1/handshake-mac', context, 32))
}

describe('the handshake', () => {
  it('gives both sides the same two keys', () => {
    const { message, finish } = begin()
    const { reply, keys } = answered(message)
    expect(message.length).toBe(HANDSHAKE_MESSAGE_SIZE)
    expect(reply.length).toBe(HANDSHAKE_REPLY_SIZE)
    expect([HANDSHAKE_MESSAGE_SIZE, HANDSHAKE_REPLY_SIZE]).toEqual([1_313, 1_152])
    const found = finish(reply)
    expect(hexOf(found)).toEqual(hexOf(keys))
    // The binding names this handshake: both ends have it, no other has the same.
    expect(found && toHex(found.binding)).toBe(toHex(keys.binding))
    expect(toHex(answered(begin('another').message).keys.binding)).not.toBe(toHex(keys.binding))
    expect(toHex(keys.forward)).not.toBe(toHex(keys.backward))
    expect([keys.forward.length, keys.backward.length]).toEqual([32, 32])
  })

  it('gives what it always gave', () => {
    const { handshake } = vectorFile<{ handshake: Record<'message' | 'reply' | 'forward' | 'backward', string> }>(
      'frozen',
    )
    const { message } = begin()
    const { reply, keys } = answered(message)
    expect(toHex(message)).toBe(handshake.message)
    expect(toHex(reply)).toBe(handshake.reply)
    expect(hexOf(keys)).toEqual({ forward: handshake.forward, backward: handshake.backward })
  })

  it('is what the specification says, computed from other building blocks', () => {
    const clientRandom = repeatableRandom('client')
    const [xSeed, kemSeed] = [clientRandom.bytes(32), clientRandom.bytes(64)]
    const relayRandom = repeatableRandom('relay')
    const [ySeed, kemMessage] = [relayRandom.bytes(32), relayRandom.bytes(32)]
    const kem = ml_kem768.keygen(kemSeed)
    const message = messageByHand(xSeed, kem.publicKey)
    expect(toHex(begin().message)).toBe(toHex(message))

    const { cipherText, sharedSecret } = ml_kem768.encapsulate(kem.publicKey, kemMessage)
    const opening = concatBytes(x25519.getPublicKey(ySeed), cipherText)
    const place = concatBytes(scene.networkId, new Uint8Array([scene.hop]))
    const transcript = digest(layout('hush/1/handshake-transcript', place, message, opening))
    const secret = concatBytes(
      x25519.getSharedSecret(ySeed, x25519.getPublicKey(xSeed)),
      x25519.getSharedSecret(onionSeed, x25519.getPublicKey(xSeed)),
      sharedSecret,
    )
    const derived = derive(secret, 'hush/1/handshake-keys', transcript, 128)
    const { reply, keys } = answered(message)
    expect(toHex(reply)).toBe(toHex(concatBytes(opening, derived.subarray(0, 32))))
    expect(hexOf(keys)).toEqual({ forward: toHex(derived.subarray(32, 64)), backward: toHex(derived.subarray(64, 96)) })
    expect(toHex(keys.binding)).toBe(toHex(derived.subarray(96)))
  })

  it('draws fresh chance on both sides, and none for a message that is refused', () => {
    const client = repeatableRandom('client')
    const started = beginHandshake({ ...scene, random: client, onionKey: onionKey.publicKey })
    expect(client.drawn).toBe(32 + 64)
    const message = started?.message as Uint8Array
    const random = repeatableRandom('relay')
    expect(answerHandshake({ ...scene, random, onionKeys: [onionKey], message: flipped(message, 500) })).toBeUndefined()
    expect(random.drawn).toBe(0)
    expect(answerHandshake({ ...scene, random, onionKeys: [onionKey], message })).toBeDefined()
    expect(random.drawn).toBe(32 + 32)
  })

  it('gives other keys each time, for a replayed message too', () => {
    const { message } = begin()
    const random = repeatableRandom('relay')
    const replies = [0, 1].map(() => answerHandshake({ ...scene, random, onionKeys: [onionKey], message }))
    expect(hexOf(replies[0]?.keys)).not.toEqual(hexOf(replies[1]?.keys))
  })

  it('serves the onion key before the newest, and no older one', () => {
    const { message, finish } = begin('client', oldOnionKey.publicKey)
    const made = answered(message)
    expect(hexOf(finish(made.reply))).toEqual(hexOf(made.keys))
    expect(answer(message, {}, [onionKey])).toBeUndefined()
    expect(answer(message, {}, [])).toBeUndefined()
  })
})

describe('the relay', () => {
  it('refuses a message with a changed bit anywhere', () => {
    const { message } = begin()
    for (let at = 0; at < message.length; at++)
      expect(answer(flipped(message, at, at % 8)), `byte ${at}`).toBeUndefined()
    // The spare bit of X changes nothing for X25519, and still is covered.
    expect(answer(flipped(message, 96, 7))).toBeUndefined()
  })

  it('refuses what is meant for another relay, network or hop', () => {
    const { message } = begin()
    expect(answer(message, { relayId: relay('another') })).toBeUndefined()
    expect(answer(message, { networkId: network('another') })).toBeUndefined()
    expect(answer(message, { hop: 1 })).toBeUndefined()
    expect(answer(message, { hop: 3 })).toBeUndefined()
    for (const hop of [0, -1, 1.5, 256, Number.NaN]) expect(answer(message, { hop })).toBeUndefined()
  })

  it('refuses messages of another size or suite', () => {
    const { message } = begin()
    for (const size of [0, 1, 97, 1_281, 1_312]) expect(answer(message.subarray(0, size))).toBeUndefined()
    expect(answer(concatBytes(message, new Uint8Array(1)))).toBeUndefined()
    expect(answer(concatBytes(new Uint8Array([2]), message.subarray(1)))).toBeUndefined()
  })

  it('refuses one-time keys of small order', () => {
    const { message } = begin()
    const small = vectors<{ other: string; expect: string }>('x25519').filter(
      ({ expect: wanted }) => wanted === 'refused',
    )
    expect(small.length).toBeGreaterThanOrEqual(7)
    for (const { other } of small) {
      const changed = new Uint8Array(message)
      changed.set(bytesOf(other), 65)
      expect(answer(changed)).toBeUndefined()
    }
  })

  it('refuses a KEM key with coefficients out of range, though its MAC be right', () => {
    const xSeed = someBytes(32, 'x')
    const good = ml_kem768.keygen(someBytes(64, 'kem')).publicKey
    expect(answer(messageByHand(xSeed, good))).toBeDefined()
    const bad = new Uint8Array(good)
    bad.set([0xff, 0xff, 0xff])
    expect(answer(messageByHand(xSeed, bad))).toBeUndefined()
  })
})

describe('the client', () => {
  it('refuses a reply with a changed bit anywhere', () => {
    const { message, finish } = begin()
    const { reply } = answered(message)
    for (let at = 0; at < reply.length; at++) expect(finish(flipped(reply, at, at % 8)), `byte ${at}`).toBeUndefined()
    expect(finish(flipped(reply, 31, 7))).toBeUndefined()
    expect(finish(reply)).toBeDefined()
  })

  it('refuses the reply to another message, and replies of another size', () => {
    const { reply } = answered(begin('another client').message)
    const { message, finish } = begin()
    expect(finish(reply)).toBeUndefined()
    const own = answered(message).reply
    for (const size of [0, 32, 1_120, 1_151]) expect(finish(own.subarray(0, size))).toBeUndefined()
    expect(finish(concatBytes(own, new Uint8Array(1)))).toBeUndefined()
  })

  it('refuses one-time keys of small order', () => {
    const { message, finish } = begin()
    const { reply } = answered(message)
    for (const { other } of vectors<{ other: string; expect: string }>('x25519').filter(
      (each) => each.expect === 'refused',
    )) {
      expect(finish(concatBytes(bytesOf(other), reply.subarray(32)))).toBeUndefined()
    }
  })

  it('refuses a relay that does not hold the onion key', () => {
    // An impostor answers as well as it can: its own key in place of the relay's.
    const impostor = exchangeKeyFromSeed(someBytes(32, 'impostor'))
    const { message, finish } = begin()
    const changed = new Uint8Array(message)
    changed.set(impostor.publicKey, 33)
    expect(answer(changed, {}, [impostor])).toBeUndefined()
    expect(finish(answered(begin('client', onionKey.publicKey).message).reply)).toBeDefined()
    expect(
      finish(answer(begin('client', impostor.publicKey).message, {}, [impostor])?.reply as Uint8Array),
    ).toBeUndefined()
  })

  it('does not begin with an onion key of small order', () => {
    for (const { other } of vectors<{ other: string; expect: string }>('x25519').filter(
      (each) => each.expect === 'refused',
    )) {
      const key = named32<'OnionKey'>(bytesOf(other), 'onion key')
      expect(beginHandshake({ ...scene, random: repeatableRandom('client'), onionKey: key })).toBeUndefined()
    }
  })

  it('counts hops from 1', () => {
    for (const hop of [0, -1, 1.5, 256]) {
      expect(() =>
        beginHandshake({ ...scene, hop, random: repeatableRandom('c'), onionKey: onionKey.publicKey }),
      ).toThrow('internal')
    }
  })
})

describe('ML-KEM-768', () => {
  it('makes the published key of a seed', () => {
    for (const { seed, ekStart, ekEnd } of vectors<Record<'seed' | 'ekStart' | 'ekEnd', string>>('ml-kem-768')) {
      const { publicKey } = ml_kem768.keygen(bytesOf(seed))
      expect(toHex(publicKey.subarray(0, 32))).toBe(ekStart)
      expect(toHex(publicKey.subarray(-32))).toBe(ekEnd)
    }
  })

  it('has keys of 1,184 and ciphertexts of 1,088 bytes and gives both sides the secret it always gave', () => {
    const { kem } = vectorFile<{ kem: Record<'publicKeySha256' | 'cipherTextSha256' | 'secret', string> }>('frozen')
    const { publicKey, secretKey } = ml_kem768.keygen(someBytes(64, 'kem'))
    const { cipherText, sharedSecret } = ml_kem768.encapsulate(publicKey, someBytes(32, 'kem message'))
    expect([publicKey.length, cipherText.length]).toEqual([1_184, 1_088])
    expect(toHex(ml_kem768.decapsulate(cipherText, secretKey))).toBe(toHex(sharedSecret))
    expect(toHex(digest(publicKey))).toBe(kem.publicKeySha256)
    expect(toHex(digest(cipherText))).toBe(kem.cipherTextSha256)
    expect(toHex(sharedSecret)).toBe(kem.secret)
  })
})
