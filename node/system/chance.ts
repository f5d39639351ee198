/**
 * Chance from the system's generator. Small draws come out of a pool, since one call a draw would cost
 * more than the bytes; what was handed out is wiped from the pool at once.
 */
import type { Jitter, SecretRandom } from '../../core/index.ts'

const POOL_SIZE = 16_384
/** A larger draw goes past the pool. */
const POOLED_SIZE_MAX = 2_048
/** The most that one call of getRandomValues gives. */
const CALL_SIZE_MAX = 65_536

class Pool {
  readonly #bytes = new Uint8Array(POOL_SIZE)
  readonly #view = new DataView(this.#bytes.buffer)
  #at = POOL_SIZE

  fill(target: Uint8Array): void {
    if (target.length > POOLED_SIZE_MAX) {
      fillDirectly(target)
      return
    }
    const start = this.#take(target.length)
    target.set(this.#bytes.subarray(start, this.#at))
    this.#bytes.fill(0, start, this.#at)
  }

  uint32(): number {
    const start = this.#take(4)
    const value = this.#view.getUint32(start)
    this.#view.setUint32(start, 0)
    return value
  }

  #take(size: number): number {
    if (this.#at + size > POOL_SIZE) {
      crypto.getRandomValues(this.#bytes)
      this.#at = 0
    }
    const start = this.#at
    this.#at += size
    return start
  }
}

function fillDirectly(target: Uint8Array): void {
  for (let at = 0; at < target.length; at += CALL_SIZE_MAX)
    crypto.getRandomValues(target.subarray(at, at + CALL_SIZE_MAX))
}

export function systemRandom(): SecretRandom {
  const pool = new Pool()
  return {
    fill: (target) => pool.fill(target),
    bytes(size) {
      const bytes = new Uint8Array(size)
      pool.fill(bytes)
      return bytes
    },
  }
}

export function systemJitter(): Jitter {
  const pool = new Pool()
  return { uint32: () => pool.uint32() }
}
