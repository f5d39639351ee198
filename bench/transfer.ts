/**
 * How fast does a file go into the network and come back, and what does it cost? `npm run bench -- transfer
 * [--nodes N] [--rounds R] [--sizes BYTES,BYTES…] [--no-vaults]` starts a testnet and prints JSON, medians and each
 * round; without vaults keepers hold the bytes themselves.
 * In a round, client-a puts fresh bytes, client-b gets and compares them, and the same number of bytes goes
 * through the bare chain, so that a slow spell of the machine hits all three. Nothing is warmed up.
 *
 * Put and get go over the control API out of this process, with the client that `hush put` and `hush get`
 * use, in pieces of the same size: they leave out the start of a process (about 0.3 s) and the file's
 * reading and writing, and this process's CPU time counts in place of the command's.
 *
 * CPU time is that of all processes from the start of a put or get until SETTLE_MS after its end, since some
 * work trails behind; what the network does when nobody asks is in it, and left out in `…LessIdle` and in the
 * ratios to the chain. Speed and CPU of the chain are to be read beside `shardBytesPerByte`: a put moves 2.75 bytes of
 * shards per byte of the file, a get 1.375, the chain 1.
 */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { connectControl } from '../node/control/index.ts'
import { CHAIN_LINKS, Chain, type ChainRun, HOP_WORD, runHop } from './transfer/chain.ts'
import { BenchTestnet, type Memory } from './transfer/testnet.ts'

const MIB = 1024 * 1024
const SIZES = [64 * 1024, MIB, 10 * MIB, 100 * MIB]
const SIZE_MAX = 1024 * MIB
/** As `hush put` reads files. */
const PIECE_SIZE = 256 * 1024
const SETTLE_MS = 500
const IDLE_MS = 5_000
/** A full stripe has 22 shards of an eighth of its bytes; a get asks for 8 and 3 in reserve. Small files move more. */
const SHARD_BYTES_PER_BYTE = { put: 2.75, get: 1.375 }
const NOTES = [
  'chain: the same bytes once through 7 processes on 6 TLS WebSocket links, whole cells, without onion, checks or disk',
  'shardBytesPerByte: what full stripes move per byte of the file, roots left out; small files move more; the chain 1',
  'ratioToChain: of each round, then the median; cpu is LessIdle over that of the chain; perShardByte allows for the above',
  'LessIdle: without what the network uses when nobody asks; at 64 KiB the clock of CPU time (10 ms) is coarse',
  'rssAnonPeakMib: highest seen, four times a second',
]

interface Wish {
  readonly nodes: number
  readonly hasVaults: boolean
  readonly rounds: number
  readonly sizes: readonly number[]
}

/** One put or get. */
interface Move {
  readonly tookMs: number
  readonly cpuSeconds: number
  readonly cpuSecondsLessIdle: number
  /** Over all links; those of a network that nobody asks left out. */
  readonly linkBytes: number
}

interface Round {
  readonly put: Move & { readonly pendingShards: number }
  readonly get: Move & { readonly firstByteMs: number }
  readonly chain: ChainRun
  readonly memory: Memory
}

class Bench {
  readonly #testnet: BenchTestnet
  readonly #chain: Chain
  readonly #signal: AbortSignal
  /** CPU seconds per second of a network that nobody asks. */
  #idleCpu = 0
  /** Bytes over links per second of a network that nobody asks. */
  #idleBytes = 0

  constructor(testnet: BenchTestnet, chain: Chain, signal: AbortSignal) {
    this.#testnet = testnet
    this.#chain = chain
    this.#signal = signal
  }

  async idle(): Promise<{ cpuSecondsPerSecond: number; linkBytesPerSecond: number; rssAnonMib: Memory }> {
    const beforeBytes = await this.#testnet.linkBytes()
    const beforeSeconds = this.#testnet.cpuSeconds()
    const startMs = performance.now()
    await sleep(IDLE_MS, undefined, { signal: this.#signal })
    const tookSeconds = (performance.now() - startMs) / 1_000
    this.#idleCpu = (this.#testnet.cpuSeconds() - beforeSeconds) / tookSeconds
    this.#idleBytes = ((await this.#testnet.linkBytes()) - beforeBytes) / tookSeconds
    return {
      cpuSecondsPerSecond: rounded(this.#idleCpu),
      linkBytesPerSecond: rounded(this.#idleBytes),
      rssAnonMib: roundedMemory(this.#testnet.memory()),
    }
  }

  async round(bytes: Uint8Array): Promise<Round> {
    const signal = this.#signal
    const memoryPeak = this.#testnet.watchMemory()
    try {
      const put = await this.#move(async () => {
        const control = connectControl(this.#testnet.homeOf('client-a'))
        return control.put(piecesOf(bytes), { kind: 'private', sizeBytes: bytes.length, signal })
      })
      const get = await this.#move(() => this.#get(put.result.address, bytes))
      const chain = await this.#chain.send(bytes.length)
      return {
        put: { ...put.move, pendingShards: put.result.pending },
        get: { ...get.move, firstByteMs: get.result },
        chain,
        memory: memoryPeak(),
      }
    } finally {
      memoryPeak()
    }
  }

  /** The time from the request to the first byte. */
  async #get(address: string, bytes: Uint8Array): Promise<number> {
    const startMs = performance.now()
    const control = connectControl(this.#testnet.homeOf('client-b'))
    const object = await control.get(address, { signal: this.#signal })
    let firstByteMs: number | undefined
    let at = 0
    for await (const piece of object.body) {
      firstByteMs ??= performance.now() - startMs
      if (Buffer.compare(piece, bytes.subarray(at, at + piece.length)) !== 0) throw new Error('other bytes came back')
      at += piece.length
    }
    if (at !== bytes.length || firstByteMs === undefined) throw new Error('fewer bytes came back')
    return firstByteMs
  }

  async #move<Result>(run: () => Promise<Result>): Promise<{ move: Move; result: Result }> {
    const beforeBytes = await this.#testnet.linkBytes()
    const own = process.cpuUsage()
    const beforeSeconds = this.#testnet.cpuSeconds()
    const startMs = performance.now()
    const result = await run()
    const tookMs = performance.now() - startMs
    await sleep(SETTLE_MS, undefined, { signal: this.#signal })
    const { user, system } = process.cpuUsage(own)
    const cpuSeconds = this.#testnet.cpuSeconds() - beforeSeconds + (user + system) / 1e6
    const seconds = (performance.now() - startMs) / 1_000
    const cpuSecondsLessIdle = Math.max(0, cpuSeconds - this.#idleCpu * seconds)
    const linkBytes = Math.max(0, (await this.#testnet.linkBytes()) - beforeBytes - this.#idleBytes * seconds)
    return { move: { tookMs, cpuSeconds, cpuSecondsLessIdle, linkBytes }, result }
  }
}

async function* piecesOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE_SIZE) yield bytes.subarray(at, at + PIECE_SIZE)
}

// --- the report -----------------------------------------------------------------------------------

function reportOf(sizeBytes: number, rounds: readonly Round[]) {
  const mib = sizeBytes / MIB
  const moved = (of: (round: Round) => { tookMs: number; cpuSeconds: number }) => ({
    mibPerSecond: figures(rounds.map((round) => mib / (of(round).tookMs / 1_000))),
    wallMs: figures(rounds.map((round) => of(round).tookMs)),
    cpuSecondsPerMib: figures(rounds.map((round) => of(round).cpuSeconds / mib)),
  })
  const ratio = (kind: 'put' | 'get') => {
    const speed = median(rounds.map((round) => round.chain.tookMs / round[kind].tookMs))
    const cpu = median(rounds.map((round) => round[kind].cpuSecondsLessIdle / round.chain.cpuSeconds))
    return {
      speed: rounded(speed),
      cpu: rounded(cpu),
      speedPerShardByte: rounded(speed * SHARD_BYTES_PER_BYTE[kind]),
      cpuPerShardByte: rounded(cpu / SHARD_BYTES_PER_BYTE[kind]),
    }
  }
  const lessIdle = (kind: 'put' | 'get') => figures(rounds.map((round) => round[kind].cpuSecondsLessIdle / mib))
  const perByte = (kind: 'put' | 'get') => figures(rounds.map((round) => round[kind].linkBytes / sizeBytes))
  const peak = (name: keyof Memory) => Math.max(...rounds.map(({ memory }) => memory[name]))
  return {
    sizeBytes,
    put: {
      ...moved(({ put }) => put),
      cpuSecondsPerMibLessIdle: lessIdle('put'),
      linkBytesPerByte: perByte('put'),
      pendingShards: rounds.map(({ put }) => put.pendingShards),
    },
    get: {
      ...moved(({ get }) => get),
      cpuSecondsPerMibLessIdle: lessIdle('get'),
      linkBytesPerByte: perByte('get'),
      firstByteMs: figures(rounds.map(({ get }) => get.firstByteMs)),
    },
    chain: moved(({ chain }) => chain),
    ratioToChain: { put: ratio('put'), get: ratio('get') },
    rssAnonPeakMib: roundedMemory({
      clientA: peak('clientA'),
      clientB: peak('clientB'),
      largestNode: peak('largestNode'),
    }),
  }
}

function figures(values: readonly number[]): { median: number; all: number[] } {
  return { median: rounded(median(values)), all: values.map(rounded) }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const upper = sorted[sorted.length >> 1] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[(sorted.length >> 1) - 1] ?? Number.NaN)) / 2
}

function rounded(value: number): number {
  return Number(value.toPrecision(3))
}

function roundedMemory(memory: Memory): Memory {
  return {
    clientA: rounded(memory.clientA),
    clientB: rounded(memory.clientB),
    largestNode: rounded(memory.largestNode),
  }
}

/** Of the source tree, with a plus sign when it differs from it; undefined outside a repository. */
function commitOf(): string | undefined {
  const git = (...words: string[]) =>
    execFileSync('git', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  try {
    const commit = git('rev-parse', '--short=12', 'HEAD')
    return git('status', '--porcelain', '--untracked-files=no') === '' ? commit : `${commit}+`
  } catch {
    return undefined
  }
}

// --- the command ----------------------------------------------------------------------------------

function wishOf(words: readonly string[]): Wish {
  const options = {
    nodes: { type: 'string' },
    rounds: { type: 'string' },
    sizes: { type: 'string' },
    'no-vaults': { type: 'boolean' },
  } as const
  const { values } = parseArgs({ args: [...words], options })
  const number = (name: string, text: string, max: number): number => {
    if (!/^[0-9]{1,10}$/.test(text) || Number(text) < 1 || Number(text) > max)
      throw new Error(`--${name} takes numbers from 1 to ${max}`)
    return Number(text)
  }
  return {
    nodes: number('nodes', values.nodes ?? '16', 64),
    hasVaults: values['no-vaults'] !== true,
    rounds: number('rounds', values.rounds ?? '5', 100),
    sizes: values.sizes?.split(',').map((text) => number('sizes', text, SIZE_MAX)) ?? SIZES,
  }
}

async function bench(wish: Wish, signal: AbortSignal): Promise<unknown> {
  const atStart = { commit: commitOf(), loadAverage: loadavg().map(rounded) }
  const testnet = await BenchTestnet.start(wish, signal)
  try {
    const chain = await Chain.start(process.argv[1] ?? '', signal)
    try {
      const runs = new Bench(testnet, chain, signal)
      note('measuring the network at rest')
      const idle = await runs.idle()
      const results: ReturnType<typeof reportOf>[] = []
      for (const sizeBytes of wish.sizes) {
        const rounds: Round[] = []
        for (let i = 1; i <= wish.rounds; i++) {
          const round = await runs.round(randomBytes(sizeBytes))
          note(`${sizeBytes} bytes, round ${i} of ${wish.rounds}: ${lineOf(round)}`)
          rounds.push(round)
        }
        results.push(reportOf(sizeBytes, rounds))
      }
      return {
        machine: { cpu: cpus()[0]?.model, cores: availableParallelism(), memoryMib: Math.round(totalmem() / MIB) },
        node: process.version,
        ...atStart,
        nodes: wish.nodes,
        hasVaults: wish.hasVaults,
        rounds: wish.rounds,
        chainLinks: CHAIN_LINKS,
        notes: NOTES,
        shardBytesPerByte: SHARD_BYTES_PER_BYTE,
        idle,
        results,
      }
    } finally {
      await chain.stop()
    }
  } finally {
    note('ending the testnet')
    await testnet.stop()
  }
}

function lineOf({ put, get, chain }: Round): string {
  const seconds = (ms: number) => `${(ms / 1_000).toFixed(3)} s`
  const first = `first byte ${seconds(get.firstByteMs)}`
  return `put ${seconds(put.tookMs)}, get ${seconds(get.tookMs)} (${first}), chain ${seconds(chain.tookMs)}`
}

function note(text: string): void {
  console.error(`note: ${text}`)
}

async function main(): Promise<number> {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (!stop.signal.aborted) note(`${signal}: cleaning up`)
      stop.abort(new Error('interrupted'))
    })
  }
  try {
    console.log(JSON.stringify(await bench(wishOf(process.argv.slice(2)), stop.signal), null, 2))
    return 0
  } catch (error) {
    console.error(`error: ${error instanceof Error ? error.message : String(error)}`)
    return stop.signal.aborted ? 130 : 1
  }
}

if (process.argv[2] === HOP_WORD) runHop()
else process.exitCode = await main()
