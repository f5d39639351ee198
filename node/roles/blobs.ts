/**
 * A keeper's blobs, as they lie with vaults that it knows by their lines only: keeping a content there, reading it
 * back from whichever place gives it, and what is known of places that do not. SPEC vaults §6
 */
import {
  type Clock,
  equalBytes,
  type Jitter,
  keyOf,
  type PublicKey,
  type SecretRandom,
  shuffle,
  type Timer,
} from '../../core/index.ts'
import { merkleRoot } from '../../crypto/index.ts'
import { isWhole, type LeafRange } from '../../routing/index.ts'
import {
  type ContentLeaves,
  type ContentRef,
  DROP_SECRET_SIZE,
  type Place,
  type Pointer,
  unwrapLeaves,
  WRAP_KEY_SIZE,
  wrap,
} from '../../storage/index.ts'
import { dropHashOf } from './vault.ts'
import type { AttachedLine, VaultLines } from './vault-lines.ts'

/** A line that has not said "kept" by then is not waited for alone ... */
const KEEP_HEDGE_MS = 2_500
/** ... and a put has so long in all: it may yet have to fall back within what its asker waits. */
const KEEP_MS_MAX = 6_000
/** A place that has not answered by then is not waited for alone. */
const READ_HEDGE_MS = 1_000
/** Lines that are remembered as failing; the oldest is forgotten, and found failing anew. */
const FAILING_MAX = 4_096

export interface BlobsPorts {
  readonly clock: Clock
  readonly jitter: Jitter
  readonly random: SecretRandom
  readonly lines: VaultLines
}

/** Where a good answer came from. */
export interface Found extends ContentLeaves {
  readonly place: Place
}

/** Where to look for leaves of a content. */
export interface Wanted {
  readonly ref: ContentRef
  readonly pointer: Pointer
  readonly range: LeafRange
  /** Prolongs the lease of the blob that is read first. */
  readonly leaseEndMs?: number
  /** Only places whose line is attached to this node. */
  readonly isHereOnly?: boolean
}

export class Blobs {
  readonly #p: BlobsPorts
  /** By line key: since when nothing it was asked for has come, monotonic. */
  readonly #failing = new Map<string, number>()
  /** Told of a place that gave what its own pointer contradicts: whoever made that place lied. */
  onFalse: (ref: ContentRef, place: Place) => void = () => {}
  readonly counts = { kept: 0, keepsFailed: 0, reads: 0, readsFailed: 0 }

  constructor(ports: BlobsPorts) {
    this.#p = ports
  }

  /** Lines that a content could be given to, none of them with a place of `besides`. */
  linesFree(besides: readonly Place[] = []): number {
    return this.#free(besides).length
  }

  isLeaving(line: PublicKey): boolean {
    return this.#p.lines.attached().some((each) => each.isLeaving && equalBytes(each.line, line))
  }

  /** For how long nothing has come from the line; 0 when it answered last time or was never asked. */
  silentMs(line: PublicKey): number {
    const failingMs = this.#failing.get(keyOf(line))
    const absentMs = this.#p.lines.absentSinceMs(line)
    const sinceMs = Math.min(failingMs ?? Number.POSITIVE_INFINITY, absentMs ?? Number.POSITIVE_INFINITY)
    return Number.isFinite(sinceMs) ? this.#p.clock.monotonicMs() - sinceMs : 0
  }

  /**
   * The content at `count` lines drawn at random, each wrapped anew; none on a line of `besides`. Undefined when so
   * many did not keep it: then what was kept is dropped, as is what is kept late.
   */
  keep(
    content: { readonly bytes: Uint8Array; readonly leaseEndMs: number },
    wish: { readonly count: number; readonly besides: readonly Place[] },
  ): Promise<readonly Place[] | undefined> {
    const lines = shuffle(this.#p.jitter, this.#free(wish.besides))
    if (lines.length < wish.count) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      const kept: Place[] = []
      let asked = 0
      let isOver = false
      const end = (isKept: boolean): void => {
        isOver = true
        limit.cancel()
        if (!isKept) for (const place of kept) this.drop(place)
        resolve(isKept ? kept : undefined)
      }
      const askNext = (): void => {
        const line = isOver ? undefined : lines.shift()
        if (line === undefined) {
          if (!isOver && asked === 0) end(false)
          return
        }
        asked++
        const hedge = this.#p.clock.setTimer(KEEP_HEDGE_MS, askNext)
        void this.#keepAt(line, content).then((place) => {
          hedge.cancel()
          asked--
          if (place === undefined) askNext()
          else if (isOver) this.drop(place)
          else {
            kept.push(place)
            if (kept.length === wish.count) end(true)
            else if (asked === 0) askNext()
          }
        })
      }
      const limit = this.#p.clock.setTimer(KEEP_MS_MAX, () => end(false))
      for (let i = 0; i < wish.count; i++) askNext()
    })
  }

  /** Leaves from whichever place gives them; the next one is asked when one fails or is slow. */
  read(wanted: Wanted): Promise<Found | undefined> {
    const places = this.#inOrder(wanted.pointer.places, wanted.isHereOnly ?? false)
    this.counts.reads++
    return new Promise((resolve) => {
      let asked = 0
      let isOver = false
      let hedge: Timer | undefined
      const askNext = (): void => {
        hedge?.cancel()
        const place = isOver ? undefined : places.shift()
        if (place === undefined) {
          if (isOver || asked > 0) return
          this.counts.readsFailed++
          resolve(undefined)
          return
        }
        asked++
        hedge = this.#p.clock.setTimer(READ_HEDGE_MS, askNext)
        void this.#ask(place, wanted).then(({ content }) => {
          asked--
          if (content === undefined) return askNext()
          if (isOver) return
          isOver = true
          hedge?.cancel()
          resolve({ ...content, place })
        })
      }
      askNext()
    })
  }

  /** Whether this place gives the leaves, and its blob's lease reaches as far as is wanted. */
  async isGood(place: Place, wanted: Wanted): Promise<boolean> {
    return (await this.#ask(place, wanted)).isGood
  }

  /** A part of a signed root shows that the vault has its blob; whether that is the content, only the whole does. */
  async #ask(place: Place, wanted: Wanted): Promise<{ content: ContentLeaves | undefined; isGood: boolean }> {
    const { ref, pointer, range, leaseEndMs } = wanted
    const got = await this.#p.lines.read(place, { range, ...(leaseEndMs !== undefined && { leaseEndMs }) })
    this.#note(place.line, got !== undefined)
    if (got === undefined) return { content: undefined, isGood: false }
    if (ref.kind === 'signed' && !isWhole(range)) return { content: undefined, isGood: true }
    const content = unwrapLeaves({ ref, pointer, place }, range, got.leaves)
    if (content === undefined) this.onFalse(ref, place)
    return { content, isGood: content !== undefined }
  }

  /** Frees the vault of a blob that is no longer pointed to, if this node gave it and the line is here. */
  drop(place: Place): void {
    if (place.dropSecret !== undefined) void this.#p.lines.drop(place, place.dropSecret)
  }

  async #keepAt(
    { point, line }: AttachedLine,
    content: { readonly bytes: Uint8Array; readonly leaseEndMs: number },
  ): Promise<Place | undefined> {
    const { random, lines, clock } = this.#p
    const wrapKey = random.bytes(WRAP_KEY_SIZE)
    const dropSecret = random.bytes(DROP_SECRET_SIZE)
    const bytes = wrap(content.bytes, wrapKey)
    const dropHash = dropHashOf(dropSecret)
    const answer = await lines.keep(line, { bytes, leaseEndMs: content.leaseEndMs, dropHash })
    if (answer === 'failed') this.#note(line, false)
    if (answer !== 'kept') {
      this.counts.keepsFailed++
      return undefined
    }
    this.counts.kept++
    this.#note(line, true)
    return { point, line, root: merkleRoot(bytes), wrapKey, dropSecret, provenMs: clock.nowMs() }
  }

  #free(besides: readonly Place[]): AttachedLine[] {
    const isTaken = ({ line }: AttachedLine): boolean => besides.some((place) => equalBytes(place.line, line))
    return this.#p.lines.attached().filter((line) => !line.isLeaving && line.slotsFree > 0 && !isTaken(line))
  }

  /** Those that failed last come last; of the others first who is attached here, then who was proven last. */
  #inOrder(all: readonly Place[], isHereOnly: boolean): Place[] {
    const here = new Set(this.#p.lines.attached().map(({ line }) => keyOf(line)))
    const places = isHereOnly ? all.filter(({ line }) => here.has(keyOf(line))) : all
    const worth = (place: Place): number => {
      if (this.#failing.has(keyOf(place.line))) return 0
      return here.has(keyOf(place.line)) ? 2 : 1
    }
    return [...places].sort((a, b) => worth(b) - worth(a) || b.provenMs - a.provenMs)
  }

  #note(line: PublicKey, hasAnswered: boolean): void {
    const name = keyOf(line)
    if (hasAnswered) return void this.#failing.delete(name)
    if (this.#failing.has(name)) return
    const [oldest] = this.#failing.size >= FAILING_MAX ? this.#failing.keys() : []
    if (oldest !== undefined) this.#failing.delete(oldest)
    this.#failing.set(name, this.#p.clock.monotonicMs())
  }
}
