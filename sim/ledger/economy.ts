/**
 * Who gets how much when there is not room for all: peers that ask for shards over circuits and ring hops,
 * nodes whose upload is capped, and the program's own accounts and funds (routing/ledger) between all of
 * them. A model of flows: shards move whole, links have no delay, signing takes no time. SPEC ledger §6, §7
 *
 *   client ── guard ── middle ── gateway ── hop ── keeper, and the shard back the same way: five uploads
 */
import { Account, type Entry, Fund, type Place, uploadShare, wordAt } from '../../routing/index.ts'
import { Chance } from '../chance.ts'
import { CONDUCT, KINDS, type Kind } from './parties.ts'

export interface Economy {
  readonly seed: string
  readonly nodes: number
  /** How many of the nodes are not contributors, and what they are instead. */
  readonly others: Readonly<Partial<Record<Kind, number>>>
  /** What is asked for, against the sum of all uploads. */
  readonly offered: number
  /** Without: everybody is served in turn. */
  readonly hasLedgers: boolean
  /** Days of mutual service, at a tenth of what can be sent, before the run. */
  readonly days: number
  /** Credit earned elsewhere is moved to the guard link. */
  readonly hasForwarding: boolean
  readonly seconds: number
  /** Not counted at the beginning. */
  readonly warmSeconds: number
}

export interface Share {
  readonly asked: number
  readonly got: number
  /** Of each party of that kind. */
  readonly creditsPerSecond: number
  /** The same, minute by minute of what is counted. */
  readonly minutes: readonly number[]
  /** Names it went by. */
  readonly names: number
}

export interface Outcome {
  readonly kinds: Readonly<Partial<Record<Kind, Share>>>
  /** Credits forwarded, and what moving them cost in cells. */
  readonly forwarded: number
  readonly forwardingCost: number
  /** Sum of all balances, each pair from both sides: 0 when nothing came from nowhere. */
  readonly imbalance: number
}

const UPLOAD_CREDITS_PER_S = 512
const SHARD = 64
const LEGS = 5
const TICK_S = 0.125
/** As node/upload.ts. */
const LOAD_S = 30
const LOAD_HELD = 0.5
const BOOK_EVERY_S = 2
const FORWARD_EVERY_S = 10
const PATIENCE_S = 20
/** Gateways that are tried for one request, when those behind them are busy. */
const TRIES = 4
/** Requests of one client under way; what it wants beyond waits for these. */
const UNDER_WAY_MAX = 16
/** Who asks all nodes wants so many times what others want. */
const GREED = 40
const LIMIT_START = 4_096
const LIMIT_MAX = 262_144
const DAY_S = 86_400
const HISTORY_LOAD = 0.1
const STEP = 64
/** A step there and its acknowledgement back, on each of four links. */
const STEP_COST = 4 * (16 + 8)

interface Request {
  readonly client: number
  readonly guard: number
  /** From the keeper to the client. */
  path: readonly number[]
  at: number
  readonly deadlineS: number
}

interface Pair {
  readonly first: Account
  readonly second: Account
  top: Entry
}

interface Queue {
  readonly items: Request[]
  due: number
}

interface Party {
  readonly kind: Kind
  /** The one it asks through; undefined: all in turn. */
  readonly guard: number | undefined
  readonly fund: Fund
  readonly ringFund: Fund
  readonly queues: Map<number, Queue>
  readonly minutes: number[]
  due: number
  room: number
  load: number
  asked: number
  got: number
  underWay: number
  names: number
}

export function runEconomy(wish: Economy): Outcome {
  const chance = new Chance(`economy ${wish.seed}`)
  const kinds = KINDS.flatMap((kind) => {
    const all = Object.values(wish.others).reduce((sum, count) => sum + count, 0)
    const count = kind === 'contributor' ? wish.nodes - all : (wish.others[kind] ?? 0)
    return Array.from({ length: count }, () => kind)
  })
  /** Those with an upload come first, those that serve everybody before all. */
  const serving = kinds.filter((kind) => CONDUCT[kind].serves === 'all').length
  const members = kinds.filter((kind) => CONDUCT[kind].isMember).length
  const early = (i: number): boolean => CONDUCT[kinds[i] as Kind].isLate !== true
  const parties = kinds.map((kind, i): Party => {
    let guard = chance.below(serving)
    while (guard === i || !early(guard)) guard = chance.below(serving)
    const start = { due: 0, room: 0, load: 0, asked: 0, got: 0, underWay: 0, names: 1 }
    const uploadBytesPerSecond = UPLOAD_CREDITS_PER_S * 1_024
    return {
      kind,
      guard: CONDUCT[kind].usesAll ? undefined : guard,
      fund: new Fund({ of: 'cells', uploadBytesPerSecond }),
      ringFund: new Fund({ of: 'ring', uploadBytesPerSecond }),
      queues: new Map(),
      minutes: [],
      ...start,
    }
  })
  const party = (i: number): Party => parties[i] as Party
  const conduct = (i: number) => CONDUCT[party(i).kind]
  const pairs = new Map<number, Pair>()
  let nowS = 0
  let [forwarded, forwardingCost] = [0, 0]
  const isUp = (i: number): boolean => conduct(i).isLate !== true || nowS >= wish.warmSeconds

  const servedADay = (HISTORY_LOAD * UPLOAD_CREDITS_PER_S * DAY_S) / serving
  const pairOf = (i: number, j: number): Pair => {
    const [a, b] = i < j ? [i, j] : [j, i]
    const key = a * kinds.length + b
    const known = pairs.get(key)
    if (known !== undefined) return known
    const days = conduct(a).hasHistory && conduct(b).hasHistory ? wish.days : 0
    const limit = Math.min(LIMIT_MAX, LIMIT_START * 2 ** days)
    const served = Math.floor(days * servedADay)
    const top = { ...EMPTY, servedAB: served, servedBA: served, limitAB: limit, limitBA: limit } as unknown as Entry
    // What is earned evenly and fades by half each day.
    const merit = days === 0 ? 0 : (servedADay * members) / Math.LN2
    const memory = { limit, strikes: 0, dayMinute: 0, dayGot: 0, merit }
    const make = (side: 'A' | 'B'): Account => new Account({ side, top, memory, minute: 0 })
    const made = { first: make('A'), second: make('B'), top }
    pairs.set(key, made)
    return made
  }
  /** What `i` holds of its account with `j`. */
  const accountOf = (i: number, j: number): Account => (i < j ? pairOf(i, j).first : pairOf(i, j).second)
  const placeOf = (i: number): Place => ({ isMember: conduct(i).isMember, members })
  const standingOf = (at: number, peer: number) => accountOf(at, peer).standing(placeOf(peer))

  const shareOf = (i: number, to: number): number => (wish.hasLedgers ? uploadShare(standingOf(i, to)) : 1)

  const admit = (at: number, peer: number) => (wish.hasLedgers ? wordAt(party(at).load, standingOf(at, peer)) : 'serve')

  const admitRing = (at: number, peer: number): boolean => {
    if (admit(at, peer) !== 'refuse') return true
    const { ringFund } = party(at)
    if (!ringFund.hasRoom(nowS * 1_000)) return false
    ringFund.spend(SHARD)
    return true
  }

  /** Four that serve, each its next one, none twice, and then the guard. */
  const drawPath = (client: number, guard: number): number[] => {
    for (;;) {
      const path: number[] = []
      while (path.length < LEGS - 1) {
        const next = chance.below(willing)
        if (next !== client && next !== guard && !path.includes(next) && isUp(next)) path.push(next)
      }
      path.push(guard, client)
      // Who serves its guard only turns everybody else away.
      const hops = path.slice(0, -1)
      if (hops.every((each, at) => conduct(each).serves === 'all' || party(each).guard === path[at + 1])) return path
    }
  }
  const willing = kinds.filter((kind) => CONDUCT[kind].serves !== 'none').length

  const ask = (client: number): void => {
    const self = party(client)
    if (!isUp(client)) return
    if (nowS >= wish.warmSeconds) self.asked++
    const most = self.guard === undefined ? serving * UNDER_WAY_MAX : UNDER_WAY_MAX
    if (self.underWay >= most) return
    const guard = self.guard ?? chance.below(serving)
    self.underWay++
    const request: Request = { client, guard, path: drawPath(client, guard), at: 0, deadlineS: nowS + PATIENCE_S }
    // A guard lets the requests of who owes too much wait for their turn, like what it sends.
    if (admit(guard, client) !== 'serve') enqueue(guard, -1 - client, request)
    else begin(request)
  }

  /** A ring hop that its neighbour owes too much turns a request away: then another way is tried. */
  const begin = (request: Request): void => {
    for (let tries = 0; tries < TRIES; tries++) {
      const { path } = request
      const isBusy = [0, 1].some((hop) => !admitRing(path[hop] as number, path[hop + 1] as number))
      if (!isBusy) {
        push(request)
        return
      }
      request.path = drawPath(request.client, request.guard)
    }
    party(request.client).underWay--
  }

  const push = (request: Request): void =>
    enqueue(request.path[request.at] as number, request.path[request.at + 1] as number, request)

  /** `to` is a party, or -1 less a client whose requests wait. */
  const enqueue = (at: number, to: number, request: Request): void => {
    const from = party(at)
    const queue = from.queues.get(to) ?? { items: [], due: from.due }
    from.queues.set(to, queue)
    if (queue.items.length === 0) queue.due = Math.max(queue.due, from.due)
    queue.items.push(request)
  }

  const carry = (i: number, to: number, request: Request): void => {
    accountOf(i, to).gave(SHARD, nowS * 1_000)
    party(i).fund.gave(String(to), SHARD)
    if (conduct(to).admits !== 'nothing') {
      accountOf(to, i).took(SHARD, { nowMs: nowS * 1_000, members })
      accountOf(to, i).asked(true)
    }
    request.at++
    if (request.at < request.path.length - 1) {
      push(request)
      return
    }
    const client = party(request.client)
    client.underWay--
    if (nowS < wish.warmSeconds) return
    client.got++
    const minute = Math.floor((nowS - wish.warmSeconds) / 60)
    client.minutes[minute] = (client.minutes[minute] ?? 0) + SHARD
  }

  const serve = (i: number): void => {
    const self = party(i)
    const quota = UPLOAD_CREDITS_PER_S * TICK_S
    self.room = Math.min(self.room + quota, 2 * quota)
    let used = 0
    while (self.room >= SHARD) {
      let best: [number, Queue] | undefined
      for (const each of self.queues) {
        const { items } = each[1]
        while (items[0] !== undefined && items[0].deadlineS < nowS) {
          party(items[0].client).underWay--
          items.shift()
        }
        if (items.length === 0 || (best !== undefined && each[1].due >= best[1].due)) continue
        const mustWait = each[0] < 0 && admit(i, -1 - each[0]) === 'refuse' && !self.fund.hasRoom(nowS * 1_000)
        if (!mustWait) best = each
      }
      if (best === undefined) break
      const [to, queue] = best
      self.due = queue.due
      const held = to < 0 ? -1 - to : undefined
      queue.due += 1 / shareOf(i, held ?? to)
      const request = queue.items.shift()
      if (request === undefined) break
      if (held !== undefined) {
        accountOf(i, held).reserve(SHARD, nowS * 1_000)
        if (admit(i, held) === 'refuse') self.fund.letIn(String(held), nowS * 1_000)
        begin(request)
        continue
      }
      self.room -= SHARD
      used += SHARD
      carry(i, to, request)
    }
    // Who could not send all of it is at its limit, however the shards fell.
    const isFull = [...self.queues].some(([to, { items }]) => to >= 0 && items.length > 0)
    self.load += (TICK_S / LOAD_S) * ((isFull ? 1 : used / quota) - self.load)
  }

  const sign = (pair: Pair, [a, b]: readonly [number, number]): void => {
    for (const [account, isFirst] of [
      [pair.first, true],
      [pair.second, false],
    ] as const) {
      if (conduct(isFirst ? a : b).admits !== undefined) continue
      const wished = account.wish({ nowMs: nowS * 1_000, minute: 0, everyMs: 60_000 })
      if (wished === undefined) continue
      account.proposed(wished, nowS * 1_000)
      const { top } = pair
      const forgiven = top.forgiven + (isFirst ? -1 : 1) * wished.forgive
      const served = isFirst ? { servedBA: wished.servedByPeer } : { servedAB: wished.servedByPeer }
      pair.top = { ...top, ...served, forgiven }
      pair.first.signed(pair.top, nowS * 1_000)
      pair.second.signed(pair.top, nowS * 1_000)
    }
  }

  const book = (): void => {
    for (const [key, pair] of pairs) {
      const ends = [Math.floor(key / kinds.length), key % kinds.length] as const
      const at = { nowMs: nowS * 1_000, minute: 0 }
      pair.first.tick({ ...at, isLoaded: party(ends[0]).load >= LOAD_HELD })
      pair.second.tick({ ...at, isLoaded: party(ends[1]).load >= LOAD_HELD })
      sign(pair, ends)
    }
  }

  /** Shifts the balance of a pair by a payment of `from` to `to`. */
  const pay = (from: number, to: number): void => {
    const pair = pairOf(from, to)
    pair.top = { ...pair.top, forwarded: pair.top.forwarded + (from < to ? -STEP : STEP) }
    pair.first.signed(pair.top, nowS * 1_000)
    pair.second.signed(pair.top, nowS * 1_000)
  }

  /** Credit of a node at others goes to its guard, 64 at a time, over two more nodes. */
  const forward = (i: number): void => {
    const { guard } = party(i)
    if (guard === undefined) return
    for (let tries = 0; tries < 200; tries++) {
      const own = accountOf(i, guard)
      if (0 - own.balance < own.peerLimit / 8) return
      const [a, x, y] = [chance.below(serving), chance.below(serving), chance.below(serving)]
      if (new Set([i, guard, a, x, y]).size < 5 || accountOf(i, a).balance < STEP) continue
      // What A owes this node it pays by way of x and y to the guard, which lets off as much of its claim.
      const hops: [number, number][] = [
        [a, x],
        [x, y],
        [y, guard],
      ]
      const isOpen = hops.every(([from, to]) => accountOf(from, to).balance - STEP >= -accountOf(from, to).peerLimit)
      if (!isOpen) continue
      for (const [from, to] of [[i, a], ...hops, [guard, i]] as [number, number][]) pay(from, to)
      forwarded += STEP
      forwardingCost += STEP_COST
    }
  }

  const rename = (i: number): void => {
    party(i).names++
    for (let j = 0; j < serving; j++) pairs.delete(j * kinds.length + i)
  }

  const perSecond = (wish.offered * serving * UPLOAD_CREDITS_PER_S) / (LEGS * SHARD)
  const greedy = kinds.flatMap((kind, i) => (CONDUCT[kind].usesAll ? [i] : []))
  let [owed, owedToGreed] = [0, 0]
  for (let tick = 0; nowS < wish.seconds; tick++) {
    nowS = tick * TICK_S
    owed += perSecond * TICK_S
    for (; owed >= 1; owed--) ask(chance.below(kinds.length - greedy.length))
    owedToGreed += ((perSecond * GREED) / kinds.length) * TICK_S
    for (; owedToGreed >= 1; owedToGreed--) for (const i of greedy) ask(i)
    const from = chance.below(willing)
    for (let i = 0; i < willing; i++) serve((from + i) % willing)
    if (wish.hasLedgers && tick % (BOOK_EVERY_S / TICK_S) === 0) book()
    if (wish.hasForwarding && tick % (FORWARD_EVERY_S / TICK_S) === 0) for (let i = 0; i < serving; i++) forward(i)
    for (const [i, kind] of kinds.entries()) {
      const { renamedEveryS } = CONDUCT[kind]
      if (renamedEveryS !== undefined && tick > 0 && tick % (renamedEveryS / TICK_S) === 0) rename(i)
    }
  }

  const countedS = wish.seconds - wish.warmSeconds
  const shares: Partial<Record<Kind, Share>> = {}
  for (const kind of new Set(kinds)) {
    const all = parties.filter((each) => each.kind === kind)
    const sum = (of: (each: Party) => number): number => all.reduce((total, each) => total + of(each), 0)
    shares[kind] = {
      asked: sum(({ asked }) => asked),
      got: sum(({ got }) => got),
      creditsPerSecond: (sum(({ got }) => got) * SHARD) / countedS / all.length,
      minutes: Array.from(
        { length: Math.ceil(countedS / 60) },
        (_, at) => sum(({ minutes }) => minutes[at] ?? 0) / 60 / all.length,
      ),
      names: sum(({ names }) => names),
    }
  }
  const imbalance = [...pairs.values()].reduce((sum, { first, second }) => sum + first.balance + second.balance, 0)
  return { kinds: shares, forwarded, forwardingCost, imbalance }
}

const EMPTY = { number: 1, servedAB: 0, servedBA: 0, forwarded: 0, forgiven: 0, minute: 0 }
