/**
 * Cover traffic: cells at times without memory that go to the end of an own circuit and come back, whether anything
 * is asked for or not. Small requests take the places of such loops; larger ones do not wait. SPEC circuits §8
 */
import { type Clock, exponential, type Jitter, pick, type Timer } from '../../core/index.ts'

/** Two seconds: 0.5 cells a second, each way. */
const MEAN_MS = 2_000
/** What may wait for places, of all circuits together: more does not pass for loops anyhow. */
const CELLS_WAITING_MAX = 4
/** ... and how long: less than what anybody waits for an answer. */
const PATIENCE_MS = 4_000

/** A circuit as cover sees it. */
export interface Covered {
  /** Cells of requests that could be sent now. */
  readonly waiting: number
  /** Sends one of them. */
  sendOne(): void
  sendAll(): void
  /** False when it is full or gone. */
  sendLoop(): boolean
}

export interface CoverPorts {
  readonly clock: Clock
  readonly jitter: Jitter
  /** The open circuits that loops may go over. */
  readonly circuits: () => readonly Covered[]
}

export class Cover {
  readonly #p: CoverPorts
  readonly #waiting = new Set<Covered>()
  #timer: Timer | undefined
  #patience: Timer | undefined
  #isStopped = false
  /** Loops sent, and come back; cells of requests that took a loop's place, and that went beside them. */
  readonly counts = { sent: 0, back: 0, inPlace: 0, beside: 0 }

  constructor(ports: CoverPorts) {
    this.#p = ports
  }

  start(): void {
    const { clock, jitter } = this.#p
    this.#timer = clock.setTimer(exponential(jitter, MEAN_MS), () => {
      if (this.#isStopped) return
      this.#turn()
      this.start()
    })
  }

  /** What waits is sent. */
  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
    this.#release()
  }

  /** Whether what the circuit has is to wait for places of loops; it is told when to send. False: at once. */
  holds(circuit: Covered): boolean {
    if (this.#isStopped) return false
    this.#waiting.add(circuit)
    let cells = 0
    for (const { waiting } of this.#waiting) cells += waiting
    if (cells > CELLS_WAITING_MAX) this.#release()
    else this.#patience ??= this.#p.clock.setTimer(PATIENCE_MS, () => this.#release())
    return true
  }

  /** What the circuit has goes now: it went on when room came. */
  passes(circuit: Covered): void {
    this.counts.beside += circuit.waiting
    circuit.sendAll()
  }

  /** A loop has come back. */
  returned(): void {
    this.counts.back++
  }

  #turn(): void {
    const { jitter, circuits } = this.#p
    const real = pick(
      jitter,
      [...this.#waiting].filter(({ waiting }) => waiting > 0),
    )
    if (real !== undefined) {
      real.sendOne()
      this.counts.inPlace++
      if (real.waiting === 0) this.#waiting.delete(real)
    } else if (pick(jitter, circuits())?.sendLoop() === true) this.counts.sent++
    if (this.#waiting.size === 0) this.#calm()
  }

  #release(): void {
    this.#calm()
    const all = [...this.#waiting]
    this.#waiting.clear()
    for (const circuit of all) this.passes(circuit)
  }

  #calm(): void {
    this.#patience?.cancel()
    this.#patience = undefined
  }
}
