/**
 * Repair keys: with one an object can be checked, renewed and repaired, and not read. It is the address of
 * the object's repair list under another beginning, with a checksum of its own. SPEC repair §3
 */
import { concatBytes, equalBytes, fromBase32, toBase32 } from '../core/index.ts'
import { LABELS, tagged } from '../crypto/index.ts'
import { type Address, type PrivateAddress, parseAddress, REPAIR_PREFIX } from './address.ts'
import { BadRepairKeyError, NewerAddressError } from './errors.ts'

/** Where the repair list is, and the key to it; 32 bytes each. */
export interface RepairKey {
  readonly kind: 'repair'
  readonly locator: Uint8Array
  readonly key: Uint8Array
}
/** Whatever an object can be looked after with. */
export type Handle = Address | RepairKey

const VERSION = 1
const KIND_CODE = 0
const CHECKSUM_SIZE = 4
const NAMED_SIZE = 65
const TEXT_LENGTH_MAX = 512

// the bytes behind the letters. SPEC repair §3
//   0   1  version (high four bits, 1) and kind (low four bits, 0)
//   1  32  locator of the repair list
//  33  32  key of the repair list
//  65   4  checksum: the first bytes of tagged("repair-key-checksum", all before)
export function formatRepairKey(key: RepairKey): string {
  const named = concatBytes(Uint8Array.of((VERSION << 4) | KIND_CODE), key.locator, key.key)
  return REPAIR_PREFIX + toBase32(concatBytes(named, checksumOf(named)))
}

/** Accepts what parseAddress accepts around it. Throws ERR_BAD_REPAIR_KEY or ERR_NEWER_ADDRESS. */
export function parseRepairKey(text: string): RepairKey {
  const trimmed = text.trim()
  if (!isRepairKeyText(trimmed)) throw new BadRepairKeyError(`does not begin with ${REPAIR_PREFIX}`)
  const letters = trimmed.slice(REPAIR_PREFIX.length)
  if (letters.length > TEXT_LENGTH_MAX) throw new BadRepairKeyError('is too long')
  const bytes = fromBase32(letters)
  if (bytes === undefined || bytes.length <= CHECKSUM_SIZE) throw new BadRepairKeyError('is mistyped or cut off')
  const named = bytes.subarray(0, bytes.length - CHECKSUM_SIZE)
  if (!equalBytes(checksumOf(named), bytes.subarray(named.length))) {
    throw new BadRepairKeyError('is mistyped or cut off')
  }
  const head = named[0] ?? 0
  if (head >> 4 > VERSION) throw new NewerAddressError(head >> 4)
  if (head !== ((VERSION << 4) | KIND_CODE) || named.length !== NAMED_SIZE) {
    throw new BadRepairKeyError('is of a kind that does not exist')
  }
  return { kind: 'repair', locator: named.slice(1, 33), key: named.slice(33) }
}

/** An address or a repair key, told apart by how it begins. */
export function parseHandle(text: string): Handle {
  return isRepairKeyText(text.trim()) ? parseRepairKey(text) : parseAddress(text)
}

/** Where the list itself is stored: an object like any other. */
export function listAddress(key: RepairKey): PrivateAddress {
  return { kind: 'private', locator: key.locator, key: key.key }
}

function isRepairKeyText(trimmed: string): boolean {
  return trimmed.slice(0, REPAIR_PREFIX.length).toLowerCase() === REPAIR_PREFIX
}

function checksumOf(named: Uint8Array): Uint8Array {
  return tagged(LABELS.repairKeyChecksum, named).subarray(0, CHECKSUM_SIZE)
}
