/**
 * A testnet of real processes for a bench: started and ended by the `hush` command as built, its processes
 * watched through /proc. Linux only.
 */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CELL_SIZE } from '../../core/index.ts'
import { connectControl } from '../../node/control/index.ts'

const COMMAND = 'dist/cli/main.js'
/** USER_HZ, the unit of /proc/PID/stat: 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100
const SAMPLE_EVERY_MS = 250
const KIB_PER_MIB = 1_024

interface Member {
  readonly name: string
  readonly role: 'node' | 'client'
  readonly home: string
  readonly pid: number
}

/** RssAnon in MiB. */
export interface Memory {
  readonly clientA: number
  readonly clientB: number
  readonly largestNode: number
}

export class BenchTestnet {
  readonly #scratch: string
  readonly #members: readonly Member[]

  private constructor(scratch: string, members: readonly Member[]) {
    this.#scratch = scratch
    this.#members = members
  }

  static async start(
    { nodes, hasVaults }: { readonly nodes: number; readonly hasVaults: boolean },
    signal: AbortSignal,
  ): Promise<BenchTestnet> {
    if (!existsSync(COMMAND)) throw new Error('run npm run build first')
    const scratch = await mkdtemp(join(tmpdir(), 'hush-bench-'))
    const folder = join(scratch, 'net')
    try {
      const words = hasVaults ? [] : ['--no-vaults']
      await hush(['testnet', 'up', '--nodes', String(nodes), '--dir', folder, ...words], signal)
      const record = JSON.parse(readFileSync(join(folder, 'testnet.json'), 'utf8')) as { members: Member[] }
      return new BenchTestnet(scratch, record.members)
    } catch (error) {
      await clear(scratch)
      throw error
    }
  }

  homeOf(name: 'client-a' | 'client-b'): string {
    return this.#member(name).home
  }

  /** CPU time of all its processes so far, in seconds, to 10 ms each. */
  cpuSeconds(): number {
    return this.#members.reduce((sum, { pid }) => sum + cpuTicks(pid), 0) / TICKS_PER_SECOND
  }

  /** What all its processes have sent each other so far, in cells, times a cell's size. */
  async linkBytes(): Promise<number> {
    const sent = await Promise.all(
      this.#members.map(async ({ name, home }) => {
        const found = /^hush_cells_out_total (\d+)$/m.exec(await connectControl(home).metrics())
        if (found === null) throw new Error(`${name} does not say how many cells it sent`)
        return Number(found[1])
      }),
    )
    return sent.reduce((sum, cells) => sum + cells, 0) * CELL_SIZE
  }

  memory(): Memory {
    const nodes = this.#members.filter(({ role }) => role === 'node')
    return {
      clientA: rssAnonMib(this.#member('client-a').pid),
      clientB: rssAnonMib(this.#member('client-b').pid),
      largestNode: Math.max(...nodes.map(({ pid }) => rssAnonMib(pid))),
    }
  }

  /** Looks at the memory now and then until the returned function is called; that gives the highest seen. */
  watchMemory(): () => Memory {
    let peak = this.memory()
    const look = () => {
      const now = this.memory()
      peak = {
        clientA: Math.max(peak.clientA, now.clientA),
        clientB: Math.max(peak.clientB, now.clientB),
        largestNode: Math.max(peak.largestNode, now.largestNode),
      }
    }
    const timer = setInterval(look, SAMPLE_EVERY_MS)
    return () => {
      clearInterval(timer)
      look()
      return peak
    }
  }

  /** Ends every process and removes what they stored. */
  stop(): Promise<void> {
    return clear(this.#scratch)
  }

  #member(name: string): Member {
    const found = this.#members.find((member) => member.name === name)
    if (found === undefined) throw new Error(`the testnet has no ${name}`)
    return found
  }
}

async function clear(scratch: string): Promise<void> {
  const folder = join(scratch, 'net')
  if (existsSync(join(folder, 'testnet.json'))) await hush(['testnet', 'down', '--dir', folder])
  await rm(scratch, { recursive: true, force: true })
}

/** Runs the command; its words go to stderr. A signal passes on as SIGINT, and the command ends in its own time. */
function hush(words: readonly string[], signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted()
  // A group of its own: Ctrl-C is told to the bench alone.
  const child = spawn(process.execPath, [COMMAND, ...words], { detached: true, stdio: ['ignore', 'ignore', 'inherit'] })
  const onAbort = () => child.kill('SIGINT')
  signal?.addEventListener('abort', onAbort)
  return new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => {
      if (code === 0) resolve()
      else reject(signal?.aborted === true ? signal.reason : new Error(`hush ${words.join(' ')} ended with ${code}`))
    })
  }).finally(() => signal?.removeEventListener('abort', onAbort))
}

/** User and system time; throws when the process has ended. man 5 proc: the second field, a name in brackets, may hold anything. */
function cpuTicks(pid: number): number {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch (cause) {
    throw new Error('a process of the testnet has ended, or this is not Linux', { cause })
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}

/** Memory of its own: pages mapped from the shard store do not count. 0 when the process has ended. */
function rssAnonMib(pid: number): number {
  try {
    const found = /^RssAnon:\s*([0-9]+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
    return Number(found?.[1] ?? 0) / KIB_PER_MIB
  } catch {
    return 0
  }
}
