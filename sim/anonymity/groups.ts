/**
 * Which of the puts that a pool has seen it takes for parts of one thing: those out of one circuit at one
 * time, those of one client that it guards, and those that come at the same time at all. Pure, over what the
 * pool has seen. SPEC anonymity §3
 */
import type { Adversary, Sighting } from './adversary.ts'

/** `circuit`: sure, by its own circuits. `guard`: by the client its guards lead to. `time`: whatever comes together. */
export type Basis = 'circuit' | 'guard' | 'time'

/** Requests of one thing follow each other so closely on a circuit or from a client, and over all. */
const PAUSE_MS: Readonly<Record<Basis, number>> = { circuit: 2_000, guard: 2_000, time: 250 }

/** The names that were put, each in one group. */
export function groupPuts(adversary: Pick<Adversary, 'sightings' | 'originOf'>, basis: Basis): readonly string[][] {
  const firsts = new Map<string, Sighting>()
  for (const sighting of adversary.sightings) {
    if (sighting.kind === 'get') continue
    const known = firsts.get(sighting.ref)
    // The gateway's own sighting says most.
    if (known === undefined || (known.leg === undefined && sighting.leg !== undefined))
      firsts.set(sighting.ref, sighting)
  }
  const lanes = new Map<unknown, Sighting[]>()
  for (const sighting of firsts.values()) {
    const lane = laneOf(adversary, sighting, basis)
    const others = lanes.get(lane)
    if (others === undefined) lanes.set(lane, [sighting])
    else others.push(sighting)
  }
  return [...lanes.values()].flatMap((lane) => cutAtPauses(lane, PAUSE_MS[basis]))
}

function laneOf(adversary: Pick<Adversary, 'originOf'>, sighting: Sighting, basis: Basis): unknown {
  if (basis === 'time') return 'all'
  // Without a circuit it stands alone.
  if (sighting.leg === undefined) return sighting
  return basis === 'circuit' ? sighting.leg : (adversary.originOf(sighting.leg).client ?? sighting.leg)
}

export function cutAtPauses(sightings: readonly Sighting[], pauseMs: number): string[][] {
  const groups: string[][] = []
  let lastMs = Number.NEGATIVE_INFINITY
  for (const { atMs, ref } of [...sightings].sort((a, b) => a.atMs - b.atMs)) {
    if (atMs - lastMs > pauseMs) groups.push([])
    groups.at(-1)?.push(ref)
    lastMs = atMs
  }
  return groups
}
