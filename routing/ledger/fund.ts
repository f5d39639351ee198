/**
 * What a node lets all those have, under load, who may owe it no more: one fund for all of them together, so
 * that another name is worth nothing. Pure: time comes in. SPEC ledger §7
 */
import { CELL_PRICE } from './price.ts'

const KIB = 1_024
/** Of what a node may send, so much of each second goes into the fund ... */
const SHARE = 1 / 128
/** ... and this at least, and where there is no rate. In credits a second. */
const PER_S_MIN = 4
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

  constructor(from: { readonly uploadBytesPerSecond: number | undefined }) {
    this.#perSecond = Math.max(PER_S_MIN, ((from.uploadBytesPerSecond ?? 0) / KIB) * SHARE)
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
