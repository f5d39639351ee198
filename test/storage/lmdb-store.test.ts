import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { open as openEnvironment } from 'lmdb'
import { afterAll, describe, expect, it } from 'vitest'
import { fromHex, SHARD_SIZE } from '../../core/index.ts'
import { type ContentRef, encodeContentRef, locationOf, openLmdbStore, ShardStoreError } from '../../storage/index.ts'
import { makeShard } from '../contract/shard.ts'
import { describeShardStore } from '../contract/shard-store.ts'
import { nextTurn } from './support/keepers.ts'

const folder = mkdtempSync(join(tmpdir(), 'hush-store-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let opened = 0
const newPath = () => join(folder, `store-${opened++}`)

/** The key under which SPEC shard-store §2 files a content. */
function keyOf(ref: ContentRef): Buffer {
  return Buffer.concat([locationOf(ref), encodeContentRef(ref)])
}

/** The environment as another program would open it. */
function openFromOutside(path: string) {
  const env = openEnvironment<Buffer, Buffer>({
    path,
    noSubdir: false,
    encoding: 'binary',
    keyEncoding: 'binary',
    maxDbs: 8,
  })
  const sub = (name: string) => env.openDB<Buffer, Buffer>({ name, encoding: 'binary', keyEncoding: 'binary' })
  return { env, index: sub('index'), bytes: sub('bytes'), cache: sub('cache'), leases: sub('leases') }
}

let lastPath = ''
describeShardStore({
  name: 'LMDB',
  open: async (options) => {
    lastPath = newPath()
    return openLmdbStore({ path: lastPath, ...options })
  },
  corrupt: async (ref, intact) => {
    const outside = openFromOutside(lastPath)
    const bytes = Buffer.from(intact)
    bytes[63_487] = (bytes[63_487] ?? 0) ^ 1
    await outside.bytes.put(keyOf(ref), bytes)
    await outside.env.close()
    await nextTurn()
  },
})

describe('LMDB store', () => {
  const noCache = { quotaBytes: 1_000 * SHARD_SIZE, cacheBytes: 0 }

  it('holds contents, leases and the cache across closing', async () => {
    const path = newPath()
    const [a, b, c] = [makeShard(1), makeShard(2), makeShard(3)]
    const first = openLmdbStore({ path, ...noCache, cacheBytes: 4 * SHARD_SIZE })
    await first.store.put({ ...a, leaseEndMs: 5 })
    await first.store.put({ ...b, leaseEndMs: 1_700_000_000_000 })
    await first.store.renew(a.ref, 7)
    first.store.delete(b.ref)
    first.cache.put(c.ref, c.bytes)
    await first.store.close()
    const second = openLmdbStore({ path, ...noCache, cacheBytes: 4 * SHARD_SIZE })
    expect(second.store.list({ limit: 9 })).toEqual([{ ref: a.ref, leaseEndMs: 7 }])
    expect(Buffer.compare(second.store.get(a.ref) ?? new Uint8Array(0), a.bytes)).toBe(0)
    expect(Buffer.compare(second.cache.get(c.ref) ?? new Uint8Array(0), c.bytes)).toBe(0)
    expect(second.store.expire(6, 9)).toBe(0)
    expect(second.store.expire(7, 9)).toBe(1)
    await second.store.close()
  })

  it('loses nothing it acknowledged when killed while writing, and tears nothing', async () => {
    const path = newPath()
    let acknowledgedInAll = 0
    for (let round = 0; round < 3; round++) {
      const script = fileURLToPath(new URL('./support/store-writer.ts', import.meta.url))
      const writer = fork(new URL('./support/run-typescript.mjs', import.meta.url), [script, path, String(round)], {
        execArgv: [],
        stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
      })
      let told = ''
      const isEnough = new Promise<void>((resolve, reject) => {
        writer.stdout?.on('data', (data: Buffer) => {
          told += data.toString('latin1')
          if (told.split('\n').length > 60 + 37 * round) resolve()
        })
        writer.once('exit', () => reject(new Error('the writer ended by itself')))
      })
      await isEnough
      const ended = once(writer, 'close')
      writer.kill('SIGKILL')
      await ended
      const acknowledged = told.split('\n').slice(0, -1)
      acknowledgedInAll += acknowledged.length

      const { store } = openLmdbStore({ path, ...noCache })
      for (const line of acknowledged) {
        const [id = '', leaseEndMs] = line.split(' ')
        const ref: ContentRef = { kind: 'shard', id: fromHex(id) as Uint8Array, copy: 0 }
        expect(store.get(ref)).toBeDefined()
        expect(store.leaseEnd(ref)).toBe(Number(leaseEndMs))
      }
      const listed = store.list({ limit: 10_000 })
      expect(listed.length).toBeGreaterThanOrEqual(acknowledgedInAll)
      for (const { ref } of listed) expect(store.get(ref)).toBeDefined()
      expect(store.usage()).toMatchObject({ corrupt: 0, count: listed.length })
      await store.close()
    }
  })

  it('follows what another process deletes', async () => {
    const path = newPath()
    const { store } = openLmdbStore({ path, ...noCache })
    const [a, b] = [makeShard(10), makeShard(11)]
    await store.put({ ...a, leaseEndMs: 5 })
    await store.put({ ...b, leaseEndMs: 5 })
    const outside = openFromOutside(path)
    for (const records of [outside.index, outside.bytes]) await records.remove(keyOf(a.ref))
    await outside.env.flushed
    await nextTurn()
    expect(store.get(a.ref)).toBeUndefined()
    expect(store.usage()).toMatchObject({ count: 1, corrupt: 0 })
    expect(Buffer.compare(store.get(b.ref) ?? new Uint8Array(0), b.bytes)).toBe(0)
    expect(store.expire(5, 10)).toBe(1)
    expect(store.expire(5, 10)).toBe(0)
    await outside.env.close()
    await store.close()
  })

  it('counts content as corrupt whose bytes went missing', async () => {
    const path = newPath()
    const told: ContentRef[] = []
    const { store } = openLmdbStore({ path, ...noCache, onCorrupt: (ref) => told.push(ref) })
    const a = makeShard(12)
    await store.put({ ...a, leaseEndMs: 5 })
    const outside = openFromOutside(path)
    await outside.bytes.remove(keyOf(a.ref))
    await outside.env.close()
    await nextTurn()
    expect(store.get(a.ref)).toBeUndefined()
    expect(store.usage()).toMatchObject({ count: 0, corrupt: 1 })
    expect(told).toEqual([a.ref])
    await store.close()
  })

  it('drops cached content with a flipped bit', async () => {
    const path = newPath()
    const told: ContentRef[] = []
    const { store, cache } = openLmdbStore({ path, ...noCache, cacheBytes: ROOM, onCorrupt: (ref) => told.push(ref) })
    const a = makeShard(13)
    cache.put(a.ref, a.bytes)
    await store.put({ ...makeShard(14), leaseEndMs: 1 })
    const outside = openFromOutside(path)
    const bytes = Buffer.from(a.bytes)
    bytes[0] = (bytes[0] ?? 0) ^ 128
    await outside.cache.put(keyOf(a.ref), bytes)
    await outside.env.close()
    await nextTurn()
    expect(cache.get(a.ref)).toBeUndefined()
    expect(told).toEqual([a.ref])
    expect(cache.usage().count).toBe(0)
    await store.close()
  })

  it('acknowledges concurrent puts in groups, each of them durable', async () => {
    const path = newPath()
    const { store } = openLmdbStore({ path, ...noCache })
    const shards = Array.from({ length: 40 }, (_, i) => makeShard(500 + i))
    const outcomes = await Promise.all(shards.map((shard) => store.put({ ...shard, leaseEndMs: 1 })))
    expect(new Set(outcomes)).toEqual(new Set(['stored']))
    for (const { ref, bytes } of shards) expect(Buffer.compare(store.get(ref) ?? new Uint8Array(0), bytes)).toBe(0)
    await store.close()
  })

  it('gathers what comes in the pause after a commit, and does not wait for its end when it is closed', async () => {
    const pauses: (() => void)[] = []
    const pause = () => new Promise<void>((resolve) => void pauses.push(resolve))
    const { store } = openLmdbStore({ path: newPath(), ...noCache, pause })
    const put = (seed: number) => store.put({ ...makeShard(seed), leaseEndMs: 1 })
    expect(await put(600)).toBe('stored')
    while (pauses.length < 1) await nextTurn()
    const gathered = [put(601), put(602)]
    for (let turn = 0; turn < 20; turn++) await nextTurn()
    expect(store.usage().count).toBe(1)
    pauses[0]?.()
    expect(await Promise.all(gathered)).toEqual(['stored', 'stored'])
    while (pauses.length < 2) await nextTurn()
    const last = put(603)
    await store.close()
    expect(await last).toBe('stored')
    expect(pauses.length).toBe(2)
  })

  it('says that the disk failed when the folder cannot be used', () => {
    const path = newPath()
    writeFileSync(path, 'in the way')
    expect(() => openLmdbStore({ path, ...noCache })).toThrow(ShardStoreError)
  })

  it('keeps everything in the folder it was given', async () => {
    const path = newPath()
    const { store } = openLmdbStore({ path, ...noCache })
    await store.put({ ...makeShard(15), leaseEndMs: 1 })
    expect(readdirSync(path).sort()).toEqual(['data.mdb', 'lock.mdb'])
    await store.close()
  })
})

const ROOM = 8 * SHARD_SIZE
