/**
 * One stripe from whichever of its keepers answer first. SPEC dispersal §8
 *
 * asking:   k + 3 of the n are asked in random order; each miss asks another not yet asked
 * deciding: k shards found: decode. Right: done, the rest is called off
 * doubting: k shards that each are what the manifest lists do not fit: ask all, then try other k of them
 */
import { type Jitter, kindOf, shardCount, shuffle } from '../core/index.ts'
import { type ContentRef, verifyContent } from './content-ref.ts'
import { StripeMismatchError, TooFewShardsError } from './errors.ts'
import { Halt } from './halt.ts'
import { entryRef, type StripeEntry } from './manifest.ts'
import { decodeStripe, maskShard, type OpenedShard, openPiece, type StripeKeys, type StripePlace } from './stripe.ts'

/**
 * Brings what the reference names, already verified against it; undefined when it is not there. `skip`: how
 * many answers to pass over, after answers that were signed but junk. `stripe` is the same for the shards of
 * one stripe, so that they may be spread. Errors of kind unavailable or peer count as misses, others end the
 * read. After `signal`, of this fetch alone, nothing is waited for.
 */
export type FetchContent = (
  ref: ContentRef,
  wish: { readonly skip?: number; readonly stripe?: string; readonly signal: AbortSignal },
) => Promise<Uint8Array | undefined>

/** Asked beyond k, so that one slow keeper delays nobody. */
const EXTRA_ASKED = 3
/** Other choices of k shards tried on a stripe whose shards do not fit together. */
const SUBSETS_MAX = 16

interface Found extends OpenedShard {
  readonly ref: ContentRef
  readonly bytes: Uint8Array
}

/** Whether an error of a fetch counts as a miss. */
export function isMiss(error: unknown): boolean {
  const kind = kindOf(error)
  return kind === 'unavailable' || kind === 'peer'
}

/**
 * The stripe's plaintext, k whole fragments, verified. Throws ERR_TOO_FEW_SHARDS, ERR_STRIPE_MISMATCH, the
 * reason of `halt`, or an error of a fetch that is no miss.
 */
export async function gatherStripe(
  stripe: { readonly entry: StripeEntry; readonly place: StripePlace; readonly keys: StripeKeys },
  ports: { readonly fetch: FetchContent; readonly jitter: Jitter },
  halt: Halt,
): Promise<Uint8Array> {
  const gathering = new Gathering(stripe, ports)
  const release = halt.onHalt((reason) => gathering.end(reason))
  try {
    return await gathering.run()
  } finally {
    release()
    gathering.end(undefined)
  }
}

class Gathering {
  readonly #entry: StripeEntry
  readonly #place: StripePlace
  readonly #keys: StripeKeys
  readonly #fetch: FetchContent
  readonly #jitter: Jitter
  readonly #halt = new Halt()
  readonly #order: readonly number[]
  readonly #causes: unknown[] = []
  #found: Found[] = []
  #asked = 0
  #waitingFor = 0
  #fatal: { readonly error: unknown } | undefined
  #wake: () => void = () => undefined

  constructor(
    stripe: { readonly entry: StripeEntry; readonly place: StripePlace; readonly keys: StripeKeys },
    ports: { readonly fetch: FetchContent; readonly jitter: Jitter },
  ) {
    this.#entry = stripe.entry
    this.#place = stripe.place
    this.#keys = stripe.keys
    this.#fetch = ports.fetch
    this.#jitter = ports.jitter
    this.#order = shuffle(
      ports.jitter,
      Array.from({ length: shardCount(stripe.entry.k) }, (_, shard) => shard),
    )
  }

  /** Calls off whatever is still asked; run() rejects with `reason` unless it has ended. */
  end(reason: unknown): void {
    this.#fatal ??= { error: reason }
    this.#halt.halt(reason)
    this.#wake()
  }

  async run(): Promise<Uint8Array> {
    const { k } = this.#entry
    let wanted = k + EXTRA_ASKED
    let isDoubtful = false
    for (;;) {
      if (this.#fatal !== undefined) throw this.#fatal.error
      while (this.#asked < this.#order.length && this.#waitingFor + this.#found.length < wanted) void this.#ask()

      if (!isDoubtful && this.#found.length >= k) {
        const plain = this.#decode(this.#found.slice(0, k))
        if (plain !== undefined) return plain
        isDoubtful = this.#dropFalse() === 0
        if (isDoubtful) wanted = this.#order.length + k
        continue
      }
      if (this.#waitingFor === 0) break
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.#decodeAnyOther()
  }

  async #ask(): Promise<void> {
    const shard = this.#order[this.#asked++] as number
    const ref = entryRef(this.#entry, shard)
    const stripe = `${this.#place.level} ${this.#place.index}`
    this.#waitingFor += 1
    try {
      this.#take(shard, ref, await this.#halt.withSignal((signal) => this.#fetch(ref, { stripe, signal })))
    } catch (error) {
      if (isMiss(error)) this.#causes.push(error)
      else this.#fatal ??= { error }
    }
    this.#waitingFor -= 1
    this.#wake()
  }

  #take(shard: number, ref: ContentRef, bytes: Uint8Array | undefined): void {
    if (bytes === undefined || this.#fatal !== undefined) return
    const mask = { place: this.#place, shard, salt: this.#entry.salts[shard] as number }
    const opened = openPiece(shard, maskShard(this.#keys, mask, bytes), this.#entry.hash)
    if (opened !== undefined) this.#found.push({ ...opened, ref, bytes })
  }

  #decode(shards: readonly OpenedShard[]): Uint8Array | undefined {
    return decodeStripe({ keys: this.#keys, place: this.#place, k: this.#entry.k, hash: this.#entry.hash }, shards)
  }

  /** Lets go of shards that are not what was asked for, which a fetch should never bring. How many they were. */
  #dropFalse(): number {
    const before = this.#found.length
    this.#found = this.#found.filter(({ ref, bytes }) => verifyContent(ref, bytes))
    return before - this.#found.length
  }

  #decodeAnyOther(): Uint8Array {
    this.#dropFalse()
    const { k } = this.#entry
    const { index: stripe, level } = this.#place
    const found = this.#found.length
    if (found < k) throw new TooFewShardsError({ stripe, level, found, needed: k }, this.#causes)
    for (let tried = 0; tried < SUBSETS_MAX; tried++) {
      const plain = this.#decode(shuffle(this.#jitter, this.#found).slice(0, k))
      if (plain !== undefined) return plain
    }
    throw new StripeMismatchError({ stripe, level })
  }
}
