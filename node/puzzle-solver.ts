/**
 * Solves handshake puzzles beside everything else: in slices of a few milliseconds, with the event loop's
 * turn between them, one puzzle at a time, and only as long as a user would wait. SPEC circuits §7
 */
import { type Clock, pause } from '../core/index.ts'
import { type HandshakePuzzle, PUZZLE_EFFORT, PuzzleSearch } from '../crypto/index.ts'
import type { PuzzleProof } from '../routing/index.ts'
import { hourOf } from './roles/create-desk.ts'

/** Between two looks at the clock: less than a millisecond of hashes. */
const TRIES_AT_ONCE = 256
/** A slice ends after so long or so many; on a simulator's clock no time passes within it. */
const SLICE_MS = 4
const SLICE_TRIES_MAX = 8_192
const PAUSE_MS = 1
/** For one puzzle; at 24 bits few find a nonce in that time, and the circuit is given up. */
const PATIENCE_MS = 20_000
/** Circuits that wait for their puzzle; others are given up at once. */
const WAITING_MAX = 16

export class PuzzleSolver {
  readonly #clock: Clock
  #last: Promise<unknown> = Promise.resolve()
  #waiting = 0
  readonly counts = { solved: 0, givenUp: 0 }

  constructor(ports: { readonly clock: Clock }) {
    this.#clock = ports.clock
  }

  /** Undefined when it takes too long, or nobody wants it any more. */
  async solve(
    of: Omit<HandshakePuzzle, 'hour'>,
    wish: { readonly bits: number; readonly isWanted: () => boolean },
  ): Promise<PuzzleProof | undefined> {
    if (wish.bits > PUZZLE_EFFORT.max || this.#waiting >= WAITING_MAX) return undefined
    this.#waiting++
    const turn = this.#last.then(() => this.#search(of, wish))
    this.#last = turn
    const proof = await turn
    this.#waiting--
    if (proof === undefined) this.counts.givenUp++
    else this.counts.solved++
    return proof
  }

  async #search(
    of: Omit<HandshakePuzzle, 'hour'>,
    { bits, isWanted }: { readonly bits: number; readonly isWanted: () => boolean },
  ): Promise<PuzzleProof | undefined> {
    // What a relay that asks for less than the least has in mind is no puzzle, but costs nothing either.
    const effort = Math.max(PUZZLE_EFFORT.min, bits)
    const hour = hourOf(this.#clock.nowMs())
    const search = new PuzzleSearch({ ...of, hour }, { bits: effort })
    const endMs = this.#clock.monotonicMs() + PATIENCE_MS
    while (isWanted()) {
      const startMs = this.#clock.monotonicMs()
      if (startMs > endMs) return undefined
      for (let tries = 0; tries < SLICE_TRIES_MAX; tries += TRIES_AT_ONCE) {
        const nonce = search.run(TRIES_AT_ONCE)
        if (nonce !== undefined) return { effort, hour, nonce }
        if (this.#clock.monotonicMs() - startMs >= SLICE_MS) break
      }
      await pause(this.#clock, PAUSE_MS)
    }
    return undefined
  }
}
