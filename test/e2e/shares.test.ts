/**
 * Nodes whose upload has a rate, and more asked of them than they may send: who never served waits and is told
 * why and what to do, while who has served is served. SPEC ledger §6, §7
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connectControl } from '../../node/control/index.ts'
import { seededBytes } from '../storage/support/random.ts'
import { addressOf, hush } from './support/hush.ts'
import { Net } from './support/net.ts'

const NODES = 16
const MIB = 2 ** 20
const UPLOAD_BYTES_PER_S = 256 * 1_024
/** What nodes serve each other before the rate is set; the file costs a client far more than a fund holds. */
const TRAFFIC_MIB = 16
const FILE_MIB = 6
const POLL_EVERY_MS = 1_000
const SETUP_MS = 300_000
const WAIT_MS = 140_000

let net: Net
let address = ''
const bytes = seededBytes(7, FILE_MIB * MIB)

async function restartWithRate(): Promise<void> {
  expect((await hush(['testnet', 'down', '--dir', net.dir])).code).toBe(0)
  for (const { home, role } of await net.members()) {
    if (role !== 'node') continue
    const path = join(home, 'config.json')
    const config = JSON.parse(await readFile(path, 'utf8'))
    await writeFile(path, JSON.stringify({ ...config, uploadBytesPerSecond: UPLOAD_BYTES_PER_S }))
  }
  const up = await hush(['testnet', 'up', '--dir', net.dir])
  if (up.code !== 0) throw new Error(`the testnet did not start again: ${up.stderr}`)
}

beforeAll(async () => {
  net = await Net.start(NODES)
  const other = addressOf(await net.as('client-b', ['put', await net.newFile(seededBytes(8, TRAFFIC_MIB * MIB))]))
  expect((await net.as('client-b', ['get', other, '-o', '-'])).code).toBe(0)
  address = addressOf(await net.as('client-b', ['put', await net.newFile(bytes)]))
  await restartWithRate()
  await net.oneRing(NODES)
}, SETUP_MS)
afterAll(() => net?.end())

describe('a client that never serves, under load', () => {
  it('waits, and is told why and what to do, while a node that has served gets the file', {
    timeout: SETUP_MS,
  }, async () => {
    const startMs = performance.now()
    let clientMs: number | undefined
    const client = net.as('client-a', ['get', address, '-o', '-']).then((ran) => {
      clientMs = performance.now() - startMs
      return ran
    })
    let told = ''
    const node = net.as('node-05', ['get', address, '-o', '-'])
    while (!told.includes('busy') && performance.now() - startMs < WAIT_MS) {
      told = (await net.as('client-a', ['ledger'])).stderr
      await sleep(POLL_EVERY_MS)
    }
    expect(told).toMatch(
      /^note: [0-9a-f]{16} is busy and makes this home wait: it serves first who has served it, and this home has not$/m,
    )
    expect(told).toMatch(/^hint: serve others to be served first: run a node/m)
    expect((await net.as('client-a', ['status'])).stdout.toString()).toMatch(/^slowed +by 1 busy peer/m)

    const got = await node
    expect([got.code, got.stderr, got.stdout.equals(bytes)]).toEqual([0, '', true])
    expect(clientMs).toBeUndefined()

    // The guard says the same of the client.
    const own = await connectControl(net.home('client-a')).ledger()
    const guard = own.accounts.find(({ heard }) => heard !== undefined)
    const home = (await net.members()).map(({ home }) => home)
    const reports = await Promise.all(home.map((each) => connectControl(each).ledger()))
    const mirror = reports.find(({ key }) => key === guard?.peer)?.accounts.find(({ peer }) => peer === own.key)
    expect(mirror).toMatchObject({ word: 'refuse', line: 0, merit: 0 })

    await net.as('client-a', ['down'])
    expect((await client).code).not.toBe(0)
  })
})
