/**
 * Which vault has what a location stands for, as far as some hostile nodes that pool what they have written down can
 * tell. They know from their pointers behind which lines it lies; whose a line is, only its guard could say. So
 * they look for the line among the circuits of vaults that they guard: by the times of its cells, when its keeper is
 * theirs too; or by making keepers read, and seeing which circuit wakes each time. Pure, over recordings of own
 * nodes and own questions. SPEC anonymity §3
 */
import { isAcross, isLine, LINE_TURNS, lowerBound, spreadOf } from './legs.ts'
import type { Leg, Member, Recording } from './recording.ts'

/** Cells of a line's that end at a relay before the keeper: of those that its vault sends, and of those that its guard passes on. */
const BUILDING_CELLS = { vault: 3, guard: 2 }
/** Circuits with fewer cells at the keeper are not looked for. */
const CELLS_MIN = 3
/** A keeper asks a vault, and has its answer, within that. */
const ANSWERED_MS = 1_500
/** That a circuit wakes when its vault is asked; and the least that is believed of waking by chance. */
const WAKES = 0.95
const CHANCE_MIN = 0.004
/** A vault has so many lines, and a content lies behind two: what is believed before anything is seen. */
const LINES_EACH = 8
const PLACES = 2

/** A content that the party itself put again, or asked for, and when it had its answer. */
export interface Question {
  readonly ref: string
  readonly fromMs: number
  readonly untilMs: number
}

/** A line at an own guard, or of an own vault: where it leads away from there. */
interface GuardedLine {
  readonly vault: string
  readonly leg: Leg
  readonly building: number
  /** When the far end asked and the vault answered. */
  readonly wokeMs: readonly number[]
}

export class Storers {
  readonly #members: readonly Member[]
  readonly #questions = new Map<string, Question[]>()
  readonly #windows: readonly Question[]
  readonly #lines: GuardedLine[] = []
  /** By line key, the circuit at an own keeper. */
  readonly #kept = new Map<string, Leg[]>()
  readonly #linesOf = new Map<string, Set<string>>()
  readonly #vaults = new Map<string, string | undefined>()
  readonly #woken = new Map<string, readonly string[]>()
  readonly #openedMs: readonly number[]

  constructor(pool: readonly Recording[], members: readonly Member[], questions: readonly Question[]) {
    this.#members = members
    this.#windows = questions
    const own = new Set(pool.map(({ self }) => self))
    for (const { self, legs, lines, pointers } of pool) {
      for (const leg of legs) this.#noteLine(leg, { self, isOwn: own.has(leg.peer) })
      for (const { line, leg } of lines) this.#kept.set(line, [...(this.#kept.get(line) ?? []), leg])
      for (const [ref, keys] of pointers) {
        const known = this.#linesOf.get(ref) ?? new Set<string>()
        this.#linesOf.set(ref, known)
        for (const key of keys) known.add(key)
      }
    }
    this.#lines.sort((a, b) => a.leg.openedMs - b.leg.openedMs)
    this.#openedMs = this.#lines.map(({ leg }) => leg.openedMs)
    for (const question of questions) {
      const same = this.#questions.get(question.ref) ?? []
      this.#questions.set(question.ref, same)
      same.push(question)
    }
  }

  /** Whether an own node has a pointer of it. */
  hasPointer(ref: string): boolean {
    return this.#linesOf.has(ref)
  }

  /** Vaults of it, by own keepers and own guards that saw the same circuit, with nothing done but looking. */
  byWatching(ref: string): readonly string[] {
    const vaults = [...(this.#linesOf.get(ref) ?? [])].map((line) => this.#vaultOf(line))
    return [...new Set(vaults.filter((vault) => vault !== undefined))]
  }

  /** Those, and vaults whose lines woke whenever the content was asked for. */
  byAsking(ref: string): readonly string[] {
    return [...new Set([...this.byWatching(ref), ...this.#wokenBy(ref)])]
  }

  /** An own vault's line is known, so that it is not taken for another's. */
  #noteLine(near: Leg, { self, isOwn }: { self: string; isOwn: boolean }): void {
    if (near.hop !== 1 || !isLine(near)) return
    if (!near.isFromPeer) this.#lines.push({ vault: self, leg: near, building: BUILDING_CELLS.vault, wokeMs: [] })
    else if (near.other !== undefined && !isOwn) {
      const wokeMs = near.backwardMs.slice(LINE_TURNS).filter((askedMs) => {
        const at = lowerBound(near.forwardMs, askedMs)
        return at < near.forwardMs.length && (near.forwardMs[at] as number) - askedMs < ANSWERED_MS
      })
      this.#lines.push({ vault: near.peer, leg: near.other, building: BUILDING_CELLS.guard, wokeMs })
    }
  }

  /** Whose line it is: the circuit at an own guard whose cells are those of the circuit at the own keeper. */
  #vaultOf(line: string): string | undefined {
    if (this.#vaults.has(line)) return this.#vaults.get(line)
    let best: { vault: string; spreadMs: number } | undefined
    // An attach alone is told from no other: the circuit over which most was asked says most.
    const [leg] = [...(this.#kept.get(line) ?? [])].sort((a, b) => b.forwardMs.length - a.forwardMs.length)
    if (leg !== undefined && leg.forwardMs.length >= CELLS_MIN) {
      for (const { vault, leg: far, building } of this.#openedBefore(leg)) {
        const there = spreadOf(far.forwardMs, leg.forwardMs, building)
        const back = spreadOf(leg.backwardMs, far.backwardMs.slice(building), 0)
        if (there === undefined || back === undefined) continue
        const spreadMs = there + back
        if (best === undefined || spreadMs < best.spreadMs) best = { vault, spreadMs }
      }
    }
    this.#vaults.set(line, best?.vault)
    return best?.vault
  }

  /** A keeper's circuit is opened when the last extend of its vault gets there. */
  #openedBefore({ openedMs }: Leg): readonly GuardedLine[] {
    const from = lowerBound(this.#openedMs, openedMs - BUILDING_CELLS.vault * ANSWERED_MS)
    return this.#lines.slice(from, lowerBound(this.#openedMs, openedMs)).filter(({ leg, building }) => {
      const extendedMs = leg.forwardMs[building - 1]
      return extendedMs !== undefined && isAcross(openedMs - extendedMs)
    })
  }

  #wokenBy(ref: string): readonly string[] {
    const known = this.#woken.get(ref)
    if (known !== undefined) return known
    const asked = this.#questions.get(ref) ?? []
    const prior = PLACES / (LINES_EACH * this.#members.length)
    const woken = this.#lines.filter((line) => {
      const hits = asked.filter((question) => hasWoken(line, question)).length
      if (hits === 0) return false
      const all = this.#windows.filter((question) => hasWoken(line, question)).length
      const others = this.#windows.length - asked.length
      const byChance = Math.max(CHANCE_MIN, Math.min(0.9, (all - hits) / Math.max(1, others)))
      const misses = asked.length - hits
      return prior * (WAKES / byChance) ** hits * ((1 - WAKES) / (1 - byChance)) ** misses > 1
    })
    const vaults = [...new Set(woken.map(({ vault }) => vault))]
    this.#woken.set(ref, vaults)
    return vaults
  }
}

function hasWoken({ wokeMs }: GuardedLine, { fromMs, untilMs }: Question): boolean {
  const at = lowerBound(wokeMs, fromMs)
  return at < wokeMs.length && (wokeMs[at] as number) <= untilMs
}
