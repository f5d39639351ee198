/**
 * When vaults are audited: at chance, so often that each line attached here is asked for a leaf as often as the
 * profile says. SPEC vaults §7
 */
import { around, type Clock, type Jitter, type Log, messageOf, type Profile } from '../../core/index.ts'
import type { Blobs } from '../roles/blobs.ts'
import type { Tending } from '../roles/tending.ts'

/** However many lines there are. */
const AUDIT_EVERY_MS_MIN = 1_000

export interface AuditsPorts {
  readonly clock: Clock
  readonly jitter: Jitter
  readonly log: Log
  readonly profile: Profile
  readonly blobs: Blobs
  readonly tending: Tending
}

export class Audits {
  readonly #p: AuditsPorts
  #isStopped = false

  constructor(ports: AuditsPorts) {
    this.#p = ports
  }

  /** One after the other: an audit that waits for a vault delays the next. */
  start(): void {
    const { clock, jitter, profile, blobs, tending, log } = this.#p
    const everyMs = Math.max(AUDIT_EVERY_MS_MIN, profile.vaultAuditEveryMs / Math.max(1, blobs.linesFree()))
    clock.setTimer(around(jitter, everyMs, 0.5), () => {
      if (this.#isStopped) return
      tending
        .audit()
        .catch((error: unknown) => log('error', 'an audit failed', { reason: messageOf(error) }))
        .finally(() => this.start())
    })
  }

  stop(): void {
    this.#isStopped = true
    this.#p.tending.stop()
  }
}
