/**
 * Requests on the ring: recursive, hop by hop, each hop knowing its two neighbours only. Data is
 * checked once per hop and cached on its way back; equal gets merge. SPEC requests §2-§4
 *
 * A request carries no origin, no counter and no shrinking time-out: nothing that tells how far its
 * originator is. Paths cannot loop, because a hop accepts only what comes clockwise.
 */
import {
  below,
  between,
  type Clock,
  compareBytes,
  type Jitter,
  type Location,
  type Log,
  type NodeId,
  named32,
  pause,
  type SecretRandom,
  type Timer,
  toHex,
} from '../../core/index.ts'
import { verifyMerkleProof } from '../../crypto/index.ts'
import {
  dataPrice,
  decodeRemoteRead,
  decodeRingRequest,
  encodeRemoteRead,
  encodeRingGet,
  encodeRingOutcome,
  encodeRingPut,
  encodeRingRenew,
  encodeRingWait,
  type GetRequest,
  isBetween,
  isOwner,
  isWhole,
  nextHop,
  type Outcome,
  type PutRequest,
  REFUSAL,
  REGION_EXTRA,
  type RemoteRead,
  type RenewRequest,
  RetryBudget,
  RID_SIZE,
  type RingRequestMessage,
  type RingState,
  storePrice,
  type View,
} from '../../routing/index.ts'
import {
  type ContentRef,
  locationOf,
  readContentRef,
  type ShardCache,
  verifyContent,
  verifyLeaves,
} from '../../storage/index.ts'
import type { PeerLink } from '../links.ts'
import type { Accounts } from './accounts.ts'
import type { Holders } from './holders.ts'
import { cut, type Keeper } from './keeper.ts'
import type { VaultLines } from './vault-lines.ts'

/** A waiting hop says so this often ... */
const WAIT_EVERY_MS = 1_000
/** ... and is given up after so much silence ... */
const SILENCE_MS = 4_000
/** ... or so long in all. */
const REQUEST_MS_MAX = 10_000
/**
 * One member of a region has so long for a get: the others may have what it does not give. They are asked besides it,
 * out of a budget: a region whose members are slow because much is asked of them is not asked three times as much.
 */
const MEMBER_MS_MAX = 3_000
/** A hop hands a request on after a time drawn up to this: when it comes does not tell who began it. */
const SERVICE_MS_MAX = 20
/** Next hops tried before a request is given up here; its client tries other gateways. */
const HOPS_TRIED_MAX = 3
/** Of a region whose first members have nothing, so many of the longest known are asked. */
const ELDEST_TRIED_MAX = 3
/** Requests under way at one node, and of these puts, each of which holds a shard. */
const REQUESTS_MAX = 2_048
const PUTS_MAX = 256
const BUSY: Outcome = { end: 'busy' }
const NOT_FOUND: Outcome = { end: 'none', reason: REFUSAL.notFound }
/** It is known where it lies, and it could not be had from there now. */
const AWAY: Outcome = { end: 'none', reason: REFUSAL.away }

export interface RouterPorts {
  readonly clock: Clock
  readonly jitter: Jitter
  readonly random: SecretRandom
  readonly log: Log
  readonly view: View
  readonly holders: Holders
  readonly keeper: Keeper
  readonly cache: ShardCache
  readonly accounts: Pick<Accounts, 'admitRing' | 'served' | 'received' | 'answered'>
  readonly selfId: NodeId
  readonly copies: number
  /** Undefined until this node has joined. */
  readonly ring: () => RingState | undefined
  readonly reach: (id: NodeId) => Promise<PeerLink | undefined>
  /** Absent where no vaults are. */
  readonly lines?: Pick<VaultLines, 'readHere'>
}

type Asked = GetRequest | PutRequest | RenewRequest | RemoteRead

type Served =
  | Extract<RingRequestMessage, { kind: 'rget' | 'rput' | 'rrenew' }>
  | { readonly kind: 'rread'; readonly rid: Uint8Array; readonly read: RemoteRead }

interface Downstream {
  settle(outcome: Outcome | undefined): void
  heard(): void
}

/** How long one hop is waited for; and whether others may have what it does not give. */
interface AskLimit {
  readonly limitMs: number
  readonly isOneOfSome: boolean
}

export class Router {
  readonly #p: RouterPorts
  readonly #downstream = new Map<PeerLink, Map<string, Downstream>>()
  readonly #gets = new Map<string, Promise<Outcome>>()
  #requests = 0
  #puts = 0
  /** Requests taken from others or from the own gateway; caches asked; for the metrics. */
  readonly counts = { gets: 0, puts: 0, merged: 0, cacheHits: 0, badData: 0, forwarded: 0, turnedAway: 0 }

  /** Of asking a further member while one is slow. SPEC requests §11 */
  readonly #budget = new RetryBudget()

  constructor(ports: RouterPorts) {
    this.#p = ports
  }

  /** Requests under way here, and gets that another could join. */
  get open(): number {
    return Math.max(this.#requests, this.#gets.size) + this.#puts
  }

  /** A get from the own gateway. */
  get(get: GetRequest): Promise<Outcome> {
    return this.#admitGet(get, this.#p.selfId)
  }

  /** A put from the own gateway. */
  put(put: PutRequest): Promise<Outcome> {
    return this.#admitPut(put, this.#p.selfId)
  }

  /** A renewal from the own gateway. */
  renew(renew: RenewRequest): Promise<Outcome> {
    return this.#admitRenew(renew, this.#p.selfId)
  }

  /** A read behind another keeper's line, for this node as keeper. */
  read(read: RemoteRead): Promise<Outcome> {
    return this.#admitRead(read, this.#p.selfId)
  }

  /** True when the message was a ring request. Throws MalformedError for a bad one. */
  onMessage(peer: PeerLink, message: Uint8Array): boolean {
    const request = decodeRingRequest(message)
    if (request === undefined) {
      const remote = decodeRemoteRead(message)
      if (remote !== undefined) this.#serve(peer, { kind: 'rread', ...remote })
      return remote !== undefined
    }
    if (request.kind === 'outcome') this.#downstream.get(peer)?.get(toHex(request.rid))?.settle(request.outcome)
    else if (request.kind === 'rwait') this.#downstream.get(peer)?.get(toHex(request.rid))?.heard()
    else this.#serve(peer, request)
    return true
  }

  onClosed(peer: PeerLink): void {
    for (const waiting of this.#downstream.get(peer)?.values() ?? []) waiting.settle(undefined)
    this.#downstream.delete(peer)
  }

  #serve(peer: PeerLink, request: Served): void {
    // Only ring members may ask without a circuit: a client that did would show itself.
    if (peer.id === undefined) return void peer.sendMessage(encodeRingOutcome(request.rid, BUSY), 'control')
    if (!this.#p.accounts.admitRing(peer)) {
      this.counts.turnedAway++
      return void peer.sendMessage(encodeRingOutcome(request.rid, BUSY), 'control')
    }
    const answer = this.#admit(request, peer.id)
    let timer: Timer | undefined
    const wait = (): void => {
      timer = this.#p.clock.setTimer(WAIT_EVERY_MS, () => {
        peer.sendMessage(encodeRingWait(request.rid), 'control')
        wait()
      })
    }
    wait()
    void answer.then((outcome) => {
      timer?.cancel()
      if (peer.sendMessage(encodeRingOutcome(request.rid, outcome)))
        this.#p.accounts.served(peer, this.#price(requestOf(request), outcome))
    })
  }

  #admit(request: Served, sender: NodeId): Promise<Outcome> {
    if (request.kind === 'rread') return this.#admitRead(request.read, sender)
    if (request.kind === 'rget') return this.#admitGet(request.get, sender)
    return request.kind === 'rput' ? this.#admitPut(request.put, sender) : this.#admitRenew(request.renew, sender)
  }

  #admitGet(get: GetRequest, sender: NodeId): Promise<Outcome> {
    const ref = readContentRef(get.ref)
    if (ref === undefined || this.#requests >= REQUESTS_MAX) return Promise.resolve(BUSY)
    this.counts.gets++
    const name = `${toHex(get.ref)} ${get.skip} ${get.isPastOwner} ${get.range.from} ${get.range.count}`
    const merged = this.#gets.get(name)
    if (merged !== undefined) {
      this.counts.merged++
      return merged
    }
    this.#requests++
    const outcome = this.#resolveGet(ref, get, sender).finally(() => {
      this.#requests--
      this.#gets.delete(name)
    })
    this.#gets.set(name, outcome)
    return outcome
  }

  async #admitPut(put: PutRequest, sender: NodeId): Promise<Outcome> {
    const ref = readContentRef(put.ref)
    if (ref === undefined || this.#puts >= PUTS_MAX) return BUSY
    this.counts.puts++
    if (!verifyContent(ref, put.bytes)) return BUSY
    this.#puts++
    try {
      const place = this.#placeOf(locationOf(ref), { sender, isPastOwner: false })
      if (place === 'refused') return BUSY
      if (place !== 'elsewhere') return await this.#p.keeper.accept(ref, put)
      return await this.#forward(locationOf(ref), {
        asked: put,
        encode: (rid) => encodeRingPut(rid, put),
        isGood: isReceiptFor(put.nonce),
      })
    } finally {
      this.#puts--
    }
  }

  async #admitRenew(renew: RenewRequest, sender: NodeId): Promise<Outcome> {
    const ref = readContentRef(renew.ref)
    if (ref === undefined || this.#requests >= REQUESTS_MAX) return BUSY
    this.#requests++
    try {
      const place = this.#placeOf(locationOf(ref), { sender, isPastOwner: false })
      if (place === 'refused') return BUSY
      if (place !== 'elsewhere') return await this.#p.keeper.renew(ref, renew)
      const encode = (rid: Uint8Array): Uint8Array => encodeRingRenew(rid, renew)
      return await this.#forward(locationOf(ref), { asked: renew, encode, isGood: isReceiptFor(renew.nonce) })
    } finally {
      this.#requests--
    }
  }

  async #resolveGet(ref: ContentRef, get: GetRequest, sender: NodeId): Promise<Outcome> {
    const { keeper, cache } = this.#p
    const location = locationOf(ref)
    const place = this.#placeOf(location, { sender, isPastOwner: get.isPastOwner })
    if (place === 'refused') return BUSY
    let denied = NOT_FOUND
    if (get.skip === 0) {
      const held = keeper.read(ref, get.range)
      if (held !== undefined) return held
      // A part of a shard proves possession: only keepers may answer it.
      const cached = isWhole(get.range) ? cache.get(ref) : undefined
      if (cached !== undefined) {
        this.counts.cacheHits++
        return cut(cached, get.range)
      }
      // What the owner could not read from afar, nobody behind it can: they all point to the same places.
      const reading = keeper.readVaulted(ref, get.range, { isHereOnly: get.isPastOwner })
      const vaulted = reading && (await reading)
      if (vaulted !== undefined) return vaulted
      if (reading !== undefined) denied = AWAY
    }
    if (place === 'elsewhere') return firmer(denied, await this.#forwardGet(ref, get))
    // In the region, on a miss or to be passed over.
    const successor = this.#nextInRegion(location)
    if (successor === undefined) return denied
    const next = { ...get, skip: Math.max(0, get.skip - 1), isPastOwner: true }
    return firmer(denied, await this.#forwardGet(ref, next, successor))
  }

  async #admitRead(read: RemoteRead, sender: NodeId): Promise<Outcome> {
    if (this.#requests >= REQUESTS_MAX) return BUSY
    this.#requests++
    try {
      return await this.#resolveRead(read, sender)
    } finally {
      this.#requests--
    }
  }

  /** SPEC vaults §4 */
  async #resolveRead(read: RemoteRead, sender: NodeId): Promise<Outcome> {
    const { line, root, range, leaseEndMs, isPastOwner } = read
    const point = named32<'Location'>(read.point, 'point')
    const place = this.#placeOf(point, { sender, isPastOwner })
    if (place === 'refused') return BUSY
    const blob = { point, line: named32<'PublicKey'>(line, 'line'), root }
    const held = await this.#p.lines?.readHere(blob, { range, ...(leaseEndMs > 0 && { leaseEndMs }) })
    if (held !== undefined) return { end: 'data', ...held }
    if (place === 'elsewhere') return this.#forwardRead(point, read)
    const next = this.#nextInRegion(point)
    return next === undefined ? NOT_FOUND : this.#forwardRead(point, { ...read, isPastOwner: true }, next)
  }

  #forwardRead(point: Location, read: RemoteRead, onlyTo?: NodeId): Promise<Outcome> {
    const isData = (outcome: Outcome): boolean =>
      outcome.end === 'data' && verifyMerkleProof(read.root, read.range, outcome.leaves, outcome.proof)
    const encode = (rid: Uint8Array): Uint8Array => encodeRemoteRead(rid, read)
    const only = onlyTo === undefined ? {} : { onlyTo }
    return this.#forward(point, { asked: read, encode, isGood: isData, asksOn: true, ...only })
  }

  /** Whom a miss in the location's region goes on to: only clockwise, and only so far. */
  #nextInRegion(location: Location): NodeId | undefined {
    const { holders, copies, ring } = this.#p
    return holders.rankOf(location) + 1 >= copies + REGION_EXTRA ? undefined : ring()?.successors[0]
  }

  /** Where this node stands towards a location, seen from who asks. */
  #placeOf(
    location: Location,
    asked: { sender: NodeId; isPastOwner: boolean },
  ): 'owner' | 'region' | 'elsewhere' | 'refused' {
    const { ring, selfId, holders, copies } = this.#p
    const { sender } = asked
    const state = ring()
    if (state === undefined) return 'refused'
    const isNear = holders.rankOf(location) < copies + REGION_EXTRA
    if (asked.isPastOwner) return isNear || holders.isInRegion(location) ? 'region' : 'refused'
    if (isOwner(state, location)) return 'owner'
    if (compareBytes(sender, selfId) === 0) return this.#nextHop(location, []) === undefined ? 'owner' : 'elsewhere'
    // One hop further on, unless the sender takes this node for the owner and it is not, as it sees the ring.
    if (isBetween(sender, selfId, location)) return 'elsewhere'
    return isNear ? 'region' : 'refused'
  }

  async #forwardGet(ref: ContentRef, get: GetRequest, onlyTo?: NodeId): Promise<Outcome> {
    const isData = (outcome: Outcome): boolean => outcome.end === 'data' && isGood(ref, get, outcome)
    const encode = (rid: Uint8Array): Uint8Array => encodeRingGet(rid, get)
    const only = onlyTo === undefined ? {} : { onlyTo }
    const ask = { asked: get, encode, isGood: isData, asksOn: true }
    let outcome = await this.#forward(locationOf(ref), { ...ask, ...only })
    if (outcome.end === 'none' && onlyTo === undefined) outcome = await this.#askEldest(ref, get, outcome)
    if (outcome.end === 'data' && isWhole(get.range) && below(this.#p.jitter, 2) === 0) {
      this.#p.cache.put(ref, outcome.leaves)
    }
    return outcome
  }

  /**
   * When the first members of a region have all denied: those of it that this node has known longest. Newcomers can
   * crowd in front of a location; they cannot have been here before. SPEC requests §3
   */
  async #askEldest(ref: ContentRef, get: GetRequest, denied: Outcome): Promise<Outcome> {
    const location = locationOf(ref)
    if (this.#nextHop(location, [])?.isOwner !== true) return denied
    const past = { ...get, skip: 0, isPastOwner: true }
    let last = denied
    for (const id of this.#p.holders.eldest(location, { past: HOPS_TRIED_MAX, count: ELDEST_TRIED_MAX })) {
      const outcome = await this.#forwardGet(ref, past, id)
      if (outcome.end === 'data') return outcome
      last = firmer(last, outcome)
    }
    return last
  }

  async #forward(
    location: Location,
    request: {
      asked: Asked
      encode: (rid: Uint8Array) => Uint8Array
      isGood: (outcome: Outcome) => boolean
      /** One member's word that there is nothing is not taken for all: the next one of the region is asked. */
      asksOn?: boolean
      onlyTo?: NodeId
    },
  ): Promise<Outcome> {
    const giveUpMs = this.#p.clock.monotonicMs() + REQUEST_MS_MAX
    const exclude: NodeId[] = []
    let last: Outcome = BUSY
    await pause(this.#p.clock, between(this.#p.jitter, { min: 0, max: SERVICE_MS_MAX }))
    for (let tried = 0; tried < HOPS_TRIED_MAX; tried++) {
      const next =
        request.onlyTo === undefined ? this.#nextHop(location, exclude) : { hop: request.onlyTo, isOwner: false }
      const leftMs = giveUpMs - this.#p.clock.monotonicMs()
      if (next === undefined || leftMs <= 0) break
      const { hop } = next
      exclude.push(hop)
      const peer = await this.#p.reach(hop)
      if (peer !== undefined) {
        this.counts.forwarded++
        const isOneOfSome = request.asksOn === true && next.isOwner
        if (tried === 0) this.#budget.earn()
        const outcome = await this.#ask(peer, request.encode, { limitMs: leftMs, isOneOfSome })
        if (outcome?.end === 'none') {
          if (!isOneOfSome) return outcome
          last = firmer(last, outcome)
        } else if (outcome === undefined) this.#p.accounts.answered(peer, false)
        else if (outcome.end !== 'busy') {
          const isGood = request.isGood(outcome)
          this.#p.accounts.answered(peer, isGood)
          if (isGood) {
            this.#p.accounts.received(peer, this.#price(request.asked, outcome))
            return outcome
          }
          this.counts.badData++
          this.#p.log('warn', 'bad data from a hop')
        }
      }
      if (request.onlyTo !== undefined) return peer === undefined ? NOT_FOUND : last
    }
    return last
  }

  /** The same for who asks and who answers, whoever they are. SPEC ledger §1 */
  #price(asked: Asked, outcome: Outcome): number {
    if (outcome.end === 'data') return dataPrice(outcome.leaves.length)
    if (outcome.end !== 'stored' || !('leaseDays' in asked)) return 0
    const sizeBytes = 'bytes' in asked ? asked.bytes.length : 1
    return storePrice(sizeBytes, { days: asked.leaseDays, copies: this.#p.copies })
  }

  #nextHop(location: Uint8Array, exclude: readonly NodeId[]): { hop: NodeId; isOwner: boolean } | undefined {
    const { view, clock, ring } = this.#p
    const state = ring()
    if (state === undefined) return undefined
    const next = nextHop({ state, members: view.reachable(clock.nowMs()), location, exclude })
    return next === undefined || 'own' in next ? undefined : next
  }

  #ask(peer: PeerLink, encode: (rid: Uint8Array) => Uint8Array, within: AskLimit): Promise<Outcome | undefined> {
    const { clock, random } = this.#p
    const rid = random.bytes(RID_SIZE)
    const name = toHex(rid)
    const waiting = this.#downstream.get(peer) ?? new Map<string, Downstream>()
    this.#downstream.set(peer, waiting)
    return new Promise((resolve) => {
      const { limitMs, isOneOfSome } = within
      let silence: Timer | undefined
      const settle = (outcome: Outcome | undefined): void => {
        silence?.cancel()
        limit.cancel()
        slow?.cancel()
        waiting.delete(name)
        resolve(outcome)
      }
      const onSlow = (): void => {
        if (this.#budget.take(clock.monotonicMs())) settle(undefined)
      }
      const slow = isOneOfSome ? clock.setTimer(MEMBER_MS_MAX, onSlow) : undefined
      const heard = (): void => {
        silence?.cancel()
        silence = clock.setTimer(SILENCE_MS, () => settle(undefined))
      }
      const limit = clock.setTimer(limitMs, () => settle(undefined))
      waiting.set(name, { settle, heard })
      heard()
      if (!peer.sendMessage(encode(rid))) settle(undefined)
    })
  }
}

/** Of two members' words that nothing is to be had: who points to it knows more than who does not. */
function firmer(one: Outcome, other: Outcome): Outcome {
  return other.end === 'none' && isAway(one) ? one : other
}
function isAway(outcome: Outcome): boolean {
  return outcome.end === 'none' && outcome.reason === REFUSAL.away
}

function isReceiptFor(nonce: Uint8Array): (outcome: Outcome) => boolean {
  return (outcome) => outcome.end === 'stored' && compareBytes(outcome.receipt.nonce, nonce) === 0
}

function isGood(ref: ContentRef, get: GetRequest, outcome: Extract<Outcome, { end: 'data' }>): boolean {
  return isWhole(get.range)
    ? verifyContent(ref, outcome.leaves)
    : verifyLeaves(ref, get.range, outcome.leaves, outcome.proof)
}

function requestOf(request: Served): Asked {
  if (request.kind === 'rread') return request.read
  if (request.kind === 'rget') return request.get
  return request.kind === 'rput' ? request.put : request.renew
}
