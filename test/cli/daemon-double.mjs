/**
 * A small daemon for tests of the command line: it speaks the control API over a real socket, keeps
 * objects in memory and knows no network. Run as a script (`--home HOME up`) it is a process of its
 * own, which finds its place in a ring among the homes beside its own.
 *
 * Written from docs/spec/control.md, not from the client. Plain JavaScript, so that node runs it as it is.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const hash = (value) => createHash('sha256').update(value).digest('hex')

export async function serveDouble(home, options = {}) {
  const double = {
    objects: new Map(),
    requests: [],
    aborted: 0,
    kept: [],
    role: basename(home).startsWith('client') ? 'client' : 'node',
    onStop: () => undefined,
    ...options,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  const server = createServer((request, response) => answer(double, home, request, response))
  await new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(join(home, 'control.sock'), resolve)
  })
  return double
}

function answer(double, home, request, response) {
  const url = new URL(request.url, 'http://hush')
  double.requests.push({ method: request.method, path: url.pathname, query: Object.fromEntries(url.searchParams) })
  const reply = (value) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(value))
  }
  if (double.raw !== undefined) return response.end(double.raw)
  if (url.pathname === '/v1/status') return reply(status(double, home))
  if (url.pathname === '/v1/ring') return reply(ring(home))
  if (url.pathname === '/v1/invite') return reply({ invite: 'hush-invite:abc' })
  if (url.pathname === '/v1/metrics') return response.end('hush_up 1\n')
  if (url.pathname === '/v1/stop') return stop(double, request, reply)
  if (url.pathname === '/v1/objects') return put(double, url, request, response)
  const [, , room, encoded, what] = url.pathname.split('/')
  const address = decodeURIComponent(encoded ?? '')
  if (room === 'kept') return kept(double, request, address, what, response, reply)
  if (what === 'read-back') return response.end(`${JSON.stringify({ event: 'read-back', ...double.readBack })}\n`)
  if (what === 'repair') return repair(double, response)
  if (what === 'repair-key') return response.end(`${JSON.stringify({ event: 'made', repairKey: REPAIR_KEY })}\n`)
  const object = double.objects.get(address)
  if (!address.startsWith('hush:')) {
    return refuse(response, 400, { code: 'ERR_ADDRESS_SUM', kind: 'input', message: 'the address is mistyped' })
  }
  if (object === undefined) {
    return refuse(response, 404, {
      code: 'ERR_OBJECT_NOT_FOUND',
      kind: 'unavailable',
      message: 'not found by 8 of 8 keepers',
      hint: 'try again later',
    })
  }
  return what === 'check' ? check(double, response) : get(double, object, url, response)
}

function refuse(response, code, error) {
  response.writeHead(code, { 'content-type': 'application/json' })
  response.end(JSON.stringify(error))
}

async function stop(double, request, reply) {
  const pieces = []
  for await (const piece of request) pieces.push(piece)
  double.stopped = JSON.parse(Buffer.concat(pieces).toString())
  reply({ ok: true })
  double.onStop()
}

async function put(double, url, request, response) {
  if (double.putRefusal !== undefined) return refuse(response, 503, double.putRefusal)
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  const line = (value) => response.write(`${JSON.stringify(value)}\n`)
  const pieces = []
  let readBytes = 0
  try {
    for await (const piece of request) {
      pieces.push(piece)
      readBytes += piece.length
      line({ event: 'progress', readBytes, storedShards: 0 })
    }
  } catch {
    double.aborted++
    return
  }
  if (double.putError !== undefined) {
    line({ event: 'error', ...double.putError })
    return response.end()
  }
  const bytes = Buffer.concat(pieces)
  const address = `hush:${hash(bytes).slice(0, 20)}`
  const name = url.searchParams.get('name') ?? undefined
  const type = url.searchParams.get('type') ?? undefined
  double.objects.set(address, { bytes, name, type })
  const pending = double.pending ?? 0
  const handed = double.handed ?? 0
  const event = {
    event: 'stored',
    address,
    lengthBytes: bytes.length,
    shards: 22,
    stored: 22 - pending - handed,
    handed,
    pending,
    stripes: 1,
  }
  response.end(`${JSON.stringify(event)}\n`)
}

/** `breakAt`: the byte before which the body ends; `breakWith`: 'cut', or the error of the trailer. */
function get(double, object, url, response) {
  const from = Number(url.searchParams.get('from') ?? 0)
  if (from > object.bytes.length) {
    return refuse(response, 416, { code: 'ERR_BAD_RANGE', kind: 'input', message: 'starts past the end' })
  }
  response.writeHead(200, {
    trailer: 'x-hush-result',
    'x-hush-length': String(object.bytes.length),
    ...(object.name !== undefined && { 'x-hush-name': encodeURIComponent(object.name) }),
    ...(object.type !== undefined && { 'x-hush-type': encodeURIComponent(object.type) }),
  })
  const { breakAt, breakWith } = double
  if (breakAt === undefined || breakAt < from) {
    response.write(object.bytes.subarray(from))
    response.addTrailers({ 'x-hush-result': JSON.stringify({ ok: true }) })
    return response.end()
  }
  response.write(object.bytes.subarray(from, breakAt))
  if (breakWith === 'cut') return setTimeout(() => response.destroy(), 50)
  if (breakWith === 'hang') return undefined
  response.addTrailers({ 'x-hush-result': JSON.stringify(breakWith) })
  return response.end()
}

function check(double, response) {
  const lost = double.lost === true
  const stripe = (number, reachable, health) =>
    `${JSON.stringify({ event: 'stripe', stripe: number, level: 0, needed: 8, total: 22, reachable, health })}\n`
  response.write(stripe(0, 22, 'perfect'))
  response.write(lost ? stripe(1, 7, 'lost') : stripe(1, 19, 'good'))
  const health = lost ? 'lost' : 'good'
  response.end(`${JSON.stringify({ event: 'summary', stripes: 2, shards: 44, reachable: lost ? 29 : 41, health })}\n`)
}

const REPAIR_KEY = 'hush-repair:abcdef'

/** `repair`: for each stripe what is missing, rebuilt and pending of 22 shards, 8 needed. */
function repair(double, response) {
  const sum = { stripes: 0, shards: 0, missing: 0, rebuilt: 0, pending: 0, renewed: 0, movedBytes: 0 }
  let health = 'perfect'
  for (const [missing, rebuilt, pending] of double.repair ?? [[0, 0, 0]]) {
    const counts = { missing, rebuilt, pending, renewed: 22 - missing, movedBytes: 63_488 * (8 + rebuilt) }
    const place = { part: 'object', stripe: sum.stripes, level: 0, needed: 8, total: 22 }
    response.write(`${JSON.stringify({ event: 'stripe', ...place, ...counts })}\n`)
    sum.stripes += 1
    sum.shards += 22
    for (const name of Object.keys(counts)) sum[name] += counts[name]
    if (missing - rebuilt > 14) health = 'lost'
    else if (missing > rebuilt && health !== 'lost') health = 'good'
  }
  response.end(`${JSON.stringify({ event: 'summary', ...sum, health })}\n`)
}

function kept(double, request, name, what, response, reply) {
  if (request.method === 'GET') return reply({ objects: double.kept })
  if (what !== 'stop') {
    const one = {
      id: hash(name).slice(0, 16),
      repairKey: REPAIR_KEY,
      addedMs: 1_700_000_000_000,
      nextMs: 1_700_300_000_000,
    }
    double.kept.push(one)
    response.write(`${JSON.stringify({ event: 'progress', readBytes: 100, storedShards: 3 })}\n`)
    return response.end(`${JSON.stringify({ event: 'kept', ...one })}\n`)
  }
  const found = double.kept.find(({ id }) => id === name || id === hash(name).slice(0, 16))
  if (found === undefined) {
    return refuse(response, 400, {
      code: 'ERR_NOT_KEPT',
      kind: 'input',
      message: 'this home does not keep that object',
    })
  }
  double.kept.splice(double.kept.indexOf(found), 1)
  return reply({ id: found.id })
}

const isAlive = (home) => {
  try {
    process.kill(Number(readFileSync(join(home, 'daemon.pid'), 'utf8')), 0)
    return true
  } catch {
    return false
  }
}

function siblings(home) {
  const folder = dirname(home)
  const homes = readdirSync(folder).filter((name) => name.startsWith('node-'))
  return homes.map((name) => join(folder, name)).filter(isAlive)
}

function ring(home) {
  const ids = siblings(home).map(hash).sort()
  const at = ids.indexOf(hash(home))
  const successors = [...ids.slice(at + 1), ...ids.slice(0, at)].slice(0, 6)
  return { id: hash(home), joined: true, predecessor: ids.at(at - 1), successors, address: '127.0.0.1:4100' }
}

function status(double, home) {
  const members = siblings(home).length
  const node = {
    id: hash(home),
    address: '127.0.0.1:4100',
    ring: { predecessor: 'aa'.repeat(8), successors: ['bb'.repeat(8)] },
    joined: true,
    shards: 3,
    storedBytes: 190_464,
    quotaBytes: 2 ** 30,
    cacheBytes: 0,
    corruptDropped: 0,
  }
  return {
    version: '9.9.9',
    protocol: 1,
    pid: process.pid,
    role: double.role,
    network: { id: 'cd'.repeat(8), profile: 'testnet' },
    ...(double.role === 'node' && { node }),
    view: { members, reachable: members },
    circuits: { ready: 5, building: 0, gateways: 5, wanted: 5 },
    guard: { id: 'abcdef01', since: 1_700_000_000_000 },
    links: 7,
    pending: { shards: double.pending ?? 0 },
    ...(double.kept.length > 0 && {
      keeping: { objects: double.kept.length, worst: 'weak', nextMs: 1_700_300_000_000 },
    }),
    uptimeSeconds: 61,
    memory: { rssBytes: 50 * 2 ** 20 },
    aFieldOfLater: true,
  }
}

/**
 * HUSH_DOUBLE=shared: the doubles of one folder keep objects in files there, so that one gets what
 * another was given; =corrupt: with one bit of them wrong.
 */
function sharedObjects(home) {
  const mode = process.env.HUSH_DOUBLE
  if (mode !== 'shared' && mode !== 'corrupt') return new Map()
  const path = (address) => join(dirname(home), `object-${hash(address)}`)
  return {
    set: (address, { bytes }) => writeFileSync(path(address), bytes),
    get: (address) => {
      if (!existsSync(path(address))) return undefined
      const bytes = readFileSync(path(address))
      if (mode === 'corrupt') bytes[bytes.length >> 1] ^= 1
      return { bytes }
    },
  }
}

/** docs/spec/home.md §2, without looking who else is there. */
function lock(home) {
  let start = '0'
  if (process.platform === 'linux') {
    const fields = readFileSync('/proc/self/stat', 'latin1').split(') ').at(-1).split(' ')
    start = `${fields[19]}-${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').slice(0, 8)}`
  }
  mkdirSync(join(home, 'lock'), { recursive: true, mode: 0o700 })
  writeFileSync(join(home, 'lock', `${process.pid}-${start}`), '')
}

async function runAsScript() {
  const home = process.argv[process.argv.indexOf('--home') + 1]
  if (existsSync(join(home, 'fail'))) {
    process.stderr.write('error: port in use\n')
    process.exit(6)
  }
  if (existsSync(join(home, 'deaf'))) process.on('SIGTERM', () => undefined)
  writeFileSync(join(home, 'daemon.pid'), String(process.pid))
  lock(home)
  rmSync(join(home, 'control.sock'), { force: true })
  const end = () => {
    if (!existsSync(join(home, 'deaf'))) process.exit(0)
  }
  await serveDouble(home, { objects: sharedObjects(home), onStop: () => setTimeout(end, 50) })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await runAsScript()
