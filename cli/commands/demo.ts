/**
 * hush demo: the main job from start to end on real processes: put a file from one client, kill a
 * quarter of the nodes, get it with another client, compare. Nothing is left behind, whatever happens.
 */
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command } from 'commander'
import { type Jitter, shuffle, toHex } from '../../core/index.ts'
import { connectControl } from '../../node/control/index.ts'
import { type Context, contextOf } from '../context.ts'
import { signalProcess } from '../daemon-process.ts'
import { DemoFailedError, FileUnreadableError, reasonOf, UsageError } from '../errors.ts'
import { tableText } from '../render/tables.ts'
import { countText, sizeText } from '../render/text.ts'
import { type Sight, startTestnet, stopTestnet } from '../testnet/testnet.ts'
import type { World } from '../world.ts'
import { getToFile } from './get.ts'
import { openSource, putSource } from './put.ts'
import { parseNodeCount } from './testnet.ts'

const NODES_DEFAULT = 16
const FILE_SIZE = 8 * 1024 * 1024
/** The demo hashes whole files in memory. */
const FILE_SIZE_MAX = 256 * 1024 * 1024

export function demoCommand(world: World): Command {
  return new Command('demo')
    .description('watch it work: a testnet, a put, a quarter of the nodes killed, a get')
    .option('--file <file>', 'the file to use, at most 256 MiB (default: 8 MiB of random bytes)')
    .option('--nodes <n>', 'how many nodes', parseNodeCount, NODES_DEFAULT)
    .action(async (options: { readonly file?: string; readonly nodes: number }, command: Command) => {
      const context = contextOf(world, command)
      await context.interruptible((signal) => runDemo(context, { ...options, signal }))
    })
}

interface DemoOptions {
  readonly file?: string
  readonly nodes: number
  readonly signal: AbortSignal
}

async function runDemo(context: Context, options: DemoOptions): Promise<void> {
  const { world, voice } = context
  const note = (text: string) => voice.note(text)
  const scratch = await mkdtemp(join(world.temporaryFolder, 'hush-demo-'))
  const work = { world, folder: join(scratch, 'net'), note, signal: options.signal }
  let isUp = false
  try {
    const file = options.file === undefined ? await makeFile(join(scratch, 'file.bin')) : context.path(options.file)
    const before = await hashFile(file)
    note(`the file: ${sizeText(before.sizeBytes)}, SHA-256 ${before.sha256}`)
    const sights = await startTestnet(work, { nodeCount: options.nodes, hasVaults: true })
    isUp = true
    note('the testnet is one ordered ring, and its clients have circuits')

    const put = await timed(() => putFrom(context, join(work.folder, 'client-a'), file, options.signal))
    note(`client-a put it in ${secondsText(put.seconds)}: ${countText(put.result.shards, 'shard')}`)
    note(`its address: ${put.result.address}`)

    const killed = killQuarter(sights)
    note(`killed ${killed.length} of ${options.nodes} nodes with SIGKILL: ${killed.join(' ')}`)

    const target = join(scratch, 'fetched.bin')
    const got = await timed(() =>
      getToFile(atHome(context, join(work.folder, 'client-b')), put.result.address, {
        target,
        isForced: false,
        signal: options.signal,
      }),
    )
    const after = await hashFile(target)
    note(`client-b got it in ${secondsText(got.seconds)}: SHA-256 ${after.sha256}`)
    if (after.sha256 !== before.sha256) throw new DemoFailedError('what came back is not what was put')
    voice.answer(demoText(before.sha256), {
      identical: true,
      sha256: before.sha256,
      sizeBytes: before.sizeBytes,
      nodes: options.nodes,
      killed,
      putSeconds: put.seconds,
      getSeconds: got.seconds,
      roles: ROLES,
    })
  } finally {
    if (isUp) await stopTestnet(work)
    await rm(scratch, { recursive: true, force: true })
  }
}

interface RoleSight {
  readonly role: string
  readonly sees: string
  readonly neverSees: string
}

/** docs/threat-model.md says it in full. */
const ROLES: readonly RoleSight[] = [
  { role: 'client', sees: 'the file, its address, its keys; its guard', neverSees: 'who else asks for the file' },
  { role: 'guard', sees: "the client's IP address; when, and how much", neverSees: 'addresses, locations, content' },
  { role: 'middle', sees: 'a guard and a gateway', neverSees: 'the client, locations, content' },
  { role: 'gateway', sees: 'opaque locations, sealed shards', neverSees: 'the client, the file they belong to' },
  { role: 'keeper', sees: 'sealed shards at its own locations', neverSees: 'client, content, which belong together' },
  { role: 'vault', sees: 'bytes sealed once more, a keeper that asks', neverSees: 'locations, what they are part of' },
]

function demoText(sha256: string): string {
  const columns = [{ head: 'role' }, { head: 'could see' }, { head: 'could not see' }]
  const table = tableText(
    columns,
    ROLES.map(({ role, sees, neverSees }) => [role, sees, neverSees]),
  )
  return `${table}\nidentical: what client-b got is what client-a put (SHA-256 ${sha256})`
}

/** The same command line, speaking to another home's daemon. */
function atHome(context: Context, home: string): Context {
  return { ...context, home, homeWords: ` --home ${home}`, daemon: connectControl(home) }
}

async function putFrom(context: Context, home: string, file: string, signal: AbortSignal) {
  const client = atHome(context, home)
  const source = await openSource(client, file)
  try {
    return await putSource(client, source, {
      kind: 'private',
      hold: 'none',
      name: source.name,
      type: undefined,
      signal,
    })
  } finally {
    await source.close()
  }
}

/** Kills a quarter of the nodes, chosen fairly, all at once. */
function killQuarter(sights: readonly Sight[]): string[] {
  const nodes = sights.filter((sight) => sight.member.role === 'node').map((sight) => sight.member)
  const chosen = shuffle(chance, nodes).slice(0, Math.floor(nodes.length / 4))
  for (const { pid } of chosen) if (pid !== undefined) signalProcess(pid, 'SIGKILL')
  return chosen.map((node) => node.name).sort()
}

const chance: Jitter = { uint32: () => globalThis.crypto.getRandomValues(new Uint32Array(1))[0] ?? 0 }

/** getRandomValues gives at most 65,536 bytes a call. */
async function makeFile(path: string): Promise<string> {
  const bytes = new Uint8Array(FILE_SIZE)
  for (let at = 0; at < bytes.length; at += 65_536) globalThis.crypto.getRandomValues(bytes.subarray(at, at + 65_536))
  await writeFile(path, bytes)
  return path
}

async function hashFile(path: string): Promise<{ sha256: string; sizeBytes: number }> {
  try {
    const { size } = await stat(path)
    if (size > FILE_SIZE_MAX) throw new UsageError(`the demo takes files of at most ${sizeText(FILE_SIZE_MAX)}`)
    const bytes = await readFile(path)
    const digest = await globalThis.crypto.subtle.digest('SHA-256', bytes)
    return { sha256: toHex(new Uint8Array(digest)), sizeBytes: bytes.length }
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new FileUnreadableError(`cannot read ${path}: ${reasonOf(error)}`, { cause: error })
  }
}

async function timed<Result>(run: () => Promise<Result>): Promise<{ result: Result; seconds: number }> {
  const startMs = performance.now()
  const result = await run()
  return { result, seconds: Math.round(performance.now() - startMs) / 1000 }
}

function secondsText(seconds: number): string {
  return `${seconds.toFixed(1)} s`
}
