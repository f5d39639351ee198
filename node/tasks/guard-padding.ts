/**
 * Padding on the link to the guard: one cell now and then while nothing else is to be sent, so that who
 * watches the line cannot tell from silence that nothing was asked for. SPEC circuits §6
 */
import { CELL_BODY_SIZE, type Clock, exponential, type Jitter, type Timer } from '../../core/index.ts'
import { COMMANDS } from '../../routing/index.ts'
import type { PeerLink } from '../links.ts'

const MEAN_MS = 5_000
/** Ignored by whoever gets it, and hidden by TLS from everybody else. */
const NOTHING = new Uint8Array(CELL_BODY_SIZE)

export interface GuardPaddingPorts {
  readonly clock: Clock
  readonly jitter: Jitter
  /** The open link to the guard in use, if there is one. */
  readonly link: () => PeerLink | undefined
}

export class GuardPadding {
  readonly #p: GuardPaddingPorts
  #timer: Timer | undefined
  #isStopped = false
  /** Cells sent. */
  count = 0

  constructor(ports: GuardPaddingPorts) {
    this.#p = ports
  }

  start(): void {
    const { clock, jitter, link } = this.#p
    this.#timer = clock.setTimer(exponential(jitter, MEAN_MS), () => {
      if (this.#isStopped) return
      const guard = link()
      if (guard?.queuedBytes === 0 && guard.sendCommand(0, COMMANDS.padding, NOTHING)) this.count++
      this.start()
    })
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }
}
