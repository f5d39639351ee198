/** More copies and more shards never hurt, and a newcomer loses nothing: over the program's own code. SPEC requests §7 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareBytes, type NodeId, named32, PROFILES } from '../../core/index.ts'
import { ownersOf, REGION_EXTRA } from '../../routing/index.ts'
import { Chance } from '../../sim/chance.ts'
import { contentOf, KeeperRing } from '../../sim/keepers.ts'
import { World } from '../../sim/world.ts'
import { type ContentRef, contentRefKey, locationOf, openObject, putObject } from '../../storage/index.ts'

const MINUTE_MS = 60_000
const seeds = fc.integer({ min: 0, max: 2 ** 31 })

async function ringOf(of: { seed: number; nodes: number; copies: number; contents: number }) {
  const world = new World()
  const chance = new Chance(of.seed)
  const profile = { ...PROFILES.production, copies: of.copies }
  const ring = new KeeperRing({ world, chance, ids: new Chance(`ids ${of.seed}`), profile, noticeMs: 10_000 })
  for (let i = 0; i < of.nodes; i++) ring.add({ isFirst: true })
  const contents = new Chance(`contents ${of.seed}`)
  const refs: ContentRef[] = []
  for (let i = 0; i < of.contents; i++) {
    const content = contentOf(contents)
    refs.push(content.ref)
    await ring.place(content)
  }
  const runTo = (ms: number): Promise<void> => world.run(() => world.nowMs >= ms)
  return { world, ring, refs, runTo }
}

describe('a node that is added', () => {
  it('leaves every content within reach and with all its copies, at each second of the hand-over', async () => {
    const comings = fc.array(fc.integer({ min: 0, max: 60_000 }), { minLength: 1, maxLength: REGION_EXTRA })
    const sizes = { nodes: fc.integer({ min: 1, max: 12 }), copies: fc.integer({ min: 1, max: 3 }) }
    const property = fc.asyncProperty(seeds, fc.record(sizes), comings, async (seed, { nodes, copies }, atMs) => {
      const { world, ring, refs, runTo } = await ringOf({ seed, nodes: nodes + copies, copies, contents: 8 })
      for (const ms of atMs) world.after(ms, () => void ring.add())
      for (let second = 1; second <= 180; second++) {
        await runTo(second * 1_000)
        for (const ref of refs) {
          expect(ring.isFetchable(ref, copies + REGION_EXTRA)).toBe(true)
          expect(ring.copiesOf(contentRefKey(ref))).toBeGreaterThanOrEqual(copies)
        }
      }
      // And in the end they lie where they belong, surplus gone: what a pass could not prove the next hourly one does.
      await runTo(150 * MINUTE_MS)
      for (const ref of refs) {
        expect(ring.isFetchable(ref, 1)).toBe(true)
        expect(ring.copiesOf(contentRefKey(ref))).toBe(copies)
      }
    })
    await fc.assert(property, { numRuns: 15 })
  })

  it('and one that leaves at the same time lose nothing either', async () => {
    const property = fc.asyncProperty(seeds, fc.integer({ min: 0, max: 60_000 }), async (seed, atMs) => {
      const { world, ring, refs, runTo } = await ringOf({ seed, nodes: 6, copies: 2, contents: 8 })
      const [leaver] = ring.nodes
      if (leaver === undefined) throw new Error('an empty ring')
      world.after(atMs, () => void ring.add())
      const leaving = leaver.leave().then(() => ring.remove(leaver))
      await runTo(5 * MINUTE_MS)
      await leaving
      for (const ref of refs) expect(ring.copiesOf(contentRefKey(ref))).toBeGreaterThanOrEqual(2)
    })
    await fc.assert(property, { numRuns: 15 })
  })
})

describe('more redundancy', () => {
  /** Which contents are left after these nodes have died at these times. */
  async function survivors(of: { seed: number; copies: number; deaths: readonly (readonly [number, number])[] }) {
    const { world, ring, refs, runTo } = await ringOf({ ...of, nodes: 12, contents: 12 })
    const first = ring.nodes
    for (const [atMs, index] of of.deaths) {
      const victim = first[index]
      if (victim !== undefined) world.after(atMs, () => ring.remove(victim))
    }
    await runTo(10 * MINUTE_MS)
    return refs.map((ref) => ring.copiesOf(contentRefKey(ref)) > 0)
  }

  it('never loses what fewer copies keep, the same nodes dying at the same times', async () => {
    const death = fc.tuple(fc.integer({ min: 0, max: 5 * MINUTE_MS }), fc.integer({ min: 0, max: 11 }))
    const deaths = fc.uniqueArray(death, { minLength: 1, maxLength: 8, selector: ([, index]) => index })
    let lostAtTwo = 0
    let lostAtThree = 0
    const property = fc.asyncProperty(seeds, deaths, async (seed, dying) => {
      const [one, two, three] = await Promise.all([1, 2, 3].map((copies) => survivors({ seed, copies, deaths: dying })))
      for (const [i, isThere] of (one ?? []).entries()) {
        if (!isThere) continue
        expect(two?.[i]).toBe(true)
        expect(three?.[i]).toBe(true)
      }
      // From two on repair has a part in it, whose moments are chance: there the sums must keep the order.
      lostAtTwo += two?.filter((isThere) => !isThere).length ?? 0
      lostAtThree += three?.filter((isThere) => !isThere).length ?? 0
    })
    await fc.assert(property, { numRuns: 15 })
    expect(lostAtThree).toBeLessThanOrEqual(lostAtTwo)
  })

  it('reads whatever fewer copies or fewer shards of the same object could', async () => {
    const killed = fc.uniqueArray(fc.integer({ min: 0, max: 29 }), { maxLength: 29 })
    const property = fc.asyncProperty(seeds, killed, fc.boolean(), async (seed, dead, isLarge) => {
      const chance = new Chance(seed)
      const ids = Array.from({ length: 30 }, () => named32<'NodeId'>(chance.bytes(32), 'node id')).sort(compareBytes)
      const alive = (id: NodeId): boolean => !dead.includes(ids.findIndex((other) => compareBytes(other, id) === 0))
      const content = chance.bytes(isLarge ? 130_000 : 500)
      const placed: { ref: ContentRef; bytes: Uint8Array }[] = []
      const { address } = await putObject(
        {
          source: (async function* () {
            yield content.slice()
          })(),
          kind: 'private',
        },
        {
          random: chance,
          place: async ({ ref, bytes }) => {
            placed.push({ ref, bytes })
            return 'stored'
          },
        },
      )
      /** What can be had with `copies` each, as if a part of the shards had never been made. */
      const heldWith = (copies: number, spared: number): Map<string, Uint8Array> => {
        const made = placed.filter(({ ref }, i) => ref.kind !== 'shard' || i % 10 >= spared)
        const there = made.filter(({ ref }) => ownersOf(locationOf(ref), ids, copies).some(alive))
        return new Map(there.map(({ ref, bytes }) => [contentRefKey(ref), bytes]))
      }
      const canRead = async (held: Map<string, Uint8Array>): Promise<boolean> => {
        try {
          const object = await openObject(address, {
            fetch: async (ref) => held.get(contentRefKey(ref)),
            jitter: chance,
          })
          const parts: Uint8Array[] = []
          for await (const part of object.read()) parts.push(part.slice())
          return Buffer.compare(Buffer.concat(parts), content) === 0
        } catch {
          return false
        }
      }
      let before = { isRead: false, keys: [] as string[] }
      for (const [copies, spared] of [
        [1, 4],
        [1, 2],
        [1, 0],
        [2, 0],
        [3, 0],
      ] as const) {
        const held = heldWith(copies, spared)
        for (const key of before.keys) expect(held.has(key)).toBe(true)
        const isRead = await canRead(held)
        expect(isRead || !before.isRead).toBe(true)
        before = { isRead, keys: [...held.keys()] }
      }
    })
    await fc.assert(property, { numRuns: 40 })
  })
})
