/**
 * Who gets how much when there is not room for all: peers that ask for shards over circuits and ring hops,
 * nodes whose upload is capped, and the program's own accounts (routing/ledger/account.ts) between all of
 * them. A model of flows: shards move whole, links have no delay, signing takes no time. SPEC ledger §6, §7
 *
 *   client ── guard ── middle ── gateway ── hop ── keeper, and the shard back the same way: five uploads
 */
import { Account, type Entry, uploadShare, wordAt } from '../../routing/index.ts'
import { Chance } from '../chance.ts'

export type Kind = 'contributor' | 'free rider' | 'newcomer' | 'whitewasher'

export interface Economy {
  readonly seed: string
  readonly nodes: number
  /** Of the nodes, those that ask and never serve; they have no upload that others could use. */
  readonly freeShare: number
  readonly freeKind: Kind
  /** What is asked for, against the sum of all uploads. */
  readonly offered: number
  /** Without: everybody is served in turn. */
  readonly hasLedgers: boolean
  /** Days of mutual service before the run; limits have grown so long. */
  readonly days: number
  /** Credit earned elsewhere is moved to the guard link. */
  readonly hasForwarding: boolean
  readonly seconds: number
  /** Not counted at the beginning. */
  readonly warmSeconds: number
  /** Whitewashers take a new name, and so a new account, so often. */
  readonly renameSeconds: number
}

export interface Outcome {
  /** Of what each kind asked for, the share that came; and credits a second for each of them. */
  readonly kinds: Readonly<Partial<Record<Kind, { asked: number; got: number; creditsPerSecond: number }>>>
  /** Credits forwarded, and what moving them cost in cells. */
  readonly forwarded: number
  readonly forwardingCost: number
  /** Sum of all balances, each pair from both sides: 0 when nothing came from nowhere. */
  readonly imbalance: number
  readonly names: number
}

const UPLOAD_CREDITS_PER_S = 512
const SHARD = 64
const LEGS = 5
const TICK_S = 0.125
/** As node/upload.ts. */
const LOAD_S = 30
const BOOK_EVERY_S = 10
const PATIENCE_S = 20
/** Requests of one client under way; what it wants beyond waits for these. */
const UNDER_WAY_MAX = 16
const LIMIT_START = 4_096
const LIMIT_MAX = 262_144
const STEP = 64
/** A step there and its acknowledgement back, on each of four links. */
const STEP_COST = 4 * (16 + 8)

interface Request {
  readonly client: number
  /** From the keeper to the client. */
  readonly path: readonly number[]
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

interface Node {
  readonly kind: Kind
  readonly guard: number
  readonly queues: Map<number, Queue>
  due: number
  room: number
  load: number
  asked: number
  got: number
  underWay: number
}

export function runEconomy(wish: Economy): Outcome {
  const chance = new Chance(`economy ${wish.seed}`)
  const freeCount = Math.round(wish.nodes * wish.freeShare)
  const serving = wish.nodes - freeCount
  const nodes = Array.from({ length: wish.nodes }, (_, i): Node => {
    const kind = i < serving ? 'contributor' : wish.freeKind
    let guard = chance.below(serving)
    while (guard === i) guard = chance.below(serving)
    return { kind, guard, queues: new Map(), due: 0, room: 0, load: 0, asked: 0, got: 0, underWay: 0 }
  })
  const node = (i: number): Node => nodes[i] as Node
  const pairs = new Map<number, Pair>()
  let nowS = 0
  let names = 0
  let [forwarded, forwardingCost] = [0, 0]

  const grown = Math.min(LIMIT_MAX, LIMIT_START * 2 ** wish.days)
  const pairOf = (i: number, j: number): Pair => {
    const [a, b] = i < j ? [i, j] : [j, i]
    const key = a * wish.nodes + b
    const known = pairs.get(key)
    if (known !== undefined) return known
    // Mutual service needs two that serve.
    const limit = b < serving ? grown : LIMIT_START
    const top = { ...EMPTY, limitAB: limit, limitBA: limit } as unknown as Entry
    const memory = { limit, strikes: 0, dayMinute: 0, dayGot: 0 }
    const make = (side: 'A' | 'B'): Account => new Account({ side, top, memory, minute: 0 })
    const made = { first: make('A'), second: make('B'), top }
    pairs.set(key, made)
    return made
  }
  /** What `i` holds of its account with `j`. */
  const accountOf = (i: number, j: number): Account => (i < j ? pairOf(i, j).first : pairOf(i, j).second)

  const shareOf = (i: number, to: number): number => (wish.hasLedgers ? uploadShare(accountOf(i, to).standing()) : 1)

  const admit = (at: number, peer: number) =>
    wish.hasLedgers ? wordAt(node(at).load, accountOf(at, peer).standing()) : 'serve'

  const ask = (client: number): void => {
    const self = node(client)
    const isCounted = nowS >= wish.warmSeconds
    if (isCounted) self.asked++
    if (self.underWay >= UNDER_WAY_MAX) return
    self.underWay++
    const path: number[] = []
    while (path.length < LEGS - 1) {
      const next = chance.below(serving)
      if (next !== client && next !== self.guard && !path.includes(next)) path.push(next)
    }
    path.push(self.guard, client)
    const request: Request = { client, path, at: 0, deadlineS: nowS + PATIENCE_S }
    // A guard lets the requests of who owes too much wait for their turn, like what it sends.
    if (admit(self.guard, client) !== 'serve') enqueue(self.guard, -1 - client, request)
    else begin(request)
  }

  const begin = (request: Request): void => {
    const { path } = request
    // A ring hop that its neighbour owes too much turns the request away.
    for (let hop = 0; hop < 2; hop++) {
      const [server, asker] = [path[hop] as number, path[hop + 1] as number]
      if (admit(server, asker) === 'refuse') {
        node(request.client).underWay--
        return
      }
    }
    push(request)
  }

  const push = (request: Request): void =>
    enqueue(request.path[request.at] as number, request.path[request.at + 1] as number, request)

  /** `to` is a node, or -1 less a client whose requests wait. */
  const enqueue = (at: number, to: number, request: Request): void => {
    const from = node(at)
    const queue = from.queues.get(to) ?? { items: [], due: from.due }
    from.queues.set(to, queue)
    if (queue.items.length === 0) queue.due = Math.max(queue.due, from.due)
    queue.items.push(request)
  }

  const carry = (i: number, to: number, request: Request): void => {
    accountOf(i, to).gave(SHARD, nowS * 1_000)
    accountOf(to, i).took(SHARD, nowS * 1_000)
    accountOf(to, i).asked(true)
    request.at++
    if (request.at < request.path.length - 1) push(request)
    else {
      node(request.client).underWay--
      if (nowS >= wish.warmSeconds) node(request.client).got++
    }
  }

  const serve = (i: number): void => {
    const self = node(i)
    const quota = UPLOAD_CREDITS_PER_S * TICK_S
    self.room = Math.min(self.room + quota, 2 * quota)
    let used = 0
    while (self.room >= SHARD) {
      let best: [number, Queue] | undefined
      for (const each of self.queues) {
        const { items } = each[1]
        while (items[0] !== undefined && items[0].deadlineS < nowS) {
          node(items[0].client).underWay--
          items.shift()
        }
        const mustWait = each[0] < 0 && items.length > 0 && admit(i, -1 - each[0]) === 'refuse'
        if (items.length > 0 && !mustWait && (best === undefined || each[1].due < best[1].due)) best = each
      }
      if (best === undefined) break
      const [to, queue] = best
      self.due = queue.due
      const isHeld = to < 0
      queue.due += 1 / shareOf(i, isHeld ? -1 - to : to)
      const request = queue.items.shift()
      if (isHeld) {
        if (request !== undefined) {
          accountOf(i, -1 - to).reserve(SHARD, nowS * 1_000)
          begin(request)
        }
        continue
      }
      self.room -= SHARD
      used += SHARD
      if (request !== undefined) carry(i, to, request)
    }
    // Who could not send all of it is at its limit, however the shards fell.
    const isFull = [...self.queues].some(([to, { items }]) => to >= 0 && items.length > 0)
    self.load += (TICK_S / LOAD_S) * ((isFull ? 1 : used / quota) - self.load)
  }

  const sign = (pair: Pair): void => {
    for (const [account, isFirst] of [
      [pair.first, true],
      [pair.second, false],
    ] as const) {
      const wished = account.wish({ nowMs: nowS * 1_000, minute: 0 })
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
    for (const pair of pairs.values()) {
      const at = { nowMs: nowS * 1_000, minute: 0, elapsedMs: BOOK_EVERY_S * 1_000 }
      pair.first.tick(at)
      pair.second.tick(at)
      sign(pair)
    }
  }

  /** Shifts the balance of a pair by a payment of `from` to `to`; false when a limit is in the way. */
  const pay = (from: number, to: number): boolean => {
    const payer = accountOf(from, to)
    if (payer.balance - STEP < -payer.peerLimit) return false
    const pair = pairOf(from, to)
    pair.top = { ...pair.top, forwarded: pair.top.forwarded + (from < to ? -STEP : STEP) }
    pair.first.signed(pair.top, nowS * 1_000)
    pair.second.signed(pair.top, nowS * 1_000)
    return true
  }

  /** Credit of a node at others goes to its guard, 64 at a time, over two more nodes. */
  const forward = (i: number): void => {
    const { guard } = node(i)
    for (let tries = 0; tries < 200; tries++) {
      const own = accountOf(i, guard)
      if (0 - own.balance < own.peerLimit / 8) return
      const [a, x, y] = [chance.below(serving), chance.below(serving), chance.below(serving)]
      if (new Set([i, guard, a, x, y]).size < 5 || accountOf(i, a).balance < STEP) continue
      // What A owes this node it pays by way of x and y to the guard, which lets off as much of its claim.
      const steps: [number, number][] = [
        [a, i],
        [x, a],
        [y, x],
        [guard, y],
        [i, guard],
      ]
      const isOpen = steps
        .slice(1, 4)
        .every(([to, from]) => accountOf(from, to).balance - STEP >= -accountOf(from, to).peerLimit)
      if (!isOpen) continue
      pay(i, a)
      pay(a, x)
      pay(x, y)
      pay(y, guard)
      pay(guard, i)
      forwarded += STEP
      forwardingCost += STEP_COST
    }
  }

  const rename = (): void => {
    for (let i = serving; i < wish.nodes; i++) {
      names++
      for (let j = 0; j < serving; j++) pairs.delete(j * wish.nodes + i)
    }
  }

  const perSecond = (wish.offered * serving * UPLOAD_CREDITS_PER_S) / (LEGS * SHARD)
  let owed = 0
  for (let tick = 0; nowS < wish.seconds; tick++) {
    nowS = tick * TICK_S
    owed += perSecond * TICK_S
    for (; owed >= 1; owed--) ask(chance.below(wish.nodes))
    const from = chance.below(serving)
    for (let i = 0; i < serving; i++) serve((from + i) % serving)
    if (tick % (BOOK_EVERY_S / TICK_S) === 0) {
      if (wish.hasLedgers) book()
      if (wish.hasForwarding) for (let i = 0; i < serving; i++) forward(i)
    }
    if (wish.freeKind === 'whitewasher' && tick > 0 && tick % (wish.renameSeconds / TICK_S) === 0) rename()
  }

  const kinds: Partial<Record<Kind, { asked: number; got: number; creditsPerSecond: number }>> = {}
  for (const kind of new Set(nodes.map((each) => each.kind))) {
    const all = nodes.filter((each) => each.kind === kind)
    const [asked, got] = [all.reduce((sum, { asked }) => sum + asked, 0), all.reduce((sum, { got }) => sum + got, 0)]
    kinds[kind] = { asked, got, creditsPerSecond: (got * SHARD) / (wish.seconds - wish.warmSeconds) / all.length }
  }
  const imbalance = [...pairs.values()].reduce((sum, { first, second }) => sum + first.balance + second.balance, 0)
  return { kinds, forwarded, forwardingCost, imbalance, names }
}

const EMPTY = { number: 1, servedAB: 0, servedBA: 0, forwarded: 0, forgiven: 0, minute: 0 }
