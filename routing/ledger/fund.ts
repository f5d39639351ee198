/**
 * What a node lets all those have, under load, who may owe it no more: one fund for all of them together, so
 * that another name is worth nothing; one for cells that come in, one for requests on the ring. Pure: time
 * comes in. SPEC ledger §7
 */
import { CELL_PRICE } from './price.ts'

const KIB = 1_024
/**
 * Of what a node may send, so much of each second goes into the fund, and `perSecondMin` credits at least. What
 * comes over the ring has been held where it came in; and who asks a neighbour there may never be asked by it.
 */
const FUNDS = { cells: { share: 1 / 128, perSecondMin: 4 }, ring: { share: 1 / 4, perSecondMin: 128 } } as const
const LEVEL_MAX = 4_096
/** An answer that has not come by then comes no more. */
const AWAITED_MS_MAX = 30_000
/** A cell let in may ask for a shard, which comes back in eight. */
const ANSWER_CREDITS = 8 * CELL_PRICE.towardsClient

export class Fund {
  readonly #perSecond: number
  #level = LEVEL_MAX
  #atMs: number | undefined
  /** By peer, credits of answers still to come. */
  readonly #awaited = new Map<string, { credits: number; atMs: number }>()

  constructor(from: { readonly of: keyof typeof FUNDS; readonly uploadBytesPerSecond: number | undefined }) {
    const { share, perSecondMin } = FUNDS[from.of]
    this.#perSecond = Math.max(perSecondMin, ((from.uploadBytesPerSecond ?? 0) / KIB) * share)
  }

  /** Whether there is anything for one more cell. */
  hasRoom(nowMs: number): boolean {
    const passedMs = nowMs - (this.#atMs ?? nowMs)
    this.#atMs = nowMs
    this.#level = Math.min(LEVEL_MAX, this.#level + (passedMs / 1_000) * this.#perSecond)
    let awaited = 0
    for (const [peer, { credits, atMs }] of this.#awaited) {
      if (nowMs - atMs > AWAITED_MS_MAX) this.#awaited.delete(peer)
      else awaited += credits
    }
    return this.#level > awaited
  }

  /** For a request on the ring, before it is answered. */
  spend(credits: number): void {
    this.#level -= credits
  }

  /** A cell of the peer was let in at the fund's cost. */
  letIn(peer: string, nowMs: number): void {
    this.#level -= CELL_PRICE.towardsGateway
    const credits = (this.#awaited.get(peer)?.credits ?? 0) + ANSWER_CREDITS
    this.#awaited.set(peer, { credits, atMs: nowMs })
  }

  /** What came of it; nothing for a peer that the fund let nothing in of. */
  gave(peer: string, credits: number): void {
    const awaited = this.#awaited.get(peer)
    if (awaited === undefined) return
    this.#level -= credits
    awaited.credits = Math.max(0, awaited.credits - credits)
  }
}
