/**
 * A client in a network namespace of its own, where every packet is counted: to whom it speaks at its first
 * start, and that afterwards it speaks to its guard alone, after a long absence too. SPEC safety §4
 */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connectControl, type Status } from '../../node/control/index.ts'
import { addressOf, hush, runProgram } from './support/hush.ts'
import { Namespace, whyNotHere } from './support/namespaces.ts'
import { Net } from './support/net.ts'

const NODES = 12
const SETUP_MS = 300_000
const WAIT_MS = 90_000
const FILE = Buffer.from('nobody else need know\n'.repeat(20_000))

const reason = whyNotHere()
// Where the project's own tests run it must work; elsewhere the reason is told, and the rest goes on.
if (reason !== undefined && process.env.CI !== undefined) throw new Error(reason)
if (reason !== undefined) console.warn(`NOT RUN, the leak test: ${reason}`)

let net: Net
let space: Namespace
let client: string
/** Network addresses, in the order of their names. */
let nodes: readonly string[]
let guard: string

const statusOf = (home: string): Promise<Status> => connectControl(home).status()

/** Resolves once the client has circuits. */
async function ready(): Promise<Status> {
  const startMs = performance.now()
  for (;;) {
    const status = await statusOf(client).catch(() => undefined)
    if (
      status !== undefined &&
      status.circuits.wanted > 0 &&
      status.circuits.ready >= Math.min(3, status.circuits.wanted)
    )
      return status
    if (performance.now() - startMs > WAIT_MS) throw new Error(`no circuits: ${JSON.stringify(status)}`)
    await sleep(200)
  }
}

/** The network address of the guard in use. */
async function guardOf({ guard: used }: Status): Promise<string> {
  for (const [index, address] of nodes.entries()) {
    const { id } = await connectControl(net.home(nameOf(index))).ring()
    if (used !== undefined && id.startsWith(used.id)) return address
  }
  throw new Error('the guard is no node of this network')
}
const nameOf = (index: number) => `node-${String(index).padStart(2, '0')}`

/** Runs the client with these nodes alone within reach, and tells what it sent and where. */
async function runClient(reachable: readonly string[], work: (status: Status) => Promise<void>) {
  await space.allow(reachable)
  const before = space.counts()
  await space.record()
  const up = await hush(['up', '--detach', '--home', client], { under: space.inside })
  expect(up.stderr + up.code).toMatch(/0$/)
  try {
    await work(await ready())
  } finally {
    await hush(['down', '--home', client])
  }
  const sentTo = await space.sentTo()
  const after = space.counts()
  return { sentTo, datagrams: after.datagrams - before.datagrams, noRoute: after.noRoute - before.noRoute }
}

async function putAndGet(): Promise<void> {
  const under = space.inside
  const source = await net.newFile(FILE)
  const put = await hush(['put', source, '--home', client], { under })
  const got = await hush(['get', addressOf(put), '-o', '-', '--home', client], { under })
  expect(got.stderr).toBe('')
  expect(got.stdout.equals(FILE)).toBe(true)
}

describe.skipIf(reason !== undefined)('a client', () => {
  beforeAll(async () => {
    net = await Net.start(NODES)
    space = await Namespace.make(net.folder)
    const members = JSON.parse(await readFile(join(net.dir, 'testnet.json'), 'utf8')).members
    nodes = members.flatMap(({ address }: { address?: string }) => address ?? [])
    const invite = (await net.as(nameOf(0), ['invite'])).stdout.toString().trim()
    client = join(net.dir, 'apart')
    expect((await hush(['init', '--join', invite, '--client', '--home', client])).code).toBe(0)
  }, SETUP_MS)
  afterAll(async () => {
    await space?.end()
    await net?.end()
  }, SETUP_MS)

  it(
    'speaks at its first start to one seed and to its guard',
    async () => {
      const seen = await runClient(nodes, async (status) => {
        guard = await guardOf(status)
        await putAndGet()
      })
      console.info(`first start: ${seen.sentTo.join(', ')}; the guard is ${guard}`)
      expect(seen.sentTo).toContain(`tcp ${guard}`)
      const others = seen.sentTo.filter((to) => to !== `tcp ${guard}`)
      expect(others.length).toBeLessThanOrEqual(1)
      const { seeds } = JSON.parse(await readFile(join(client, 'network.json'), 'utf8'))
      for (const to of others) expect(seeds.map(({ address }: { address: string }) => `tcp ${address}`)).toContain(to)
      expect(seen).toMatchObject({ datagrams: 0, noRoute: 0 })
    },
    SETUP_MS,
  )

  it(
    'puts and gets with its guard alone in reach, and sends nothing else anywhere',
    async () => {
      expect(await runClient([guard], putAndGet)).toEqual({ sentTo: [`tcp ${guard}`], datagrams: 0, noRoute: 0 })
    },
    SETUP_MS,
  )

  it(
    'comes back after a long absence through its guard, not through a seed',
    async () => {
      // What it knew of the network is too old to be used: the same as if it had never known it.
      await rm(join(client, 'state', 'view'))
      expect(await runClient([guard], putAndGet)).toEqual({ sentTo: [`tcp ${guard}`], datagrams: 0, noRoute: 0 })
    },
    SETUP_MS,
  )

  it('would be found out if it sent anything else', async () => {
    await space.allow([guard])
    const before = space.counts()
    await space.record()
    const other = nodes.find((address) => address !== guard) ?? ''
    const [host = '', port] = other.split(':')
    const program = join(net.folder, 'leaky.cjs')
    await writeFile(
      program,
      `const resolver = new (require('node:dns').Resolver)()
      require('node:net').connect(${port}, '${host}').on('error', () => {})
      require('node:net').connect(443, '192.0.2.7').on('error', () => {})
      resolver.setServers(['192.0.2.53'])
      resolver.resolve4('a.example', () => {})
      require('node:dgram').createSocket('udp6').send('x', 53, '2001:db8::53', () => {})
      setTimeout(() => process.exit(), 500)`,
    )
    await runProgram([...space.inside, process.execPath, program])
    const sentTo = await space.sentTo()
    for (const to of [`tcp ${other}`, 'tcp 192.0.2.7:443', 'udp 192.0.2.53:53', 'udp 2001:db8::53:53'])
      expect(sentTo).toContain(to)
    expect(space.counts().datagrams).toBeGreaterThan(before.datagrams)
  })
})
