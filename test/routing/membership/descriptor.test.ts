import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MalformedError, type NetworkId, type PublicKey } from '../../../core/index.ts'
import { BadDescriptorError } from '../../../routing/errors.ts'
import { prefixOf, splitEndpoint } from '../../../routing/membership/address.ts'
import {
  DESCRIPTOR_SIZE_MAX,
  decodeDescriptor,
  encodeDescriptor,
  signDescriptor,
  verifyDescriptor,
} from '../../../routing/membership/descriptor.ts'
import { pointOf } from '../ring/rings.ts'
import { descriptorOf, fieldsOf, keyOf, NETWORK } from './members.ts'

const rolesArbitrary = fc.record({
  relay: fc.boolean(),
  gateway: fc.boolean(),
  keeper: fc.boolean(),
  leaving: fc.boolean(),
})

describe('a descriptor', () => {
  it('comes back from its bytes as it was, and is still signed', () => {
    fc.assert(
      fc.property(rolesArbitrary, fc.maxSafeNat(), fc.maxSafeNat(), fc.boolean(), (roles, issuedMs, nonce, isTwo) => {
        const addresses = isTwo ? ['node.example.org:4100', '[2001:db8::1]:4100'] : ['192.0.2.1:1']
        const made = descriptorOf(1, { roles, issuedMs, nonce, addresses })
        const back = decodeDescriptor(encodeDescriptor(made))
        expect(back).toEqual(made)
        expect(verifyDescriptor(back, NETWORK)).toBe(true)
      }),
      { numRuns: 40 },
    )
  })

  it('is refused once any bit of it is changed', () => {
    const bytes = encodeDescriptor(descriptorOf(2))
    fc.assert(
      fc.property(fc.nat({ max: bytes.length - 1 }), fc.nat({ max: 7 }), (at, bit) => {
        const changed = bytes.slice()
        changed[at] = (changed[at] as number) ^ (1 << bit)
        try {
          expect(verifyDescriptor(decodeDescriptor(changed), NETWORK)).toBe(false)
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedError)
        }
      }),
      { numRuns: 400 },
    )
  })

  it('decoding any bytes gives a descriptor of the same bytes or a malformed error', () => {
    const good = encodeDescriptor(descriptorOf(3))
    const mangled = fc
      .tuple(fc.nat(good.length), fc.uint8Array({ maxLength: 40 }))
      .map(([cut, tail]) => Uint8Array.from([...good.subarray(0, cut), ...tail]))
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 800 }), mangled), (bytes) => {
        try {
          expect(encodeDescriptor(decodeDescriptor(bytes))).toEqual(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedError)
        }
      }),
      { numRuns: 1_000 },
    )
  })

  it('belongs to one network and one key', () => {
    const made = descriptorOf(4)
    expect(verifyDescriptor(made, pointOf(78) as NetworkId)).toBe(false)
    expect(verifyDescriptor({ ...made, publicKey: keyOf(5).publicKey }, NETWORK)).toBe(false)
  })

  it('under a key of small order is refused even where its signature holds', () => {
    // The identity point: R = identity and s = 0 sign every message.
    const publicKey = Uint8Array.from({ length: 32 }, (_, at) => Number(at === 0)) as PublicKey
    const signature = new Uint8Array(64)
    signature[0] = 1
    expect(verifyDescriptor({ ...descriptorOf(6), publicKey, signature }, NETWORK)).toBe(false)
  })

  it('at its largest fits its limit', () => {
    const label = 'a'.repeat(63)
    const name = `${label}.${label}.${label}.${'a'.repeat(57)}:1`
    expect(name.length).toBe(251)
    const made = descriptorOf(7, { addresses: [name, name] })
    expect(encodeDescriptor(made).length).toBeLessThanOrEqual(DESCRIPTOR_SIZE_MAX)
  })

  it('cannot be signed with no address, three, or one that nobody could dial', () => {
    for (const addresses of [[], ['a:1', 'b:1', 'c:1'], ['192.0.2.1']]) {
      expect(() => signDescriptor(keyOf(8), NETWORK, fieldsOf(8, { addresses }))).toThrow(BadDescriptorError)
    }
  })
})

describe('an address', () => {
  it.each([
    ['192.0.2.1:4100', { host: '192.0.2.1', port: 4_100, family: 'ipv4' }],
    ['[2001:db8::1]:65535', { host: '2001:db8::1', port: 65_535, family: 'ipv6' }],
    ['[::]:1', { host: '::', port: 1, family: 'ipv6' }],
    ['[1:2:3:4:5:6:7:8]:1', { host: '1:2:3:4:5:6:7:8', port: 1, family: 'ipv6' }],
    ['localhost:80', { host: 'localhost', port: 80, family: 'name' }],
    ['a-1.example.org:80', { host: 'a-1.example.org', port: 80, family: 'name' }],
  ])('%s is one', (address, endpoint) => {
    expect(splitEndpoint(address)).toEqual(endpoint)
  })

  it.each([
    '',
    ':1',
    'host',
    'host:',
    'host:0',
    'host:01',
    'host:65536',
    'host:+1',
    'host: 1',
    '192.0.2.256:1',
    '192.0.2.01:1',
    '192.0.2:1',
    '1:1',
    'Host:1',
    '-a.org:1',
    'a-.org:1',
    'a..org:1',
    'a.org.:1',
    'a_b:1',
    'user@host:1',
    'host/path:1',
    'höst:1',
    '2001:db8::1:1',
    '[2001:db8::1:1',
    '[]:1',
    '[:]:1',
    '[1::2::3]:1',
    '[1:2:3:4:5:6:7]:1',
    '[1:2:3:4:5:6:7:8:9]:1',
    '[1:2:3:4::5:6:7:8]:1',
    '[fe80::1%eth0]:1',
    '[12345::]:1',
    '[::192.0.2.1]:1',
    `${'a'.repeat(64)}:1`,
    `${'a.'.repeat(126)}aa:1`,
  ])('%j is none', (address) => {
    expect(splitEndpoint(address)).toBeUndefined()
    expect(prefixOf(address)).toBeUndefined()
  })

  it('belongs to the /16 of IPv4, the /32 of IPv6, or its name', () => {
    expect(prefixOf('127.3.0.1:1')).toBe(prefixOf('127.3.9.9:2'))
    expect(prefixOf('127.3.0.1:1')).not.toBe(prefixOf('127.4.0.1:1'))
    expect(prefixOf('[2001:db8:1::1]:1')).toBe(prefixOf('[2001:db8::2]:1'))
    expect(prefixOf('[2001:db8::1]:1')).not.toBe(prefixOf('[2001:db9::1]:1'))
    expect(prefixOf('[::ffff:7f03:1]:1')).toBe(prefixOf('127.3.0.1:1'))
    expect(prefixOf('a.example.org:1')).toBe(prefixOf('a.example.org:2'))
    expect(prefixOf('a.example.org:1')).not.toBe(prefixOf('b.example.org:1'))
  })
})
