/**
 * One stripe from whichever of its keepers answer first. SPEC dispersal §8
 *
 * asking:   k + 3 of the n are asked in random order, k while there is no room; each that misses, or is slow, asks another
 *           not yet asked
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
 * read. After `signal`, of this fetch alone, nothing is waited for. `onSlow` is told when it may take long yet: another
 * may be asked besides.
 */
export type FetchContent = (
  ref: ContentRef,
  wish: {
    readonly skip?: number
    readonly stripe?: string
    readonly signal: AbortSignal
    readonly onSlow?: () => void
  },
) => Promise<Uint8Array | undefined>

/** What a stripe is gathered with. */
export interface GatherPorts {
  readonly fetch: FetchContent
  readonly jitter: Jitter
  /** Whether there is room to ask for more than is needed; asked again with each answer. Always, unless given. */
  readonly hasRoom?: () => boolean
}

/** Asked beyond k, so that one slow keeper delays nobody. */
const EXTRA_ASKED = 3
/** Other choices of k shards tried on a stripe whose shards do not fit together. */
const SUBSETS_MAX = 16

/** What is gathered, and what to make of any k shards: undefined when they are not of the stripe. */
interface Wish<T> {
  readonly entry: StripeEntry
  readonly place: StripePlace
  readonly keys: Pick<StripeKeys, 'repair'>
  readonly decode: (shards: readonly OpenedShard[]) => T | undefined
  /** All n shards, those to be asked for first in front. */
  readonly order: readonly number[]
  /** So many are asked for beyond k. */
  readonly extra: number
}

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
  ports: GatherPorts,
  halt: Halt,
): Promise<Uint8Array> {
  const { entry, place, keys } = stripe
  const order = shuffle(
    ports.jitter,
    Array.from({ length: shardCount(entry.k) }, (_, shard) => shard),
  )
  const decode = (shards: readonly OpenedShard[]): Uint8Array | undefined =>
    decodeStripe({ keys, place, k: entry.k, hash: entry.hash }, shards)
  return gatherShards({ entry, place, keys, decode, order, extra: EXTRA_ASKED }, ports, halt)
}

/** As gatherStripe, with what `decode` makes of k shards; the repair key is enough for that. */
export async function gatherShards<T>(wish: Wish<T>, ports: GatherPorts, halt: Halt): Promise<T> {
  const gathering = new Gathering(wish, ports)
  const release = halt.onHalt((reason) => gathering.end(reason))
  try {
    return await gathering.run()
  } finally {
    release()
    gathering.end(undefined)
  }
}

class Gathering<T> {
  readonly #wish: Wish<T>
  readonly #fetch: FetchContent
  readonly #jitter: Jitter
  readonly #hasRoom: () => boolean
  readonly #halt = new Halt()
  readonly #causes: unknown[] = []
  #found: Found[] = []
  #asked = 0
  #waitingFor = 0
  /** Of these, from which nothing is to be had soon. */
  #slow = 0
  #fatal: { readonly error: unknown } | undefined
  #wake: () => void = () => undefined

  constructor(wish: Wish<T>, ports: GatherPorts) {
    this.#wish = wish
    this.#fetch = ports.fetch
    this.#jitter = ports.jitter
    this.#hasRoom = ports.hasRoom ?? (() => true)
  }

  /** Calls off whatever is still asked; run() rejects with `reason` unless it has ended. */
  end(reason: unknown): void {
    this.#fatal ??= { error: reason }
    this.#halt.halt(reason)
    this.#wake()
  }

  async run(): Promise<T> {
    const { order, extra, decode } = this.#wish
    const { k } = this.#wish.entry
    let isDoubtful = false
    for (;;) {
      if (this.#fatal !== undefined) throw this.#fatal.error
      const wanted = isDoubtful ? order.length + k : k + (this.#hasRoom() ? extra : 0)
      while (this.#asked < order.length && this.#waitingFor - this.#slow + this.#found.length < wanted) void this.#ask()

      if (!isDoubtful && this.#found.length >= k) {
        const decoded = decode(this.#found.slice(0, k))
        if (decoded !== undefined) return decoded
        isDoubtful = this.#dropFalse() === 0
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
    const { entry, place, order } = this.#wish
    const shard = order[this.#asked++] as number
    const ref = entryRef(entry, shard)
    const stripe = `${place.level} ${place.index}`
    this.#waitingFor += 1
    const fetch = { isSlow: false, isOver: false }
    const onSlow = (): void => {
      if (fetch.isSlow || fetch.isOver) return
      fetch.isSlow = true
      this.#slow += 1
      this.#wake()
    }
    try {
      this.#take(shard, ref, await this.#halt.withSignal((signal) => this.#fetch(ref, { stripe, signal, onSlow })))
    } catch (error) {
      if (isMiss(error)) this.#causes.push(error)
      else this.#fatal ??= { error }
    }
    this.#waitingFor -= 1
    fetch.isOver = true
    if (fetch.isSlow) this.#slow -= 1
    this.#wake()
  }

  #take(shard: number, ref: ContentRef, bytes: Uint8Array | undefined): void {
    if (bytes === undefined || this.#fatal !== undefined) return
    const { entry, place, keys } = this.#wish
    const mask = { place, shard, salt: entry.salts[shard] as number }
    const opened = openPiece(shard, maskShard(keys, mask, bytes), entry.hash)
    if (opened !== undefined) this.#found.push({ ...opened, ref, bytes })
  }

  /** Lets go of shards that are not what was asked for, which a fetch should never bring. How many they were. */
  #dropFalse(): number {
    const before = this.#found.length
    this.#found = this.#found.filter(({ ref, bytes }) => verifyContent(ref, bytes))
    return before - this.#found.length
  }

  #decodeAnyOther(): T {
    this.#dropFalse()
    const { k } = this.#wish.entry
    const { index: stripe, level } = this.#wish.place
    const found = this.#found.length
    if (found < k) throw new TooFewShardsError({ stripe, level, found, needed: k }, this.#causes)
    for (let tried = 0; tried < SUBSETS_MAX; tried++) {
      const decoded = this.#wish.decode(shuffle(this.#jitter, this.#found).slice(0, k))
      if (decoded !== undefined) return decoded
    }
    throw new StripeMismatchError({ stripe, level })
  }
}
