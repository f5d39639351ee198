/** hush check: how much of an object can be reached, stripe by stripe. SPEC control §6 */
import { Command } from 'commander'
import type { CheckStripe, CheckSummary } from '../../node/control/index.ts'
import { contextOf } from '../context.ts'
import { EXIT } from '../render/errors.ts'
import type { World } from '../world.ts'

export function checkCommand(world: World, setExit: (code: number) => void): Command {
  return new Command('check')
    .description('see how well a stored file can be reached')
    .argument('<address>', 'what `hush put` or `hush repair-key` printed')
    .addHelpText(
      'after',
      `
One line per stripe: how many of its shards answer, how many are needed. Health in words:
  perfect   all shards answer               weak       few to spare
  good      most do                         critical   none to spare
  lost      fewer than needed: this part cannot be fetched now (exit code 4)`,
    )
    .action(async (address: string, _: unknown, command: Command) => {
      const { daemon, voice, interruptible } = contextOf(world, command)
      await interruptible(async (signal) => {
        let isFirst = true
        for await (const event of daemon.check(address.trim(), signal)) {
          if (isFirst && !voice.isJson) voice.answer(HEAD, undefined)
          isFirst = false
          voice.answer(event.event === 'stripe' ? stripeText(event) : summaryText(event), event)
          if (event.event === 'summary' && event.health === 'lost') setExit(EXIT.unavailable)
        }
      })
    })
}

const HEAD = 'stripe    level  reachable  needed  health'

export function stripeText(stripe: CheckStripe): string {
  return [
    String(stripe.stripe).padStart(6),
    String(stripe.level).padStart(7),
    `${stripe.reachable}/${stripe.total}`.padStart(9),
    String(stripe.needed).padStart(6),
    stripe.health,
    ...(stripe.part === 'list' ? ['(repair list)'] : []),
  ].join('  ')
}

export function summaryText(summary: CheckSummary): string {
  const { stripes, shards, reachable, health } = summary
  return `${reachable} of ${shards} shards of ${stripes} ${stripes === 1 ? 'stripe' : 'stripes'} reachable: ${health}`
}
