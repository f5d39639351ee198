/** Fair draws from a Jitter. */
import { assert } from './errors.ts'
import type { Jitter } from './ports.ts'

/** A fair integer from 0 to `count - 1`: draws again rather than prefer the low ones. */
export function below(jitter: Jitter, count: number): number {
  assert(Number.isInteger(count) && count >= 1 && count <= 2 ** 32, 'a draw has 1 to 2^32 outcomes')
  const fair = 2 ** 32 - (2 ** 32 % count)
  for (;;) {
    const drawn = jitter.uint32()
    if (drawn < fair) return drawn % count
  }
}

/** Uniform in [min, max). */
export function between(jitter: Jitter, range: { readonly min: number; readonly max: number }): number {
  return range.min + (jitter.uint32() / 2 ** 32) * (range.max - range.min)
}

/** `value` give or take `part` of it, so that nodes do not fall into step. */
export function around(jitter: Jitter, value: number, part: number): number {
  return between(jitter, { min: value * (1 - part), max: value * (1 + part) })
}

/** A waiting time without memory, of this mean; never longer than ten times it. */
export function exponential(jitter: Jitter, mean: number): number {
  const left = (jitter.uint32() + 1) / 2 ** 32
  return Math.min(-mean * Math.log(left), 10 * mean)
}

/** A fair shuffle into a new list (Fisher and Yates). */
export function shuffle<T>(jitter: Jitter, items: readonly T[]): T[] {
  const mixed = [...items]
  for (let last = mixed.length - 1; last > 0; last--) {
    const other = below(jitter, last + 1)
    const held = mixed[last] as T
    mixed[last] = mixed[other] as T
    mixed[other] = held
  }
  return mixed
}

/** One of the items, or undefined of none. */
export function pick<T>(jitter: Jitter, items: readonly T[]): T | undefined {
  return items.length === 0 ? undefined : items[below(jitter, items.length)]
}
