/**
 * How well an object is kept: every stripe, every manifest node and the root, by asking for each shard
 * without fetching it. Only the manifest is fetched. SPEC dispersal §9
 */
import type { Jitter } from '../core/index.ts'
import type { ContentRef } from './content-ref.ts'
import { storedNeeded } from './disperse.ts'
import type { FetchContent } from './gather.ts'
import { Halt } from './halt.ts'
import { mapInOrder, STRIPES_IN_FLIGHT } from './lanes.ts'
import type { Part, Piece } from './pieces.ts'
import { answersYes, type ProbeContent } from './repair.ts'
import type { Handle } from './repair-key.ts'
import { piecesOf } from './repair-list.ts'

export type StripeHealth = 'perfect' | 'good' | 'weak' | 'critical' | 'lost'

export interface StripeReport {
  /** With a repair key its list is checked too, after the object. */
  readonly part: Part
  /** Index within the level. */
  readonly stripe: number
  /** 0: data; above: manifest nodes; the last: the root, of which one copy is enough. */
  readonly level: number
  readonly needed: number
  readonly total: number
  readonly reachable: number
  readonly health: StripeHealth
}

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
 * lies beneath a node that cannot be read is lost with it and not reported, unless a repair key is given,
 * which knows of it all the same. Throws as openObject does; a reader that stops early calls everything off.
 */
export async function* checkObject(handle: Handle, ports: CheckPorts): AsyncGenerator<StripeReport, void, undefined> {
  const halt = new Halt()
  const within = { inFlightMax: ports.stripesInFlight ?? STRIPES_IN_FLIGHT, halt }
  yield* mapInOrder(piecesOf(handle, ports, halt), within, (piece) => probePiece(piece, ports.probe, halt))
}

async function probePiece(piece: Piece, probe: ProbeContent, halt: Halt): Promise<StripeReport> {
  const { part, index: stripe, level, needed, total, refs, unreadable } = piece
  const isHeld = (ref: ContentRef): Promise<boolean> => answersYes(halt, (signal) => probe(ref, { signal }))
  const reachable = unreadable?.found ?? (await Promise.all(refs.map(isHeld))).filter((held) => held).length
  return { part, stripe, level, needed, total, reachable, health: healthOf({ reachable, needed, total }) }
}
