/** hush keep: having the own daemon look after stored files, week by week. SPEC repair §5, §6 */
import { Command } from 'commander'
import type { KeptObject } from '../../node/control/index.ts'
import { contextOf } from '../context.ts'
import { UsageError } from '../errors.ts'
import { tableText } from '../render/tables.ts'
import { countText } from '../render/text.ts'
import type { World } from '../world.ts'
import { withListProgress } from './repair.ts'

interface Options {
  readonly list?: boolean
  readonly stop?: string
}

export function keepCommand(world: World): Command {
  return new Command('keep')
    .description('have the daemon look after a stored file: check, renew and repair it about once a week')
    .argument('[address]', 'an address, or what `hush repair-key` printed')
    .option('--list', 'show what is kept, and how the last visit went')
    .option('--stop <name>', 'look after it no longer; its address, its repair key, or the id that --list shows')
    .addHelpText(
      'after',
      `
Prints the file's id in the list. The daemon must run: it looks after each file at a random time, 3
to 11 days after the last, over circuits of their own. Its list holds repair keys, never addresses:
who takes this machine cannot read the files with it.

Without --stop a file is kept for ever; after it, the file lives until its lease ends, in up to 30
days.`,
    )
    .action(async (handle: string | undefined, options: Options, command: Command) => {
      const context = contextOf(world, command)
      const { daemon, voice, homeWords } = context
      const wishes = [handle !== undefined, options.list === true, options.stop !== undefined]
      if (wishes.filter((isWish) => isWish).length !== 1) {
        throw new UsageError('keep takes an address, or --list, or --stop', { hint: 'see: hush keep --help' })
      }
      if (options.stop !== undefined) {
        const id = await daemon.stopKeeping(options.stop.trim())
        voice.answer(id, { id, kept: false })
        voice.note('what is stored of it lives until its lease ends')
      } else if (handle !== undefined) {
        const kept = await context.interruptible((signal) =>
          withListProgress(context, (onProgress) => daemon.keep(handle.trim(), { onProgress, signal })),
        )
        voice.answer(kept.id, kept)
        voice.note(`the daemon looks after it; first visit ${dayText(kept.nextMs)}`)
        voice.hint(`to do it at once: hush repair ADDRESS${homeWords}`)
      } else {
        const list = await daemon.kept()
        voice.answer(listText(list), list)
        if (list.length === 0) voice.hint('keep a file with: hush keep ADDRESS')
      }
    })
}

export function listText(list: readonly KeptObject[]): string {
  const rows = list.map(({ id, addedMs, nextMs, last }) => [
    id,
    dayText(addedMs),
    last === undefined ? 'not yet' : dayText(last.atMs),
    last?.health ?? '-',
    last === undefined ? '-' : `${last.missing} missing, ${last.rebuilt} rebuilt`,
    dayText(nextMs),
  ])
  const heads = ['id', 'kept since', 'visited', 'health', 'found', 'next']
  const table = tableText(
    heads.map((head) => ({ head })),
    rows,
  )
  return list.length === 0 ? `${countText(0, 'object')} kept` : table
}

function dayText(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 10)
}
