/**
 * Addresses as people see them, and the keys inside. Whoever has an address can read the object.
 * SPEC addresses §1. The checksum finds slips of the hand, not attacks.
 */
import { concatBytes, equalBytes, fromBase32, toBase32 } from '../core/index.ts'
import { LABELS, tagged } from '../crypto/index.ts'
import { BadAddressError, NewerAddressError } from './errors.ts'

/** A64: found by `locator`, read with `key`; 32 bytes each. SPEC addresses §2 */
export interface PrivateAddress {
  readonly kind: 'private'
  readonly locator: Uint8Array
  readonly key: Uint8Array
}
/** A32: the hash of the plaintext root, from which places and keys follow; 32 bytes. SPEC addresses §3 */
export interface PublicAddress {
  readonly kind: 'public'
  readonly hash: Uint8Array
}
export type Address = PrivateAddress | PublicAddress

const PREFIX = 'hush:'
/** Of repair keys, which are no addresses: repair-key.ts. */
export const REPAIR_PREFIX = 'hush-repair:'
const VERSION = 1
const CHECKSUM_SIZE = 4
const KIND_CODES = { private: 0, public: 1 } as const
const PAYLOAD_SIZES: readonly number[] = [64, 32]
/** Longer than any address of this version or, with room to spare, a later one. */
const TEXT_LENGTH_MAX = 512

// the bytes behind the letters. SPEC addresses §1
//   0       1  version (high four bits, 1) and kind (low four bits: 0 private, 1 public)
//   1  64, 32  payload: locator and key; or hash
//   +       4  checksum: the first bytes of tagged("address-checksum", all before)
export function formatAddress(address: Address): string {
  const head = Uint8Array.of((VERSION << 4) | KIND_CODES[address.kind])
  const named =
    address.kind === 'private' ? concatBytes(head, address.locator, address.key) : concatBytes(head, address.hash)
  return PREFIX + toBase32(concatBytes(named, checksumOf(named)))
}

/**
 * Accepts surrounding space and capital letters; any other single changed letter is refused. Throws
 * ERR_BAD_ADDRESS or ERR_NEWER_ADDRESS.
 */
export function parseAddress(text: string): Address {
  const trimmed = text.trim()
  if (trimmed.slice(0, REPAIR_PREFIX.length).toLowerCase() === REPAIR_PREFIX) throw new BadAddressError('repair')
  if (trimmed.slice(0, PREFIX.length).toLowerCase() !== PREFIX) throw new BadAddressError('prefix')
  const letters = trimmed.slice(PREFIX.length)
  if (letters.length > TEXT_LENGTH_MAX) throw new BadAddressError('length')
  if (!/^[a-z2-7]*$/i.test(letters)) throw new BadAddressError('letter')

  const bytes = fromBase32(letters)
  if (bytes === undefined || bytes.length <= 1 + CHECKSUM_SIZE) {
    throw new BadAddressError(isPossibleLength(letters.length) ? 'checksum' : 'length')
  }
  const named = bytes.subarray(0, bytes.length - CHECKSUM_SIZE)
  const isIntact = equalBytes(checksumOf(named), bytes.subarray(named.length))
  const head = named[0] ?? 0
  const version = head >> 4
  const payloadSize = PAYLOAD_SIZES[head & 15]
  if (!isIntact) {
    throw new BadAddressError(
      version === VERSION && payloadSize !== undefined && named.length !== 1 + payloadSize ? 'length' : 'checksum',
    )
  }
  if (version > VERSION) throw new NewerAddressError(version)
  if (version < VERSION || payloadSize === undefined) throw new BadAddressError('kind')
  if (named.length !== 1 + payloadSize) throw new BadAddressError('length')

  const payload = named.slice(1)
  return (head & 15) === KIND_CODES.private
    ? { kind: 'private', locator: payload.subarray(0, 32), key: payload.subarray(32) }
    : { kind: 'public', hash: payload }
}

function checksumOf(named: Uint8Array): Uint8Array {
  return tagged(LABELS.addressChecksum, named).subarray(0, CHECKSUM_SIZE)
}

/** Whether so many letters spell an address of this version. */
function isPossibleLength(letters: number): boolean {
  return PAYLOAD_SIZES.some((size) => Math.ceil(((1 + size + CHECKSUM_SIZE) * 8) / 5) === letters)
}
