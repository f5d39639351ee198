/** Credits for the relay cells of one link: who opened a circuit pays, this side or the peer. SPEC ledger §1 */
import { CELL_PRICE, isDialersCircuit } from '../routing/index.ts'

export interface CellCredits {
  readonly given: number
  readonly got: number
  /** Of what was given, that for cells back to the peer. */
  readonly givenBack: number
}
const NONE: CellCredits = { given: 0, got: 0, givenBack: 0 }

export class CellMeter {
  readonly #isDialer: boolean
  #credits = NONE

  constructor(link: { readonly isDialer: boolean }) {
    this.#isDialer = link.isDialer
  }

  sent(circuit: number): void {
    const { given, got, givenBack } = this.#credits
    const { towardsGateway, towardsClient } = CELL_PRICE
    if (this.#isOwn(circuit)) this.#credits = { given, got: got + towardsGateway, givenBack }
    else this.#credits = { given: given + towardsClient, got, givenBack: givenBack + towardsClient }
  }

  arrived(circuit: number): void {
    const { given, got, givenBack } = this.#credits
    if (this.#isOwn(circuit)) this.#credits = { given, got: got + CELL_PRICE.towardsClient, givenBack }
    else this.#credits = { given: given + CELL_PRICE.towardsGateway, got, givenBack }
  }

  /** Since this was last asked. */
  take(): CellCredits {
    const credits = this.#credits
    this.#credits = NONE
    return credits
  }

  #isOwn(circuit: number): boolean {
    return isDialersCircuit(circuit) === this.#isDialer
  }
}
