/**
 * The local control API from both ends, over its real socket, and the words of a command line. What
 * stands behind the API is a node with nothing to give: a get finds nothing, a put is refused.
 * SPEC control §1 to §9
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import fc from 'fast-check'
import { run } from '../../cli/run.ts'
import { concatBytes, fromUtf8, type Log, PROFILES, UnavailableError } from '../../core/index.ts'
import type { HushNode } from '../../node/compose.ts'
import {
  ControlAccessError,
  ControlProtocolError,
  connectControl,
  controlPathOf,
  DaemonError,
  DaemonGoneError,
  NoDaemonError,
} from '../../node/control/index.ts'
import { jsonLines } from '../../node/control/lines.ts'
import { ControlServer } from '../../node/control/server.ts'
import {
  checkEventSchema,
  getResultSchema,
  keptEventSchema,
  keptListSchema,
  putEventSchema,
  putReadBackSchema,
  repairEventSchema,
  repairKeyEventSchema,
  statusSchema,
} from '../../node/control/types.ts'
import { makeMetrics, serveControl } from '../../node/system/index.ts'
import { ReadBack } from '../../node/tasks/read-back.ts'
import { Steward } from '../../node/tasks/steward.ts'
import { View } from '../../routing/index.ts'
import { formatAddress } from '../../storage/index.ts'
import { noiseOf, textBytes, textOf } from './shapes.ts'
import { FuzzFault, type Target } from './target.ts'

const ADDRESS = formatAddress({ kind: 'public', hash: noiseOf(1, 32) })

// --- lines of JSON -------------------------------------------------------------------------------------

const STATUS = {
  version: '1',
  protocol: 1,
  pid: 2,
  role: 'client',
  network: { id: 'ab', profile: 'testnet' },
  view: { members: 1, reachable: 1 },
  circuits: { ready: 1, building: 0, gateways: 1, wanted: 1 },
  links: 1,
  pending: { shards: 0 },
  uptimeSeconds: 1.5,
  memory: { rssBytes: 1 },
}
const STORED = { event: 'stored', address: ADDRESS, lengthBytes: 1, shards: 8, stored: 8, pending: 0, stripes: 0 }
const SUMMARY = { event: 'summary', stripes: 1, shards: 8, reachable: 8, health: 'good' }
const ERROR = { code: 'ERR_BUSY', kind: 'unavailable', message: 'm', hint: 'h' }
const EVENTS = [
  { event: 'progress', readBytes: 1, storedShards: 2, totalShards: 22 },
  STORED,
  { event: 'stripe', stripe: 0, level: 0, needed: 8, total: 22, reachable: 9, health: 'weak' },
  SUMMARY,
  { event: 'error', ...ERROR },
  { ok: true },
  STATUS,
].map((event) => JSON.stringify(event))
const jsonTokens = ['\n', '"event":"', '"__proto__":', '1e999', '\\ud800', 'null', '"kind":"bug"', '"code":"ERR_BUG"']

const SCHEMAS = [
  putEventSchema,
  putReadBackSchema,
  checkEventSchema,
  repairEventSchema,
  repairKeyEventSchema,
  keptEventSchema,
  keptListSchema,
  getResultSchema,
  statusSchema,
]
/** The first byte says how long the pieces are in which the rest arrives. */
const controlLines: Target = {
  name: 'control-lines',
  covers: [
    'node/control/lines.ts#jsonLines',
    'node/control/lines.ts#parseJson',
    'node/control/lines.ts#parseJsonText',
    'core/bytes.ts#toUtf8',
  ],
  valid: fc
    .tuple(fc.nat(255), fc.array(fc.constantFrom(...EVENTS), { maxLength: 4 }))
    .map(([size, lines]) => concatBytes(Uint8Array.of(size), fromUtf8(lines.join('\n')))),
  decode: async (bytes) => {
    const pieces = async function* () {
      const size = 1 + (bytes[0] ?? 0)
      for (let at = 1; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
    }
    let taken = 0
    for await (const line of jsonLines(pieces())) {
      for (const schema of SCHEMAS) {
        if (schema.safeParse(line).success) taken++
      }
    }
    return taken
  },
  permitted: [ControlProtocolError],
  tokens: jsonTokens,
  runs: 100,
}

// --- the daemon's end -----------------------------------------------------------------------------------

/** A home in which both ends meet; made at first use, gone with the process. */
let made: string | undefined
function scratchHome(): string {
  if (made === undefined) {
    const path = mkdtempSync(join(tmpdir(), 'hush-fuzz-'))
    process.once('exit', () => rmSync(path, { recursive: true, force: true }))
    made = path
  }
  return made
}
/** For a process that is ended rather than ends. */
export function removeScratch(): void {
  if (made !== undefined) rmSync(made, { recursive: true, force: true })
}
function folderIn(name: string): string {
  const path = join(scratchHome(), name)
  mkdirSync(path, { recursive: true, mode: 0o700 })
  return path
}

class NothingHere extends UnavailableError {
  readonly code = 'ERR_UNAVAILABLE_FOR_TESTS'
}

const faults: string[] = []
const log: Log = (level, event, fields) => {
  if (level === 'error') faults.push(`${event}: ${fields?.reason ?? fields?.message}`)
}
const view = new View({ profile: PROFILES.testnet })
const jitter = { uint32: () => 7 }
const place = async () => {
  throw new NothingHere('no keeper')
}
const node = {
  view,
  settings: {},
  member: undefined,
  address: undefined,
  guards: { inUse: undefined },
  pool: { ready: [], building: 0, wanted: 0 },
  links: { count: 0 },
  accounts: { reports: () => [], ownKey: noiseOf(9, 32), load: 0, chain: () => undefined },
  // The real one: it keeps what it is told to, and its first visit never comes.
  steward: new Steward({
    clock: { nowMs: () => 1, monotonicMs: () => 1, setTimer: () => ({ cancel: () => {} }) },
    jitter,
    log,
    state: { get: () => undefined, put: async () => {} },
    open: () => {
      throw new NothingHere('no circuits')
    },
  }),
  // The real one, in a hurry: nothing is found, and it says so at once.
  readBack: new ReadBack({
    clock: {
      nowMs: () => 1,
      monotonicMs: () => 1,
      setTimer: (_, run) => {
        queueMicrotask(run)
        return { cancel: () => {} }
      },
    },
    jitter,
    log,
    open: () => ({
      ports: { fetch: async () => undefined, probe: async () => false, renew: async () => false, place },
      close: () => {},
    }),
    delayMs: { min: 0, max: 0 },
  }),
  pendingPuts: { count: 0 },
  client: {
    repairPorts: () => ({ fetch: async () => undefined, jitter }),
    fetcher: () => async () => undefined,
    probe: async () => false,
    placer: () => place,
  },
} as unknown as HushNode
const random = {
  bytes: (size: number) => noiseOf(1, size),
  fill: (target: Uint8Array) => target.set(noiseOf(1, target.length)),
}
const NETWORK = { id: 'ab'.repeat(32), profile: 'testnet' as const, createdMs: 1, seeds: [] }

let daemon: Promise<string> | undefined
/** The path of a control socket with the real server behind it. */
function startDaemon(): Promise<string> {
  daemon ??= (async () => {
    const server = new ControlServer({
      node,
      log,
      network: NETWORK,
      metrics: makeMetrics({ withProcess: false }),
      version: '1',
      pid: 1,
      uptimeSeconds: () => 1,
      rssBytes: () => 1,
      nowMs: () => 1,
      storeUsage: () => ({ bytes: 0, count: 0, quotaBytes: 0, corrupt: 0 }),
      cacheBytes: () => 0,
      onStop: () => {},
      openPorts: { jitter, random },
    })
    const { path } = await serveControl(folderIn('d'), { log, handler: (exchange) => server.handle(exchange) })
    return path
  })()
  return daemon
}

/** Sends the bytes, then no more, and resolves with all that came back. */
function ask(path: string, bytes: Uint8Array): Promise<string> {
  return new Promise((resolve) => {
    let answer = ''
    const socket = connect({ path }, () => void socket.end(bytes))
    socket.on('data', (data: Buffer) => {
      answer += data.toString('latin1')
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(answer))
  })
}

const REQUESTS = [
  'GET /v1/status HTTP/1.1\r\nhost: hush\r\n\r\n',
  'GET /v1/ledger HTTP/1.1\r\nhost: hush\r\n\r\n',
  'GET /v1/ledger/0123abcd HTTP/1.1\r\nhost: hush\r\n\r\n',
  'GET /v1/ring HTTP/1.1\r\nhost: hush\r\n\r\n',
  'GET /v1/invite HTTP/1.1\r\nhost: hush\r\n\r\n',
  'GET /v1/metrics HTTP/1.1\r\nhost: hush\r\n\r\n',
  'POST /v1/stop HTTP/1.1\r\nhost: hush\r\ncontent-length: 18\r\n\r\n{"announce":false}',
  `GET /v1/objects/${encodeURIComponent(ADDRESS)}?from=5 HTTP/1.1\r\nhost: hush\r\n\r\n`,
  `GET /v1/objects/${encodeURIComponent(ADDRESS)}/check HTTP/1.1\r\nhost: hush\r\n\r\n`,
  `POST /v1/objects/${encodeURIComponent(ADDRESS)}/repair HTTP/1.1\r\nhost: hush\r\ncontent-length: 0\r\n\r\n`,
  `POST /v1/objects/${encodeURIComponent(ADDRESS)}/repair-key HTTP/1.1\r\nhost: hush\r\ncontent-length: 0\r\n\r\n`,
  `POST /v1/objects/${encodeURIComponent(ADDRESS)}/read-back HTTP/1.1\r\nhost: hush\r\ncontent-length: 0\r\n\r\n`,
  'GET /v1/kept HTTP/1.1\r\nhost: hush\r\n\r\n',
  `POST /v1/kept/${encodeURIComponent(ADDRESS)} HTTP/1.1\r\nhost: hush\r\ncontent-length: 0\r\n\r\n`,
  'POST /v1/kept/0011223344556677/stop HTTP/1.1\r\nhost: hush\r\ncontent-length: 0\r\n\r\n',
  'POST /v1/objects?kind=public&name=a.txt&type=t&size=3 HTTP/1.1\r\nhost: hush\r\ncontent-length: 3\r\n\r\nabc',
  'POST /v1/objects HTTP/1.1\r\nhost: hush\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
]
const controlRequest: Target = {
  name: 'control-request',
  covers: [
    'node/control/server.ts#ControlServer.handle',
    'node/control/answers.ts#readSmall',
    'node/system/control-socket.ts#serveControl',
  ],
  valid: textBytes(fc.constantFrom(...REQUESTS)),
  decode: async (bytes) => {
    const path = await startDaemon()
    const answer = await ask(path, bytes)
    const fault = faults.splice(0)[0]
    if (fault !== undefined) throw new FuzzFault(controlRequest, `the daemon logs: ${fault}`)
    if (/^HTTP\/1\.1 500|ERR_BUG/.test(answer)) throw new FuzzFault(controlRequest, `answers ${answer.slice(0, 200)}`)
    return answer === '' ? undefined : answer.slice(9, 12)
  },
  permitted: [],
  tokens: [
    '//',
    '/v1/',
    '?',
    '%ff',
    '%2f',
    '..',
    'http://',
    '\r\n',
    '{',
    '[]',
    'from=-1',
    'size=',
    'content-length: 9',
    '@',
    '[',
    ':99999',
  ],
  runs: 60,
}

// --- the client's end -----------------------------------------------------------------------------------

let reply: Uint8Array = new Uint8Array(0)
let strange: Promise<string> | undefined
/** A home whose daemon answers everything with `reply`. */
function startStrangeDaemon(): Promise<string> {
  strange ??= new Promise((resolve) => {
    const home = folderIn('c')
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => void socket.end(reply))
    })
    server.unref()
    server.listen(controlPathOf(home), () => resolve(home))
  })
  return strange
}

const CALLS: readonly ((home: string) => Promise<unknown>)[] = [
  (home) => connectControl(home).status(),
  (home) => connectControl(home).ring(),
  (home) => connectControl(home).invite(),
  (home) => connectControl(home).metrics(),
  (home) => connectControl(home).stop({ announce: false }),
  (home) => connectControl(home).put(Readable.from([Uint8Array.of(1)]), { kind: 'private' }),
  async (home) => {
    let sum = 0
    const stream = await connectControl(home).get(ADDRESS)
    for await (const piece of stream.body) sum += piece.length
    return sum
  },
  async (home) => {
    let count = 0
    for await (const _ of connectControl(home).check(ADDRESS)) count++
    return count
  },
]
function httpAnswer(status: number, body: string, heads = ''): string {
  return `HTTP/1.1 ${status} x\r\n${heads}content-length: ${fromUtf8(body).length}\r\n\r\n${body}`
}
const GET_ANSWER =
  'HTTP/1.1 200 OK\r\nx-hush-length: 3\r\nx-hush-name: a%20b\r\nx-hush-type: t\r\ntrailer: x-hush-result\r\n' +
  'transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-hush-result: {"ok":true}\r\n\r\n'
const ANSWERS: readonly [number, string][] = [
  [0, httpAnswer(200, JSON.stringify(STATUS))],
  [1, httpAnswer(200, JSON.stringify({ id: 'ab', joined: true, successors: ['cd'], address: 'a:1' }))],
  [2, httpAnswer(200, '{"invite":"hush-invite:a"}')],
  [3, httpAnswer(200, '# HELP a b')],
  [4, httpAnswer(200, '{"ok":true}')],
  [5, httpAnswer(200, `${JSON.stringify(STORED)}\n`)],
  [6, GET_ANSWER],
  [7, httpAnswer(200, `${JSON.stringify(SUMMARY)}\n`)],
  [0, httpAnswer(503, JSON.stringify(ERROR))],
]
/** Which call u8, then what answers it. */
const controlAnswer: Target = {
  name: 'control-answer',
  covers: ['node/control/client.ts#connectControl', 'node/control/exchange.ts#exchange'],
  valid: fc.constantFrom(...ANSWERS).map(([call, answer]) => concatBytes(Uint8Array.of(call), fromUtf8(answer))),
  decode: async (bytes) => {
    const home = await startStrangeDaemon()
    reply = bytes.slice(1)
    return (CALLS[(bytes[0] ?? 0) % CALLS.length] as (typeof CALLS)[number])(home)
  },
  permitted: [ControlProtocolError, DaemonError, DaemonGoneError, NoDaemonError, ControlAccessError],
  // A daemon's own error is an answer too.
  mayRefuseValid: true,
  tokens: [
    ...jsonTokens,
    'x-hush-length: 0',
    '%ff',
    'HTTP/1.1 200',
    'HTTP/1.1 100 \r\n\r\n',
    '\r\n',
    '0\r\n\r\n',
    'content-length: ',
  ],
  runs: 60,
}

// --- the command line --------------------------------------------------------------------------------------

const WORDS =
  'put get check init up down status invite network testnet demo help create add --home --json --help --version -o - ' +
  '--force --public --name --type --join --listen --advertise --client --seeds --profile testnet production --nodes ' +
  '--dir --remove --detach --all x a:1,b:2 127.0.0.1:1 -- --no-x --home=h 8'
/** These start processes or end them: they are only asked what they are. */
const NEVER_RUN = new Set(['up', 'demo', 'add', 'down'])

/** One word a line. Paths stay in a folder of the test. */
function wordsOf(bytes: Uint8Array): string[] {
  const words = textOf(bytes)
    .split('\n')
    .slice(0, 12)
    .map((word) => word.replace(/[/\\~\0]|\.\./g, '').slice(0, 100))
  return words.flatMap((word) => (NEVER_RUN.has(word) ? [word, '--help'] : [word]))
}

const commandLine: Target = {
  name: 'command-line',
  covers: ['cli/run.ts#run'],
  valid: fc
    .array(fc.constantFrom(...WORDS.split(' '), ADDRESS, 'hush-invite:aaaa'), { maxLength: 6 })
    .map((words) => fromUtf8(words.join('\n'))),
  decode: async (bytes) => {
    const folder = folderIn('w')
    const caught = () => {
      const stream = new PassThrough()
      const told: Buffer[] = []
      stream.on('data', (data: Buffer) => told.push(data))
      return { stream, text: () => Buffer.concat(told).toString() }
    }
    const [out, err] = [caught(), caught()]
    const refuse = async () => {
      throw new NothingHere('not here')
    }
    const exit = await run(wordsOf(bytes), {
      stdin: Readable.from([]),
      stdout: out.stream,
      stderr: err.stream,
      env: {},
      nodeOptions: [],
      folder,
      userFolder: folder,
      temporaryFolder: folder,
      version: '1',
      self: { program: process.execPath, script: '' },
      onInterrupt: () => () => {},
      homes: refuse,
      daemon: refuse,
    })
    if (![0, 2, 3, 4, 5, 6].includes(exit))
      throw new FuzzFault(commandLine, `ended ${exit}: ${err.text().slice(0, 300)}`)
    if (exit !== 0 && err.text() === '') throw new FuzzFault(commandLine, `ended ${exit} without a word`)
    return exit === 0 ? out.text().length : undefined
  },
  permitted: [],
  mayRefuseValid: true,
  tokens: WORDS.split(' '),
  runs: 60,
}

export const controlTargets = [controlLines, controlRequest, controlAnswer, commandLine]
