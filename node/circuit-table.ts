/**
 * Which circuit a cell belongs to: each link's circuit numbers, and the end that takes their cells.
 * A relayed circuit has two entries, one on each of its links; an own circuit has one.
 * SPEC circuits §1
 */
import { MalformedError } from '../core/index.ts'
import {
  type Cell,
  COMMANDS,
  DESTROY_REASONS,
  type DestroyReason,
  encodeDestroy,
  isDialersCircuit,
} from '../routing/index.ts'
import type { PeerLink } from './links.ts'

/** Circuits on one link, on that of a stranger, and those others opened in all; a CREATE beyond is refused. */
const CIRCUITS_MAX = 1_024
const STRANGER_CIRCUITS_MAX = 64
const ACCEPTED_MAX = 8_192

/** What takes the cells of one circuit on one link. */
export interface CircuitEnd {
  /** `raw` is the cell's own memory and may be sent on. */
  onRelay(cell: Cell, raw: Uint8Array): void
  onCreated(body: Uint8Array): void
  /** The other side ended it, with the body of its destroy, or the link broke. The entry is gone already. */
  onDestroyed(body?: Uint8Array): void
}

export class CircuitTable {
  readonly #ends = new Map<PeerLink, Map<number, CircuitEnd>>()
  #accepted = 0
  /** Takes CREATE cells; absent on nodes that do not relay. */
  onCreate: ((peer: PeerLink, circuit: number, body: Uint8Array) => void) | undefined

  get count(): number {
    let count = 0
    for (const ends of this.#ends.values()) count += ends.size
    return count
  }

  /** Registers a circuit that this side opens, under a number not in use. Undefined: too many. */
  open(peer: PeerLink, end: CircuitEnd): number | undefined {
    const ends = this.#of(peer)
    if (ends.size >= CIRCUITS_MAX) return undefined
    let circuit = peer.nextCircuit()
    while (ends.has(circuit)) circuit = peer.nextCircuit()
    this.#set(peer, circuit, end)
    return circuit
  }

  /** Registers a circuit that the peer opened. False: too many. */
  accept(peer: PeerLink, circuit: number, end: CircuitEnd): boolean {
    const limit = peer.id === undefined ? STRANGER_CIRCUITS_MAX : CIRCUITS_MAX
    if (this.#of(peer).size >= limit || this.#accepted >= ACCEPTED_MAX) return false
    this.#set(peer, circuit, end)
    this.#accepted++
    return true
  }

  /** Another end takes over a circuit. Does nothing when it is gone. */
  replace(peer: PeerLink, circuit: number, end: CircuitEnd): void {
    const ends = this.#ends.get(peer)
    if (ends?.has(circuit) === true) ends.set(circuit, end)
  }

  /** Ends a circuit on one link and says so there. Does nothing when it is gone. */
  destroy(peer: PeerLink, circuit: number, reason: DestroyReason, effort = 0): void {
    if (!this.#remove(peer, circuit)) return
    if (reason !== DESTROY_REASONS.finished) peer.dropCircuit(circuit)
    peer.sendCommand(circuit, COMMANDS.destroy, encodeDestroy(reason, effort))
  }

  /** Throws MalformedError when the peer breaks the rules of numbers. */
  onCell(peer: PeerLink, cell: Cell, raw: Uint8Array): void {
    const end = this.#of(peer).get(cell.circuit)
    if (cell.command === COMMANDS.create) {
      if (end !== undefined || isDialersCircuit(cell.circuit) === peer.isDialer) {
        throw new MalformedError('malformed cell: circuit number of the other side')
      }
      if (this.onCreate === undefined) refuse(peer, cell.circuit)
      else this.onCreate(peer, cell.circuit, cell.body)
      return
    }
    // Cells may be on their way still when a circuit has ended here.
    if (end === undefined) return
    if (cell.command === COMMANDS.relay) end.onRelay(cell, raw)
    else if (cell.command === COMMANDS.created) end.onCreated(cell.body)
    else if (cell.command === COMMANDS.destroy && this.#remove(peer, cell.circuit)) {
      peer.dropCircuit(cell.circuit)
      end.onDestroyed(cell.body)
    }
  }

  onClosed(peer: PeerLink): void {
    const ends = this.#ends.get(peer)
    this.#ends.delete(peer)
    for (const circuit of ends?.keys() ?? []) if (isAccepted(peer, circuit)) this.#accepted--
    for (const end of ends?.values() ?? []) end.onDestroyed()
  }

  #of(peer: PeerLink): ReadonlyMap<number, CircuitEnd> {
    return this.#ends.get(peer) ?? new Map()
  }

  #set(peer: PeerLink, circuit: number, end: CircuitEnd): void {
    const ends = this.#ends.get(peer) ?? new Map<number, CircuitEnd>()
    this.#ends.set(peer, ends)
    ends.set(circuit, end)
    peer.holds++
  }

  #remove(peer: PeerLink, circuit: number): boolean {
    const isHere = this.#ends.get(peer)?.delete(circuit) === true
    if (isHere) peer.holds--
    if (isHere && isAccepted(peer, circuit)) this.#accepted--
    return isHere
  }
}

/** Whether the peer opened this circuit. */
function isAccepted(peer: PeerLink, circuit: number): boolean {
  return isDialersCircuit(circuit) !== peer.isDialer
}

/** Tells the peer that its CREATE leads nowhere. */
export function refuse(peer: PeerLink, circuit: number, reason: DestroyReason = DESTROY_REASONS.failed): void {
  peer.sendCommand(circuit, COMMANDS.destroy, encodeDestroy(reason))
}
