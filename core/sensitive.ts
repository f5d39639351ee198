/** A value that prints as a placeholder, so that a careless log line shows nothing. */
export class Sensitive<T> {
  readonly #value: T
  constructor(value: T) {
    this.#value = value
  }
  /** The value itself; whoever calls this answers for where it goes. */
  reveal(): T {
    return this.#value
  }
  toString(): string {
    return '[sensitive]'
  }
  toJSON(): string {
    return '[sensitive]'
  }
}
