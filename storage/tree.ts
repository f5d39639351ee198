/**
 * Finding a stripe's entry beneath a root. Nodes are fetched when first needed and the last few kept, so a
 * read from one end to the other fetches each once. SPEC dispersal §5, §8
 */
import { assert, type Jitter } from '../core/index.ts'
import { type FetchContent, gatherStripe } from './gather.ts'
import type { Halt } from './halt.ts'
import { decodeNode, manifestShape, nodeCapacity, type Root, type StripeEntry } from './manifest.ts'
import type { StripeKeys } from './stripe.ts'

/** Nodes kept at a time: two per level, for a read that is just crossing over, and as many again. */
const NODES_KEPT = 12

export class ManifestTree {
  readonly #keys: StripeKeys
  readonly #ports: { readonly fetch: FetchContent; readonly jitter: Jitter }
  readonly #halt: Halt
  readonly #counts: readonly number[]
  readonly #top: { readonly level: number; readonly entries: readonly StripeEntry[] }
  /** By level and index; the least recently used first. */
  readonly #nodes = new Map<string, Promise<readonly StripeEntry[]>>()

  /** `halt` ends every fetch of a node. */
  constructor(
    of: { readonly keys: StripeKeys; readonly content: Exclude<Root['content'], { inline: Uint8Array }> },
    ports: { readonly fetch: FetchContent; readonly jitter: Jitter },
    halt: Halt,
  ) {
    this.#keys = of.keys
    this.#top = of.content
    this.#counts = manifestShape(of.content.stripes).counts
    this.#ports = ports
    this.#halt = halt
  }

  /** Stripes of `level` that the object has. */
  count(level: number): number {
    return this.#counts[level] ?? 0
  }

  /** The stripes of the level below that node `index` of `level` lists. */
  under(level: number, index: number): { readonly first: number; readonly count: number } {
    const capacity = nodeCapacity(level - 1)
    const first = index * capacity
    return { first, count: Math.min(capacity, this.count(level - 1) - first) }
  }

  /** The entry of stripe `index` of `level`. Throws as gatherStripe does, or ERR_MALFORMED. */
  async entry(level: number, index: number): Promise<StripeEntry> {
    const capacity = nodeCapacity(level)
    const isTop = level === this.#top.level
    const listed = isTop ? this.#top.entries : await this.#node(level + 1, Math.floor(index / capacity))
    const entry = listed[isTop ? index : index % capacity]
    assert(entry !== undefined, 'a stripe of the object is listed')
    return entry
  }

  /** The entries that node `index` of `level` lists. */
  #node(level: number, index: number): Promise<readonly StripeEntry[]> {
    const name = `${level}/${index}`
    const known = this.#nodes.get(name)
    const node = known ?? this.#fetchNode(level, index)
    this.#nodes.delete(name)
    this.#nodes.set(name, node)
    // A failed node may be asked for again; whoever waits for this one hears of the failure.
    if (known === undefined) node.catch(() => this.#nodes.delete(name))
    const [oldest] = this.#nodes.keys()
    if (this.#nodes.size > NODES_KEPT && oldest !== undefined) this.#nodes.delete(oldest)
    return node
  }

  async #fetchNode(level: number, index: number): Promise<readonly StripeEntry[]> {
    const entry = await this.entry(level, index)
    const plain = await gatherStripe({ entry, place: { level, index }, keys: this.#keys }, this.#ports, this.#halt)
    return decodeNode(plain, { level: level - 1, count: this.under(level, index).count })
  }
}
