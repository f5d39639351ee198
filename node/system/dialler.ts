/**
 * The dialling side: a TLS connection to an address, then the pinned key is compared, and only then is
 * anything sent: the upgrade to a WebSocket. SPEC links §1
 *
 * With a proxy the connection is one to the proxy, which is told where to; names are for it to look up.
 * Without one, a name is refused unless the settings permit looking it up. SPEC safety §2, §3
 *
 * TLS itself shows our certificate to whoever completes the handshake, before the comparison: an
 * impostor who holds the address learns the dialler's key, and nothing more.
 */
import { connect as connectTcp, type Socket } from 'node:net'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { WebSocket } from 'ws'
import { type Clock, equalBytes, HushError, type PublicKey } from '../../core/index.ts'
import { publicKeyOfCertificate } from '../../crypto/index.ts'
import { formatHostPort, type HostPort, isNumeric, parseHostPort } from './address.ts'
import {
  BadHostPortError,
  LinkHandshakeError,
  LinkTimeoutError,
  LinkUnreachableError,
  NameRefusedError,
  OtherNetworkError,
  ProxyUnreachableError,
  systemCodeOf,
  WrongCertificateError,
} from './errors.ts'
import { LINK_PATH, TLS_SETTINGS, WEBSOCKET_SETTINGS } from './link-settings.ts'
import { type SocksProxy, SocksTalk } from './socks.ts'

export interface DialSetup {
  readonly certPem: string
  readonly keyPem: string
  readonly alpn: string
  readonly clock: Clock
  readonly keyLog: ((line: string) => void) | undefined
  readonly dialFrom: string | undefined
  readonly proxy: SocksProxy | undefined
  readonly mayLookUp: boolean
  /** Each dialling in progress puts its way to fail in here. */
  readonly pending: Set<(error: HushError) => void>
}

/** Calls `onOpen` in the very turn the WebSocket opens, so that nothing it brings is missed. */
export function dialSocket<T>(
  setup: DialSetup,
  to: { readonly address: string; readonly publicKey: PublicKey; readonly timeoutMs: number },
  onOpen: (socket: WebSocket) => T,
): Promise<T> {
  const place = parseHostPort(to.address)
  if (place === undefined || place.port === 0) return Promise.reject(new BadHostPortError('the address of a node'))
  if (setup.proxy === undefined && !setup.mayLookUp && !isNumeric(place))
    return Promise.reject(new NameRefusedError(to.address))
  return new Promise((resolve, reject) => {
    let isSecure = false
    const settle = (finish: () => void) => {
      timer.cancel()
      setup.pending.delete(fail)
      finish()
    }
    const fail = (error: unknown) =>
      settle(() => {
        socket.destroy()
        reject(error instanceof HushError ? error : failureOf(to.address, error, isSecure))
      })
    const timer = setup.clock.setTimer(to.timeoutMs, () => fail(new LinkTimeoutError(to.address, to.timeoutMs)))
    setup.pending.add(fail)
    const secure = (from: ConnectionOptions) => {
      const tls = connect({
        ...TLS_SETTINGS,
        ...from,
        cert: setup.certPem,
        key: setup.keyPem,
        ALPNProtocols: [setup.alpn],
      })
      if (setup.keyLog !== undefined) {
        const keyLog = setup.keyLog
        tls.on('keylog', (line: Buffer) => keyLog(line.toString('latin1')))
      }
      tls.on('error', fail)
      tls.once('secureConnect', () => {
        isSecure = true
        const fault = faultOf(tls, to, setup.alpn)
        if (fault !== undefined) return fail(fault)
        const webSocket = new WebSocket(`wss://link${LINK_PATH}`, {
          ...WEBSOCKET_SETTINGS,
          followRedirects: false,
          // Inside TLS a mask protects nothing, and a zero one is skipped on both ends.
          generateMask: (mask) => void mask.fill(0),
          createConnection: () => tls,
        })
        webSocket.once('error', fail)
        webSocket.once('open', () => {
          webSocket.off('error', fail)
          settle(() => resolve(onOpen(webSocket)))
        })
      })
      return tls
    }
    let socket: Socket
    if (setup.proxy === undefined) {
      socket = secure({ ...place, ...(setup.dialFrom !== undefined && { localAddress: setup.dialFrom }) })
      socket.setNoDelay(true)
    } else {
      const onOpen = (opened: Socket) => {
        socket = secure({ socket: opened })
      }
      socket = throughProxy(setup.proxy, place, { onOpen, fail })
    }
  })
}

/** A connection to the proxy that becomes one to `place`: handed on when the proxy says so, with nothing read. */
function throughProxy(
  proxy: SocksProxy,
  place: HostPort,
  on: { onOpen: (socket: Socket) => void; fail: (error: unknown) => void },
): Socket {
  const talk = new SocksTalk(place, proxy.login)
  const socket = connectTcp({ host: proxy.host, port: proxy.port, noDelay: true })
  const failed = (cause: unknown) => {
    const why = UNREACHABLE[systemCodeOf(cause)] ?? systemCodeOf(cause)
    on.fail(new ProxyUnreachableError(formatHostPort(proxy), why, { cause }))
  }
  const ended = () => on.fail(new ProxyUnreachableError(formatHostPort(proxy), 'it hung up before it answered'))
  const onData = (bytes: Buffer) => {
    try {
      const answer = talk.take(bytes)
      if (answer !== undefined) socket.write(answer)
    } catch (error) {
      on.fail(error)
    }
    if (!talk.isOpen) return
    socket.pause()
    socket.off('data', onData)
    socket.off('error', failed)
    socket.off('end', ended)
    // From now on TLS tells what becomes of it.
    socket.on('error', () => undefined)
    on.onOpen(socket)
  }
  socket.on('data', onData)
  socket.on('error', failed)
  socket.on('end', ended)
  socket.once('connect', () => socket.write(talk.greeting()))
  return socket
}

function faultOf(
  socket: TLSSocket,
  to: { readonly address: string; readonly publicKey: PublicKey },
  alpn: string,
): HushError | undefined {
  if (socket.alpnProtocol !== alpn) return new OtherNetworkError(to.address)
  const certificate = socket.isSessionReused() ? undefined : socket.getPeerX509Certificate()
  const key = certificate === undefined ? undefined : publicKeyOfCertificate(certificate.raw)
  return key !== undefined && equalBytes(key, to.publicKey) ? undefined : new WrongCertificateError(to.address)
}

const UNREACHABLE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there',
  ECONNRESET: 'it hung up during the handshake',
  EHOSTUNREACH: 'no way to that machine',
  ENETUNREACH: 'no way to that network',
  EHOSTDOWN: 'that machine is down',
  ETIMEDOUT: 'no answer',
  ENOTFOUND: 'the name is not known',
  EAI_AGAIN: 'the name cannot be looked up',
  EPIPE: 'it hung up during the handshake',
}

function failureOf(address: string, cause: unknown, isSecure: boolean): HushError {
  const code = systemCodeOf(cause)
  const why = UNREACHABLE[code]
  if (code.includes('NO_APPLICATION_PROTOCOL')) return new OtherNetworkError(address, { cause })
  if (why !== undefined) return new LinkUnreachableError(address, why, { cause })
  if (code.startsWith('ERR_SSL_') || code === 'EPROTO')
    return new LinkHandshakeError(address, 'what answers does not speak TLS 1.3 as nodes do', { cause })
  if (isSecure) return new LinkHandshakeError(address, 'the upgrade to a link was refused', { cause })
  return new LinkUnreachableError(address, code, { cause })
}
