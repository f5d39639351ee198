/** What a vault keeps, for whom, and for how long; and what a keeper remembers of its lines. SPEC vaults §2, §3 */
import { beforeEach, describe, expect, it } from 'vitest'
import { type Location, type NodeId, named32, PROFILES, type PublicKey, SHARD_SIZE } from '../../core/index.ts'
import { merkleRoot, type SigningKey, signingKeyFromSeed } from '../../crypto/index.ts'
import { CircuitError } from '../../node/circuit-error.ts'
import { Attachments, attachBody } from '../../node/roles/attachments.ts'
import type { AskedCircuit } from '../../node/roles/gateway.ts'
import { dropHashOf, Vault } from '../../node/roles/vault.ts'
import {
  decodeVaultAnswer,
  encodeVaultRequest,
  type RemoteRead,
  type VaultAnswer,
  type VaultRequest,
  WHOLE,
} from '../../routing/index.ts'
import { openMemoryRecords, openMemoryStore, shardRef } from '../../storage/index.ts'
import { seededBytes } from '../storage/support/random.ts'
import { HandClock } from './hand-clock.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const keyOfSeed = (seed: number): SigningKey => signingKeyFromSeed(seededBytes(seed, 32))
const [LINE, OTHER] = [keyOfSeed(1).publicKey, keyOfSeed(2).publicKey]

describe('a vault', () => {
  let clock: HandClock
  let records: ReturnType<typeof openMemoryRecords>
  let store: ReturnType<typeof openMemoryStore>['store']
  let vault: Vault
  const bytes = seededBytes(5, SHARD_SIZE)
  const root = merkleRoot(bytes)
  const secret = seededBytes(6, 32)
  const say = async (request: VaultRequest, line: PublicKey = LINE): Promise<VaultAnswer> =>
    decodeVaultAnswer(await vault.answer(line, encodeVaultRequest(request)))
  const keep = (leaseMs: number, line?: PublicKey) =>
    say({ kind: 'keep', leaseEndMs: clock.nowMs() + leaseMs, dropHash: dropHashOf(secret), bytes }, line)
  const read = (leaseEndMs = 0, line?: PublicKey) =>
    say({ kind: 'read', root, leaseEndMs, range: { from: 0, count: 1 } }, line)

  beforeEach(() => {
    clock = new HandClock()
    records = openMemoryRecords()
    store = openMemoryStore({ quotaBytes: 2 * SHARD_SIZE }).store
    vault = new Vault({ clock, log: () => {}, records, store })
  })

  it('keeps until the lease ends, and forgets bytes and record', async () => {
    vault.start()
    expect(await keep(HOUR)).toEqual({ kind: 'kept' })
    await clock.pass(HOUR - 1_000)
    expect((await read()).kind).toBe('data')
    await clock.pass(2 * HOUR)
    expect((await read()).kind).toBe('none')
    expect(store.usage().count).toBe(0)
    expect(records.list(Uint8Array.of(0x76))).toEqual([])
    vault.stop()
  })

  it('takes no lease that has ended or reaches further than 91 days', async () => {
    expect(await keep(-1)).toEqual({ kind: 'full' })
    expect(await keep(91 * DAY + 1)).toEqual({ kind: 'full' })
    expect(await keep(91 * DAY)).toEqual({ kind: 'kept' })
    expect((await read(clock.nowMs() + 92 * DAY)).kind).toBe('none')
  })

  it('prolongs a lease with a read, and never shortens one', async () => {
    await keep(HOUR)
    const end = clock.nowMs() + DAY
    expect((await read(end)).kind).toBe('data')
    expect((await read(clock.nowMs() + 2 * HOUR)).kind).toBe('data')
    expect(store.leaseEnd(shardRef(root))).toBe(end)
    await clock.pass(DAY - 1)
    expect((await read()).kind).toBe('data')
  })

  it('reads and drops over the line a blob came by, and over no other', async () => {
    await keep(HOUR)
    expect((await read(0, OTHER)).kind).toBe('none')
    expect((await say({ kind: 'drop', root, secret }, OTHER)).kind).toBe('none')
    expect((await say({ kind: 'drop', root, secret: seededBytes(7, 32) })).kind).toBe('none')
    expect((await read()).kind).toBe('data')
    expect((await say({ kind: 'drop', root, secret })).kind).toBe('kept')
    expect((await read()).kind).toBe('none')
    expect(store.has(shardRef(root))).toBe(false)
  })

  it('lets go of bytes that two lines hold only with the last of them', async () => {
    await keep(HOUR)
    await keep(HOUR, OTHER)
    await say({ kind: 'drop', root, secret })
    expect((await read(0, OTHER)).kind).toBe('data')
    await say({ kind: 'drop', root, secret }, OTHER)
    expect(store.has(shardRef(root))).toBe(false)
  })

  it('does not let a second KEEP change what takes a blob away', async () => {
    await keep(HOUR)
    const leaseEndMs = clock.nowMs() + HOUR
    await say({ kind: 'keep', leaseEndMs, dropHash: dropHashOf(seededBytes(9, 32)), bytes })
    expect((await say({ kind: 'drop', root, secret: seededBytes(9, 32) })).kind).toBe('none')
    expect((await say({ kind: 'drop', root, secret })).kind).toBe('kept')
  })

  it('is full at its quota, and refuses what is no request', async () => {
    for (const seed of [20, 21]) {
      const leaseEndMs = clock.nowMs() + HOUR
      const blob = { leaseEndMs, dropHash: root, bytes: seededBytes(seed, SHARD_SIZE) }
      expect((await say({ kind: 'keep', ...blob })).kind).toBe('kept')
    }
    expect(await keep(HOUR)).toEqual({ kind: 'full' })
    await expect(vault.answer(LINE, Uint8Array.of(1, 2))).rejects.toThrow('unknown request')
  })
})

describe('the lines of a keeper', () => {
  const selfId = named32<'NodeId'>(seededBytes(50, 32), 'id') as NodeId
  const networkId = named32<'NetworkId'>(seededBytes(51, 32), 'network')
  const point = named32<'Location'>(seededBytes(52, 32), 'point') as Location
  const profile = { ...PROFILES.production, vaultSlots: 4, vaultSlotsDoubleMs: DAY, vaultAbsentMs: HOUR }
  let clock: HandClock
  let records: ReturnType<typeof openMemoryRecords>
  let lines: Attachments
  let rank = 0
  let afar: RemoteRead[] = []

  class Circuit implements AskedCircuit {
    readonly binding: Uint8Array
    isGone = false
    misbehaviour: string | undefined
    onGone: () => void = () => {}
    answer: (question: Uint8Array) => Promise<Uint8Array> = async () => Uint8Array.of(67)
    constructor(seed: number) {
      this.binding = seededBytes(1_000 + seed, 32)
    }
    ask(question: Uint8Array): Promise<Uint8Array> {
      return this.answer(question)
    }
    misbehaved(reason: string): void {
      this.misbehaviour = reason
      this.end()
    }
    end(): void {
      this.isGone = true
      this.onGone()
    }
  }
  const open = () =>
    new Attachments({
      clock,
      log: () => {},
      records,
      profile,
      networkId,
      selfId,
      rankOf: () => rank,
      readAfar: async (read) => {
        afar.push(read)
        return { end: 'busy' }
      },
    })
  const attach = (
    circuit: Circuit,
    options: { key?: SigningKey; keeperId?: Uint8Array; binding?: Uint8Array } = {},
  ) => {
    const { key = keyOfSeed(1), keeperId = selfId, binding = circuit.binding } = options
    const body = attachBody({ networkId, keeperId: keeperId as NodeId, point, binding })
    return lines.serve({ kind: 'attach', line: key.publicKey, point, signature: key.sign(body) }, circuit)
  }
  const slots = () => lines.attached()[0]?.slotsFree

  beforeEach(() => {
    clock = new HandClock()
    records = openMemoryRecords()
    rank = 0
    afar = []
    lines = open()
  })

  it('are taken with a signature for this keeper, point and circuit, and with no other', () => {
    expect(attach(new Circuit(1), { binding: new Circuit(2).binding }).kind).toBe('refused')
    expect(attach(new Circuit(1), { keeperId: networkId }).kind).toBe('refused')
    rank = profile.copies + 4
    expect(attach(new Circuit(1)).kind).toBe('refused')
    rank--
    const circuit = new Circuit(1)
    expect(attach(circuit)).toEqual({ kind: 'attached', slots: 4 })
    expect(attach(circuit, { key: keyOfSeed(3) }).kind).toBe('refused')
    expect(lines.attached().length).toBe(1)
  })

  it('are refused when their key is no safe one', () => {
    // The neutral point: this signature of it is good for every message.
    const line = new Uint8Array(32).fill(1, 0, 1)
    const signature = new Uint8Array(64).fill(1, 0, 1)
    expect(lines.serve({ kind: 'attach', line, point, signature }, new Circuit(1)).kind).toBe('refused')
  })

  it('are 256 at most, and a line that comes back is no further one', () => {
    const keys = Array.from({ length: 257 }, (_, i) => keyOfSeed(100 + i))
    const answers = keys.map((key, i) => attach(new Circuit(i), { key }).kind)
    expect(answers.filter((kind) => kind === 'attached').length).toBe(256)
    expect(answers.at(-1)).toBe('refused')
    expect(attach(new Circuit(999), { key: keys[0] as SigningKey }).kind).toBe('attached')
    expect(lines.attached().length).toBe(256)
  })

  it('grow while all audits pass, begin anew after one that fails, and are remembered over a restart', async () => {
    attach(new Circuit(1))
    await clock.pass(3 * DAY)
    expect(slots()).toBe(4)
    lines.audited(LINE, true)
    await clock.pass(2 * DAY)
    expect(slots()).toBe(16)
    lines.audited(LINE, true)
    await clock.pass(30 * DAY)
    expect(slots()).toBe(65_536)

    lines = open()
    expect(lines.absentSinceMs(LINE)).toBe(clock.monotonicMs())
    expect(attach(new Circuit(2))).toMatchObject({ kind: 'attached' })
    expect(lines.absentSinceMs(LINE)).toBeUndefined()
    lines.audited(LINE, false)
    expect(slots()).toBe(4)
  })

  it('that were away for long begin anew; those that were not go on', async () => {
    const first = new Circuit(1)
    attach(first)
    lines.audited(LINE, true)
    await clock.pass(DAY)
    expect(slots()).toBe(8)
    first.end()
    expect(lines.absentSinceMs(LINE)).toBe(clock.monotonicMs())
    await clock.pass(HOUR)
    const second = new Circuit(2)
    attach(second)
    expect(slots()).toBe(8)
    second.end()
    await clock.pass(HOUR + 1)
    attach(new Circuit(3))
    expect(slots()).toBe(4)
  })

  it('give away no slot that is taken, or about to be', async () => {
    const circuit = new Circuit(1)
    let settle: (answer: Uint8Array) => void = () => {}
    circuit.answer = () => new Promise((resolve) => (settle = resolve))
    attach(circuit)
    lines.blobsOn = () => 1
    const bytes = seededBytes(5, SHARD_SIZE)
    const kept = lines.keep(LINE, { bytes, leaseEndMs: clock.nowMs(), dropHash: bytes.subarray(0, 32) })
    expect(slots()).toBe(2)
    settle(Uint8Array.of(68))
    expect(await kept).toBe('full')
    expect(slots()).toBe(3)
  })

  it('end with their circuit; a newer one of the same key stays', () => {
    const [first, second] = [new Circuit(1), new Circuit(2)]
    attach(first)
    attach(second)
    first.end()
    expect(lines.attached().length).toBe(1)
    second.end()
    expect(lines.attached()).toEqual([])
  })

  it('that are silent three times running, or answer nonsense, lose their circuit', async () => {
    const place = { point, line: LINE, root: seededBytes(4, 32) }
    const silent = new Circuit(1)
    silent.answer = async () => {
      throw new CircuitError('no answer in time')
    }
    attach(silent)
    for (const answer of [silent.answer, silent.answer, async () => Uint8Array.of(67)]) {
      silent.answer = answer
      await lines.drop(place, place.root)
    }
    silent.answer = async () => {
      throw new CircuitError('no answer in time')
    }
    for (const isGone of [false, false, true]) {
      expect(await lines.read(place, { range: WHOLE })).toBeUndefined()
      expect(silent.isGone).toBe(isGone)
    }
    const mad = new Circuit(2)
    mad.answer = async () => Uint8Array.of(4)
    attach(mad)
    expect(await lines.drop(place, place.root)).toBe(false)
    expect(mad.misbehaviour).toMatch(/malformed/)
    expect(afar).toEqual([])
    await lines.read(place, { range: WHOLE })
    expect(afar.length).toBe(1)
  })

  it('say how much is left to move when their vault leaves, and take no more', () => {
    const circuit = new Circuit(1)
    expect(lines.serve({ kind: 'leave' }, circuit).kind).toBe('refused')
    attach(circuit)
    lines.onLeave = (line) => (Buffer.from(line).equals(LINE) ? 7 : 0)
    expect(lines.serve({ kind: 'leave' }, circuit)).toEqual({ kind: 'left', left: 7 })
    expect(lines.attached()[0]?.isLeaving).toBe(true)
  })
})
