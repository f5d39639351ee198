/**
 * Ledgers of real processes: neighbours agree, an exported chain is judged elsewhere without a daemon, and
 * what a file was changed by is told. HUSH_E2E_MIB: traffic of the client, 4 MiB unless given. SPEC ledger
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connectControl, type LedgerReport } from '../../node/control/index.ts'
import { seededBytes } from '../storage/support/random.ts'
import { addressOf, hush } from './support/hush.ts'
import { Net } from './support/net.ts'

const NODES = Number(process.env.HUSH_E2E_NODES ?? 8)
const MIB = 2 ** 20
const TRAFFIC_MIB = Number(process.env.HUSH_E2E_MIB ?? 4)
const FILE_MIB_MAX = 64
/** Ten seconds until what is left is proposed, thirty until what was lost is said again, and some for the answers. */
const AGREE_MS_MAX = 120_000
const SETUP_MS = 300_000

let net: Net
const reports = new Map<string, LedgerReport>()

beforeAll(
  async () => {
    // Vaults are audited at all times: with them the accounts of neighbours never rest.
    net = await Net.start(NODES, '--no-vaults')
    for (let done = 0; done < TRAFFIC_MIB; ) {
      const mib = Math.min(FILE_MIB_MAX, TRAFFIC_MIB - done)
      const bytes = seededBytes(done, mib * MIB)
      const path = await net.newFile(bytes)
      const address = addressOf(await net.as('client-a', ['put', path]))
      await rm(path)
      const got = await net.as('client-b', ['get', address, '-o', '-'])
      expect(got.code).toBe(0)
      done += mib
    }
  },
  SETUP_MS + TRAFFIC_MIB * 3_000,
)
afterAll(() => net?.end())

async function look(): Promise<void> {
  for (const { home } of await net.members()) {
    const report = await connectControl(home).ledger()
    reports.set(report.key, report)
  }
}

/** Of each pair, how the two sides differ; nothing when they agree. */
function differences(agreed: Set<string>): string[] {
  const left: string[] = []
  for (const [key, { accounts }] of reports) {
    for (const account of accounts) {
      const name = [key, account.peer].sort().join(' ')
      if (agreed.has(name)) continue
      const mirror = reports.get(account.peer)?.accounts.find(({ peer }) => peer === key)
      const isSame =
        mirror !== undefined &&
        account.balance + mirror.balance === 0 &&
        account.entries === mirror.entries &&
        Math.abs(account.unsignedGot) + Math.abs(mirror.unsignedGot) === 0
      if (isSame) agreed.add(name)
      else left.push(`${name}: ${JSON.stringify([account, mirror])}`)
    }
  }
  return left
}

describe('ledgers of running neighbours', () => {
  it('agree on both sides of every link, once the traffic rests', { timeout: AGREE_MS_MAX + SETUP_MS }, async () => {
    const agreed = new Set<string>()
    const startMs = performance.now()
    for (;;) {
      await look()
      const left = differences(agreed)
      if (left.length === 0) break
      if (performance.now() - startMs > AGREE_MS_MAX) expect(left).toEqual([])
      await sleep(2_000)
    }
    expect(agreed.size).toBeGreaterThan(NODES)
    const signed = [...reports.values()].flatMap(({ accounts }) => accounts).filter(({ entries }) => entries > 0)
    expect(signed.length).toBeGreaterThan(NODES)
  })

  it('owe for what they got: the clients their guards, and nobody more than the limits allow', () => {
    const clients = [...reports.values()].filter(({ isNode }) => !isNode)
    expect(clients).toHaveLength(2)
    for (const { totals } of clients) {
      expect(totals.got).toBeGreaterThan(1_000)
      expect(totals.given).toBe(0)
    }
    for (const { accounts } of reports.values())
      for (const { balance, limit, peerLimit } of accounts) {
        expect(balance).toBeLessThanOrEqual(1.25 * limit)
        expect(0 - balance).toBeLessThanOrEqual(1.25 * peerLimit)
      }
  })

  it('are exported, and judged elsewhere without a daemon', async () => {
    const [guard] = [...((await connectControl(net.home('client-a')).ledger()).accounts ?? [])]
    const peer = guard?.id?.slice(0, 12) ?? ''
    const table = await net.as('client-a', ['ledger'])
    expect(table.stdout.toString()).toContain(peer)
    const shown = await net.as('client-a', ['ledger', 'show', peer])
    expect(shown.stdout.toString()).toMatch(/^A [0-9a-f]{64}\nB [0-9a-f]{64}\n[\s\S]*\ngood: \d+ entr/)
    const file = net.newPath()
    expect((await net.as('client-a', ['ledger', 'export', peer, '-o', file])).code).toBe(0)
    expect((await net.as('client-a', ['ledger', 'export', peer, '-o', file])).code).toBe(2)
    const elsewhere = await mkdtemp(join(tmpdir(), 'hush-elsewhere-'))
    try {
      const verify = (path: string) => hush(['ledger', 'verify', path, '--home', join(elsewhere, 'none')])
      const good = await verify(file)
      expect([good.code, good.stdout.toString()]).toEqual([0, expect.stringMatching(/^good: \d+ entr/)])
      const bytes = await readFile(file)
      const changed = Buffer.from(bytes)
      // The last byte of the last entry: in a signature of B.
      changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1
      const path = join(elsewhere, 'changed')
      await writeFile(path, changed)
      const broken = await verify(path)
      expect([broken.code, broken.stdout.toString()]).toEqual([
        5,
        expect.stringMatching(/^broken at entry \d+: signature of B/),
      ])
      await writeFile(path, bytes.subarray(0, -1))
      expect((await verify(path)).code).toBe(2)
    } finally {
      await rm(elsewhere, { recursive: true })
    }
    expect((await net.as('client-a', ['ledger', 'show', 'ffffffffffffffff'])).code).toBe(2)
  })

  it('are there after a kill of the process', async () => {
    const [before] = [...reports.values()].filter(({ isNode }) => isNode)
    const member = (await net.members()).find(({ role }) => role === 'node')
    expect(before).toBeDefined()
    const name = member?.name ?? ''
    const own = await connectControl(net.home(name)).ledger()
    await net.killHard(name)
    await net.restart(name)
    const after = await connectControl(net.home(name)).ledger()
    for (const { peer, entries } of own.accounts.filter(({ entries }) => entries > 0)) {
      const same = after.accounts.find((other) => other.peer === peer)
      expect(same?.entries).toBeGreaterThanOrEqual(entries)
    }
  })
})
