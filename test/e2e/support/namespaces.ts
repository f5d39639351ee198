/**
 * A network namespace of Linux for one client: nothing is there but loopback, and a sink that takes what would
 * leave for anywhere. The nodes that it is to reach stand there as listeners at their own addresses, which carry
 * bytes to the real ones through Unix sockets. Every packet can be recorded. Needs root, `ip`, `unshare`,
 * `nsenter` and `tcpdump`; all is gone when the holder ends.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const POLL_MS = 50
/** Packets wait in tcpdump before they are in the file. */
const DRAIN_MS = 1_000
/** The kernels of small machines have one of them only. */
const SINKS = ['dummy', 'ifb']

/** Carries what comes to ADDRESS on to the socket of that number; runs inside. */
const CARRIER = `
  const { createServer, connect } = require('node:net')
  let open = 0
  const places = process.argv.slice(2)
  for (const [index, place] of places.entries()) {
    const [host, port] = place.split(':')
    createServer((from) => {
      const to = connect(process.argv[1] + '/' + index)
      from.on('error', () => to.destroy()).on('close', () => to.destroy())
      to.on('error', () => from.destroy()).on('close', () => from.destroy())
      from.pipe(to).pipe(from)
    }).listen(Number(port), host, () => ++open === places.length && console.log('ready'))
  }
`

/** What the namespace's kernel has counted. */
export interface Counts {
  /** Datagrams of UDP, the way to a resolver. */
  readonly datagrams: number
  /** Packets that had nowhere to go. */
  readonly noRoute: number
}

/** Why a namespace cannot be made here; undefined when it can. */
export function whyNotHere(): string | undefined {
  try {
    execFileSync('ip', ['-V'], { stdio: 'pipe' })
    execFileSync('unshare', ['-n', 'sh', '-c', `${makeSink()} && tcpdump --version`], { stdio: 'pipe' })
    return undefined
  } catch (error) {
    return `no network namespace can be made: ${String((error as { stderr?: Buffer }).stderr ?? error).trim()}`
  }
}

const makeSink = () => SINKS.map((kind) => `ip link add sink type ${kind} 2>/dev/null`).join(' || ')

export class Namespace {
  readonly #folder: string
  readonly #holder: ChildProcess
  #carrier: ChildProcess | undefined
  #servers: Server[] = []
  #capture: { process: ChildProcess; file: string } | undefined
  #count = 0

  private constructor(folder: string, holder: ChildProcess) {
    this.#folder = folder
    this.#holder = holder
  }

  /** Short paths only in `folder`: sockets lie there. */
  static async make(folder: string): Promise<Namespace> {
    const holder = spawn('unshare', ['-n', 'sh', '-c', 'echo ready; exec sleep infinity'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await said(holder)
    const made = new Namespace(folder, holder)
    const steps = [
      'ip link set lo up',
      makeSink(),
      'ip link set sink arp off up',
      'ip addr add 10.255.0.1/32 dev sink',
      'ip route add default dev sink src 10.255.0.1',
      'ip -6 addr add fd00::2/64 dev sink nodad',
      'ip -6 route add default dev sink',
    ]
    run([...made.inside, 'sh', '-ec', steps.join('\n')])
    return made
  }

  /** Words before a command that is to run inside. */
  get inside(): readonly string[] {
    return ['nsenter', '-t', String(this.#holder.pid), '-n']
  }

  /** From now on these nodes can be reached from inside, and no others. */
  async allow(addresses: readonly string[]): Promise<void> {
    await this.#closeCarrier()
    const folder = join(this.#folder, `way-${this.#count++}`)
    run(['mkdir', folder])
    for (const [index, address] of addresses.entries()) {
      const [host = '', port] = address.split(':')
      const server = createServer((from) => {
        const to = connect({ host, port: Number(port) })
        from.on('error', () => to.destroy()).on('close', () => to.destroy())
        to.on('error', () => from.destroy()).on('close', () => from.destroy())
        from.pipe(to).pipe(from)
      })
      server.listen(join(folder, String(index)))
      await once(server, 'listening')
      this.#servers.push(server)
    }
    const words = [...this.inside.slice(1), process.execPath, '-e', CARRIER, folder, ...addresses]
    this.#carrier = spawn('nsenter', words, { stdio: ['ignore', 'pipe', 'inherit'] })
    await said(this.#carrier)
  }

  counts(): Counts {
    const text = run([...this.inside, 'cat', '/proc/net/snmp', '/proc/net/snmp6'])
    const column = (row: string, name: string): number => {
      const [names, values] = text.split('\n').filter((line) => line.startsWith(`${row}: `))
      return Number(values?.split(' ')[names?.split(' ').indexOf(name) ?? -1])
    }
    const single = (name: string) => Number(new RegExp(`^${name}\\s+(\\d+)$`, 'm').exec(text)?.[1])
    return {
      datagrams: column('Udp', 'OutDatagrams') + single('Udp6OutDatagrams'),
      noRoute: column('Ip', 'OutNoRoutes') + single('Ip6OutNoRoutes'),
    }
  }

  /** Records all packets, whatever the device. */
  async record(): Promise<void> {
    const file = join(this.#folder, `packets-${this.#count++}`)
    const words = [
      ...this.inside.slice(1),
      'tcpdump',
      '-i',
      'any',
      '-nn',
      '-U',
      '-B',
      '65536',
      '-s',
      '128',
      '-Z',
      'root',
    ]
    const capture = spawn('nsenter', [...words, '-w', file], { stdio: ['ignore', 'ignore', 'pipe'] })
    this.#capture = { process: capture, file }
    let told = ''
    capture.stderr?.on('data', (bytes: Buffer) => {
      told += bytes.toString()
    })
    while (!told.includes('listening on')) {
      if (capture.exitCode !== null) throw new Error(`tcpdump: ${told}`)
      await sleep(POLL_MS)
    }
  }

  /**
   * What was sent since `record`: connections of TCP that were begun, and every packet of any other kind, as
   * "tcp 127.3.0.1:4100". Not counted is what the kernel says of its own accord: groups (IGMP) and neighbours
   * (ICMPv6).
   */
  async sentTo(): Promise<string[]> {
    if (this.#capture === undefined) throw new Error('nothing is recorded')
    const { process: capture, file } = this.#capture
    this.#capture = undefined
    await sleep(DRAIN_MS)
    const ended = once(capture, 'close')
    capture.kill('SIGINT')
    await ended
    const begun = '(tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn)'
    const filter = `(ip and tcp and ${begun}) or (ip6 and tcp) or (not tcp and not igmp and not icmp6)`
    const found = new Set<string>()
    for (const line of run(['tcpdump', '-nn', '-q', '-t', '-r', file, filter]).split('\n')) {
      const [, to, kind] = /(?:IP6?|ARP\S*) .*> (\S+): (\w+)/.exec(line) ?? []
      if (to !== undefined) found.add(`${kind?.toLowerCase()} ${to.replace(/\.(\d+)$/, ':$1')}`)
      else if (line !== '') found.add(line)
    }
    return [...found].sort()
  }

  async end(): Promise<void> {
    this.#capture?.process.kill('SIGKILL')
    await this.#closeCarrier()
    this.#holder.kill('SIGKILL')
  }

  async #closeCarrier(): Promise<void> {
    this.#carrier?.kill('SIGKILL')
    for (const server of this.#servers.splice(0)) server.close()
    await sleep(POLL_MS)
  }
}

function run([program = '', ...words]: readonly string[]): string {
  return execFileSync(program, words, { stdio: ['ignore', 'pipe', 'pipe'] }).toString()
}

async function said(child: ChildProcess): Promise<void> {
  if (child.stdout !== null) await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])
  if (child.exitCode !== null) throw new Error('a process of the namespace has ended')
}
