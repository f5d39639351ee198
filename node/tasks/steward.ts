/**
 * Looking after objects: about once a week, at a time nobody can foretell, each is checked, renewed and
 * repaired over circuits of its own. SPEC repair §5
 *
 * The list holds repair keys and never addresses: who takes the home can go on keeping the objects, and
 * cannot read them. One object at a time; a home keeps KEPT_MAX at most.
 */
import {
  ByteReader,
  ByteWriter,
  between,
  type Clock,
  equalBytes,
  HushError,
  InputError,
  type Jitter,
  type Log,
  MalformedError,
  messageOf,
  type StateStore,
  type Timer,
  toHex,
} from '../../core/index.ts'
import { type RepairKey, type RepairPorts, repairObject, type StripeHealth } from '../../storage/index.ts'
import { HEALTHS, RepairTally } from './repair-tally.ts'

export const KEPT_MAX = 256
const HOUR_MS = 60 * 60_000
const DAY_MS = 24 * HOUR_MS
/** After a visit the next comes within these: a week on average, well within the 30 days of a lease. */
const VISIT_MS = { min: 3.5 * DAY_MS, max: 10.5 * DAY_MS }
/** The first visit of an object that was just taken up: whoever sees it cannot tell when that was. */
const FIRST_VISIT_MS = { min: HOUR_MS, max: 3 * DAY_MS }
/** When a visit failed as a whole, for want of circuits say. */
const AGAIN_MS = { min: HOUR_MS, max: 6 * HOUR_MS }
/** What came due while the daemon was away waits so long after its start, and again between two objects. */
const PAUSE_MS = { min: 60_000, max: 10 * 60_000 }
/** A timer is never set for longer: the clock may jump meanwhile. */
const LOOK_MS_MAX = HOUR_MS
const STATE_KEY = 'kept'
const DAMAGED_KEY = 'kept-damaged'
const LIST_VERSION = 1
const ENTRY_SIZE = 134

/** What a visit came to: sums over the stripes, and the worst health any was left in. */
export interface Visit {
  readonly atMs: number
  readonly health: StripeHealth
  readonly missing: number
  readonly rebuilt: number
  readonly pending: number
}

export interface Kept {
  /** The object, whichever repair key it is kept by; 32 bytes. */
  readonly subject: Uint8Array
  readonly key: RepairKey
  /** Made here from the address, so that it is known to be of the object; else somebody gave it. */
  readonly isOwn: boolean
  readonly addedMs: number
  readonly nextMs: number
  readonly last: Visit | undefined
}

export class KeptListFullError extends InputError {
  readonly code = 'ERR_KEPT_LIST_FULL'
  constructor() {
    super(`this home keeps ${KEPT_MAX} objects already`, { hint: 'let one go with: hush keep --stop ID' })
  }
}

/** Fresh circuits for one visit; `close` ends them. */
export type OpenVisit = () => {
  readonly ports: Omit<RepairPorts, 'jitter' | 'signal'>
  readonly close: () => void
}

export interface StewardPorts {
  readonly clock: Clock
  readonly jitter: Jitter
  readonly log: Log
  readonly state: StateStore
  readonly open: OpenVisit
}

export class Steward {
  readonly #p: StewardPorts
  readonly #stopped = new AbortController()
  #kept: Kept[]
  #timer: Timer | undefined
  #visiting: Promise<void> | undefined
  /** Ends the circuits of the visit under way. */
  #close: () => void = () => {}
  /** Nobody is visited before this, by the clock that does not jump. */
  #restUntilMs = 0

  constructor(ports: StewardPorts) {
    this.#p = ports
    this.#kept = restore(ports)
  }

  /** Soonest visit first. */
  get kept(): readonly Kept[] {
    return [...this.#kept].sort((a, b) => a.nextMs - b.nextMs)
  }

  find(subject: Uint8Array): Kept | undefined {
    return this.#kept.find((kept) => equalBytes(kept.subject, subject))
  }

  /** Whether adding a key would change nothing: only an own one takes the place of one that was given. */
  isKept(subject: Uint8Array, options: { readonly isOwn: boolean }): boolean {
    const known = this.find(subject)
    return known !== undefined && (known.isOwn || !options.isOwn)
  }

  /** Throws ERR_KEPT_LIST_FULL when there is no room for the object. */
  checkRoom(subject: Uint8Array): void {
    if (this.find(subject) === undefined && this.#kept.length >= KEPT_MAX) throw new KeptListFullError()
  }

  /** Takes an object up, for good once this resolves; what it is now kept as. */
  async add(subject: Uint8Array, key: RepairKey, options: { readonly isOwn: boolean }): Promise<Kept> {
    const known = this.find(subject)
    if (known !== undefined && this.isKept(subject, options)) return known
    this.checkRoom(subject)
    const nowMs = this.#p.clock.nowMs()
    const nextMs = nowMs + this.#draw(FIRST_VISIT_MS)
    const kept: Kept = { subject, key, isOwn: options.isOwn, addedMs: nowMs, nextMs, last: undefined }
    this.#kept = [...this.#kept.filter((other) => other !== known), kept]
    await this.#save()
    this.#plan()
    return kept
  }

  /** Lets an object go; false when it was not kept. What is stored of it lives on until its lease ends. */
  async remove(subject: Uint8Array): Promise<boolean> {
    if (this.find(subject) === undefined) return false
    this.#kept = this.#kept.filter((kept) => !equalBytes(kept.subject, subject))
    await this.#save()
    return true
  }

  start(): void {
    this.#rest()
    this.#plan()
  }

  /** Calls a visit off that is under way; the object stays due. */
  async stop(): Promise<void> {
    this.#stopped.abort(new Error('the daemon is stopping'))
    this.#timer?.cancel()
    this.#close()
    await this.#visiting
  }

  #rest(): void {
    this.#restUntilMs = this.#p.clock.monotonicMs() + this.#draw(PAUSE_MS)
  }

  #plan(): void {
    this.#timer?.cancel()
    const [first] = this.kept
    if (this.#stopped.signal.aborted || first === undefined || this.#visiting !== undefined) return
    const { clock } = this.#p
    const dueMs = Math.max(first.nextMs - clock.nowMs(), this.#restUntilMs - clock.monotonicMs(), 0)
    this.#timer = clock.setTimer(Math.min(dueMs, LOOK_MS_MAX), () => {
      if (dueMs > LOOK_MS_MAX) return this.#plan()
      this.#visiting = this.#visit(first).finally(() => {
        this.#visiting = undefined
        this.#rest()
        this.#plan()
      })
    })
  }

  /** Never rejects. */
  async #visit({ subject, key }: Kept): Promise<void> {
    const { clock, jitter, log, open } = this.#p
    // Should this visit end the process, the next start does not begin with it again at once.
    await this.#change(subject, { nextMs: clock.nowMs() + this.#draw(AGAIN_MS) })
    if (this.#stopped.signal.aborted) return
    const { ports, close } = open()
    this.#close = close
    try {
      const tally = new RepairTally()
      const { signal } = this.#stopped
      for await (const stripe of repairObject(key, { ...ports, jitter, signal })) tally.add(stripe)
      const { health, missing, rebuilt, pending } = tally.sum
      const atMs = clock.nowMs()
      await this.#change(subject, {
        nextMs: atMs + this.#draw(VISIT_MS),
        last: { atMs, health, missing, rebuilt, pending },
      })
      log('info', 'looked after an object', { health, missing, rebuilt, pending })
    } catch (error) {
      const why = error instanceof HushError ? error.code : messageOf(error)
      log('warn', 'could not look after an object', { reason: why })
    } finally {
      close()
    }
  }

  async #change(subject: Uint8Array, change: Partial<Pick<Kept, 'nextMs' | 'last'>>): Promise<void> {
    this.#kept = this.#kept.map((kept) => (equalBytes(kept.subject, subject) ? { ...kept, ...change } : kept))
    try {
      await this.#save()
    } catch (error) {
      this.#p.log('error', 'the list of kept objects could not be written', { reason: messageOf(error) })
    }
  }

  #draw(range: { readonly min: number; readonly max: number }): number {
    return Math.floor(between(this.#p.jitter, range))
  }

  #save(): Promise<void> {
    return this.#p.state.put(STATE_KEY, encodeKept(this.#kept))
  }
}

// the list in the state store. SPEC repair §5
//   0    1  version  1
//   1    2  entries
//   3    +  each: subject 32, locator 32, key 32, added u64, next visit u64,
//           last visit u64 (0: none), its health u8 (0 perfect … 4 lost), missing u32, rebuilt u32, pending u32, own u8 (0 or 1)
// Times are Unix milliseconds.
export function encodeKept(kept: readonly Kept[]): Uint8Array {
  const w = new ByteWriter(3 + ENTRY_SIZE * kept.length).u8(LIST_VERSION).u16(kept.length)
  for (const { subject, key, isOwn, addedMs, nextMs, last } of kept) {
    w.bytes(subject).bytes(key.locator).bytes(key.key).u64(addedMs).u64(nextMs)
    w.u64(last?.atMs ?? 0).u8(last === undefined ? 0 : HEALTHS.indexOf(last.health))
    w.u32(last?.missing ?? 0)
      .u32(last?.rebuilt ?? 0)
      .u32(last?.pending ?? 0)
      .u8(isOwn ? 1 : 0)
  }
  return w.done()
}

/** Throws MalformedError. */
export function decodeKept(bytes: Uint8Array): Kept[] {
  const r = new ByteReader(bytes, 'list of kept objects')
  if (r.u8() !== LIST_VERSION) throw r.malformed('another version')
  const count = r.u16()
  if (count > KEPT_MAX) throw r.malformed('too many')
  const kept = Array.from({ length: count }, (): Kept => {
    const subject = r.bytes(32).slice()
    const key: RepairKey = { kind: 'repair', locator: r.bytes(32).slice(), key: r.bytes(32).slice() }
    const [addedMs, nextMs, atMs] = [r.u64(), r.u64(), r.u64()]
    const health = HEALTHS[r.u8()]
    const [missing, rebuilt, pending] = [r.u32(), r.u32(), r.u32()]
    const own = r.u8()
    if (health === undefined || own > 1) throw r.malformed('impossible entry')
    const isOwn = own === 1
    return {
      subject,
      key,
      isOwn,
      addedMs,
      nextMs,
      last: atMs === 0 ? undefined : { atMs, health, missing, rebuilt, pending },
    }
  })
  r.end()
  if (new Set(kept.map(({ subject }) => toHex(subject))).size !== count) throw r.malformed('one object twice')
  return kept
}

/** A damaged list is put aside, not written over: it may be mended by hand. */
function restore({ state, log }: StewardPorts): Kept[] {
  const saved = state.get(STATE_KEY)
  if (saved === undefined) return []
  try {
    return decodeKept(saved)
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error
    log('error', `the list of kept objects is damaged; it is put aside as ${DAMAGED_KEY}`)
    void state.put(DAMAGED_KEY, saved)
    return []
  }
}
