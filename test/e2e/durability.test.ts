/** What a put promises, held against real processes: the same bytes come back, whatever becomes of single shards. */
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FRAGMENT_SIZE, STRIPE_SIZE, shuffle } from '../../core/index.ts'
import { seededBytes, seededJitter } from '../storage/support/random.ts'
import { Disks, type Stripe } from './support/disks.ts'
import { addressOf, hushInShell, type Ran, runProgram } from './support/hush.ts'
import { Net } from './support/net.ts'

const NODES = 10
const UNAVAILABLE = 4
const REMOVALS_MAX = 5
const MIB = 1024 * 1024
/** More than one stripe, the last one not full. */
const FEW_STRIPES = 3 * STRIPE_SIZE + 12_345

let net: Net
beforeAll(async () => {
  net = await Net.start(NODES)
})
afterAll(() => net?.end())

const put = async (bytes: Uint8Array, ...words: string[]): Promise<string> =>
  addressOf(await net.as('client-a', ['put', await net.newFile(bytes), ...words]))

async function expectSame(address: string, bytes: Uint8Array): Promise<void> {
  const got = await net.as('client-b', ['get', address, '-o', '-'])
  expect(got.code, got.stderr).toBe(0)
  expect(Buffer.compare(got.stdout, bytes)).toBe(0)
}

/** Opens the disks of all nodes for as long as `use` takes. */
async function withDisks<T>(use: (disks: Disks) => Promise<T>): Promise<T> {
  const disks = new Disks((await net.liveNodes()).map((name) => net.home(name)))
  try {
    return await use(disks)
  } finally {
    await disks.close()
  }
}

/** So many shards of each stripe that just enough are left, chosen by the seed. */
function spare(stripes: readonly Stripe[], seed: string) {
  const jitter = seededJitter(seed)
  return stripes.map(({ refs, needed }) => shuffle(jitter, refs).slice(0, refs.length - needed))
}

describe('a file that was put', () => {
  const sizes = [0, 1, FRAGMENT_SIZE, FRAGMENT_SIZE + 1, STRIPE_SIZE, STRIPE_SIZE + 1, 3 * MIB]
  expect(sizes.slice(2, 6)).toEqual([63_360, 63_361, 506_880, 506_881])
  it.each(sizes)('comes back to another client the same, by either kind of address: %d bytes', async (size) => {
    const bytes = seededBytes(size, size)
    const addresses = await Promise.all([put(bytes), put(bytes, '--public')])
    expect(new Set(addresses).size).toBe(2)
    await Promise.all(addresses.map((address) => expectSame(address, bytes)))
  })

  it('may be a folder in a pipe, on its way in and on its way out', async () => {
    const folder = net.newPath()
    await mkdir(join(folder, 'deep'), { recursive: true })
    const files = new Map([0, 1, 70_000, 700_000].map((size) => [`deep/file of ${size}`, seededBytes(size + 7, size)]))
    for (const [name, bytes] of files) await writeFile(join(folder, name), bytes)
    const stored = await runProgram(['sh', '-c', `tar c . | ${hushInShell} put - --home '${net.home('client-a')}'`], {
      folder,
    })
    const address = addressOf(stored)
    const back = net.newPath()
    await mkdir(back)
    const fetched = await runProgram(
      ['sh', '-c', `${hushInShell} get '${address}' -o - --home '${net.home('client-b')}' | tar x`],
      { folder: back },
    )
    expect(fetched).toMatchObject({ code: 0 })
    for (const [name, bytes] of files) expect(Buffer.compare(await readFile(join(back, name)), bytes)).toBe(0)
  })
})

describe('a file of which shards are gone from every node', () => {
  it.each(['one', 'two', 'three'])(
    'is fetched while any k of each stripe are left, and not with one fewer: choice %s',
    async (seed) => {
      const bytes = seededBytes(seed.length + 100, FEW_STRIPES)
      const address = await put(bytes)
      const { spared, stripes } = await withDisks(async (disks) => {
        const stripes = await disks.stripesOf(address, seededJitter(seed))
        expect(stripes.filter(({ level }) => level === 0).map(({ needed }) => needed)).toEqual([8, 8, 8, 8])
        const spared = spare(stripes, seed)
        const left = () => stripes.map(({ refs }) => refs.filter((ref) => disks.read(ref) !== undefined).length)
        const needed = stripes.map((stripe) => stripe.needed)
        // What is just being copied or moved while it is removed may be written once more.
        for (let tries = 0; tries < REMOVALS_MAX && (tries === 0 || left().join() !== needed.join()); tries++) {
          if (tries > 0) await sleep(1_000)
          await disks.remove(spared.flat())
        }
        expect(left()).toEqual(needed)
        return { spared, stripes }
      })
      await expectSame(address, bytes)

      await withDisks(async (disks) => {
        const data = stripes.findIndex(({ level }) => level === 0)
        const last = stripes[data]?.refs.find((ref) => !spared[data]?.includes(ref))
        if (last === undefined) throw new Error('there is a stripe of data with shards left')
        await disks.remove([last])
      })
      const target = net.newPath()
      const got = await net.as('client-b', ['get', address, '-o', target])
      expectTooFew(got, { found: 7, needed: 8 })
      expect(existsSync(target)).toBe(false)
      const beside = await readdir(dirname(target))
      expect(beside.filter((name) => name.includes(basename(target)))).toEqual([])
    },
  )
})

function expectTooFew(got: Ran, { found, needed }: { found: number; needed: number }): void {
  expect(got).toMatchObject({ code: UNAVAILABLE })
  expect(got.stdout).toHaveLength(0)
  const error = got.stderr.split('\n').find((line) => line.startsWith('error:'))
  expect(error).toMatch(new RegExp(`\\b${found}\\b.*\\b${needed}\\b`))
  expect(got.stderr).not.toMatch(/\n {4}at /)
}

describe('a file of which stored shards were damaged', () => {
  it('is fetched all the same, and each damaged copy that is looked at is counted and dropped', async () => {
    const bytes = seededBytes(300, STRIPE_SIZE + 1)
    const address = await put(bytes)
    const before = await net.metric('hush_corrupt_shards_total')
    const { refs, flipped } = await withDisks(async (disks) => {
      const refs = spare(await disks.stripesOf(address, seededJitter('flip')), 'flip').flat()
      return { refs, flipped: await disks.flip(refs, 77_777) }
    })
    expect(flipped).toBeGreaterThanOrEqual(refs.length)

    await expectSame(address, bytes)
    // A check asks for every shard, so no damaged one is left out.
    expect((await net.as('client-b', ['check', address])).code).toBe(0)
    const counted = (await net.metric('hush_corrupt_shards_total')) - before
    const left = await withDisks(async (disks) => refs.reduce((sum, ref) => sum + disks.copies(ref), 0))
    expect(counted).toBeGreaterThanOrEqual(refs.length)
    expect(left).toBe(flipped - counted)
  })
})

describe('a quarter of the nodes, killed at once', () => {
  it('takes nothing with it that had been stored', async () => {
    const files = [1, 64_000, FEW_STRIPES].map((size) => seededBytes(size + 9, size))
    const addresses = await Promise.all(files.map((bytes) => put(bytes)))
    const killed = shuffle(seededJitter('quarter'), await net.liveNodes()).slice(0, Math.ceil(NODES / 4))
    await Promise.all(killed.map((name) => net.killHard(name)))
    for (const [i, address] of addresses.entries()) await expectSame(address, files[i] as Uint8Array)
    await net.oneRing(NODES - killed.length)
  })
})
