/** Users: they put objects, remember what was acknowledged, and read it back. */
import { STRIPE_SIZE } from '../core/index.ts'
import type { HushNode } from '../node/compose.ts'
import { type Address, type ContentRef, openObject, type PlaceShard, putObject } from '../storage/index.ts'
import type { Chance } from './chance.ts'
import type { SimHost } from './host.ts'
import type { SimNetwork } from './network.ts'

export interface Acknowledged {
  readonly name: string
  readonly address: Address
  readonly content: Uint8Array
  readonly pending: number
  readonly atMs: number
  readonly author: SimHost
  /** What was placed, by stripe; the last is the root with its copies. */
  readonly stripes: readonly (readonly ContentRef[])[]
}

export type OnStored = (ref: ContentRef) => void

/** mixed: up to two stripes. small: most within the root or two fragments, so that puts are many. */
export type ObjectSizes = 'mixed' | 'small'

export interface WorkloadCounts {
  puts: number
  acknowledged: number
  degraded: number
  refused: number
  gets: number
  getsRight: number
  getsRefused: number
}

/** No put or get may take longer than this in simulated time: it ends, well or badly. */
export const ENDS_WITHIN_MS = 15 * 60_000

const RUSH_PUTS = 6

export class Workload {
  readonly acknowledged: Acknowledged[] = []
  readonly counts: WorkloadCounts = {
    puts: 0,
    acknowledged: 0,
    degraded: 0,
    refused: 0,
    gets: 0,
    getsRight: 0,
    getsRefused: 0,
  }
  running = 0
  readonly #network: SimNetwork
  readonly #chance: Chance
  readonly #sizes: ObjectSizes
  readonly #onStored: OnStored

  /** `onStored` is told of each content at the moment its receipt was accepted. */
  constructor(network: SimNetwork, chance: Chance, wish: { readonly sizes: ObjectSizes; readonly onStored: OnStored }) {
    this.#network = network
    this.#chance = chance
    this.#sizes = wish.sizes
    this.#onStored = wish.onStored
  }

  /** Puts at random times over the span, gets of what is there already between them. */
  plan(span: { fromMs: number; untilMs: number; puts: number; gets: number }): void {
    const { world } = this.#network
    const { fromMs, untilMs } = span
    // Now and then one user stores many things at once: more shards than it may have under way.
    const rush = this.#chance.isLucky(0.5) ? Math.min(RUSH_PUTS, span.puts) : 0
    const rushMs = this.#chance.between(fromMs, untilMs)
    world.at(rushMs, () => {
      const user = this.user()
      for (let i = 0; i < rush; i++) this.#track(`put ${i}`, (host) => this.#put(host, i), user)
    })
    for (let i = rush; i < span.puts; i++)
      world.at(this.#chance.between(fromMs, untilMs), () => this.#track(`put ${i}`, (host) => this.#put(host, i)))
    for (let i = 0; i < span.gets; i++) {
      const atMs = this.#chance.between(fromMs + (untilMs - fromMs) / 10, untilMs)
      world.at(atMs, () => {
        const object = this.acknowledged[this.#chance.below(Math.max(1, this.acknowledged.length))]
        if (object !== undefined) this.#track(`get of ${object.name}`, (host) => this.#get(host, object))
      })
    }
  }

  /** Somebody who can: mostly clients, now and then a node. */
  user(): SimHost | undefined {
    const { clients, nodes } = this.#network
    const able = (this.#chance.isLucky(0.7) ? clients : nodes).filter(
      (host) => host.isUp && !host.isHostile && (host.node?.pool.ready.length ?? 0) > 0,
    )
    return able.length === 0 ? undefined : this.#chance.pick(able)
  }

  /** Bytes as the object has them, or the error that the user sees. */
  static async read(node: HushNode, address: Address, chance: Chance): Promise<Uint8Array> {
    const object = await openObject(address, {
      fetch: node.client.fetcher(),
      jitter: chance,
      hasRoom: () => node.client.hasRoom(),
    })
    const whole = new Uint8Array(object.lengthBytes)
    let at = 0
    for await (const part of object.read()) {
      whole.set(part, at)
      at += part.length
    }
    return whole.subarray(0, at)
  }

  #track(what: string, work: (host: SimHost) => Promise<void>, host = this.user()): void {
    const network = this.#network
    if (host === undefined) return
    this.running++
    let isOver = false
    network.world.after(ENDS_WITHIN_MS, () => {
      if (!isOver && host.node === node) network.violate(`${what} at ${host.name} does not end`)
    })
    const { node } = host
    const done = (): void => {
      if (!isOver) this.running--
      isOver = true
    }
    // A user whose daemon is killed learns nothing more: its work ends with it.
    const watch = (): void => {
      if (isOver) return
      if (host.node !== node) {
        done()
        return
      }
      network.world.after(1_000, watch)
    }
    watch()
    work(host).then(done, (error: unknown) => {
      done()
      if (host.node === node) network.violate(`${what} at ${host.name} ends with a bug: ${String(error)}`)
    })
  }

  async #put(host: SimHost, number: number): Promise<void> {
    const { node } = host
    if (node === undefined) return
    const network = this.#network
    const content = this.#chance.bytes(this.#sizeBytes())
    this.counts.puts++
    network.note(`put ${number} of ${content.length} B begins at ${host.name}`)
    const placed = new Map<number, ContentRef[]>()
    try {
      const { address, report } = await putObject(
        {
          source: (async function* () {
            yield content.slice()
          })(),
          kind: this.#chance.isLucky(0.3) ? 'public' : 'private',
        },
        { random: this.#chance, place: this.#watched(node.client.placer(), placed) },
      )
      if (host.node !== node) return
      network.note(`put ${number} acknowledged: ${report.stored} of ${report.shards} stored`)
      this.counts.acknowledged++
      if (report.pending > 0) this.counts.degraded++
      // As the daemon does for its user (node/control/server.ts).
      node.readBack.add(address)
      const name = `put ${number}`
      const atMs = network.world.nowMs
      this.acknowledged.push({
        name,
        address,
        content,
        pending: report.pending,
        atMs,
        author: host,
        stripes: [...placed.values()],
      })
    } catch (error) {
      if (host.node !== node) return
      if (!isExpected(error)) throw error
      this.counts.refused++
      network.note(`put ${number} refused: ${error.code}`)
    }
  }

  #watched(place: PlaceShard, placed: Map<number, ContentRef[]>): PlaceShard {
    return async (shard) => {
      const outcome = await place(shard)
      if (outcome === 'refused') return outcome
      const refs = placed.get(shard.stripe) ?? []
      refs.push(shard.ref)
      placed.set(shard.stripe, refs)
      if (outcome === 'stored') this.#onStored(shard.ref)
      return outcome
    }
  }

  async #get(host: SimHost, object: Acknowledged): Promise<void> {
    const { node } = host
    if (node === undefined) return
    this.counts.gets++
    try {
      const got = await Workload.read(node, object.address, this.#chance)
      if (host.node !== node) return
      if (Buffer.compare(got, object.content) === 0) this.counts.getsRight++
      else this.#network.violate(`${object.name} was read with wrong bytes at ${host.name}`)
    } catch (error) {
      if (host.node !== node) return
      if (!isExpected(error)) throw error
      this.counts.getsRefused++
      this.#network.note(`get of ${object.name} refused: ${error.code}`)
    }
  }

  #sizeBytes(): number {
    const kind = this.#chance.unit()
    if (this.#sizes === 'small') {
      if (kind < 0.5) return this.#chance.below(1_000)
      return this.#chance.below(kind < 0.95 ? STRIPE_SIZE / 4 : STRIPE_SIZE)
    }
    if (kind < 0.2) return this.#chance.below(1_000)
    if (kind < 0.8) return this.#chance.below(STRIPE_SIZE)
    return STRIPE_SIZE + this.#chance.below(STRIPE_SIZE)
  }
}

/** Errors that tell a user what is the matter, as against bugs. */
export function isExpected(error: unknown): error is Error & { code: string } {
  const code = (error as { code?: unknown }).code
  return typeof code === 'string' && code.startsWith('ERR_') && (error as { kind?: unknown }).kind !== 'bug'
}
