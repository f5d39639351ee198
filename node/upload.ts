/**
 * What a node sends, all links together: counted, and held to a rate when there is one. Links that wait for
 * room take turns in shares; cells of control priority are not held back. SPEC ledger §7
 */
import type { Clock, PublicKey, Timer } from '../core/index.ts'

export interface Sender {
  /** Of the peer whose share it has. */
  readonly key: PublicKey
  /** Sends one cell if there is one and the link takes it; false: it has no use for its turn. */
  sendOne(): boolean
}

export interface UploadPorts {
  readonly clock: Clock
  /** Undefined: as fast as the links are. */
  readonly bytesPerSecond: number | undefined
  /** The share of a sender that waits: above zero. */
  readonly shareOf: (sender: Sender) => number
}

/** What may go at once after a pause. */
const BURST_MS = 100
const TICK_MS = 20
/** The load is taken over about so long: bursts of a few shards are none. */
const LOAD_MS = 30_000
const SHARE_LEAST = 1 / 1_024

export class Upload {
  readonly #p: UploadPorts
  /** When each that waits is due, in shares; the lowest is next. */
  readonly #waiting = new Map<Sender, number>()
  #due = 0
  #room = 0
  #atMs = 0
  #recent = 0
  #recentAtMs = 0
  #timer: Timer | undefined
  sentBytes = 0

  constructor(ports: UploadPorts) {
    this.#p = ports
  }

  get hasRate(): boolean {
    return this.#p.bytesPerSecond !== undefined
  }
  get waiting(): number {
    return this.#waiting.size
  }

  /** What is sent against what may be; 1 or above while links wait. Undefined without a rate. */
  get load(): number | undefined {
    const { bytesPerSecond } = this.#p
    if (bytesPerSecond === undefined) return undefined
    this.#fade()
    const share = this.#recent / (bytesPerSecond * (LOAD_MS / 1_000))
    return this.#waiting.size > 0 ? Math.max(1, share) : share
  }

  /** Whether the sender may send a cell now; if not, its sendOne is called when its turn comes. */
  admits(sender: Sender, cell: { readonly sizeBytes: number; readonly isControl: boolean }): boolean {
    const { bytesPerSecond } = this.#p
    if (bytesPerSecond !== undefined) {
      this.#refill(bytesPerSecond)
      const hasRoom = this.#room > 0 && (this.#waiting.size === 0 || this.#turn === sender)
      if (!hasRoom && !cell.isControl) {
        this.wait(sender)
        return false
      }
      this.#room -= cell.sizeBytes
      this.#fade()
      this.#recent += cell.sizeBytes
    }
    this.sentBytes += cell.sizeBytes
    return true
  }

  /** Its sendOne is called when its turn comes. */
  wait(sender: Sender): void {
    if (!this.#waiting.has(sender)) this.#waiting.set(sender, this.#due)
    this.#wake()
  }

  forget(sender: Sender): void {
    this.#waiting.delete(sender)
  }

  #turn: Sender | undefined

  #wake(): void {
    this.#timer ??= this.#p.clock.setTimer(TICK_MS, () => {
      this.#timer = undefined
      this.#serve()
      if (this.#waiting.size > 0) this.#wake()
    })
  }

  #serve(): void {
    const { bytesPerSecond, shareOf } = this.#p
    if (bytesPerSecond === undefined) return
    this.#refill(bytesPerSecond)
    while (this.#room > 0 && this.#waiting.size > 0) {
      const [sender, due] = this.#next()
      this.#due = due
      this.#turn = sender
      const hasSent = sender.sendOne()
      this.#turn = undefined
      if (hasSent) this.#waiting.set(sender, due + 1 / Math.max(SHARE_LEAST, shareOf(sender)))
      else this.#waiting.delete(sender)
    }
  }

  #next(): [Sender, number] {
    let found: [Sender, number] | undefined
    for (const each of this.#waiting) if (found === undefined || each[1] < found[1]) found = each
    return found as [Sender, number]
  }

  #refill(bytesPerSecond: number): void {
    const nowMs = this.#p.clock.monotonicMs()
    const most = (bytesPerSecond * BURST_MS) / 1_000
    this.#room = Math.min(most, this.#room + ((nowMs - this.#atMs) / 1_000) * bytesPerSecond)
    this.#atMs = nowMs
  }

  #fade(): void {
    const nowMs = this.#p.clock.monotonicMs()
    this.#recent *= Math.exp(-(nowMs - this.#recentAtMs) / LOAD_MS)
    this.#recentAtMs = nowMs
  }
}
