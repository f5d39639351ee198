/**
 * What many hold in memory together, with one bound over all: who takes it past the bound makes the
 * largest holder give way, so that a few who take much cannot push out many who take little.
 * SPEC circuits §5. Sizes in bytes.
 */
export class HeldBytes<Holder extends object> {
  readonly #bytesMax: number
  readonly #giveWay: (holder: Holder) => void
  readonly #held = new Map<Holder, number>()
  #total = 0

  constructor(bytesMax: number, giveWay: (holder: Holder) => void) {
    this.#bytesMax = bytesMax
    this.#giveWay = giveWay
  }

  get total(): number {
    return this.#total
  }

  /** `holder` holds so much from now on; 0: nothing, and it is forgotten. */
  set(holder: Holder, sizeBytes: number): void {
    const before = this.#held.get(holder) ?? 0
    if (before === sizeBytes) return
    if (sizeBytes === 0) this.#held.delete(holder)
    else this.#held.set(holder, sizeBytes)
    this.#total += sizeBytes - before
    while (this.#total > this.#bytesMax) {
      const largest = this.#largest()
      if (largest === undefined) return
      this.set(largest, 0)
      this.#giveWay(largest)
    }
  }

  #largest(): Holder | undefined {
    let largest: Holder | undefined
    let most = 0
    for (const [holder, sizeBytes] of this.#held) {
      if (sizeBytes <= most) continue
      most = sizeBytes
      largest = holder
    }
    return largest
  }
}
