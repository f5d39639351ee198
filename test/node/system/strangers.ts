/** Dialling by hand, with anything wrong that a test wants, past our own dialler. */
import { connect as connectTcp } from 'node:net'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { type ClientOptions, WebSocket } from 'ws'
import { selfSignedCertificate } from '../../../crypto/index.ts'
import { alpnOf } from '../../../node/system/link-settings.ts'
import { NETWORK, seedOf } from './sides.ts'

/** Sends bytes over bare TCP; resolves when the other side has closed. */
export function sendRaw(port: number, bytes: Uint8Array | string): Promise<Buffer> {
  return new Promise((resolve) => {
    const got: Buffer[] = []
    const socket = connectTcp({ port, host: '127.0.0.1' }, () => socket.write(bytes))
    socket.on('data', (data) => got.push(data))
    socket.on('error', () => {})
    socket.on('close', () => resolve(Buffer.concat(got)))
  })
}

export function tlsTo(port: number, seed: number | undefined, options: ConnectionOptions = {}): TLSSocket {
  const certificate = seed === undefined ? undefined : selfSignedCertificate(seedOf(seed))
  const socket = connect({
    host: '127.0.0.1',
    port,
    minVersion: 'TLSv1.3',
    rejectUnauthorized: false,
    ALPNProtocols: [alpnOf(NETWORK)],
    ...(certificate === undefined ? {} : { cert: certificate.certPem, key: certificate.keyPem }),
    ...options,
  })
  socket.on('error', () => {})
  return socket
}

/** Everything the other side sends until it closes, after `request` over TLS with a proven key. */
export function exchange(port: number, seed: number | undefined, request: string): Promise<string> {
  return new Promise((resolve) => {
    let got = ''
    const socket = tlsTo(port, seed)
    socket.on('secureConnect', () => socket.write(request))
    socket.on('data', (data: Buffer) => {
      got += data.toString('latin1')
    })
    socket.on('close', () => resolve(got))
  })
}

/** An open WebSocket of a proven key that sends what it likes. */
export function webSocketTo(port: number, seed: number, options: ClientOptions = {}): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const socket = tlsTo(port, seed)
    socket.once('secureConnect', () => {
      const webSocket = new WebSocket('wss://link/link', {
        perMessageDeflate: false,
        ...options,
        createConnection: () => socket,
      })
      webSocket.on('error', reject)
      webSocket.once('open', () => resolve(webSocket))
    })
  })
}

/** The code it is closed with. */
export function closeCodeOf(webSocket: WebSocket): Promise<number> {
  return new Promise((resolve) => webSocket.once('close', resolve))
}
