/**
 * Lets what peers that are held back send into circuits wait for its turn among what this node sends: a
 * request let in is uploads at every node on its way, so it is held where it comes in. SPEC ledger §7
 *
 * Order holds for each peer. What a link that closed had waiting is thrown away.
 */
import type { PublicKey } from '../core/index.ts'
import type { PeerLink } from './links.ts'
import type { Sender, Upload } from './upload.ts'

/** Cells of one peer that wait, 16 MiB; its circuits are destroyed beyond. */
const HELD_MAX = 2_048

export class Gate {
  readonly #upload: Upload
  readonly #isHeldBack: (peer: PeerLink) => boolean
  readonly #held = new Map<PeerLink, HeldCells>()

  constructor(ports: { readonly upload: Upload; readonly isHeldBack: (peer: PeerLink) => boolean }) {
    this.#upload = ports.upload
    this.#isHeldBack = ports.isHeldBack
  }

  get waiting(): number {
    let count = 0
    for (const held of this.#held.values()) count += held.count
    return count
  }

  /** Runs `take` now or when it is the peer's turn; false when too much of it waits. */
  pass(peer: PeerLink, take: () => void): boolean {
    const held = this.#held.get(peer)
    const mustWait = held !== undefined && held.count > 0
    if (!mustWait && !(this.#upload.hasRate && this.#isHeldBack(peer))) {
      take()
      return true
    }
    const queue = held ?? new HeldCells(peer.key)
    this.#held.set(peer, queue)
    if (queue.count >= HELD_MAX) return false
    queue.add(take)
    this.#upload.wait(queue)
    return true
  }

  onClosed(peer: PeerLink): void {
    const held = this.#held.get(peer)
    if (held !== undefined) this.#upload.forget(held)
    this.#held.delete(peer)
  }
}

class HeldCells implements Sender {
  readonly key: PublicKey
  #waiting: (() => void)[] = []
  #next = 0

  constructor(key: PublicKey) {
    this.key = key
  }
  get count(): number {
    return this.#waiting.length - this.#next
  }
  add(take: () => void): void {
    this.#waiting.push(take)
  }
  sendOne(): boolean {
    const take = this.#waiting[this.#next]
    if (take === undefined) return false
    this.#next++
    if (this.#next === this.#waiting.length || this.#next >= HELD_MAX) {
      this.#waiting = this.#waiting.slice(this.#next)
      this.#next = 0
    }
    take()
    return true
  }
}
