/**
 * Links over Tor, on this machine alone: `node scripts/tor.mjs`, after `npm run build`; needs Debian's package
 * `tor`. It makes a private Tor network (three authorities that are relays and exits as well, and two clients),
 * a testnet whose nodes and clients all have `proxy` set to one of them, puts a file and gets it back, and looks
 * at every TCP connection of the daemons: one that does not end at Tor, or come from it, is a fault. Ends all that
 * it started. docs/spec/safety.md §3
 */
import { execFileSync, spawn } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url))
const NODES = Number(process.env.NODES ?? 8)
const FILE_SIZE = Number(process.env.FILE_SIZE ?? 300_000)
const AUTHORITIES = 3
const WAIT_MS = 240_000
const BASE_PORT = 15_000
const ports = (index) => ({ or: BASE_PORT + index, dir: BASE_PORT + 100 + index, socks: BASE_PORT + 200 + index })

/** Short intervals, so that there is a consensus soon. */
const VOTING = [
  'V3AuthVotingInterval 20 seconds',
  'V3AuthVoteDelay 4 seconds',
  'V3AuthDistDelay 4 seconds',
  'TestingV3AuthInitialVotingInterval 20 seconds',
  'TestingV3AuthInitialVoteDelay 4 seconds',
  'TestingV3AuthInitialDistDelay 4 seconds',
]

const folder = mkdtempSync(join(tmpdir(), 'hush-tor-'))
const net = join(folder, 'net')
const tors = []
let status = 1
try {
  const socks = await startTor()
  await startTestnet(socks)
  await putAndGet()
  checkConnections(socks)
  status = 0
} finally {
  if (existsSync(net)) hush(['testnet', 'down', '--dir', net])
  for (const tor of tors) tor.kill('SIGKILL')
  if (process.env.KEEP === undefined) rmSync(folder, { recursive: true, force: true })
}
process.exit(status)

// --- Tor -----------------------------------------------------------------------------------------

async function startTor() {
  const names = Array.from({ length: AUTHORITIES }, (_, index) => `authority${index}`)
  const lines = names.map(makeAuthority)
  const common = ['TestingTorNetwork 1', 'SafeLogging 0', ...lines, ...VOTING]
  for (const [index, name] of names.entries()) startOne(name, [...common, ...authorityLines(index, name)])
  const clients = ['client-a', 'client-b'].map((name, index) => {
    const { socks } = ports(index)
    return { name, socks, file: startOne(name, [...common, `SocksPort 127.0.0.1:${socks}`, 'UseEntryGuards 0']) }
  })
  const startMs = performance.now()
  for (const { file } of clients)
    await until('Tor has circuits', () => existsSync(file) && readFileSync(file, 'utf8').includes('Bootstrapped 100%'))
  console.log(`a private Tor network of ${AUTHORITIES} relays is up after ${seconds(startMs)}`)
  return clients.map(({ socks }) => socks)
}

function authorityLines(index, name) {
  const { or, dir } = ports(index)
  return [
    `Nickname ${name}`,
    'AuthoritativeDirectory 1',
    'V3AuthoritativeDirectory 1',
    'ContactInfo nobody@example.com',
    'Address 127.0.0.1',
    `ORPort 127.0.0.1:${or}`,
    `DirPort 127.0.0.1:${dir}`,
    'SocksPort 0',
    'ExitRelay 1',
    'ExitPolicy accept *:*',
    'ExitPolicyRejectLocalInterfaces 0',
    'TestingDirAuthVoteExit *',
    'TestingDirAuthVoteGuard *',
    'TestingMinExitFlagThreshold 0',
  ]
}

/** Makes an authority's keys; its line for everybody's settings. */
function makeAuthority(name, index) {
  const { or, dir } = ports(index)
  const data = join(folder, name)
  const keys = join(data, 'keys')
  mkdirSync(keys, { recursive: true, mode: 0o700 })
  const certificate = join(keys, 'authority_certificate')
  const words = ['--create-identity-key', '--passphrase-fd', '0', '-m', '12', '-a', `127.0.0.1:${dir}`]
  const files = [
    '-i',
    join(keys, 'authority_identity_key'),
    '-s',
    join(keys, 'authority_signing_key'),
    '-c',
    certificate,
  ]
  execFileSync('tor-gencert', [...words, ...files], { input: 'pass\n', stdio: ['pipe', 'ignore', 'ignore'] })
  const v3ident = /^fingerprint ([0-9A-F]{40})$/m.exec(readFileSync(certificate, 'utf8'))?.[1]
  const dummy = `dummy 127.0.0.1:1 ${'F'.repeat(40)}`
  const ask = [
    '--ignore-missing-torrc',
    '-f',
    join(data, 'none'),
    '--list-fingerprint',
    '--orport',
    '1',
    '--nickname',
    name,
  ]
  const said = execFileSync('tor', [...ask, '--dirauthority', dummy, '--datadirectory', data], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const fingerprint = said.toString().trim().split('\n').at(-1).split(' ').slice(1).join('')
  return `DirAuthority ${name} orport=${or} no-v2 v3ident=${v3ident} 127.0.0.1:${dir} ${fingerprint}`
}

function startOne(name, lines) {
  const data = join(folder, name)
  mkdirSync(data, { recursive: true, mode: 0o700 })
  const log = join(data, 'log')
  writeFileSync(join(data, 'torrc'), [...lines, `DataDirectory ${data}`, `Log notice file ${log}`, ''].join('\n'))
  const tor = spawn('tor', ['-f', join(data, 'torrc')], { stdio: 'ignore' })
  tors.push(tor)
  return log
}

// --- the testnet ---------------------------------------------------------------------------------

/** Made without a proxy, so that there are homes; started anew with one. */
async function startTestnet(socks) {
  must(hush(['testnet', 'up', '--nodes', String(NODES), '--dir', net]))
  must(hush(['testnet', 'down', '--dir', net]))
  for (const [index, { home }] of members().entries()) {
    const file = join(home, 'config.json')
    const proxy = `socks5://127.0.0.1:${socks[index % socks.length]}`
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), proxy, proxyIsolation: true }))
  }
  const startMs = performance.now()
  must(hush(['testnet', 'up', '--dir', net]))
  console.log(`${NODES} nodes and 2 clients, all links over Tor, are one ring after ${seconds(startMs)}`)
}

async function putAndGet() {
  const bytes = Buffer.from(Array.from({ length: FILE_SIZE }, (_, index) => (index * 7919) % 251))
  const file = join(folder, 'file')
  writeFileSync(file, bytes)
  let startMs = performance.now()
  const address = must(hush(['put', file, '--home', join(net, 'client-a')])).trim()
  console.log(`put ${FILE_SIZE} bytes in ${seconds(startMs)}`)
  startMs = performance.now()
  must(hush(['get', address, '-o', join(folder, 'copy'), '--home', join(net, 'client-b')]))
  if (!readFileSync(join(folder, 'copy')).equals(bytes)) throw new Error('what came back is not what was put')
  console.log(`got it back, the same, in ${seconds(startMs)}`)
}

/** Every connection of every daemon: to a proxy; or taken, from one of Tor's processes. */
function checkConnections(socks) {
  const table = readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1).filter(Boolean).map(readRow)
  const owners = new Map()
  const daemons = members()
  for (const { pid, name } of daemons) for (const inode of inodesOf(pid)) owners.set(inode, name)
  const torInodes = new Set(tors.flatMap(({ pid }) => inodesOf(pid)))
  const counts = { toProxy: 0, fromTor: 0 }
  const faults = []
  for (const row of table.filter(({ isOpen, inode }) => isOpen && owners.has(inode))) {
    if (row.remote.startsWith('127.0.0.1:') && socks.includes(Number(row.remote.split(':')[1]))) counts.toProxy++
    else {
      const other = table.find(({ local, remote }) => local === row.remote && remote === row.local)
      if (other !== undefined && torInodes.has(other.inode)) counts.fromTor++
      else faults.push(`${owners.get(row.inode)}: ${row.local} - ${row.remote}`)
    }
  }
  console.log(
    `connections of ${daemons.length} daemons: ${counts.toProxy} to Tor, ${counts.fromTor} from Tor, ${faults.length} past it`,
  )
  if (faults.length > 0 || counts.toProxy === 0) throw new Error(`past the proxy: ${faults.join('; ')}`)
}

function readRow(line) {
  const [, local, remote, state, , , , , , inode] = line.trim().split(/\s+/)
  return { local: readable(local), remote: readable(remote), isOpen: state === '01', inode }
}

/** "0100007F:1F90" is 127.0.0.1:8080. */
function readable(end) {
  const [host, port] = end.split(':')
  return `${host
    .match(/../g)
    .reverse()
    .map((hex) => Number.parseInt(hex, 16))
    .join('.')}:${Number.parseInt(port, 16)}`
}

function inodesOf(pid) {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? []
    } catch {
      return []
    }
  })
}

// --- small things --------------------------------------------------------------------------------

function members() {
  return JSON.parse(readFileSync(join(net, 'testnet.json'), 'utf8')).members
}

function hush(words) {
  try {
    return {
      code: 0,
      out: execFileSync(process.execPath, [MAIN, ...words], { stdio: ['ignore', 'pipe', 'pipe'] }).toString(),
    }
  } catch (error) {
    return { code: error.status, out: String(error.stderr) }
  }
}

function must({ code, out }) {
  if (code !== 0) throw new Error(`exit code ${code}: ${out}`)
  return out
}

async function until(what, isSo) {
  const startMs = performance.now()
  while (!isSo()) {
    if (performance.now() - startMs > WAIT_MS) throw new Error(`still waiting: ${what}`)
    await sleep(500)
  }
}

function seconds(startMs) {
  return `${((performance.now() - startMs) / 1_000).toFixed(1)} s`
}
