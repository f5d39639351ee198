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
  ByteWriter,
  type Clock,
  concatBytes,
  equalBytes,
  type Jitter,
  keyOf,
  type Log,
  MalformedError,
  type NetworkId,
  type PublicKey,
  type RecordStore,
  messageOf as reasonOf,
  type SecretRandom,
  toHex,
} from '../../core/index.ts'
import { isSafePublicKey, type SigningKey } from '../../crypto/index.ts'
import {
  Account,
  CELL_PRICE,
  CHAIN_ENTRIES_MAX,
  type ChainFile,
  decodeAccountRecord,
  decodeEntry,
  decodeLedgerMessage,
  type Entry,
  encodeAccountRecord,
  encodeEntry,
  encodeLedgerMessage,
  endsOf,
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
  proposeEntry,
  receiveLedger,
  type Standing,
  sideOf,
  uploadShare,
  type Word,
  wordAt,
} from '../../routing/index.ts'
import type { PeerLink } from '../links.ts'

/** Accounts in memory; beyond, the one that was idle longest and has no entry gives way. */
const ACCOUNTS_MAX = 8_192
const TICK_MS = 1_000
/** Until a book is looked at again to which nothing happens and of which nothing is to be forgiven. */
const REST_MS = 5_000
/** Signatures of so long are flushed together. */
const GATHER_MS = 250
const RESEND_MS = 30_000
const NOTICE_MS = 10_000
/** A notice that was not repeated for so long no longer holds. */
const NOTICE_VALID_MS = 30_000
const MINUTE_MS = 60_000
/** A shard comes back in eight cells. */
const SHARD_CREDITS = 8 * CELL_PRICE.towardsClient
/** Old entries are looked for after so many new ones. */
const PRUNE_EVERY = 256
const KIND = { account: 0x61, entry: 0x65 } as const

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
  /** Entries since old ones were last thrown away. */
  sincePruned: number
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
  #tickedMs: number
  #tickedMinute: number
  #flushing: Promise<void> | undefined
  #isGathering = false
  #isStopped = false
  readonly counts = { entries: 0, proposals: 0, refused: 0, frauds: 0, flushes: 0, given: 0, got: 0 }

  constructor(ports: AccountsPorts) {
    this.#p = ports
    this.#tickedMs = ports.clock.monotonicMs()
    this.#tickedMinute = this.#minute()
    for (const { key, value } of ports.records.list(Uint8Array.of(KIND.account), ACCOUNTS_MAX))
      this.#restore(key, value)
  }

  start(): void {
    this.#tickNowAndThen()
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
    this.#wake(peer.key)?.account.took(credits, this.#p.clock.monotonicMs())
  }

  /** How a request to the peer ended. */
  answered(peer: PeerLink, wasGood: boolean): void {
    this.#bookOf(peer.key)?.account.asked(wasGood)
  }

  /** How the peer is to be served now. Below half load everybody is. */
  admit(peer: PeerLink): Word {
    const load = this.#p.load()
    const book = load < LOAD_HOLDING ? undefined : this.#books.get(keyOf(peer.key))
    return book === undefined ? 'serve' : wordAt(load, book.account.standing())
  }

  /** A cell of a peer that is held back was let in: as many credits as the shard that it may ask for. */
  letIn(peer: { readonly key: PublicKey }): void {
    this.#wake(peer.key)?.account.reserve(SHARD_CREDITS, this.#p.clock.monotonicMs())
  }

  /** Its share of what is sent while others wait. */
  shareOf(peer: { readonly key: PublicKey }): number {
    const book = this.#books.get(keyOf(peer.key))
    return uploadShare(book?.account.standing() ?? { word: 'serve', score: 0 })
  }

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

  /** The stored chain with a peer, oldest first, a proof of fraud at its end; undefined without a ledger. */
  chain(peer: PublicKey): ChainFile | undefined {
    const book = this.#books.get(keyOf(peer))
    const { opening, fraud } = book?.pair ?? NEW_PAIR
    if (book === undefined || opening === undefined) return undefined
    const entries = this.#entriesOf(book)
    for (const proof of fraud ?? []) {
      const last = entries.at(-1)
      if (last === undefined || !isSameEntry(last, proof)) entries.push(proof)
    }
    return { ends: book.context.ends, opening, entries: entries.slice(-CHAIN_ENTRIES_MAX) }
  }

  #entriesOf({ context, pair }: Book): Entry[] {
    const stored = this.#p.records.list(entryKey(context, 0).subarray(0, 33), CHAIN_ENTRIES_MAX)
    const entries = stored.map(({ value }) => decodeEntry(value))
    // Of an earlier opening, if a disk was lost in between.
    return pair.top === undefined ? [] : entries.filter((entry) => equalBytes(entry.pair, (pair.top as Entry).pair))
  }

  #reportOf({ peer, account, pair, heard }: Book): AccountReport {
    const isHeard = heard !== undefined && this.#p.clock.monotonicMs() - heard.atMs < NOTICE_VALID_MS
    return {
      peer,
      balance: account.balance,
      exposure: Math.floor(account.exposure),
      limit: account.limit,
      peerLimit: account.peerLimit,
      given: account.given,
      got: account.got,
      unsignedGiven: account.tailGiven,
      unsignedGot: account.tailGot,
      entries: pair.top?.number ?? 0,
      strikes: account.strikes,
      isFraud: account.isFraud,
      standing: account.standing(),
      heard: isHeard ? heard.notice : undefined,
    }
  }

  // --- the books -----------------------------------------------------------------------------------

  #restore(key: Uint8Array, value: Uint8Array): void {
    try {
      const { pair, memory } = decodeAccountRecord(value)
      const peer = key.slice(1) as PublicKey
      const book = this.#newBook(peer, { pair, memory })
      this.#books.set(keyOf(peer), book)
      this.#awake.add(book)
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error
      this.#p.log('error', 'an account on disk is damaged; the peer knows what both have signed')
    }
  }

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

  #newBook(peer: PublicKey, stored: ReturnType<typeof decodeAccountRecord> | undefined): Book {
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
      sincePruned: 0,
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
    const wish = account.wish({ nowMs, minute: this.#minute() }) ?? (isFirst ? nothing : undefined)
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

  #tickNowAndThen(): void {
    this.#p.clock.setTimer(TICK_MS, () => {
      if (this.#isStopped) return
      this.#tick()
      this.#tickNowAndThen()
    })
  }

  #tick(): void {
    const { clock, linkTo, takeUncounted, load } = this.#p
    const nowMs = clock.monotonicMs()
    const at = { nowMs, minute: this.#minute(), elapsedMs: nowMs - this.#tickedMs }
    const isLoaded = load() >= LOAD_HOLDING
    // A day that ends may change any limit: whoever sleeps is woken once a minute.
    if (at.minute !== this.#tickedMinute) for (const book of this.#books.values()) this.#arouse(book)
    this.#tickedMs = nowMs
    this.#tickedMinute = at.minute
    for (const peer of takeUncounted()) this.#countCells(peer)
    for (const book of this.#awake) {
      if (nowMs < book.restsUntilMs) continue
      const { account, pair } = book
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
        if (account.isStill) book.restsUntilMs = nowMs + REST_MS
        continue
      }
      if (isDue && pair.proposal === undefined) this.#propose(book, { isFirst: false })
      else if (isDue) this.#say(book)
      if (isLoaded) this.#tell(peer, book, nowMs)
    }
  }

  /** Says to a peer that is held back why. */
  #tell(peer: PeerLink, book: Book, nowMs: number): void {
    const { word, exposure, limit } = book.account.standing()
    if (word === 'serve' || nowMs - book.noticedMs < NOTICE_MS) return
    book.noticedMs = nowMs
    const notice = { word, exposure: Math.max(0, Math.floor(exposure)), limit }
    peer.sendMessage(encodeLedgerMessage({ notice }), 'control')
  }

  #countCells(peer: PeerLink): void {
    const { given, got } = peer.takeCellCredits()
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
    const { records, log, linkTo } = this.#p
    const books = [...this.#awake].filter((book) => book.isDirty || book.isDue)
    const messages = books.filter((book) => book.isDue).map((book) => ({ book, said: ledgerMessageOf(book.pair) }))
    const dirty = books.filter((book) => book.isDirty)
    const changes = dirty.flatMap((book) => this.#changesOf(book))
    for (const book of books) {
      book.isDirty = false
      book.isDue = false
    }
    try {
      if (changes.length > 0) {
        this.counts.flushes++
        await records.write(changes)
      }
    } catch (error) {
      // Nothing was said; it is tried again with the next tick or message.
      for (const book of dirty) book.isDirty = true
      log('error', 'ledgers could not be written', { reason: reasonOf(error) })
      return
    }
    for (const { book, said } of messages) linkTo(book.peer)?.sendMessage(encodeLedgerMessage(said), 'control')
  }

  #tooOld(book: Book): { key: Uint8Array; value: undefined }[] {
    if (book.sincePruned < PRUNE_EVERY) return []
    book.sincePruned = 0
    const kept = this.#p.records.list(entryKey(book.context, 0).subarray(0, 33))
    return kept.slice(0, Math.max(0, kept.length - CHAIN_ENTRIES_MAX)).map(({ key }) => ({ key, value: undefined }))
  }

  #changesOf(book: Book): { key: Uint8Array; value: Uint8Array | undefined }[] {
    const fresh = book.fresh.splice(0)
    book.sincePruned += fresh.length
    const record = encodeAccountRecord({ pair: book.pair, memory: book.account.memory })
    return [
      { key: concatBytes(Uint8Array.of(KIND.account), book.peer), value: record },
      ...fresh.map((entry) => ({ key: entryKey(book.context, entry.number), value: encodeEntry(entry) })),
      ...this.#tooOld(book),
    ]
  }
}

/** Of the pair's other key, so that all openings of one pair lie together. */
function entryKey({ ends, side }: PairContext, number: number): Uint8Array {
  const w = new ByteWriter(41).u8(KIND.entry)
  return w
    .bytes(side === 'A' ? ends.keyB : ends.keyA)
    .u64(number)
    .done()
}
