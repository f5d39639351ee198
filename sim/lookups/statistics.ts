/** What a sample says: counts of small whole numbers, shares with their intervals, spread. */

/** A sample of small whole numbers, kept as a count of each. */
export class Tally {
  readonly #counts: number[] = []
  #size = 0
  #sum = 0

  add(value: number): void {
    this.#counts[value] = (this.#counts[value] ?? 0) + 1
    this.#size++
    this.#sum += value
  }

  get mean(): number {
    return this.#size === 0 ? 0 : this.#sum / this.#size
  }

  /** The least value that `share` of the sample does not exceed. */
  percentile(share: number): number {
    let seen = 0
    for (let value = 0; value < this.#counts.length; value++) {
      seen += this.#counts[value] ?? 0
      if (seen >= share * this.#size) return value
    }
    return 0
  }

  get max(): number {
    return Math.max(0, this.#counts.length - 1)
  }
}

/** A share of a sample, with the bounds within which the true one lies 95 times of 100. */
export interface Share {
  readonly share: number
  readonly low: number
  readonly high: number
}

const Z95 = 1.959964

/** Wilson's interval, which stays right near 0 and 1, where success shares lie. */
export function shareOf(hits: number, trials: number): Share {
  const share = hits / trials
  const z2 = Z95 * Z95
  const middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
  const half = (Z95 / (1 + z2 / trials)) * Math.sqrt((share * (1 - share)) / trials + z2 / (4 * trials * trials))
  return { share, low: Math.max(0, middle - half), high: Math.min(1, middle + half) }
}

export function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** The value that `share` of the list does not exceed. */
export function percentileOf(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
}

/** The mean of a few values that are each the outcome of a whole run, with its bounds (Student, nearly). */
export function meanWithin(values: readonly number[]): Share {
  const mean = meanOf(values)
  const freedom = values.length - 1
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / freedom
  const half = (Z95 + 2.5 / freedom) * Math.sqrt(variance / values.length)
  return { share: mean, low: Math.max(0, mean - half), high: mean + half }
}
