/** What every command starts from: its home, its voice, and a signal that says "stop". */
import { access } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { type ControlClient, connectControl, folderError } from '../node/control/index.ts'
import { InterruptedError, systemCodeOf } from './errors.ts'
import { Voice } from './render/voice.ts'
import { readRecord } from './testnet/record.ts'
import type { World } from './world.ts'

export interface Context {
  readonly world: World
  readonly voice: Voice
  /** Absolute. */
  readonly home: string
  /** As to be typed after a command so that it means this home; empty for the usual one. */
  readonly homeWords: string
  readonly daemon: ControlClient
  /** Runs `work` with a signal that SIGINT and SIGTERM abort, its reason an InterruptedError. */
  interruptible<Result>(work: (signal: AbortSignal) => Promise<Result>): Promise<Result>
  /** The path as typed, from the folder the command runs in. */
  path(typed: string): string
}

export interface GlobalOptions {
  readonly home?: string
  readonly json?: boolean
}

export function contextOf(world: World, command: Command): Context {
  const options: GlobalOptions = command.optsWithGlobals()
  const typed = options.home ?? (world.env.HUSH_HOME || undefined)
  const home = typed === undefined ? join(world.userFolder, '.hush') : resolve(world.folder, typed)
  return {
    world,
    voice: new Voice(world, options.json === true),
    home,
    homeWords: options.home === undefined ? '' : ` --home ${options.home}`,
    daemon: connectControl(home),
    interruptible: (work) => interruptible(world, work),
    path: (words) => resolve(world.folder, words),
  }
}

async function interruptible<Result>(world: World, work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const stop = new AbortController()
  const release = world.onInterrupt((signal) => stop.abort(new InterruptedError(signal)))
  try {
    return await work(stop.signal)
  } finally {
    release()
  }
}

/** Whether a home folder was made here. Throws ERR_HOME_PERMISSIONS when this user may not look. */
export function isHome(folder: string): Promise<boolean> {
  return access(join(folder, 'network.json')).then(
    () => true,
    (error: unknown) => {
      const code = systemCodeOf(error)
      if (code === 'EACCES' || code === 'EPERM') throw folderError(folder, error)
      return false
    },
  )
}

/** What to do where no home is. */
export async function missingHomeHint({ home, homeWords }: Context): Promise<string> {
  const testnet = await readRecord(home).catch(() => undefined)
  if (testnet !== undefined) {
    const clients = testnet.members.filter(({ role }) => role === 'client').map((client) => `--home ${client.home}`)
    return `this is the folder of a testnet; its clients are: ${clients.join(' and ')}`
  }
  return (
    `this home was not made yet; make it with: hush init --join INVITE${homeWords}; ` +
    "or try hush on a network of this machine's own: hush testnet up --nodes 20 --dir ./net; " +
    '--home ./net/client-a is one of its clients'
  )
}
