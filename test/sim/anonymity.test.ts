/** The adversary on one small network with the program's own ciphers, and on recordings made by hand. SPEC anonymity §2-§5 */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import { Adversary } from '../../sim/anonymity/adversary.ts'
import { scoreAimed } from '../../sim/anonymity/aimed.ts'
import { cutAtPauses, groupPuts } from '../../sim/anonymity/groups.ts'
import { measureGuards } from '../../sim/anonymity/guards.ts'
import { isLine } from '../../sim/anonymity/legs.ts'
import { dealt, measureScenes } from '../../sim/anonymity/measure.ts'
import { Recorder } from '../../sim/anonymity/recorder.ts'
import type { Leg, Recording } from '../../sim/anonymity/recording.ts'
import { plantedPart, renderLinkagePlot, renderNamingPlot, renderPage } from '../../sim/anonymity/report.ts'
import { runScene, type Scene } from '../../sim/anonymity/scene.ts'
import { scoreNeighbours, scorePlacement, scoreWhereabouts } from '../../sim/anonymity/score.ts'
import { Storers } from '../../sim/anonymity/storers.ts'
import { Chance } from '../../sim/chance.ts'
import type { Tamper } from '../../sim/host.ts'
import { CALM, SIM_PROFILE, SimNetwork } from '../../sim/network.ts'

const wish = { seed: 'test', nodes: 20, users: 5, objects: 12, minutes: 0.5, hasVaults: true, asked: 6 }
let scene: Scene
beforeAll(async () => {
  scene = await runScene(wish)
})

describe('the adversary', () => {
  it('imports nothing that knows the truth', () => {
    for (const file of ['recording', 'legs', 'adversary', 'groups', 'neighbours', 'storers']) {
      const text = readFileSync(`sim/anonymity/${file}.ts`, 'utf8')
      const imported = [...text.matchAll(/\bfrom '([^']+)'|\bimport\('([^']+)'\)/g)].map(([, a, b]) => a ?? b)
      const allowed = /^(\.\/(recording|adversary|legs)\.ts|\.\.\/\.\.\/(core|routing|storage)\/index\.ts)$/
      expect(imported.filter((path) => !allowed.test(path as string))).toEqual([])
    }
  })

  it('sees nothing and names nobody better than a guess when no node is hostile', () => {
    const { get, put, stripeSeen, storers } = scorePlacement(scene, new Set(), new Chance('none'))
    for (const naming of [get, put]) {
      expect(naming).toMatchObject({ found: 0, guarded: 0, claimsRight: undefined, requestsSeen: 0, requestsNamed: 0 })
      expect(naming.right).toBeCloseTo(1 / wish.nodes)
      expect(naming.degree).toBeCloseTo(1)
    }
    expect(stripeSeen).toBe(0)
    expect(storers).toMatchObject({ watched: 0, pointed: 0, asked: 0, watchedRight: undefined, pointers: 0 })
    expect(storers.askedOrGuessed).toBeCloseTo(1 / wish.nodes)
  })

  it('names everybody whose guard is hostile when nearly all nodes are, and sees all requests', () => {
    const users = [...new Set(scene.deeds.map(({ who }) => who))]
    expect(scene.deeds).toHaveLength(2 * wish.objects)
    let named = 0
    for (const deed of scene.deeds) {
      const honest = new Set([deed.who, users.find((key) => key !== deed.who)])
      const pool = scene.recordings.filter(({ self }) => !honest.has(self))
      const adversary = new Adversary(pool, scene.members, scene)
      if (!adversary.observed.has(deed.who)) continue
      named++
      expect(adversary.whoDid(deed.kind, deed.asked).named).toEqual([deed.who])
    }
    expect(named).toBeGreaterThan(scene.deeds.length / 2)
  })

  it('tells a reader at its guard, and no better than chance at a neighbour on the ring', () => {
    const { ring, guard } = scoreNeighbours(scene)
    expect(scene.deeds.filter(({ kind }) => kind === 'get')).toHaveLength(wish.objects)
    // A reader that forwards nothing of the object for others cannot be looked for among those who do.
    expect(ring.area.length).toBeGreaterThan(wish.objects / 2)
    const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
    expect(mean(ring.area)).toBeLessThan(0.6)
    expect(guard.area.length).toBeGreaterThan(0)
    expect(mean(guard.area)).toBeGreaterThan(0.8)
  })
})

describe('what hostile nodes make of vaults', () => {
  const vaultsOf = (ref: string): Set<string> =>
    new Set(scene.stored.filter((pair) => pair.ref === ref).map(({ vault }) => vault))
  const refs = (): string[] => [...new Set(scene.stored.map(({ ref }) => ref))]
  /** All nodes but one in three, so that guards and keepers are often theirs and vaults often not. */
  const pool = (): Recording[] => scene.recordings.filter((_, place) => place % 3 > 0)

  it('tells every line from every other circuit at the guard, by its times', () => {
    const near = scene.recordings.flatMap(({ legs }) => legs.filter(({ isFromPeer, hop }) => isFromPeer && hop === 1))
    const attached = scene.recordings.reduce((sum, { lines }) => sum + lines.length, 0)
    const found = near.filter(isLine).length
    expect(attached).toBeGreaterThan(100)
    expect(Math.abs(found - attached)).toBeLessThan(attached / 20)
    // The others are many too.
    expect(near.length - found).toBeGreaterThan(attached / 2)
  })

  it('names a vault by watching when its guard and the keeper are hostile, and hardly ever a false one', () => {
    const storers = new Storers(pool(), scene.members, [])
    const named = refs().flatMap((ref) => storers.byWatching(ref).map((vault) => vaultsOf(ref).has(vault)))
    expect(named.length).toBeGreaterThan(40)
    expect(named.filter((isRight) => isRight).length).toBeGreaterThan(0.95 * named.length)
  })

  it('names more by asking, nobody without the guard, and nobody by asking for something else', () => {
    const asked = [...new Set(scene.questions.map(({ ref }) => ref))]
    expect(asked).toHaveLength(wish.asked)
    const few = scene.recordings.filter((_, place) => place % 3 === 0)
    const storers = new Storers(few, scene.members, scene.questions)
    const looking = new Storers(few, scene.members, [])
    const count = (of: (ref: string) => readonly string[]): number => asked.flatMap(of).length
    expect(count((ref) => storers.byAsking(ref))).toBeGreaterThan(count((ref) => looking.byAsking(ref)))
    const false_ = asked.flatMap((ref) => storers.byAsking(ref).filter((vault) => !vaultsOf(ref).has(vault)))
    expect(false_).toEqual([])
    const shifted = scene.questions.map((question) => ({ ...question, untilMs: question.fromMs - 1 }))
    const blind = new Storers(few, scene.members, shifted)
    expect(asked.map((ref) => blind.byAsking(ref))).toEqual(asked.map((ref) => looking.byAsking(ref)))
    const [keeper] = scene.recordings
    expect(
      new Storers([{ ...keeper, legs: [] } as Recording], scene.members, scene.questions).byAsking(asked[0] ?? ''),
    ).toEqual([])
  })

  it('lies with two vaults for nearly all shards, and with keepers for the others', () => {
    const { inVaults, withKeepers } = scoreWhereabouts(scene)
    expect(inVaults.trials).toBe(22 * wish.objects)
    expect(inVaults.right).toBeGreaterThan(0.75 * inVaults.trials)
    expect(inVaults.right + withKeepers.right).toBeGreaterThanOrEqual(inVaults.trials)
  })

  it('leaves a vault unnamed when somebody else asks at each time, and names it when it wakes each time', () => {
    const leg = (each: Partial<Leg>): Leg => ({
      peer: 'vault',
      circuit: 1,
      hop: 1,
      isFromPeer: true,
      openedMs: 0,
      other: undefined,
      forwardMs: [],
      backwardMs: [],
      forwardTails: [],
      ...each,
    })
    const woke = [1_000, 3_000, 9_000]
    const built = { forwardMs: [10, 30, 50, 70], backwardMs: [20, 40, 60, 80] }
    const guard = (asked: readonly number[]): Recording => {
      const far = leg({ peer: 'second', hop: 2, isFromPeer: false })
      const near = leg({
        forwardMs: [...built.forwardMs, ...asked.map((atMs) => atMs + 50)],
        backwardMs: [...built.backwardMs, ...asked],
        other: far,
      })
      return { self: 'guard', legs: [near], ring: [], gateway: [], lines: [], pointers: new Map() }
    }
    const questions = woke.map((atMs) => ({ ref: 'r', fromMs: atMs - 100, untilMs: atMs + 500 }))
    const members = ['guard', 'vault', 'x'].map((key) => ({ key, id: key }))
    expect(new Storers([guard(woke)], members, questions).byAsking('r')).toEqual(['vault'])
    expect(new Storers([guard([2_000, 5_000, 7_000])], members, questions).byAsking('r')).toEqual([])
  })
})

describe('hostile nodes that choose their places', () => {
  it('see most of an object as its keepers, more than as neighbours of its user', () => {
    const aimed = (aim: 'keepers' | 'neighbours') =>
      scoreAimed(scene, { aim, share: 0.3, objects: 12, chance: new Chance('aim') })
    expect(aimed('keepers').seen).toBeGreaterThan(aimed('neighbours').seen)
    expect(aimed('keepers').seen).toBeGreaterThan(0.7)
    expect(aimed('neighbours').get?.guess).toBeCloseTo(1 / 14)
  })
})

describe('guards when machines come and go', () => {
  it('are counted for each user: more of them the longer, and hostile ones the more of them', async () => {
    const wish = { seed: 'test', nodes: 18, clients: 4, networks: 1, hours: [0.05, 1.5], shares: [0.1, 0.3] }
    const { rows, crashes } = await measureGuards(wish, () => {})
    expect(crashes).toBeGreaterThan(5)
    const [early, late] = rows.map(({ met, exposed }) => ({
      met: met.share,
      exposed: exposed.map(({ share }) => share),
    }))
    expect(early?.met).toBeGreaterThanOrEqual(1)
    expect(late?.met).toBeGreaterThan(early?.met ?? 0)
    expect(late?.exposed[1]).toBeGreaterThan(late?.exposed[0] ?? 0)
    expect(late?.exposed[1]).toBeGreaterThan(early?.exposed[1] ?? 0)
  })
})

/** A circuit from `client` through guard g, middle m and gateway w, at the two hostile ends. */
function ends(of: { gatewayMs: number[]; filler?: number }): { pool: Recording[]; atGateway: Leg } {
  const leg = (each: Partial<Leg>): Leg => ({
    peer: 'm',
    circuit: 1,
    hop: 1,
    isFromPeer: true,
    openedMs: 0,
    other: undefined,
    forwardMs: [],
    backwardMs: [],
    forwardTails: [],
    ...each,
  })
  const far = leg({ hop: 2, isFromPeer: false, openedMs: 10, forwardMs: [100, 500, 600], forwardTails: [1, 2, 3] })
  const near = leg({ peer: 'client', openedMs: 0, forwardMs: [50, 99, 499, 599], other: far })
  const forwardTails = [of.filler ?? 8, 9]
  const atGateway = leg({ hop: 3, openedMs: 160, forwardMs: of.gatewayMs, forwardTails })
  const gateway = of.gatewayMs.map((atMs, index) => ({ atMs, leg: atGateway, kind: 'put' as const, ref: `r${index}` }))
  return {
    pool: [
      { self: 'g', legs: [near, far], ring: [], gateway: [], lines: [], pointers: new Map() },
      { self: 'w', legs: [atGateway], ring: [], gateway, lines: [], pointers: new Map() },
    ],
    atGateway,
  }
}

describe('a circuit seen at both ends', () => {
  const members = ['client', 'g', 'm', 'w', 'x'].map((key) => ({ key, id: key }))
  const originOf = (of: Parameters<typeof ends>[0]) => {
    const { pool, atGateway } = ends(of)
    return new Adversary(pool, members, { untilMs: Number.POSITIVE_INFINITY }).originOf(atGateway)
  }

  it('is found by times when each cell comes out a little after it went in', () => {
    expect(originOf({ gatewayMs: [560, 660] })).toEqual({ client: 'client', isCertain: false, isByMark: false })
  })

  it('is not found when cells come out before they went in, or more than went in', () => {
    expect(originOf({ gatewayMs: [400, 590] }).client).toBeUndefined()
    expect(originOf({ gatewayMs: [560, 660, 670] }).client).toBeUndefined()
  })

  it('is found for certain when filler was kept, whatever the times', () => {
    expect(originOf({ gatewayMs: [400, 590], filler: 2 })).toEqual({
      client: 'client',
      isCertain: true,
      isByMark: true,
    })
  })

  it('links what came over it at one time', () => {
    const { pool } = ends({ gatewayMs: [560, 660] })
    expect(groupPuts(new Adversary(pool, members, { untilMs: Number.POSITIVE_INFINITY }), 'circuit')).toEqual([
      ['r0', 'r1'],
    ])
    const sighting = (atMs: number) => ({ atMs, kind: 'put' as const, ref: `at ${atMs}`, leg: undefined })
    expect(cutAtPauses([500, 0, 90, 600].map(sighting), 100)).toEqual([
      ['at 0', 'at 90'],
      ['at 500', 'at 600'],
    ])
  })
})

describe('the measurement', () => {
  it('makes every node hostile once in a deal', () => {
    const hands = dealt(scene, 0.2, new Chance('deal'))
    expect(hands.map(({ size }) => size)).toEqual([4, 4, 4, 4, 4])
    expect(new Set(hands.flatMap((hand) => [...hand])).size).toBe(wish.nodes)
  })

  it('records without changing the course of events', async () => {
    const hashWith = async (tap: (network: () => SimNetwork) => Tamper): Promise<string> => {
      const network: SimNetwork = new SimNetwork({
        seed: 3,
        nodes: 12,
        clients: 1,
        ...CALM,
        profile: { ...SIM_PROFILE, gateways: 2 },
        tap: tap(() => network),
        nodeGateways: () => 1,
      })
      await network.start()
      await network.world.run(() => network.world.nowMs > 100_000)
      return network.world.trace.hash()
    }
    const plain = await hashWith(() => (transport) => transport)
    const recorded = await hashWith((network) => (transport, host) => {
      return new Recorder(network().world, host).wrap(transport)
    })
    expect(recorded).toBe(plain)
  })

  it('gives the same page for the same scene, with every figure in it, and leaves the planted leaks', () => {
    const effort = { ...wish, networks: 1, deals: 2, shares: [0.1, 0.3], aimed: 3 }
    const page = (): string => {
      const all = [measureScenes(effort, [scene])].map((each) => ({ ...each, cpuSeconds: 60, peakMiB: 1 }))
      const measured = {
        commands: ['command'],
        all,
        held: all[0],
        bare: all[0],
        guards: undefined,
        cpuSeconds: 60,
        peakMiB: 1,
      }
      for (const svg of [renderNamingPlot(all), renderLinkagePlot(measured)]) expect(svg).not.toMatch(/NaN|undefined/)
      return renderPage(measured, { commands: ['command'], planted: '## Planted leaks\n\nfound\n' })
    }
    const first = page()
    expect(page()).toBe(first)
    expect(first).not.toMatch(/NaN|undefined|Infinity/)
    expect(plantedPart(first)).toBe('## Planted leaks\n\nfound\n')
  })
})

describe('the planted leaks', () => {
  it('apply to the program as it is', () => {
    const folder = 'test/planted/anonymity'
    const files = readdirSync(folder)
    expect(files.length).toBeGreaterThanOrEqual(3)
    for (const file of files) {
      const args = ['-p1', '-s', '--dry-run', '-i', `${folder}/${file}`]
      const { status, stdout } = spawnSync('patch', args, { encoding: 'utf8' })
      expect(`${file} ${status} ${stdout}`).toBe(`${file} 0 `)
    }
  })
})
