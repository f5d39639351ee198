/**
 * Errors say who must act. `code` is stable and may be relied on; the words are free to change.
 * Crypto fails without giving a reason; absence is `undefined` and a judgement is a value: neither
 * is thrown. No message carries a secret, an address of content or a peer's text.
 */

/**
 * input: the caller gave something wrong. peer: the other side misbehaved. unavailable: wait, or go
 * elsewhere. local: this machine's disk or permissions. bug: us.
 */
export type ErrorKind = 'input' | 'peer' | 'unavailable' | 'local' | 'bug'

export abstract class HushError extends Error {
  abstract readonly code: `ERR_${string}`
  abstract readonly kind: ErrorKind
  /** What the reader can do about it, in one line. */
  readonly hint: string | undefined

  constructor(message: string, options?: { cause?: unknown; hint?: string }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause })
    this.name = new.target.name
    this.hint = options?.hint
  }
}

export abstract class InputError extends HushError {
  readonly kind = 'input'
}
export abstract class PeerError extends HushError {
  readonly kind = 'peer'
}
export abstract class UnavailableError extends HushError {
  readonly kind = 'unavailable'
}
export abstract class LocalError extends HushError {
  readonly kind = 'local'
}

/** A broken invariant: stops the node, in production too. */
export class BugError extends HushError {
  readonly code = 'ERR_BUG'
  readonly kind = 'bug'
}

/** Holds for every run of the program, or the program is wrong. */
export function assert(condition: unknown, what: string): asserts condition {
  if (!condition) throw new BugError(`internal: ${what}`)
}

/** The kind of any thrown value; what is not ours counts as a bug. */
export function kindOf(error: unknown): ErrorKind {
  return error instanceof HushError ? error.kind : 'bug'
}

/** The words of any thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
