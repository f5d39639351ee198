import { gcm } from '@noble/ciphers/aes.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../core/index.ts'
import { CounterOpener, CounterSealer, openWith, SEAL_TAG_SIZE, sealWith } from '../../crypto/index.ts'
import { bytesOf, flipped, someBytes, vectors } from './support.ts'

const key = someBytes(32, 'key')
const nonce = someBytes(12, 'nonce')

describe('sealWith and openWith', () => {
  it.each(vectors<Record<'key' | 'nonce' | 'aad' | 'plain' | 'expect', string>>('aes-256-gcm'))(
    'GCM test case $name',
    (vector) => {
      const [k, n, aad, plain] = [vector.key, vector.nonce, vector.aad, vector.plain].map(bytesOf) as [
        Uint8Array,
        Uint8Array,
        Uint8Array,
        Uint8Array,
      ]
      expect(toHex(sealWith(k, n, plain, aad))).toBe(vector.expect)
      expect(toHex(openWith(k, n, bytesOf(vector.expect), aad) as Uint8Array)).toBe(vector.plain)
    },
  )

  it('agree with an independent library', () => {
    const bytes = (size: number) => fc.uint8Array({ minLength: size, maxLength: size })
    const data = fc.uint8Array({ maxLength: 300 })
    fc.assert(
      fc.property(bytes(32), bytes(12), data, data, (k, n, plain, aad) => {
        const sealed = sealWith(k, n, plain, aad)
        expect(toHex(sealed)).toBe(toHex(gcm(k, n, aad).encrypt(plain)))
        expect(toHex(openWith(k, n, sealed, aad) as Uint8Array)).toBe(toHex(plain))
      }),
    )
  })

  it('refuse a changed bit anywhere, another key, nonce or context, and what is too short', () => {
    const plain = someBytes(70)
    const aad = someBytes(9, 'aad')
    const sealed = sealWith(key, nonce, plain, aad)
    for (let at = 0; at < sealed.length; at++)
      expect(openWith(key, nonce, flipped(sealed, at, at % 8), aad)).toBeUndefined()
    expect(openWith(flipped(key, 31), nonce, sealed, aad)).toBeUndefined()
    expect(openWith(key, flipped(nonce, 0), sealed, aad)).toBeUndefined()
    expect(openWith(key, nonce, sealed, flipped(aad, 8))).toBeUndefined()
    expect(openWith(key, nonce, sealed)).toBeUndefined()
    for (let size = 0; size < sealed.length; size += 5) {
      expect(openWith(key, nonce, sealed.subarray(0, size), aad)).toBeUndefined()
    }
  })
})

/** `count` messages in a row, of different sizes, as they would travel. */
function sealedRow(count: number): { plain: Uint8Array; sealed: Uint8Array; tag: Uint8Array }[] {
  const sealer = new CounterSealer(key)
  return Array.from({ length: count }, (_, index) => {
    const plain = someBytes(100 + index, `message ${index}`)
    const sealed = new Uint8Array(plain.length + SEAL_TAG_SIZE)
    sealer.sealInto(plain, sealed)
    return { plain, sealed, tag: sealer.lastTag }
  })
}

describe('CounterSealer and CounterOpener', () => {
  it('carry messages in order, with the count as nonce', () => {
    const opener = new CounterOpener(key)
    for (const [index, { plain, sealed }] of sealedRow(300).entries()) {
      const count = new Uint8Array(12)
      new DataView(count.buffer).setUint32(8, index)
      expect(toHex(sealed)).toBe(toHex(gcm(key, count).encrypt(plain)))
      expect(toHex(opener.open(sealed) as Uint8Array)).toBe(toHex(plain))
    }
  })

  it('tell the tag of the newest message at both ends', () => {
    const opener = new CounterOpener(key)
    expect(toHex(opener.lastTag)).toBe('00'.repeat(16))
    expect(toHex(new CounterSealer(key).lastTag)).toBe('00'.repeat(16))
    for (const { sealed, tag } of sealedRow(3)) {
      opener.open(sealed)
      expect(toHex(tag)).toBe(toHex(sealed.subarray(-16)))
      expect(toHex(opener.lastTag)).toBe(toHex(tag))
    }
  })

  it('hand out tags that cannot be changed from outside', () => {
    const [first] = sealedRow(1)
    const opener = new CounterOpener(key)
    opener.open(first?.sealed as Uint8Array)
    opener.lastTag.fill(0)
    const sealer = new CounterSealer(key)
    sealer.sealInto(first?.plain as Uint8Array, new Uint8Array(116))
    sealer.lastTag.fill(0)
    expect(toHex(sealer.lastTag)).toBe(toHex(first?.tag as Uint8Array))
    expect(toHex(opener.lastTag)).toBe(toHex(first?.tag as Uint8Array))
  })

  const row = sealedRow(4).map(({ sealed }) => sealed) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array]
  const wrongs: { what: string; first: Uint8Array[]; wrong: Uint8Array }[] = [
    { what: 'a message out of order', first: [row[0]], wrong: row[2] },
    { what: 'a replay', first: [row[0], row[1]], wrong: row[1] },
    { what: 'what follows a missing message', first: [], wrong: row[1] },
    { what: 'a changed bit', first: [row[0]], wrong: flipped(row[1], 50, 2) },
    { what: 'a cut message', first: [row[0]], wrong: row[1].subarray(0, -1) },
    { what: 'less than a tag', first: [row[0]], wrong: new Uint8Array(15) },
  ]
  it.each(wrongs)('refuse $what, and everything after it', ({ first, wrong }) => {
    const opener = new CounterOpener(key)
    for (const each of first) expect(opener.open(each)).toBeDefined()
    expect(opener.open(wrong)).toBeUndefined()
    for (const each of row) expect(opener.open(each)).toBeUndefined()
  })

  it('refuse what would have come next, once a message was bad', () => {
    for (const next of [row[1], row[2]]) {
      const opener = new CounterOpener(key)
      expect(opener.open(row[0])).toBeDefined()
      expect(opener.open(flipped(row[1], 0))).toBeUndefined()
      expect(opener.open(next)).toBeUndefined()
    }
  })

  it('keep the tag of the last good message after a bad one', () => {
    const opener = new CounterOpener(key)
    opener.open(row[0])
    opener.open(row[2])
    expect(toHex(opener.lastTag)).toBe(toHex(row[0].subarray(-16)))
  })

  it('refuse messages under another key', () => {
    expect(new CounterOpener(flipped(key, 0)).open(row[0])).toBeUndefined()
  })

  it('seal in place', () => {
    const body = new Uint8Array(116)
    const [first] = sealedRow(1)
    body.set(first?.plain as Uint8Array, 5)
    new CounterSealer(key).sealInto(body.subarray(5, 105), body)
    expect(toHex(body)).toBe(toHex(first?.sealed as Uint8Array))
  })

  it('demand room for exactly the message and its tag', () => {
    expect(() => new CounterSealer(key).sealInto(new Uint8Array(10), new Uint8Array(27))).toThrow('internal')
    expect(() => new CounterSealer(new Uint8Array(16))).toThrow('internal')
  })
})
