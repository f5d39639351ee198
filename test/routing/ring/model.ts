/**
 * An explicit-state checker for the ring steps: every state that a few identifiers can reach from a
 * perfect ring of r + 1, by any order of steps, joins, failures and returns. It runs the product's
 * own functions. A node's own state is one of some hundreds, so each function runs once for each
 * pair of them and the search itself is arithmetic on small codes. SPEC ring §2, §5
 *
 * Notices may be delayed or lost: any member may notify its head at any time. Failures keep to the
 * assumption of the protocol: every member keeps a live successor, r + 1 principals stay. A query and
 * its update are one step, unless answers may be late.
 */
import type { NodeId } from '../../../core/index.ts'
import { answerOf, perfectRing, type RingAnswer, type RingState } from '../../../routing/ring/state.ts'
import * as production from '../../../routing/ring/steps.ts'

export interface Steps {
  join(self: NodeId, member: RingAnswer, successorsMax: number): RingState | undefined
  dead(state: RingState, dead: NodeId): RingState
  /** The head or a nearer candidate answered. */
  answered(state: RingState, answer: RingAnswer): RingState
  adopted(state: RingState, answer: RingAnswer): RingState
  /** What becomes of the node before a leaver; undefined: nobody leaves but by falling silent. */
  inherit?(state: RingState, leaver: RingState): RingState
}

export const PRODUCTION: Steps = {
  join: production.afterJoin,
  dead: (state, dead) => production.afterSuccessorDead(state, dead).state,
  answered: (state, answer) => production.afterSuccessorAnswer(state, answer).state,
  adopted: (state, answer) => production.afterCandidateAnswer(state, answer).state,
}

export interface Search {
  readonly steps: Steps
  readonly ids: number
  readonly successorsMax: number
  /**
   * Whom a node may adopt as a nearer successor. predecessor: whom its head names. gossip: any live
   * member. unheeded: as gossip, and predecessors are forgotten, which then no list depends on: this
   * holds whatever notices are delayed, lost or forged, and whatever was named however long ago.
   */
  readonly adoption: 'predecessor' | 'gossip' | 'unheeded'
  /** An answer is taken up at any later time; what it says counts in the assumption meanwhile. */
  readonly answersLate?: boolean
  /** Leave ordered and duplicate-free lists unchecked, to see what their absence leads to. */
  readonly listsUnchecked?: boolean
}

export interface Verdict {
  readonly states: number
  readonly transitions: number
  /** Undefined: the invariant holds in every state that can be reached. */
  readonly broken: { readonly what: string; readonly afterSteps: number } | undefined
}

interface Local {
  readonly state: RingState
  readonly head: number
  readonly predecessor: number
  readonly list: readonly number[]
  readonly listMask: number
  /** Identifiers strictly between neighbours of the extended list. */
  readonly skipped: number
  readonly isOrdered: boolean
}

const IDS_MAX = 6
/** Six codes fit a safe integer; with late answers ten smaller ones, of five nodes. */
const CODES = 256
const CODES_LATE = 32

export const MODEL_IDS: readonly NodeId[] = Array.from({ length: IDS_MAX }, (_, index) => {
  const id = new Uint8Array(32)
  id[0] = 20 + 40 * index
  return id as NodeId
})
const indexOf = (id: NodeId) => ((id[0] as number) - 20) / 40
const isInside = (from: number, x: number, to: number) =>
  x !== from && x !== to && (from < to ? from < x && x < to : x > from || x < to)

/** Local states by node, and the product's functions as tables over them. Code 0: not a member. */
class Tables {
  readonly locals: (Local | undefined)[][] = Array.from({ length: IDS_MAX }, () => [undefined])
  readonly #codes = new Map<string, number>()
  readonly #steps: Steps
  readonly #what: Search
  readonly #joined = emptyTable()
  readonly #answered = emptyTable()
  readonly #adopted = emptyTable()
  readonly #inherited = emptyTable()
  readonly #dead = new Map<number, number>()
  readonly #notified = new Map<number, number>()

  constructor(what: Search) {
    this.#what = what
    this.#steps = what.steps
  }

  local(node: number, code: number): Local {
    return this.locals[node]?.[code] as Local
  }

  code(whole: RingState): number {
    const state = this.#what.adoption === 'unheeded' ? { ...whole, predecessor: undefined } : whole
    const self = indexOf(state.self)
    const list = state.successors.map(indexOf)
    const predecessor = state.predecessor === undefined ? -1 : indexOf(state.predecessor)
    const key = `${self}|${predecessor}|${list}`
    const known = this.#codes.get(key)
    if (known !== undefined) return known
    let skipped = 0
    let isOrdered = true
    let last = self
    for (const [place, entry] of list.entries()) {
      for (let x = 0; x < this.#what.ids; x++) if (last !== entry && isInside(last, x, entry)) skipped |= 1 << x
      if (entry === self || (place > 0 && !isInside(last, entry, self))) isOrdered = false
      last = entry
    }
    const listMask = list.reduce((mask, entry) => mask | (1 << entry), 0)
    const ofNode = this.locals[self] as (Local | undefined)[]
    const code = ofNode.length
    if (code >= CODES) throw new Error('more local states than codes')
    ofNode.push({ state, head: list[0] ?? -1, predecessor, list, listMask, skipped, isOrdered })
    this.#codes.set(key, code)
    return code
  }

  /** 0: the joiner does not belong after that member. */
  joined(joiner: number, member: number, memberCode: number): number {
    return this.#cached(this.#joined, pairKey(joiner, 0, member, memberCode), () => {
      const answer = answerOf(this.local(member, memberCode).state)
      const state = this.#steps.join(MODEL_IDS[joiner] as NodeId, answer, this.#what.successorsMax)
      return state === undefined ? 0 : this.code(state)
    })
  }
  answered(node: number, code: number, head: number, headCode: number): number {
    return this.#cached(this.#answered, pairKey(node, code, head, headCode), () => {
      const answer = answerOf(this.local(head, headCode).state)
      return this.code(this.#steps.answered(this.local(node, code).state, answer))
    })
  }
  adopted(node: number, code: number, candidate: number, candidateCode: number): number {
    return this.#cached(this.#adopted, pairKey(node, code, candidate, candidateCode), () => {
      const state = this.local(node, code).state
      if (!production.canAdopt(state, MODEL_IDS[candidate] as NodeId)) return 0
      const answer = answerOf(this.local(candidate, candidateCode).state)
      return this.code(this.#steps.adopted(state, answer))
    })
  }
  inherited(node: number, code: number, leaver: number, leaverCode: number): number {
    const inherit = this.#steps.inherit
    if (inherit === undefined) return 0
    return this.#cached(this.#inherited, pairKey(node, code, leaver, leaverCode), () =>
      this.code(inherit(this.local(node, code).state, this.local(leaver, leaverCode).state)),
    )
  }
  dead(node: number, code: number): number {
    const known = this.#dead.get(node * CODES + code)
    if (known !== undefined) return known
    const { state, head } = this.local(node, code)
    const after = this.code(this.#steps.dead(state, MODEL_IDS[head] as NodeId))
    this.#dead.set(node * CODES + code, after)
    return after
  }
  notified(node: number, code: number, from: number, isPredecessorLive: boolean): number {
    const key = ((node * IDS_MAX + from) * 2 + Number(isPredecessorLive)) * CODES + code
    const known = this.#notified.get(key)
    if (known !== undefined) return known
    const { state } = this.local(node, code)
    const sender = MODEL_IDS[from] as NodeId
    const outcome = production.onNotify(state, sender)
    let after = state
    if ('state' in outcome) after = outcome.state
    else if (!isPredecessorLive) after = production.onPredecessorDead(state, { dead: outcome.query, from: sender })
    const coded = this.code(after)
    this.#notified.set(key, coded)
    return coded
  }

  #cached(table: Int16Array, key: number, make: () => number): number {
    const known = table[key] as number
    if (known !== -1) return known
    const made = make()
    table[key] = made
    return made
  }
}

function emptyTable(): Int16Array {
  return new Int16Array(IDS_MAX * IDS_MAX * CODES * CODES).fill(-1)
}
function pairKey(a: number, aCode: number, b: number, bCode: number): number {
  return ((a * IDS_MAX + b) * CODES + aCode) * CODES + bCode
}

/** A set of states with their order of discovery; grows by doubling. */
class StateList {
  keys = new Float64Array(1 << 16)
  count = 0
  #slots = new Int32Array(1 << 18).fill(-1)

  add(key: number): void {
    const mask = this.#slots.length - 1
    let slot = this.#hash(key) & mask
    for (;;) {
      const held = this.#slots[slot] as number
      if (held === -1) break
      if (this.keys[held] === key) return
      slot = (slot + 1) & mask
    }
    this.#slots[slot] = this.count
    if (this.count === this.keys.length) {
      const larger = new Float64Array(this.keys.length * 2)
      larger.set(this.keys)
      this.keys = larger
    }
    this.keys[this.count++] = key
    if (this.count * 2 > this.#slots.length) this.#grow()
  }

  #hash(key: number): number {
    const high = Math.floor(key / 2 ** 32)
    const mixed = Math.imul(key | 0, 0x9e3779b1) ^ Math.imul(high + 1, 0x85ebca6b)
    return Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d) >>> 7
  }

  #grow(): void {
    this.#slots = new Int32Array(this.#slots.length * 4).fill(-1)
    const mask = this.#slots.length - 1
    for (let index = 0; index < this.count; index++) {
      let slot = this.#hash(this.keys[index] as number) & mask
      while (this.#slots[slot] !== -1) slot = (slot + 1) & mask
      this.#slots[slot] = index
    }
  }
}

/** Searches breadth first, so that a fault is found after the fewest steps. */
export function search(what: Search): Verdict {
  const { ids, successorsMax } = what
  const tables = new Tables(what)
  const found = new StateList()
  const members = MODEL_IDS.slice(0, successorsMax + 1)
  const all = new Int32Array(2 * ids)
  // What each node is, and what it will be once the answer it waits for has come; 0: it waits for none.
  const codes = all.subarray(0, ids)
  const late = all.subarray(ids)
  const pack = { digits: what.answersLate ? all : codes, radix: what.answersLate ? CODES_LATE : CODES }
  for (const [index, id] of members.entries()) codes[index] = tables.code(perfectRing(id, members, successorsMax))
  found.add(keyOf(pack))

  let transitions = 0
  const move = (node: number, code: number) => {
    const held = codes[node] as number
    transitions++
    if (code === held) return
    const updated = what.answersLate ? late : codes
    const before = updated[node] as number
    updated[node] = code
    found.add(keyOf(pack))
    updated[node] = before
  }
  const fail = (node: number) => become(node, 0)
  const takeUp = (node: number) => become(node, late[node] as number)
  const become = (node: number, code: number) => {
    const before = [codes[node] as number, late[node] as number] as const
    transitions++
    codes[node] = code
    late[node] = 0
    found.add(keyOf(pack))
    ;[codes[node], late[node]] = before
  }
  const adopt = (n: number, code: number, candidate: number) => {
    const adopted = tables.adopted(n, code, candidate, codes[candidate] as number)
    if (adopted !== 0) move(n, adopted)
  }
  const notify = (s: number, code: number, from: number) => {
    const held = tables.local(s, code).predecessor
    move(s, tables.notified(s, code, from, held !== -1 && codes[held] !== 0))
  }
  const leave = (leaver: number, leaverCode: number) => {
    for (let n = 0; n < ids; n++) {
      const code = codes[n] as number
      if (n === leaver || code === 0 || tables.local(n, code).head !== leaver) continue
      const inherited = tables.inherited(n, code, leaver, leaverCode)
      if (inherited === 0) continue
      codes[leaver] = 0
      move(n, inherited)
      codes[leaver] = leaverCode
    }
  }
  const join = (joiner: number) => {
    for (let m = 0; m < ids; m++) {
      if (codes[m] === 0) continue
      const joined = tables.joined(joiner, m, codes[m] as number)
      if (joined !== 0) move(joiner, joined)
    }
  }
  const stabilise = (n: number, code: number) => {
    const { head } = tables.local(n, code)
    const headCode = codes[head] as number
    if (headCode === 0) return move(n, tables.dead(n, code))
    move(n, tables.answered(n, code, head, headCode))
    const near = tables.local(head, headCode).predecessor
    if (near !== -1 && codes[near] !== 0) adopt(n, code, near)
    if (what.adoption !== 'unheeded') notify(head, headCode, n)
  }

  let depth = 0
  let levelEnd = found.count
  for (let at = 0; at < found.count; at++) {
    if (at === levelEnd) {
      depth++
      levelEnd = found.count
    }
    decode(found.keys[at] as number, pack)
    const broken = judge(tables, codes, what)
    if (broken !== undefined) return { states: found.count, transitions, broken: { what: broken, afterSteps: depth } }
    for (let n = 0; n < ids; n++) {
      const code = codes[n] as number
      if (late[n] !== 0) takeUp(n)
      else if (code === 0) join(n)
      else {
        stabilise(n, code)
        if (what.adoption !== 'predecessor')
          for (let c = 0; c < ids; c++) if (c !== n && codes[c] !== 0) adopt(n, code, c)
      }
      if (code !== 0 && mayFail(tables, { codes, late, successorsMax }, n)) {
        fail(n)
        leave(n, code)
      }
    }
  }
  return { states: found.count, transitions, broken: undefined }
}

interface Packing {
  readonly digits: Int32Array
  readonly radix: number
}

function keyOf({ digits, radix }: Packing): number {
  let key = 0
  for (let place = 0; place < digits.length; place++) {
    const digit = digits[place] as number
    if (digit >= radix) throw new Error('more local states than codes')
    key = key * radix + digit
  }
  return key
}

function decode(key: number, { digits, radix }: Packing): void {
  let left = key
  for (let place = digits.length - 1; place >= 0; place--) {
    digits[place] = left % radix
    left = Math.floor(left / radix)
  }
}

function maskOf(codes: Int32Array): number {
  let mask = 0
  for (let n = 0; n < codes.length; n++) if (codes[n] !== 0) mask |= 1 << n
  return mask
}

function bits(mask: number): number {
  let count = 0
  for (let left = mask; left !== 0; left &= left - 1) count++
  return count
}

/** Whether the invariant's assumption lets this node fail now. */
function mayFail(
  tables: Tables,
  world: { codes: Int32Array; late: Int32Array; successorsMax: number },
  node: number,
): boolean {
  const members = maskOf(world.codes) & ~(1 << node)
  let skipped = 0
  for (const codes of [world.codes, world.late]) {
    for (let n = 0; n < codes.length; n++) {
      if (n === node || codes[n] === 0) continue
      const local = tables.local(n, codes[n] as number)
      if ((local.listMask & members) === 0) return false
      skipped |= local.skipped
    }
  }
  return bits(members & ~skipped) > world.successorsMax
}

/** The first part of the invariant that does not hold, in words. */
function judge(tables: Tables, codes: Int32Array, what: Search): string | undefined {
  const members = maskOf(codes)
  let skipped = 0
  const next: number[] = []
  for (let n = 0; n < codes.length; n++) {
    if (codes[n] === 0) continue
    const local = tables.local(n, codes[n] as number)
    if (!local.isOrdered && what.listsUnchecked !== true) return 'a list is out of order or repeats'
    const live = local.list.find((entry) => codes[entry] !== 0)
    if (live === undefined) return 'a member has no live successor'
    next[n] = live
    skipped |= local.skipped
  }
  const rings = new Set<number>()
  for (let n = 0; n < codes.length; n++) {
    if (codes[n] === 0) continue
    let at = n
    for (let step = 0; step < codes.length; step++) at = next[at] as number
    let ring = 0
    let wraps = 0
    for (let x = at; ; ) {
      ring |= 1 << x
      const after = next[x] as number
      if (after <= x) wraps++
      x = after
      if (x === at) break
    }
    if (wraps !== 1) return 'a ring is out of order'
    rings.add(ring)
  }
  if (rings.size !== 1) return 'more than one ring'
  // With unchecked lists the search looks for the damage, of which lost principals are the cause.
  if (what.listsUnchecked !== true && bits(members & ~skipped) <= what.successorsMax) return 'too few principals'
  return undefined
}
