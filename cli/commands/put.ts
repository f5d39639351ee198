/** hush put: a file or a pipe into the network; its address, alone, on stdout. SPEC control §4 */
import { open } from 'node:fs/promises'
import { basename } from 'node:path'
import { Command, Option } from 'commander'
import { fromUtf8 } from '../../core/index.ts'
import {
  HOLD_WISHES,
  type HoldWish,
  NAME_SIZE_MAX,
  type ObjectKind,
  type PutStored,
  TYPE_SIZE_MAX,
} from '../../node/control/index.ts'
import { type Context, contextOf } from '../context.ts'
import { FileUnreadableError, reasonOf, UsageError } from '../errors.ts'
import { EXIT } from '../render/errors.ts'
import { startProgress } from '../render/progress.ts'
import { countText, sizeText } from '../render/text.ts'
import type { World } from '../world.ts'

interface Options {
  readonly name?: string
  readonly type?: string
  readonly public?: boolean
  readonly hold: HoldWish
  readonly verify?: boolean
}

export function putCommand(world: World, setExit: (code: number) => void): Command {
  return new Command('put')
    .description('store a file; prints its address')
    .argument('<file>', 'the file, or - for standard input')
    .option('--name <name>', "name kept with the file (default: the file's own)")
    .option('--type <mime>', 'kind kept with the file, such as image/png')
    .option('--public', 'short address of 32 bytes, for handing around, instead of a private one of 64')
    .addOption(
      new Option('--hold <how>', 'have the shards kept back for a while, each for a time of its own')
        .choices(HOLD_WISHES)
        .default('none'),
    )
    .option('--verify', 'wait until the shards have been read back, some 5 to 60 minutes later')
    .addHelpText(
      'after',
      `
Examples:
  hush put photo.jpg
  tar cf - folder | hush put - --name folder.tar
  ADDRESS=$(hush put report.pdf)

Ends 0 when every shard is stored, or handed over with --hold, and 3 when enough for getting it back
are stored and the daemon goes on placing the rest. Some minutes later the daemon reads a part of
every shard back, and puts again what is gone; with --verify the command waits for that, and ends 3
when something stayed unproven.
With --hold, gateways keep each shard for a random time (minutes: about one, at most 10; long: about
10, at most 100), so that they do not appear together. Nothing says whether they do: only the
reading back afterwards tells, and puts again what is not there. Keep the daemon running until then.
Who has the address can read the file: keep it as you would a key.`,
    )
    .action(async (file: string, options: Options, command: Command) => {
      const context = contextOf(world, command)
      const source = await openSource(context, file)
      try {
        const stored = await context.interruptible((signal) =>
          putSource(context, source, {
            kind: options.public === true ? 'public' : 'private',
            hold: options.hold,
            name: checkText('--name', options.name ?? source.name, NAME_SIZE_MAX),
            type: checkText('--type', options.type, TYPE_SIZE_MAX),
            signal,
          }),
        )
        const { event: _, ...facts } = stored
        context.voice.answer(stored.address, facts)
        const exit = tellResult(context, stored)
        setExit(options.verify === true ? Math.max(exit, await verify(context, stored.address)) : exit)
      } finally {
        await source.close()
      }
    })
}

export interface Source {
  readonly bytes: AsyncIterable<Uint8Array>
  readonly name: string | undefined
  /** Undefined for what has no length yet. */
  readonly sizeBytes: number | undefined
  close(): Promise<void>
}

/** Opens what to put, before the daemon hears of it. Throws ERR_FILE_UNREADABLE. */
export async function openSource(context: Context, file: string): Promise<Source> {
  if (file === '-') {
    const { stdin } = context.world
    if (stdin.isTTY === true) context.voice.note('reading from the terminal; end with Ctrl-D')
    const bytes = readAll(stdin, 'standard input')
    return { bytes, name: undefined, sizeBytes: undefined, close: async () => void stdin.destroy() }
  }
  if (file === '') throw new UsageError('the name of the file is empty', { hint: 'name one, or - for standard input' })
  const handle = await open(context.path(file), 'r').catch((error: unknown) => {
    throw unreadableError(file, error)
  })
  const found = await handle.stat()
  if (found.isDirectory()) {
    await handle.close()
    throw new FileUnreadableError(`${file} is a folder`, {
      hint: `store it as one file: tar cf - ${file} | hush put -`,
    })
  }
  const stream = handle.createReadStream({ highWaterMark: READ_SIZE, autoClose: false })
  const isPlain = found.isFile()
  const bytes = readAll(stream, file, (readBytes) => {
    if (!isPlain || readBytes === found.size) return
    context.voice.note(`${file} changed while it was read: ${readBytes} bytes, not ${found.size}`)
  })
  return {
    bytes,
    name: basename(context.path(file)),
    sizeBytes: isPlain ? found.size : undefined,
    close: () => handle.close().catch(() => undefined),
  }
}

const READ_SIZE = 256 * 1024

/** The bytes of a stream, with its errors in our words and, at its end, their number. */
async function* readAll(
  stream: AsyncIterable<Uint8Array>,
  what: string,
  onEnd?: (readBytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let readBytes = 0
  try {
    for await (const piece of stream) {
      readBytes += piece.length
      yield piece
    }
  } catch (error) {
    throw unreadableError(what, error)
  }
  onEnd?.(readBytes)
}

function unreadableError(what: string, cause: unknown): FileUnreadableError {
  return new FileUnreadableError(`cannot read ${what}: ${reasonOf(cause)}`, { cause })
}

export interface PutWish {
  readonly kind: ObjectKind
  readonly hold: HoldWish
  readonly name: string | undefined
  readonly type: string | undefined
  readonly signal: AbortSignal
}

/** Streams the source to the daemon under a progress line. */
export async function putSource(context: Context, source: Source, wish: PutWish): Promise<PutStored> {
  const progress = await startProgress({
    stream: context.world.stderr,
    label: 'put',
    ...(source.sizeBytes !== undefined && { totalBytes: source.sizeBytes }),
    isQuiet: context.voice.isJson,
  })
  try {
    return await context.daemon.put(source.bytes, {
      kind: wish.kind,
      hold: wish.hold,
      ...(wish.name !== undefined && { name: wish.name }),
      ...(wish.type !== undefined && { type: wish.type }),
      ...(source.sizeBytes !== undefined && { sizeBytes: source.sizeBytes }),
      onProgress: ({ readBytes, storedShards, totalShards }) => {
        const total = totalShards === undefined ? '' : ` of ${totalShards}`
        progress.update(readBytes, `${storedShards}${total} shards`)
      },
      signal: wish.signal,
    })
  } finally {
    progress.stop()
  }
}

/** The exit code of a put, and what people should know of it. */
function tellResult(context: Context, stored: PutStored): number {
  const size = `${sizeText(stored.lengthBytes)} in ${countText(stored.shards, 'shard')}`
  if (stored.stored >= stored.shards) {
    context.voice.note(`stored ${size}`)
    return EXIT.ok
  }
  if (stored.stored + stored.handed >= stored.shards) {
    context.voice.note(`handed over ${size}; stored only once they are let go, which the read-back will show`)
    context.voice.hint(`keep the daemon running; see how it stands with: hush status${context.homeWords}`)
    return EXIT.ok
  }
  context.voice.note(
    `degraded: ${stored.stored + stored.handed} of ${countText(stored.shards, 'shard')} are stored; ` +
      'that is enough to get it back, and the daemon goes on placing the rest',
  )
  context.voice.hint(`keep the daemon running; see how it stands with: hush check ADDRESS${context.homeWords}`)
  return EXIT.degraded
}

/** Waits for the read-back; the exit code it calls for. */
async function verify(context: Context, address: string): Promise<number> {
  const { voice, daemon } = context
  voice.note('waiting until the shards have been read back; the daemon does that also when you interrupt this')
  const done = await context.interruptible((signal) => daemon.readBack(address, signal))
  const { verified, shards, missing, restored } = done
  const again = restored === 0 ? '' : `, ${restored} of them put again`
  if (verified) {
    voice.note(`verified: all ${countText(shards, 'shard')} are where they should be${again}`)
    return EXIT.ok
  }
  if (done.health === undefined) voice.note('unproven: the shards could not be read back')
  else voice.note(`unproven: ${missing - restored} of ${countText(shards, 'shard')} could not be proven${again}`)
  voice.hint(`see how it stands with: hush check ADDRESS${context.homeWords}`)
  return EXIT.degraded
}

function checkText(option: string, text: string | undefined, sizeMax: number): string | undefined {
  if (text === undefined) return undefined
  const size = fromUtf8(text).length
  if (size > sizeMax) throw new UsageError(`${option} takes at most ${sizeMax} bytes; this has ${size}`)
  return text
}
