/**
 * Whom a client asks who is there, when it knows of nobody: its guards, at the places where they were last; only
 * one that has none, or whose guards have not answered for a while, asks a seed. It keeps to one seed while that
 * one answers: each further one would learn that this machine uses the network. SPEC safety §4
 */
import { type Clock, type Jitter, type NodeId, shuffle } from '../core/index.ts'
import type { Guards } from './guards.ts'
import type { PeerLink } from './links.ts'

/** Guards may be slow to come back, or this machine's line; a seed is asked after so long without them. */
const GUARDS_PATIENCE_MS = 60_000
/** A seed that is linked and has told nothing for so long is given up. */
const SEED_PATIENCE_MS = 10_000

export interface FirstContactPorts {
  readonly clock: Clock
  readonly jitter: Jitter
  readonly guards: Guards
  readonly seeds: readonly NodeId[]
  readonly reach: (id: NodeId) => Promise<PeerLink | undefined>
}

export class FirstContact {
  readonly #p: FirstContactPorts
  /** In an order of this run's own; drawn when the first is needed. */
  #seeds: NodeId[] | undefined
  #guardlessSinceMs: number | undefined
  #seedSinceMs: number | undefined

  constructor(ports: FirstContactPorts) {
    this.#p = ports
  }

  /** Somebody is known again: what was waited for is over. */
  arrived(): void {
    this.#guardlessSinceMs = undefined
    this.#seedSinceMs = undefined
  }

  /** An open link to whoever is to be asked now. */
  async link(): Promise<PeerLink | undefined> {
    const guard = await this.#p.guards.entry()
    if (guard !== 'none' && guard !== undefined) {
      this.arrived()
      return guard
    }
    const nowMs = this.#p.clock.monotonicMs()
    this.#guardlessSinceMs ??= nowMs
    if (guard !== 'none' && nowMs - this.#guardlessSinceMs < GUARDS_PATIENCE_MS) return undefined
    return this.#seed(nowMs)
  }

  async #seed(nowMs: number): Promise<PeerLink | undefined> {
    this.#seeds ??= shuffle(this.#p.jitter, this.#p.seeds)
    this.#seedSinceMs ??= nowMs
    const isSilent = nowMs - this.#seedSinceMs >= SEED_PATIENCE_MS
    const seed = this.#seeds[0]
    const link = isSilent || seed === undefined ? undefined : await this.#p.reach(seed)
    if (link !== undefined || seed === undefined) return link
    this.#seeds.push(...this.#seeds.splice(0, 1))
    this.#seedSinceMs = undefined
    return undefined
  }
}
