/**
 * Every reachable state of two sides of a ledger, a channel that loses, repeats and reorders, and a crash
 * before or after each flush. The machine is the production one; its answers are remembered, since each
 * costs signatures. SPEC ledger §4, §5
 *
 * What was sent stays deliverable for ever: that is loss, delay, repetition and reordering in one. Only a side
 * that has lost its disk hears nothing of before.
 */
import { toHex } from '../../../core/index.ts'
import { type Entry, encodeEntry, isSignedBy, linkOf } from '../../../routing/ledger/entry.ts'
import type { LedgerMessage } from '../../../routing/ledger/messages.ts'
import {
  messageOf,
  NEW_PAIR,
  open,
  type PairContext,
  type PairState,
  propose,
  receive,
} from '../../../routing/ledger/pair.ts'
import { A, B, ENDS, OPENED } from './support.ts'

export interface Machine {
  readonly propose: typeof propose
  readonly receive: typeof receive
  /** What a start after a crash finds. */
  readonly restart: (disk: PairState) => PairState
  /** Whether a message leaves only after its state was flushed. */
  readonly flushesFirst: boolean
}
export const PRODUCTION: Machine = { propose, receive, restart: (disk) => disk, flushesFirst: true }

export interface Model {
  readonly machine: Machine
  /** Proposals of each side, abandoned ones included. */
  readonly proposals: number
  readonly crashes: number
  /** Disks lost. */
  readonly losses: number
}
export interface Verdict {
  readonly states: number
  readonly broken: string | undefined
}

interface SideNow {
  readonly memory: PairState
  readonly disk: PairState
}
interface State {
  readonly sides: readonly [SideNow, SideNow]
  readonly sent: readonly [ReadonlySet<string>, ReadonlySet<string>]
  readonly left: { readonly proposals: readonly [number, number]; readonly crashes: number; readonly losses: number }
}

const OPENING_AFTER_LOSS = new Uint8Array(16).fill(6)
const CONTEXTS: readonly [PairContext, PairContext] = [A, B]
type Which = 0 | 1

export function search(model: Model): Verdict {
  const names = new Map<string, string>()
  const nameCache = new WeakMap<object, string>()
  const known = new Map<string, LedgerMessage>()
  const entryName = (entry: Entry | undefined): string => {
    if (entry === undefined) return '-'
    const cached = nameCache.get(entry)
    if (cached !== undefined) return cached
    const hex = toHex(encodeEntry(entry))
    const name = names.get(hex) ?? `e${names.size}`
    names.set(hex, name)
    nameCache.set(entry, name)
    return name
  }
  const openingName = (opening: Uint8Array | undefined): string => (opening === undefined ? '-' : String(opening[0]))
  const stateName = (s: PairState): string => {
    const cached = nameCache.get(s)
    if (cached !== undefined) return cached
    const entries = [s.top, s.proposal, s.refused].map(entryName)
    const name = [openingName(s.opening), ...entries, s.signedNumber, s.isShown, s.fraud ? 'F' : ''].join()
    nameCache.set(s, name)
    return name
  }
  const messageName = (m: LedgerMessage): string => {
    const name = [openingName(m.opening), entryName(m.top), entryName(m.proposal)].join()
    if (!known.has(name)) known.set(name, m)
    return name
  }
  const remembered = new Map<string, ReturnType<typeof receive>>()
  const deliver = (which: Which, state: PairState, name: string): ReturnType<typeof receive> => {
    const key = `${which} ${stateName(state)} ${name}`
    const found =
      remembered.get(key) ?? model.machine.receive(state, CONTEXTS[which], known.get(name) as LedgerMessage, 1)
    remembered.set(key, found)
    return found
  }
  const nameOf = ({ sides, sent, left }: State): string =>
    [
      ...sides.map((s) => `${stateName(s.memory)}/${stateName(s.disk)}`),
      ...sent.map((set) => [...set].sort().join(';')),
      left.proposals.join(),
      left.crashes,
      left.losses,
    ].join('|')

  const withSide = (state: State, which: Which, side: SideNow): State => ({
    ...state,
    sides: which === 0 ? [side, state.sides[1]] : [state.sides[0], side],
  })
  const withSent = (state: State, which: Which, name: string): State => {
    const more = new Set([...state.sent[which], name])
    return { ...state, sent: which === 0 ? [more, state.sent[1]] : [state.sent[0], more] }
  }

  function* steps(state: State): Generator<State> {
    for (const which of [0, 1] as const) {
      const side = state.sides[which]
      const isFlushed = stateName(side.memory) === stateName(side.disk)
      for (const name of state.sent[which === 0 ? 1 : 0]) {
        yield withSide(state, which, { ...side, memory: deliver(which, side.memory, name).state })
      }
      const said = messageName(messageOf(side.memory))
      const flushed = { memory: side.memory, disk: side.memory }
      if (!isFlushed) yield withSent(withSide(state, which, flushed), which, said)
      if (!isFlushed && !model.machine.flushesFirst) yield withSent(state, which, said)
      const left = state.left
      if (left.proposals[which] > 0) {
        // Each says something else, so that two with one number would differ.
        const more = 10 * (1 + which) + model.proposals - left.proposals[which]
        const last = side.memory.top
        const servedByPeer = (which === 0 ? (last?.servedBA ?? 0) : (last?.servedAB ?? 0)) + more
        const wish = { servedByPeer, forgive: 0, pay: 0, limit: 4_096, minute: 1 }
        const memory = model.machine.propose(side.memory, CONTEXTS[which], wish)
        const proposals: [number, number] = [left.proposals[0], left.proposals[1]]
        proposals[which]--
        if (memory !== undefined) yield { ...withSide(state, which, { ...side, memory }), left: { ...left, proposals } }
      }
      if (left.crashes > 0 && !isFlushed) {
        const memory = model.machine.restart(side.disk)
        yield { ...withSide(state, which, { memory, disk: memory }), left: { ...left, crashes: left.crashes - 1 } }
      }
      if (left.losses > 0) {
        // A opens anew, B waits to be told.
        const empty = which === 0 ? open(NEW_PAIR, OPENING_AFTER_LOSS) : NEW_PAIR
        const gone = { memory: empty, disk: empty }
        // Its links are gone, and what was on its way on them; over a new one the other says what it holds.
        const other = which === 0 ? 1 : 0
        const said = new Set([messageName(messageOf(state.sides[other].disk))])
        yield {
          ...withSide(state, which, gone),
          sent: other === 0 ? [said, state.sent[1]] : [state.sent[0], said],
          left: { ...left, losses: left.losses - 1 },
        }
      }
    }
  }

  // Signatures that left a machine: side and number to the entry's link.
  const good = new Map<string, boolean>()
  const isGood = (entry: Entry, which: Which): boolean => {
    const key = `${which} ${entryName(entry)}`
    const found = good.get(key) ?? isSignedBy(entry, which === 0 ? 'A' : 'B', ENDS)
    good.set(key, found)
    return found
  }
  const links = new Map<string, string>()
  const link = (entry: Entry): string => {
    const name = entryName(entry)
    const found = links.get(name) ?? toHex(linkOf(entry))
    links.set(name, found)
    return found
  }

  /** What is wrong in a state, or undefined. */
  function faultOf({ sides, sent, left }: State): string | undefined {
    if (sides.some(({ memory }) => memory.fraud !== undefined)) return 'an honest side is taken for a cheat'
    const shown = [...sent[0], ...sent[1]].flatMap((name) => {
      const { top, proposal } = known.get(name) as LedgerMessage
      return [top, proposal].filter((entry) => entry !== undefined)
    })
    const [a, b] = [sides[0].memory.top, sides[1].memory.top]
    if (a !== undefined && b !== undefined && a.number === b.number && link(a) !== link(b))
      return 'two last entries with one number'
    const signed = new Map<string, string>()
    const both = new Map<string, Entry>()
    for (const entry of [...shown, ...[a, b].filter((top) => top !== undefined)]) {
      const byA = isGood(entry, 0)
      const byB = isGood(entry, 1)
      for (const [who, is] of [
        ['A', byA],
        ['B', byB],
      ] as const) {
        const key = `${who} ${entry.number} ${entry.pair[0]}`
        if (!is) continue
        if ((signed.get(key) ?? link(entry)) !== link(entry)) return 'one side signed two entries with one number'
        signed.set(key, link(entry))
      }
      if (byA && byB) both.set(`${entry.number} ${entry.pair[0]}`, entry)
    }
    const chain = [...both.values()].sort((x, y) => (x.pair[0] ?? 0) - (y.pair[0] ?? 0) || x.number - y.number)
    for (const [i, entry] of chain.entries()) {
      const before = chain[i - 1]
      // What only the lost disk held is lost.
      if (left.losses !== model.losses) break
      if (before === undefined || before.pair[0] !== entry.pair[0]) continue
      if (entry.servedAB < before.servedAB || entry.servedBA < before.servedBA) return 'what both had signed was lost'
      if (toHex(entry.previous) !== link(before)) return 'an entry signed by both does not follow the one before'
    }
    return healed(sides)
  }
  /** Two sides that talk without disturbance agree. */
  function healed(sides: State['sides']): string | undefined {
    const now: [PairState, PairState] = [sides[0].memory, sides[1].memory]
    for (let round = 0; round < 8; round++) {
      for (const which of [0, 1] as const) {
        const other = which === 0 ? 1 : 0
        now[other] = deliver(other, now[other], messageName(messageOf(now[which]))).state
      }
      if (entryLink(now[0].top) === entryLink(now[1].top) && !now[0].proposal && !now[1].proposal) return undefined
    }
    return 'both sides never agree'
  }
  const entryLink = (entry: Entry | undefined): string => (entry === undefined ? '-' : link(entry))

  const side: SideNow = { memory: OPENED, disk: OPENED }
  const start: State = {
    sides: [side, side],
    sent: [new Set(), new Set()],
    left: { proposals: [model.proposals, model.proposals], crashes: model.crashes, losses: model.losses },
  }
  const seen = new Set([nameOf(start)])
  const unseen = [start]
  for (let state = unseen.pop(); state !== undefined; state = unseen.pop()) {
    const broken = faultOf(state)
    if (broken !== undefined) return { states: seen.size, broken }
    for (const next of steps(state)) {
      const name = nameOf(next)
      if (seen.has(name)) continue
      seen.add(name)
      unseen.push(next)
    }
  }
  return { states: seen.size, broken: undefined }
}
