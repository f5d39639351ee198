/**
 * One listening port: from a bare connection to an open WebSocket of a peer whose key is proven.
 * SPEC links §1, home §4
 *
 *   accepted --TLS, protocol name, certificate--> proven --upgrade--> handed on
 *       \________ any fault, or handshakeMs from the start ________/--> destroyed
 *
 * Everything before the hand-over is bounded in number and time; a fault touches that connection only.
 * Remote addresses are counted but never logged: a guard's log must not tell who its clients are.
 */
import { createServer as createHttpServer, type Server as HttpServer, type IncomingMessage } from 'node:http'
import { createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from 'node:tls'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Clock, PublicKey, Timer } from '../../core/index.ts'
import { publicKeyOfCertificate } from '../../crypto/index.ts'
import { formatHostPort, type HostPort } from './address.ts'
import { LINK_PATH, strangerOf, TLS_SETTINGS, type TransportLimits, WEBSOCKET_SETTINGS } from './link-settings.ts'
import { listenOn } from './listening.ts'
import type { Origins } from './origins.ts'

const HTTP_HEAD_SIZE_MAX = 4_096
const NOT_FOUND = 'HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'

export type Refusal =
  | 'other network'
  | 'older protocol'
  | 'newer protocol'
  | 'no node'
  | 'no certificate'
  | 'handshake failed'
  | 'handshake too slow'
  | 'not a link'
  | 'too many'
  | 'too often'

export interface ListenerSetup {
  readonly certPem: string
  readonly keyPem: string
  readonly alpn: string
  readonly clock: Clock
  readonly limits: TransportLimits
  /** Of all listeners of a transport. */
  readonly origins: Origins
  readonly keyLog: ((line: string) => void) | undefined
  hasRoom(): boolean
  onRefused(why: Refusal): void
  onOpen(socket: WebSocket, key: PublicKey): void
}

interface Arrival {
  readonly socket: Socket
  readonly prefix: string
  readonly deadline: Timer
}

export class PortListener {
  readonly #setup: ListenerSetup
  readonly #port: Server
  readonly #tls: TlsServer
  readonly #http: HttpServer
  readonly #upgrader = new WebSocketServer({ ...WEBSOCKET_SETTINGS, noServer: true, clientTracking: false })
  /** Connections whose link does not stand yet, by remote address and port, oldest first. */
  readonly #arrivals = new Map<string, Arrival>()
  readonly #keys = new WeakMap<Duplex, PublicKey>()

  constructor(setup: ListenerSetup) {
    this.#setup = setup
    this.#port = createServer({ noDelay: true }, (socket) => this.#onAccepted(socket))
    this.#tls = createTlsServer({
      ...TLS_SETTINGS,
      cert: setup.certPem,
      key: setup.keyPem,
      requestCert: true,
      handshakeTimeout: setup.limits.handshakeMs,
      ALPNCallback: ({ protocols }) => this.#chooseProtocol(protocols),
    })
    this.#tls.on('secureConnection', (socket) => this.#onSecure(socket))
    this.#tls.on('tlsClientError', (error, socket) => {
      // Refused protocol names were told by #chooseProtocol, with the reason.
      if (!String((error as { code?: unknown }).code).includes('APPLICATION_PROTOCOL'))
        this.#setup.onRefused('handshake failed')
      socket.destroy()
    })
    if (setup.keyLog !== undefined) {
      const keyLog = setup.keyLog
      this.#tls.on('keylog', (line) => keyLog(line.toString('latin1')))
    }
    this.#http = createHttpServer({ maxHeaderSize: HTTP_HEAD_SIZE_MAX }, (_, response) => {
      this.#setup.onRefused('not a link')
      response.writeHead(404, { connection: 'close', 'content-length': 0 }).end()
    })
    this.#http.on('clientError', (_, socket) => socket.destroy())
    this.#http.on('upgrade', (request, socket, head) => this.#onUpgrade(request, socket, head))
    this.#upgrader.on('wsClientError', (_, socket) => this.#refuseUpgrade(socket))
  }

  get halfOpen(): number {
    return this.#arrivals.size
  }

  /** The address as bound. */
  async open(place: HostPort): Promise<string> {
    const port = await listenOn(this.#port, place)
    return formatHostPort({ host: place.host, port })
  }

  /** Accepts nobody any more and drops who has no link yet; links stay. */
  close(): void {
    this.#port.close()
    for (const { socket } of [...this.#arrivals.values()]) socket.destroy()
  }

  #onAccepted(socket: Socket): void {
    const { clock, limits, origins } = this.#setup
    socket.on('error', () => {})
    const visit = origins.enter(socket.remoteAddress ?? '', clock.monotonicMs())
    if (typeof visit === 'string') return void this.#turnAway(socket, visit)
    if (!this.#setup.hasRoom()) {
      visit.leave()
      return void this.#turnAway(socket, 'too many')
    }
    if (this.#arrivals.size >= limits.halfOpenMax) this.#dropOldest()
    const name = nameOf(socket)
    const deadline = clock.setTimer(limits.handshakeMs, () => this.#turnAway(socket, 'handshake too slow'))
    this.#arrivals.set(name, { socket, prefix: visit.prefix, deadline })
    socket.once('close', () => {
      deadline.cancel()
      if (this.#arrivals.get(name)?.socket === socket) this.#arrivals.delete(name)
      visit.leave()
    })
    // TLS from the first byte on: to stand ready for it takes a quarter of a megabyte, silent or not.
    socket.once('readable', () => {
      if (socket.readableLength > 0) this.#tls.emit('connection', socket)
      else this.#turnAway(socket, 'handshake failed')
    })
  }

  #turnAway(socket: Socket, why: Refusal): void {
    this.#setup.onRefused(why)
    socket.destroy()
  }

  /**
   * An honest handshake takes a fraction of a second, so the oldest is the likeliest to be idle; and of all
   * networks the one with most of them is the likeliest to be where the flood comes from.
   */
  #dropOldest(): void {
    const crowds = new Map<string, number>()
    for (const { prefix } of this.#arrivals.values()) crowds.set(prefix, (crowds.get(prefix) ?? 0) + 1)
    const most = Math.max(...crowds.values())
    for (const [name, { socket, prefix }] of this.#arrivals) {
      if (crowds.get(prefix) !== most) continue
      this.#arrivals.delete(name)
      this.#turnAway(socket, 'too many')
      return
    }
  }

  #chooseProtocol(names: readonly string[]): string | undefined {
    if (names.includes(this.#setup.alpn)) return this.#setup.alpn
    this.#setup.onRefused(strangerOf(names))
    return undefined
  }

  #onSecure(socket: TLSSocket): void {
    socket.on('error', () => {})
    const certificate = socket.getPeerX509Certificate()
    const key = certificate === undefined ? undefined : publicKeyOfCertificate(certificate.raw)
    const isOurs = socket.alpnProtocol === this.#setup.alpn
    if (key === undefined || !isOurs || socket.isSessionReused()) {
      this.#setup.onRefused(isOurs ? 'no certificate' : 'no node')
      return void socket.destroy()
    }
    this.#keys.set(socket, key)
    this.#http.emit('connection', socket)
  }

  #onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const key = this.#keys.get(socket)
    if (request.url !== LINK_PATH || key === undefined) {
      this.#refuseUpgrade(socket)
      return
    }
    this.#upgrader.handleUpgrade(request, socket, head, (webSocket) => {
      const name = nameOf(request.socket)
      this.#arrivals.get(name)?.deadline.cancel()
      this.#arrivals.delete(name)
      this.#setup.onOpen(webSocket, key)
    })
  }

  #refuseUpgrade(socket: Duplex): void {
    this.#setup.onRefused('not a link')
    socket.end(NOT_FOUND)
  }
}

/** One connection's name while it lasts; the TLS socket over it has the same. */
function nameOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress}`
}
