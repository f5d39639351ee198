/**
 * All that an object is made of, piece by piece, for those who look after it: the root's copies, then each
 * manifest node before what it lists, then stripes of data in order. SPEC repair §2, dispersal §9
 *
 * By its address the lists are fetched as they are needed. By a repair key they stream out of the object's
 * repair list, and the pieces of that list follow, since without it the key is worth nothing.
 */
import { type Jitter, ROOT_COPIES, shardCount } from '../core/index.ts'
import type { Address } from './address.ts'
import type { ContentRef } from './content-ref.ts'
import { TooFewShardsError } from './errors.ts'
import type { FetchContent } from './gather.ts'
import type { Halt } from './halt.ts'
import { entryRef, type Root, type StripeEntry } from './manifest.ts'
import { fetchRoot } from './recover.ts'
import { type RootCopy, rootCopies } from './root.ts'
import { type StripeKeys, type StripePlace, stripeKeys } from './stripe.ts'
import { ManifestTree } from './tree.ts'

/** Which of two objects a piece is of: the one looked after, or its repair list. */
export type Part = 'object' | 'list'

export interface Piece {
  readonly part: Part
  /** 0: data; above: manifest nodes; the last: the root, of which one copy is enough. */
  readonly level: number
  /** Within the level. */
  readonly index: number
  readonly needed: number
  readonly total: number
  readonly refs: readonly ContentRef[]
  readonly makings: Makings
  /** Of a node that could not be read: why. What it lists stays unknown. */
  readonly unreadable?: TooFewShardsError
}

/** What lost shards are made of. `copies`: the root's, undefined where only a keeper has the bytes. */
export type Makings =
  | { readonly copies: readonly (Uint8Array | undefined)[] }
  | { readonly keys: Pick<StripeKeys, 'repair'>; readonly entry: StripeEntry }

export interface PiecePorts {
  readonly fetch: FetchContent
  readonly jitter: Jitter
}

export interface OpenedPieces {
  readonly root: Root
  readonly pieces: AsyncGenerator<Piece, void, undefined>
}

/** Throws as openObject does. What lies beneath a node that cannot be read is left out. */
export async function openPieces(
  address: Address,
  ports: PiecePorts,
  of: { readonly part: Part; readonly halt: Halt },
): Promise<OpenedPieces> {
  const { root, taken } = await of.halt.withSignal((signal) => fetchRoot(address, { fetch: ports.fetch, signal }))
  return { root, pieces: piecesUnderRoot(root, rootCopies(address, taken), ports, of) }
}

export async function* piecesByAddress(
  address: Address,
  ports: PiecePorts,
  of: { readonly part: Part; readonly halt: Halt },
): AsyncGenerator<Piece, void, undefined> {
  yield* (await openPieces(address, ports, of)).pieces
}

async function* piecesUnderRoot(
  root: Root,
  copies: readonly RootCopy[],
  ports: PiecePorts,
  { part, halt }: { readonly part: Part; readonly halt: Halt },
): AsyncGenerator<Piece, void, undefined> {
  const { content } = root
  yield rootPiece(part, 'inline' in content ? 0 : content.level + 1, copies)
  if ('inline' in content) return
  const keys = stripeKeys(root.objectKey)
  const tree = new ManifestTree({ keys, content }, ports, halt)
  for (let index = 0; index < tree.count(content.level); index++) {
    yield* piecesUnder(tree, { part, keys }, { level: content.level, index })
  }
}

async function* piecesUnder(
  tree: ManifestTree,
  of: { readonly part: Part; readonly keys: Pick<StripeKeys, 'repair'> },
  place: StripePlace,
): AsyncGenerator<Piece, void, undefined> {
  const entry = await tree.entry(place.level, place.index)
  const piece = stripePiece(of, place, entry)
  const listed = place.level === 0 ? [] : await listedBy(tree, place)
  yield listed instanceof TooFewShardsError ? { ...piece, unreadable: listed } : piece
  if (listed instanceof TooFewShardsError) return
  for (const below of listed) yield* piecesUnder(tree, of, { level: place.level - 1, index: below })
}

/** The stripes that a node lists; or why it cannot be read. */
async function listedBy(
  tree: ManifestTree,
  { level, index }: StripePlace,
): Promise<readonly number[] | TooFewShardsError> {
  const { first, count } = tree.under(level, index)
  try {
    await tree.entry(level - 1, first)
  } catch (error) {
    if (error instanceof TooFewShardsError) return error
    throw error
  }
  return Array.from({ length: count }, (_, at) => first + at)
}

export function rootPiece(
  part: Part,
  level: number,
  copies: readonly { readonly ref: ContentRef; readonly bytes?: Uint8Array }[],
): Piece {
  const refs = copies.map(({ ref }) => ref)
  const makings = { copies: copies.map(({ bytes }) => bytes) }
  return { part, level, index: 0, needed: 1, total: ROOT_COPIES, refs, makings }
}

export function stripePiece(
  of: { readonly part: Part; readonly keys: Pick<StripeKeys, 'repair'> },
  { level, index }: StripePlace,
  entry: StripeEntry,
): Piece {
  const total = shardCount(entry.k)
  const refs = Array.from({ length: total }, (_, shard) => entryRef(entry, shard))
  return { part: of.part, level, index, needed: entry.k, total, refs, makings: { keys: of.keys, entry } }
}
