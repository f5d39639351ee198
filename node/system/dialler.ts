/**
 * The dialling side: a TLS connection to an address, then the pinned key is compared, and only then is
 * anything sent: the upgrade to a WebSocket. SPEC links §1
 *
 * TLS itself shows our certificate to whoever completes the handshake, before the comparison: an
 * impostor who holds the address learns the dialler's key, and nothing more.
 */
import type { TLSSocket } from 'node:tls'
import { connect } from 'node:tls'
import { WebSocket } from 'ws'
import { type Clock, equalBytes, HushError, type PublicKey } from '../../core/index.ts'
import { publicKeyOfCertificate } from '../../crypto/index.ts'
import { parseHostPort } from './address.ts'
import {
  BadHostPortError,
  LinkHandshakeError,
  LinkTimeoutError,
  LinkUnreachableError,
  OtherNetworkError,
  systemCodeOf,
  WrongCertificateError,
} from './errors.ts'
import { LINK_PATH, TLS_SETTINGS, WEBSOCKET_SETTINGS } from './link-settings.ts'

export interface DialSetup {
  readonly certPem: string
  readonly keyPem: string
  readonly alpn: string
  readonly clock: Clock
  readonly keyLog: ((line: string) => void) | undefined
  readonly dialFrom: string | undefined
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
  return new Promise((resolve, reject) => {
    let isSecure = false
    const socket = connect({
      ...TLS_SETTINGS,
      host: place.host,
      port: place.port,
      cert: setup.certPem,
      key: setup.keyPem,
      ALPNProtocols: [setup.alpn],
      ...(setup.dialFrom !== undefined && { localAddress: setup.dialFrom }),
    })
    socket.setNoDelay(true)
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
    if (setup.keyLog !== undefined) {
      const keyLog = setup.keyLog
      socket.on('keylog', (line: Buffer) => keyLog(line.toString('latin1')))
    }
    socket.on('error', fail)
    socket.once('secureConnect', () => {
      isSecure = true
      const fault = faultOf(socket, to, setup.alpn)
      if (fault !== undefined) return fail(fault)
      const webSocket = new WebSocket(`wss://link${LINK_PATH}`, {
        ...WEBSOCKET_SETTINGS,
        followRedirects: false,
        // Inside TLS a mask protects nothing, and a zero one is skipped on both ends.
        generateMask: (mask) => void mask.fill(0),
        createConnection: () => socket,
      })
      webSocket.once('error', fail)
      webSocket.once('open', () => {
        webSocket.off('error', fail)
        settle(() => resolve(onOpen(webSocket)))
      })
    })
  })
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
