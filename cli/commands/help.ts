/** hush help: explains a command by its words, those of a group too: `hush help testnet up`. */
import { Command } from 'commander'
import { UsageError } from '../errors.ts'

/** For the program and for each group of commands. */
export function helpCommand(): Command {
  return new Command('help')
    .description('explain a command')
    .argument('[command...]', 'its words')
    .action((words: readonly string[], _: unknown, self: Command) => {
      let explained = self.parent ?? self
      for (const word of words) {
        const next = explained.commands.find((command) => command.name() === word)
        if (next === undefined) {
          const what = explained.commands.length > 0 ? 'unknown command' : `${wordsOf(explained)} has no command`
          throw new UsageError(`${what} '${word}'`, { hint: `See: ${wordsOf(explained)} --help` })
        }
        explained = next
      }
      explained.outputHelp()
    })
}

/** As it is typed: hush testnet up. */
export function wordsOf(command: Command): string {
  return command.parent === null ? command.name() : `${wordsOf(command.parent)} ${command.name()}`
}
