/**
 * The guards: the only nodes this client opens links to for its circuits, kept for months, so that who
 * it is can be learnt by few, and by fewer over time. SPEC circuits §6
 *
 * A list in order of preference: one primary, one standby. When none of the list can be reached a
 * further one is added, and the earlier ones are tried again all the while. Where a guard can be found is
 * kept with it, so that a client that was away for long asks its guard who is there, and no seed.
 */
import {
  ByteReader,
  ByteWriter,
  between,
  type Clock,
  equalBytes,
  fromUtf8,
  type Jitter,
  keyOf,
  type Log,
  MalformedError,
  type NodeId,
  named32,
  type Profile,
  type PublicKey,
  type StateStore,
  toUtf8,
} from '../core/index.ts'
import { type Descriptor, pickGuard, type View } from '../routing/index.ts'
import type { Contact, PeerLink } from './links.ts'

/** One primary, one standby. */
const GUARDS_KEPT = 2
/** More than these are never added while others are still within their time. */
const GUARDS_MAX = 6
/** A guard that could not be reached is tried again after so long. */
const RETRY_MS = 20_000
const VERSION = 2
/** Those of a descriptor. */
const ADDRESSES_MAX = 2
const ADDRESS_SIZE_MAX = 255

export interface Guard {
  readonly id: NodeId
  readonly sinceMs: number
  readonly untilMs: number
  /** As its last descriptor said; absent when an earlier version of the file did not hold it. */
  readonly contact?: { readonly publicKey: PublicKey; readonly addresses: readonly string[] }
}

export interface GuardsPorts {
  readonly clock: Clock
  readonly jitter: Jitter
  readonly log: Log
  readonly state: StateStore
  /** Where this set is kept in `state`. */
  readonly stateKey: string
  readonly profile: Profile
  readonly view: View
  readonly networkCreatedMs: number
  readonly selfId: () => NodeId | undefined
  readonly reach: (id: NodeId) => Promise<PeerLink | undefined>
  /** Whether this side may dial such an address at all; any unless given. */
  readonly mayDial?: ((address: string) => boolean) | undefined
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

  /** Where a guard was to be found when it was last heard of. */
  contactOf(id: NodeId): Contact | undefined {
    const contact = this.#guards.find((guard) => equalBytes(guard.id, id))?.contact
    return contact && { id, ...contact }
  }

  /**
   * An open link to a guard of the list, for asking who is there; nobody is added. Undefined when none answers;
   * "none" when there is none to ask.
   */
  async entry(): Promise<PeerLink | undefined | 'none'> {
    const nowMs = this.#p.clock.nowMs()
    const known = this.#guards.filter((guard) => guard.untilMs > nowMs && guard.contact !== undefined)
    for (const guard of known) {
      const link = await this.#p.reach(guard.id)
      if (link !== undefined) return link
    }
    return known.length > 0 ? undefined : 'none'
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
    const kept = this.#guards.filter((guard) => guard.untilMs > nowMs).map((guard) => this.#withContact(guard))
    if (kept.length !== this.#guards.length || kept.some((guard, i) => guard !== this.#guards[i])) {
      this.#guards = kept
      await this.#save()
    }
    while (this.#guards.length < GUARDS_KEPT && (await this.#add()));
  }

  /** The same guard, where it says that it is now. */
  #withContact(guard: Guard): Guard {
    const descriptor = this.#p.view.get(guard.id)
    if (descriptor === undefined) return guard
    const { publicKey, addresses } = descriptor
    const isKnown = guard.contact !== undefined && guard.contact.addresses.join() === addresses.join()
    return isKnown ? guard : { ...guard, contact: { publicKey, addresses } }
  }

  async #add(): Promise<boolean> {
    const { view, clock, jitter, profile, networkCreatedMs, selfId, log, mayDial } = this.#p
    const nowMs = clock.nowMs()
    const self = selfId()
    const exclude = self === undefined ? this.ids : [...this.ids, self]
    const isFit = mayDial && ((node: Descriptor) => node.addresses.some(mayDial))
    const picked = pickGuard(view, { nowMs, profile, networkCreatedMs, jitter, exclude, ...(isFit && { isFit }) })
    if (picked === undefined) return false
    const { id, publicKey, addresses } = picked
    const untilMs = nowMs + between(jitter, profile.guardKeepMs)
    this.#guards.push({ id, sinceMs: nowMs, untilMs, contact: { publicKey, addresses } })
    log('info', 'guard chosen', { guards: this.#guards.length })
    await this.#save()
    return true
  }

  #save(): Promise<void> {
    return this.#p.state.put(this.#p.stateKey, encodeGuards(this.#guards))
  }

  /** Whether `id` is a guard: its link must stay open. */
  has(id: NodeId): boolean {
    return this.#guards.some((guard) => equalBytes(guard.id, id))
  }
}

// guards file: version u8 (2), then for each: id 32, since u64, until u64 (Unix ms), addresses u8, and if there
// are any: public key 32, for each: length u16 and text. Version 1 ended with the times.
function encodeGuards(guards: readonly Guard[]): Uint8Array {
  const w = new ByteWriter(1 + guards.length * (81 + ADDRESSES_MAX * (2 + ADDRESS_SIZE_MAX))).u8(VERSION)
  for (const { id, sinceMs, untilMs, contact } of guards) {
    w.bytes(id).u64(Math.round(sinceMs)).u64(Math.round(untilMs))
    w.u8(contact?.addresses.length ?? 0)
    if (contact === undefined || contact.addresses.length === 0) continue
    w.bytes(contact.publicKey)
    for (const address of contact.addresses) w.bytes16(fromUtf8(address))
  }
  return w.done()
}

function readGuards(ports: GuardsPorts): Guard[] {
  const bytes = ports.state.get(ports.stateKey)
  if (bytes === undefined) return []
  try {
    const r = new ByteReader(bytes, 'guards file')
    const version = r.u8()
    if (version < 1 || version > VERSION) throw r.malformed('unknown version')
    const guards: Guard[] = []
    while (r.left > 0 && guards.length < GUARDS_MAX) {
      const guard = { id: named32<'NodeId'>(r.bytes(32).slice(), 'guard'), sinceMs: r.u64(), untilMs: r.u64() }
      const contact = version === 1 ? undefined : readContact(r)
      guards.push(contact === undefined ? guard : { ...guard, contact })
    }
    r.end()
    return guards
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error
    ports.log('warn', 'guards file is damaged: choosing anew')
    return []
  }
}

function readContact(r: ByteReader): Guard['contact'] {
  const count = r.u8()
  if (count > ADDRESSES_MAX) throw r.malformed('too many addresses')
  if (count === 0) return undefined
  const publicKey = named32<'PublicKey'>(r.bytes(32).slice(), 'key of a guard')
  const addresses = Array.from({ length: count }, () => {
    const address = toUtf8(r.bytes16(ADDRESS_SIZE_MAX))
    if (address === undefined) throw r.malformed('an address that is no text')
    return address
  })
  return { publicKey, addresses }
}
