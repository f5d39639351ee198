/**
 * Cells that wait for one link, by flow (a circuit, or the link's own messages). SPEC links §4
 *
 * Control cells go first. Among the flows of one priority each gets its turn after the other: while a
 * flow waits, no other is served twice. A flow that comes anew waits one round, so neither a bulk
 * circuit nor a stream of new ones can starve the others. Bounded in cells per flow, in cells and in
 * bytes of all; every operation takes constant time, amortised.
 */
import { assert, CIRCUIT_CELLS_QUEUED_MAX } from '../../core/index.ts'

export type Priority = 'control' | 'normal'

export interface FairQueueBounds {
  /** Cells of one flow, both priorities together. */
  readonly flowItemsMax?: number
  readonly itemsMax: number
  readonly bytesMax: number
  /** Of itemsMax, kept free of normal cells, so that control always gets in. */
  readonly controlItemsReserved?: number
}

export class FairQueue {
  readonly #flowItemsMax: number
  readonly #itemsMax: number
  readonly #normalItemsMax: number
  readonly #bytesMax: number
  readonly #control = new Lane()
  readonly #normal = new Lane()

  constructor(bounds: FairQueueBounds) {
    this.#flowItemsMax = bounds.flowItemsMax ?? CIRCUIT_CELLS_QUEUED_MAX
    this.#itemsMax = bounds.itemsMax
    this.#normalItemsMax = bounds.itemsMax - (bounds.controlItemsReserved ?? 0)
    this.#bytesMax = bounds.bytesMax
    assert(this.#flowItemsMax > 0 && this.#normalItemsMax > 0, 'a queue holds something')
  }

  get items(): number {
    return this.#control.items + this.#normal.items
  }
  get bytes(): number {
    return this.#control.bytes + this.#normal.bytes
  }
  /** Whether the cell to send next is one of control. */
  get hasControl(): boolean {
    return this.#control.items > 0
  }
  /** Cells of `flow` that wait. */
  flowItems(flow: number): number {
    return this.#control.itemsOf(flow) + this.#normal.itemsOf(flow)
  }

  /** Whether all these cells of `flow` would be taken: a message is queued whole or not at all. */
  hasRoom(flow: number, wish: { count: number; sizeBytes: number; priority?: Priority }): boolean {
    if (this.flowItems(flow) + wish.count > this.#flowItemsMax) return false
    if (this.bytes + wish.sizeBytes > this.#bytesMax) return false
    if (this.items + wish.count > this.#itemsMax) return false
    return wish.priority === 'control' || this.#normal.items + wish.count <= this.#normalItemsMax
  }

  /**
   * Takes the cell, which belongs to the queue then. False: the flow or the queue is full, and the
   * caller destroys the circuit or drops the cell. A control cell overtakes the normal ones of its
   * flow; order holds among those of one priority.
   */
  offer(flow: number, cell: Uint8Array, { priority = 'normal' }: { priority?: Priority } = {}): boolean {
    if (!this.hasRoom(flow, { count: 1, sizeBytes: cell.length, priority })) return false
    const lane = priority === 'control' ? this.#control : this.#normal
    lane.push(flow, cell)
    return true
  }

  /** The cell to send next, or undefined when none waits. */
  take(): Uint8Array | undefined {
    return this.#control.shift() ?? this.#normal.shift()
  }

  /** Throws away what waits of `flow`, of both priorities. */
  dropFlow(flow: number): void {
    this.#control.drop(flow)
    this.#normal.drop(flow)
  }
}

/** A flow with cells waiting, linked into the round of its lane. */
interface Flow {
  readonly number: number
  readonly cells: (Uint8Array | undefined)[]
  /** Index of the first cell that still waits. */
  head: number
  bytes: number
  before: Flow | undefined
  after: Flow | undefined
}

/** Flows of one priority, served in turn: first of the list, which then goes to its end. */
class Lane {
  readonly #flows = new Map<number, Flow>()
  #first: Flow | undefined
  #last: Flow | undefined
  items = 0
  bytes = 0

  itemsOf(number: number): number {
    const flow = this.#flows.get(number)
    return flow === undefined ? 0 : flow.cells.length - flow.head
  }

  push(number: number, cell: Uint8Array): void {
    let flow = this.#flows.get(number)
    if (flow === undefined) {
      flow = { number, cells: [], head: 0, bytes: 0, before: undefined, after: undefined }
      this.#flows.set(number, flow)
      this.#append(flow)
    }
    flow.cells.push(cell)
    flow.bytes += cell.length
    this.items++
    this.bytes += cell.length
  }

  shift(): Uint8Array | undefined {
    const flow = this.#first
    if (flow === undefined) return undefined
    const cell = flow.cells[flow.head]
    assert(cell !== undefined, 'a listed flow has a cell')
    flow.cells[flow.head] = undefined
    flow.head++
    flow.bytes -= cell.length
    this.items--
    this.bytes -= cell.length
    this.#unlink(flow)
    if (flow.head === flow.cells.length) this.#flows.delete(flow.number)
    else {
      // Half of the list is served: move the rest down, which costs less than what was served.
      if (flow.head >= 32 && flow.head * 2 >= flow.cells.length) {
        flow.cells.copyWithin(0, flow.head)
        flow.cells.length -= flow.head
        flow.head = 0
      }
      this.#append(flow)
    }
    return cell
  }

  drop(number: number): void {
    const flow = this.#flows.get(number)
    if (flow === undefined) return
    this.#flows.delete(number)
    this.#unlink(flow)
    this.items -= flow.cells.length - flow.head
    this.bytes -= flow.bytes
  }

  #append(flow: Flow): void {
    flow.before = this.#last
    flow.after = undefined
    if (this.#last === undefined) this.#first = flow
    else this.#last.after = flow
    this.#last = flow
  }

  #unlink(flow: Flow): void {
    if (flow.before === undefined) this.#first = flow.after
    else flow.before.after = flow.after
    if (flow.after === undefined) this.#last = flow.before
    else flow.after.before = flow.before
  }
}
