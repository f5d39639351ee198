/**
 * What a network card saw, opened with the sessions' key log: a capture file of TCP over loopback, put
 * together to streams, and TLS 1.3 (RFC 8446) taken off them. Nothing of the product takes part in it, so
 * nothing of the product can hide from it. Every byte must be accounted for: a gap, a record that does
 * not open or a session without secrets throws.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createDecipheriv, createHmac } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

/** Megabytes may be on their way before tcpdump gets its turn on a busy machine. */
const KERNEL_BUFFER_KIB = 65_536
const DRAIN_MS = 1_500

export interface Capture {
  /** Ends the capture; throws when the kernel dropped packets. */
  stop(): Promise<void>
}

/** Captures TCP on loopback to `file`; resolves once it runs. */
export async function startCapture(file: string, ports: string): Promise<Capture> {
  needTcpdump()
  const words = ['-i', 'lo', '-s', '0', '-B', String(KERNEL_BUFFER_KIB), '-w', file, '-U', '-Z', 'root']
  const filter = `tcp portrange ${ports}`
  const child = spawn('tcpdump', [...words, filter], { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr?.on('data', (bytes: Buffer) => {
    said += bytes.toString()
  })
  await untilListening(child, () => said)
  return {
    async stop() {
      await sleep(DRAIN_MS)
      const ended = once(child, 'exit')
      child.kill('SIGINT')
      await ended
      if (!/\b0 packets dropped by kernel/.test(said)) throw new Error(`the capture is not whole: ${said}`)
    },
  }
}

async function untilListening(child: ChildProcess, said: () => string): Promise<void> {
  let isEnded = false
  child.once('exit', () => {
    isEnded = true
  })
  while (!said().includes('listening on')) {
    if (isEnded) throw new Error(`tcpdump cannot capture here (it needs root or CAP_NET_RAW): ${said()}`)
    await sleep(20)
  }
}

/** Throws with words about what to do; installs it where that is a matter of course. */
function needTcpdump(): void {
  const isThere = () => {
    try {
      execFileSync('tcpdump', ['--version'], { stdio: 'ignore' })
      return true
    } catch {
      return false
    }
  }
  if (isThere()) return
  if (process.env.CI !== undefined && process.getuid?.() === 0) {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    for (const words of [
      ['update', '-qq'],
      ['install', '-y', '-qq', '--no-install-recommends', 'tcpdump'],
    ])
      execFileSync('apt-get', words, { stdio: 'ignore', env })
    if (isThere()) return
  }
  throw new Error('this test records traffic and needs tcpdump: apt-get install tcpdump')
}

// --- from packets to streams -------------------------------------------------------------------

/** One direction of one connection. */
export interface Flow {
  readonly from: string
  readonly to: string
  readonly bytes: Buffer
}

const SYN = 2

/** The streams of all connections to `port`, as pairs: what the dialler sent, what it got. */
export async function readFlows(file: string, port: number): Promise<{ sent: Flow; got: Flow }[]> {
  const raw = await readFile(file)
  if (raw.readUInt32LE(0) !== 0xa1b2c3d4 || raw.readUInt32LE(20) !== 1) throw new Error('not a capture as expected')
  const segments = new Map<string, { at: number; bytes: Buffer }[]>()
  const starts = new Map<string, number>()
  const diallers: { from: string; to: string }[] = []
  for (let at = 24; at + 16 <= raw.length; ) {
    const size = raw.readUInt32LE(at + 8)
    const packet = raw.subarray(at + 16, at + 16 + size)
    at += 16 + size
    // Ethernet 14, IPv4; everything of a testnet is in 127.0.0.0/8.
    if (packet.readUInt16BE(12) !== 0x0800) continue
    const ip = packet.subarray(14, 14 + packet.readUInt16BE(16))
    const tcp = ip.subarray(((ip[0] ?? 0) & 15) * 4)
    const [fromPort, toPort] = [tcp.readUInt16BE(0), tcp.readUInt16BE(2)]
    if (fromPort !== port && toPort !== port) continue
    const from = `${[...ip.subarray(12, 16)].join('.')}:${fromPort}`
    const to = `${[...ip.subarray(16, 20)].join('.')}:${toPort}`
    const name = `${from} ${to}`
    if (((tcp[13] ?? 0) & SYN) !== 0) {
      if (!starts.has(name) && toPort === port) diallers.push({ from, to })
      starts.set(name, tcp.readUInt32BE(4) + 1)
    }
    const bytes = tcp.subarray((((tcp[12] ?? 0) >> 4) & 15) * 4)
    if (bytes.length === 0) continue
    const start = starts.get(name)
    if (start === undefined) throw new Error(`a connection began before the capture: ${name}`)
    const list = segments.get(name) ?? []
    list.push({ at: (tcp.readUInt32BE(4) - start) >>> 0, bytes })
    segments.set(name, list)
  }
  const flow = (from: string, to: string): Flow => ({ from, to, bytes: joined(segments.get(`${from} ${to}`) ?? []) })
  return diallers.map(({ from, to }) => ({ sent: flow(from, to), got: flow(to, from) }))
}

function joined(segments: { at: number; bytes: Buffer }[]): Buffer {
  const parts: Buffer[] = []
  let end = 0
  for (const { at, bytes } of segments.sort((one, other) => one.at - other.at)) {
    if (at > end) throw new Error(`${at - end} bytes are missing from the capture`)
    if (at + bytes.length <= end) continue
    parts.push(bytes.subarray(end - at))
    end = at + bytes.length
  }
  return Buffer.concat(parts)
}

// --- TLS 1.3 -----------------------------------------------------------------------------------

/** A connection with TLS taken off. The certificates prove who the ends are. */
export interface Session {
  readonly sent: Flow
  readonly got: Flow
  readonly plainSent: Buffer
  readonly plainGot: Buffer
  /** X.509, DER. */
  readonly diallerCertificate: Uint8Array | undefined
  readonly acceptorCertificate: Uint8Array | undefined
}

type Secrets = ReadonlyMap<string, Buffer>

/** By kind and client random, as in the lines of a key log. */
export async function readKeyLog(file: string): Promise<Secrets> {
  const lines = (await readFile(file, 'latin1')).split('\n').filter((line) => line !== '')
  return new Map(
    lines.map((line) => {
      const [kind, random, secret = ''] = line.split(' ')
      return [`${kind} ${random}`, Buffer.from(secret, 'hex')]
    }),
  )
}

/** Undefined for a connection that ended before any secret was agreed. */
export function openSession({ sent, got }: { sent: Flow; got: Flow }, secrets: Secrets): Session | undefined {
  // record header 5, handshake header 4, version 2, random 32
  const random = sent.bytes.subarray(11, 43).toString('hex')
  const sides = [
    { flow: sent, name: 'CLIENT' },
    { flow: got, name: 'SERVER' },
  ].map(({ flow, name }) => {
    const early = secrets.get(`${name}_HANDSHAKE_TRAFFIC_SECRET ${random}`)
    const late = secrets.get(`${name}_TRAFFIC_SECRET_0 ${random}`)
    return early === undefined || late === undefined ? undefined : openFlow(flow.bytes, early, late)
  })
  const [client, server] = sides
  if (client === undefined || server === undefined) return undefined
  return {
    sent,
    got,
    plainSent: client.plain,
    plainGot: server.plain,
    diallerCertificate: client.certificate,
    acceptorCertificate: server.certificate,
  }
}

const RECORD = { handshake: 22, sealed: 23, data: 23 } as const
const HANDSHAKE = { certificate: 11, finished: 20 } as const

function openFlow(bytes: Buffer, early: Buffer, late: Buffer): { plain: Buffer; certificate: Uint8Array | undefined } {
  let open = opener(early)
  let certificate: Uint8Array | undefined
  const plain: Buffer[] = []
  let handshake: Buffer = Buffer.alloc(0)
  for (let at = 0; at + 5 <= bytes.length; ) {
    const size = bytes.readUInt16BE(at + 3)
    const record = bytes.subarray(at, at + 5 + size)
    // A connection that was cut may end within a record.
    if (record.length < 5 + size) break
    at += 5 + size
    if (record[0] !== RECORD.sealed) continue
    const { type, inner } = open(record)
    if (type === RECORD.data) plain.push(inner)
    if (type !== RECORD.handshake) continue
    handshake = Buffer.concat([handshake, inner])
    while (handshake.length >= 4 && handshake.length >= 4 + handshake.readUIntBE(1, 3)) {
      const body = handshake.subarray(4, 4 + handshake.readUIntBE(1, 3))
      // context length u8 (empty), list length u24, first certificate's length u24, DER
      if (handshake[0] === HANDSHAKE.certificate && body.length > 7)
        certificate = new Uint8Array(body.subarray(7, 7 + body.readUIntBE(4, 3)))
      if (handshake[0] === HANDSHAKE.finished) open = opener(late)
      handshake = handshake.subarray(4 + body.length)
    }
  }
  return { plain: Buffer.concat(plain), certificate }
}

/** Opens the records under one traffic secret, in order: AES-256-GCM with SHA-384, Node's first choice. */
function opener(secret: Buffer): (record: Buffer) => { type: number; inner: Buffer } {
  if (secret.length !== 48) throw new Error('another cipher suite than TLS_AES_256_GCM_SHA384')
  const key = expandLabel(secret, 'key', 32)
  const iv = expandLabel(secret, 'iv', 12)
  let count = 0
  return (record) => {
    const nonce = Buffer.from(iv)
    nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ count) >>> 0, 8)
    count += 1
    const decipher = createDecipheriv('aes-256-gcm', key, nonce)
    decipher.setAAD(record.subarray(0, 5))
    decipher.setAuthTag(record.subarray(-16))
    const padded = Buffer.concat([decipher.update(record.subarray(5, -16)), decipher.final()])
    let end = padded.length - 1
    while (end > 0 && padded[end] === 0) end -= 1
    return { type: padded[end] ?? 0, inner: padded.subarray(0, end) }
  }
}

/** HKDF-Expand-Label with an empty context, of one block. */
function expandLabel(secret: Buffer, label: string, length: number): Buffer {
  const full = Buffer.from(`tls13 ${label}`)
  const info = Buffer.concat([Buffer.of(0, length, full.length), full, Buffer.of(0, 1)])
  return createHmac('sha384', secret).update(info).digest().subarray(0, length)
}
