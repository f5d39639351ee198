/**
 * Hostile nodes that choose their places instead of being dealt them: as many keepers of one object's shards as they
 * are, or all around one user on the ring. Who they are is decided on recordings, like everything. SPEC anonymity §3
 */
import type { Chance } from '../chance.ts'
import { meanOf } from '../lookups/statistics.ts'
import { Adversary } from './adversary.ts'
import type { Deed, Scene } from './scene.ts'
import { COPIES, type Naming, scorePlaced } from './score.ts'

export const AIMS = ['keepers', 'neighbours'] as const
export type Aim = (typeof AIMS)[number]

/** Means over the objects of one network. */
export interface Aimed {
  readonly get: Pick<Naming, 'right' | 'guarded' | 'guess'> | undefined
  readonly put: Pick<Naming, 'right' | 'guarded' | 'guess'> | undefined
  /** Of the stripe's shards: seen at all, and taken for one thing by their time. */
  readonly seen: number
  readonly linked: number
}

export function scoreAimed(
  scene: Scene,
  wish: { readonly aim: Aim; readonly share: number; readonly objects: number; readonly chance: Chance },
): Aimed {
  const size = Math.round(wish.share * scene.members.length)
  const placed = Array.from({ length: wish.objects }, () => {
    const deed = wish.chance.pick(scene.deeds)
    const hostile =
      wish.aim === 'keepers' ? keepersOf(scene, deed, { size, chance: wish.chance }) : around(scene, deed, size)
    return scorePlaced(scene, { hostile, object: deed.object, kind: deed.kind, chance: wish.chance })
  }).filter((each) => each !== undefined)
  const naming = (kind: Deed['kind']): Aimed['get'] => {
    const all = placed.filter((each) => each.kind === kind).map((each) => each.naming)
    if (all.length === 0) return undefined
    const mean = (name: 'right' | 'guarded' | 'guess') => meanOf(all.map((each) => each[name]))
    return { right: mean('right'), guarded: mean('guarded'), guess: mean('guess') }
  }
  return {
    get: naming('get'),
    put: naming('put'),
    seen: meanOf(placed.map(({ seen }) => seen)),
    linked: meanOf(placed.map(({ linked }) => linked)),
  }
}

/** The members that hold most of the object's names: all of it can be worked out from the address. */
function keepersOf(scene: Scene, { object }: Deed, of: { size: number; chance: Chance }): Set<string> {
  const adversary = new Adversary([], scene.members, scene)
  const counts = new Map(scene.members.map(({ key }) => [key, of.chance.uint32() / 2 ** 33]))
  const names = scene.targets.find((target) => target.object === object)?.stripes.flat() ?? []
  for (const name of names)
    for (const key of adversary.keepersOf(name, COPIES)) counts.set(key, (counts.get(key) ?? 0) + 1)
  const most = [...counts].sort((a, b) => b[1] - a[1])
  return new Set(most.slice(0, of.size).map(([key]) => key))
}

/** The members next to the user on the ring, half of them on each side. */
function around({ members }: Scene, { who }: Deed, size: number): Set<string> {
  const ring = [...members].sort((a, b) => (a.id < b.id ? -1 : 1)).map(({ key }) => key)
  const at = ring.indexOf(who)
  const steps = Array.from({ length: size }, (_, i) => (i % 2 === 0 ? 1 : -1) * (1 + (i >> 1)))
  return new Set(steps.map((step) => ring[(at + step + ring.length) % ring.length] as string))
}
