/**
 * An object into shards at their keepers, and its address. SPEC dispersal §7
 *
 * The source is read once, as fast as stripes find keepers: at most `stripesInFlight` stripes are held
 * besides the one being filled. The manifest grows from the bottom: a node is placed as soon as all it
 * lists has been, the root last. Where the shards go is the placer's affair.
 */
import {
  assert,
  FRAGMENT_SIZE,
  ROOT_COPIES,
  type SecretRandom,
  SHARD_SIZE,
  STRIPE_SIZE,
  shardCount,
} from '../core/index.ts'
import { merkleRoot } from '../crypto/index.ts'
import type { Address } from './address.ts'
import { type ContentRef, shardRef } from './content-ref.ts'
import { ObjectTooLargeError, StripeNotStoredError } from './errors.ts'
import { Halt } from './halt.ts'
import { Lanes, STRIPES_IN_FLIGHT } from './lanes.ts'
import {
  checkMeta,
  encodeNode,
  encodeRoot,
  INLINE_SIZE_MAX,
  LENGTH_MAX_BYTES,
  manifestShape,
  nodeCapacity,
  type Root,
  STRIPES_MAX,
  type StripeEntry,
} from './manifest.ts'
import { paddedStripes } from './padding.ts'
import { sealRoot } from './root.ts'
import { encodeStripe, maskShard, type StripeKeys, type StripePlace, stripeKeys } from './stripe.ts'
import { type FedStripe, StripeFeed } from './stripe-feed.ts'

/** Names a shard may be tried under before it is left to the placer. SPEC dispersal §7 */
export const SALTS_MAX = 4

/**
 * Finds a keeper for one shard. `bytes` is SHARD_SIZE, never changed any more, shared with nobody who
 * writes. 'refused': no keeper for this name; unless `final`, another name is tried. 'pending': the placer
 * goes on by itself. 'handed': a gateway has taken it and says nothing more. `signal`, of this shard alone, fires when the whole put has failed; a rejection fails it.
 */
export type PlaceShard = (shard: {
  readonly ref: ContentRef
  readonly bytes: Uint8Array
  /** Running number of the stripe, nodes and root included: shards of one stripe are to be spread. */
  readonly stripe: number
  readonly final: boolean
  readonly signal: AbortSignal
}) => Promise<PlaceOutcome>
export type PlaceOutcome = 'stored' | 'handed' | 'refused' | 'pending'

export interface PutProgress {
  readonly readBytes: number
  /** Handed over ones included. */
  readonly storedShards: number
  /** Known once the source has ended. */
  readonly totalShards: number | undefined
}

export interface PutReport {
  /** All shards and root copies; `stored`, `handed` over and `pending` of them. */
  readonly shards: number
  readonly stored: number
  readonly handed: number
  readonly pending: number
  /** Of data and manifest, padding included; an inline object has none. */
  readonly stripes: number
  /** What the shards weigh. */
  readonly bytes: number
  readonly lengthBytes: number
}

export interface PutInput {
  readonly source: AsyncIterable<Uint8Array>
  readonly kind: Address['kind']
  readonly name?: string
  readonly type?: string
}

export interface PutPorts {
  readonly random: SecretRandom
  readonly place: PlaceShard
  readonly onProgress?: (progress: PutProgress) => void
  readonly stripesInFlight?: number
  /** Ends the put from outside; it rejects with the signal's reason. */
  readonly signal?: AbortSignal
}

/** So many of n must be stored, or handed over, for a stripe to count as such: half of what may be lost, rounded up. */
export function storedNeeded(k: number, n: number): number {
  return k + Math.ceil((n - k) / 2)
}

/**
 * Rejects with what the source threw, what the placer threw, ERR_STRIPE_NOT_STORED, ERR_BAD_NAME or
 * ERR_OBJECT_TOO_LARGE; by then nothing is in work any more and the source has been let go.
 */
export async function putObject(
  input: PutInput,
  ports: PutPorts,
): Promise<{ readonly address: Address; readonly report: PutReport }> {
  const meta = { name: input.name ?? '', type: input.type ?? '' }
  checkMeta(meta)
  const put = new Put(ports)
  const outer = new Halt()
  const release = outer.follow(ports.signal)
  outer.onHalt((reason) => put.lanes.fail(reason))
  const feed = new StripeFeed(input.source, (promise) => put.lanes.race(promise))
  try {
    const content = await put.placeContent(feed)
    const root = encodeRoot({ ...meta, lengthBytes: put.readBytes, objectKey: put.objectKey, content })
    const address = await put.placeRoot(input.kind, root)
    return { address, report: put.report() }
  } catch (error) {
    put.lanes.fail(error)
    throw error
  } finally {
    release()
    feed.close()
    await put.lanes.settled()
  }
}

/** One put in work. */
class Put {
  readonly lanes: Lanes
  readonly objectKey: Uint8Array
  readBytes = 0
  readonly #ports: PutPorts
  readonly #keys: StripeKeys
  /** Entries of each level that no node lists yet, in order; nodes made so far of each level. */
  readonly #open: Promise<StripeEntry>[][] = []
  readonly #made: number[] = []
  #stripes = 0
  #shards = 0
  #stored = 0
  #handed = 0
  #pending = 0
  #totalShards: number | undefined

  constructor(ports: PutPorts) {
    this.#ports = ports
    this.lanes = new Lanes(ports.stripesInFlight ?? STRIPES_IN_FLIGHT)
    this.objectKey = ports.random.bytes(32)
    this.#keys = stripeKeys(this.objectKey)
  }

  async placeContent(feed: StripeFeed): Promise<Root['content']> {
    let fed = await this.#read(feed)
    if (fed.isLast && fed.used <= INLINE_SIZE_MAX) {
      this.#totalShards = ROOT_COPIES
      return { inline: fed.plain.subarray(0, fed.used) }
    }
    if (fed.isLast) {
      const { k } = paddedStripes(fed.used)
      this.#totalShards = shardCount(k) + ROOT_COPIES
      const entry = await this.#placeStripe({ level: 0, index: 0 }, k, fed.plain.subarray(0, k * FRAGMENT_SIZE))
      return { level: 0, stripes: 1, entries: [entry] }
    }

    const k = STRIPE_SIZE / FRAGMENT_SIZE
    let index = 0
    for (; ; index++) {
      if (index >= STRIPES_MAX) throw new ObjectTooLargeError(LENGTH_MAX_BYTES)
      await this.#startStripe({ level: 0, index }, k, fed.plain)
      if (fed.isLast) break
      fed = await this.#read(feed)
    }
    const { stripes } = paddedStripes(this.readBytes)
    const shape = manifestShape(stripes)
    this.#totalShards = ROOT_COPIES
    for (const [level, count] of shape.counts.entries()) this.#totalShards += count * shardCount(level === 0 ? k : 1)
    if (index + 1 < stripes) {
      const zeros = new Uint8Array(STRIPE_SIZE)
      for (index++; index < stripes; index++) await this.#startStripe({ level: 0, index }, k, zeros)
    }
    for (let level = 0; level < shape.level; level++) this.#closeNode(level)
    const entries = await this.lanes.race(Promise.all(this.#open[shape.level] ?? []))
    assert(entries.length === shape.counts[shape.level], 'the manifest has the shape that follows from its stripes')
    return { level: shape.level, stripes, entries }
  }

  /** Eight copies of the root; needs as many as a stripe of one fragment does. */
  async placeRoot(kind: Address['kind'], root: Uint8Array): Promise<Address> {
    const { address, copies } = sealRoot(kind, root, this.#ports.random)
    const stripe = this.#stripes
    const placing = copies.map(({ ref, bytes }) =>
      this.lanes.start(() => this.#count(this.#place({ ref, bytes, stripe, final: true }))),
    )
    this.#check(1, await this.lanes.race(Promise.all(placing)), stripe)
    return address
  }

  report(): PutReport {
    return {
      shards: this.#shards,
      stored: this.#stored,
      handed: this.#handed,
      pending: this.#pending,
      stripes: this.#stripes,
      bytes: this.#shards * SHARD_SIZE,
      lengthBytes: this.readBytes,
    }
  }

  async #read(feed: StripeFeed): Promise<FedStripe> {
    const fed = await feed.next()
    this.readBytes += fed.used
    this.#tell()
    return fed
  }

  /** Resolves once the stripe is in work; what becomes of it waits in #open. */
  async #startStripe(place: StripePlace, k: number, plain: Uint8Array): Promise<void> {
    await this.lanes.take()
    this.#list(
      place.level,
      this.lanes.start(async () => {
        try {
          return await this.#placeStripe(place, k, plain)
        } finally {
          this.lanes.give()
        }
      }),
    )
  }

  #list(level: number, entry: Promise<StripeEntry>): void {
    const open = this.#open[level] ?? []
    this.#open[level] = open
    open.push(entry)
    if (open.length === nodeCapacity(level)) this.#closeNode(level)
  }

  /** Makes a node of what is open at `level`. It takes a lane only when all it lists is placed. */
  #closeNode(level: number): void {
    const listed = this.#open[level] ?? []
    if (listed.length === 0) return
    this.#open[level] = []
    const place = { level: level + 1, index: this.#made[level + 1] ?? 0 }
    this.#made[level + 1] = place.index + 1
    this.#list(
      level + 1,
      this.lanes.start(async () => {
        const plain = encodeNode(level, await Promise.all(listed))
        await this.lanes.take()
        try {
          return await this.#placeStripe(place, 1, plain)
        } finally {
          this.lanes.give()
        }
      }),
    )
  }

  async #placeStripe(place: StripePlace, k: number, plain: Uint8Array): Promise<StripeEntry> {
    const n = shardCount(k)
    const stripe = this.#stripes++
    const { hash, pieceOf } = encodeStripe({ keys: this.#keys, place, k, plain, random: this.#ports.random })
    const entry = { k, hash, ids: new Uint8Array(32 * n), salts: new Uint8Array(n) }
    const placing: Promise<PlaceOutcome>[] = []
    for (let shard = 0; shard < n; shard++) {
      const bytes = maskShard(this.#keys, { place, shard, salt: 0 }, pieceOf(shard))
      placing.push(this.lanes.start(() => this.#count(this.#placeShard({ place, shard, stripe, entry }, bytes))))
    }
    this.#check(k, await Promise.all(placing), stripe)
    return entry
  }

  /** Tries names until a keeper takes the shard; the entry keeps the last one. */
  async #placeShard(
    of: { place: StripePlace; shard: number; stripe: number; entry: StripeEntry },
    first: Uint8Array,
  ): Promise<PlaceOutcome> {
    const { place, shard, stripe, entry } = of
    let bytes = first
    for (let salt = 0; ; salt++) {
      const id = merkleRoot(bytes)
      const final = salt === SALTS_MAX - 1
      const outcome = await this.#place({ ref: shardRef(id), bytes, stripe, final })
      if (outcome !== 'refused' || final) {
        entry.ids.set(id, 32 * shard)
        entry.salts[shard] = salt
        return outcome
      }
      const piece = maskShard(this.#keys, { place, shard, salt }, bytes)
      bytes = maskShard(this.#keys, { place, shard, salt: salt + 1 }, piece)
    }
  }

  #place(shard: { ref: ContentRef; bytes: Uint8Array; stripe: number; final: boolean }): Promise<PlaceOutcome> {
    const { halted } = this.lanes.halt
    if (halted !== undefined) return Promise.reject(halted.reason)
    return this.lanes.halt.withSignal((signal) => this.#ports.place({ ...shard, signal }))
  }

  async #count(placing: Promise<PlaceOutcome>): Promise<PlaceOutcome> {
    const outcome = await placing
    this.#shards += 1
    if (outcome === 'stored') this.#stored += 1
    if (outcome === 'handed') this.#handed += 1
    if (outcome === 'pending') this.#pending += 1
    this.#tell()
    return outcome
  }

  /** Throws ERR_STRIPE_NOT_STORED. */
  #check(k: number, outcomes: readonly PlaceOutcome[], stripe: number): void {
    const total = outcomes.length
    const stored = outcomes.filter((outcome) => outcome === 'stored' || outcome === 'handed').length
    const pending = outcomes.filter((outcome) => outcome === 'pending').length
    const needed = storedNeeded(k, total)
    if (stored < needed) throw new StripeNotStoredError({ stripe, stored, pending, needed, total })
  }

  #tell(): void {
    this.#ports.onProgress?.({
      readBytes: this.readBytes,
      storedShards: this.#stored + this.#handed,
      totalShards: this.#totalShards,
    })
  }
}
