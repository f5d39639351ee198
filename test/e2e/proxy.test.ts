/** A client whose links all go through a SOCKS5 proxy: what passes there, and that nothing goes past it. SPEC safety §3 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { fromHex, toHex } from '../../core/index.ts'
import { LABELS, tagged } from '../../crypto/index.ts'
import { connectControl } from '../../node/control/index.ts'
import { type SocksServer, startSocks } from '../node/system/socks-server.ts'
import { addressOf, hush } from './support/hush.ts'
import { Net } from './support/net.ts'

const NODES = 8
const SETUP_MS = 300_000
const WAIT_MS = 60_000
const FILE = Buffer.from('by another way\n'.repeat(20_000))

let net: Net
let proxy: SocksServer
let client: string
let nodes: string[]

beforeAll(async () => {
  net = await Net.start(NODES)
  const { members } = JSON.parse(await readFile(join(net.dir, 'testnet.json'), 'utf8'))
  nodes = members.flatMap(({ address }: { address?: string }) => address ?? [])
  const invite = (await net.as('node-00', ['invite'])).stdout.toString().trim()
  client = join(net.dir, 'apart')
  const words = ['--client', '--proxy', 'socks5://127.0.0.1:1', '--home', client]
  expect((await hush(['init', '--join', invite, ...words])).code).toBe(0)
  const { id } = JSON.parse(await readFile(join(client, 'network.json'), 'utf8'))
  const alpn = `hush/1/${toHex(tagged(LABELS.alpn, fromHex(id) ?? new Uint8Array())).slice(0, 16)}`
  proxy = await startSocks({ login: { user: 'hush', password: alpn } })
  const file = join(client, 'config.json')
  const config = JSON.parse(await readFile(file, 'utf8'))
  const changed = { ...config, proxy: `socks5://127.0.0.1:${proxy.port}`, proxyIsolation: true }
  await writeFile(file, JSON.stringify(changed))
  expect((await hush(['up', '--detach', '--home', client])).code).toBe(0)
  await until(async () => (await ready()) > 2)
}, SETUP_MS)
afterAll(async () => {
  await hush(['down', '--home', client])
  await net?.end()
  await proxy?.close()
}, SETUP_MS)

const ready = async () => (await connectControl(client).status()).circuits.ready

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (const startMs = performance.now(); !(await isSo()); await sleep(200))
    if (performance.now() - startMs > WAIT_MS) throw new Error('still waiting')
}

it('puts and gets through the proxy alone, under a login of its network', async () => {
  const put = await hush(['put', await net.newFile(FILE), '--home', client])
  const got = await hush(['get', addressOf(put), '-o', '-', '--home', client])
  expect(got.stdout.equals(FILE)).toBe(true)
  for (const { form, host, port, user } of proxy.asked) {
    expect({ form, user }).toEqual({ form: 'ipv4', user: 'hush' })
    expect(nodes).toContain(`${host}:${port}`)
  }
  // Each byte is stored 5.5 times; all of it and its answers must have passed.
  expect(proxy.counts.up).toBeGreaterThan(5 * FILE.length)
  expect(proxy.counts.down).toBeGreaterThan(FILE.length)
})

it('goes nowhere without its proxy', async () => {
  await proxy.close()
  await until(async () => (await ready()) === 0)
  await sleep(3_000)
  expect(await connectControl(client).status()).toMatchObject({ links: 0, circuits: { ready: 0 } })
})
