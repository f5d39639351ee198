/**
 * The nodes' disks from outside, while the nodes run: what is stored and cached where, and ways to take it
 * away or damage it. SPEC shard-store §2
 */
import { join } from 'node:path'
import { type Database, open, type RootDatabase } from 'lmdb'
import type { Jitter } from '../../../core/index.ts'
import {
  type ContentRef,
  checkObject,
  contentRefKey,
  encodeContentRef,
  locationOf,
  parseAddress,
  verifyContent,
} from '../../../storage/index.ts'

type Records = Database<Buffer, Buffer>

interface Disk {
  readonly env: RootDatabase<Buffer, Buffer>
  readonly index: Records
  readonly bytes: Records
  readonly cache: Records
}

/** The shards of one stripe, or the copies of the root. */
export interface Stripe {
  readonly level: number
  readonly needed: number
  readonly refs: readonly ContentRef[]
}

export class Disks {
  readonly #disks: readonly Disk[]

  constructor(homes: readonly string[]) {
    this.#disks = homes.map((home) => openDisk(join(home, 'shards')))
  }

  async close(): Promise<void> {
    for (const { env } of this.#disks) await env.close()
  }

  /** The stripes of an object, the root first, as its manifest on these disks lists them. */
  async stripesOf(address: string, jitter: Jitter): Promise<Stripe[]> {
    const probed: ContentRef[] = []
    const ports = {
      jitter,
      stripesInFlight: 1,
      fetch: async (ref: ContentRef) => this.read(ref),
      probe: async (ref: ContentRef) => {
        probed.push(ref)
        return this.read(ref) !== undefined
      },
    }
    const stripes: Stripe[] = []
    let at = 0
    // Probed in the order of the reports, each stripe's shards at one go.
    for await (const { level, needed, total } of checkObject(parseAddress(address), ports)) {
      stripes.push({ level, needed, refs: probed.slice(at, at + total) })
      at += total
    }
    if (new Set(probed.map(contentRefKey)).size !== at) throw new Error('shards were probed twice, or not at all')
    return stripes
  }

  /** A good copy from any store or cache. */
  read(ref: ContentRef): Uint8Array | undefined {
    const key = keyOf(ref)
    for (const { bytes, cache } of this.#disks) {
      for (const found of [bytes.get(key), cache.get(key)]) {
        if (found !== undefined && verifyContent(ref, found)) return new Uint8Array(found)
      }
    }
    return undefined
  }

  /** Copies in the stores, good or bad; the caches do not count. */
  copies(ref: ContentRef): number {
    return this.#disks.filter(({ bytes }) => bytes.get(keyOf(ref)) !== undefined).length
  }

  /** Takes these out of every store and every cache. */
  async remove(refs: readonly ContentRef[]): Promise<void> {
    await this.#change((disk) => {
      for (const key of refs.map(keyOf)) {
        disk.index.remove(key)
        disk.bytes.remove(key)
        disk.cache.remove(key)
      }
    })
  }

  /** Damages one bit of each copy in the stores, and takes the caches' copies away. How many were damaged. */
  async flip(refs: readonly ContentRef[], bit: number): Promise<number> {
    let flipped = 0
    await this.#change((disk) => {
      for (const key of refs.map(keyOf)) {
        disk.cache.remove(key)
        const intact = disk.bytes.get(key)
        if (intact === undefined) continue
        const bytes = Buffer.from(intact)
        const at = (bit >> 3) % bytes.length
        bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7))
        disk.bytes.put(key, bytes)
        flipped += 1
      }
    })
    return flipped
  }

  async #change(change: (disk: Disk) => void): Promise<void> {
    for (const disk of this.#disks) {
      await disk.env.transaction(() => change(disk))
      await disk.env.flushed
    }
  }
}

function openDisk(path: string): Disk {
  const env = open<Buffer, Buffer>({ path, noSubdir: false, encoding: 'binary', keyEncoding: 'binary', maxDbs: 8 })
  const sub = (name: string): Records => env.openDB({ name, encoding: 'binary', keyEncoding: 'binary' })
  return { env, index: sub('index'), bytes: sub('bytes'), cache: sub('cache') }
}

function keyOf(ref: ContentRef): Buffer {
  return Buffer.concat([locationOf(ref), encodeContentRef(ref)])
}
