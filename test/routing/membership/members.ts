/** Signed descriptors for the tests. */

import { type Jitter, type NetworkId, type NodeId, named32, type OnionKey } from '../../../core/index.ts'
import { type SigningKey, signingKeyFromSeed } from '../../../crypto/index.ts'
import type { DescriptorFields, Roles } from '../../../routing/membership/descriptor.ts'
import { type Descriptor, signDescriptor } from '../../../routing/membership/descriptor.ts'
import { pointOf } from '../ring/rings.ts'

export const NETWORK = named32<'NetworkId'>(pointOf(77), 'network') as NetworkId
export const EPOCH_MS = 1_800_000_000_000

const keys = new Map<number, SigningKey>()
export function keyOf(seed: number): SigningKey {
  const key = keys.get(seed) ?? signingKeyFromSeed(pointOf(2_000_000 + seed))
  keys.set(seed, key)
  return key
}

export const EVERY_ROLE: Roles = { relay: true, gateway: true, keeper: true, leaving: false }

export function fieldsOf(seed: number, changes: Partial<DescriptorFields> = {}): DescriptorFields {
  return {
    id: pointOf(seed) as NodeId,
    nonce: seed,
    onionKey: pointOf(3_000_000 + seed) as OnionKey,
    addresses: [`127.${(seed % 250) + 1}.0.1:4100`],
    roles: EVERY_ROLE,
    issuedMs: EPOCH_MS,
    ...changes,
  }
}

export function descriptorOf(seed: number, changes: Partial<DescriptorFields> = {}): Descriptor {
  return signDescriptor(keyOf(seed), NETWORK, fieldsOf(seed, changes))
}

/** Not signed: for views of many, which trust their caller. */
export function unsignedOf(seed: number, changes: Partial<DescriptorFields> = {}): Descriptor {
  const publicKey = named32<'PublicKey'>(pointOf(4_000_000 + seed), 'key')
  return { ...fieldsOf(seed, changes), publicKey, signature: new Uint8Array(64) }
}

export function seededJitter(seed: number): Jitter {
  let state = seed
  return {
    uint32: () => {
      state = (state + 0x9e3779b9) | 0
      let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
      return (mixed ^ (mixed >>> 15)) >>> 0
    },
  }
}
