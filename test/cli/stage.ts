/** A world for one command in a test: its own folders, its output caught, its signals pressed by hand. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { afterEach } from 'vitest'
import { run } from '../../cli/run.ts'
import type { HomeRoom, NetworkLike, World } from '../../cli/world.ts'
import { type Double, serveDouble } from './daemon-double.mjs'

const cleanups: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

export function onCleanup(run: () => Promise<void> | void): void {
  cleanups.push(run)
}

/** Short, so that sockets fit in it. Mode 0700. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'hush-t-'))
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export interface Outcome {
  readonly exit: number
  readonly stdout: Buffer
  readonly out: string
  readonly err: string
}

export interface Stage {
  /** Where commands run. */
  readonly folder: string
  readonly home: string
  readonly world: World
  press(signal: NodeJS.Signals): void
  /** Runs `hush` with these words and, if given, standard input. */
  hush(words: readonly string[], input?: Uint8Array): Promise<Outcome>
  startDouble(options?: Partial<Double>): Promise<Double>
}

export function makeStage(options: { env?: Record<string, string>; nodeOptions?: readonly string[] } = {}): Stage {
  const root = scratchFolder()
  const folder = join(root, 'work')
  const home = join(root, 'home')
  for (const path of [folder, home]) mkdirSync(path, { mode: 0o700 })
  writeFileSync(join(home, 'network.json'), '{}')
  const handlers = new Set<(signal: NodeJS.Signals) => void>()
  const world: World = {
    stdin: Readable.from([]),
    stdout: new PassThrough(),
    stderr: new PassThrough(),
    env: { HUSH_HOME: home, ...options.env },
    nodeOptions: options.nodeOptions ?? [],
    folder,
    userFolder: root,
    temporaryFolder: root,
    version: '1.2.3',
    self: { program: process.execPath, script: fileURLToPath(new URL('./daemon-double.mjs', import.meta.url)) },
    onInterrupt: (handler) => {
      handlers.add(handler)
      return () => handlers.delete(handler)
    },
    homes: async () => plainHomes,
    daemon: async () => ({ runDaemon: async () => 0 }),
  }
  return {
    folder,
    home,
    world,
    press: (signal) => {
      for (const handler of handlers) handler(signal)
    },
    hush: async (words, input) => {
      const stdout = caught()
      const stderr = caught()
      const stdin = Readable.from(input === undefined ? [] : [input])
      const exit = await run(words, { ...world, stdin, stdout: stdout.stream, stderr: stderr.stream })
      return { exit, stdout: stdout.bytes(), out: stdout.bytes().toString(), err: stderr.bytes().toString() }
    },
    startDouble: async (with_) => {
      const double = await serveDouble(home, with_)
      cleanups.push(() => double.close())
      return double
    },
  }
}

function caught() {
  const stream = new PassThrough()
  const pieces: Buffer[] = []
  stream.on('data', (piece: Buffer) => pieces.push(piece))
  return { stream, bytes: () => Buffer.concat(pieces) }
}

const network: NetworkLike = { id: 'ab'.repeat(32), profile: 'testnet', createdMs: 1, seeds: [] }

/** Homes that hold nothing but the mark of a home: enough for the double. */
const plainHomes: HomeRoom = {
  async createHome({ home }) {
    mkdirSync(home, { recursive: true, mode: 0o700 })
    writeFileSync(join(home, 'network.json'), '{}')
    return { id: undefined, publicKey: '00'.repeat(32) }
  },
  async createNetwork({ seeds }) {
    for (const seed of seeds) await plainHomes.createHome({ ...seed, network, role: 'node' })
    return network
  },
  readNetwork: async () => network,
  makeInvite: () => 'hush-invite:abc',
  parseInvite: () => network,
}
