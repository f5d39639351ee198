import { constants } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { createServer as createTcpServer } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { WebSocket } from 'ws'
import { CELL_SIZE, type Clock, equalBytes } from '../../../core/index.ts'
import { selfSignedCertificate } from '../../../crypto/index.ts'
import { alpnOf, QUEUED_BYTES_LOW, SSL_OP_NO_TICKET, strangerOf } from '../../../node/system/link-settings.ts'
import {
  cellOf,
  closeSides,
  eventually,
  keyOf,
  linked,
  listening,
  makeSide,
  NETWORK,
  networkOf,
  numberOf,
  seedOf,
  TIMEOUT_MS,
  Watched,
} from './sides.ts'
import { closeCodeOf, exchange, sendRaw, tlsTo, webSocketTo } from './strangers.ts'

vi.setConfig({ testTimeout: 30_000 })
afterEach(closeSides)

/** A clock that stands until it is moved; timers run in order on the way. */
function steppedClock(): { clock: Clock; advance: (toMs: number) => void } {
  const timers = new Set<{ atMs: number; run: () => void }>()
  let nowMs = 0
  const next = (toMs: number) =>
    [...timers].filter(({ atMs }) => atMs <= toMs).sort((one, other) => one.atMs - other.atMs)[0]
  return {
    clock: {
      nowMs: () => nowMs,
      monotonicMs: () => nowMs,
      setTimer(delayMs, run) {
        const timer = { atMs: nowMs + delayMs, run }
        timers.add(timer)
        return { cancel: () => void timers.delete(timer) }
      },
    },
    advance(toMs) {
      for (let due = next(toMs); due !== undefined; due = next(toMs)) {
        nowMs = due.atMs
        timers.delete(due)
        due.run()
      }
      nowMs = toMs
    },
  }
}

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: { code: string; kind: string; message: string }) => error,
  )

describe('a link', () => {
  it('tells each side the key the other has proven', async () => {
    const { near, far } = await linked(makeSide(1), makeSide(2), 1)
    expect([...near.link.peerKey]).toEqual([...keyOf(1)])
    expect([...far.link.peerKey]).toEqual([...keyOf(2)])
    expect([near.link.isDialer, far.link.isDialer]).toEqual([true, false])
  })

  it('brings 1,000 cells each way, whole and in order', async () => {
    const { near, far } = await linked(makeSide(1), makeSide(2), 1)
    const sent = Array.from({ length: 2_000 }, (_, i) => cellOf(i))
    const startMs = performance.now()
    for (const [i, cell] of sent.entries()) (i < 1_000 ? near : far).link.send(cell)
    await far.until(({ cells }) => cells.length === 1_000)
    await near.until(({ cells }) => cells.length === 1_000)
    const seconds = (performance.now() - startMs) / 1_000
    console.info(`2,000 cells over one link: ${((2_000 * CELL_SIZE) / 2 ** 20 / seconds).toFixed(0)} MiB/s`)
    expect(far.cells.every((cell, i) => equalBytes(cell, cellOf(i)))).toBe(true)
    expect(near.cells.every((cell, i) => equalBytes(cell, cellOf(i + 1_000)))).toBe(true)
  })

  it('gathers the cells of one turn into one message', async () => {
    const server = makeSide(1)
    const { near, far } = await linked(server, makeSide(2), 1)
    for (let i = 0; i < 12; i++) near.link.send(cellOf(i))
    await far.until(({ cells }) => cells.length === 12)
    expect(server.transport.counts).toMatchObject({ messagesIn: 1, cellsIn: 12 })
  })

  it('hands up cells that may be overwritten without touching their neighbours', async () => {
    const { near, far } = await linked(makeSide(1), makeSide(2), 1)
    for (let i = 0; i < 3; i++) near.link.send(cellOf(i))
    await far.until(({ cells }) => cells.length === 3)
    far.cells[1]?.fill(0xff)
    expect(numberOf(far.cells[0] as Uint8Array)).toBe(0)
    expect(equalBytes(far.cells[2] as Uint8Array, cellOf(2))).toBe(true)
  })

  it('holds cells that come before it is started', async () => {
    const server = makeSide(1)
    let accepted: ((watch: () => Watched) => void) | undefined
    const arrival = new Promise<() => Watched>((resolve) => {
      accepted = resolve
    })
    const listener = await server.transport.listen('127.0.0.1:0', (link) => accepted?.(() => new Watched(link)))
    const dialled = await makeSide(2).transport.dial(
      { address: listener.address, publicKey: keyOf(1) },
      { timeoutMs: TIMEOUT_MS },
    )
    const near = new Watched(dialled)
    for (let i = 0; i < 40; i++) near.link.send(cellOf(i))
    const watch = await arrival
    await new Promise((resolve) => setTimeout(resolve, 30))
    const far = watch()
    await far.until(({ cells }) => cells.length === 40)
    expect(far.cells.map(numberOf)).toEqual(Array.from({ length: 40 }, (_, i) => i))
  })

  it('counts what a slow reader leaves queued, and says when there is room again', async () => {
    const server = makeSide(1)
    let start: (() => Watched) | undefined
    const listener = await server.transport.listen('127.0.0.1:0', (link) => {
      start = () => new Watched(link)
    })
    const dialled = await makeSide(2, { limits: { queuedBytesMax: 64 * 2 ** 20 } }).transport.dial(
      { address: listener.address, publicKey: keyOf(1) },
      { timeoutMs: TIMEOUT_MS },
    )
    const near = new Watched(dialled)
    // More than the kernel holds for both ends of a loopback connection.
    const count = 3_000
    for (let i = 0; i < count; i++) near.link.send(cellOf(i))
    expect(near.link.queuedBytes).toBe(count * CELL_SIZE)
    await eventually(() => start !== undefined)
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(near.link.queuedBytes).toBeGreaterThan(QUEUED_BYTES_LOW)
    expect(near.drains).toBe(0)
    const far = start?.() as Watched
    await near.until(({ drains }) => drains > 0)
    expect(near.link.queuedBytes).toBeLessThanOrEqual(QUEUED_BYTES_LOW)
    await far.until(({ cells }) => cells.length === count)
    await near.until(({ link }) => link.queuedBytes === 0)
    expect(far.cells.map(numberOf)).toEqual(Array.from({ length: count }, (_, i) => i))
  })

  it('ends when a reader lets more pile up than the bound', async () => {
    const server = makeSide(1)
    const listener = await server.transport.listen('127.0.0.1:0', () => {})
    const client = makeSide(2, { limits: { queuedBytesMax: 100 * CELL_SIZE } })
    const dialled = await client.transport.dial(
      { address: listener.address, publicKey: keyOf(1) },
      { timeoutMs: TIMEOUT_MS },
    )
    const near = new Watched(dialled)
    for (let i = 0; i < 101; i++) near.link.send(cellOf(i))
    await near.until(({ reason }) => reason !== undefined)
    expect(near.reason).toBe('the peer reads too slowly')
    expect(near.link.queuedBytes).toBe(0)
    await eventually(() => client.transport.counts.links === 0)
  })

  it('sends what it holds before it closes, and gives each side its own words', async () => {
    const { near, far } = await linked(makeSide(1), makeSide(2), 1)
    for (let i = 0; i < 30; i++) near.link.send(cellOf(i))
    near.link.close('idle')
    near.link.send(cellOf(99))
    await far.until(({ reason }) => reason !== undefined)
    expect(near.reason).toBe('idle')
    expect(far.reason).toBe('closed by the peer')
    expect(far.cells.map(numberOf)).toEqual(Array.from({ length: 30 }, (_, i) => i))
  })

  it('ends when the peer falls silent', async () => {
    const { clock, advance } = steppedClock()
    const { near } = await linked(makeSide(1), makeSide(2, { clock }), 1)
    advance(74_000)
    expect(near.reason).toBeUndefined()
    advance(80_000)
    await near.until(({ reason }) => reason !== undefined)
    expect(near.reason).toBe('the peer fell silent')
  })

  it('lives on pings while nobody sends', async () => {
    const { clock, advance } = steppedClock()
    const { near, far } = await linked(makeSide(1), makeSide(2, { clock }), 1)
    const events = vi.spyOn(WebSocket.prototype, 'emit')
    const pongs = () => events.mock.calls.filter(([event]) => String(event) === 'pong').length
    for (let round = 1; round <= 8; round++) {
      advance(round * 30_000)
      await eventually(() => pongs() === round)
    }
    events.mockRestore()
    expect([near.reason, far.reason]).toEqual([undefined, undefined])
  })

  it('can be decrypted by who has the key log, and by nobody when it is off', async () => {
    const lines: string[] = []
    await linked(makeSide(1), makeSide(2, { keyLog: (line) => lines.push(line) }), 1)
    expect(lines.some((line) => /^CLIENT_TRAFFIC_SECRET_0 [0-9a-f]{64} [0-9a-f]{64,96}\n$/.test(line))).toBe(true)
    const serverLines: string[] = []
    await linked(makeSide(3, { keyLog: (line) => serverLines.push(line) }), makeSide(4), 3)
    expect(serverLines.some((line) => line.startsWith('SERVER_TRAFFIC_SECRET_0 '))).toBe(true)
  })
})

describe('the dialler', () => {
  it('refuses a node with another key than the pinned one, before it has sent a request', async () => {
    const server = makeSide(1)
    const door = await listening(server)
    const error = await failure(
      makeSide(2).transport.dial({ address: door.address, publicKey: keyOf(3) }, { timeoutMs: TIMEOUT_MS }),
    )
    expect(error).toMatchObject({ code: 'ERR_LINK_WRONG_KEY', kind: 'peer' })
    expect(error?.message).toContain('wrong certificate')
    await eventually(() => server.transport.counts.halfOpen === 0)
    expect(server.transport.counts).toMatchObject({ accepted: 0, links: 0 })
  })

  it('says so when the node is of another network or protocol, and the listener tells which', async () => {
    const server = makeSide(1)
    const door = await listening(server)
    const error = await failure(
      makeSide(2, { network: networkOf(8) }).transport.dial(
        { address: door.address, publicKey: keyOf(1) },
        { timeoutMs: TIMEOUT_MS },
      ),
    )
    expect(error).toMatchObject({ code: 'ERR_LINK_OTHER_NETWORK', kind: 'peer' })
    expect(server.lines).toEqual([{ event: 'link-refused', fields: { why: 'other network', times: 1 } }])
  })

  it('says that nobody listens there', async () => {
    const door = await listening(makeSide(1))
    await door.listener.close()
    const error = await failure(
      makeSide(2).transport.dial({ address: door.address, publicKey: keyOf(1) }, { timeoutMs: TIMEOUT_MS }),
    )
    expect(error).toMatchObject({ code: 'ERR_LINK_UNREACHABLE', kind: 'unavailable' })
  })

  it('gives up after its time on one who accepts and says nothing', async () => {
    const mute = createTcpServer((socket) => void socket.on('error', () => {}))
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
    const address = `127.0.0.1:${(mute.address() as AddressInfo).port}`
    const error = await failure(makeSide(2).transport.dial({ address, publicKey: keyOf(1) }, { timeoutMs: 60 }))
    expect(error).toMatchObject({ code: 'ERR_LINK_TIMEOUT', kind: 'unavailable' })
    mute.close()
  })

  it('refuses who speaks TLS but not our protocol, and who speaks no TLS', async () => {
    const { certPem, keyPem } = selfSignedCertificate(seedOf(1))
    const tls = createTlsServer({ cert: certPem, key: keyPem }, (socket) => void socket.on('error', () => {}))
    const plain = createTcpServer((socket) => {
      socket.on('error', () => {})
      socket.end('220 mail.example ESMTP\r\n')
    })
    const codes: unknown[] = []
    for (const server of [tls, plain]) {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      const address = `127.0.0.1:${(server.address() as AddressInfo).port}`
      const target = { address, publicKey: keyOf(1) }
      codes.push((await failure(makeSide(2).transport.dial(target, { timeoutMs: TIMEOUT_MS })))?.code)
      server.close()
    }
    expect(codes).toEqual(['ERR_LINK_OTHER_NETWORK', 'ERR_LINK_HANDSHAKE'])
  })

  it('refuses addresses of another form', async () => {
    for (const address of ['127.0.0.1', 'localhost:0', '::1:80', '[::1]', 'a b:1', 'x:99999', 'http://x:1', '1.2.3:4'])
      expect(
        await failure(makeSide(2).transport.dial({ address, publicKey: keyOf(1) }, { timeoutMs: 50 })),
      ).toMatchObject({ code: 'ERR_BAD_HOST_PORT', kind: 'input' })
  })

  it('stops dialling when the transport closes, and dials no more', async () => {
    const mute = createTcpServer((socket) => void socket.on('error', () => {}))
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
    const target = { address: `127.0.0.1:${(mute.address() as AddressInfo).port}`, publicKey: keyOf(1) }
    const { transport } = makeSide(2)
    const dialling = failure(transport.dial(target, { timeoutMs: TIMEOUT_MS }))
    await transport.close()
    expect(await dialling).toMatchObject({ code: 'ERR_TRANSPORT_CLOSED' })
    expect(await failure(transport.dial(target, { timeoutMs: TIMEOUT_MS }))).toMatchObject({
      code: 'ERR_TRANSPORT_CLOSED',
    })
    mute.close()
  })
})

describe('the listener', () => {
  it('says that the port is in use', async () => {
    const door = await listening(makeSide(1))
    const error = await failure(makeSide(2).transport.listen(door.address, () => {}))
    expect(error).toMatchObject({ code: 'ERR_PORT_IN_USE', kind: 'local' })
    expect(error?.message).toContain(door.address)
  })

  it('says that the machine does not have the address', async () => {
    expect(await failure(makeSide(1).transport.listen('192.0.2.1:0', () => {}))).toMatchObject({ code: 'ERR_LISTEN' })
  })

  it('listens and is dialled over IPv6', async () => {
    const server = makeSide(1)
    const door = await listening(server, '[::1]:0')
    expect(door.address).toMatch(/^\[::1\]:\d+$/)
    await makeSide(2).transport.dial({ address: door.address, publicKey: keyOf(1) }, { timeoutMs: TIMEOUT_MS })
    expect(server.transport.counts.accepted).toBe(1)
  })

  it('drops a client without a certificate', async () => {
    const server = makeSide(1)
    const door = await listening(server)
    const answer = await exchange(door.port, undefined, 'GET /link HTTP/1.1\r\nHost: link\r\n\r\n')
    expect(answer).toBe('')
    expect(server.transport.counts.refused).toEqual({ 'no certificate': 1 })
  })

  it('refuses an older protocol, a newer one and none', async () => {
    const server = makeSide(1)
    const door = await listening(server)
    const name = alpnOf(NETWORK).slice('hush/1/'.length)
    for (const names of [[`hush/0/${name}`], [`hush/2/${name}`], ['h2', 'http/1.1'], []]) {
      const socket = tlsTo(door.port, 2, { ALPNProtocols: names })
      await new Promise((resolve) => socket.once('close', resolve))
    }
    expect(server.transport.counts.refused).toEqual({ 'older protocol': 1, 'newer protocol': 1, 'no node': 2 })
    expect(server.lines.map(({ fields }) => fields?.why)).toEqual(['older protocol', 'newer protocol', 'no node'])
  })

  it('refuses an older TLS', async () => {
    const door = await listening(makeSide(1))
    const socket = tlsTo(door.port, 2, { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' })
    const error = await new Promise<Error>((resolve) => socket.once('error', resolve))
    expect((error as Error & { code: string }).code).toBe('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION')
  })

  it('answers a bare 404 to anything but a link', async () => {
    const server = makeSide(1)
    const door = await listening(server)
    const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n'
    const key = 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
    for (const request of [
      'GET / HTTP/1.1\r\nHost: link\r\n\r\n',
      'GET /link HTTP/1.1\r\nHost: link\r\n\r\n',
      `GET /other HTTP/1.1\r\nHost: link\r\n${upgrade}${key}\r\n`,
      `GET /link HTTP/1.1\r\nHost: link\r\n${upgrade}\r\n`,
      `POST /link HTTP/1.1\r\nHost: link\r\n${upgrade}${key}\r\n`,
    ]) {
      const answer = await exchange(door.port, 2, request)
      expect(answer.split('\r\n')[0]).toBe('HTTP/1.1 404 Not Found')
      expect(answer.split('\r\n\r\n')[1]).toBe('')
      expect(answer).not.toMatch(/server|hush|websocket/i)
    }
    expect(server.transport.counts.links).toBe(0)
  })

  it('lets no garbage, plain HTTP or broken frame disturb another link', async () => {
    const server = makeSide(1)
    const { near, far, door } = await linked(server, makeSide(2), 1)
    await sendRaw(door.port, new Uint8Array(4_096).fill(0xa5))
    await sendRaw(door.port, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    const bad = await webSocketTo(door.port, 3)
    const closed = closeCodeOf(bad)
    const other = await door.next()
    // @ts-expect-error: the bare socket under the WebSocket library
    bad._socket.write(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]))
    await closed
    await other.until(({ reason }) => reason !== undefined)
    expect(other.reason).toBe('a malformed frame from the peer')
    for (let i = 0; i < 50; i++) near.link.send(cellOf(i))
    await far.until(({ cells }) => cells.length === 50)
    expect([near.reason, far.reason]).toEqual([undefined, undefined])
    expect(server.transport.counts.refused).toMatchObject({ 'handshake failed': 2 })
  })

  it('ends a link for a text message, an empty one, part of a cell, or one that is too large', async () => {
    const server = makeSide(1)
    const door = await listening(server)
    const cases: [string | Uint8Array, string, number][] = [
      ['x'.repeat(CELL_SIZE), 'a text message from the peer', 1002],
      [new Uint8Array(0), 'a message from the peer that is not whole cells', 1002],
      [new Uint8Array(CELL_SIZE + 1), 'a message from the peer that is not whole cells', 1002],
      [new Uint8Array(13 * CELL_SIZE), 'a message from the peer that is too large', 1009],
    ]
    for (const [message, reason, code] of cases) {
      const socket = await webSocketTo(door.port, 3)
      const closed = closeCodeOf(socket)
      const far = await door.next()
      socket.send(message)
      await far.until((each) => each.reason !== undefined)
      expect(far.reason).toBe(reason)
      expect(await closed).toBe(code)
      expect(far.cells).toEqual([])
    }
  })

  it('takes a message in pieces, but not in too many', async () => {
    const door = await listening(makeSide(1))
    const whole = await webSocketTo(door.port, 3)
    const far = await door.next()
    whole.send(cellOf(7).subarray(0, 100), { fin: false })
    whole.send(cellOf(7).subarray(100), { fin: true })
    await far.until(({ cells }) => cells.length === 1)
    expect(numberOf(far.cells[0] as Uint8Array)).toBe(7)
    const crumbs = await webSocketTo(door.port, 3)
    const other = await door.next()
    for (let i = 0; i < 20; i++) crumbs.send(new Uint8Array(1), { fin: false })
    await other.until(({ reason }) => reason !== undefined)
    expect(other.reason).toBe('a message from the peer in too many pieces')
  })

  it('drops handshakes that take too long', async () => {
    const server = makeSide(1, { limits: { handshakeMs: 50 } })
    const door = await listening(server)
    await sendRaw(door.port, new Uint8Array(0))
    expect(await exchange(door.port, 2, 'GET /link HTTP/1.1\r\n')).toBe('')
    expect(server.transport.counts.refused).toMatchObject({ 'handshake too slow': 2 })
    await eventually(() => server.transport.counts.halfOpen === 0)
  })

  it('lets the oldest half-open connection give way', async () => {
    const server = makeSide(1, { limits: { halfOpenMax: 4 } })
    const door = await listening(server)
    const idle = Array.from({ length: 6 }, () => sendRaw(door.port, new Uint8Array(0)))
    await Promise.race(idle)
    await makeSide(2).transport.dial({ address: door.address, publicKey: keyOf(1) }, { timeoutMs: TIMEOUT_MS })
    expect(server.transport.counts.accepted).toBe(1)
    expect(server.transport.counts.halfOpen).toBeLessThanOrEqual(4)
    await server.transport.close()
    await Promise.all(idle)
  })

  it('takes no more links than its bounds, and again when some are gone', async () => {
    const server = makeSide(1, { limits: { perOriginMax: 3 } })
    const door = await listening(server)
    const target = { address: door.address, publicKey: keyOf(1) }
    const client = makeSide(2)
    const links = []
    for (let i = 0; i < 3; i++) links.push(new Watched(await client.transport.dial(target, { timeoutMs: TIMEOUT_MS })))
    expect(await failure(client.transport.dial(target, { timeoutMs: TIMEOUT_MS }))).toMatchObject({
      code: 'ERR_LINK_UNREACHABLE',
    })
    expect(server.transport.counts.refused).toEqual({ 'too many': 1 })
    for (const { link } of links) link.close('done')
    await eventually(() => server.transport.counts.links === 0)
    await client.transport.dial(target, { timeoutMs: TIMEOUT_MS })
    const small = makeSide(3, { limits: { linksMax: 1 } })
    await small.transport.dial(target, { timeoutMs: TIMEOUT_MS })
    expect(await failure(small.transport.dial(target, { timeoutMs: TIMEOUT_MS }))).toMatchObject({
      code: 'ERR_LINK_LIMIT',
    })
  })

  it('keeps its links when it stops listening', async () => {
    const { near, far, door } = await linked(makeSide(1), makeSide(2), 1)
    await door.listener.close()
    near.link.send(cellOf(1))
    await far.until(({ cells }) => cells.length === 1)
    await makeSide(3).transport.listen(door.address, () => {})
  })
})

describe('the settings', () => {
  it('turn session tickets off by the number OpenSSL gives', () => {
    expect(SSL_OP_NO_TICKET).toBe(constants.SSL_OP_NO_TICKET)
  })

  it('give each network a name of its own', () => {
    expect(alpnOf(NETWORK)).toMatch(/^hush\/1\/[0-9a-f]{16}$/)
    expect(alpnOf(NETWORK)).not.toBe(alpnOf(networkOf(8)))
    expect(strangerOf(['http/1.1', alpnOf(networkOf(8))])).toBe('other network')
  })
})
