/**
 * An object by its address: first the root, then any part of the bytes, in order and verified before they
 * are given out. SPEC dispersal §8
 */
import { ROOT_COPIES, STRIPE_SIZE } from '../core/index.ts'
import type { Address } from './address.ts'
import type { ContentRef } from './content-ref.ts'
import { BadRangeError, ObjectNotFoundError } from './errors.ts'
import { type FetchContent, type GatherPorts, gatherStripe, isMiss } from './gather.ts'
import { Halt } from './halt.ts'
import { mapInOrder, STRIPES_IN_FLIGHT } from './lanes.ts'
import { decodeRoot, type Root } from './manifest.ts'
import { openRoot, rootRefs } from './root.ts'
import { stripeKeys } from './stripe.ts'
import { ManifestTree } from './tree.ts'

export interface GetPorts extends GatherPorts {
  readonly stripesInFlight?: number
  /** Ends the search for the root from outside. */
  readonly signal?: AbortSignal
}

export interface ReadRange {
  /** First byte wanted; 0 unless given. */
  readonly fromByte?: number
  /** First byte not wanted any more; the length unless given. */
  readonly toByte?: number
  /** Ends the read from outside, even while it waits: it rejects with the signal's reason. */
  readonly signal?: AbortSignal
}

export interface OpenedObject {
  readonly lengthBytes: number
  /** Undefined when it was stored without one. A single file's name, never a path. */
  readonly name: string | undefined
  readonly type: string | undefined
  /**
   * The bytes in order, in pieces of at most a stripe that are the reader's to keep. Fetches ahead; a
   * reader that stops early calls everything off. Throws ERR_BAD_RANGE at once; ERR_TOO_FEW_SHARDS and the
   * like when it gets there.
   */
  read(range?: ReadRange): AsyncGenerator<Uint8Array, void, undefined>
}

/** Candidates at a public address's place that may be passed over as junk. SPEC addresses §3 */
const SKIPS_MAX = 3

/** Throws ERR_OBJECT_NOT_FOUND, ERR_NEWER_OBJECT, ERR_MALFORMED. */
export async function openObject(address: Address, ports: GetPorts): Promise<OpenedObject> {
  const { root } = await fetchRoot(address, ports)
  return {
    lengthBytes: root.lengthBytes,
    name: root.name === '' ? undefined : root.name,
    type: root.type === '' ? undefined : root.type,
    read: (range = {}) => readRange(root, checkRange(root, range), range.signal, ports),
  }
}

/** The first of the eight copies that is the one the address names: its contents, and as rootCopies() wants it. */
export async function fetchRoot(
  address: Address,
  ports: { readonly fetch: FetchContent; readonly signal?: AbortSignal },
): Promise<{ readonly root: Root; readonly taken: FetchedCopy }> {
  const halt = new Halt()
  const release = halt.follow(ports.signal)
  try {
    const taken = await Promise.any(
      rootRefs(address).map((ref, copy) =>
        halt.withSignal((signal) => fetchCopy({ address, ref, copy }, ports.fetch, signal)),
      ),
    )
    return { root: decodeRoot(taken.root), taken }
  } catch (error) {
    ports.signal?.throwIfAborted()
    if (!(error instanceof AggregateError)) throw error
    throw whyNotFound(error.errors)
  } finally {
    release()
    halt.halt(undefined)
  }
}

/** A copy of a root, and the plaintext in it. */
interface FetchedCopy {
  readonly root: Uint8Array
  readonly bytes: Uint8Array
}

/** A keeper answered that it has no such root, or junk. */
class CopyMissing extends Error {}

async function fetchCopy(
  of: { readonly address: Address; readonly ref: ContentRef; readonly copy: number },
  fetch: FetchContent,
  signal: AbortSignal,
): Promise<FetchedCopy> {
  for (let skip = 0; skip <= SKIPS_MAX; skip++) {
    const bytes = await fetch(of.ref, skip === 0 ? { signal } : { skip, signal })
    const root = bytes === undefined ? undefined : openRoot(of.address, of.copy, bytes)
    if (bytes !== undefined && root !== undefined) return { root, bytes }
    if (bytes === undefined || of.address.kind === 'private') break
  }
  throw new CopyMissing()
}

function whyNotFound(errors: readonly unknown[]): unknown {
  const failures = errors.filter((error) => !(error instanceof CopyMissing))
  const fatal = failures.find((error) => !isMiss(error))
  if (fatal !== undefined) return fatal
  const counts = { misses: errors.length - failures.length, failures: failures.length, total: ROOT_COPIES }
  return new ObjectNotFoundError(counts, failures)
}

interface Span {
  readonly from: number
  readonly to: number
}

function checkRange(root: Root, { fromByte = 0, toByte = root.lengthBytes }: ReadRange): Span {
  const isSpan = Number.isSafeInteger(fromByte) && Number.isSafeInteger(toByte) && fromByte >= 0 && fromByte <= toByte
  if (!isSpan || toByte > root.lengthBytes) throw new BadRangeError(root.lengthBytes)
  return { from: fromByte, to: toByte }
}

async function* readRange(
  root: Root,
  { from, to }: Span,
  signal: AbortSignal | undefined,
  ports: GetPorts,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (from === to) return
  if ('inline' in root.content) {
    yield root.content.inline.slice(from, to)
    return
  }
  const keys = stripeKeys(root.objectKey)
  const halt = new Halt()
  const release = halt.follow(signal)
  const tree = new ManifestTree({ keys, content: root.content }, ports, halt)
  const stripes = range(Math.floor(from / STRIPE_SIZE), Math.floor((to - 1) / STRIPE_SIZE))
  try {
    const within = { inFlightMax: ports.stripesInFlight ?? STRIPES_IN_FLIGHT, halt }
    const plains = mapInOrder(stripes, within, async (index) => {
      const place = { level: 0, index }
      const entry = await tree.entry(0, index)
      return { index, plain: await gatherStripe({ entry, place, keys }, ports, halt) }
    })
    for await (const { index, plain } of plains) {
      const start = index * STRIPE_SIZE
      yield plain.subarray(Math.max(0, from - start), Math.min(to - start, plain.length))
    }
  } finally {
    release()
    halt.halt(undefined)
  }
}

function* range(first: number, last: number): Generator<number, void, undefined> {
  for (let value = first; value <= last; value++) yield value
}
