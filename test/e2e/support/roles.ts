/**
 * What the members of a recorded testnet were sent: links with the names of their ends, cells, messages, and
 * searches over all of it. SPEC links §2, §3; threat-model
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CELL_SIZE, fromHex, toHex } from '../../../core/index.ts'
import { publicKeyOfCertificate, signingKeyFromSeed } from '../../../crypto/index.ts'
import { type Cell, COMMANDS, MessageJoiner, readCell } from '../../../routing/index.ts'
import { openSession, readFlows, readKeyLog, type Session } from './wire.ts'

export interface Member {
  readonly name: string
  readonly role: 'node' | 'client'
  readonly home: string
}

/** One direction of a link: what `from` said to `to`. */
export interface Side {
  readonly from: string
  readonly to: string
  readonly cells: readonly Cell[]
  /** Link messages, put together. */
  readonly messages: readonly Uint8Array[]
  /** All that was sent inside TLS. */
  readonly plain: Buffer
  /** As it went over the wire. */
  readonly raw: Buffer
  /** What is not as SPEC links §2 wants it, in words. */
  readonly faults: readonly string[]
}

/** Both directions of every connection of the testnet at `port`. */
export async function readSides(
  from: { capture: string; keyLog: string; port: number },
  members: readonly Member[],
): Promise<Side[]> {
  const names = await namesByKey(members)
  const secrets = await readKeyLog(from.keyLog)
  const nameOf = (certificate: Uint8Array | undefined): string => {
    const key = certificate && publicKeyOfCertificate(certificate)
    const name = key && names.get(toHex(key))
    if (name === undefined) throw new Error('a link with somebody who is no member')
    return name
  }
  const sides: Side[] = []
  for (const flows of await readFlows(from.capture, from.port)) {
    // A handshake that never came to its end carries nothing.
    const session = openSession(flows, secrets)
    if (session === undefined || session.plainSent.length === 0) continue
    const [dialler, acceptor] = [nameOf(session.diallerCertificate), nameOf(session.acceptorCertificate)]
    sides.push(sideOf({ from: dialler, to: acceptor, session, isDialler: true }))
    sides.push(sideOf({ from: acceptor, to: dialler, session, isDialler: false }))
  }
  return sides
}

/** The seeds of a home, raw. */
export async function seedsOf(home: string): Promise<{ seed: Uint8Array; onionSeed: Uint8Array }> {
  const { seed, onionSeed } = JSON.parse(await readFile(join(home, 'identity.json'), 'utf8'))
  return { seed: fromHex(seed) as Uint8Array, onionSeed: fromHex(onionSeed) as Uint8Array }
}

async function namesByKey(members: readonly Member[]): Promise<Map<string, string>> {
  const names = new Map<string, string>()
  for (const { name, home } of members) names.set(toHex(signingKeyFromSeed((await seedsOf(home)).seed).publicKey), name)
  return names
}

const OPCODE = { binary: 2, close: 8, ping: 9, pong: 10 } as const

function sideOf(of: { from: string; to: string; session: Session; isDialler: boolean }): Side {
  const plain = of.isDialler ? of.session.plainSent : of.session.plainGot
  const raw = (of.isDialler ? of.session.sent : of.session.got).bytes
  const faults: string[] = []
  const cells: Cell[] = []
  const messages: Uint8Array[] = []
  const joiner = new MessageJoiner({ partialBytesMax: Number.MAX_SAFE_INTEGER })
  let at = plain.indexOf('\r\n\r\n') + 4
  if (at < 4) at = plain.length
  while (at < plain.length) {
    const frame = frameAt(plain, at)
    if (frame === undefined) break
    at = frame.end
    if (frame.opcode === OPCODE.ping || frame.opcode === OPCODE.pong) {
      if (frame.payload.length > 0) faults.push('a ping that carries something')
    } else if (frame.opcode === OPCODE.close) {
      if (frame.payload.length > 2) faults.push('a close that carries words')
    } else if (frame.opcode !== OPCODE.binary || !frame.isWhole) faults.push(`a frame of kind ${frame.opcode}`)
    else if (frame.payload.length === 0 || frame.payload.length % CELL_SIZE !== 0) {
      faults.push(`a message of ${frame.payload.length} bytes`)
    } else
      for (let start = 0; start < frame.payload.length; start += CELL_SIZE) {
        const cell = readCell(new Uint8Array(frame.payload.subarray(start, start + CELL_SIZE)))
        cells.push(cell)
        const message = cell.command === COMMANDS.message ? joiner.add(cell.body) : undefined
        if (message !== undefined) messages.push(message)
      }
  }
  return { from: of.from, to: of.to, cells, messages, plain, raw, faults }
}

/** RFC 6455 §5.2; undefined when the connection was cut within it. */
function frameAt(bytes: Buffer, at: number) {
  if (at + 2 > bytes.length) return undefined
  const [head, second] = [bytes[at] ?? 0, bytes[at + 1] ?? 0]
  const short = second & 127
  const lengthSize = short === 127 ? 8 : short === 126 ? 2 : 0
  let start = at + 2
  if (start + lengthSize > bytes.length) return undefined
  const length =
    lengthSize === 8 ? Number(bytes.readBigUInt64BE(start)) : lengthSize ? bytes.readUInt16BE(start) : short
  start += lengthSize
  const mask = (second & 128) === 0 ? undefined : bytes.subarray(start, start + 4)
  if (mask !== undefined) start += 4
  if (mask?.some((byte) => byte !== 0)) throw new Error('a mask that is not zero')
  if (start + length > bytes.length) return undefined
  const payload = bytes.subarray(start, start + length)
  return { opcode: head & 15, isWhole: (head & 128) !== 0, payload, end: start + length }
}

// --- searches ----------------------------------------------------------------------------------

export type Needles = Readonly<Record<string, Uint8Array>>

/** Which of the needles the bytes hold, by name. */
export function found(haystack: Uint8Array, needles: Needles): string[] {
  const bytes = Buffer.from(haystack.buffer, haystack.byteOffset, haystack.length)
  return Object.entries(needles).flatMap(([name, needle]) => (bytes.includes(Buffer.from(needle)) ? [name] : []))
}

/** Each needle as it is, and as hex and base64, as a log or a file of settings would hold it. */
export function spelled(needles: Needles): Needles {
  return Object.fromEntries(
    Object.entries(needles).flatMap(([name, bytes]) => [
      [name, bytes],
      [`${name} in hex`, Buffer.from(toHex(bytes))],
      [`${name} in base64`, Buffer.from(Buffer.from(bytes).toString('base64').slice(0, -4))],
    ]),
  )
}

/** All files below a folder that are there to be read. */
export async function filesBelow(folder: string): Promise<{ path: string; bytes: Buffer }[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return Promise.all(files.map(async (path) => ({ path, bytes: await readFile(path) })))
}

const RUN = 8

/**
 * How many runs of 8 bytes occur more than once in all these bodies, at any offsets. Bodies that are
 * ciphertext and fresh chance share one once in about 100,000 tries of this size.
 */
export function commonRuns(bodies: readonly Uint8Array[]): number {
  const runs = new BigUint64Array(bodies.reduce((sum, body) => sum + Math.max(0, body.length - RUN + 1), 0))
  let next = 0
  for (const body of bodies) {
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength)
    for (let at = 0; at + RUN <= body.length; at++) runs[next++] = view.getBigUint64(at)
  }
  runs.sort()
  let common = 0
  for (let i = 1; i < runs.length; i++) if (runs[i] === runs[i - 1]) common += 1
  return common
}
