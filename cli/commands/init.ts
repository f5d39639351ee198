/** hush init: makes this machine's home: its key, its config, the network it belongs to. */
import { Command } from 'commander'
import { contextOf } from '../context.ts'
import { UsageError } from '../errors.ts'
import type { World } from '../world.ts'

interface Options {
  readonly join?: string
  readonly listen?: string
  readonly advertise?: string[]
  readonly client?: boolean
  readonly proxy?: string
  readonly unsafe?: boolean
}

export function initCommand(world: World): Command {
  return new Command('init')
    .description("make this machine's home folder and join a network")
    .option('--join <invite>', 'what `hush invite` printed on a machine of the network')
    .option('--listen <host:port>', 'where this node takes connections')
    .option('--advertise <host:port...>', 'how others reach it, when that is another address (at most 2)')
    .option('--client', 'only put and get: listen nowhere, store nothing, relay nothing')
    .option('--proxy <url>', 'a SOCKS5 proxy for all links, such as socks5://127.0.0.1:9050')
    .option('--unsafe', 'warn of settings that undo anonymity instead of refusing them')
    .addHelpText(
      'after',
      `
Examples:
  hush init --join hush-invite:… --listen 203.0.113.7:4100    a node that others can reach
  hush init --join hush-invite:… --client                     a client behind any router

Then: hush up --detach. To start a network instead of joining one: hush network create --help`,
    )
    .action(async (options: Options, command: Command) => {
      const context = contextOf(world, command)
      if (options.client === true && (options.listen !== undefined || options.advertise !== undefined)) {
        throw new UsageError('a client listens nowhere: --client goes without --listen and --advertise')
      }
      if ((options.advertise?.length ?? 0) > 2) throw new UsageError('--advertise takes at most 2 addresses')
      for (const address of [options.listen, ...(options.advertise ?? [])]) {
        if (address !== undefined) checkHostPort(address)
      }
      if (options.join === undefined) {
        throw new UsageError('which network? --join is missing', {
          hint: 'get an invite with `hush invite` on a machine of the network, or start one: hush network create',
        })
      }
      if (options.client !== true && options.listen === undefined) {
        throw new UsageError('a node listens: --listen is missing', {
          hint: 'give --listen HOST:PORT, an address others can reach; or --client, only to put and get',
        })
      }
      const homes = await world.homes()
      const network = homes.parseInvite(options.join)
      const role = options.client === true ? 'client' : 'node'
      const made = await homes.createHome({
        home: context.home,
        network,
        role,
        ...(options.listen !== undefined && { listen: options.listen }),
        ...(options.advertise !== undefined && { advertise: options.advertise }),
        overrides: {
          ...(options.proxy !== undefined && { proxy: options.proxy }),
          ...(options.unsafe === true && { anonymity: 'unsafe' }),
        },
      })
      context.voice.answer(context.home, { home: context.home, role, network: network.id, ...made })
      context.voice.note(`this home is a ${role} of network ${network.id.slice(0, 16)}`)
      context.voice.hint(`start it with: hush up --detach${context.homeWords}`)
    })
}

/** Throws ERR_USAGE unless the text looks like HOST:PORT, [IPv6]:PORT included. */
export function checkHostPort(text: string): { host: string; port: number } {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^\s:[\]]+):([0-9]{1,5})$/.exec(text)
  const port = Number(match?.[2])
  if (match?.[1] === undefined || port < 1 || port > 65_535) {
    throw new UsageError(`${text} is not an address of the form HOST:PORT`)
  }
  return { host: match[1], port }
}
