/** Accounts of link neighbours over a clock and disks of the test's own. SPEC ledger §4 to §7 */
import { describe, expect, it } from 'vitest'
import { type Clock, equalBytes, type NetworkId, PROFILES, type PublicKey, type RecordStore } from '../../core/index.ts'
import { signingKeyFromSeed } from '../../crypto/index.ts'
import { CellMeter } from '../../node/cell-credits.ts'
import type { PeerLink } from '../../node/links.ts'
import { Accounts } from '../../node/roles/accounts.ts'
import { decodeLedgerMessage, judgeChain } from '../../routing/index.ts'
import { openMemoryRecords } from '../../storage/index.ts'

const NETWORK = new Uint8Array(32).fill(3) as NetworkId
const DAY_S = 86_400

class World {
  nowMs = 1_700_000_000_000
  #timers: { atMs: number; run: () => void }[] = []
  readonly clock: Clock = {
    nowMs: () => this.nowMs,
    monotonicMs: () => this.nowMs,
    setTimer: (delayMs, run) => {
      const timer = { atMs: this.nowMs + delayMs, run }
      this.#timers.push(timer)
      const cancel = (): void => {
        this.#timers = this.#timers.filter((each) => each !== timer)
      }
      return { cancel }
    },
  }
  async pass(seconds: number): Promise<void> {
    const untilMs = this.nowMs + seconds * 1_000
    for (;;) {
      const next = this.#timers.filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0]
      if (next === undefined) break
      this.#timers = this.#timers.filter((each) => each !== next)
      this.nowMs = Math.max(this.nowMs, next.atMs)
      next.run()
      await settled()
    }
    this.nowMs = untilMs
  }
}
async function settled(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve()
}

class Party {
  readonly key
  readonly records: RecordStore = openMemoryRecords()
  accounts: Accounts
  load = 0
  /** Whether peers have shown a descriptor. */
  knowsMembers = true
  /** Messages are lost. */
  isDeaf = false
  flush: Promise<void> = Promise.resolve()
  sent = 0
  readonly peers: PeerLink[] = []
  readonly #world: World

  constructor(world: World, seed: number) {
    this.#world = world
    this.key = signingKeyFromSeed(new Uint8Array(32).fill(seed))
    this.accounts = this.start()
  }
  start(): Accounts {
    const random = { bytes: (size: number) => new Uint8Array(size).fill(this.#world.nowMs % 251), fill: () => {} }
    this.accounts = new Accounts({
      clock: this.#world.clock,
      jitter: { uint32: () => 1 },
      random,
      log: () => {},
      records: {
        ...this.records,
        write: async (changes) => {
          await this.flush
          await this.records.write(changes)
        },
      },
      networkId: NETWORK,
      key: this.key,
      linkTo: (key) => this.peers.find((peer) => equalBytes(peer.key, key)),
      takeUncounted: () => [],
      load: () => this.load,
      placeOf: () => ({ isMember: this.knowsMembers, members: 1 }),
      uploadBytesPerSecond: undefined,
      profile: PROFILES.production,
    })
    this.accounts.start()
    return this.accounts
  }
  with(key: PublicKey): PeerLink {
    return this.peers.find((peer) => peer.key === key) as PeerLink
  }
  report() {
    return this.accounts.reports()[0] as ReturnType<Accounts['reports']>[0]
  }
}

function join(one: Party, other: Party): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.peers.push({
      key: to.key.publicKey,
      cells: new CellMeter({ isDialer: true, onFirst: () => {} }),
      sendMessage: (message: Uint8Array) => {
        from.sent++
        if (!to.isDeaf) void Promise.resolve().then(() => to.accounts.onMessage(to.with(from.key.publicKey), message))
        return true
      },
    } as unknown as PeerLink)
  }
}

function pair(): { world: World; one: Party; other: Party; serve: (from: Party, to: Party, credits: number) => void } {
  const world = new World()
  const [one, other] = [new Party(world, 1), new Party(world, 2)]
  join(one, other)
  const serve = (from: Party, to: Party, credits: number): void => {
    from.accounts.served(from.with(to.key.publicKey), credits)
    to.accounts.received(to.with(from.key.publicKey), credits)
  }
  return { world, one, other, serve }
}

describe('accounts of two neighbours', () => {
  it('agree, and what one gave the other got', async () => {
    const { world, one, other, serve } = pair()
    serve(one, other, 900)
    serve(other, one, 400)
    await world.pass(200)
    const [a, b] = [one.report(), other.report()]
    expect([a.given, a.got]).toEqual([b.got, b.given])
    expect(a.balance).toBe(0 - b.balance)
    expect([a.unsignedGiven, a.unsignedGot, b.unsignedGiven, b.unsignedGot]).toEqual([0, 0, 0, 0])
    expect(a.entries).toBe(b.entries)
    const chain = one.accounts.chain(other.key.publicKey)
    expect(chain && judgeChain(chain.ends, chain.opening, chain.entries)).toEqual({ verdict: 'good', isWhole: true })
  })

  it('have what is left unsigned signed a minute later, and not when they are next looked at for another reason', async () => {
    const { world, one, other, serve } = pair()
    serve(one, other, 900)
    serve(other, one, 900)
    await world.pass(55)
    const before = [one.report().unsignedGot, other.report().unsignedGot]
    await world.pass(15)
    expect([before, one.report().unsignedGot, other.report().unsignedGot]).toEqual([[900, 900], 0, 0])
  })

  it('say nothing before it is on disk', async () => {
    const { world, one, other, serve } = pair()
    let flushed: () => void = () => {}
    for (const party of [one, other])
      party.flush = new Promise((resolve) => {
        const before = flushed
        flushed = () => {
          before()
          resolve()
        }
      })
    serve(one, other, 1_500)
    serve(other, one, 1_500)
    await world.pass(100)
    // B's wish for a ledger bears no signature; whatever does waits.
    const [first, second] = [one.accounts.counts.entries, other.accounts.counts.entries]
    expect([first, second]).toEqual([0, 0])
    flushed()
    await world.pass(100)
    expect(one.report().entries).toBeGreaterThan(0)
  })

  it('go on after a crash with what both had signed', async () => {
    const { world, one, other, serve } = pair()
    serve(one, other, 2_000)
    await world.pass(30)
    const signed = one.report().balance
    expect(signed).toBe(2_000)
    serve(one, other, 100)
    await one.accounts.stop()
    one.start()
    expect(one.report().balance).toBe(2_000)
    await world.pass(200)
    expect(one.report().balance).toBe(0 - other.report().balance)
    // What only the other side had counted is in its favour to tell, and it told.
    expect(one.report().given).toBe(2_100)
  })

  it('are restored from the peer after a disk was lost', async () => {
    const { world, one, other, serve } = pair()
    serve(one, other, 2_000)
    await world.pass(30)
    const gone = new Party(world, 1)
    Object.assign(one, { records: gone.records })
    await gone.accounts.stop()
    await one.accounts.stop()
    one.start()
    serve(one, other, 1_500)
    await world.pass(200)
    expect(one.report().balance).toBe(0 - other.report().balance)
    expect(one.report().given).toBe(3_500)
  })

  it('forgive, a newcomer 4 credits a second', async () => {
    const { world, one, other, serve } = pair()
    serve(one, other, 4_000)
    await world.pass(10)
    const before = one.report().exposure
    await world.pass(600)
    // Looked at four times a minute.
    expect(before - one.report().exposure).toBeGreaterThan(2_400 - 80)
    expect(before - one.report().exposure).toBeLessThan(2_400 + 80)
  })

  it('hold back who owes too much, under load only, and tell it', async () => {
    const { world, one, other, serve } = pair()
    const peer = one.with(other.key.publicKey)
    serve(one, other, 850)
    expect([one.accounts.admit(peer), one.report().standing.word]).toEqual(['serve', 'delay'])
    one.load = 1
    expect(one.accounts.admit(peer)).toBe('delay')
    const delayed = one.accounts.shareOf(peer)
    serve(one, other, 4_000)
    expect(one.accounts.admit(peer)).toBe('refuse')
    one.load = 0.6
    expect(one.accounts.admit(peer)).toBe('refuse')
    one.load = 0.4
    expect(one.accounts.admit(peer)).toBe('serve')
    one.load = 1
    expect(one.accounts.shareOf(peer)).toBeLessThan(delayed)
    await world.pass(5)
    expect(other.report().heard).toMatchObject({ word: 'refuse', limit: 800 })
    // Service in return pays, and its merit has the rest forgiven.
    serve(other, one, 3_000)
    await world.pass(5)
    expect(one.accounts.admit(peer)).toBe('serve')
    expect(one.report().exposure).toBe(0)
  })

  it('let in of who may owe no more what the fund has, whatever their names', () => {
    const { one, other } = pair()
    const client = one.with(other.key.publicKey)
    const another = { key: signingKeyFromSeed(new Uint8Array(32).fill(9)).publicKey }
    one.knowsMembers = false
    expect(one.accounts.mayLetIn(client)).toBe(true)
    one.load = 1
    expect([client, another].map((peer) => one.accounts.admit(peer))).toEqual(['refuse', 'refuse'])
    let cells = 0
    for (; one.accounts.mayLetIn(client) && cells < 1_000; cells++) one.accounts.letIn(client)
    expect(cells).toBeGreaterThan(40)
    expect(cells).toBeLessThan(60)
    expect(one.accounts.mayLetIn(another)).toBe(false)
    one.load = 0
    expect(one.accounts.mayLetIn(another)).toBe(true)
  })

  it('let the limit grow with service, once a day, and halve it for debts not signed for', async () => {
    const { world, one, other, serve } = pair()
    serve(other, one, 5_000)
    serve(one, other, 5_000)
    await world.pass(DAY_S + 180)
    expect(one.report().limit).toBe(8_192)
    expect(other.report().peerLimit).toBe(8_192)
    // It takes, and does not sign.
    other.isDeaf = true
    other.peers.length = 0
    one.accounts.served(one.with(other.key.publicKey), 20_000)
    await world.pass(700)
    expect(one.report()).toMatchObject({ limit: 4_096, strikes: 1, unsignedGiven: 0 })
  })

  it('give no ledger to a key of small order', () => {
    const { one } = pair()
    const small = { key: new Uint8Array(32) as PublicKey, sendMessage: () => true } as unknown as PeerLink
    one.accounts.served(small, 100)
    expect(one.accounts.count).toBe(0)
    expect(decodeLedgerMessage(Uint8Array.of(50, 0))).toEqual({})
    expect(one.accounts.onMessage(small, Uint8Array.of(50, 0))).toBe(true)
    expect(one.accounts.count).toBe(0)
  })
})
