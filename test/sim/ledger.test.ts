/** What ledgers give away to neighbours, and the model of flows in small. SPEC anonymity §4, ledger §7 */
import { beforeAll, describe, expect, it } from 'vitest'
import { runScene, type Scene } from '../../sim/anonymity/scene.ts'
import { runEconomy } from '../../sim/ledger/economy.ts'
import { LedgerSightings, scoreLedgers } from '../../sim/ledger/sightings.ts'
import { meanWithin } from '../../sim/lookups/statistics.ts'

describe('the ledgers of a network in which users put and get', () => {
  let scene: Scene
  const sightings = new LedgerSightings()
  beforeAll(async () => {
    const wish = { seed: 'ledgers', nodes: 20, users: 8, objects: 12, minutes: 6, hasVaults: false, asked: 0 }
    scene = await runScene(wish, (world) => sightings.tap(world))
  }, 300_000)

  for (const of of ['credits', 'messages'] as const) {
    it(`tell a guard by ${of} who of its neighbours put or got something`, () => {
      const { area } = scoreLedgers(scene, sightings, of).guard
      expect(meanWithin(area).low).toBeGreaterThan(0.5)
    })

    it(`tell ring neighbours and middles by ${of} no better than chance`, () => {
      const { area } = scoreLedgers(scene, sightings, of).others
      expect(area.length).toBeGreaterThan(15)
      const { share, low, high } = meanWithin(area)
      console.info(`${of}: area ${share.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)}), ${area.length} deeds`)
      expect(low).toBeLessThanOrEqual(0.5)
      expect(high - low).toBeLessThan(0.2)
    })
  }
})

describe('the model of flows, in small', () => {
  const wish = {
    seed: 'test',
    nodes: 40,
    offered: 1,
    hasLedgers: true,
    days: 1,
    hasForwarding: false,
    seconds: 210,
    // The funds begin full.
    warmSeconds: 120,
  }

  it('gives those who never serve a tenth at most, under any number of names, and takes nothing from the others', () => {
    const without = runEconomy({ ...wish, others: { 'free rider': 12 }, hasLedgers: false })
    const got = (outcome: typeof without, kind: 'contributor' | 'free rider' | 'whitewasher'): number =>
      outcome.kinds[kind]?.creditsPerSecond ?? 0
    for (const kind of ['free rider', 'whitewasher'] as const) {
      const outcome = runEconomy({ ...wish, others: { [kind]: 12 } })
      expect(got(outcome, kind)).toBeLessThan(got(outcome, 'contributor') / 10)
      expect(got(outcome, 'contributor')).toBeGreaterThan(0.95 * got(without, 'contributor'))
      expect(outcome.imbalance).toBe(0)
    }
    expect(got(without, 'free rider')).toBeGreaterThan(0.9 * got(without, 'contributor'))
  })
})
