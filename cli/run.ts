/** One command line from its words to its exit code. docs/exit-codes.md */
import { Command, CommanderError } from 'commander'
import { NoDaemonError } from '../node/control/index.ts'
import { checkCommand } from './commands/check.ts'
import { demoCommand } from './commands/demo.ts'
import { downCommand } from './commands/down.ts'
import { getCommand } from './commands/get.ts'
import { helpCommand, wordsOf } from './commands/help.ts'
import { initCommand } from './commands/init.ts'
import { keepCommand } from './commands/keep.ts'
import { ledgerCommand } from './commands/ledger.ts'
import { networkCommand } from './commands/network.ts'
import { putCommand } from './commands/put.ts'
import { repairCommand, repairKeyCommand } from './commands/repair.ts'
import { inviteCommand, statusCommand } from './commands/status.ts'
import { testnetCommand } from './commands/testnet.ts'
import { upCommand } from './commands/up.ts'
import { contextOf, isHome, missingHomeHint } from './context.ts'
import { UsageError } from './errors.ts'
import { EXIT, errorText, exitCodeOf } from './render/errors.ts'
import { Voice } from './render/voice.ts'
import { checkSafety } from './safety.ts'
import type { World } from './world.ts'

/** Runs `hush` with these words (without the program's own) and resolves with its exit code. */
export async function run(words: readonly string[], world: World): Promise<number> {
  let exit: number = EXIT.ok
  let chosen: Command | undefined
  let parsing: Command | undefined
  const program = makeProgram(world, (code) => {
    exit = code
  })
  settle(program, world, (command) => {
    parsing = command
  })
  program.hook('preAction', async (_, command) => {
    chosen = command
    await checkSafety(world, command)
  })
  // Before commander has read the words, only they can tell.
  const isJson = words.includes('--json')
  const voice = new Voice(world, isJson)
  let hasFailed = false
  const fail = (error: unknown): void => {
    hasFailed = true
    exit = exitCodeOf(error)
    const homeWords = chosen === undefined ? '' : contextOf(world, chosen).homeWords
    world.stderr.write(errorText(error, { json: isJson, trace: Boolean(world.env.HUSH_TRACE), homeWords }))
  }
  try {
    await program.parseAsync([...words], { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) fail(await withHomeHint(error, world, chosen))
    else if (error.exitCode !== 0) fail(usageErrorOf(error, parsing ?? program))
  }
  // What failed is told once: a get into a full disk has said so by now.
  await voice.finish().catch((error: unknown) => {
    if (!hasFailed) fail(error)
  })
  return exit
}

const HELP_AFTER = `
Getting started on one machine:
  hush demo                                        watch the whole thing work, then clean up
  hush testnet up --nodes 20 --dir ./net           start 20 nodes and two clients
  hush put photo.jpg --home ./net/client-a         prints the file's private address: hush:…
  hush get hush:… -o copy.jpg --home ./net/client-b
  hush put --public photo.jpg --home ./net/client-a                     a shorter, public address
  tar cf - folder | hush put - --home ./net/client-a
  hush get hush:… -o - --home ./net/client-b | tar xf -
  hush testnet status --dir ./net
  hush testnet down --dir ./net

Joining a network:
  hush init --join INVITE --client                 INVITE is what \`hush invite\` prints on a member
  hush up --detach
  hush put report.pdf                              hush get ADDRESS
  tar cf - folder | hush put -                     hush get ADDRESS -o - | tar xf -
  hush put --public report.pdf                     a shorter address, a hash of what is stored
  hush init --join INVITE --client --proxy socks5://127.0.0.1:9050      all links over Tor
  hush check ADDRESS                               how well it can be reached
  hush repair ADDRESS                              rebuild what is missing, renew the rest
  hush keep ADDRESS                                have the daemon do that every week
  hush ledger                                      who has served whom
  hush down

A setting, variable or option that would undo anonymity is refused, with its reason, as long as the
home's config.json says "anonymity": "strict"; with "unsafe" it is warned of. docs/spec/safety.md
lists them.

Answers go to standard output, everything else to standard error. --json makes both readable for
programs. Exit codes: 0 done, 1 a fault of hush, 2 input, 3 degraded, 4 unavailable,
5 another node's fault, 6 this machine's disk, rights or ports, or a daemon that runs already;
ended by a signal: 130 Ctrl-C, 143 SIGTERM, 141 the reader of standard output has gone.`

function makeProgram(world: World, setExit: (code: number) => void): Command {
  const program = new Command('hush')
    .description('Store a file anonymously with one command; get it back by its address.')
    .version(world.version, '-V, --version', 'print the version')
    .option('--home <dir>', 'home folder of the daemon to use (default: $HUSH_HOME, else ~/.hush)')
    .option('--json', 'answers, notes and errors as JSON')
    .helpOption('-h, --help', 'explain')
    .addHelpText('after', HELP_AFTER)
  program.addCommand(putCommand(world, setExit))
  program.addCommand(getCommand(world))
  program.addCommand(checkCommand(world, setExit))
  program.addCommand(repairCommand(world, setExit))
  program.addCommand(repairKeyCommand(world))
  program.addCommand(keepCommand(world))
  program.addCommand(initCommand(world))
  program.addCommand(upCommand(world, setExit))
  program.addCommand(downCommand(world))
  program.addCommand(statusCommand(world))
  program.addCommand(ledgerCommand(world, setExit))
  program.addCommand(inviteCommand(world))
  program.addCommand(networkCommand(world))
  program.addCommand(testnetCommand(world, setExit))
  program.addCommand(demoCommand(world))
  return program
}

/** What commander's own settings must be for a command and all below it. `onExit` is told whose words it gave up. */
function settle(command: Command, world: World, onExit: (command: Command) => void): void {
  if (command.commands.length > 0) command.helpCommand(false).addCommand(helpCommand())
  const needed = command.options.filter((option) => option.mandatory).map((option) => option.flags)
  if (needed.length > 0) command.usage(`${needed.join(' ')} ${command.usage()}`)
  command
    .exitOverride((error) => {
      onExit(command)
      throw error
    })
    .helpOption('-h, --help', 'explain')
    .configureHelp({ showGlobalOptions: true, helpWidth: 100 })
    .configureOutput({
      writeOut: (text) => world.stdout.write(text),
      // Errors are written once, by `run`; help asked for by mistake goes the same way.
      writeErr: () => undefined,
      outputError: () => undefined,
    })
  for (const sub of command.commands) settle(sub, world, onExit)
}

/** `command` is the one that could not make sense of its words. */
function usageErrorOf(error: CommanderError, command: Command): UsageError {
  const see = `See: ${wordsOf(command)} --help`
  if (error.code === 'commander.help') {
    const choice = command.commands.map((one) => one.name()).filter((name) => name !== 'help')
    const group = command.parent === null ? '' : `: ${wordsOf(command)} takes ${choice.join(', ')}`
    return new UsageError(`no command was given${group}`, { hint: see })
  }
  const [what = '', suggestion] = error.message.replace(/^error: /, '').split('\n')
  const guess = suggestion === undefined ? '' : `${suggestion.replace(/[()]/g, '')} `
  return new UsageError(what, { hint: `${guess}${see}` })
}

/** Where starting a daemon would be the wrong advice: without a home, and for who wants it stopped. */
async function withHomeHint(error: unknown, world: World, command: Command | undefined): Promise<unknown> {
  if (!(error instanceof NoDaemonError) || command === undefined) return error
  const because = (hint: string) => new NoDaemonError(error.home, { cause: error.cause, hint })
  if (wordsOf(command) === 'hush down')
    return because('there is nothing to stop; --home names another home, hush testnet down --dir DIR ends a testnet')
  return (await isHome(error.home)) ? error : because(await missingHomeHint(contextOf(world, command)))
}
