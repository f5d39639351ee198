/** hush get: from an address back to the file. SPEC control §5, §9 */
import { basename, dirname, join } from 'node:path'
import { Command } from 'commander'
import { DaemonError } from '../../node/control/index.ts'
import { type Context, contextOf } from '../context.ts'
import { OutputClosedError, TargetExistsError } from '../errors.ts'
import { addressTag, checkTarget, findPartName, PartFile, safeFileName } from '../part-file.ts'
import { type Progress, startProgress } from '../render/progress.ts'
import { sizeText } from '../render/text.ts'
import type { World } from '../world.ts'

interface Options {
  readonly output?: string
  readonly force?: boolean
}

export function getCommand(world: World): Command {
  return new Command('get')
    .description('fetch a file by its address')
    .argument('<address>', 'what `hush put` printed')
    .option('-o, --output <file>', 'file to write, or - for standard output (default: the name it was stored under)')
    .option('--force', 'replace the file if it exists')
    .addHelpText(
      'after',
      `
Examples:
  hush get hush:…                  into the current folder, under the name it was stored with
  hush get hush:… -o photo.jpg
  hush get hush:… -o - | tar x

The file appears under its name only when all of it is there and verified. What was fetched before
an interruption is kept beside it, and the same command goes on from there.`,
    )
    .action(async (address: string, options: Options, command: Command) => {
      const context = contextOf(world, command)
      if (options.output === '-') {
        await context.interruptible((signal) => getToStdout(context, address, signal))
        return
      }
      const got = await context.interruptible((signal) =>
        getToFile(context, address.trim(), {
          ...(options.output !== undefined && { target: context.path(options.output) }),
          isForced: options.force === true,
          signal,
        }),
      )
      context.voice.answer(options.output ?? basename(got.path), got)
      context.voice.note(
        `got ${sizeText(got.lengthBytes)}` +
          (got.resumedFromByte > 0 ? `, ${sizeText(got.resumedFromByte)} of it from an earlier get` : ''),
      )
    })
}

async function getToStdout(context: Context, address: string, signal: AbortSignal): Promise<void> {
  const stream = await context.daemon.get(address.trim(), { signal })
  const progress = await startReport(context, stream.lengthBytes)
  let gotBytes = 0
  try {
    for await (const piece of stream.body) {
      await context.voice.write(piece)
      gotBytes += piece.length
      progress.update(gotBytes)
    }
  } catch (error) {
    progress.stop()
    if (!(error instanceof OutputClosedError)) {
      context.voice.note(`the output is not whole: ${gotBytes} of ${stream.lengthBytes} bytes were written`)
    }
    throw error
  } finally {
    progress.stop()
  }
}

export interface GetWish {
  /** Absolute; absent: the stored name, in the folder the command runs in. */
  readonly target?: string
  readonly isForced: boolean
  readonly signal: AbortSignal
}

export interface GotFile {
  readonly path: string
  readonly lengthBytes: number
  readonly resumedFromByte: number
  readonly type: string | undefined
}

/** Fetches into the part beside the target and, when it is whole, makes it the target. */
export async function getToFile(context: Context, address: string, wish: GetWish): Promise<GotFile> {
  const tag = await addressTag(address)
  let target = wish.target ?? (await earlierTarget(context, tag))
  let part: PartFile | undefined
  let progress: Progress | undefined
  try {
    if (target !== undefined) await checkTarget(target, wish.isForced)
    for (;;) {
      if (target !== undefined) part ??= await PartFile.open(target, tag)
      const fromByte = part?.sizeBytes ?? 0
      const stream = await openStream(context, address, part, wish.signal)
      if (stream === 'part too long') continue
      const named: string = wish.target ?? join(context.path('.'), safeFileName(stream.name, `hush-${tag}`))
      try {
        if (named !== target) {
          // The object's name is known only now; see whether something lies there before its bytes are read.
          await part?.abandon()
          part = undefined
          target = named
          await checkTarget(target, wish.isForced)
          part = await PartFile.open(target, tag)
        }
        if (part === undefined || part.sizeBytes !== fromByte) continue
        progress = await startReport(context, stream.lengthBytes)
        for await (const piece of stream.body) {
          await part.append(piece)
          progress.update(part.sizeBytes)
        }
        await part.finish(wish.isForced)
        return { path: target, lengthBytes: stream.lengthBytes, resumedFromByte: fromByte, type: stream.type }
      } finally {
        stream.cancel()
      }
    }
  } catch (error) {
    progress?.stop()
    const keptBytes = (await part?.abandon()) ?? 0
    // Where the target is taken the same command would not go on; the error says where the bytes are.
    if (part !== undefined && keptBytes > 0 && target !== undefined && !(error instanceof TargetExistsError)) {
      context.voice.note(
        `${sizeText(keptBytes)} are kept in ${basename(part.path)} (in ${dirname(target)}); ` +
          'the same command goes on from there',
      )
    }
    throw error
  } finally {
    progress?.stop()
  }
}

/** Asks from the part's end on. A part longer than the object is none of it, and is begun anew. */
async function openStream(context: Context, address: string, part: PartFile | undefined, signal: AbortSignal) {
  const fromByte = part?.sizeBytes ?? 0
  try {
    return await context.daemon.get(address, { fromByte, signal })
  } catch (error) {
    const isTooLong = error instanceof DaemonError && error.code === 'ERR_BAD_RANGE'
    if (part === undefined || fromByte === 0 || !isTooLong) throw error
    await part.restart()
    return 'part too long'
  }
}

async function earlierTarget(context: Context, tag: string): Promise<string | undefined> {
  const folder = context.path('.')
  const name = await findPartName(folder, tag)
  return name === undefined ? undefined : join(folder, name)
}

function startReport(context: Context, totalBytes: number): Promise<Progress> {
  return startProgress({ stream: context.world.stderr, label: 'get', totalBytes, isQuiet: context.voice.isJson })
}
