/**
 * Reading back what was put: a receipt says what a keeper signed, a random leaf that is fetched over other
 * circuits some minutes later says what is there. What is not there is rebuilt and put again. SPEC repair §7
 *
 * Addresses wait in memory and are never written down: a daemon that ends forgets what it had still to
 * read back. One object at a time.
 */
import {
  between,
  type Clock,
  HushError,
  type Jitter,
  type Log,
  messageOf,
  type Timer,
  UnavailableError,
} from '../../core/index.ts'
import { type Address, formatAddress, type RepairPorts, repairObject, type StripeHealth } from '../../storage/index.ts'
import { RepairTally } from './repair-tally.ts'
import type { OpenVisit } from './steward.ts'

/** Objects that wait; one more is not read back. */
export const READ_BACKS_MAX = 1_024
/** Times that an object is read before it is given up as unproven. */
const TRIES_MAX = 3

/** What reading an object back came to. */
export interface ReadBackResult {
  /** Every shard was proven by a keeper, or was put again and has a new receipt. */
  readonly isVerified: boolean
  readonly shards: number
  /** Not proven when they were asked for; of these, put again. */
  readonly missing: number
  readonly restored: number
  /** The worst that any stripe was left in; absent when no reading came to an end. */
  readonly health: StripeHealth | undefined
}

/** The list of objects to read back is full, or the daemon stops. */
export class ReadBackError extends UnavailableError {
  readonly code = 'ERR_READ_BACK'
}

export interface ReadBackPorts {
  readonly clock: Clock
  readonly jitter: Jitter
  readonly log: Log
  readonly open: OpenVisit
  /** Between a put, or a reading that proved too little, and the next reading. Milliseconds. */
  readonly delayMs: { readonly min: number; readonly max: number }
}

interface Waiting {
  readonly name: string
  readonly address: Address
  /** By the clock that does not jump. */
  dueMs: number
  tries: number
  /** Gateways still hold its shards, as far as is known. */
  isHeld: boolean
  readonly asked: Set<(result?: ReadBackResult) => void>
}

const NOTHING_READ: ReadBackResult = { isVerified: false, shards: 0, missing: 0, restored: 0, health: undefined }

export class ReadBack {
  readonly #p: ReadBackPorts
  readonly #stopped = new AbortController()
  readonly #waiting = new Map<string, Waiting>()
  #timer: Timer | undefined
  #reading: Promise<void> | undefined
  /** Ends the circuits of the reading under way. */
  #close: () => void = () => {}
  /** Since the start: objects read back and whole, shards put again, objects given up, objects for which there was no room. */
  readonly counts = { verified: 0, restored: 0, unproven: 0, skipped: 0 }

  constructor(ports: ReadBackPorts) {
    this.#p = ports
  }

  /** Objects still to be read back. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** Milliseconds until the next reading is due; undefined when none is. */
  get nextInMs(): number | undefined {
    const next = this.#next()
    return next && Math.max(0, next.dueMs - this.#p.clock.monotonicMs())
  }

  /** Of these, objects that gateways hold and nobody has read yet. */
  get handedOver(): number {
    return [...this.#waiting.values()].filter(({ isHeld }) => isHeld).length
  }

  /** Has the object read back once, later; `heldMs`: not before gateways have let go of what they were handed. */
  add(address: Address, { heldMs = 0 }: { readonly heldMs?: number } = {}): void {
    this.#queue(address, heldMs)
  }

  /** As add; resolves when the object has been read back or given up. Throws ERR_READ_BACK, or the signal's reason. */
  async wait(address: Address, signal: AbortSignal): Promise<ReadBackResult> {
    const waiting = this.#queue(address)
    if (waiting === undefined) throw new ReadBackError(`${READ_BACKS_MAX} objects wait to be read back already`)
    let tell: (result?: ReadBackResult) => void = () => {}
    const onAbort = (): void => tell()
    try {
      const result = await new Promise<ReadBackResult | undefined>((resolve) => {
        tell = resolve
        waiting.asked.add(tell)
        signal.addEventListener('abort', onAbort)
      })
      signal.throwIfAborted()
      if (result === undefined) throw new ReadBackError('the daemon stopped before the object was read back')
      return result
    } finally {
      signal.removeEventListener('abort', onAbort)
      waiting.asked.delete(tell)
    }
  }

  /** Calls off what is under way; what waits is forgotten. */
  async stop(): Promise<void> {
    this.#stopped.abort(new Error('the daemon is stopping'))
    this.#timer?.cancel()
    this.#close()
    await this.#reading
    for (const { asked } of this.#waiting.values()) for (const tell of asked) tell()
    this.#waiting.clear()
  }

  #queue(address: Address, heldMs = 0): Waiting | undefined {
    const name = formatAddress(address)
    const known = this.#waiting.get(name)
    if (known !== undefined) return known
    if (this.#stopped.signal.aborted || this.#waiting.size >= READ_BACKS_MAX) {
      this.counts.skipped++
      return undefined
    }
    const waiting = {
      name,
      address,
      dueMs: this.#draw() + heldMs,
      tries: 0,
      isHeld: heldMs > 0,
      asked: new Set<(result?: ReadBackResult) => void>(),
    }
    this.#waiting.set(name, waiting)
    this.#plan()
    return waiting
  }

  #next(): Waiting | undefined {
    let next: Waiting | undefined
    for (const waiting of this.#waiting.values()) if (next === undefined || waiting.dueMs < next.dueMs) next = waiting
    return next
  }

  #plan(): void {
    this.#timer?.cancel()
    const next = this.#next()
    if (next === undefined || this.#reading !== undefined || this.#stopped.signal.aborted) return
    this.#timer = this.#p.clock.setTimer(Math.max(0, next.dueMs - this.#p.clock.monotonicMs()), () => {
      this.#reading = this.#read(next).finally(() => {
        this.#reading = undefined
        this.#plan()
      })
    })
  }

  /** Never rejects. */
  async #read(waiting: Waiting): Promise<void> {
    const result = await this.#visit(waiting.address)
    if (this.#stopped.signal.aborted) return
    waiting.isHeld = false
    this.counts.restored += result.restored
    if (!result.isVerified && ++waiting.tries < TRIES_MAX) {
      waiting.dueMs = this.#draw()
      return
    }
    this.#waiting.delete(waiting.name)
    if (result.isVerified) this.counts.verified++
    else this.counts.unproven++
    const { shards, missing, restored } = result
    this.#p.log(result.isVerified ? 'info' : 'warn', 'read an object back', { shards, missing, restored })
    for (const tell of waiting.asked) tell(result)
  }

  async #visit(address: Address): Promise<ReadBackResult> {
    const { jitter, log, open } = this.#p
    const { ports, close } = open()
    this.#close = close
    try {
      const tally = new RepairTally()
      const { signal } = this.#stopped
      for await (const stripe of repairObject(address, { ...ports, renew: onlySigned(ports), jitter, signal }))
        tally.add(stripe)
      const { shards, missing, rebuilt, health } = tally.sum
      return { isVerified: missing === rebuilt, shards, missing, restored: rebuilt, health }
    } catch (error) {
      const why = error instanceof HushError ? error.code : messageOf(error)
      log('info', 'could not read an object back', { reason: why })
      return NOTHING_READ
    } finally {
      close()
    }
  }

  #draw(): number {
    return this.#p.clock.monotonicMs() + Math.floor(between(this.#p.jitter, this.#p.delayMs))
  }
}

/** Leases are fresh: only a signed root, which has no leaves to prove, needs its keepers' word. SPEC repair §2 */
function onlySigned({ renew }: Pick<RepairPorts, 'renew'>): RepairPorts['renew'] {
  return async (ref, wish) => ref.kind !== 'signed' || renew(ref, wish)
}
