/**
 * Chance out of a seed: the same seed gives the same draws on every machine. xoshiro128** (Blackman and
 * Vigna), seeded through splitmix32. Fair enough for a simulation, and nothing that a secret may rest on.
 */
import type { Jitter, SecretRandom } from '../core/index.ts'

export class Chance implements Jitter, SecretRandom {
  readonly #state = new Uint32Array(4)

  constructor(seed: number | string) {
    let mixed = 0x811c9dc5
    for (const letter of String(seed)) mixed = Math.imul(mixed ^ letter.charCodeAt(0), 0x01000193)
    for (let i = 0; i < 4; i++) {
      mixed = (mixed + 0x9e3779b9) | 0
      let word = mixed
      word = Math.imul(word ^ (word >>> 16), 0x21f0aaad)
      word = Math.imul(word ^ (word >>> 15), 0x735a2d97)
      this.#state[i] = word ^ (word >>> 15)
    }
  }

  uint32(): number {
    const s = this.#state as unknown as [number, number, number, number]
    const product = Math.imul(s[1], 5)
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0
    const shifted = s[1] << 9
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= shifted
    s[3] = (s[3] << 11) | (s[3] >>> 21)
    return result
  }

  /** 0 to 1, 1 not included. */
  unit(): number {
    return this.uint32() / 2 ** 32
  }

  below(count: number): number {
    return Math.floor(this.unit() * count)
  }

  between(min: number, max: number): number {
    return min + this.unit() * (max - min)
  }

  /** True with the given probability. */
  isLucky(probability: number): boolean {
    return this.unit() < probability
  }

  /** Exponential with this mean. */
  exponential(mean: number): number {
    return -mean * Math.log(1 - this.unit())
  }

  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new Error('nothing to pick from')
    return items[this.below(items.length)] as T
  }

  bytes(size: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(size)
    this.fill(bytes)
    return bytes
  }

  fill(target: Uint8Array): void {
    let at = 0
    for (; at + 4 <= target.length; at += 4) {
      const word = this.uint32()
      target[at] = word
      target[at + 1] = word >>> 8
      target[at + 2] = word >>> 16
      target[at + 3] = word >>> 24
    }
    for (; at < target.length; at++) target[at] = this.uint32()
  }
}
