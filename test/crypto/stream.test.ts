import { ctr } from '@noble/ciphers/aes.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../core/index.ts'
import { aesCtr } from '../../crypto/index.ts'
import { bytesOf, someBytes, vectorFile, vectors } from './support.ts'

describe('aesCtr', () => {
  it.each(vectors<{ key: string; plain: string; expect: string }>('aes-256-ctr'))('$name', (vector) => {
    expect(toHex(aesCtr(bytesOf(vector.key), bytesOf(vector.plain)))).toBe(vector.expect)
  })

  it('agrees with a referee that passes SP 800-38A F.5.5', () => {
    const { referee } = vectorFile<{ referee: Record<'key' | 'counter' | 'plain' | 'expect', string> }>('aes-256-ctr')
    const cipher = ctr(bytesOf(referee.key), bytesOf(referee.counter))
    expect(toHex(cipher.encrypt(bytesOf(referee.plain)))).toBe(referee.expect)
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.uint8Array({ maxLength: 600 }), (key, data) => {
        expect(toHex(aesCtr(key, data))).toBe(toHex(ctr(key, new Uint8Array(16)).encrypt(data)))
      }),
    )
  })

  it('undoes itself and leaves its input alone', () => {
    const key = someBytes(32, 'key')
    const data = someBytes(63_360)
    const sealed = aesCtr(key, data)
    expect(toHex(data)).toBe(toHex(someBytes(63_360)))
    expect(toHex(sealed)).not.toBe(toHex(data))
    expect(toHex(aesCtr(key, sealed))).toBe(toHex(data))
  })

  it('opens a part that begins with a block alone, past the first byte of the counter too', () => {
    const key = someBytes(32, 'key')
    const data = someBytes(63_488)
    const sealed = aesCtr(key, data)
    for (const [from, size] of [
      [0, 16],
      [3_968, 3_968],
      [62_992, 496],
    ] as const) {
      expect(toHex(aesCtr(key, sealed.subarray(from, from + size), from))).toBe(toHex(data.subarray(from, from + size)))
    }
    for (const from of [-16, 8, 1]) expect(() => aesCtr(key, data, from)).toThrow('internal')
  })

  it('takes keys of 32 bytes only', () => {
    expect(() => aesCtr(new Uint8Array(16), new Uint8Array(1))).toThrow('internal')
  })
})
