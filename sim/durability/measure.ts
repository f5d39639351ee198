/**
 * Stripes in a ring of keepers whose nodes die and are replaced, until the span is over: how many are lost, how
 * long a copy is missing, what repair moves. The steward is a decision of this file: decoding and encoding are
 * tested elsewhere. Times in minutes.
 */
import { PROFILES } from '../../core/index.ts'
import { type ContentRef, contentRefKey } from '../../storage/index.ts'
import { Chance } from '../chance.ts'
import { contentOf, KeeperRing } from '../keepers.ts'
import { World } from '../world.ts'

export interface Setting {
  readonly k: number
  readonly n: number
  readonly copies: number
  /** In the ring, if not as many as in the others. */
  readonly nodes?: number
  readonly lifetimeMinutes: number
  /** Keepers look after their copies so long after the ring has changed (two rounds of the ring). */
  readonly settleMinutes: number
  readonly stewardEveryMinutes?: number
  readonly spanMinutes: number
}

export interface Effort {
  readonly nodes: number
  /** In each ring. */
  readonly stripes: number
  readonly rings: number
}

export interface RingOutcome {
  readonly lost: number
  readonly shardsLost: number
  /** Copies missing at shards that are not lost, and the number of these, on average over the span. */
  readonly missing: number
  readonly present: number
  /** Copies that went over links. */
  readonly copiesSent: number
  readonly deaths: number
}

const MINUTE_MS = 60_000
const NOTICE_MS = 10_000
const LOOK_EVERY_MS = 10_000

function newContent(chance: Chance): Stripe['contents'][number] {
  const content = contentOf(chance)
  return { ...content, key: contentRefKey(content.ref) }
}

interface Stripe {
  readonly contents: readonly { readonly ref: ContentRef; readonly key: string; readonly bytes: Uint8Array }[]
  isLost: boolean
}

/** One ring with its own seed. */
export async function runRing(setting: Setting, effort: Effort, seed: string): Promise<RingOutcome> {
  const world = new World()
  const chance = new Chance(seed)
  const stabiliseEveryMs = (setting.settleMinutes * MINUTE_MS) / 2
  const profile = { ...PROFILES.production, copies: setting.copies, stabiliseEveryMs }
  const ring = new KeeperRing({ world, chance, ids: chance, profile, noticeMs: NOTICE_MS })
  for (let i = 0; i < effort.nodes; i++) ring.add({ isFirst: true })
  const stripes = Array.from(
    { length: effort.stripes },
    (): Stripe => ({ contents: Array.from({ length: setting.n }, () => newContent(chance)), isLost: false }),
  )
  for (const { contents } of stripes) for (const content of contents) await ring.place(content)

  let deaths = 0
  const churn = (): void => {
    world.after(chance.exponential((setting.lifetimeMinutes * MINUTE_MS) / effort.nodes), () => {
      deaths++
      ring.remove(chance.pick(ring.nodes))
      ring.add()
      churn()
    })
  }
  churn()
  if (setting.stewardEveryMinutes !== undefined) {
    const everyMs = setting.stewardEveryMinutes * MINUTE_MS
    for (const stripe of stripes) {
      const visit = (): void => {
        void restore(ring, stripe, setting.k)
        world.after(everyMs, visit)
      }
      world.after(chance.between(0, everyMs), visit)
    }
  }
  const seen = { missing: 0, present: 0, looks: 0 }
  const spanMs = setting.spanMinutes * MINUTE_MS
  while (world.nowMs < spanMs) {
    const untilMs = world.nowMs + LOOK_EVERY_MS
    await world.run(() => world.nowMs >= untilMs)
    look(ring, stripes, setting, seen)
  }
  const shards = stripes.flatMap(({ contents }) => contents)
  return {
    lost: stripes.filter(({ isLost }) => isLost).length,
    shardsLost: shards.filter(({ key }) => ring.copiesOf(key) === 0).length,
    missing: seen.missing / seen.looks,
    present: seen.present / seen.looks,
    copiesSent: ring.copiesSent,
    deaths,
  }
}

/** Marks which stripes have too few shards, and adds up the copies that are missing at shards that have one. */
function look(
  ring: KeeperRing,
  stripes: readonly Stripe[],
  { k, copies }: Setting,
  seen: { missing: number; present: number; looks: number },
): void {
  seen.looks++
  for (const stripe of stripes) {
    let there = 0
    for (const { key } of stripe.contents) {
      const count = ring.copiesOf(key)
      if (count > 0) there++
      if (count > 0) seen.present++
      if (count > 0 && count < copies) seen.missing += copies - count
    }
    if (there < k) stripe.isLost = true
  }
}

/** What a steward does: shards that nobody has are made from k others and placed. */
async function restore(ring: KeeperRing, stripe: Stripe, k: number): Promise<void> {
  const gone = stripe.contents.filter(({ key }) => ring.copiesOf(key) === 0)
  if (stripe.isLost || stripe.contents.length - gone.length < k) return
  for (const content of gone) await ring.place(content)
}
