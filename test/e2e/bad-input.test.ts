/**
 * What is wrong from outside gets a clear error and the right exit code, and breaks nothing: whatever a test
 * does here, the same file is fetched again at the end. docs/exit-codes.md, docs/errors.md
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { connect as connectTcp, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { CELL_SIZE, fromHex, toBase32, toHex } from '../../core/index.ts'
import { LABELS, selfSignedCertificate, tagged } from '../../crypto/index.ts'
import { connectControl } from '../../node/control/index.ts'
import { formatAddress } from '../../storage/index.ts'
import { addressOf, hush, type Ran } from './support/hush.ts'
import { Net } from './support/net.ts'

const NODES = 8
const SETUP_MS = 300_000
const EXIT = { ok: 0, input: 2, degraded: 3, unavailable: 4, local: 6 } as const
const UNKNOWN_MS_MAX = 30_000
/** Shards of the file that goes around a full keeper: 11 stripes of 22, a node and 8 copies of the root. */
const LARGE_SIZE = 5 * 1024 * 1024
const SMALL = Buffer.from('here as before\n'.repeat(10_000))
/** The door that strangers knock at. */
const DOOR = 'node-00'

let net: Net
let address: string
let invite: string
let door: { host: string; port: number }
let alpn: string

beforeAll(async () => {
  net = await Net.start(NODES)
  address = addressOf(await net.as('client-a', ['put', '-'], SMALL))
  invite = (await net.as(DOOR, ['invite'])).stdout.toString().trim()
  const [host = '', port] = (await connectControl(net.home(DOOR)).ring()).address.split(':')
  door = { host, port: Number(port) }
  alpn = alpnOf(await networkId())
}, SETUP_MS)
afterAll(() => net?.end(), SETUP_MS)

const networkId = async (): Promise<string> =>
  JSON.parse(await readFile(join(net.home(DOOR), 'network.json'), 'utf8')).id
const alpnOf = (id: string, version = 1): string =>
  `hush/${version}/${toHex(tagged(LABELS.alpn, fromHex(id) ?? new Uint8Array())).slice(0, 16)}`

function expectError(ran: Ran, exit: number, words: RegExp): void {
  expect(ran.stderr).toMatch(words)
  expect(ran.stderr).toMatch(/^error: /m)
  expect(ran.code).toBe(exit)
  expect(ran.stdout.toString()).toBe('')
}

/** Nothing is broken: every process runs, and both clients get the file. */
async function expectServing(): Promise<void> {
  expect(await net.liveNodes()).toHaveLength(NODES)
  const got = await net.as('client-b', ['get', address, '-o', '-'])
  expect(got.stderr).toBe('')
  expect(got.stdout.equals(SMALL)).toBe(true)
}

async function cellsOut(name: string): Promise<number> {
  const text = await connectControl(net.home(name)).metrics()
  return Number(/^hush_cells_out_total (\d+)$/m.exec(text)?.[1])
}

/** A home of its own in the testnet's network, its files changed as the test likes. */
async function newHome(
  words: readonly string[],
  change: Record<string, (text: string) => string> = {},
): Promise<string> {
  const home = join(net.dir, `stranger-${toHex(globalThis.crypto.getRandomValues(new Uint8Array(4)))}`)
  const made = await hush(['init', '--join', invite, ...words, '--home', home])
  expect(made.stderr + made.code).toMatch(/0$/)
  for (const [file, edit] of Object.entries(change))
    await writeFile(join(home, file), edit(await readFile(join(home, file), 'utf8')))
  return home
}

const logOf = (home: string) => readFile(join(home, 'daemon.log'), 'utf8')

/** The door's log says why it refused; one line a reason and minute. */
async function refusalLogged(why: string): Promise<boolean> {
  for (let tries = 0; tries < 100; tries++) {
    const lines = (await logOf(net.home(DOOR))).split('\n').filter((line) => line.includes('"link-refused"'))
    if (lines.some((line) => JSON.parse(line).why === why)) return true
    await sleep(100)
  }
  return false
}

describe('an address', () => {
  it('that is mistyped is found by its checksum, and nobody is asked', async () => {
    const at = 40
    const mistyped = address.slice(0, at) + (address[at] === 'a' ? 'b' : 'a') + address.slice(at + 1)
    const [gets, cells] = [await net.metric('hush_ring_gets_total'), await cellsOut('client-a')]
    expectError(await net.as('client-a', ['get', mistyped, '-o', net.newPath()]), EXIT.input, /mistyped/)
    expectError(await net.as('client-a', ['check', mistyped]), EXIT.input, /mistyped/)
    // A get asks for eight copies of the root at once; what a client sends by itself is one cell in two seconds.
    expect((await cellsOut('client-a')) - cells).toBeLessThan(8)
    expect(await net.metric('hush_ring_gets_total')).toBe(gets)
  })

  it.each(['private', 'public'] as const)(
    'that nobody stored (%s) is not found by n of 8 keepers, within 30 s',
    async (kind) => {
      const payload = () => globalThis.crypto.getRandomValues(new Uint8Array(32))
      const unknown = kind === 'private' ? { kind, locator: payload(), key: payload() } : { kind, hash: payload() }
      const gets = await net.metric('hush_ring_gets_total')
      const startMs = performance.now()
      const target = net.newPath()
      const got = await net.as('client-a', ['get', formatAddress(unknown), '-o', target])
      expect(performance.now() - startMs).toBeLessThan(UNKNOWN_MS_MAX)
      expectError(got, EXIT.unavailable, /not found by [1-8] of 8 keepers/)
      // On a busy machine a keeper may not answer in time; that is told apart, and is the exception.
      expect(Number(/by (\d) of 8/.exec(got.stderr)?.[1])).toBeGreaterThanOrEqual(6)
      await expect(readFile(target)).rejects.toThrow(/ENOENT/)
      expect(await net.metric('hush_ring_gets_total')).toBeGreaterThan(gets)
    },
  )

  it('of a newer version says so', async () => {
    const named = Uint8Array.of(2 << 4, ...new Uint8Array(64))
    const text = toBase32(Uint8Array.of(...named, ...tagged(LABELS.addressChecksum, named).subarray(0, 4)))
    expectError(await net.as('client-a', ['get', `hush:${text}`, '-o', '-']), EXIT.input, /version 2/)
  })

  it('that is something else is named as no address', async () => {
    expectError(await net.as('client-a', ['get', 'https://example.org/', '-o', '-']), EXIT.input, /address/)
    expectError(await net.as('client-a', ['get', address.slice(0, -3), '-o', '-']), EXIT.input, /address/)
  })
})

describe('a file', () => {
  it('that is empty is stored and fetched', async () => {
    const put = await net.as('client-a', ['put', await net.newFile(new Uint8Array())])
    expect(put.code).toBe(EXIT.ok)
    const target = net.newPath()
    expect((await net.as('client-b', ['get', addressOf(put), '-o', target])).code).toBe(EXIT.ok)
    expect(await readFile(target)).toHaveLength(0)
  })

  it('that cannot be read is named, with the reason', async () => {
    expectError(await net.as('client-a', ['put', net.newPath()]), EXIT.input, /file-\d+.*does not exist/)
    const folder = net.newPath()
    await mkdir(folder)
    expectError(await net.as('client-a', ['put', folder]), EXIT.input, /file-\d+.*folder/)
  })
})

describe('a keeper whose disk is full', () => {
  it('is gone around: every shard is stored under another name elsewhere', async () => {
    const full = await nodeOfSmallestArc()
    expect((await net.as(full, ['down'])).code).toBe(EXIT.ok)
    const path = join(net.home(full), 'config.json')
    const before = await readFile(path, 'utf8')
    await writeFile(path, JSON.stringify({ ...JSON.parse(before), quotaBytes: 4_096 }))
    await net.restart(full)
    await net.oneRing(NODES)
    const held = (await connectControl(net.home(full)).status()).node?.storedBytes ?? 0

    const file = Buffer.alloc(LARGE_SIZE, 'full')
    const put = await net.as('client-a', ['put', '-', '--json'], file)
    expect([EXIT.ok, EXIT.degraded]).toContain(put.code)
    const told = JSON.parse(put.stdout.toString())
    console.info(`with ${full} full: ${told.stored} of ${told.shards} shards stored, exit code ${put.code}`)
    const status = await connectControl(net.home(full)).status()
    expect(status.node?.storedBytes).toBe(held)
    expect(status.node?.quotaBytes).toBeLessThan(4_097)
    const got = await net.as('client-b', ['get', told.address, '-o', '-'])
    expect(got.stdout.equals(file)).toBe(true)

    await writeFile(path, before)
    expect((await net.as(full, ['down'])).code).toBe(EXIT.ok)
    await net.restart(full)
    await net.oneRing(NODES)
    await expectServing()
  })
})

/** Where about a tenth of all shards have their first place: enough of the other, and copies of the root, remain. */
async function nodeOfSmallestArc(): Promise<string> {
  const nodes = await Promise.all(
    (await net.liveNodes()).map(async (name) => {
      const { id, predecessor = id } = await connectControl(net.home(name)).ring()
      const arc = (BigInt(`0x${id}`) - BigInt(`0x${predecessor}`) + (1n << 256n)) % (1n << 256n)
      return { name, part: Number(arc >> 200n) / 2 ** 56 }
    }),
  )
  const fitting = nodes
    .filter(({ name, part }) => part > 0.03 && name !== DOOR)
    .sort((one, other) => one.part - other.part)
  return fitting[0]?.name ?? 'node-01'
}

describe('a home', () => {
  it('with a wrong key in its settings is not started, and the key is named', async () => {
    const change = (extra: object) => ({
      'config.json': (text: string) => JSON.stringify({ ...JSON.parse(text), ...extra }),
    })
    const unknown = await newHome(['--client'], change({ quotaByte: 1 }))
    expectError(await hush(['up', '--home', unknown]), EXIT.input, /unknown key "quotaByte"/)
    const wrong = await newHome(['--client'], change({ cacheShare: 7 }))
    expectError(await hush(['up', '--home', wrong]), EXIT.input, /"cacheShare"/)
    const detached = await hush(['up', '--detach', '--home', unknown])
    expect(detached.stderr).toMatch(/unknown key "quotaByte"/)
    expect(detached.code).toBe(EXIT.input)
  })

  it('whose port is taken is not started, and the address is named', async () => {
    const squatter = createServer()
    await new Promise<void>((resolve) => squatter.listen(0, '127.0.0.1', resolve))
    const port = (squatter.address() as { port: number }).port
    const home = await newHome(['--listen', `127.0.0.1:${port}`])
    expectError(await hush(['up', '--home', home]), EXIT.local, new RegExp(`listens on 127.0.0.1:${port}`))
    await new Promise((resolve) => squatter.close(resolve))
  })

  it('without a daemon says how to start one', async () => {
    const home = await newHome(['--client'])
    for (const words of [['status'], ['get', address, '-o', '-'], ['put', await net.newFile(SMALL)]])
      expectError(await hush([...words, '--home', home]), EXIT.unavailable, /hint: .*hush up/)
  })

  it('that is none says how to make one', async () => {
    expectError(await hush(['up', '--home', net.newPath()]), EXIT.input, /no home yet/)
  })

  it('takes no second daemon; the first goes on', async () => {
    const pid = (await connectControl(net.home('client-b')).status()).pid
    expectError(await net.as('client-b', ['up']), EXIT.local, new RegExp(`process ${pid} already works in`))
    expectError(await net.as('client-b', ['up', '--detach']), EXIT.local, /runs for this home already/)
    await expectServing()
    expect((await connectControl(net.home('client-b')).status()).pid).toBe(pid)
  })
})

// --- strangers at the door ---------------------------------------------------------------------

const ended = (socket: Socket | WebSocket): Promise<number> => new Promise((resolve) => socket.once('close', resolve))

function tls(options: ConnectionOptions = {}): TLSSocket {
  const { certPem, keyPem } = selfSignedCertificate(globalThis.crypto.getRandomValues(new Uint8Array(32)))
  const socket = connect({
    ...door,
    minVersion: 'TLSv1.3',
    rejectUnauthorized: false,
    ALPNProtocols: [alpn],
    cert: certPem,
    key: keyPem,
    ...options,
  })
  socket.on('error', () => undefined)
  return socket
}

/** A link as a real peer has it, to misbehave on. */
function link(): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const socket = tls()
    socket.once('close', () => reject(new Error('the door closed')))
    socket.once('secureConnect', () => {
      const webSocket = new WebSocket('wss://link/link', { perMessageDeflate: false, createConnection: () => socket })
      webSocket.on('error', () => undefined)
      webSocket.once('open', () => resolve(webSocket))
    })
  })
}

/** Sends, and resolves with the code the link is closed with. */
async function closedAfter(data: Uint8Array | string): Promise<number> {
  const webSocket = await link()
  const end = ended(webSocket)
  webSocket.send(data)
  return end
}

/** A TLS connection that the door ends; what `send` writes goes out once TLS stands. */
async function endedTls(options: ConnectionOptions, send?: Uint8Array | string): Promise<void> {
  const socket = tls(options)
  // What the door says is of no interest, but unread it would keep the connection open.
  socket.resume()
  if (send !== undefined) socket.once('secureConnect', () => socket.write(send))
  await ended(socket)
}

const garbage = (size: number): Uint8Array => {
  const bytes = new Uint8Array(size)
  for (let at = 0; at < size; at += 65_536) globalThis.crypto.getRandomValues(bytes.subarray(at, at + 65_536))
  return bytes
}

describe('a stranger at the listening port', () => {
  it('with garbage instead of TLS is refused, and the log says so', async () => {
    for (const bytes of [garbage(10_000), 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', new Uint8Array(1)]) {
      const socket = connectTcp(door)
      socket.on('error', () => undefined)
      // A single byte is a handshake begun: it is not worth waiting for its time-out.
      socket.end(bytes)
      socket.resume()
      await ended(socket)
    }
    expect(await refusalLogged('handshake failed')).toBe(true)
    await expectServing()
  })

  it('with garbage inside TLS is refused, and the log says so', async () => {
    await endedTls({}, garbage(20_000))
    await endedTls({}, 'GET /other HTTP/1.1\r\nHost: link\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    expect(await refusalLogged('not a link')).toBe(true)
    await expectServing()
  })

  it('with frames of a wrong size or kind has its link closed, and is counted', async () => {
    const before = await violations()
    const wrong = [
      garbage(100),
      garbage(CELL_SIZE + 1),
      garbage(12 * CELL_SIZE + 1),
      garbage(1_000_000),
      'words',
      new Uint8Array(),
    ]
    for (const bytes of wrong) expect([1002, 1009, 1006]).toContain(await closedAfter(bytes))
    expect((await violations()) - before).toBe(wrong.length)
    await expectServing()
  })

  it('with cells that hold garbage has its link closed, and the log says so', async () => {
    await closedAfter(garbage(CELL_SIZE))
    // Command message on circuit 0 with a length past its end.
    const cell = new Uint8Array(CELL_SIZE).fill(0xff)
    cell.set([0, 0, 0, 0, 5])
    await closedAfter(cell)
    expect(await logOf(net.home(DOOR))).toMatch(/"peer misbehaved"/)
    await expectServing()
  })

  it('without a certificate is refused, and the log says so', async () => {
    const socket = connect({ ...door, minVersion: 'TLSv1.3', rejectUnauthorized: false, ALPNProtocols: [alpn] })
    socket.on('error', () => undefined)
    socket.resume()
    await ended(socket)
    expect(await refusalLogged('no certificate')).toBe(true)
    await expectServing()
  })

  it.each([
    { who: 'of another network', names: () => [alpnOf('ab'.repeat(32))], why: 'other network' },
    { who: 'of an older protocol version', names: async () => [alpnOf(await networkId(), 0)], why: 'older protocol' },
    { who: 'of a newer protocol version', names: async () => [alpnOf(await networkId(), 2)], why: 'newer protocol' },
    { who: 'that is no node', names: () => ['h2', 'http/1.1'], why: 'no node' },
  ])('$who is refused, and the log says so', async ({ names, why }) => {
    const socket = tls({ ALPNProtocols: await names() })
    let isSecure = false
    socket.once('secureConnect', () => {
      isSecure = socket.alpnProtocol !== false
    })
    await ended(socket)
    expect(isSecure).toBe(false)
    expect(await refusalLogged(why)).toBe(true)
    await expectServing()
  })
})

async function violations(): Promise<number> {
  const text = await connectControl(net.home(DOOR)).metrics()
  return Number(/^hush_link_violations_total (\d+)$/m.exec(text)?.[1])
}

describe('a daemon that is sent to wrong peers', () => {
  type Network = { id: string; seeds: { publicKey: string; address: string }[] }
  const edited = (edit: (network: Network) => Network) => (text: string) => JSON.stringify(edit(JSON.parse(text)))
  const debug = (text: string) => JSON.stringify({ ...JSON.parse(text), logLevel: 'debug' })

  it.each([
    {
      who: 'with other certificates than it expects',
      edit: (network: Network) => {
        const keys = network.seeds.map(({ publicKey }) => publicKey)
        return {
          ...network,
          seeds: network.seeds.map((seed, i) => ({ ...seed, publicKey: keys[(i + 1) % keys.length] ?? '' })),
        }
      },
      words: /somebody else|another key|certificate/,
    },
    {
      who: 'of another network',
      edit: (network: Network) => ({ ...network, id: 'cd'.repeat(32) }),
      words: /belongs to another network/,
    },
  ])('$who trusts none of them, says why, and stops when told', async ({ edit, words }) => {
    const home = await newHome(['--client'], { 'network.json': edited(edit), 'config.json': debug })
    try {
      expect((await hush(['up', '--detach', '--home', home])).code).toBe(EXIT.ok)
      for (let tries = 0; tries < 200 && !words.test(await logOf(home)); tries++) await sleep(100)
      expect(await logOf(home)).toMatch(words)
      const status = await connectControl(home).status()
      expect([status.circuits.ready, status.links]).toEqual([0, 0])
    } finally {
      expect((await hush(['down', '--home', home])).code).toBe(EXIT.ok)
    }
    await expectServing()
  })
})
