/** hush down: ends this home's daemon, by default with an announced leave. SPEC ring §6 */
import { Command } from 'commander'
import { NoDaemonError } from '../../node/control/index.ts'
import { contextOf } from '../context.ts'
import { isGoneWithin, watchProcess } from '../daemon-process.ts'
import { TooSlowError } from '../errors.ts'
import type { World } from '../world.ts'

/** Handing over can move many shards; a leaver then forwards for 30 s more. */
const LEAVE_WAIT_MS = 600_000
const NOW_WAIT_MS = 30_000

export function downCommand(world: World): Command {
  return new Command('down')
    .description("stop this home's daemon")
    .option('--now', 'stop at once: do not announce it, hand nothing over')
    .addHelpText(
      'after',
      `
By default the node announces its leave and hands over what it keeps, so nothing is lost; that can
take a minute. The command returns when the process has ended.`,
    )
    .action(async (options: { readonly now?: boolean }, command: Command) => {
      const context = contextOf(world, command)
      const { pid } = await context.daemon.status()
      const isRunning = await watchProcess(pid)
      await context.daemon.stop({ announce: options.now !== true })
      const isThere = async () => (await isAnswering(context.daemon)) || (await isRunning())
      const waitMs = options.now === true ? NOW_WAIT_MS : LEAVE_WAIT_MS
      if (!(await isGoneWithin(isThere, waitMs))) {
        throw new TooSlowError(`the daemon (pid ${pid}) has not ended after ${waitMs / 1000} s`, {
          hint: `end it at once with: hush down --now${context.homeWords}`,
        })
      }
      context.voice.answer(`the daemon has stopped (pid ${pid})`, { pid, home: context.home })
    })
}

async function isAnswering(daemon: { status(): Promise<unknown> }): Promise<boolean> {
  return daemon.status().then(
    () => true,
    (error: unknown) => !(error instanceof NoDaemonError),
  )
}
