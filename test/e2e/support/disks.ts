/**
 * The nodes' disks from outside, while the nodes run: what is stored and cached where, by keepers and by vaults,
 * and ways to take it away or damage it. SPEC shard-store §2, §5, vaults §5
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Database, open, type RootDatabase } from 'lmdb'
import type { Jitter } from '../../../core/index.ts'
import {
  type ContentRef,
  checkObject,
  contentRefKey,
  decodePointer,
  encodeContentRef,
  locationOf,
  type Place,
  parseAddress,
  shardRef,
  unwrapLeaves,
  verifyContent,
} from '../../../storage/index.ts'

type Records = Database<Buffer, Buffer>
type Environment = RootDatabase<Buffer, Buffer>

interface Shards {
  readonly env: Environment
  readonly index: Records
  readonly bytes: Records
  readonly cache: Records
}

interface Disk extends Shards {
  readonly recordsEnv: Environment
  /** Pointers of the keeper, and what the vault knows of its blobs. */
  readonly records: Records
  readonly vault: Shards | undefined
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
    this.#disks = homes.map(openDisk)
  }

  async close(): Promise<void> {
    for (const { env, recordsEnv, vault } of this.#disks)
      for (const each of [env, recordsEnv, vault?.env]) await each?.close()
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

  /** A good copy from any store, cache or vault. */
  read(ref: ContentRef): Uint8Array | undefined {
    const key = keyOf(ref)
    for (const { bytes, cache } of this.#disks) {
      for (const found of [bytes.get(key), cache.get(key)]) {
        if (found !== undefined && verifyContent(ref, found)) return new Uint8Array(found)
      }
    }
    for (const { pointer, place } of this.#placesOf(ref))
      for (const { vault } of this.#disks) {
        const blob = vault?.bytes.get(blobKey(place))
        const whole = { from: 0, count: 16 }
        const content = blob && unwrapLeaves({ ref, pointer, place }, whole, new Uint8Array(blob))
        if (content !== undefined) return content.leaves
      }
    return undefined
  }

  /** Copies in the stores and with vaults, good or bad; the caches do not count. */
  copies(ref: ContentRef): number {
    return this.#disks.filter(({ bytes }) => bytes.get(keyOf(ref)) !== undefined).length + this.vaultsOf(ref)
  }

  /** Vaults that have a blob of it to which a keeper points. */
  vaultsOf(ref: ContentRef): number {
    const keys = this.#placesOf(ref).map(({ place }) => blobKey(place))
    return this.#disks.filter(({ vault }) => keys.some((key) => vault?.bytes.get(key) !== undefined)).length
  }

  /** Copies as far as keepers can tell: of two blobs, that one and the same vault has them is hidden from them. */
  known(ref: ContentRef): number {
    const keys = this.#placesOf(ref).map(({ place }) => blobKey(place))
    const blobs = keys.filter((key) => this.#disks.some(({ vault }) => vault?.bytes.get(key) !== undefined))
    return blobs.length + this.#disks.filter(({ bytes }) => bytes.get(keyOf(ref)) !== undefined).length
  }

  /** Contents of which one and the same disk has a blob and a pointer that unwraps it. */
  unwrappable(refs: readonly ContentRef[]): ContentRef[] {
    return refs.filter((ref) =>
      this.#disks.some((disk) =>
        placesOn(disk, ref).some(({ place }) => disk.vault?.bytes.get(blobKey(place)) !== undefined),
      ),
    )
  }

  /** What the records of a node as a vault are made of: all but its pointers, which are the keeper's. */
  vaultRecords(): Buffer[] {
    return this.#disks.flatMap(({ records }) =>
      [...records.getRange({})].flatMap(({ key, value }) =>
        key[0] === POINTER_PREFIX[0] ? [] : [Buffer.concat([key, value])],
      ),
    )
  }

  /** Takes these out of every store, cache and vault; pointers stay, and who reads waits for the vaults. */
  async remove(refs: readonly ContentRef[]): Promise<void> {
    await this.#change(refs, (shards, key) => {
      shards.index.remove(key)
      shards.bytes.remove(key)
      shards.cache.remove(key)
    })
  }

  /** As `remove`, and keepers know that they have none. */
  async forget(refs: readonly ContentRef[]): Promise<void> {
    await this.remove(refs)
    for (const { recordsEnv, records } of this.#disks) {
      await recordsEnv.transaction(() => {
        for (const ref of refs) records.remove(pointerKey(ref))
      })
      await recordsEnv.flushed
    }
  }

  /** Damages one bit of each copy in stores and vaults, and takes the caches' copies away. How many were damaged. */
  async flip(refs: readonly ContentRef[], bit: number): Promise<number> {
    let flipped = 0
    await this.#change(refs, (shards, key) => {
      shards.cache.remove(key)
      const intact = shards.bytes.get(key)
      if (intact === undefined) return
      const bytes = Buffer.from(intact)
      const at = (bit >> 3) % bytes.length
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7))
      shards.bytes.put(key, bytes)
      flipped += 1
    })
    return flipped
  }

  async #change(refs: readonly ContentRef[], change: (shards: Shards, key: Buffer) => void): Promise<void> {
    const [keys, blobs] = [
      refs.map(keyOf),
      refs.flatMap((ref) => this.#placesOf(ref).map(({ place }) => blobKey(place))),
    ]
    for (const disk of this.#disks)
      for (const [shards, of] of [
        [disk, keys],
        [disk.vault, blobs],
      ] as const) {
        if (shards === undefined) continue
        await shards.env.transaction(() => {
          for (const key of of) change(shards, key)
        })
        await shards.env.flushed
      }
  }

  /** Every place that any keeper points to, once. */
  #placesOf(ref: ContentRef): ReturnType<typeof placesOn> {
    const found = new Map(
      this.#disks.flatMap((disk) => placesOn(disk, ref).map((each) => [blobKey(each.place).toString('hex'), each])),
    )
    return [...found.values()]
  }
}

const POINTER_PREFIX = Buffer.from('p')

function placesOn({ records }: Disk, ref: ContentRef) {
  const value = records.get(pointerKey(ref))
  if (value === undefined) return []
  const pointer = decodePointer(new Uint8Array(value))
  return pointer.places.map((place) => ({ pointer, place }))
}

function openDisk(home: string): Disk {
  const vault = existsSync(join(home, 'vault')) ? openShards(join(home, 'vault')) : undefined
  const recordsEnv = openEnvironment(join(home, 'ledger'))
  return { ...openShards(join(home, 'shards')), recordsEnv, records: sub(recordsEnv, 'records'), vault }
}

function openShards(path: string): Shards {
  const env = openEnvironment(path)
  return { env, index: sub(env, 'index'), bytes: sub(env, 'bytes'), cache: sub(env, 'cache') }
}

function openEnvironment(path: string): Environment {
  return open<Buffer, Buffer>({ path, noSubdir: false, encoding: 'binary', keyEncoding: 'binary', maxDbs: 8 })
}

function sub(env: Environment, name: string): Records {
  return env.openDB({ name, encoding: 'binary', keyEncoding: 'binary' })
}

function keyOf(ref: ContentRef): Buffer {
  return Buffer.concat([locationOf(ref), encodeContentRef(ref)])
}
function pointerKey(ref: ContentRef): Buffer {
  return Buffer.concat([POINTER_PREFIX, keyOf(ref)])
}
function blobKey({ root }: Place): Buffer {
  return keyOf(shardRef(root))
}
