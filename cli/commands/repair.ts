/** hush repair and hush repair-key: making a stored file whole again, and the key that is enough for it. SPEC repair §6 */
import { Command } from 'commander'
import type { RepairStripe, RepairSummary } from '../../node/control/index.ts'
import { type Context, contextOf } from '../context.ts'
import { EXIT } from '../render/errors.ts'
import { startProgress } from '../render/progress.ts'
import { countText, sizeText } from '../render/text.ts'
import type { World } from '../world.ts'

export function repairCommand(world: World, setExit: (code: number) => void): Command {
  return new Command('repair')
    .description('rebuild what is missing of a stored file, and renew the rest')
    .argument('<address>', 'an address, or what `hush repair-key` printed')
    .addHelpText(
      'after',
      `
Looks at every shard. What no keeper proves to hold is rebuilt from others and put back where it
was; the lease of the rest is prolonged to 30 days. Prints a line for each stripe that lacked
something, and a summary. Nothing is decrypted.

Ends 0 when every shard is in its place, 3 when some are not yet but the file can be fetched,
and 4 when a part of it is lost.`,
    )
    .action(async (handle: string, _: unknown, command: Command) => {
      const context = contextOf(world, command)
      const summary = await context.interruptible((signal) => repair(context, handle.trim(), signal))
      context.voice.answer(summaryText(summary), summary)
      setExit(exitOf(summary))
    })
}

export function repairKeyCommand(world: World): Command {
  return new Command('repair-key')
    .description('make a key that lets others look after a file without reading it')
    .argument('<address>', 'what `hush put` printed')
    .addHelpText(
      'after',
      `
Prints hush-repair:… Who has it can check, renew and repair the file, and learns how large it is and
where its shards lie, not what is in it:
  hush check hush-repair:…        hush repair hush-repair:…        hush keep hush-repair:…

The names of all shards are stored in the network for it, encrypted: about 1/650 of the file.`,
    )
    .action(async (address: string, _: unknown, command: Command) => {
      const context = contextOf(world, command)
      const repairKey = await context.interruptible((signal) =>
        withListProgress(context, (onProgress) => context.daemon.repairKey(address.trim(), { onProgress, signal })),
      )
      context.voice.answer(repairKey, { repairKey })
    })
}

async function repair(context: Context, handle: string, signal: AbortSignal): Promise<RepairSummary> {
  const { voice, daemon, world } = context
  const progress = await startProgress({ stream: world.stderr, label: 'repair', isQuiet: voice.isJson })
  let [stripes, movedBytes, told] = [0, 0, 0]
  try {
    for await (const event of daemon.repair(handle, signal)) {
      if (event.event === 'summary') return event
      movedBytes += event.movedBytes
      progress.update(movedBytes, `${countText(++stripes, 'stripe')} looked at`)
      if (event.missing === 0 && !voice.isJson) continue
      if (told++ === 0 && !voice.isJson) voice.answer(HEAD, undefined)
      voice.answer(stripeText(event), event)
    }
  } finally {
    progress.stop()
  }
  throw new Error('a repair ends with its summary')
}

/** Shows how far the storing of a repair list is. */
export async function withListProgress<Result>(
  context: Context,
  work: (onProgress: (progress: { readBytes: number; storedShards: number }) => void) => Promise<Result>,
): Promise<Result> {
  const { voice, world } = context
  const progress = await startProgress({ stream: world.stderr, label: 'repair list', isQuiet: voice.isJson })
  try {
    return await work(({ readBytes, storedShards }) =>
      progress.update(readBytes, `${countText(storedShards, 'shard')} stored`),
    )
  } finally {
    progress.stop()
  }
}

/** Shards that are not in their places, whatever was done. */
export function stillMissing({ missing, rebuilt }: Pick<RepairStripe, 'missing' | 'rebuilt'>): number {
  return missing - rebuilt
}

function exitOf(summary: RepairSummary): number {
  if (summary.health === 'lost') return EXIT.unavailable
  return stillMissing(summary) > 0 ? EXIT.degraded : EXIT.ok
}

const HEAD = 'stripe    level  missing  rebuilt  pending  still missing'

export function stripeText(stripe: RepairStripe): string {
  return [
    String(stripe.stripe).padStart(6),
    String(stripe.level).padStart(7),
    `${stripe.missing}/${stripe.total}`.padStart(7),
    String(stripe.rebuilt).padStart(7),
    String(stripe.pending).padStart(7),
    String(stillMissing(stripe)).padStart(13),
    ...(stripe.part === 'list' ? ['(repair list)'] : []),
  ].join('  ')
}

export function summaryText(summary: RepairSummary): string {
  const { stripes, shards, missing, rebuilt, pending, renewed, movedBytes, health } = summary
  const parts = [
    `${countText(stripes, 'stripe')}, ${countText(shards, 'shard')}: ${missing} missing, ${rebuilt} rebuilt`,
    ...(pending > 0 ? [`${pending} rebuilt and still looking for a keeper`] : []),
    `${stillMissing(summary)} still missing`,
    `${renewed} renewed`,
    `${sizeText(movedBytes)} moved: ${health}`,
  ]
  return parts.join(', ')
}
