/**
 * Lets what peers that are held back send into circuits wait: for its turn among what this node sends, or
 * until enough of its debt is forgiven. A request let in is uploads at every node on its way, so it is held
 * where it comes in. SPEC ledger §7
 *
 * Order holds for each peer. What a link that closed had waiting is thrown away.
 */
import type { Clock, PublicKey, Timer } from '../core/index.ts'
import type { Word } from '../routing/index.ts'
import type { PeerLink } from './links.ts'
import type { Sender, Upload } from './upload.ts'

/** Cells of one peer that wait, 16 MiB; its circuits are destroyed beyond. */
const HELD_MAX = 2_048
/** Whether a debt was forgiven is looked at so often. */
const LOOK_MS = 500

export interface GatePorts {
  readonly clock: Clock
  readonly upload: Upload
  readonly admit: (peer: PeerLink) => Word
  /** A held cell was let in. */
  readonly onLetIn: (peer: PeerLink) => void
}

export class Gate {
  readonly #p: GatePorts
  readonly #held = new Map<PeerLink, HeldCells>()
  #timer: Timer | undefined

  constructor(ports: GatePorts) {
    this.#p = ports
  }

  get waiting(): number {
    let count = 0
    for (const held of this.#held.values()) count += held.count
    return count
  }

  /** Runs `take` now or when the peer may have it; false when too much of it waits. */
  pass(peer: PeerLink, take: () => void): boolean {
    const { admit, onLetIn } = this.#p
    const held = this.#held.get(peer)
    if ((held === undefined || held.count === 0) && admit(peer) === 'serve') {
      take()
      return true
    }
    const queue =
      held ?? new HeldCells(peer.key, { isAllowed: () => admit(peer) !== 'refuse', onLetIn: () => onLetIn(peer) })
    this.#held.set(peer, queue)
    if (queue.count >= HELD_MAX) return false
    queue.add(take)
    this.#letIn(queue)
    return true
  }

  onClosed(peer: PeerLink): void {
    const held = this.#held.get(peer)
    if (held !== undefined) this.#p.upload.forget(held)
    this.#held.delete(peer)
  }

  #letIn(queue: HeldCells): void {
    const { upload, clock } = this.#p
    if (upload.hasRate) upload.wait(queue)
    else {
      // Nothing is sent in turns where there is no rate.
      let wasLetIn = true
      while (wasLetIn) wasLetIn = queue.sendOne()
    }
    this.#timer ??= clock.setTimer(LOOK_MS, () => {
      this.#timer = undefined
      for (const [peer, held] of this.#held) {
        if (held.count > 0) this.#letIn(held)
        else this.#held.delete(peer)
      }
    })
  }
}

class HeldCells implements Sender {
  readonly key: PublicKey
  readonly #p: { readonly isAllowed: () => boolean; readonly onLetIn: () => void }
  #waiting: (() => void)[] = []
  #next = 0

  constructor(key: PublicKey, ports: { readonly isAllowed: () => boolean; readonly onLetIn: () => void }) {
    this.key = key
    this.#p = ports
  }
  get count(): number {
    return this.#waiting.length - this.#next
  }
  add(take: () => void): void {
    this.#waiting.push(take)
  }
  sendOne(): boolean {
    const take = this.#waiting[this.#next]
    if (take === undefined || !this.#p.isAllowed()) return false
    this.#next++
    if (this.#next === this.#waiting.length || this.#next >= HELD_MAX) {
      this.#waiting = this.#waiting.slice(this.#next)
      this.#next = 0
    }
    take()
    this.#p.onLetIn()
    return true
  }
}
