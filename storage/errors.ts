/**
 * What can go wrong with objects, stripes and the shard store, and who must act. SPEC dispersal §7, §8,
 * addresses §1, shard-store §4. No message names an address, a shard or a file.
 */
import { InputError, LocalError, PeerError, UnavailableError } from '../core/index.ts'

/** The text is not an address: `reason` says in which way. Nothing was asked of the network. */
export class BadAddressError extends InputError {
  readonly code = 'ERR_BAD_ADDRESS'
  readonly reason: BadAddressReason
  constructor(reason: BadAddressReason) {
    super(`not a usable address: ${REASONS[reason].what}`, { hint: REASONS[reason].hint })
    this.reason = reason
  }
}

export type BadAddressReason = 'prefix' | 'letter' | 'length' | 'checksum' | 'kind' | 'repair'

const REASONS: Readonly<Record<BadAddressReason, { what: string; hint: string }>> = {
  prefix: { what: 'it does not begin with hush:', hint: 'copy the whole address, from hush: to its last letter' },
  letter: { what: 'it holds a sign that addresses never use', hint: 'an address is written with a-z and 2-7 only' },
  length: { what: 'it is too long or too short', hint: 'copy the whole address, from hush: to its last letter' },
  checksum: { what: 'it is mistyped', hint: 'compare it with where you got it, or copy it again' },
  repair: {
    what: 'it is a repair key, which does not allow to read',
    hint: 'a repair key serves hush check, hush repair and hush keep; to read, ask for the address',
  },
  kind: { what: 'it names a kind of object that does not exist', hint: 'ask for the address again' },
}

/** The text is not a repair key. Nothing was asked of the network. */
export class BadRepairKeyError extends InputError {
  readonly code = 'ERR_BAD_REPAIR_KEY'
  constructor(what: string) {
    super(`not a usable repair key: it ${what}`, {
      hint: 'copy the whole line that hush repair-key printed, from hush-repair: to its last letter',
    })
  }
}

/** A well-formed address that a later version of the program made. */
export class NewerAddressError extends InputError {
  readonly code = 'ERR_NEWER_ADDRESS'
  readonly version: number
  constructor(version: number) {
    super(`the address is of version ${version}; this program knows version 1`, {
      hint: 'update the program to read it',
    })
    this.version = version
  }
}

/** The object was found, but a later version of the program wrote it. */
export class NewerObjectError extends InputError {
  readonly code = 'ERR_NEWER_OBJECT'
  constructor() {
    super('the object was stored by a newer version of this program', { hint: 'update the program to read it' })
  }
}

/** A name or type that the manifest cannot carry. */
export class BadNameError extends InputError {
  readonly code = 'ERR_BAD_NAME'
  constructor(what: 'name' | 'type', why: string) {
    super(`the ${what} ${why}`, { hint: `store it under another ${what}, or none` })
  }
}

/** More bytes than a manifest can describe. */
export class ObjectTooLargeError extends InputError {
  readonly code = 'ERR_OBJECT_TOO_LARGE'
  readonly lengthMaxBytes: number
  constructor(lengthMaxBytes: number) {
    super(`an object has at most ${lengthMaxBytes} bytes`, { hint: 'store it in parts' })
    this.lengthMaxBytes = lengthMaxBytes
  }
}

/** A range that does not lie within the object. */
export class BadRangeError extends InputError {
  readonly code = 'ERR_BAD_RANGE'
  readonly lengthBytes: number
  constructor(lengthBytes: number) {
    super(`the range does not lie within the ${lengthBytes} bytes of the object`)
    this.lengthBytes = lengthBytes
  }
}

/** Counts of one stripe's shards. */
export interface StripeCounts {
  readonly stripe: number
  readonly stored: number
  readonly pending: number
  readonly needed: number
  readonly total: number
}

/** Too few keepers took shards of one stripe: the object is not stored. Try again later. */
export class StripeNotStoredError extends UnavailableError {
  readonly code = 'ERR_STRIPE_NOT_STORED'
  readonly stripe: number
  readonly stored: number
  readonly pending: number
  readonly needed: number
  readonly total: number
  constructor(counts: StripeCounts) {
    super(
      `stripe ${counts.stripe}: ${counts.stored} of ${counts.total} shards stored, ${counts.needed} needed ` +
        `(${counts.pending} still pending)`,
      { hint: 'wait until the node has more circuits, then store the object again' },
    )
    this.stripe = counts.stripe
    this.stored = counts.stored
    this.pending = counts.pending
    this.needed = counts.needed
    this.total = counts.total
  }
}

/**
 * Fewer shards answered than the stripe needs. The object is not lost: ask again later. `found` counts
 * shards that passed their check; what the attempts failed with is in `cause`.
 */
export class TooFewShardsError extends UnavailableError {
  readonly code = 'ERR_TOO_FEW_SHARDS'
  readonly stripe: number
  readonly level: number
  readonly found: number
  readonly needed: number
  constructor(counts: { stripe: number; level: number; found: number; needed: number }, causes: readonly unknown[]) {
    super(
      `${counts.level === 0 ? 'stripe' : `manifest level ${counts.level}, node`} ${counts.stripe}: ` +
        `found ${counts.found} of the ${counts.needed} shards needed`,
      { ...attempts(causes), hint: 'try again later: keepers that are away may come back' },
    )
    this.stripe = counts.stripe
    this.level = counts.level
    this.found = counts.found
    this.needed = counts.needed
  }
}

/** No copy of the root was found. Either nothing was stored there, or its lease ended, or keepers are away. */
export class ObjectNotFoundError extends UnavailableError {
  readonly code = 'ERR_OBJECT_NOT_FOUND'
  readonly misses: number
  readonly failures: number
  readonly total: number
  constructor(counts: { misses: number; failures: number; total: number }, causes: readonly unknown[]) {
    super(
      `not found by ${counts.misses} of ${counts.total} keepers` +
        (counts.failures === 0 ? '' : `; ${counts.failures} could not be asked`),
      { ...attempts(causes), hint: 'check the address; if it is right, try again later' },
    )
    this.misses = counts.misses
    this.failures = counts.failures
    this.total = counts.total
  }
}

/** Shards that are each what the manifest lists, yet do not fit together: whoever stored them made them so. */
export class StripeMismatchError extends PeerError {
  readonly code = 'ERR_STRIPE_MISMATCH'
  readonly stripe: number
  readonly level: number
  constructor(place: { stripe: number; level: number }) {
    super(`stripe ${place.stripe} of level ${place.level} was stored wrongly: its shards do not fit together`, {
      hint: 'the object is damaged at its source; ask its publisher to store it again',
    })
    this.stripe = place.stripe
    this.level = place.level
  }
}

/** The shard store on this machine's disk failed. */
export class ShardStoreError extends LocalError {
  readonly code = 'ERR_SHARD_STORE'
  constructor(what: string, cause: unknown) {
    super(`shard store: ${what}`, { cause, hint: 'check the disk and the permissions of the data folder' })
  }
}

function attempts(causes: readonly unknown[]): { cause?: unknown } {
  return causes.length === 0 ? {} : { cause: new AggregateError(causes, `${causes.length} attempts failed`) }
}
