/** Repair between real processes: what was taken from every disk is back, by address and by repair key. */
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { STRIPE_SIZE, shuffle } from '../../core/index.ts'
import type { ContentRef } from '../../storage/index.ts'
import { seededBytes, seededJitter } from '../storage/support/random.ts'
import { Disks, type Stripe } from './support/disks.ts'
import { addressOf, type Ran } from './support/hush.ts'
import { Net } from './support/net.ts'

const NODES = 8
const INPUT = 2
const UNAVAILABLE = 4
const SIZE = STRIPE_SIZE + 12_345

let net: Net
beforeAll(async () => {
  net = await Net.start(NODES)
})
afterAll(() => net?.end())

const put = async (bytes: Uint8Array, ...words: string[]): Promise<string> =>
  addressOf(await net.as('client-a', ['put', await net.newFile(bytes), ...words]))

async function withDisks<T>(use: (disks: Disks) => Promise<T>): Promise<T> {
  const disks = new Disks((await net.liveNodes()).map((name) => net.home(name)))
  try {
    return await use(disks)
  } finally {
    await disks.close()
  }
}

/**
 * So many shards of each stripe, chosen by the seed, gone from every disk; the stripes and what is gone. `byVaults`: keepers
 * have not noticed, point to vaults, and who asks waits for these.
 */
async function lose(address: string, seed: string, count: (stripe: Stripe) => number, { byVaults = false } = {}) {
  return withDisks(async (disks) => {
    const jitter = seededJitter(seed)
    const stripes = await disks.stripesOf(address, jitter)
    const gone = stripes.flatMap((stripe) => shuffle(jitter, stripe.refs).slice(0, count(stripe)))
    // Nodes that hand each other copies meanwhile may bring some back.
    const isBack = () => gone.some((ref) => disks.copies(ref) > 0)
    do await (byVaults ? disks.remove(gone) : disks.forget(gone))
    while (isBack())
    return { stripes, gone }
  })
}

async function expectTwoCopies(refs: readonly ContentRef[]): Promise<void> {
  const fewer = await withDisks(async (disks) => refs.filter((ref) => disks.copies(ref) < 2))
  expect(fewer).toEqual([])
}

async function expectPerfect(handle: string): Promise<void> {
  const check = await net.as('client-b', ['check', handle, '--json'])
  expect(check).toMatchObject({ code: 0 })
  expect(lastOf(check)).toMatchObject({ event: 'summary', health: 'perfect' })
}

function lastOf(ran: Ran) {
  return JSON.parse(ran.stdout.toString().trim().split('\n').at(-1) ?? '{}')
}

describe('hush repair', () => {
  it.each(['private', 'public'])('puts lost shards back so that all others may go: a %s file', async (kind) => {
    const words = kind === 'public' ? ['--public'] : []
    const bytes = seededBytes(7 + words.length, SIZE)
    const address = await put(bytes, ...words)
    const { stripes, gone } = await lose(address, 'first', ({ needed }) => needed, {
      byVaults: kind === 'private',
    })
    const repair = await net.as('client-b', ['repair', address, '--json'])
    expect(repair).toMatchObject({ code: 0 })
    expect(lastOf(repair)).toMatchObject({ missing: gone.length, rebuilt: gone.length, health: 'perfect' })
    await expectTwoCopies(gone)
    await expectPerfect(address)

    // Only the rebuilt ones are left: exactly as many as are needed.
    await withDisks((disks) => disks.forget(stripes.flatMap(({ refs }) => refs.filter((ref) => !gone.includes(ref)))))
    const got = await net.as('client-b', ['get', address, '-o', '-'])
    expect(got).toMatchObject({ code: 0 })
    expect(Buffer.compare(got.stdout, bytes)).toBe(0)
  })

  it('ends 4 when a part is lost, and has repaired the rest', async () => {
    const address = await put(seededBytes(9, SIZE))
    let isFirst = true
    const { stripes } = await lose(address, 'lost', ({ level, needed, refs }) => {
      if (level > 0) return 0
      const count = isFirst ? refs.length - needed + 1 : 4
      isFirst = false
      return count
    })
    const repair = await net.as('client-b', ['repair', address, '--json'])
    expect(repair).toMatchObject({ code: UNAVAILABLE })
    expect(lastOf(repair)).toMatchObject({ missing: 15 + 4, rebuilt: 4, health: 'lost' })
    expect(stripes.length).toBe(3)
  })
})

describe('a read-back', () => {
  /** Twelve to twenty seconds after a put. */
  const SOON = { min: 0.2, max: 0.33 }

  beforeAll(async () => {
    const path = join(net.home('client-a'), 'config.json')
    await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, 'utf8')), readBackMinutes: SOON }))
    expect(await net.as('client-a', ['down'])).toMatchObject({ code: 0 })
    await net.restart('client-a')
    await net.hasCircuits('client-a')
  })

  it('puts again by itself what keepers lost after their receipts', async () => {
    const address = await put(seededBytes(17, SIZE))
    const { gone } = await lose(address, 'after', ({ needed }) => needed)
    const readBack = async () => JSON.parse((await net.as('client-a', ['status', '--json'])).stdout.toString()).readBack
    await expect.poll(readBack, { timeout: 120_000, interval: 1_000 }).toMatchObject({ verified: 1, waiting: 0 })
    expect((await readBack()).restored).toBe(gone.length)
    await expectTwoCopies(gone)
    await expectPerfect(address)
  })

  it('is waited for by put --verify: a private file and a public one', async () => {
    const path = await net.newFile(seededBytes(18, 100_000))
    // Together: most of it is waiting.
    const runs = await Promise.all(
      [[], ['--public']].map((words) => net.as('client-a', ['put', path, '--verify', ...words])),
    )
    for (const ran of runs) {
      expect(ran).toMatchObject({ code: 0 })
      expect(ran.stderr).toMatch(/verified: all \d+ shards are where they should be/)
      await expectPerfect(addressOf(ran))
    }
  })

  it('proves what was handed over with --hold, when gateways have let go of it', async () => {
    const bytes = seededBytes(21, SIZE)
    const ran = await net.as('client-a', ['put', await net.newFile(bytes), '--hold', 'minutes', '--json'])
    expect(ran).toMatchObject({ code: 0 })
    const [stored] = ran.stdout
      .toString()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(stored).toMatchObject({ stored: 0, pending: 0, handed: stored.shards })
    const status = async () => JSON.parse((await net.as('client-a', ['status', '--json'])).stdout.toString()).readBack
    expect(await status()).toMatchObject({ handedOver: 1 })
    await expect.poll(status, { timeout: 120_000, interval: 1_000 }).toMatchObject({ handedOver: 0, unproven: 0 })
    const got = await net.as('client-b', ['get', stored.address, '-o', '-'])
    expect(got).toMatchObject({ code: 0 })
    expect(Buffer.compare(got.stdout, bytes)).toBe(0)
    await expectPerfect(stored.address)
  })
})

describe('a repair key', () => {
  it('repairs and checks, and reads nothing', async () => {
    const bytes = seededBytes(11, SIZE)
    const address = await put(bytes)
    const made = await net.as('client-a', ['repair-key', address])
    expect(made).toMatchObject({ code: 0 })
    const key = made.stdout.toString().trim()
    expect(key).toMatch(/^hush-repair:[a-z2-7]+$/)

    const { gone } = await lose(address, 'key', ({ refs, needed }) => refs.length - needed)
    expect(await net.as('client-b', ['repair', key])).toMatchObject({ code: 0 })
    await expectTwoCopies(gone)
    await expectPerfect(key)
    await expectPerfect(address)

    const read = await net.as('client-b', ['get', key, '-o', '-'])
    expect(read).toMatchObject({ code: INPUT })
    expect(read.stderr).toContain('repair key')
    const mistyped = key.slice(0, -1) + (key.endsWith('a') ? 'b' : 'a')
    const refused = await net.as('client-b', ['repair', mistyped])
    expect(refused).toMatchObject({ code: INPUT })
    expect(refused.stderr).toMatch(/^error: not a usable repair key: it is mistyped/)
  })
})

describe('hush keep', () => {
  it('keeps a list that lasts, that only its owner reads, and that holds no address', async () => {
    const address = await put(seededBytes(13, 70_000))
    const kept = await net.as('client-b', ['keep', address, '--json'])
    expect(kept).toMatchObject({ code: 0 })
    const { id, repairKey } = JSON.parse(kept.stdout.toString())
    const again = await net.as('client-b', ['keep', address])
    expect(again.stdout.toString().trim()).toBe(id)

    const path = join(net.home('client-b'), 'state', 'kept')
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect((await readFile(path)).length).toBe(3 + 134)

    await net.killHard('client-b')
    await net.restart('client-b')
    await net.hasCircuits('client-b')
    const list = await net.as('client-b', ['keep', '--list', '--json'])
    expect(JSON.parse(list.stdout.toString())).toMatchObject([{ id, repairKey }])
    expect((await net.as('client-b', ['status'])).stdout.toString()).toMatch(/keeping +1 object/)
    expect((await net.as('client-b', ['keep', '--list'])).stdout.toString()).toContain(id)

    expect(await net.as('client-b', ['keep', '--stop', address])).toMatchObject({ code: 0 })
    expect(await net.as('client-b', ['keep', '--stop', id])).toMatchObject({ code: INPUT })
    expect(JSON.parse((await net.as('client-b', ['keep', '--list', '--json'])).stdout.toString())).toEqual([])
  })
})
