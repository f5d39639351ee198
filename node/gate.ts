/**
 * Lets what peers that are held back send into circuits wait: for its turn among what this node sends, or
 * until it may have it. A request let in is uploads at every node on its way, so it is held where it comes
 * in. SPEC ledger §7
 *
 * Order holds for each peer. What a link that closed had waiting is thrown away.
 */
import { assert, type Clock, type PublicKey, type Timer } from '../core/index.ts'
import type { Word } from '../routing/index.ts'
import type { PeerLink } from './links.ts'
import type { Sender, Upload } from './upload.ts'

/**
 * Cells that wait, of one peer and of all together: 16 MiB. Who would pass it has its circuit destroyed; when all
 * together pass it, what the peer with most has waiting gives way.
 */
const HELD_MAX = 2_048
/** Nobody waits longer for an answer: then the circuit is destroyed, so that the peer knows. */
const HELD_MS_MAX = 30_000
/** Whether a debt was forgiven is looked at so often. */
const LOOK_MS = 500

export interface HeldCell {
  /** False: nothing came of it, since its circuit has gone. */
  take(): boolean
  /** It has waited too long. */
  drop(): void
}

export interface GatePorts {
  readonly clock: Clock
  readonly upload: Upload
  readonly admit: (peer: PeerLink) => Word
  /** Whether a held cell may go when its turn comes. */
  readonly mayLetIn: (peer: PeerLink) => boolean
  /** A held cell was let in. */
  readonly onLetIn: (peer: PeerLink) => void
}

export class Gate {
  readonly #p: GatePorts
  readonly #held = new Map<PeerLink, HeldCells>()
  /** Cells that were let in not at once, or not at all. */
  readonly counts = { heldBack: 0 }
  #timer: Timer | undefined

  constructor(ports: GatePorts) {
    this.#p = ports
  }

  get waiting(): number {
    let count = 0
    for (const held of this.#held.values()) count += held.count
    return count
  }

  /** Takes the cell now or when the peer may have it; false when too much of it waits. */
  pass(peer: PeerLink, cell: HeldCell): boolean {
    const { admit, clock } = this.#p
    const held = this.#held.get(peer)
    if ((held === undefined || held.count === 0) && admit(peer) === 'serve') {
      cell.take()
      return true
    }
    const queue = held ?? new HeldCells(peer, this.#p)
    this.#held.set(peer, queue)
    this.counts.heldBack++
    if (queue.count >= HELD_MAX) return false
    queue.add(cell, clock.monotonicMs())
    while (this.waiting > HELD_MAX) this.#largest().dropOlder(Number.POSITIVE_INFINITY)
    this.#letIn()
    return true
  }

  #largest(): HeldCells {
    const [first, ...others] = this.#held.values()
    assert(first !== undefined, 'somebody has cells waiting')
    return others.reduce((most, held) => (held.count > most.count ? held : most), first)
  }

  onClosed(peer: PeerLink): void {
    const held = this.#held.get(peer)
    if (held !== undefined) this.#p.upload.forget(held)
    this.#held.delete(peer)
  }

  #letIn(): void {
    const { upload, clock } = this.#p
    if (upload.hasRate) for (const held of this.#held.values()) upload.wait(held)
    else this.#takeTurns()
    this.#timer ??= clock.setTimer(LOOK_MS, () => {
      this.#timer = undefined
      const oldestMs = clock.monotonicMs() - HELD_MS_MAX
      for (const [peer, held] of this.#held) {
        held.dropOlder(oldestMs)
        if (held.count === 0) this.#held.delete(peer)
      }
      if (this.#held.size > 0) this.#letIn()
    })
  }

  /** One cell of each peer after the other, where nothing is sent at a rate. */
  #takeTurns(): void {
    let wasLetIn = true
    while (wasLetIn) {
      wasLetIn = false
      for (const [peer, held] of [...this.#held]) {
        if (!held.sendOne()) continue
        wasLetIn = true
        // Who had something goes to the end.
        if (this.#held.delete(peer)) this.#held.set(peer, held)
      }
    }
  }
}

class HeldCells implements Sender {
  readonly key: PublicKey
  readonly #peer: PeerLink
  readonly #p: GatePorts
  #waiting: ({ readonly cell: HeldCell; readonly atMs: number } | undefined)[] = []
  #next = 0

  constructor(peer: PeerLink, ports: GatePorts) {
    this.key = peer.key
    this.#peer = peer
    this.#p = ports
  }
  get count(): number {
    return this.#waiting.length - this.#next
  }
  add(cell: HeldCell, atMs: number): void {
    this.#waiting.push({ cell, atMs })
  }
  sendOne(): boolean {
    if (this.count === 0 || !this.#p.mayLetIn(this.#peer)) return false
    const cell = this.#shift()
    // What a circuit left behind that has gone costs nothing.
    if (cell?.take() === true) this.#p.onLetIn(this.#peer)
    return true
  }
  dropOlder(thanMs: number): void {
    for (let first = this.#waiting[this.#next]; first !== undefined && first.atMs < thanMs; ) {
      this.#shift()?.drop()
      first = this.#waiting[this.#next]
    }
  }
  #shift(): HeldCell | undefined {
    const first = this.#waiting[this.#next]
    this.#waiting[this.#next] = undefined
    this.#next++
    if (this.#next >= this.#waiting.length || this.#next >= HELD_MAX) {
      this.#waiting = this.#waiting.slice(this.#next)
      this.#next = 0
    }
    return first?.cell
  }
}
