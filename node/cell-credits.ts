/** Credits for the relay cells of one link: who opened a circuit pays, this side or the peer. SPEC ledger §1 */
import { CELL_PRICE, isDialersCircuit } from '../routing/index.ts'

export interface CellCredits {
  given: number
  got: number
  /** Of what was given, that for cells back to the peer. */
  givenBack: number
}
const NONE: Readonly<CellCredits> = { given: 0, got: 0, givenBack: 0 }

export class CellMeter {
  readonly #isDialer: boolean
  readonly #onFirst: () => void
  #credits: CellCredits | undefined

  /** `onFirst` is told of the first cell after take(). */
  constructor(from: { readonly isDialer: boolean; readonly onFirst: () => void }) {
    this.#isDialer = from.isDialer
    this.#onFirst = from.onFirst
  }

  sent(circuit: number): void {
    const credits = this.#uncounted()
    if (this.#isOwn(circuit)) {
      credits.got += CELL_PRICE.towardsGateway
      return
    }
    credits.given += CELL_PRICE.towardsClient
    credits.givenBack += CELL_PRICE.towardsClient
  }

  arrived(circuit: number): void {
    if (this.#isOwn(circuit)) this.#uncounted().got += CELL_PRICE.towardsClient
    else this.#uncounted().given += CELL_PRICE.towardsGateway
  }

  /** Since this was last asked. */
  take(): Readonly<CellCredits> {
    const credits = this.#credits
    this.#credits = undefined
    return credits ?? NONE
  }

  #uncounted(): CellCredits {
    if (this.#credits === undefined) {
      this.#credits = { ...NONE }
      this.#onFirst()
    }
    return this.#credits
  }

  #isOwn(circuit: number): boolean {
    return isDialersCircuit(circuit) === this.#isDialer
  }
}
