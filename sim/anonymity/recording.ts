/**
 * What one hostile node can write down while it runs the program as everybody does: cells on its own links
 * with time, direction and far end; the hop that a CREATE names in the clear; which of its circuits continues
 * which; ring requests, copies and pointers that reach it; requests that it opens as last hop; which of its circuits
 * are lines of vaults, and behind which lines its pointers say that contents lie. Nothing of what other
 * nodes see. Types only: the recorder fills them, the adversary reads them. SPEC anonymity §2
 *
 * A node is named by its key, in hex. Times in milliseconds of the node's clock; all clocks agree here, which
 * real ones, pooled, nearly do.
 */

/** One circuit on one link of the node. */
export interface Leg {
  /** Key at the far end of the link. */
  readonly peer: string
  /** Its number on that link. */
  readonly circuit: number
  /** Of the receiver of the CREATE: 1 makes this node a guard, 3 the gateway, 4 a vault's keeper. */
  readonly hop: number
  /** The peer opened it: it leads towards the client. */
  readonly isFromPeer: boolean
  readonly openedMs: number
  /** The same circuit on the node's other link, if it goes on. */
  other: Leg | undefined
  /** Relay cells away from the client: received on the near leg, sent on the far one. */
  readonly forwardMs: number[]
  /** Relay cells towards the client. */
  readonly backwardMs: number[]
  /** The end of each forward cell: filler, but for what the first hop receives. */
  readonly forwardTails: number[]
}

export type SightedKind = 'get' | 'put' | 'copy'

/** A request that came over a link of the ring, or a copy or pointer that came to lie here. */
export interface RingSighting {
  readonly atMs: number
  /** Empty for a pointer. */
  readonly from: string
  readonly kind: SightedKind
  /** The name of the request on this link; empty for a copy or pointer. */
  readonly rid: string
  /** What is asked for or brought: 34 bytes in hex. */
  readonly ref: string
}

/** A request that the node opened as the last hop of a circuit. */
export interface GatewaySighting {
  readonly atMs: number
  readonly leg: Leg
  readonly kind: SightedKind
  readonly ref: string
}

/** A vault's circuit that ends at this node: whose it is it does not say. */
export interface LineSighting {
  /** The line's key, in hex. */
  readonly line: string
  readonly leg: Leg
}

export interface Recording {
  readonly self: string
  readonly lines: readonly LineSighting[]
  /** Contents that pointers here speak of, each with the keys of the lines that they lie behind. */
  readonly pointers: ReadonlyMap<string, ReadonlySet<string>>
  readonly legs: readonly Leg[]
  readonly ring: readonly RingSighting[]
  readonly gateway: readonly GatewaySighting[]
}

/** What everybody knows: the members with their keys and places. */
export interface Member {
  readonly key: string
  readonly id: string
}
