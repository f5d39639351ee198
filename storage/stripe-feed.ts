/**
 * A stream of bytes of any sizes cut into stripes, one ahead: a stripe is handed out only once it is known
 * whether another follows. Holds at most one stripe and the piece the source gave last. SPEC dispersal §7
 */
import { assert, STRIPE_SIZE } from '../core/index.ts'

export interface FedStripe {
  /** A whole stripe, owned by the taker; zeros after `used`. */
  readonly plain: Uint8Array
  readonly used: number
  readonly isLast: boolean
}

export class StripeFeed {
  readonly #source: AsyncIterator<Uint8Array>
  readonly #wait: <T>(promise: Promise<T>) => Promise<T>
  #rest: Uint8Array = new Uint8Array(0)
  #isEnded = false

  /** `wait` stands between the feed and the source, and may give up before the source answers. */
  constructor(source: AsyncIterable<Uint8Array>, wait: <T>(promise: Promise<T>) => Promise<T>) {
    this.#source = source[Symbol.asyncIterator]()
    this.#wait = wait
  }

  /** Not to be called again after the last stripe; an empty source gives one stripe with nothing used. */
  async next(): Promise<FedStripe> {
    const plain = new Uint8Array(STRIPE_SIZE)
    let used = 0
    for (;;) {
      const taken = Math.min(this.#rest.length, STRIPE_SIZE - used)
      plain.set(taken === this.#rest.length ? this.#rest : this.#rest.subarray(0, taken), used)
      used += taken
      this.#rest = this.#rest.subarray(taken)
      if (this.#rest.length > 0) return { plain, used, isLast: false }
      const next = await this.#wait(this.#source.next())
      if (next.done === true) {
        this.#isEnded = true
        return { plain, used, isLast: true }
      }
      assert(next.value instanceof Uint8Array, 'a source gives bytes')
      this.#rest = next.value
    }
  }

  /** Tells the source that nothing more is wanted; a source in the middle of an answer is not waited for. */
  close(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    Promise.resolve()
      .then(() => this.#source.return?.())
      .catch(() => undefined)
  }
}
