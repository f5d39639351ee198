/** Links through a real SOCKS5 proxy on loopback, and what becomes of each thing it may answer. SPEC safety §2, §3 */
import { createServer, type Socket } from 'node:net'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { systemClock } from '../../../node/system/clock.ts'
import { formatProxy, parseProxy, type SocksProxy, SocksTalk } from '../../../node/system/socks.ts'
import { cellOf, closeSides, eventually, keyOf, linked, listening, makeSide, numberOf, Watched } from './sides.ts'
import { type SocksOptions, type SocksServer, startSocks } from './socks-server.ts'

vi.setConfig({ testTimeout: 30_000 })
const servers: { close(): Promise<void> }[] = []
afterEach(async () => {
  await closeSides()
  for (const server of servers.splice(0)) await server.close()
})

async function socks(options?: SocksOptions): Promise<{ server: SocksServer; proxy: SocksProxy }> {
  const server = await startSocks(options)
  servers.push(server)
  return { server, proxy: { host: '127.0.0.1', port: server.port } }
}

interface Failure {
  readonly code: string
  readonly message: string
  readonly reply?: number
}

/** What dialling `address` through the proxy fails with. */
function failure(proxy: SocksProxy | undefined, address = '127.0.0.1:9', timeoutMs = 10_000): Promise<Failure> {
  const side = makeSide(2, proxy === undefined ? {} : { proxy })
  return side.transport.dial({ address, publicKey: keyOf(1) }, { timeoutMs }).then(
    () => ({ code: 'none', message: '' }),
    (error: Failure) => error,
  )
}

describe('the setting of a proxy', () => {
  it.each([
    ['socks5://127.0.0.1:9050', { host: '127.0.0.1', port: 9050 }],
    ['socks5h://[::1]:9050', { host: '::1', port: 9050 }],
    ['socks5://a%3Ab:c%40d@127.0.0.1:1', { host: '127.0.0.1', port: 1, login: { user: 'a:b', password: 'c@d' } }],
  ])('is read: %s', (text, proxy) => {
    expect(parseProxy(text)).toEqual(proxy)
    expect(parseProxy(formatProxy(proxy))).toEqual(proxy)
  })
  it.each([
    'http://127.0.0.1:9050',
    '127.0.0.1:9050',
    'socks5://127.0.0.1',
    'socks5://127.0.0.1:0',
    'socks5://127.0.0.1:9050/',
    'socks5://only-user@127.0.0.1:9050',
    'socks5://:@127.0.0.1:9050',
    'socks5://%ff:b@127.0.0.1:9050',
    `socks5://${'u'.repeat(256)}:p@127.0.0.1:9050`,
  ])('is refused: %s', (text) => {
    expect(parseProxy(text)).toBeUndefined()
  })
})

describe('a link through a proxy', () => {
  it('carries cells both ways, and nothing goes past the proxy', async () => {
    const { server, proxy } = await socks()
    const { near, far, door } = await linked(makeSide(1), makeSide(2, { proxy }), 1)
    for (let i = 0; i < 100; i++) (i < 50 ? near : far).link.send(cellOf(i))
    await far.until(({ cells }) => cells.length === 50)
    await near.until(({ cells }) => cells.length === 50)
    expect(near.cells.map(numberOf)).toEqual(Array.from({ length: 50 }, (_, i) => 50 + i))
    expect(server.asked).toEqual([
      { form: 'ipv4', host: '127.0.0.1', port: door.port, user: undefined, password: undefined },
    ])
    expect(server.counts.up).toBeGreaterThan(50 * 8_184)
    expect(server.counts.down).toBeGreaterThan(50 * 8_184)
    near.link.close('over')
    await eventually(() => server.counts.open === 0)
  })

  it('bears answers that come byte by byte', async () => {
    const { proxy } = await socks({ isSlow: true, login: { user: 'u', password: 'p' } })
    const { far } = await linked(
      makeSide(1),
      makeSide(2, { proxy: { ...proxy, login: { user: 'u', password: 'p' } } }),
      1,
    )
    expect([...far.link.peerKey]).toEqual([...keyOf(2)])
  })

  it('passes a name on as it is, and IPv6 as IPv6', async () => {
    const { server, proxy } = await socks({ names: { 'node.hush.invalid': '127.0.0.1' } })
    const door = await listening(makeSide(1))
    const to = { address: `node.hush.invalid:${door.port}`, publicKey: keyOf(1) }
    const near = new Watched(await makeSide(2, { proxy }).transport.dial(to, { timeoutMs: 10_000 }))
    expect([...near.link.peerKey]).toEqual([...keyOf(1)])
    await failure(proxy, '[2001:db8::7]:80', 100)
    expect(server.asked.map(({ form, host }) => [form, host])).toEqual([
      ['name', 'node.hush.invalid'],
      ['ipv6', '2001:0db8:0000:0000:0000:0000:0000:0007'],
    ])
  })

  it('shows the proxy its user and password, and goes nowhere without them', async () => {
    const login = { user: 'hush', password: 'ü:@' }
    const { server, proxy } = await socks({ login })
    await linked(makeSide(1), makeSide(2, { proxy: { ...proxy, login } }), 1)
    expect(server.asked[0]).toMatchObject(login)
    expect(await failure({ ...proxy, login: { ...login, password: 'x' } })).toMatchObject({ code: 'ERR_PROXY_REFUSED' })
    expect((await failure(proxy)).message).toMatch(/wants a user and a password/)
    const open = await socks()
    expect((await failure({ ...open.proxy, login })).message).toMatch(/takes no user and password/)
    expect(open.server.asked).toEqual([])
  })

  it('still finds out an impostor', async () => {
    const { proxy } = await socks()
    const door = await listening(makeSide(3))
    expect(await failure(proxy, door.address)).toMatchObject({ code: 'ERR_LINK_WRONG_KEY' })
  })

  it.each([
    [1, /without a reason/],
    [2, /rules forbid/],
    [3, /no way to that network/],
    [4, /no way to that machine/],
    [5, /nobody listens there/],
    [6, /no answer in time/],
    [7, /does not know how to connect/],
    [8, /kind of address/],
    [0xf0, /onion service is not known/],
    [0x99, /reply 153/],
  ])('says what reply %i means', async (reply, words) => {
    const { proxy } = await socks({ reply })
    const error = await failure(proxy)
    expect(error).toMatchObject({ code: 'ERR_PROXY_REFUSED', reply })
    expect(error.message).toMatch(words)
  })

  it('takes nothing from the proxy beyond its answer', async () => {
    const whole = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    for (const raw of [
      [...whole, 1],
      [4, 0],
      [5, 0, 0, 9, 1],
      [5, 0, 7, 1, 0],
    ]) {
      const { server, proxy } = await socks({ raw: Uint8Array.from(raw) })
      expect(await failure(proxy)).toMatchObject({ code: 'ERR_PROXY_PROTOCOL' })
      await eventually(() => server.counts.open === 0)
    }
  })

  it('says when there is no proxy, no SOCKS5 and no answer', async () => {
    const { server, proxy } = await socks()
    await server.close()
    servers.length = 0
    expect(await failure(proxy)).toMatchObject({ code: 'ERR_PROXY_UNREACHABLE' })
    const held: Socket[] = []
    const web = createServer((socket) => {
      held.push(socket)
      socket.on('error', () => undefined)
      socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
    })
    await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve))
    const port = (web.address() as { port: number }).port
    expect(await failure({ host: '127.0.0.1', port })).toMatchObject({ code: 'ERR_PROXY_PROTOCOL' })
    web.removeAllListeners('connection').on('connection', (socket: Socket) => socket.end())
    expect((await failure({ host: '127.0.0.1', port })).message).toMatch(/hung up/)
    web.close()
  })

  it('gives a silent proxy half a minute, and no longer', async () => {
    const silent = createServer((socket) => void socket.on('error', () => undefined))
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    const system = systemClock()
    const clock = { ...system, setTimer: (delayMs: number, run: () => void) => system.setTimer(delayMs / 1_000, run) }
    const proxy = { host: '127.0.0.1', port: (silent.address() as { port: number }).port }
    const dialling = makeSide(2, { proxy, clock }).transport.dial(
      { address: '127.0.0.1:9', publicKey: keyOf(1) },
      { timeoutMs: 1 },
    )
    await expect(dialling).rejects.toMatchObject({ code: 'ERR_LINK_TIMEOUT', timeoutMs: 30_000 })
    silent.close()
  })
})

describe('a name', () => {
  it('is never looked up, neither to dial nor to listen', async () => {
    expect(await failure(undefined, 'localhost:9')).toMatchObject({ code: 'ERR_NAME_REFUSED' })
    await expect(makeSide(1).transport.listen('localhost:0', () => {})).rejects.toMatchObject({
      code: 'ERR_NAME_REFUSED',
    })
  })
  it('is looked up where the settings say so', async () => {
    const side = makeSide(1, { mayLookUp: true })
    const listener = await side.transport.listen('localhost:0', () => {})
    const port = listener.address.split(':').at(-1)
    const dialler = makeSide(2, { mayLookUp: true })
    const link = await dialler.transport.dial(
      { address: `localhost:${port}`, publicKey: keyOf(1) },
      { timeoutMs: 10_000 },
    )
    expect([...link.peerKey]).toEqual([...keyOf(1)])
  })
})

describe('the talk with a proxy', () => {
  it('holds no more than one answer, whatever comes', () => {
    const talk = new SocksTalk({ host: '127.0.0.1', port: 1 }, undefined)
    expect(() => talk.take(new Uint8Array(1_000_000).fill(5))).toThrow(/more than its answer/)
  })
})
