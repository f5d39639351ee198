/**
 * What a node says of itself, signed: who it is, where it can be reached, what it does.
 * SPEC membership §1. Times in Unix milliseconds. Big-endian:
 *
 *   0     1  version      1
 *   1     1  roles        bit 0 relay, 1 gateway, 2 keeper, 3 leaving; the others zero
 *   2    32  id           follows from key and nonce: the caller checks it with nodeIdOf
 *  34    32  public key
 *  66     8  nonce
 *  74    32  onion key
 * 106     8  issued
 * 114     1  addresses    1 or 2, each: length u8, then text in ASCII
 *   …    64  signature    over H(descriptor, network id, all the bytes before)
 */
import {
  ByteReader,
  ByteWriter,
  fromUtf8,
  type NetworkId,
  type NodeId,
  named32,
  type OnionKey,
  type PublicKey,
  toUtf8,
} from '../../core/index.ts'
import {
  isSafePublicKey,
  LABELS,
  SIGNATURE_SIZE,
  type SigningKey,
  tagged,
  verifySignature,
} from '../../crypto/index.ts'
import { BadDescriptorError } from '../errors.ts'
import { ADDRESS_SIZE_MAX, ADDRESSES_MAX, splitEndpoint } from './address.ts'

export interface Roles {
  readonly relay: boolean
  readonly gateway: boolean
  /** A member of the ring. */
  readonly keeper: boolean
  /** About to go: not to be chosen for anything any more. */
  readonly leaving: boolean
}

export interface DescriptorFields {
  readonly id: NodeId
  readonly nonce: number
  readonly onionKey: OnionKey
  /** One or two, "host:port". */
  readonly addresses: readonly string[]
  readonly roles: Roles
  readonly issuedMs: number
}

export interface Descriptor extends DescriptorFields {
  readonly publicKey: PublicKey
  readonly signature: Uint8Array
}

const VERSION = 1
const FIXED_SIZE = 115
export const DESCRIPTOR_SIZE_MAX = FIXED_SIZE + ADDRESSES_MAX * (1 + ADDRESS_SIZE_MAX) + SIGNATURE_SIZE
const ROLE_BITS = { relay: 1, gateway: 2, keeper: 4, leaving: 8 } as const
const ROLES_ALL = 15

/** Throws ERR_BAD_DESCRIPTOR when no other node would accept the result. */
export function signDescriptor(key: SigningKey, networkId: NetworkId, fields: DescriptorFields): Descriptor {
  const { addresses } = fields
  if (addresses.length < 1 || addresses.length > ADDRESSES_MAX)
    throw new BadDescriptorError('it has no address, or many')
  if (!addresses.every((address) => splitEndpoint(address))) throw new BadDescriptorError('an address is malformed')
  const unsigned = { ...fields, publicKey: key.publicKey }
  return { ...unsigned, signature: key.sign(tagged(LABELS.descriptor, networkId, writeBody(unsigned).done())) }
}

/**
 * Whether the node itself signed this for this network, with a key fit for admission. That the id
 * belongs to the key is not checked here: it takes the puzzle's work (nodeIdOf).
 */
export function verifyDescriptor(descriptor: Descriptor, networkId: NetworkId): boolean {
  const { publicKey, signature } = descriptor
  const body = encodeDescriptor(descriptor).subarray(0, -SIGNATURE_SIZE)
  const signed = tagged(LABELS.descriptor, networkId, body)
  return verifySignature(publicKey, signed, signature) && isSafePublicKey(publicKey)
}

/** Not to be changed: the same bytes are given out again. */
export function encodeDescriptor(descriptor: Descriptor): Uint8Array {
  const known = ENCODED.get(descriptor)
  if (known !== undefined) return known
  const encoded = writeBody(descriptor).bytes(descriptor.signature).done().slice()
  ENCODED.set(descriptor, encoded)
  return encoded
}

/** Neighbours tell each other the same descriptors again and again: as it came, so it goes on. */
const ENCODED = new WeakMap<Descriptor, Uint8Array>()

/** The id in an encoded descriptor, unchecked: to look up whether just these bytes are known already. */
export function encodedId(bytes: Uint8Array): NodeId | undefined {
  return bytes.length < FIXED_SIZE ? undefined : (bytes.subarray(2, 34) as NodeId)
}

/** Copies what it keeps. Throws ERR_MALFORMED; each descriptor has one encoding only. */
export function decodeDescriptor(bytes: Uint8Array): Descriptor {
  const reader = new ByteReader(bytes, 'descriptor')
  if (reader.u8() !== VERSION) throw reader.malformed('unknown version')
  const bits = reader.u8()
  if ((bits & ~ROLES_ALL) !== 0) throw reader.malformed('unknown roles')
  const id = named32<'NodeId'>(reader.bytes(32).slice(), 'node id')
  const publicKey = named32<'PublicKey'>(reader.bytes(32).slice(), 'public key')
  const nonce = reader.u64()
  const onionKey = named32<'OnionKey'>(reader.bytes(32).slice(), 'onion key')
  const issuedMs = reader.u64()
  const count = reader.u8()
  if (count < 1 || count > ADDRESSES_MAX) throw reader.malformed('count of addresses')
  const addresses = Array.from({ length: count }, () => {
    const text = toUtf8(reader.bytes(reader.u8()))
    if (text === undefined || splitEndpoint(text) === undefined) throw reader.malformed('address')
    return text
  })
  const signature = reader.bytes(SIGNATURE_SIZE).slice()
  reader.end()
  const descriptor = { id, publicKey, nonce, onionKey, addresses, roles: rolesOf(bits), issuedMs, signature }
  ENCODED.set(descriptor, bytes.slice())
  return descriptor
}

type Body = Omit<Descriptor, 'signature'>

function writeBody(body: Body): ByteWriter {
  const writer = new ByteWriter(DESCRIPTOR_SIZE_MAX)
    .u8(VERSION)
    .u8(bitsOf(body.roles))
    .bytes(body.id)
    .bytes(body.publicKey)
    .u64(body.nonce)
    .bytes(body.onionKey)
    .u64(body.issuedMs)
    .u8(body.addresses.length)
  for (const address of body.addresses) {
    const text = fromUtf8(address)
    writer.u8(text.length).bytes(text)
  }
  return writer
}

function bitsOf(roles: Roles): number {
  let bits = 0
  for (const [role, bit] of Object.entries(ROLE_BITS)) if (roles[role as keyof Roles]) bits |= bit
  return bits
}

function rolesOf(bits: number): Roles {
  return {
    relay: (bits & ROLE_BITS.relay) !== 0,
    gateway: (bits & ROLE_BITS.gateway) !== 0,
    keeper: (bits & ROLE_BITS.keeper) !== 0,
    leaving: (bits & ROLE_BITS.leaving) !== 0,
  }
}
