/**
 * Looks after what lies with vaults: audits, other places for those that are gone, false or leaving, and vaults for
 * what still lies here. SPEC vaults §7
 */
import {
  below,
  type Clock,
  equalBytes,
  type Jitter,
  keyOf,
  type Log,
  type NodeId,
  type Profile,
  type PublicKey,
  pause,
} from '../../core/index.ts'
import {
  type ContentRef,
  type HeldPointer,
  locationOf,
  type Place,
  type PointerStore,
  type ShardStore,
  type StoredShard,
} from '../../storage/index.ts'
import type { Blobs } from './blobs.ts'
import type { Copies } from './copies.ts'
import type { Holders } from './holders.ts'
import { inParallel } from './in-parallel.ts'
import type { VaultLines } from './vault-lines.ts'
import { PLACES_WANTED, type Vaulted } from './vaulted.ts'

/** Contents moved at the same time: looking after must not crowd out requests. */
const MOVES_MAX = 4
const PAGE = 256
/** Steps to the next pointer that is audited, so that no vault can tell which blob comes next. */
const STEP_MAX = 16
/** Pointers looked at for one that this node has to audit. */
const LOOKS_MAX = 64
/** A place on a line attached here that gives nothing is asked once more so much later. */
const ASK_AGAIN_MS = 5_000
/** After so many times the absence that makes a vault be replaced, the content is kept here when it cannot be. */
const KEEP_AFTER = 3

export interface TendingPorts {
  readonly clock: Clock
  readonly jitter: Jitter
  readonly log: Log
  readonly profile: Profile
  readonly selfId: NodeId
  readonly store: ShardStore
  readonly pointers: PointerStore
  readonly lines: VaultLines
  readonly blobs: Blobs
  readonly vaulted: Vaulted
  readonly holders: Holders
  readonly copies: Copies
}

export class Tending {
  readonly #p: TendingPorts
  #audited: ContentRef | undefined
  #isRelieving = false
  #hasRoom = false
  /** Contents that lay here. */
  #here = 0
  /** How often the time has passed after which a silent line is given up; by line key. */
  #silent: ReadonlyMap<string, number> = new Map()
  #isStopped = false
  readonly counts = { auditsPassed: 0, auditsFailed: 0, replaced: 0, moved: 0 }

  constructor(ports: TendingPorts) {
    this.#p = ports
  }

  /** Blobs that a line which leaves is still to be relieved of. */
  leaving(line: PublicKey): number {
    const left = this.#p.pointers.onLine(line)
    if (left > 0) void this.#relieve()
    return left
  }

  /** Whether a pass has something to do that it had not when this was last asked. */
  isDue(): boolean {
    const [had, before] = [this.#hasRoom, this.#here]
    this.#hasRoom = this.#p.blobs.linesFree() >= PLACES_WANTED
    this.#here = this.#p.store.usage().count
    const canMove = this.#hasRoom && this.#here > 0 && (!had || this.#here > before)
    return this.#hasNewSilence() || canMove
  }

  /** Each line is looked at anew when another member loses its patience with it. */
  #hasNewSilence(): boolean {
    const { pointers, blobs, profile } = this.#p
    const silent = new Map<string, number>()
    let isNew = false
    for (const line of pointers.lines()) {
      const patience = Math.min(profile.copies, Math.floor(blobs.silentMs(line) / profile.vaultAbsentMs))
      if (patience > (this.#silent.get(keyOf(line)) ?? 0)) isNew = true
      if (patience > 0) silent.set(keyOf(line), patience)
    }
    this.#silent = silent
    return isNew
  }

  stop(): void {
    this.#isStopped = true
  }

  /** One leaf of each place of a pointer drawn at random, of those that this node answers for. */
  async audit(): Promise<void> {
    const held = this.#next()
    if (held === undefined) return
    const { good, bad } = await this.#p.vaulted.audit(held.ref, held.pointer)
    for (const place of good) this.#passed(place)
    const gone: Place[] = []
    for (const place of bad) if (await this.#isGone(held, place)) gone.push(place)
    if (gone.length > 0) await this.#makeGood(held, gone)
  }

  /**
   * What must be done about a pointer that is met in a pass: other places for those whose lines are gone. The first
   * members look after it, each of them with more patience than the one before.
   */
  async mend(held: HeldPointer): Promise<void> {
    const { ref, pointer } = held
    const rank = this.#p.holders.rankOf(locationOf(ref))
    if (rank >= this.#p.profile.copies) return
    const gone = pointer.places.filter((place) => this.#isSilentTooLong(place, rank))
    const lacks = rank === 0 && pointer.places.length < PLACES_WANTED
    if (gone.length > 0 || lacks) await this.#makeGood(held, gone)
  }

  /** Gives to vaults what lies here; how many contents could not be moved although there are lines. */
  async move(options: { readonly isStopped: () => boolean }): Promise<{ moved: number; left: number }> {
    const report = { moved: 0, left: 0 }
    let after: ContentRef | undefined
    for (;;) {
      const page = this.#p.store.list({ limit: PAGE, ...(after !== undefined && { after }) })
      if (page.length === 0 || options.isStopped()) break
      await inParallel(MOVES_MAX, page, async (held) => {
        if (options.isStopped() || !this.#isMovable(held)) return
        if (await this.#moveOne(held)) report.moved++
        else report.left++
      })
      after = page.at(-1)?.ref
    }
    this.counts.moved += report.moved
    return report
  }

  /** The owner moves; the others let go of their bytes once they have its pointer and have proven its places. */
  #isMovable({ ref, leaseEndMs }: StoredShard): boolean {
    if (leaseEndMs <= this.#p.clock.nowMs()) return false
    if (this.#p.vaulted.get(ref) !== undefined) return true
    return this.#p.holders.rankOf(locationOf(ref)) === 0 && this.#p.blobs.linesFree() >= PLACES_WANTED
  }

  async #moveOne({ ref, leaseEndMs }: StoredShard): Promise<boolean> {
    const { store, vaulted } = this.#p
    const bytes = store.get(ref)
    if (bytes === undefined) return true
    if (vaulted.get(ref) === undefined && (await vaulted.accept(ref, { bytes, leaseEndMs })).end !== 'stored')
      return false
    if (!(await vaulted.hasProven(ref, bytes))) return false
    store.delete(ref)
    return true
  }

  #next(): HeldPointer | undefined {
    const { pointers, jitter, holders, profile, clock } = this.#p
    for (let looks = 0; looks < LOOKS_MAX; ) {
      const after = this.#audited
      const step = below(jitter, STEP_MAX) + 1
      const page = pointers.list({ limit: step, ...(after !== undefined && { after }) })
      const held = page.at(-1)
      this.#audited = held?.ref
      if (held === undefined && after === undefined) return undefined
      looks += Math.max(1, page.length)
      const isOwn = held !== undefined && holders.rankOf(locationOf(held.ref)) < profile.copies
      if (isOwn && held.leaseEndMs > clock.nowMs()) return held
    }
    return undefined
  }

  /** An attached line that twice does not give what it took has lost it; another may be away for a while. */
  async #isGone({ ref, pointer }: HeldPointer, place: Place): Promise<boolean> {
    const { clock, vaulted, holders, lines, log } = this.#p
    const isHere = lines.attached().some(({ line }) => equalBytes(line, place.line))
    if (!isHere) {
      this.counts.auditsFailed++
      return this.#isSilentTooLong(place, holders.rankOf(locationOf(ref)))
    }
    await pause(clock, ASK_AGAIN_MS)
    const { good } = await vaulted.audit(ref, { ...pointer, places: [place] })
    if (good.length > 0) {
      this.#passed(place)
      return false
    }
    this.counts.auditsFailed++
    // Gone meanwhile: then it has time to come back.
    if (lines.absentSinceMs(place.line) !== undefined) return false
    lines.audited(place.line, false)
    log('info', 'a vault failed an audit')
    return true
  }

  #passed(place: Place): void {
    this.counts.auditsPassed++
    this.#p.lines.audited(place.line, true)
  }

  #isSilentTooLong(place: Place, rank: number): boolean {
    return this.#p.blobs.silentMs(place.line) >= this.#p.profile.vaultAbsentMs * (rank + 1)
  }

  get #keepAfterMs(): number {
    return KEEP_AFTER * this.#p.profile.vaultAbsentMs
  }

  /** Takes from vaults that leave what they hold, wherever this node points to it. */
  async #relieve(): Promise<void> {
    if (this.#isRelieving) return
    this.#isRelieving = true
    let after: ContentRef | undefined
    for (;;) {
      const page = this.#p.pointers.list({ limit: PAGE, ...(after !== undefined && { after }) })
      if (page.length === 0 || this.#isStopped) break
      await inParallel(MOVES_MAX, page, async (held) => {
        const leaving = held.pointer.places.filter(({ line }) => this.#p.blobs.isLeaving(line))
        if (leaving.length > 0 && !this.#isStopped) await this.#makeGood(held, leaving)
      })
      after = page.at(-1)?.ref
    }
    this.#isRelieving = false
  }

  /**
   * Other places for those that are gone or leave, and for what lacks. Without another vault the content is kept here
   * and by the next members, until there are lines: whether the vaults that are left are still there is not known.
   */
  async #makeGood({ ref, pointer }: HeldPointer, gone: readonly Place[]): Promise<void> {
    const { vaulted, copies, holders, profile, store, pointers, blobs } = this.#p
    if (await vaulted.replace(ref, gone)) {
      this.counts.replaced += gone.length
      return
    }
    // After a start most vaults are still on their way: nothing is moved for that.
    const isUrgent = gone.every(({ line }) => blobs.isLeaving(line) || blobs.silentMs(line) >= this.#keepAfterMs)
    if (!isUrgent || (gone.length === 0 && store.has(ref))) return
    const bytes = await vaulted.whole(ref)
    if (bytes === undefined) return
    const copy = { bytes, leaseEndMs: pointer.leaseEndMs }
    if ((await store.put({ ref, ...copy })) === 'full') return
    const others = holders.others(locationOf(ref))
    if (!(await copies.atSome(others, profile.copies - 1, (id) => copies.hand(id, ref, copy)))) return
    if (gone.length < pointer.places.length) await vaulted.giveUp(ref, gone)
    else await pointers.delete(ref)
    this.counts.replaced += gone.length
  }
}
