/** Onion keys: how long each lasts, what a restart keeps, and that circuits are built all the while. SPEC circuits §2 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { equalBytes, type StateStore, toHex } from '../../core/index.ts'
import { exchangeKeyFromSeed } from '../../crypto/index.ts'
import { ClientCircuit } from '../../node/client-circuit.ts'
import type { HushNode } from '../../node/compose.ts'
import { OnionKeys } from '../../node/onion-keys.ts'
import { systemRandom } from '../../node/system/index.ts'
import type { Descriptor } from '../../routing/index.ts'
import { seededRandom } from '../storage/support/random.ts'
import { HandClock, settled } from './hand-clock.ts'
import { MemoryNetwork } from './memory-network.ts'

const WEEK_MS = 7 * 24 * 60 * 60_000
const FIRST = new Uint8Array(32).fill(7)

function stage() {
  const clock = new HandClock()
  const values = new Map<string, Uint8Array>()
  const told: string[] = []
  const disk = { isBroken: false }
  const state: StateStore = {
    get: (key) => values.get(key),
    put: async (key, value) => {
      if (disk.isBroken) throw new Error('disk full')
      values.set(key, value)
    },
  }
  const open = (seed = 'keys'): OnionKeys => {
    const keys: OnionKeys = new OnionKeys({
      clock,
      random: seededRandom(seed),
      log: () => {},
      state,
      firstSeed: FIRST,
      everyMs: WEEK_MS,
      onNew: () => told.push(nameOf(keys)),
    })
    return keys
  }
  return { clock, values, told, disk, open }
}

const nameOf = (keys: OnionKeys): string => toHex(keys.newest.publicKey)
const answered = (keys: OnionKeys): string[] => keys.answered.map(({ publicKey }) => toHex(publicKey))

describe('onion keys', () => {
  it('begin with the one of the home, and change each week, the last one answered for a week more', async () => {
    const { clock, told, open } = stage()
    const keys = open()
    keys.start()
    const first = toHex(exchangeKeyFromSeed(FIRST).publicKey)
    expect(answered(keys)).toEqual([first])
    await clock.pass(WEEK_MS - 1)
    expect(answered(keys)).toEqual([first])
    await clock.pass(1)
    const second = nameOf(keys)
    expect(answered(keys)).toEqual([second, first])
    await clock.pass(WEEK_MS)
    expect(answered(keys)).toEqual([nameOf(keys), second])
    expect(told).toEqual([second, nameOf(keys)])
    expect(new Set([first, ...told]).size).toBe(3)
  })

  it('outlive a restart, and one that was away for long answers for its last one while it changes it', async () => {
    const { clock, open } = stage()
    const before = open()
    before.start()
    await clock.pass(1.5 * WEEK_MS)
    const had = answered(before)
    expect(had).toHaveLength(2)
    before.stop()
    const after = open('other')
    expect(answered(after)).toEqual(had)
    after.start()
    await clock.pass(WEEK_MS / 2)
    expect(answered(after)).toEqual([nameOf(after), had[0]])
    after.stop()
    await clock.pass(10 * WEEK_MS)
    const late = open('third')
    // Of the one before, nobody can have a descriptor any more.
    expect(answered(late)).toEqual([nameOf(after)])
    late.start()
    await clock.pass(0)
    expect(answered(late)).toEqual([nameOf(late), nameOf(after)])
  })

  it('are shown only when they are on the disk, and tried again', async () => {
    const { clock, told, disk, open } = stage()
    const keys = open()
    keys.start()
    const first = nameOf(keys)
    disk.isBroken = true
    await clock.pass(WEEK_MS + 30_000)
    expect([nameOf(keys), told]).toEqual([first, []])
    disk.isBroken = false
    await clock.pass(60_000)
    expect(nameOf(keys)).not.toBe(first)
    expect(told).toHaveLength(1)
  })

  it('begin anew when the file is damaged, and end with the relay', async () => {
    const { clock, values, told, open } = stage()
    open().start()
    await settled()
    for (const damage of [[], [2], [1, 0, 0]]) {
      values.set('onion-keys', Uint8Array.from(damage))
      expect(nameOf(open())).toBe(toHex(exchangeKeyFromSeed(FIRST).publicKey))
    }
    values.clear()
    const keys = open()
    keys.start()
    keys.stop()
    told.length = 0
    await clock.pass(3 * WEEK_MS)
    expect(told).toHaveLength(3)
    expect(nameOf(keys)).toBe(toHex(exchangeKeyFromSeed(FIRST).publicKey))
  })
})

describe('a network whose relays change their keys', () => {
  const EVERY_MS = 6_000
  const network = new MemoryNetwork({ profile: { onionKeyEveryMs: EVERY_MS, gossipEveryMs: 500 } })
  let client: HushNode

  beforeAll(async () => {
    await network.start({ joining: 0 })
    client = await network.addClient()
    await network.until(() => client.pool.ready.length >= 4, 'circuits')
  })
  afterAll(() => network.stop())

  const build = async (path: readonly Descriptor[]): Promise<boolean> => {
    const guard = await client.guards.take()
    const ports = {
      clock: network.clock,
      random: systemRandom(),
      circuits: client.circuits,
      networkId: client.settings.networkId,
      puzzles: client.puzzles,
    }
    if (guard === undefined) throw new Error('no guard')
    return ClientCircuit.build(ports, { guard: guard.link, path }).then(
      (circuit) => {
        circuit.close()
        return true
      },
      () => false,
    )
  }

  it('answers a client with an old descriptor for a time, and not for ever', async () => {
    const taken = await client.guards.take()
    const guard = taken?.guard
    const other = [...client.view.descriptors()].find(({ id }) => guard !== undefined && !equalBytes(id, guard.id))
    if (guard === undefined || other === undefined) throw new Error('no relays')
    const now = (of: Descriptor): Descriptor => client.view.get(of.id) ?? of
    const changed = (from: Descriptor) => !equalBytes(now(from).onionKey, from.onionKey)
    await network.until(() => changed(other), 'a new key')
    // Its next comes a period later: what it has now is answered for between one and two periods.
    const old = now(other)
    expect(await build([now(guard), old])).toBe(true)
    await network.until(() => changed(old), 'another key')
    expect(await build([now(guard), old])).toBe(true)
    const last = now(other)
    await network.until(() => changed(last), 'a third key')
    expect(await build([now(guard), old])).toBe(false)
    expect(await build([now(guard), now(other)])).toBe(true)
  })
})
