/** A network of one map, for tests: places, fetches and probes by reference, and forgets on demand. */
import { UnavailableError } from '../../../core/index.ts'
import {
  type ContentRef,
  contentRefKey,
  type FetchContent,
  type PlaceOutcome,
  type PlaceShard,
  verifyContent,
} from '../../../storage/index.ts'

export class KeeperAwayError extends UnavailableError {
  readonly code = 'ERR_TEST_KEEPER_AWAY'
}

export interface PlacedShard {
  readonly ref: ContentRef
  readonly bytes: Uint8Array
  readonly stripe: number
}

export class Keepers {
  readonly held = new Map<string, PlacedShard>()
  /** What a keeper answers instead of storing; undefined: it stores. */
  answer: (ref: ContentRef, final: boolean, stripe: number) => PlaceOutcome | undefined = () => undefined
  fetches = 0
  inFlight = 0
  inFlightMax = 0

  readonly place: PlaceShard = async ({ ref, bytes, stripe, final }) => {
    this.inFlight += 1
    this.inFlightMax = Math.max(this.inFlightMax, this.inFlight)
    await nextTurn()
    this.inFlight -= 1
    const answer = this.answer(ref, final, stripe)
    if (answer !== undefined) return answer
    if (!verifyContent(ref, bytes)) throw new Error('a shard is not what its reference says')
    this.held.set(contentRefKey(ref), { ref, bytes, stripe })
    return 'stored'
  }

  readonly fetch: FetchContent = async (ref, { signal }) => {
    this.fetches += 1
    await nextTurn()
    signal.throwIfAborted()
    return this.held.get(contentRefKey(ref))?.bytes
  }

  readonly probe = async (ref: ContentRef): Promise<boolean> => {
    await nextTurn()
    return this.held.has(contentRefKey(ref))
  }

  /** The shards of one stripe, by its running number. */
  ofStripe(stripe: number): PlacedShard[] {
    return [...this.held.values()].filter((shard) => shard.stripe === stripe)
  }

  forget(ref: ContentRef): void {
    this.held.delete(contentRefKey(ref))
  }

  get stripes(): number[] {
    return [...new Set([...this.held.values()].map(({ stripe }) => stripe))]
  }
}

export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** The bytes in pieces of the given sizes, over and over; a size of 0 gives an empty piece. */
export async function* inPieces(bytes: Uint8Array, sizes: readonly number[] = [65_536]): AsyncGenerator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1
    yield bytes.slice(at, at + size)
    at += size
    if (i % 16 === 0) await nextTurn()
  }
}

export async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for await (const piece of source) pieces.push(piece)
  return new Uint8Array(Buffer.concat(pieces))
}
