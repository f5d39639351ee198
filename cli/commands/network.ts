/** hush network create: the homes of a new network's first nodes. SPEC ring §3 */
import { join } from 'node:path'
import { Command, Option } from 'commander'
import { PROFILES, type ProfileName } from '../../core/index.ts'
import { contextOf } from '../context.ts'
import { UsageError } from '../errors.ts'
import type { World } from '../world.ts'
import { checkHostPort } from './init.ts'

interface Options {
  readonly seeds: string
  readonly profile: ProfileName
  readonly unsafe?: boolean
  readonly vaults: boolean
}

export function networkCommand(world: World): Command {
  const create = new Command('create')
    .description('make the seed homes of a network of your own')
    .argument('<dir>', 'new folder for the homes: DIR/seed-00, DIR/seed-01 …')
    .requiredOption('--seeds <host:port,...>', 'one address per seed, each reachable by all others')
    .addOption(
      new Option('--profile <name>', 'timings and sizes').choices(['production', 'testnet']).default('production'),
    )
    .option('--unsafe', 'warn of settings that undo anonymity instead of refusing them')
    .option('--no-vaults', 'seeds that hold what they answer for themselves, and nothing for others')
    .addHelpText(
      'after',
      `
A network starts as a ring of ${PROFILES.production.successors + 1} seeds (profile testnet: ${PROFILES.testnet.successors + 1}), so that many addresses are needed.

Example:
  hush network create ./ours --profile testnet --seeds 203.0.113.7:4100,198.51.100.4:4100,…

Move each home to its machine and start them all: hush up --detach --home HOME
Every other machine joins with what \`hush invite\` prints on any of them.`,
    )
    .action(async (dir: string, options: Options, command: Command) => {
      const { voice, path } = contextOf(world, command)
      const addresses = options.seeds.split(',').map((address) => address.trim())
      const wanted = PROFILES[options.profile].successors + 1
      if (addresses.length !== wanted) {
        throw new UsageError(
          `profile ${options.profile} starts from ${wanted} seeds; --seeds names ${addresses.length}`,
        )
      }
      if (new Set(addresses).size !== addresses.length) throw new UsageError('--seeds names an address twice')
      const folder = path(dir)
      const seeds = addresses.map((address, index) => ({
        home: join(folder, `seed-${String(index).padStart(2, '0')}`),
        listen: listenAddress(address),
        advertise: [address],
      }))
      if (PROFILES[options.profile].puzzleBits > 0) {
        voice.note(`solving ${wanted} identity puzzles; a minute or two for each`)
      }
      const homes = await world.homes()
      const network = await homes.createNetwork({
        profile: options.profile,
        seeds,
        overrides: {
          ...(options.unsafe === true && { anonymity: 'unsafe' }),
          ...(!options.vaults && { vaults: false }),
        },
        onProgress: (done, total) => {
          if (PROFILES[options.profile].puzzleBits > 0) voice.note(`${done} of ${total} solved`)
        },
      })
      const invite = homes.makeInvite(network)
      voice.answer(network.id, { network: network.id, profile: options.profile, seeds, invite })
      voice.note(`${wanted} homes are in ${folder}; move each to the machine of its address:`)
      for (const seed of seeds) voice.note(`  ${seed.home}  ${seed.advertise[0]}`)
      voice.hint('start each with: hush up --detach --home HOME; then print an invite with: hush invite --home HOME')
    })
  return new Command('network').description('start a network of your own').addCommand(create)
}

/** A loopback address is listened at as it is; any other may be behind a translator, so listen everywhere. */
function listenAddress(address: string): string {
  const { host, port } = checkHostPort(address)
  if (/^127\./.test(host) || host === '[::1]' || host === 'localhost') return address
  return host.startsWith('[') ? `[::]:${port}` : `0.0.0.0:${port}`
}
