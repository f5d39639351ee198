/**
 * Nodes that are keepers, vaults, guards and relays of lines at once are killed, stopped and started again, while files
 * are put and fetched. HUSH_E2E_MINUTES: how long (10 in the long run); half of one unless given. SPEC vaults §7
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { below, pick, shuffle } from '../../core/index.ts'
import { seededBytes, seededJitter } from '../storage/support/random.ts'
import { acknowledged } from './support/hush.ts'
import { Net } from './support/net.ts'

const NODES = 14
const MINUTES = Number(process.env.HUSH_E2E_MINUTES ?? 0.5)
const SEED = process.env.HUSH_E2E_SEED ?? 'churn'
/** As many as a ring of so many can lose at once and still be one. */
const DOWN_MAX = 3
const PAUSE_MS = 4_000

let net: Net
beforeAll(async () => {
  net = await Net.start(NODES)
})
afterAll(() => net?.end())

describe('what was acknowledged', () => {
  it('is there to the end, though vaults and guards come and go all the while', {
    timeout: (MINUTES + 8) * 60_000,
  }, async () => {
    const jitter = seededJitter(SEED)
    const kept: { readonly address: string; readonly bytes: Uint8Array }[] = []
    const down: string[] = []
    let [puts, kills, stops, returns] = [0, 0, 0, 0]
    const endMs = performance.now() + MINUTES * 60_000
    do {
      const up = await net.liveNodes()
      if (down.length === DOWN_MAX || (down.length > 0 && below(jitter, 3) === 0)) {
        const [back] = down.splice(below(jitter, down.length), 1)
        await net.restart(back as string)
        returns++
      } else {
        const name = pick(jitter, up) as string
        down.push(name)
        if (below(jitter, 2) === 0) {
          await net.killHard(name)
          kills++
        } else {
          // It says goodbye, and hands over what it can in the time a user gives it.
          expect((await net.as(name, ['down'])).code).toBe(0)
          stops++
        }
      }
      const bytes = seededBytes(puts, 20_000 + below(jitter, 600_000))
      const ran = await net.as('client-a', ['put', await net.newFile(bytes)])
      puts++
      const address = acknowledged(ran)
      if (address !== undefined) kept.push({ address, bytes })
      await sleep(PAUSE_MS)
    } while (performance.now() < endMs)

    for (const name of down) await net.restart(name)
    await net.oneRing(NODES)
    await net.hasCircuits('client-b')
    console.info(
      `${MINUTES} min: ${kills} killed, ${stops} stopped, ${returns + down.length} came back; ${kept.length} of ${puts} puts acknowledged`,
    )
    expect(kept.length).toBeGreaterThan(puts / 2)
    for (const { address, bytes } of shuffle(jitter, kept)) {
      const got = await net.as('client-b', ['get', address, '-o', '-'])
      expect(got.code, got.stderr).toBe(0)
      expect(Buffer.compare(got.stdout, bytes)).toBe(0)
    }
  })
})
