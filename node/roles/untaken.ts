/** Who takes nothing. SPEC requests §7 */
import { keyOf, type NodeId } from '../../core/index.ts'

/** In a row: a member that is full or busy says so at once, one that is silent costs a time-out each. */
const UNTAKEN_MAX = 8

/** Members to which a pass has handed things in vain: they get no more in it, so that all others get theirs. */
export class Untaken {
  readonly #inARow = new Map<string, number>()

  /** Whether the member took it; not asked any more after failures in a row. */
  async hand(id: NodeId, give: () => Promise<boolean>): Promise<boolean> {
    const name = keyOf(id)
    if ((this.#inARow.get(name) ?? 0) >= UNTAKEN_MAX) return false
    const isTaken = await give()
    this.#inARow.set(name, isTaken ? 0 : (this.#inARow.get(name) ?? 0) + 1)
    return isTaken
  }
}
