import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concatBytes, fromUtf8, toHex } from '../../core/index.ts'
import { hkdf, LABELS } from '../../crypto/index.ts'
import { hkdfWithInfo } from '../../crypto/kdf.ts'
import { bytesOf, someBytes, vectors } from './support.ts'

interface Rfc5869 {
  secret: string
  salt: string
  info: string
  length: number
  expect: string
}
const published = vectors<Rfc5869>('hkdf-sha256')

/** RFC 5869 written out. */
function referee(secret: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  const extracted = createHmac('sha256', salt.length === 0 ? new Uint8Array(32) : salt)
    .update(secret)
    .digest()
  const blocks: Uint8Array[] = []
  for (let count = 1; 32 * blocks.length < length; count++) {
    const before = blocks.at(-1) ?? new Uint8Array(0)
    const block = createHmac('sha256', extracted)
      .update(before)
      .update(info)
      .update(new Uint8Array([count]))
      .digest()
    blocks.push(new Uint8Array(block))
  }
  return concatBytes(...blocks).slice(0, length)
}

describe('hkdf', () => {
  it.each(published)('the referee passes RFC 5869 $name', (vector) => {
    const derived = referee(bytesOf(vector.secret), bytesOf(vector.salt), bytesOf(vector.info), vector.length)
    expect(toHex(derived)).toBe(vector.expect)
  })

  it('passes the one vector of RFC 5869 without a salt', () => {
    const unsalted = published.filter(({ salt }) => salt === '')
    expect(unsalted.length).toBe(1)
    for (const { secret, info, length, expect: wanted } of unsalted) {
      expect(toHex(hkdfWithInfo(bytesOf(secret), bytesOf(info), length))).toBe(wanted)
    }
  })

  it('is RFC 5869 with no salt and the tag layout as info', () => {
    const label = fromUtf8(LABELS.dataKey)
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 96 }),
        fc.uint8Array({ maxLength: 200 }),
        fc.integer({ min: 1, max: 200 }),
        (secret, context, length) => {
          const info = concatBytes(
            new Uint8Array([label.length]),
            label,
            new Uint8Array([0, 0, 0, context.length]),
            context,
          )
          const wanted = referee(secret, new Uint8Array(0), info, length)
          expect(toHex(hkdf({ secret, label: LABELS.dataKey, context, length }))).toBe(toHex(wanted))
        },
      ),
    )
  })

  it('gives other keys for another label, context, or no context', () => {
    const secret = someBytes(32)
    const keys = [
      hkdf({ secret, label: LABELS.dataKey, length: 32 }),
      hkdf({ secret, label: LABELS.dataKey, context: new Uint8Array(0), length: 32 }),
      hkdf({ secret, label: LABELS.dataKey, context: new Uint8Array(1), length: 32 }),
      hkdf({ secret, label: LABELS.repairKey, length: 32 }),
    ]
    expect(new Set(keys.map(toHex)).size).toBe(4)
  })

  it('refuses to derive nothing, too much, or from an endless context', () => {
    const from = { secret: someBytes(32), label: LABELS.dataKey }
    expect(() => hkdf({ ...from, length: 0 })).toThrow('internal')
    expect(() => hkdf({ ...from, length: 255 * 32 + 1 })).toThrow('internal')
    expect(() => hkdf({ ...from, context: new Uint8Array(1_024), length: 32 })).toThrow('internal')
    expect(hkdf({ ...from, length: 255 * 32 }).length).toBe(8_160)
  })
})
