/**
 * How well an object is kept: every stripe, every manifest node and the root, by asking for each shard
 * without fetching it. Only the manifest is fetched. SPEC dispersal §9
 */
import { type Jitter, ROOT_COPIES, shardCount } from '../core/index.ts'
import type { Address } from './address.ts'
import type { ContentRef } from './content-ref.ts'
import { storedNeeded } from './disperse.ts'
import { TooFewShardsError } from './errors.ts'
import { type FetchContent, isMiss } from './gather.ts'
import { Halt } from './halt.ts'
import { mapInOrder, STRIPES_IN_FLIGHT } from './lanes.ts'
import { entryRef } from './manifest.ts'
import { fetchRoot } from './recover.ts'
import { rootRefs } from './root.ts'
import { stripeKeys } from './stripe.ts'
import { ManifestTree } from './tree.ts'

export type StripeHealth = 'perfect' | 'good' | 'weak' | 'critical' | 'lost'

export interface StripeReport {
  /** Index within the level. */
  readonly stripe: number
  /** 0: data; above: manifest nodes; the last: the root, of which one copy is enough. */
  readonly level: number
  readonly needed: number
  readonly total: number
  readonly reachable: number
  readonly health: StripeHealth
}

/** Whether a keeper answers that it holds the content. Errors of kind unavailable or peer count as no. */
export type ProbeContent = (ref: ContentRef, wish: { readonly signal: AbortSignal }) => Promise<boolean>

export interface CheckPorts {
  readonly fetch: FetchContent
  readonly probe: ProbeContent
  readonly jitter: Jitter
  readonly stripesInFlight?: number
}

/**
 * The word for so many shards within reach. good: as many as a put asks for; weak: at least half of that
 * reserve; critical: just enough to read.
 */
export function healthOf(counts: {
  readonly reachable: number
  readonly needed: number
  readonly total: number
}): StripeHealth {
  const { reachable, needed, total } = counts
  if (reachable >= total) return 'perfect'
  if (reachable >= storedNeeded(needed, total)) return 'good'
  if (reachable >= needed + Math.ceil((total - needed) / 4)) return 'weak'
  return reachable >= needed ? 'critical' : 'lost'
}

/**
 * One report for the root, then each manifest node before what it lists, then data stripes in order. What
 * lies beneath a node that cannot be read is lost with it and not reported. Throws as openObject does; a
 * reader that stops early calls everything off.
 */
export async function* checkObject(address: Address, ports: CheckPorts): AsyncGenerator<StripeReport, void, undefined> {
  const halt = new Halt()
  const root = await fetchRoot(address, { fetch: ports.fetch })
  const rootLevel = 'inline' in root.content ? 0 : root.content.level + 1
  const work = async function* (): AsyncGenerator<Piece, void, undefined> {
    yield { stripe: 0, level: rootLevel, needed: 1, total: ROOT_COPIES, refs: rootRefs(address), found: undefined }
    if ('inline' in root.content) return
    const tree = new ManifestTree({ keys: stripeKeys(root.objectKey), content: root.content }, ports, halt)
    const top = root.content.level
    for (let index = 0; index < tree.count(top); index++) yield* piecesUnder(tree, top, index)
  }
  const within = { inFlightMax: ports.stripesInFlight ?? STRIPES_IN_FLIGHT, halt }
  yield* mapInOrder(work(), within, (piece) => probePiece(piece, ports.probe, halt))
}

/** A stripe to be probed. `found`: a node that could not be read, and so many of its shards came. */
interface Piece {
  readonly stripe: number
  readonly level: number
  readonly needed: number
  readonly total: number
  readonly refs: readonly ContentRef[]
  readonly found: number | undefined
}

async function* piecesUnder(tree: ManifestTree, level: number, index: number): AsyncGenerator<Piece, void, undefined> {
  const entry = await tree.entry(level, index)
  const total = shardCount(entry.k)
  const refs = Array.from({ length: total }, (_, shard) => entryRef(entry, shard))
  const piece = { stripe: index, level, needed: entry.k, total, refs }
  const listed = level === 0 ? [] : await listedBy(tree, level, index)
  yield { ...piece, found: typeof listed === 'number' ? listed : undefined }
  if (typeof listed === 'number') return
  for (const below of listed) yield* piecesUnder(tree, level - 1, below)
}

/** The stripes that a node lists; or, when it cannot be read, how many of its shards were found. */
async function listedBy(tree: ManifestTree, level: number, index: number): Promise<readonly number[] | number> {
  const { first, count } = tree.under(level, index)
  try {
    await tree.entry(level - 1, first)
  } catch (error) {
    if (error instanceof TooFewShardsError) return error.found
    throw error
  }
  return Array.from({ length: count }, (_, at) => first + at)
}

async function probePiece(piece: Piece, probe: ProbeContent, halt: Halt): Promise<StripeReport> {
  const { stripe, level, needed, total, refs, found } = piece
  const reachable =
    found ?? (await Promise.all(refs.map((ref) => isReachable(ref, probe, halt)))).filter((held) => held).length
  return { stripe, level, needed, total, reachable, health: healthOf({ reachable, needed, total }) }
}

async function isReachable(ref: ContentRef, probe: ProbeContent, halt: Halt): Promise<boolean> {
  try {
    return await halt.withSignal((signal) => probe(ref, { signal }))
  } catch (error) {
    if (isMiss(error)) return false
    throw error
  }
}
