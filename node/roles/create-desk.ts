/**
 * Which CREATEs a relay answers, and when. A handshake costs milliseconds of the one thread that also
 * moves all cells: so they wait in a bounded queue, are answered in short goes with as much time between
 * them, and once the queue is half full only those that show work may join, the most work first.
 * SPEC circuits §7
 *
 *   CREATE ─> answered at once, when nothing waits and the last go is over
 *          ─> waiting ─> answered, or withdrawn when its circuit or link ends
 *          ─> refused: puzzle (with the effort asked for) or full
 *
 * It never looks into a handshake. Time in monotonic milliseconds, but for the hour of puzzles.
 */
import { type Clock, type NodeId, toHex } from '../../core/index.ts'
import { clientKeyOf, PUZZLE_EFFORT, puzzleEffort } from '../../crypto/index.ts'
import type { PuzzleProof } from '../../routing/index.ts'
import { type Rate, TokenBucket } from '../token-bucket.ts'

/** All that wait, whatever their link; about 2 KiB each. From half of it on a CREATE must show work. */
const CREATES_WAITING_MAX = 256
/** One go is over after so many, or so long; the pause after it is as long as the go was. */
const GO_COUNT_MAX = 4
const GO_MS_MAX = 5
const PAUSE_MS_MIN = 1
/** A client that has waited longer has given up. */
const WAIT_MS_MAX = 6_000
const HOUR_MS = 3_600_000
/** Proofs remembered for as long as they are good; each cost its maker 2^16 hashes. */
const PROOFS_SEEN_MAX = 16_384

/** What one link may do. A member carries the circuits of many clients, a stranger is one client. */
interface Allowance {
  readonly waitingMax: number
  readonly creates: Rate
}
const OF_MEMBER: Allowance = { waitingMax: 128, creates: { burst: 256, perSecond: 64 } }
const OF_STRANGER: Allowance = { waitingMax: 32, creates: { burst: 48, perSecond: 4 } }
/** Refusals a stranger may collect; who goes on against them is no client. A bad handshake counts for more. */
const REFUSALS: Rate = { burst: 256, perSecond: 8 }
const BAD_HANDSHAKE_COST = 8

/** What a desk knows of a link: an identity, and whether a member is at its other end. */
export interface CreateLink {
  readonly isMember: boolean
}

export interface WaitingCreate {
  readonly link: CreateLink
  /** The handshake message, the desk's own memory. */
  readonly message: Uint8Array
  readonly proof: PuzzleProof | undefined
  /** False: there was nothing to answer, the handshake was bad. */
  answer(): boolean
  refuse(why: { readonly reason: 'full' } | { readonly reason: 'puzzle'; readonly effort: number }): void
  /** A stranger goes on with what is refused again and again: its link is to be closed. */
  flooded(): void
}

export type CreateRefusal = 'puzzle' | 'full' | 'too fast' | 'bad proof' | 'too late' | 'bad handshake'

interface Entry {
  readonly create: WaitingCreate
  readonly effort: number
  readonly sinceMs: number
}

interface Account {
  isMember: boolean
  creates: TokenBucket
  readonly refusals: TokenBucket
  waiting: number
}

export class CreateDesk {
  readonly #clock: Clock
  readonly #relayId: NodeId
  readonly #waitingMax: number
  /** By effort; within one effort the first come first. */
  readonly #waiting = new Map<number, Entry[]>()
  readonly #accounts = new WeakMap<CreateLink, Account>()
  readonly #proofsSeen = new Set<string>()
  #count = 0
  #isPaused = false
  readonly counts = { answered: 0, proven: 0, refused: {} as Partial<Record<CreateRefusal, number>> }

  /** `waitingMax`: how many may wait; as specified unless given. */
  constructor(ports: { readonly clock: Clock; readonly relayId: NodeId; readonly waitingMax?: number }) {
    this.#clock = ports.clock
    this.#waitingMax = ports.waitingMax ?? CREATES_WAITING_MAX
    this.#relayId = ports.relayId
  }

  get waiting(): number {
    return this.#count
  }

  /**
   * The effort that a CREATE needs now; 0: none. While there is room 16 bits will do; once there is none, more
   * than the least that waits, which then gives way.
   */
  get effortAsked(): number {
    if (this.#count < this.#waitingMax / 2) return 0
    const { min, max } = PUZZLE_EFFORT
    return this.#count < this.#waitingMax ? min : Math.min(max, Math.max(min, this.#least() + 1))
  }

  offer(create: WaitingCreate): void {
    const nowMs = this.#clock.monotonicMs()
    const account = this.#accountOf(create.link, nowMs)
    const effort = this.#effortOf(create)
    if (effort === undefined) return void this.#refuse(create, 'bad proof')
    const asked = this.effortAsked
    if (effort < asked) return void this.#refuse(create, 'puzzle', asked)
    // Work pays for the rate, but not for all the places.
    if (effort === 0 && !account.creates.take(nowMs)) return void this.#refuse(create, 'too fast')
    if (account.waiting >= allowanceOf(create.link).waitingMax) return void this.#refuse(create, 'full')
    if (this.#count >= this.#waitingMax && !this.#giveWay(effort)) return void this.#refuse(create, 'full')
    account.waiting++
    this.#count++
    if (effort > 0) this.#remember(create)
    const same = this.#waiting.get(effort)
    const entry = { create, effort, sinceMs: nowMs }
    if (same === undefined) this.#waiting.set(effort, [entry])
    else same.push(entry)
    if (!this.#isPaused) this.#go()
  }

  /** Its circuit or its link has ended. */
  withdraw(create: WaitingCreate): void {
    for (const entries of this.#waiting.values()) {
      const at = entries.findIndex((entry) => entry.create === create)
      const [entry] = at < 0 ? [] : entries.splice(at, 1)
      if (entry !== undefined) return void this.#left(entry)
    }
  }

  #go(): void {
    const startMs = this.#clock.monotonicMs()
    let spentMs = 0
    for (let count = 0; count < GO_COUNT_MAX && spentMs < GO_MS_MAX; count++) {
      const entry = this.#next(startMs)
      if (entry === undefined) break
      this.#answer(entry)
      spentMs = this.#clock.monotonicMs() - startMs
    }
    this.#isPaused = true
    this.#clock.setTimer(Math.max(PAUSE_MS_MIN, spentMs), () => {
      this.#isPaused = false
      if (this.#count > 0) this.#go()
    })
  }

  #answer({ create, effort }: Entry): void {
    if (!create.answer()) {
      this.#note(create, 'bad handshake')
      return
    }
    this.counts.answered++
    if (effort > 0) this.counts.proven++
  }

  #next(nowMs: number): Entry | undefined {
    for (;;) {
      const entry = this.#waiting.get(this.#best())?.shift()
      if (entry === undefined) return undefined
      this.#left(entry)
      if (nowMs - entry.sinceMs <= WAIT_MS_MAX) return entry
      this.#refuse(entry.create, 'too late')
    }
  }

  #best(): number {
    let best = -1
    for (const [effort, entries] of this.#waiting) if (entries.length > 0 && effort > best) best = effort
    return best
  }

  #least(): number {
    let least: number = PUZZLE_EFFORT.max
    for (const [effort, entries] of this.#waiting) if (entries.length > 0 && effort < least) least = effort
    return least
  }

  /** Makes room for one that shows more than the least that waits; the last to come of these goes. */
  #giveWay(effort: number): boolean {
    const least = this.#least()
    const entry = least < effort ? this.#waiting.get(least)?.pop() : undefined
    if (entry === undefined) return false
    this.#refuse(entry.create, 'puzzle', this.effortAsked)
    this.#left(entry)
    return true
  }

  #left(entry: Entry): void {
    this.#count--
    this.#accountOf(entry.create.link, entry.sinceMs).waiting--
  }

  /** What the proof shows; 0 without one, undefined when it does not hold. */
  #effortOf({ message, proof }: WaitingCreate): number | undefined {
    if (proof === undefined) return 0
    const { effort, hour, nonce } = proof
    if (Math.abs(hour - hourOf(this.#clock.nowMs())) > 1) return undefined
    if (effort < PUZZLE_EFFORT.min || this.#proofsSeen.has(nameOf(message))) return undefined
    const puzzle = { relayId: this.#relayId, hour, clientKey: clientKeyOf(message) }
    return puzzleEffort(puzzle, nonce) < effort ? undefined : Math.min(effort, PUZZLE_EFFORT.max)
  }

  #remember(create: WaitingCreate): void {
    this.#proofsSeen.add(nameOf(create.message))
    if (this.#proofsSeen.size <= PROOFS_SEEN_MAX) return
    for (const oldest of this.#proofsSeen) {
      this.#proofsSeen.delete(oldest)
      return
    }
  }

  #refuse(create: WaitingCreate, why: CreateRefusal, effort = 0): void {
    create.refuse(why === 'puzzle' ? { reason: 'puzzle', effort } : { reason: 'full' })
    this.#note(create, why)
  }

  #note(create: WaitingCreate, why: CreateRefusal): void {
    this.counts.refused[why] = (this.counts.refused[why] ?? 0) + 1
    if (create.link.isMember) return
    const nowMs = this.#clock.monotonicMs()
    const cost = why === 'bad handshake' || why === 'bad proof' ? BAD_HANDSHAKE_COST : 1
    if (!this.#accountOf(create.link, nowMs).refusals.take(nowMs, cost)) create.flooded()
  }

  #accountOf(link: CreateLink, nowMs: number): Account {
    const { isMember } = link
    const known = this.#accounts.get(link)
    if (known?.isMember === isMember) return known
    const creates = new TokenBucket(allowanceOf(link).creates, nowMs)
    // A peer that has shown itself to be a member meanwhile.
    if (known !== undefined) return Object.assign(known, { isMember, creates })
    const account = { isMember, creates, refusals: new TokenBucket(REFUSALS, nowMs), waiting: 0 }
    this.#accounts.set(link, account)
    return account
  }
}

/** Unix time in whole hours. */
export function hourOf(nowMs: number): number {
  return Math.floor(nowMs / HOUR_MS)
}

function allowanceOf(link: CreateLink): Allowance {
  return link.isMember ? OF_MEMBER : OF_STRANGER
}

function nameOf(message: Uint8Array): string {
  return toHex(clientKeyOf(message).subarray(0, 16))
}
