/**
 * What one node alone makes of its neighbours, after Levine et al. (CCS 2020): whoever asks it for many of an
 * object's parts is taken for the one who wants the object. It counts, for each neighbour, the requests of the
 * object that came from it; any threshold on the count, or on the share, is a test of theirs, and how well all
 * of them do together is the area under the curve (score.ts). Pure, over one recording. SPEC anonymity §3
 */
import { usedLegsOf } from './legs.ts'
import type { Leg, Recording } from './recording.ts'

/** Where a node stands towards its neighbour: as a hop of the ring, as the middle or as the guard of a circuit. */
export type Place = 'ring' | 'middle' | 'guard'

/** A count for each neighbour that was ever seen in that place; undefined when the object was not seen. */
export type Counts = ReadonlyMap<string, number> | undefined

/** Cells of circuits do not say what they are for: all of this while are counted. */
const AROUND_MS = { before: 600, after: 100 }

export class Neighbours {
  readonly #recording: Recording
  readonly #known: Readonly<Record<Place, ReadonlySet<string>>>
  readonly #legs: Readonly<Record<'middle' | 'guard', readonly Leg[]>>

  constructor(recording: Recording) {
    this.#recording = recording
    const near = recording.legs.filter((leg) => leg.isFromPeer)
    this.#legs = {
      guard: usedLegsOf(recording.legs),
      middle: near.filter(({ hop }) => hop === 2),
    }
    const peers = (legs: readonly { peer: string }[]) => new Set(legs.map(({ peer }) => peer))
    this.#known = {
      ring: new Set(recording.ring.filter(({ kind }) => kind !== 'copy').map(({ from }) => from)),
      middle: peers(this.#legs.middle),
      guard: peers(this.#legs.guard),
    }
  }

  /** `span`: when the node itself has seen the object asked for, which is all it can go by for cells. */
  spanOf(kind: 'get' | 'put', refs: ReadonlySet<string>): readonly [number, number] | undefined {
    const seen = this.#recording.ring.filter((sighting) => sighting.kind === kind && refs.has(sighting.ref))
    const first = seen[0]
    const last = seen.at(-1)
    return first && last && [first.atMs, last.atMs]
  }

  ring(kind: 'get' | 'put', refs: ReadonlySet<string>): Counts {
    const counts = new Map([...this.#known.ring].map((key) => [key, 0]))
    let total = 0
    for (const sighting of this.#recording.ring) {
      if (sighting.kind !== kind || !refs.has(sighting.ref)) continue
      counts.set(sighting.from, (counts.get(sighting.from) ?? 0) + 1)
      total++
    }
    return total === 0 ? undefined : counts
  }

  cells(place: 'middle' | 'guard', [fromMs, untilMs]: readonly [number, number]): Counts {
    const counts = new Map([...this.#known[place]].map((key) => [key, 0]))
    for (const { peer, forwardMs } of this.#legs[place]) {
      const cells = forwardMs.filter((atMs) => atMs > fromMs - AROUND_MS.before && atMs < untilMs + AROUND_MS.after)
      counts.set(peer, (counts.get(peer) ?? 0) + cells.length)
    }
    return counts
  }
}
