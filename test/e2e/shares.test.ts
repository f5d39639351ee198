/**
 * Nodes whose upload has a rate, and more asked of one of them than it may send: what a client asks that never
 * served is held back, and it is told why and what to do, while members that have served are not. SPEC ledger §6, §7
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connectControl, type LedgerReport } from '../../node/control/index.ts'
import { seededBytes } from '../storage/support/random.ts'
import { addressOf, hush } from './support/hush.ts'
import { Net } from './support/net.ts'

const NODES = 16
const MIB = 2 ** 20
const UPLOAD_BYTES_PER_S = 256 * 1_024
/** It costs a client far more than a fund holds; what nodes serve each other for it before the rate is set is their merit. */
const FILE_MIB = 12
const POLL_EVERY_MS = 500
const WAIT_MS = 120_000
const SETUP_MS = 300_000

let net: Net
let address = ''
let isOver = false

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
  await net.oneRing(NODES)
}

/** What it says, once that holds; the last of it when time is up. */
async function until<T>(ask: () => Promise<T>, holds: (answer: T) => boolean): Promise<T> {
  const startMs = performance.now()
  for (;;) {
    const answer = await ask()
    if (holds(answer) || performance.now() - startMs > WAIT_MS) return answer
    await sleep(POLL_EVERY_MS)
  }
}

beforeAll(async () => {
  net = await Net.start(NODES)
  address = addressOf(await net.as('client-b', ['put', await net.newFile(seededBytes(7, FILE_MIB * MIB))]))
  await restartWithRate()
}, SETUP_MS)
afterAll(async () => {
  isOver = true
  await net?.end()
})

/** A get that finds its guard too busy gives up in time: then the next one. */
async function askOn(): Promise<void> {
  while (!isOver) {
    await net.as('client-a', ['get', address, '-o', '-'])
    await sleep(POLL_EVERY_MS)
  }
}

describe('a client that never serves, under load', () => {
  let guard = ''
  let own: LedgerReport
  let atGuard: LedgerReport

  it('is told by its guard that it waits, why, and what to do', { timeout: SETUP_MS }, async () => {
    void askOn()
    const told = await until(
      async () => (await net.as('client-a', ['ledger'])).stderr,
      (text) => text.includes('busy'),
    )
    expect(told).toMatch(
      /^note: [0-9a-f]{16} is busy and makes this home wait: it serves first who has served it, and this home has not$/m,
    )
    expect(told).toMatch(/^hint: serve others to be served first: run a node/m)
    expect((await net.as('client-a', ['status'])).stdout.toString()).toMatch(/^slowed +by 1 busy peer/m)
  })

  it('is held back there, and members that have served are not', { timeout: SETUP_MS }, async () => {
    own = await connectControl(net.home('client-a')).ledger()
    const peer = own.accounts.find(({ heard }) => heard !== undefined)?.peer
    for (const { home, role } of await net.members()) {
      const report = await connectControl(home).ledger()
      if (role === 'node' && report.key === peer) [guard, atGuard] = [home, report]
    }
    expect(atGuard.accounts.find((account) => account.peer === own.key)).toMatchObject({
      word: 'refuse',
      allowance: 0,
      merit: 0,
      got: 0,
    })
    // Whose debt is within what it has served: a member may have taken more than that, and waits like others then.
    const served = atGuard.accounts.filter(({ got, exposure, limit }) => got > 0 && exposure <= Math.min(got, limit))
    expect(served.length).toBeGreaterThan(NODES / 4)
    expect(served.filter(({ word }) => word !== 'serve')).toEqual([])

    const held = /^\w*held_back_cells_total (\d+)$/m
    const cells = (text: string): number => Number(held.exec(text)?.[1] ?? 0)
    const metrics = await until(
      () => connectControl(guard).metrics(),
      (text) => cells(text) > 0,
    )
    expect(cells(metrics)).toBeGreaterThan(0)
  })
})
