/**
 * What the rest of the program may know of the outside world, as interfaces only. The makers are in
 * node/system; the simulator has its own.
 */

export interface Timer {
  cancel(): void
}

export interface Clock {
  /** Wall time, Unix milliseconds. May jump; compare only with times that others wrote down. */
  nowMs(): number
  /** Never goes back; compare only with itself. */
  monotonicMs(): number
  /** Calls once after `delayMs`. Never keeps the process alive by itself. */
  setTimer(delayMs: number, run: () => void): Timer
}

/** Chance that nobody may guess: keys, nonces, filler. */
export interface SecretRandom {
  /** `size` fresh bytes, owned by the caller. */
  bytes(size: number): Uint8Array
  /** Overwrites `target`. */
  fill(target: Uint8Array): void
}

/** Chance for spreading and shuffling; fair, and hard to guess in production. */
export interface Jitter {
  /** An integer from 0 to 2^32 - 1. */
  uint32(): number
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
/** Values a log line may hold. Never a secret, an address of content, or a peer's text unescaped. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>

export type Log = (level: LogLevel, event: string, fields?: LogFields) => void

/** Small values that outlive the process: guards, the view, times. Keys are short ASCII words. */
export interface StateStore {
  get(key: string): Uint8Array | undefined
  /** Resolves once the value would survive a crash; the old value or the new one, never a mixture. */
  put(key: string, value: Uint8Array): Promise<void>
}

export interface StoredRecord {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** Many small records, in the order of their keys: what a journal needs. */
export interface RecordStore {
  /** Those whose key begins so, in order; at most `limit`, the last ones. The bytes are the caller's. */
  list(prefix: Uint8Array, limit?: number): readonly StoredRecord[]
  /** The bytes are the caller's. */
  get(key: Uint8Array): Uint8Array | undefined
  /** Those with a key above `above` and not above `upTo`, in order; the first `limit`. */
  range(span: { readonly above: Uint8Array; readonly upTo: Uint8Array }, limit: number): readonly StoredRecord[]
  /** All or nothing; resolves once it would survive a crash, rejects when it would not. No value: removed. */
  write(changes: readonly { readonly key: Uint8Array; readonly value: Uint8Array | undefined }[]): Promise<void>
}
