/**
 * Making an object whole again: every shard is probed for, what lacks is rebuilt out of k others and put
 * back where it belongs, and the leases of the rest are prolonged. SPEC repair §2
 *
 * At most `stripesInFlight` stripes are held, each with its k gathered shards and those being put back. One
 * stripe that cannot be rebuilt does not keep the others from it.
 */
import { assert, type Jitter, SHARD_SIZE, shuffle } from '../core/index.ts'
import type { ContentRef } from './content-ref.ts'
import type { PlaceOutcome, PlaceShard } from './disperse.ts'
import { StripeMismatchError, TooFewShardsError } from './errors.ts'
import { type FetchContent, gatherShards, isMiss } from './gather.ts'
import { Halt } from './halt.ts'
import { mapInOrder } from './lanes.ts'
import type { Part, Piece } from './pieces.ts'
import { rebuildShards } from './rebuild.ts'
import type { Handle } from './repair-key.ts'
import { piecesOf } from './repair-list.ts'

/** Whether a keeper answers that it holds the content. Errors of kind unavailable or peer count as no. */
export type ProbeContent = (ref: ContentRef, wish: { readonly signal: AbortSignal }) => Promise<boolean>
/** Whether the content's keepers prolonged its lease, and have that on disk. Errors count as no, as above. */
export type RenewContent = ProbeContent

export interface RepairPorts {
  readonly fetch: FetchContent
  readonly probe: ProbeContent
  readonly renew: RenewContent
  readonly place: PlaceShard
  readonly jitter: Jitter
  readonly stripesInFlight?: number
  /** Ends the repair from outside: it throws the signal's reason. */
  readonly signal?: AbortSignal
}

/** What became of one stripe, or of the root's copies. */
export interface StripeRepair {
  readonly part: Part
  readonly stripe: number
  readonly level: number
  readonly needed: number
  readonly total: number
  /** Of the shards: not proven by any keeper when looked at. */
  readonly missing: number
  /** Of these: back, with a keeper's receipt; rebuilt, and still looking for a keeper. */
  readonly rebuilt: number
  readonly pending: number
  /** Of those that were there: prolonged, by a renewal or by being put again. */
  readonly renewed: number
  /** Of shards fetched and shards put back. */
  readonly movedBytes: number
}

const REPAIRS_IN_FLIGHT = 3

/**
 * One report for each piece, in the order of piecesOf(). Throws as openObject does, and what the placer
 * throws; a reader that stops early calls everything off.
 */
export async function* repairObject(handle: Handle, ports: RepairPorts): AsyncGenerator<StripeRepair, void, undefined> {
  const halt = new Halt()
  const release = halt.follow(ports.signal)
  const within = { inFlightMax: ports.stripesInFlight ?? REPAIRS_IN_FLIGHT, halt }
  let stripe = 0
  try {
    yield* mapInOrder(piecesOf(handle, ports, halt), within, (piece) => repairPiece(piece, stripe++, ports, halt))
  } finally {
    release()
  }
}

async function repairPiece(piece: Piece, stripe: number, ports: RepairPorts, halt: Halt): Promise<StripeRepair> {
  const { part, index, level, needed, total, refs } = piece
  const order = shuffle(
    ports.jitter,
    refs.map((_, shard) => shard),
  )
  const ask = (yes: ProbeContent, shard: number): Promise<boolean> =>
    answersYes(halt, (signal) => yes(refs[shard] as ContentRef, { signal }))
  const isProbed = await Promise.all(order.map((shard) => ask(ports.probe, shard)))
  const probed = order.filter((_, at) => isProbed[at])
  const isRenewed = await Promise.all(probed.map((shard) => ask(ports.renew, shard)))
  const renewed = probed.filter((_, at) => isRenewed[at])
  // A signed root is probed whole, and a cache may have answered: only a keeper prolongs its lease.
  const held = refs[0]?.kind === 'signed' ? renewed : probed
  const missing = order.filter((shard) => !held.includes(shard))
  // Proven somewhere, but not where its owner could prolong it: a put brings it there.
  const adrift = held.filter((shard) => !renewed.includes(shard))

  let movedBytes = 0
  const fetch: FetchContent = async (ref, wish) => {
    const bytes = await ports.fetch(ref, wish)
    movedBytes += bytes?.length ?? 0
    return bytes
  }
  const wanted = [...missing, ...adrift]
  const remade =
    wanted.length === 0
      ? new Map<number, Uint8Array>()
      : await remake(piece, { order: [...held, ...missing], wanted }, { ...ports, fetch }, halt)
  const outcomes = new Map<number, PlaceOutcome>()
  await Promise.all(
    [...remade].map(async ([shard, bytes]) => {
      if (halt.halted !== undefined) throw halt.halted.reason
      const ref = refs[shard] as ContentRef
      movedBytes += SHARD_SIZE
      outcomes.set(shard, await halt.withSignal((signal) => ports.place({ ref, bytes, stripe, final: true, signal })))
    }),
  )
  const count = (shards: readonly number[], outcome: PlaceOutcome): number =>
    shards.filter((shard) => outcomes.get(shard) === outcome).length
  return {
    part,
    stripe: index,
    level,
    needed,
    total,
    missing: missing.length,
    rebuilt: count(missing, 'stored'),
    pending: count(missing, 'pending'),
    renewed: renewed.length + count(adrift, 'stored'),
    movedBytes,
  }
}

interface Shards {
  /** All of them, those that are held in front. */
  readonly order: readonly number[]
  readonly wanted: readonly number[]
}

/** The wanted shards that can be made again; none when too few others are left, or they do not fit together. */
async function remake(
  piece: Piece,
  shards: Shards,
  ports: RepairPorts,
  halt: Halt,
): Promise<ReadonlyMap<number, Uint8Array>> {
  if ('copies' in piece.makings) return remakeCopies(piece, shards, ports, halt)
  const { keys, entry } = piece.makings
  const place = { level: piece.level, index: piece.index }
  try {
    return await gatherShards(
      {
        entry,
        place,
        keys,
        decode: (opened) => rebuildShards({ keys, place, entry }, opened, shards.wanted),
        // At last those that no keeper proved: they may still pass by in a cache.
        order: shards.order,
        extra: 0,
      },
      ports,
      halt,
    )
  } catch (error) {
    if (error instanceof TooFewShardsError || error instanceof StripeMismatchError) return new Map()
    throw error
  }
}

async function remakeCopies(
  piece: Piece,
  { order, wanted }: Shards,
  { fetch }: RepairPorts,
  halt: Halt,
): Promise<ReadonlyMap<number, Uint8Array>> {
  assert('copies' in piece.makings, 'a root has copies')
  const { copies } = piece.makings
  const remade = new Map<number, Uint8Array>()
  // Where no copy is known, all are alike: the first that a keeper gives serves for every place.
  let common: Uint8Array | undefined
  for (const copy of order) {
    if (copies[copy] !== undefined || common !== undefined) continue
    try {
      common = await halt.withSignal((signal) => fetch(piece.refs[copy] as ContentRef, { signal }))
    } catch (error) {
      if (!isMiss(error)) throw error
    }
  }
  for (const copy of wanted) {
    const bytes = copies[copy] ?? common
    if (bytes !== undefined) remade.set(copy, bytes)
  }
  return remade
}

/** What `ask` says; an error that counts as a miss says no. */
export async function answersYes(halt: Halt, ask: (signal: AbortSignal) => Promise<boolean>): Promise<boolean> {
  try {
    return await halt.withSignal(ask)
  } catch (error) {
    if (isMiss(error)) return false
    throw error
  }
}
