/** Whom a client asks who is there: its guards first, seeds as late and as few as can be. SPEC safety §4 */
import { describe, expect, it } from 'vitest'
import { type Clock, type NodeId, named32, PROFILES, type StateStore, toHex } from '../../core/index.ts'
import { FirstContact } from '../../node/first-contact.ts'
import { Guards } from '../../node/guards.ts'
import type { PeerLink } from '../../node/links.ts'
import { View } from '../../routing/index.ts'
import { EPOCH_MS, unsignedOf } from '../routing/membership/members.ts'

const MINUTE = 60_000
const LINK = {} as PeerLink
const jitter = { uint32: () => 0 }
const seeds = [1, 2, 3].map((value) => named32<'NodeId'>(new Uint8Array(32).fill(value), 'seed'))

class Scene implements Clock {
  ms = 0
  readonly asked: string[] = []
  readonly silent = new Set<string>()
  readonly state = new Map<string, Uint8Array>()
  nowMs = () => EPOCH_MS + this.ms
  monotonicMs = () => this.ms
  setTimer = () => ({ cancel: () => {} })
  /** A run of the program that has drawn its guards: ids in order. */
  async drawn(): Promise<string[]> {
    const guards = this.guards(viewOf(50, 51, 52))
    await guards.take()
    this.asked.length = 0
    return guards.ids.map((id) => toHex(id).slice(0, 2))
  }
  readonly reach = async (id: NodeId): Promise<PeerLink | undefined> => {
    this.asked.push(toHex(id).slice(0, 2))
    return this.silent.has(toHex(id).slice(0, 2)) ? undefined : LINK
  }
  guards(view: View, mayDial?: (address: string) => boolean): Guards {
    const state: StateStore = {
      get: (key) => this.state.get(key),
      put: async (key, value) => void this.state.set(key, value),
    }
    const settings = { profile: PROFILES.testnet, networkCreatedMs: 0, selfId: () => undefined, mayDial }
    return new Guards({
      stateKey: 'guards',
      clock: this,
      jitter,
      log: () => {},
      state,
      view,
      reach: this.reach,
      ...settings,
    })
  }
  entry(view: View): FirstContact {
    const guards = this.guards(view)
    return new FirstContact({ clock: this, jitter, guards, seeds, reach: this.reach })
  }
}

const nobody = () => viewOf()
function viewOf(...seeds: number[]): View {
  const view = new View({ profile: PROFILES.testnet })
  for (const seed of seeds) view.admit(unsignedOf(seed), EPOCH_MS)
  return view
}
const SEEDS = ['01', '02', '03']

describe('a client that knows of nobody', () => {
  it('asks its guard, at the place where it was last, and no seed', async () => {
    const scene = new Scene()
    const [primary] = await scene.drawn()
    const guards = scene.guards(nobody())
    const [id] = guards.ids
    expect(id && guards.contactOf(id)).toMatchObject({ id, addresses: [expect.stringMatching(/^127\..*:4100$/)] })
    expect(await scene.entry(nobody()).link()).toBe(LINK)
    expect(scene.asked).toEqual([primary])
  })

  it('asks its standby next, and a seed only when no guard has answered for a minute', async () => {
    const scene = new Scene()
    const drawn = await scene.drawn()
    for (const guard of drawn) scene.silent.add(guard)
    const entry = scene.entry(nobody())
    for (scene.ms = 0; scene.ms < MINUTE; scene.ms += 500) expect(await entry.link()).toBeUndefined()
    expect([...new Set(scene.asked)]).toEqual(drawn)
    expect(await entry.link()).toBe(LINK)
    expect(scene.asked.filter((asked) => SEEDS.includes(asked))).toHaveLength(1)
  })

  it('begins to wait anew when a guard has answered in between', async () => {
    const scene = new Scene()
    const drawn = await scene.drawn()
    const entry = scene.entry(nobody())
    for (const guard of drawn) scene.silent.add(guard)
    await entry.link()
    scene.ms = MINUTE - 1
    scene.silent.clear()
    expect(await entry.link()).toBe(LINK)
    for (const guard of drawn) scene.silent.add(guard)
    scene.ms = MINUTE + 1
    expect(await entry.link()).toBeUndefined()
    expect(scene.asked.filter((asked) => SEEDS.includes(asked))).toEqual([])
  })

  it('without guards keeps to one seed while it answers', async () => {
    const scene = new Scene()
    const entry = scene.entry(nobody())
    for (scene.ms = 0; scene.ms < 10_000; scene.ms += 500) expect(await entry.link()).toBe(LINK)
    expect(new Set(scene.asked).size).toBe(1)
  })

  it('takes another seed when one cannot be reached, or tells nothing for long', async () => {
    const scene = new Scene()
    const entry = scene.entry(nobody())
    await entry.link()
    const first = scene.asked[0] ?? ''
    scene.silent.add(first)
    expect(await entry.link()).toBeUndefined()
    await entry.link()
    const second = scene.asked.at(-1)
    expect(second).not.toBe(first)
    scene.ms = 20_000
    expect(await entry.link()).toBeUndefined()
    await entry.link()
    expect(scene.asked.at(-1)).not.toBe(second)
  })
})

describe('guards', () => {
  it('are never drawn among nodes that this side may not dial', async () => {
    const view = new View({ profile: PROFILES.testnet })
    // First heard of are first to be drawn, and these were.
    for (let seed = 3; seed < 20; seed++) view.admit(unsignedOf(seed, { addresses: ['a.example:4100'] }), EPOCH_MS)
    for (const seed of [1, 2]) view.admit(unsignedOf(seed), EPOCH_MS)
    const guards = new Scene().guards(view, (address) => !address.startsWith('a.example'))
    await guards.take()
    expect(guards.ids.map((id) => toHex(id)).sort()).toEqual([1, 2].map((seed) => toHex(unsignedOf(seed).id)).sort())
  })

  it('are taken over from a file without places, which is written anew with them', async () => {
    const scene = new Scene()
    const old = unsignedOf(50)
    const file = new Uint8Array(49)
    file[0] = 1
    file.set(old.id, 1)
    new DataView(file.buffer).setBigUint64(41, BigInt(EPOCH_MS + MINUTE))
    scene.state.set('guards', file)
    expect(scene.guards(nobody()).contactOf(old.id)).toBeUndefined()
    await scene.guards(viewOf(50, 51)).take()
    expect(scene.guards(nobody()).contactOf(old.id)).toMatchObject({ addresses: old.addresses })
  })

  it('are found where they have moved', async () => {
    const scene = new Scene()
    await scene.drawn()
    const [id] = scene.guards(nobody()).ids
    const view = new View({ profile: PROFILES.testnet })
    for (const seed of [50, 51, 52]) view.admit(unsignedOf(seed, { addresses: ['192.0.2.9:1'] }), EPOCH_MS)
    await scene.guards(view).take()
    expect(id && scene.guards(nobody()).contactOf(id)).toMatchObject({ addresses: ['192.0.2.9:1'] })
  })
})
