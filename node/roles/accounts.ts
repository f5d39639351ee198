/**
 * The accounts with all link neighbours: who has served whom is counted here and nowhere else, signed by
 * both now and then, and turned into how a peer is served when there is not room for all. SPEC ledger
 *
 *   served, received, answered ──> account ── due ──> proposal ── flushed ──> sent
 *   a peer's message ──> pair ── flushed ──> answered
 *
 * A signature leaves only after the flush that holds it: what is flushed in one go is sent after it.
 */
import {
  type Clock,
  equalBytes,
  type Jitter,
  keyOf,
  type Log,
  type NetworkId,
  type Profile,
  type PublicKey,
  type RecordStore,
  messageOf as reasonOf,
  type SecretRandom,
  toHex,
} from '../../core/index.ts'
import { isSafePublicKey, type SigningKey } from '../../crypto/index.ts'
import {
  Account,
  type AccountRecord,
  CELL_PRICE,
  CHAIN_ENTRIES_MAX,
  type ChainFile,
  decodeLedgerMessage,
  type Entry,
  encodeLedgerMessage,
  endsOf,
  Fund,
  isSameEntry,
  type LedgerMessage,
  LOAD_HOLDING,
  ledgerMessageOf,
  NEW_PAIR,
  type Notice,
  OPENING_SIZE,
  openLedger,
  type PairContext,
  type PairState,
  type Place,
  proposeEntry,
  receiveLedger,
  type Standing,
  sideOf,
  uploadShare,
  type Word,
  wordAt,
} from '../../routing/index.ts'
import type { PeerLink } from '../links.ts'
import { AccountDisk } from './account-disk.ts'

/** Accounts in memory; beyond, the one that was idle longest and has no entry gives way. */
const ACCOUNTS_MAX = 8_192
/** Between two looks: while peers wait for each other's sake, and while there is room for all. */
const TICK_MS = { loaded: 1_000, calm: 5_000 }
/** A book to which nothing happens is looked at again after this part of the time that a proposal may wait. */
const REST_PART = 1 / 4
/** Signatures of so long are flushed together. */
const GATHER_MS = 250
const RESEND_MS = 30_000
const NOTICE_MS = 10_000
/** A notice that was not repeated for so long no longer holds. */
const NOTICE_VALID_MS = 30_000
const MINUTE_MS = 60_000
/** A shard comes back in eight cells. */
const SHARD_CREDITS = 8 * CELL_PRICE.towardsClient

export interface AccountsPorts {
  readonly clock: Clock
  readonly jitter: Jitter
  readonly random: SecretRandom
  readonly log: Log
  readonly records: RecordStore
  readonly networkId: NetworkId
  readonly key: SigningKey
  /** The open link to a peer. */
  readonly linkTo: (peer: PublicKey) => PeerLink | undefined
  /** Links over which relay cells have gone since this was last asked. */
  readonly takeUncounted: () => Iterable<PeerLink>
  /** Of what may be sent, what is; from 1 on somebody waits. */
  readonly load: () => number
  readonly placeOf: (key: PublicKey) => Place
  readonly uploadBytesPerSecond: number | undefined
  readonly profile: Pick<Profile, 'ledgerEveryMs'>
}

interface Book {
  readonly peer: PublicKey
  readonly context: PairContext
  readonly account: Account
  pair: PairState
  /** Changed since it was last handed to the disk. */
  isDirty: boolean
  /** Something is to be said once what is known is flushed. */
  isDue: boolean
  fresh: Entry[]
  saidMs: number
  restsUntilMs: number
  usedMs: number
  noticedMs: number
  /** What the peer last told of how it serves this side. */
  heard: { readonly notice: Notice; readonly atMs: number } | undefined
}

/** An account as people see it. */
export interface AccountReport {
  readonly peer: PublicKey
  readonly balance: number
  readonly exposure: number
  readonly limit: number
  readonly merit: number
  readonly peerLimit: number
  readonly given: number
  readonly got: number
  readonly unsignedGiven: number
  readonly unsignedGot: number
  readonly entries: number
  readonly strikes: number
  readonly isFraud: boolean
  readonly standing: Standing
  /** How the peer serves this side, when it said so lately. */
  readonly heard: Notice | undefined
}

export class Accounts {
  readonly #p: AccountsPorts
  /** By keyOf of the peer's key. */
  readonly #books = new Map<string, Book>()
  /** Those that time or a flush may change. Most peers are owed nothing and asked for nothing, and cost nothing. */
  readonly #awake = new Set<Book>()
  readonly #disk: AccountDisk
  /** For those that may owe no more. */
  readonly #fund: Fund
  readonly #ringFund: Fund
  #tickedMinute: number
  #flushing: Promise<void> | undefined
  #isGathering = false
  #isStopped = false
  readonly counts = { entries: 0, proposals: 0, refused: 0, frauds: 0, flushes: 0, given: 0, got: 0 }

  constructor(ports: AccountsPorts) {
    this.#p = ports
    this.#disk = new AccountDisk(ports)
    const { uploadBytesPerSecond } = ports
    this.#fund = new Fund({ of: 'cells', uploadBytesPerSecond })
    this.#ringFund = new Fund({ of: 'ring', uploadBytesPerSecond })
    this.#tickedMinute = this.#minute()
    for (const { peer, ...stored } of this.#disk.readAll(ACCOUNTS_MAX)) {
      const book = this.#newBook(peer, stored)
      this.#books.set(keyOf(peer), book)
      this.#awake.add(book)
    }
  }

  start(): void {
    this.#tickNowAndThen(TICK_MS.loaded)
  }

  /** Signs nothing more; what is under way to the disk arrives. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#flushing
  }

  // --- what the roles tell -------------------------------------------------------------------------

  /** This node did what the peer asked for. */
  served(peer: PeerLink, credits: number): void {
    if (credits <= 0) return
    this.counts.given += credits
    this.#wake(peer.key)?.account.gave(credits, this.#p.clock.monotonicMs())
  }

  /** The peer did what this node asked for, and it was good. */
  received(peer: PeerLink, credits: number): void {
    if (credits <= 0) return
    this.counts.got += credits
    const at = { nowMs: this.#p.clock.monotonicMs(), members: this.#p.placeOf(peer.key).members }
    this.#wake(peer.key)?.account.took(credits, at)
  }

  /** How a request to the peer ended. */
  answered(peer: PeerLink, wasGood: boolean): void {
    this.#bookOf(peer.key)?.account.asked(wasGood)
  }

  /** How the peer is to be served now. Below half load everybody is. */
  admit(peer: { readonly key: PublicKey }): Word {
    const load = this.#p.load()
    return load < LOAD_HOLDING ? 'serve' : wordAt(load, this.#standing(peer.key))
  }

  /** Whether a cell of a peer that is held back may go when its turn comes. */
  mayLetIn(peer: { readonly key: PublicKey }): boolean {
    return this.admit(peer) !== 'refuse' || this.#mayDrawOn(this.#fund, peer.key)
  }

  /** Whether a request of a member on the ring is to be served. */
  admitRing(peer: { readonly key: PublicKey }): boolean {
    if (this.admit(peer) !== 'refuse') return true
    if (!this.#mayDrawOn(this.#ringFund, peer.key)) return false
    this.#ringFund.spend(SHARD_CREDITS)
    return true
  }

  #mayDrawOn(fund: Fund, key: PublicKey): boolean {
    const isOut = this.#books.get(keyOf(key))?.account.isOut ?? false
    return !isOut && fund.hasRoom(this.#p.clock.monotonicMs())
  }

  /** A cell of a peer that is held back was let in: as many credits as the shard that it may ask for. */
  letIn(peer: { readonly key: PublicKey }): void {
    const nowMs = this.#p.clock.monotonicMs()
    if (this.admit(peer) === 'refuse') this.#fund.letIn(keyOf(peer.key), nowMs)
    else this.#wake(peer.key)?.account.reserve(SHARD_CREDITS, nowMs)
  }

  /** Its share of what is sent while others wait. */
  shareOf(peer: { readonly key: PublicKey }): number {
    return uploadShare(this.#standing(peer.key))
  }

  /** A peer without an account has what anybody has to begin with. */
  #standing(key: PublicKey): Standing {
    const account = this.#books.get(keyOf(key))?.account ?? this.#newcomer
    return account.standing(this.#p.placeOf(key))
  }
  readonly #newcomer = new Account({ side: 'A', top: undefined, memory: undefined, minute: 0 })

  // --- links ---------------------------------------------------------------------------------------

  onOpen(peer: PeerLink): void {
    const book = this.#books.get(keyOf(peer.key))
    if (book?.pair.proposal !== undefined) this.#say(book)
  }

  onClosed(peer: PeerLink): void {
    this.#countCells(peer)
  }

  /** True when the message was of the ledger. Throws MalformedError for a bad one. */
  onMessage(peer: PeerLink, message: Uint8Array): boolean {
    const said = decodeLedgerMessage(message)
    if (said === undefined) return false
    const book = this.#bookOf(peer.key)
    if (book === undefined) return true
    if (said.notice !== undefined) book.heard = { notice: said.notice, atMs: this.#p.clock.monotonicMs() }
    else this.#take(book, said)
    return true
  }

  // --- for people ----------------------------------------------------------------------------------

  get ownKey(): PublicKey {
    return this.#p.key.publicKey
  }
  get load(): number {
    return this.#p.load()
  }
  get count(): number {
    return this.#books.size
  }

  reports(): AccountReport[] {
    for (const peer of this.#p.takeUncounted()) this.#countCells(peer)
    return [...this.#books.values()].map((book) => this.#reportOf(book))
  }

  /** The number of the last entry that both have signed; 0: none. */
  topNumber(peer: PublicKey): number {
    return this.#books.get(keyOf(peer))?.pair.top?.number ?? 0
  }

  /** The stored chain with a peer, oldest first, a proof of fraud at its end; undefined without a ledger. */
  chain(peer: PublicKey): ChainFile | undefined {
    const book = this.#books.get(keyOf(peer))
    const { opening, fraud } = book?.pair ?? NEW_PAIR
    if (book === undefined || opening === undefined) return undefined
    const entries = this.#disk.entries(book.peer, book.pair.top)
    for (const proof of fraud ?? []) {
      const last = entries.at(-1)
      if (last === undefined || !isSameEntry(last, proof)) entries.push(proof)
    }
    return { ends: book.context.ends, opening, entries: entries.slice(-CHAIN_ENTRIES_MAX) }
  }

  /** Whether the peer has said lately that it lets in of this home only what its fund allows. */
  isHeldBackBy(peer: PublicKey): boolean {
    const book = this.#books.get(keyOf(peer))
    return book !== undefined && this.#heardOf(book)?.word === 'refuse'
  }

  #heardOf({ heard }: Book): Notice | undefined {
    const isHeard = heard !== undefined && this.#p.clock.monotonicMs() - heard.atMs < NOTICE_VALID_MS
    return isHeard ? heard.notice : undefined
  }

  #reportOf(book: Book): AccountReport {
    const { peer, account, pair } = book
    return {
      peer,
      balance: account.balance,
      exposure: Math.floor(account.exposure),
      limit: account.limit,
      merit: Math.floor(account.merit),
      peerLimit: account.peerLimit,
      given: account.given,
      got: account.got,
      unsignedGiven: account.tailGiven,
      unsignedGot: account.tailGot,
      entries: pair.top?.number ?? 0,
      strikes: account.strikes,
      isFraud: account.isFraud,
      standing: account.standing(this.#p.placeOf(peer)),
      heard: this.#heardOf(book),
    }
  }

  // --- the books -----------------------------------------------------------------------------------

  /** Undefined: the peer's key is not fit for a ledger, or there are too many. */
  #bookOf(peer: PublicKey): Book | undefined {
    const name = keyOf(peer)
    const known = this.#books.get(name)
    if (known !== undefined) {
      known.usedMs = this.#p.clock.monotonicMs()
      return known
    }
    if (!isSafePublicKey(peer) || equalBytes(peer, this.#p.key.publicKey)) return undefined
    if (this.#books.size >= ACCOUNTS_MAX && !this.#giveWay()) return undefined
    const book = this.#newBook(peer.slice() as PublicKey, undefined)
    this.#books.set(name, book)
    return book
  }

  /** As #bookOf; the book is looked at with each tick until nothing is left to be done. */
  #wake(peer: PublicKey): Book | undefined {
    const book = this.#bookOf(peer)
    if (book !== undefined) this.#arouse(book)
    return book
  }

  #arouse(book: Book): void {
    book.restsUntilMs = Number.NEGATIVE_INFINITY
    this.#awake.add(book)
  }

  #newBook(peer: PublicKey, stored: AccountRecord | undefined): Book {
    const { networkId, key, clock } = this.#p
    const ends = endsOf(networkId, key.publicKey, peer)
    const context = { ends, side: sideOf(ends, key.publicKey), key }
    const pair = stored?.pair ?? NEW_PAIR
    const minute = this.#minute()
    const account = new Account({ side: context.side, top: pair.top, memory: stored?.memory, minute })
    account.isFraud = pair.fraud !== undefined
    const never = Number.NEGATIVE_INFINITY
    const usedMs = clock.monotonicMs()
    const idle = {
      isDirty: false,
      isDue: false,
      fresh: [],
      saidMs: never,
      restsUntilMs: never,
      noticedMs: never,
      heard: undefined,
    }
    return { peer, context, account, pair, ...idle, usedMs }
  }

  #giveWay(): boolean {
    let oldest: [string, Book] | undefined
    for (const each of this.#books) {
      const [, book] = each
      if (book.pair.opening !== undefined || book.isDirty) continue
      if (oldest === undefined || book.usedMs < oldest[1].usedMs) oldest = each
    }
    if (oldest === undefined) return false
    this.#awake.delete(oldest[1])
    return this.#books.delete(oldest[0])
  }

  #minute(): number {
    return Math.floor(this.#p.clock.nowMs() / MINUTE_MS)
  }

  #take(book: Book, said: LedgerMessage): void {
    const before = book.pair
    const got = receiveLedger(before, book.context, said, this.#minute())
    if (got.state !== before) this.#become(book, got.state, got.taken)
    if (got.fault !== undefined) {
      this.counts.refused++
      this.#p.log('debug', 'ledger entry not signed', { reason: got.fault })
    }
    if (got.state.fraud !== undefined && before.fraud === undefined) {
      this.counts.frauds++
      book.account.isFraud = true
      this.#p.log('warn', 'a peer signed two ledger entries with one number', { peer: toHex(book.peer).slice(0, 16) })
    }
    const wantsFirst = book.context.side === 'A' && book.pair.opening === undefined
    if (wantsFirst) this.#propose(book, { isFirst: true })
    if (got.mustAnswer || got.taken.length > 0) this.#say(book)
  }

  #become(book: Book, pair: PairState, taken: readonly Entry[]): void {
    book.pair = pair
    book.isDirty = true
    this.#arouse(book)
    book.fresh.push(...taken)
    this.counts.entries += taken.length
    if (taken.length > 0) book.account.signed(pair.top, this.#p.clock.monotonicMs())
  }

  #propose(book: Book, { isFirst }: { isFirst: boolean }): void {
    const { clock, random } = this.#p
    const nowMs = clock.monotonicMs()
    const { account } = book
    const nothing = {
      servedByPeer: account.signedGot,
      forgive: 0,
      pay: 0,
      limit: account.limit,
      minute: this.#minute(),
    }
    const wish =
      account.wish({ nowMs, minute: this.#minute(), everyMs: this.#p.profile.ledgerEveryMs }) ??
      (isFirst ? nothing : undefined)
    if (wish === undefined) return
    const isA = book.context.side === 'A'
    const opened = isA ? openLedger(book.pair, random.bytes(OPENING_SIZE)) : book.pair
    const pair = proposeEntry(opened, book.context, wish)
    if (pair === undefined) {
      // B asks for the first entry, or to be shown it.
      if (!isA && !book.pair.isShown && nowMs - book.saidMs > RESEND_MS) this.#say(book)
      return
    }
    account.proposed(wish, nowMs)
    this.counts.proposals++
    this.#become(book, pair, [])
    this.#say(book)
  }

  // --- time ----------------------------------------------------------------------------------------

  #tickNowAndThen(delayMs: number): void {
    this.#p.clock.setTimer(delayMs, () => {
      if (!this.#isStopped) this.#tickNowAndThen(this.#tick() ? TICK_MS.loaded : TICK_MS.calm)
    })
  }

  /** Whether peers are held back now: then seconds matter. */
  #tick(): boolean {
    const { clock, linkTo, takeUncounted, load } = this.#p
    const nowMs = clock.monotonicMs()
    const isLoaded = load() >= LOAD_HOLDING
    const { ledgerEveryMs: everyMs } = this.#p.profile
    const at = { nowMs, minute: this.#minute(), isLoaded, everyMs }
    // A day that ends may change any limit: whoever sleeps is woken once a minute.
    if (at.minute !== this.#tickedMinute) for (const book of this.#books.values()) this.#arouse(book)
    this.#tickedMinute = at.minute
    for (const peer of takeUncounted()) this.#countCells(peer)
    for (const book of this.#awake) {
      const { account, pair } = book
      if (nowMs < book.restsUntilMs && (!isLoaded || account.isStill)) continue
      const { limit } = account
      account.tick(at)
      if (account.limit !== limit) book.isDirty = true
      if (account.isQuiet && pair.proposal === undefined && !book.isDirty && !book.isDue) {
        this.#awake.delete(book)
        continue
      }
      const isDue = pair.proposal === undefined ? account.wish(at) !== undefined : nowMs - book.saidMs > RESEND_MS
      const peer = isDue || isLoaded ? linkTo(book.peer) : undefined
      if (peer === undefined || this.#isStopped) {
        book.restsUntilMs = Math.min(nowMs + REST_PART * everyMs, account.lateAtMs(everyMs))
        continue
      }
      if (isDue && pair.proposal === undefined) this.#propose(book, { isFirst: false })
      else if (isDue) this.#say(book)
      if (isLoaded) this.#tell(peer, book, nowMs)
    }
    return isLoaded
  }

  /** Says to a peer that is held back why. */
  #tell(peer: PeerLink, book: Book, nowMs: number): void {
    const { word, exposure, allowance } = this.#standing(peer.key)
    if (word === 'serve' || nowMs - book.noticedMs < NOTICE_MS) return
    book.noticedMs = nowMs
    const notice = { word, exposure: Math.max(0, Math.floor(exposure)), limit: Math.floor(allowance) }
    peer.sendMessage(encodeLedgerMessage({ notice }), 'control')
  }

  #countCells(peer: PeerLink): void {
    const { given, got, givenBack } = peer.cells.take()
    this.#fund.gave(keyOf(peer.key), givenBack)
    this.served(peer, given)
    this.received(peer, got)
  }

  // --- disk first, then the word -------------------------------------------------------------------

  #say(book: Book): void {
    book.isDue = true
    this.#arouse(book)
    book.saidMs = this.#p.clock.monotonicMs()
    if (this.#isGathering || this.#flushing !== undefined) return
    this.#isGathering = true
    this.#p.clock.setTimer(GATHER_MS, () => {
      this.#isGathering = false
      this.#flushing = this.#flush().finally(() => {
        this.#flushing = undefined
        const next = [...this.#awake].find((each) => each.isDue)
        if (next !== undefined && !this.#isStopped) this.#say(next)
      })
    })
  }

  async #flush(): Promise<void> {
    const { log, linkTo } = this.#p
    const books = [...this.#awake].filter((book) => book.isDirty || book.isDue)
    const messages = books.filter((book) => book.isDue).map((book) => ({ book, said: ledgerMessageOf(book.pair) }))
    const dirty = books.filter((book) => book.isDirty)
    const changes = dirty.map((book) => {
      const { peer, pair, account } = book
      return { peer, pair, memory: account.memory, fresh: book.fresh.splice(0) }
    })
    for (const book of books) {
      book.isDirty = false
      book.isDue = false
    }
    try {
      if (changes.length > 0) {
        this.counts.flushes++
        await this.#disk.write(changes)
      }
    } catch (error) {
      // Nothing was said; it is tried again with the next tick or message.
      for (const [i, book] of dirty.entries()) {
        book.isDirty = true
        book.fresh.unshift(...(changes[i]?.fresh ?? []))
      }
      log('error', 'ledgers could not be written', { reason: reasonOf(error) })
      return
    }
    for (const { book, said } of messages) linkTo(book.peer)?.sendMessage(encodeLedgerMessage(said), 'control')
  }
}
