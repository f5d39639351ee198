/**
 * Somebody who means harm to one node and has time, addresses and the protocol's own code: connections
 * that stop at any step, links that carry any bytes, circuits of one hop that ask and never read. Nothing
 * here waits for the node's good will; what it sends back is counted and, where it says so, not even read.
 */
import { connect as connectTcp, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import { CELL_SIZE, type NetworkId, type NodeId, type OnionKey, type SecretRandom } from '../../../core/index.ts'
import { beginHandshake, type CircuitKeys, selfSignedCertificate } from '../../../crypto/index.ts'
import {
  bodyOf,
  ClientLayers,
  COMMANDS,
  type Command,
  decodeCreated,
  effortAsked,
  encodeCreate,
  isWindowed,
  makeCell,
  type RelayMessage,
  readCell,
} from '../../../routing/index.ts'

export interface Victim {
  readonly host: string
  readonly port: number
  readonly alpn: string
  readonly networkId: NetworkId
  readonly id: NodeId
  readonly onionKey: OnionKey
}

export const OPCODE = { more: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

/** Any number gives an address of the loopback network; numbers 256 apart lie in different /16. */
export function addressOf(number: number): string {
  return `127.${100 + (Math.floor(number / 256) % 150)}.${number % 256}.${1 + (number % 250)}`
}

export const random: SecretRandom = {
  bytes: (size) => {
    const bytes = new Uint8Array(size)
    random.fill(bytes)
    return bytes
  },
  fill: (target) => void globalThis.crypto.getRandomValues(target),
}

/** A frame of RFC 6455 as a dialler sends it, masked with zeros; `declared` is the length it claims. */
export function frame(opcode: number, payload: Uint8Array, how: { isWhole?: boolean; declared?: number } = {}): Buffer {
  const length = how.declared ?? payload.length
  const head = Buffer.alloc(14)
  head[0] = (how.isWhole === false ? 0 : 0x80) | opcode
  const isShort = length < 126
  head[1] = 0x80 | (isShort ? length : 127)
  if (!isShort) head.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([head.subarray(0, isShort ? 2 : 10), Buffer.alloc(4), payload])
}

export function tcp(victim: Victim, from: string): Promise<Socket> {
  return opened(connectTcp({ host: victim.host, port: victim.port, localAddress: from }), 'connect')
}

/** TLS stands, nothing was asked. */
export function tls(victim: Victim, from: string): Promise<TLSSocket> {
  const { certPem, keyPem } = selfSignedCertificate(random.bytes(32))
  // Node takes the local address of plain connections here too; its types do not say so.
  const local: ConnectionOptions & { localAddress: string } = {
    host: victim.host,
    port: victim.port,
    localAddress: from,
    minVersion: 'TLSv1.3',
    rejectUnauthorized: false,
    ALPNProtocols: [victim.alpn],
    cert: certPem,
    key: keyPem,
  }
  return opened(connectTls(local), 'secureConnect')
}

function opened<Opened extends Socket | TLSSocket>(socket: Opened, event: string): Promise<Opened> {
  return new Promise((resolve, reject) => {
    socket.on('error', () => undefined)
    socket.once('close', () => reject(new Error('the door closed')))
    socket.once(event, () => resolve(socket))
  })
}

const UPGRADE = [
  'GET /link HTTP/1.1',
  'Host: link',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
  '\r\n',
].join('\r\n')

/** A link as the node sees it, with the bytes in the attacker's own hand. */
export class HostileLink {
  readonly socket: TLSSocket
  readonly #layers = new Map<number, ClientLayers>()
  readonly #waiting = new Map<number, (answer: 'destroyed' | { effort: number } | Uint8Array) => void>()
  #held: Buffer = Buffer.alloc(0)
  #isUp = false
  #circuit = -1
  closed = false
  /** Destroys that came, and the largest effort any of them asked for. */
  destroyed = 0
  effort = 0
  cells = 0

  private constructor(socket: TLSSocket) {
    this.socket = socket
    socket.on('data', (bytes: Buffer) => this.#read(bytes))
    socket.once('close', () => {
      this.closed = true
      for (const settle of [...this.#waiting.values()]) settle('destroyed')
    })
  }

  /** Undefined when the node does not let it come to a link. */
  static async open(victim: Victim, from: string): Promise<HostileLink | undefined> {
    try {
      const link = new HostileLink(await tls(victim, from))
      link.socket.write(UPGRADE)
      while (!link.#isUp && !link.closed) await sleep(5)
      return link.closed ? undefined : link
    } catch {
      return undefined
    }
  }

  write(bytes: Uint8Array): boolean {
    return !this.closed && this.socket.write(bytes)
  }

  /** Resolves when the node has taken it, or has closed the link. */
  async writeAll(bytes: Uint8Array): Promise<void> {
    if (this.write(bytes) || this.closed) return
    await new Promise<void>((resolve) => {
      const done = () => {
        this.socket.off('drain', done)
        this.socket.off('close', done)
        resolve()
      }
      this.socket.on('drain', done)
      this.socket.on('close', done)
    })
  }

  send(circuit: number, command: Command, body: Uint8Array): void {
    this.write(frame(OPCODE.binary, makeCell(circuit, command, body)))
  }

  end(): void {
    this.socket.destroy()
  }

  nextCircuit(): number {
    this.#circuit += 2
    return this.#circuit
  }

  /** A circuit whose only hop is the node; undefined when it is refused. */
  async circuit(victim: Victim): Promise<HostileCircuit | undefined> {
    const handshake = handshakeWith(victim)
    const circuit = this.nextCircuit()
    const answer = await new Promise<'destroyed' | { effort: number } | Uint8Array>((resolve) => {
      if (this.closed) return resolve('destroyed')
      this.#waiting.set(circuit, resolve)
      this.send(circuit, COMMANDS.create, encodeCreate({ hop: 1, message: handshake.message }))
    })
    this.#waiting.delete(circuit)
    const keys = answer instanceof Uint8Array ? handshake.finish(answer) : undefined
    return keys && new HostileCircuit(this, circuit, this.#remember(circuit, keys))
  }

  #remember(circuit: number, keys: CircuitKeys): ClientLayers {
    const layers = new ClientLayers()
    layers.addHop(keys)
    this.#layers.set(circuit, layers)
    return layers
  }

  #read(bytes: Buffer): void {
    this.#held = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes])
    if (!this.#isUp) {
      const end = this.#held.indexOf('\r\n\r\n')
      if (end < 0) return
      this.#isUp = true
      this.#held = this.#held.subarray(end + 4)
    }
    for (;;) {
      const short = (this.#held[1] ?? 0) & 127
      const headSize = short === 127 ? 10 : short === 126 ? 4 : 2
      if (this.#held.length < headSize) return
      const size =
        short === 127 ? Number(this.#held.readBigUInt64BE(2)) : short === 126 ? this.#held.readUInt16BE(2) : short
      if (this.#held.length < headSize + size) return
      const payload = this.#held.subarray(headSize, headSize + size)
      const isData = ((this.#held[0] ?? 0) & 15) === OPCODE.binary
      for (let at = 0; isData && at + CELL_SIZE <= payload.length; at += CELL_SIZE)
        this.#take(new Uint8Array(payload.subarray(at, at + CELL_SIZE)))
      this.#held = this.#held.subarray(headSize + size)
    }
  }

  #take(raw: Uint8Array): void {
    this.cells++
    const { circuit, command, body } = readCell(raw)
    if (command === COMMANDS.created) this.#waiting.get(circuit)?.(decodeCreated(body))
    if (command !== COMMANDS.destroy) return
    this.destroyed++
    const effort = effortAsked(body)
    if (effort !== undefined) this.effort = Math.max(this.effort, effort)
    this.#layers.delete(circuit)
    this.#waiting.get(circuit)?.(effort === undefined ? 'destroyed' : { effort })
  }
}

export class HostileCircuit {
  readonly #link: HostileLink
  readonly #circuit: number
  readonly #layers: ClientLayers

  constructor(link: HostileLink, circuit: number, layers: ClientLayers) {
    this.#link = link
    this.#circuit = circuit
    this.#layers = layers
  }

  /** Without regard to any window. */
  send(message: RelayMessage): void {
    const cell = makeCell(this.#circuit, COMMANDS.relay, new Uint8Array(0))
    this.#layers.seal(1, message, bodyOf(cell))
    if (!isWindowed(message.command) || !this.#link.closed) this.#link.write(frame(OPCODE.binary, cell))
  }
}

export function handshakeWith({ networkId, id, onionKey }: Victim) {
  const handshake = beginHandshake({ random, networkId, relayId: id, hop: 1, onionKey })
  if (handshake === undefined) throw new Error('the node has no usable onion key')
  return handshake
}

/** Runs `work` for 0 to count - 1, `width` at a time. */
export async function many<Result>(
  count: number,
  width: number,
  work: (number: number) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = []
  let next = 0
  const run = async () => {
    for (let number = next++; number < count; number = next++) results.push(await work(number))
  }
  await Promise.all(Array.from({ length: width }, run))
  return results
}
