/** hush testnet: a network of real processes on this machine, to try things on. */
import { Command, InvalidArgumentError } from 'commander'
import { contextOf } from '../context.ts'
import { UsageError } from '../errors.ts'
import { EXIT } from '../render/errors.ts'
import { tableText } from '../render/tables.ts'
import { countText } from '../render/text.ts'
import { readRecord } from '../testnet/record.ts'
import { ringFaults, ringLine, shortId } from '../testnet/ring.ts'
import {
  addNode,
  NODES_MAX,
  NODES_MIN,
  observe,
  removeHomes,
  restartTestnet,
  ringSights,
  type Sight,
  startTestnet,
  stopTestnet,
} from '../testnet/testnet.ts'
import type { World } from '../world.ts'

const DIR_OPTION = ['--dir <dir>', 'folder of the testnet: DIR/node-00 …, DIR/client-a, DIR/client-b'] as const
const UNSAFE_OPTION = [
  '--unsafe',
  'warn of what undoes anonymity, such as HUSH_KEY_LOG, instead of refusing it',
] as const

interface Options {
  readonly dir: string
  readonly unsafe?: boolean
}

export function testnetCommand(world: World, setExit: (code: number) => void): Command {
  return new Command('testnet')
    .description('run a whole network on this machine')
    .addCommand(upCommand(world))
    .addCommand(statusCommand(world, setExit))
    .addCommand(addCommand(world))
    .addCommand(downCommand(world))
    .addHelpText(
      'after',
      `
Example:
  hush testnet up --nodes 20 --dir ./net
  hush put photo.jpg --home ./net/client-a
  hush get hush:… -o copy.jpg --home ./net/client-b
  hush testnet status --dir ./net
  hush testnet down --dir ./net`,
    )
}

function upCommand(world: World): Command {
  return new Command('up')
    .description(
      'make and start nodes and two clients, or start those that `down` left, and wait until they are one ring',
    )
    .option('--nodes <n>', `how many nodes, ${NODES_MIN} to ${NODES_MAX}; needed to make a testnet`, parseNodeCount)
    .requiredOption(...DIR_OPTION)
    .option(...UNSAFE_OPTION)
    .option('--no-vaults', 'nodes that hold what they answer for themselves')
    .action(async (options: { readonly nodes?: number; readonly vaults: boolean } & Options, command: Command) => {
      const { voice, path, interruptible } = contextOf(world, command)
      const folder = path(options.dir)
      const { nodes, unsafe, vaults } = options
      if (nodes === undefined && !vaults)
        throw new UsageError('--no-vaults goes with --nodes: homes keep what they are')
      const sights = await interruptible((signal) => {
        const work = { world, folder, note: (text: string) => voice.note(text), signal, isUnsafe: unsafe === true }
        return nodes === undefined ? restartTestnet(work) : startTestnet(work, { nodeCount: nodes, hasVaults: vaults })
      })
      voice.answer(sightsText(sights), sightsJson(folder, sights))
      voice.hint(`put with: hush put FILE --home ${options.dir}/client-a`)
    })
}

function statusCommand(world: World, setExit: (code: number) => void): Command {
  return new Command('status')
    .description('show every process, and whether the nodes are one ordered ring (exit code 4 if not)')
    .requiredOption(...DIR_OPTION)
    .action(async (options: { readonly dir: string }, command: Command) => {
      const { voice, path } = contextOf(world, command)
      const folder = path(options.dir)
      const sights = await observe(await readRecord(folder))
      voice.answer(sightsText(sights), sightsJson(folder, sights))
      if (ringFaults(ringSights(sights)).length > 0) setExit(EXIT.unavailable)
    })
}

function addCommand(world: World): Command {
  return new Command('add')
    .description('add one node to a running testnet')
    .requiredOption(...DIR_OPTION)
    .option(...UNSAFE_OPTION)
    .action(async (options: Options, command: Command) => {
      const { voice, path, interruptible } = contextOf(world, command)
      const folder = path(options.dir)
      const isUnsafe = options.unsafe === true
      const { member, sights } = await interruptible((signal) =>
        addNode({ world, folder, note: (text) => voice.note(text), signal, isUnsafe }),
      )
      voice.answer(`${member.name} is in the ring (pid ${member.pid}, ${member.home})`, {
        ...member,
        ring: ringLine(ringSights(sights)),
      })
    })
}

function downCommand(world: World): Command {
  return new Command('down')
    .description('end every process of a testnet; the homes stay, and `testnet up --dir DIR` starts them again')
    .requiredOption(...DIR_OPTION)
    .option('--remove', 'remove the homes too, with all they hold')
    .action(async (options: { readonly dir: string; readonly remove?: boolean }, command: Command) => {
      const { voice, path } = contextOf(world, command)
      const folder = path(options.dir)
      const record = await readRecord(folder)
      const ignored = new AbortController().signal
      const stopped = await stopTestnet({ world, folder, note: (text) => voice.note(text), signal: ignored })
      if (options.remove === true) await removeHomes(folder, record)
      voice.answer(`stopped ${countText(stopped, 'process', 'processes')}`, {
        stopped,
        removed: options.remove === true,
      })
    })
}

export function parseNodeCount(text: string): number {
  const count = Number(text)
  if (!/^[0-9]{1,4}$/.test(text)) throw new InvalidArgumentError('It takes a number.')
  if (count < NODES_MIN) {
    throw new UsageError(
      `a testnet needs at least ${NODES_MIN} nodes: its ring lists 6 successors of each, and 7 start it`,
    )
  }
  if (count > NODES_MAX) throw new UsageError(`a testnet has at most ${NODES_MAX} nodes`)
  return count
}

/** The table of all processes and the line about the ring. */
export function sightsText(sights: readonly Sight[]): string {
  const rows = sights.map(({ member, isAlive, status, ring }) => [
    member.name,
    member.pid ?? '-',
    isAlive ? (status === undefined ? 'silent' : 'up') : 'stopped',
    ring === undefined ? '-' : shortId(ring.id),
    member.address ?? '-',
    ring?.successors[0] === undefined ? '-' : shortId(ring.successors[0]),
    status?.node?.shards ?? '-',
    status === undefined ? '-' : `${status.circuits.ready}/${status.circuits.wanted}`,
  ])
  const columns = [
    { head: 'name' },
    { head: 'pid', align: 'right' },
    { head: 'state' },
    { head: 'id' },
    { head: 'address' },
    { head: 'successor' },
    { head: 'shards', align: 'right' },
    { head: 'circuits', align: 'right' },
  ] as const
  return `${tableText(columns, rows)}\n${ringLine(ringSights(sights))}`
}

function sightsJson(folder: string, sights: readonly Sight[]) {
  const faults = ringFaults(ringSights(sights))
  return {
    dir: folder,
    ring: { ordered: faults.length === 0, nodes: ringSights(sights).length, faults },
    members: sights.map(({ member, isAlive, status, ring }) => ({
      ...member,
      alive: isAlive,
      id: ring?.id,
      successor: ring?.successors[0],
      joined: ring?.joined,
      shards: status?.node?.shards,
      circuits: status?.circuits.ready,
    })),
  }
}
