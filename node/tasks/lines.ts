/**
 * A vault's lines: points drawn, circuits built to their owners, attached, and attached anew when a circuit ends or
 * another node owns the point. SPEC vaults §2
 *
 *   drawn ── build, ATTACH ──> attached ── the circuit ends ──> waiting ── build, ATTACH ──> attached
 *   attached ── another keeper is due for 10 s ──> attached there too; the old circuit goes on for 30 s
 *   attached ── all members of its region serve other lines ──> shared: attached to one of them, it takes nothing more
 *   shared ── nothing lies behind it ──> given up, and another is drawn
 *   any of these ── no member of its region may be its keeper for long ──> given up, and another is drawn
 */
import {
  around,
  equalBytes,
  keyOf,
  type Log,
  messageOf,
  type NodeId,
  named32,
  type Profile,
  pause,
  type SecretRandom,
  type StateStore,
  shuffle,
  type Timer,
} from '../../core/index.ts'
import { type SigningKey, signingKeyFromSeed } from '../../crypto/index.ts'
import { areApart, ownersOf, pointOnArc, REGION_EXTRA } from '../../routing/index.ts'
import { CircuitError } from '../circuit-error.ts'
import type { ClientCircuit } from '../client-circuit.ts'
import { type KeptLine, readKeptLines, saveKeptLines } from '../kept-lines.ts'
import type { Vault } from '../roles/vault.ts'
import { type Attached, LineCircuits, type LineCircuitsPorts, PathError } from './line-circuits.ts'

const TICK_MS = 1_000
/** Lines being built at the same time. */
const BUILDING_MAX = 2
/** Views differ for moments while the ring changes: what is no more than that does not count. */
const GRACE_MS = 10_000
/** A circuit that has a successor goes on so long, for what is under way on it. */
const OLD_CIRCUIT_MS = 30_000
const BACKOFF_MS = { min: 1_000, max: 5 * 60_000 }
/** A line that stood so long did not fail. */
const STEADY_MS = 60_000
/** A vault that leaves asks so often whether it may go. */
const LEAVE_EVERY_MS = 1_000
/** A network that has grown or shrunk by more than this share is another, as to where lines should go. */
const OTHER_SIZE = 0.1
/** Members that are no keepers of a small network's vault. */
const SPARE_KEEPERS = 2
/** Longer than a point, so that a point drawn of it is even. */
const DRAWN_SIZE = 40

export interface LinesPorts extends LineCircuitsPorts {
  readonly random: SecretRandom
  readonly log: Log
  readonly state: StateStore
  readonly profile: Profile
  readonly vault: Pick<Vault, 'answer' | 'linesWithBlobs'>
  /** Whether this node is a member of the ring. */
  readonly isMember: () => boolean
}

class Line {
  readonly kept: KeptLine
  readonly key: SigningKey
  attached: Attached | undefined
  isBuilding = false
  backoffMs = BACKOFF_MS.min
  notBeforeMs = 0
  /** Who its keeper is to be; undefined: nobody can. */
  target: NodeId | undefined
  /** Its target serves another line. */
  isShared = false
  /** How many members there were to choose from; those of an earlier run stay. */
  readonly drawnAmong: number
  /** Something may lie behind it. */
  hasAttached: boolean
  /** Since when nobody can be its keeper. */
  stuckSinceMs: number | undefined
  /** Since when its keeper is to be another. */
  movedSinceMs: number | undefined

  constructor(kept: KeptLine, options: { hasAttached: boolean; drawnAmong?: number }) {
    this.hasAttached = options.hasAttached
    this.drawnAmong = options.drawnAmong ?? Number.POSITIVE_INFINITY
    this.kept = kept
    this.key = signingKeyFromSeed(kept.seed)
  }
}

export class Lines {
  readonly #p: LinesPorts
  readonly #circuits: LineCircuits
  /** Oldest first. */
  #lines: Line[]
  /** Circuits that have a successor, and whose lines they had. */
  readonly #old = new Map<Attached, Line>()
  #building = 0
  /** Members, as long as it is about as many; when they are for long, lines are drawn anew. */
  #size = { members: 0, sinceMs: 0, isDrawnFor: false }
  /** When it was last looked whether anything lies behind shared lines, monotonic. */
  #lookedBehindMs = Number.NEGATIVE_INFINITY
  #isLeaving = false
  #isStopped = false
  #timer: Timer | undefined
  /** For the metrics. */
  readonly counts = { attached: 0, failed: 0, givenUp: 0 }

  constructor(ports: LinesPorts) {
    this.#p = ports
    this.#circuits = new LineCircuits(ports)
    this.#lines = readKeptLines(ports).map((kept) => new Line(kept, { hasAttached: true }))
  }

  get count(): number {
    return this.#lines.length
  }
  /** Lines attached now, and to whom. */
  get keepers(): readonly NodeId[] {
    return this.#lines.flatMap(({ attached }) => (attached === undefined ? [] : [attached.keeper]))
  }

  start(): void {
    this.#tick()
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
    for (const { attached } of this.#lines) attached?.circuit.close()
    for (const { circuit } of this.#old.keys()) circuit.close()
  }

  /** Tells the keepers, and waits until they have moved what lies here; at most `vaultDrainMs`. */
  async leave(): Promise<void> {
    this.#isLeaving = true
    const untilMs = this.#p.clock.monotonicMs() + this.#p.profile.vaultDrainMs
    const withBlobs = this.#p.vault.linesWithBlobs()
    const left = await Promise.all(
      this.#lines.map((line) => this.#drain(line, { untilMs, hasBlobs: withBlobs.has(keyOf(line.key.publicKey)) })),
    )
    const blobs = left.reduce((sum, count) => sum + count, 0)
    this.#p.log('info', 'lines left', { lines: left.length, blobsLeft: blobs })
  }

  /**
   * Blobs that the keeper has not moved when the time is over. A line with blobs whose keeper has just gone is
   * attached to the next one first, which has to hear of it: else two vaults that leave soon after each other
   * take both blobs of a content along.
   */
  async #drain(line: Line, wish: { readonly untilMs: number; readonly hasBlobs: boolean }): Promise<number> {
    const { clock } = this.#p
    let left = wish.hasBlobs ? 1 : 0
    for (;;) {
      if (line.attached === undefined && left > 0) await this.#attachAgain(line)
      const circuit = line.attached?.circuit
      if (circuit !== undefined) left = (await this.#left(circuit)) ?? left
      if (left === 0 || !this.#lines.includes(line)) return left
      if (clock.monotonicMs() + LEAVE_EVERY_MS >= wish.untilMs) return left
      await pause(clock, LEAVE_EVERY_MS)
    }
  }

  async #attachAgain(line: Line): Promise<void> {
    this.#look()
    if (this.#lines.includes(line) && this.#isDue(line)) await this.#build(line)
  }

  /** How many blobs the keeper has still to move, or undefined: the circuit broke. */
  async #left(circuit: ClientCircuit): Promise<number | undefined> {
    try {
      const answer = await this.#circuits.say(circuit, { kind: 'leave' })
      return answer.kind === 'left' ? answer.left : 0
    } catch (error) {
      if (!(error instanceof CircuitError)) throw error
      return undefined
    }
  }

  #tick(): void {
    if (this.#isStopped || this.#isLeaving) return
    if (this.#p.isMember()) {
      this.#look()
      // Whom a line may go to depends on the guard.
      if (this.#p.guards.inUse === undefined) void this.#p.guards.take()
      else this.#draw()
      for (const line of this.#lines) if (this.#isDue(line)) void this.#build(line)
    }
    this.#timer = this.#p.clock.setTimer(around(this.#p.jitter, TICK_MS, 0.2), () => this.#tick())
  }

  /**
   * Who is to be whose keeper; gives up lines that find none. Nobody gives way to another, and no keeper gives blobs to
   * two lines: what lies behind the second would lie on the same machine.
   */
  #look(): void {
    const nowMs = this.#p.clock.monotonicMs()
    const places = this.#places()
    const kept = this.#lines.filter((line) => {
      const taken = places.filter((place) => place.line !== line).map(({ keeper }) => keeper)
      const region = this.#regionOf(line)
      const own = region.find((id) => this.#mayServe(id, taken))
      if (own !== undefined) places.push({ line, keeper: own })
      line.isShared = own === undefined && line.hasAttached
      const target = line.isShared ? region.find((id) => this.#mayServe(id, [])) : own
      this.#aim(line, target)
      line.stuckSinceMs = target === undefined ? (line.stuckSinceMs ?? nowMs) : undefined
      const { attached } = line
      if (own !== undefined && attached !== undefined && equalBytes(attached.keeper, own)) attached.isShared = false
      const isMoved = target !== undefined && attached !== undefined && !equalBytes(attached.keeper, target)
      line.movedSinceMs = isMoved ? (line.movedSinceMs ?? nowMs) : undefined
      // What lies behind a line that was absent for so long has been replaced.
      const patienceMs = line.hasAttached ? this.#p.profile.vaultAbsentMs : GRACE_MS
      return line.stuckSinceMs === undefined || nowMs - line.stuckSinceMs < patienceMs
    })
    this.#giveUp(this.#lines.filter((line) => !kept.includes(line)))
  }

  #giveUp(lines: readonly Line[]): void {
    if (lines.length === 0) return
    this.#lines = this.#lines.filter((line) => !lines.includes(line))
    for (const line of lines) line.attached?.circuit.close()
    for (const [{ circuit }, line] of this.#old) if (lines.includes(line)) circuit.close()
    this.counts.givenUp += lines.length
    this.#save()
  }

  /** Where lines are now, but for those that take nothing more. */
  #places(): { line: Line; keeper: NodeId }[] {
    const now = this.#lines.flatMap((line) => (line.attached === undefined ? [] : [[line.attached, line] as const]))
    return [...now, ...this.#old].flatMap(([{ keeper, isShared }, line]) => (isShared ? [] : [{ line, keeper }]))
  }

  /** What failed with another keeper says nothing of this one. */
  #aim(line: Line, target: NodeId | undefined): void {
    const isSame = line.target !== undefined && target !== undefined && equalBytes(line.target, target)
    line.target = target
    if (isSame) return
    line.backoffMs = BACKOFF_MS.min
    line.notBeforeMs = 0
  }

  /** Adds lines to keepers that have none yet; some are left without, so that a line finds another when one dies. */
  #draw(): void {
    const { view, clock, jitter, random, profile } = this.#p
    const members = view.reachable(clock.nowMs())
    if (this.#isOtherSize(members.length)) this.#drawAnew(members.length)
    this.#giveUpShared()
    const able = members.filter((id) => this.#mayServe(id, []))
    const taken = this.#lines.flatMap((line) => line.target ?? [])
    const free = shuffle(
      jitter,
      able.filter((id) => !taken.some((other) => equalBytes(other, id))),
    )
    const wanted = Math.min(profile.vaultLines, Math.max(1, able.length - SPARE_KEEPERS))
    const owners = free.slice(0, Math.max(0, wanted - this.#lines.filter((line) => !line.isShared).length))
    if (owners.length === 0) return
    for (const owner of owners) {
      const before = members[(members.indexOf(owner) + members.length - 1) % members.length] ?? owner
      const point = named32<'Location'>(pointOnArc(before, owner, random.bytes(DRAWN_SIZE)), 'point')
      this.#lines.push(new Line({ point, seed: random.bytes(32) }, { hasAttached: false, drawnAmong: members.length }))
    }
    this.#save()
    this.#look()
  }

  /** Once, when the network has had another size for a while. */
  #isOtherSize(members: number): boolean {
    const nowMs = this.#p.clock.monotonicMs()
    const size = this.#size
    if (Math.abs(members - size.members) > OTHER_SIZE * size.members) {
      this.#size = { members, sinceMs: nowMs, isDrawnFor: false }
    } else if (!size.isDrawnFor && nowMs - size.sinceMs >= GRACE_MS) {
      size.isDrawnFor = true
      return true
    }
    return false
  }

  /** Those behind which nothing lies any more. */
  #giveUpShared(): void {
    const shared = this.#lines.filter(({ isShared }) => isShared)
    const nowMs = this.#p.clock.monotonicMs()
    if (shared.length === 0 || nowMs - this.#lookedBehindMs < GRACE_MS) return
    this.#lookedBehindMs = nowMs
    this.#giveUp(this.#withoutBlobs(shared))
  }

  #withoutBlobs(lines: readonly Line[]): readonly Line[] {
    if (lines.length === 0) return lines
    const withBlobs = this.#p.vault.linesWithBlobs()
    return lines.filter(({ key }) => !withBlobs.has(keyOf(key.publicKey)))
  }

  /** Lines drawn among fewer members than there are now would never go to newcomers; those with blobs stay. */
  #drawAnew(members: number): void {
    const old = this.#lines.filter(({ drawnAmong }) => drawnAmong < (1 - OTHER_SIZE) * members)
    this.#giveUp(this.#withoutBlobs(old))
  }

  /** Who may be the line's keeper, in this order: the owner of its point, then those after it. */
  #regionOf(line: Line): readonly NodeId[] {
    const { view, clock, profile } = this.#p
    // The last of a region may be no part of it in the eyes of others.
    return ownersOf(line.kept.point, view.reachable(clock.nowMs()), profile.copies + REGION_EXTRA - 1)
  }

  /** Not this node itself, none that serves another line, and none that could not be on a circuit with the guard. */
  #mayServe(id: NodeId, taken: readonly NodeId[]): boolean {
    const { selfId, view, guards, hasPrefixLimits } = this.#p
    if (equalBytes(id, selfId) || taken.some((other) => equalBytes(other, id))) return false
    const keeper = view.get(id)
    const guard = guards.inUse && view.get(guards.inUse.id)
    return keeper !== undefined && (guard === undefined || areApart(keeper, guard, { hasPrefixLimits }))
  }

  #isDue(line: Line): boolean {
    if (line.isBuilding || this.#building >= BUILDING_MAX || line.target === undefined) return false
    const nowMs = this.#p.clock.monotonicMs()
    if (nowMs < line.notBeforeMs) return false
    const hasMoved = line.movedSinceMs !== undefined && nowMs - line.movedSinceMs >= GRACE_MS
    return line.attached === undefined || hasMoved
  }

  async #build(line: Line): Promise<void> {
    line.isBuilding = true
    this.#building++
    try {
      const attached = await this.#circuits.attach(line)
      const isTaken = this.#places().some((place) => place.line !== line && equalBytes(place.keeper, attached.keeper))
      const isUnwanted = isTaken && !attached.isShared
      if (this.#isStopped || isUnwanted || !this.#lines.includes(line)) return attached.circuit.close()
      this.#retire(line)
      line.attached = attached
      line.hasAttached = true
      line.movedSinceMs = undefined
      this.counts.attached++
      attached.circuit.onClosed = () => this.#closed(line, attached)
      if (!attached.circuit.isOpen) this.#closed(line, attached)
    } catch (error) {
      this.counts.failed++
      this.#p.log('debug', 'line not attached', { reason: messageOf(error) })
      // The next one goes another way: this says nothing of the keeper.
      if (error instanceof PathError) line.backoffMs = BACKOFF_MS.min
      this.#wait(line)
      if (!(error instanceof CircuitError)) throw error
    } finally {
      line.isBuilding = false
      this.#building--
    }
  }

  #closed(line: Line, attached: Attached): void {
    if (line.attached !== attached) return
    line.attached = undefined
    if (this.#p.clock.monotonicMs() - attached.sinceMs >= STEADY_MS) line.backoffMs = BACKOFF_MS.min
    this.#wait(line)
  }

  #wait(line: Line): void {
    line.notBeforeMs = this.#p.clock.monotonicMs() + around(this.#p.jitter, line.backoffMs, 0.2)
    line.backoffMs = Math.min(BACKOFF_MS.max, line.backoffMs * 2)
  }

  #retire(line: Line): void {
    const { attached } = line
    if (attached === undefined || !attached.circuit.isOpen) return
    this.#old.set(attached, line)
    attached.circuit.onClosed = () => void this.#old.delete(attached)
    this.#p.clock.setTimer(OLD_CIRCUIT_MS, () => attached.circuit.close())
  }

  #save(): void {
    saveKeptLines(
      this.#p,
      this.#lines.map(({ kept }) => kept),
    )
  }
}
