/**
 * Every acknowledged object is read at the end, by somebody else; a failure is held against what lies where.
 * "Acknowledged" and its assumption are in SPEC overview §5.
 */
import { shardCount } from '../core/index.ts'
import { type ContentRef, contentRefKey } from '../storage/index.ts'
import { Chance } from './chance.ts'
import type { SimNetwork } from './network.ts'
import { whereabouts } from './whereabouts.ts'
import { type Acknowledged, isExpected, Workload } from './workload.ts'

/** Objects read at the same time. */
const READERS = 8

export interface ReadBack {
  right: number
  /** Refused, and too few shards lie on honest machines: the promise does not reach so far. */
  explained: number
  readonly losses: string[]
  tries: number
}

/**
 * Where each content lies now, by what is on honest machines that are up. Made once, since it looks at every disk.
 */
export function census(network: SimNetwork): Map<string, number> {
  const up = network.nodes.filter((host) => host.isUp && !host.isHostile)
  return new Map([...whereabouts(up)].map(([key, at]) => [key, at.size]))
}

/** Every acknowledged object is read by somebody else; a failure is held against what lies where. */
export async function readBack(
  network: SimNetwork,
  objects: readonly Acknowledged[],
  options: { readonly triesMax: number },
): Promise<ReadBack> {
  const result: ReadBack = { right: 0, explained: 0, losses: [], tries: 0 }
  const chance = new Chance('read back')
  const waiting = [...objects]
  const readOne = async (object: Acknowledged): Promise<void> => {
    let why = 'nobody could read'
    for (let tried = 0; tried < options.triesMax; tried++) {
      const readers = network.clients.filter((host) => host.isUp && host !== object.author)
      const reader = readers[tried % Math.max(1, readers.length)]
      result.tries++
      try {
        if (reader?.node === undefined) throw new Error('no client is up')
        const got = await Workload.read(reader.node, object.address, chance)
        if (Buffer.compare(got, object.content) !== 0) network.violate(`${object.name} is read with wrong bytes`)
        else result.right++
        return
      } catch (error) {
        if (!isExpected(error)) network.violate(`reading ${object.name} ends with a bug: ${String(error)}`)
        why = String(error)
        await network.world.sleep(30_000)
      }
    }
    const found = whyLost(object.stripes, census(network))
    if (found === undefined) network.violate(`${object.name} was acknowledged and is gone: ${why}`)
    else {
      result.explained++
      result.losses.push(`${object.name}: ${found}`)
    }
  }
  const readSome = async (): Promise<void> => {
    for (let object = waiting.shift(); object !== undefined; object = waiting.shift()) await readOne(object)
  }
  await Promise.all(Array.from({ length: READERS }, readSome))
  return result
}

/** The first stripe of which too little lies on honest machines; undefined when all have enough. */
export function whyLost(
  stripes: readonly (readonly ContentRef[])[],
  copies: ReadonlyMap<string, number>,
): string | undefined {
  for (const refs of stripes) {
    const there = refs.filter((ref) => (copies.get(contentRefKey(ref)) ?? 0) > 0).length
    const needed = neededOf(refs)
    if (there < needed) return `${there} of ${refs.length} shards lie on honest machines, ${needed} needed`
  }
  return undefined
}

/** Any root copy will do; of n shards of a stripe the k of its code. */
function neededOf(refs: readonly ContentRef[]): number {
  if (refs[0]?.kind !== 'shard') return 1
  for (let k = 1; k <= 8; k++) if (shardCount(k) === refs.length) return k
  return refs.length
}
