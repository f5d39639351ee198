/**
 * A testnet of real processes for a test file, started and ended through the command line. Whatever
 * happens, end() leaves no process: what the command line misses is found by its home and killed.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectControl } from '../../../node/control/index.ts'
import { hush, type Ran } from './hush.ts'

export type Client = 'client-a' | 'client-b'

interface Member {
  readonly name: string
  readonly role: 'node' | 'client'
  readonly home: string
  /** 0 where none runs. */
  readonly pid: number
}

interface RingSight {
  readonly ring: { readonly ordered: boolean; readonly nodes: number; readonly faults: readonly string[] }
}

const POLL_EVERY_MS = 200
const RING_WAIT_MS = 60_000

export class Net {
  /** Everything of this net lies below; tests may put files here. */
  readonly folder: string
  readonly dir: string
  #files = 0

  private constructor(folder: string) {
    this.folder = folder
    this.dir = join(folder, 'net')
  }

  /** `words` are further options of `hush testnet up`. */
  static async start(nodeCount: number, ...words: readonly string[]): Promise<Net> {
    const net = new Net(await mkdtemp(join(tmpdir(), 'hush-e2e-')))
    const up = await hush(['testnet', 'up', '--nodes', String(nodeCount), '--dir', net.dir, ...words])
    if (up.code === 0) return net
    await net.end()
    throw new Error(`the testnet did not start: ${up.stderr}`)
  }

  async end(): Promise<void> {
    await hush(['testnet', 'down', '--dir', this.dir])
    const left = await processesOf(this.dir)
    for (const pid of left) kill(pid)
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: POLL_EVERY_MS })
    if (left.length > 0) throw new Error(`hush testnet down left ${left.length} processes`)
  }

  home(name: string): string {
    return join(this.dir, name)
  }

  /** Runs a command as the user of one of the homes. */
  as(name: string, words: readonly string[], input?: Uint8Array): Promise<Ran> {
    const home = ['--home', this.home(name)]
    return hush([...words, ...home], { folder: this.folder, ...(input && { input }) })
  }

  /** A path that no other file of this net has. */
  newPath(): string {
    return join(this.folder, `file-${this.#files++}`)
  }

  async newFile(bytes: Uint8Array): Promise<string> {
    const path = this.newPath()
    await writeFile(path, bytes)
    return path
  }

  /** With the process that each home names now, whoever started it. */
  async members(): Promise<readonly Member[]> {
    const { members } = JSON.parse(await readFile(join(this.dir, 'testnet.json'), 'utf8'))
    const pidOf = async (home: string) => Number(await readFile(join(home, 'daemon.pid'), 'utf8').catch(() => 0))
    return Promise.all(members.map(async (member: Member) => ({ ...member, pid: await pidOf(member.home) })))
  }

  /** Names of the nodes whose process runs. */
  async liveNodes(): Promise<string[]> {
    const members = await this.members()
    const live = []
    for (const { name, role, home, pid } of members)
      if (role === 'node' && (await isRunning(pid, home))) live.push(name)
    return live
  }

  /** kill -9. Resolves once the process is gone. */
  async killHard(name: string): Promise<void> {
    const member = (await this.members()).find((other) => other.name === name)
    if (member === undefined || !(await isRunning(member.pid, member.home))) throw new Error(`${name} is not up`)
    kill(member.pid)
    while (await isRunning(member.pid, member.home)) await sleep(POLL_EVERY_MS / 10)
  }

  /** Starts a member again in its home. */
  async restart(name: string): Promise<void> {
    const up = await this.as(name, ['up', '--detach'])
    if (up.code !== 0) throw new Error(`${name} did not start again: ${up.stderr}`)
  }

  /** Resolves once `hush testnet status` says that the running nodes are one ordered ring; with the time it took. */
  async oneRing(nodeCount: number): Promise<number> {
    const startMs = performance.now()
    for (;;) {
      const status = await hush(['testnet', 'status', '--dir', this.dir, '--json'])
      const { ring }: RingSight = JSON.parse(status.stdout.toString())
      if (status.code === 0 && ring.ordered && ring.nodes === nodeCount) return performance.now() - startMs
      if (performance.now() - startMs > RING_WAIT_MS) {
        throw new Error(`not one ring of ${nodeCount} after ${RING_WAIT_MS / 1000} s: ${JSON.stringify(ring)}`)
      }
      await sleep(POLL_EVERY_MS)
    }
  }

  /** Resolves once a client has a circuit: a guard that was killed must be replaced first. */
  async hasCircuits(client: Client): Promise<void> {
    const startMs = performance.now()
    for (;;) {
      const status = await connectControl(this.home(client))
        .status()
        .catch(() => undefined)
      if (status !== undefined && status.circuits.ready > 0) return
      if (performance.now() - startMs > RING_WAIT_MS) throw new Error(`${client} has no circuit`)
      await sleep(POLL_EVERY_MS)
    }
  }

  /** The sum of a counter over the nodes that answer. */
  async metric(name: string): Promise<number> {
    let sum = 0
    for (const node of await this.liveNodes()) {
      const text = await connectControl(this.home(node)).metrics()
      const value = new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1]
      if (value === undefined) throw new Error(`${node} has no metric ${name}`)
      sum += Number(value)
    }
    return sum
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // Gone already.
  }
}

/** Whether `pid` still is the daemon of `home`; a zombie counts as gone. */
async function isRunning(pid: number, home: string): Promise<boolean> {
  const words = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  return words.split('\0').includes(home)
}

/** Every process that has a path below `dir` among its words. */
async function processesOf(dir: string): Promise<number[]> {
  const found: number[] = []
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const words = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '')
    if (words.split('\0').some((word) => word.startsWith(`${dir}/`))) found.push(Number(entry))
  }
  return found
}
