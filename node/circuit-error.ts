import { UnavailableError } from '../core/index.ts'
import type { Descriptor } from '../routing/index.ts'

/** A circuit could not be built, or broke; `hop` (from 1) is where, when that can be told. */
export class CircuitError extends UnavailableError {
  readonly code = 'ERR_CIRCUIT'
  readonly hop: number | undefined
  /** The hop itself is to blame, as far as the one before it says. */
  readonly isHopAtFault: boolean
  /** `hops`: how many the circuit was to have. */
  constructor(what: string, where: { hop?: number; hops?: number; isHopAtFault?: boolean } = {}) {
    super(where.hop === undefined ? what : `${what} (at the ${roleOf(where.hop, where.hops)})`)
    this.hop = where.hop
    this.isHopAtFault = where.isHopAtFault ?? false
  }
}

/** What people call the relays: of a client's circuit, and of a vault's line. SPEC circuits §6, vaults §2 */
const ROLES: Readonly<Record<number, readonly string[]>> = {
  3: ['guard', 'middle', 'gateway'],
  4: ['guard', 'second relay', 'middle', 'keeper'],
}

function roleOf(hop: number, hops: number | undefined): string {
  return ROLES[hops ?? 0]?.[hop - 1] ?? 'relay'
}

/** The relay of the path that is to blame for the error, when one is. */
export function faultyRelay(error: unknown, path: readonly Descriptor[]): Descriptor | undefined {
  const hop = error instanceof CircuitError && error.isHopAtFault ? error.hop : undefined
  return hop === undefined ? undefined : path[hop - 1]
}
