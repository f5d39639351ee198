/** Values that are dear to compute, at most so many; the least recently taken makes room. */
export class BoundedCache<Value> {
  readonly #values = new Map<string, Value>()
  readonly #countMax: number

  constructor(countMax: number) {
    this.#countMax = countMax
  }

  get size(): number {
    return this.#values.size
  }

  /** The value under `key`, computed now if it is not held. */
  take(key: string, compute: () => Value): Value {
    const value = this.#values.get(key) ?? compute()
    this.#values.delete(key)
    this.#values.set(key, value)
    if (this.#values.size > this.#countMax) {
      for (const oldest of this.#values.keys()) {
        this.#values.delete(oldest)
        break
      }
    }
    return value
  }
}
