/**
 * The guards: the only nodes this client opens links to for its circuits, kept for months, so that who
 * it is can be learnt by few, and by fewer over time. SPEC circuits §6
 *
 * A list in order of preference: one primary, one standby. When none of the list can be reached a
 * further one is added, and the earlier ones are tried again all the while.
 */
import {
  ByteReader,
  ByteWriter,
  between,
  type Clock,
  equalBytes,
  type Jitter,
  keyOf,
  type Log,
  MalformedError,
  type NodeId,
  named32,
  type Profile,
  type StateStore,
} from '../core/index.ts'
import { type Descriptor, pickGuard, type View } from '../routing/index.ts'
import type { PeerLink } from './links.ts'

/** One primary, one standby. */
const GUARDS_KEPT = 2
/** More than these are never added while others are still within their time. */
const GUARDS_MAX = 6
/** A guard that could not be reached is tried again after so long. */
const RETRY_MS = 20_000
const STATE_KEY = 'guards'

export interface Guard {
  readonly id: NodeId
  readonly sinceMs: number
  readonly untilMs: number
}

export interface GuardsPorts {
  readonly clock: Clock
  readonly jitter: Jitter
  readonly log: Log
  readonly state: StateStore
  readonly profile: Profile
  readonly view: View
  readonly networkCreatedMs: number
  readonly selfId: () => NodeId | undefined
  readonly reach: (id: NodeId) => Promise<PeerLink | undefined>
}

export class Guards {
  readonly #p: GuardsPorts
  #guards: Guard[]
  readonly #failedMs = new Map<string, number>()
  #choosing: Promise<{ guard: Descriptor; link: PeerLink } | undefined> | undefined
  #inUse: Guard | undefined

  constructor(ports: GuardsPorts) {
    this.#p = ports
    this.#guards = readGuards(ports)
  }

  /** The guard that circuits go through now, for people to see. */
  get inUse(): Guard | undefined {
    return this.#inUse
  }
  /** All that are kept: none of them may be another hop of a circuit. */
  get ids(): readonly NodeId[] {
    return this.#guards.map((guard) => guard.id)
  }

  /** An open link to the first guard that can be reached, or undefined when the view offers none. */
  take(): Promise<{ guard: Descriptor; link: PeerLink } | undefined> {
    this.#choosing ??= this.#choose().finally(() => {
      this.#choosing = undefined
    })
    return this.#choosing
  }

  async #choose(): Promise<{ guard: Descriptor; link: PeerLink } | undefined> {
    await this.#renew()
    for (let added = 0; ; added++) {
      for (const guard of this.#guards) {
        const found = await this.#tryGuard(guard)
        if (found !== undefined) return found
      }
      if (this.#guards.length >= GUARDS_MAX || added > 2 || !(await this.#add())) return undefined
    }
  }

  async #tryGuard(guard: Guard): Promise<{ guard: Descriptor; link: PeerLink } | undefined> {
    const name = keyOf(guard.id)
    const nowMs = this.#p.clock.monotonicMs()
    if ((this.#failedMs.get(name) ?? Number.NEGATIVE_INFINITY) > nowMs - RETRY_MS) return undefined
    const link = await this.#p.reach(guard.id)
    const descriptor = this.#p.view.get(guard.id)
    if (link === undefined || descriptor === undefined) {
      this.#failedMs.set(name, nowMs)
      return undefined
    }
    this.#failedMs.delete(name)
    this.#inUse = guard
    return { guard: descriptor, link }
  }

  /** Lets go of guards whose time is over and fills up to a primary and a standby. */
  async #renew(): Promise<void> {
    const nowMs = this.#p.clock.nowMs()
    const kept = this.#guards.filter((guard) => guard.untilMs > nowMs)
    if (kept.length !== this.#guards.length) {
      this.#guards = kept
      await this.#save()
    }
    while (this.#guards.length < GUARDS_KEPT && (await this.#add()));
  }

  async #add(): Promise<boolean> {
    const { view, clock, jitter, profile, networkCreatedMs, selfId, log } = this.#p
    const nowMs = clock.nowMs()
    const self = selfId()
    const exclude = self === undefined ? this.ids : [...this.ids, self]
    const picked = pickGuard(view, { nowMs, profile, networkCreatedMs, jitter, exclude })
    if (picked === undefined) return false
    const { id } = picked
    this.#guards.push({ id, sinceMs: nowMs, untilMs: nowMs + between(jitter, profile.guardKeepMs) })
    log('info', 'guard chosen', { guards: this.#guards.length })
    await this.#save()
    return true
  }

  #save(): Promise<void> {
    const w = new ByteWriter(1 + this.#guards.length * 48).u8(1)
    for (const guard of this.#guards) w.bytes(guard.id).u64(Math.round(guard.sinceMs)).u64(Math.round(guard.untilMs))
    return this.#p.state.put(STATE_KEY, w.done())
  }

  /** Whether `id` is a guard: its link must stay open. */
  has(id: NodeId): boolean {
    return this.#guards.some((guard) => equalBytes(guard.id, id))
  }
}

// guards file: version u8 (1), then for each: id 32, since u64, until u64 (Unix ms)
function readGuards(ports: GuardsPorts): Guard[] {
  const bytes = ports.state.get(STATE_KEY)
  if (bytes === undefined) return []
  try {
    const r = new ByteReader(bytes, 'guards file')
    if (r.u8() !== 1) throw r.malformed('unknown version')
    const guards: Guard[] = []
    while (r.left > 0 && guards.length < GUARDS_MAX) {
      guards.push({ id: named32<'NodeId'>(r.bytes(32).slice(), 'guard'), sinceMs: r.u64(), untilMs: r.u64() })
    }
    r.end()
    return guards
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error
    ports.log('warn', 'guards file is damaged: choosing anew')
    return []
  }
}
