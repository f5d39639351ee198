import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toBase32 } from '../../core/index.ts'
import { LABELS, tagged } from '../../crypto/index.ts'
import { type Address, BadAddressError, formatAddress, NewerAddressError, parseAddress } from '../../storage/index.ts'

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
const addresses: fc.Arbitrary<Address> = fc.oneof(
  fc.record({ kind: fc.constant('private' as const), locator: bytes32, key: bytes32 }),
  fc.record({ kind: fc.constant('public' as const), hash: bytes32 }),
)

/** An address of any version and kind, with the right checksum. */
function spell(head: number, payloadSize: number): string {
  const named = Uint8Array.of(head, ...new Uint8Array(payloadSize))
  return `hush:${toBase32(Uint8Array.of(...named, ...tagged(LABELS.addressChecksum, named).subarray(0, 4)))}`
}

function reasonOf(text: string): string {
  try {
    parseAddress(text)
    return 'accepted'
  } catch (error) {
    if (error instanceof BadAddressError) return error.reason
    throw error
  }
}

describe('addresses', () => {
  it('read back as they were written, in capitals and amid space too', () => {
    fc.assert(
      fc.property(addresses, (address) => {
        const text = formatAddress(address)
        expect(text).toHaveLength(address.kind === 'private' ? 5 + 111 : 5 + 60)
        expect(parseAddress(text)).toEqual(address)
        expect(parseAddress(`  ${text.toUpperCase()}\n`)).toEqual(address)
      }),
    )
  })

  it('are refused after any single changed letter', () => {
    const [sample] = fc.sample(addresses, { numRuns: 1, seed: 7 }) as [Address]
    const both: Address[] = [sample, { kind: 'public', hash: new Uint8Array(32).fill(9) }]
    for (const address of both) {
      const text = formatAddress(address)
      for (let at = 0; at < text.length; at++) {
        for (const letter of 'abcdefghijklmnopqrstuvwxyz0123456789:\u017f\u212a') {
          if (letter === text[at]) continue
          expect(reasonOf(text.slice(0, at) + letter + text.slice(at + 1))).not.toBe('accepted')
        }
      }
    }
  })

  it('are refused when letters are lost, added or swapped', () => {
    fc.assert(
      fc.property(addresses, fc.nat(200), fc.nat(200), (address, a, b) => {
        const text = formatAddress(address)
        const [i, j] = [5 + (a % (text.length - 5)), 5 + (b % (text.length - 5))].sort((x, y) => x - y) as [
          number,
          number,
        ]
        expect(reasonOf(text.slice(0, i) + text.slice(i + 1))).toBe('length')
        expect(['length', 'checksum']).toContain(reasonOf(`${text.slice(0, i)}a${text.slice(i)}`))
        const swapped = text.slice(0, i) + text[j] + text.slice(i + 1, j) + text[i] + text.slice(j + 1)
        if (i !== j && swapped !== text) expect(reasonOf(swapped)).not.toBe('accepted')
      }),
    )
  })

  it('say in which way they are wrong', () => {
    const text = formatAddress({ kind: 'public', hash: new Uint8Array(32) })
    expect(reasonOf('')).toBe('prefix')
    expect(reasonOf(text.slice(5))).toBe('prefix')
    expect(reasonOf('hush:')).toBe('length')
    expect(reasonOf(`hush:${'a'.repeat(1_000)}`)).toBe('length')
    expect(reasonOf(text.replace(/.$/, '1'))).toBe('letter')
    expect(reasonOf(text.replace(/.$/, 'é'))).toBe('letter')
    expect(reasonOf(text.replace('hush:c', 'hush:d'))).toBe('checksum')
    expect(reasonOf(spell(0x12, 32))).toBe('kind')
    expect(reasonOf(spell(0x11, 64))).toBe('length')
    expect(reasonOf(spell(0x01, 32))).toBe('kind')
    expect(reasonOf(spell(0x11, 32))).toBe('accepted')
  })

  it('of a newer version say so', () => {
    for (const text of [spell(0x21, 32), spell(0xf9, 57)]) {
      expect(() => parseAddress(text)).toThrow(NewerAddressError)
      expect(() => parseAddress(text)).toThrow(/update|version/)
    }
  })

  it('never show in their own error messages', () => {
    const text = formatAddress({
      kind: 'private',
      locator: new Uint8Array(32).fill(3),
      key: new Uint8Array(32).fill(4),
    })
    const error = (() => {
      try {
        return parseAddress(`${text}x`)
      } catch (thrown) {
        return thrown
      }
    })() as BadAddressError
    expect(error.message + error.hint).not.toContain(text.slice(5, 15))
  })
})
