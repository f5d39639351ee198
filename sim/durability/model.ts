/**
 * The model that the durability of the design was reckoned with: a Markov chain for the copies of one shard, and
 * the stripe as a draw of n independent shards of which k are enough. Times in one unit, whichever.
 */

export interface ModelWish {
  readonly k: number
  readonly n: number
  readonly copies: number
  /** Mean life of a node, exponential. */
  readonly lifetime: number
  /** From a holder's death until its copies lie elsewhere, on average; exponential. */
  readonly repairTime: number
  readonly span: number
  /** All shards that are gone are made anew so often, as long as k are left; undefined: never. */
  readonly stewardEvery?: number
}

/** Chance that one shard has lost all its copies after `span`. */
export function shardLoss(wish: ModelWish): number {
  return 1 - Math.exp(-wish.span / meanTimeToLoss(wish))
}

/** Chance that fewer than k shards of a stripe are left after `span`. */
export function stripeLoss(wish: ModelWish): number {
  const { k, n, span, stewardEvery = span } = wish
  const each = binomialTail({ n, above: n - k, chance: shardLoss({ ...wish, span: Math.min(span, stewardEvery) }) })
  return 1 - (1 - each) ** (span / Math.min(span, stewardEvery))
}

/**
 * From all copies there until none is. State i has i copies: one more dies at rate i / lifetime, and below `copies`
 * a repair brings all of them back at rate 1 / repairTime.
 */
export function meanTimeToLoss({ copies, lifetime, repairTime }: ModelWish): number {
  // Time to loss from state i is a[i] + b[i] * x, x the one from `copies`; state 0 has none.
  let a = 0
  let b = 0
  for (let i = 1; i < copies; i++) {
    const [dies, repaired] = [i / lifetime, 1 / repairTime]
    const all = dies + repaired
    a = (1 + dies * a) / all
    b = (repaired + dies * b) / all
  }
  return (lifetime / copies + a) / (1 - b)
}

/** Chance of more than `above` hits in n draws. */
export function binomialTail({ n, above, chance }: { n: number; above: number; chance: number }): number {
  let tail = 0
  let ways = 1
  for (let hits = 0; hits <= n; hits++) {
    if (hits > above) tail += ways * chance ** hits * (1 - chance) ** (n - hits)
    ways = (ways * (n - hits)) / (hits + 1)
  }
  return tail
}
