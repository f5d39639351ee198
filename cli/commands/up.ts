/** hush up: the daemon, in this process or apart from it. */
import { Command } from 'commander'
import { type Context, contextOf, isHome, missingHomeHint } from '../context.ts'
import { spawnDaemon, waitForDaemon } from '../daemon-process.ts'
import { AlreadyRunningError, UsageError } from '../errors.ts'
import { EXIT } from '../render/errors.ts'
import type { World } from '../world.ts'

const READY_WAIT_MS = 30_000

export function upCommand(world: World, setExit: (code: number) => void): Command {
  return new Command('up')
    .description("start this home's daemon")
    .option('--detach', 'go on in the background, log to HOME/daemon.log, return when it answers')
    .option('--cover', 'send cells all the time that come back, so that small requests do not show; 21 GB a month')
    .addHelpText(
      'after',
      `
Examples:
  hush up                  in this terminal, until Ctrl-C
  hush up --detach         in the background; end it with: hush down`,
    )
    .action(async (options: { readonly detach?: boolean; readonly cover?: boolean }, command: Command) => {
      const context = contextOf(world, command)
      if (!(await isHome(context.home))) {
        throw new UsageError(`there is no home yet (${context.home})`, {
          hint: await missingHomeHint(context),
        })
      }
      const hasCover = options.cover === true
      setExit(options.detach === true ? await detach(context, hasCover) : await stay(context, hasCover))
    })
}

async function stay(context: Context, cover: boolean): Promise<number> {
  const { runDaemon } = await context.world.daemon()
  return runDaemon({
    home: context.home,
    foreground: true,
    cover,
    onReady: () => context.voice.note(`the daemon is up (pid ${process.pid})`),
  })
}

async function detach(context: Context, hasCover: boolean): Promise<number> {
  const running = await context.daemon.status().catch(() => undefined)
  if (running !== undefined) {
    throw new AlreadyRunningError(`a daemon runs for this home already (pid ${running.pid})`, {
      hint: `end it with: hush down${context.homeWords}`,
    })
  }
  const status = await context.interruptible(async (signal) =>
    waitForDaemon(await spawnDaemon(context.world, context.home, hasCover ? ['--cover'] : []), {
      waitMs: READY_WAIT_MS,
      onLogLine: (line) => context.voice.note(line),
      signal,
    }),
  )
  context.voice.answer(`the daemon is up (pid ${status.pid})`, { pid: status.pid, home: context.home })
  return EXIT.ok
}
