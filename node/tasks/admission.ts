/**
 * Descriptors that gossip brought, checked one after the other in short goes: a signature costs a tenth
 * of a millisecond and more, and one message brings 240 of them. What does not fit is dropped, since the
 * next round of gossip brings it again. SPEC membership §3
 */
import { type Clock, type Log, messageOf, pause } from '../../core/index.ts'

/** Lists that wait, 66 KiB each at most; strangers may have half of the places. */
const LISTS_MAX = 32
const GO_COUNT = 16
/** The pause after a go is as long as the go was, and no shorter. */
const PAUSE_MS_MIN = 1

export interface AdmissionPorts {
  readonly clock: Clock
  readonly log: Log
  /** Verifies and takes in what is new; does not throw for what is wrong in a descriptor. */
  readonly admit: (descriptors: readonly Uint8Array[]) => Promise<void>
}

export class Admission {
  readonly #p: AdmissionPorts
  readonly #lists: (readonly Uint8Array[])[] = []
  #isRunning = false
  readonly counts = { dropped: 0 }

  constructor(ports: AdmissionPorts) {
    this.#p = ports
  }

  offer(descriptors: readonly Uint8Array[], from: { readonly isMember: boolean }): void {
    if (this.#lists.length >= (from.isMember ? LISTS_MAX : LISTS_MAX / 2)) {
      this.counts.dropped++
      return
    }
    this.#lists.push(descriptors)
    if (this.#isRunning) return
    this.#isRunning = true
    void this.#run().catch((error: unknown) => {
      this.#isRunning = false
      this.#p.log('error', 'descriptors could not be checked', { reason: messageOf(error) })
    })
  }

  async #run(): Promise<void> {
    const { clock, admit } = this.#p
    for (let list = this.#lists.shift(); list !== undefined; list = this.#lists.shift()) {
      for (let at = 0; at < list.length; at += GO_COUNT) {
        const startMs = clock.monotonicMs()
        await admit(list.slice(at, at + GO_COUNT))
        const spentMs = clock.monotonicMs() - startMs
        await pause(clock, Math.max(PAUSE_MS_MIN, spentMs))
      }
    }
    this.#isRunning = false
  }
}
