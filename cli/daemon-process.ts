/**
 * Daemons as processes: starting one apart from this command, waiting until it answers, and finding and
 * ending it. A process id from a file is believed only when that process runs a daemon of that home.
 */
import { execFile, spawn } from 'node:child_process'
import { type FileHandle, open, readFile } from 'node:fs/promises'
import { platform } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { connectControl, homeHolder, type Status } from '../node/control/index.ts'
import { DaemonEndedError, LocalFileError, reasonOf, systemCodeOf, TooSlowError } from './errors.ts'
import { EXIT, kindOfExitCode } from './render/errors.ts'
import { printable } from './render/text.ts'
import type { World } from './world.ts'

export const LOG_NAME = 'daemon.log'
const POLL_EVERY_MS = 100
const LOG_TAIL_SIZE_MAX = 16 * 1024
const LOG_TAIL_LINES = 8

export interface StartedDaemon {
  readonly pid: number
  readonly home: string
  /** Resolves with the exit code, null after a signal; only while this command lives. */
  readonly ended: Promise<number | null>
  /** Where this run's lines begin in the log. */
  readonly logFromByte: number
}

/** Starts `hush --home HOME up` with these options, detached, its output appended to HOME/daemon.log. */
export async function spawnDaemon(world: World, home: string, options: readonly string[] = []): Promise<StartedDaemon> {
  const log = await open(join(home, LOG_NAME), 'a', 0o600).catch((error: unknown) => {
    throw new LocalFileError(`cannot write ${join(home, LOG_NAME)}: ${reasonOf(error)}`, {
      cause: error,
      ...(systemCodeOf(error) === 'ENOENT' && { hint: 'make the home first: hush init --join INVITE' }),
    })
  })
  try {
    const logFromByte = (await log.stat()).size
    const child = spawn(world.self.program, [world.self.script, '--home', home, 'up', ...options], {
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
      env: { ...process.env, ...world.env },
      windowsHide: true,
    })
    const ended = new Promise<number | null>((resolve) => {
      child.once('exit', (code) => resolve(code))
      child.once('error', () => resolve(EXIT.bug))
    })
    const pid = child.pid
    if (pid === undefined) throw new LocalFileError('cannot start another process')
    child.unref()
    return { pid, home, ended, logFromByte }
  } finally {
    await log.close()
  }
}

/**
 * Resolves with the daemon's first status. Throws ERR_DAEMON_ENDED, with the last lines of its log in
 * `onLogLine`, when it ends first, and ERR_TOO_SLOW after `waitMs`.
 */
export async function waitForDaemon(
  daemon: StartedDaemon,
  options: { readonly waitMs: number; readonly onLogLine: (line: string) => void; readonly signal?: AbortSignal },
): Promise<Status> {
  const control = connectControl(daemon.home)
  let exit: { readonly code: number | null } | undefined
  daemon.ended.then((code) => {
    exit = { code }
  })
  const untilMs = performance.now() + options.waitMs
  for (;;) {
    options.signal?.throwIfAborted()
    const status = await control.status(options.signal).catch(() => undefined)
    if (status !== undefined && status.pid === daemon.pid) return status
    if (exit !== undefined) {
      for (const line of await logTail(daemon)) options.onLogLine(line)
      const how = exit.code === null ? 'was killed' : `ended with exit code ${exit.code}`
      throw new DaemonEndedError(`the daemon ${how} while starting`, {
        kind: kindOfExitCode(exit.code),
        hint: `its log: ${join(daemon.home, LOG_NAME)}`,
      })
    }
    if (performance.now() > untilMs) {
      throw new TooSlowError(`the daemon (pid ${daemon.pid}) did not answer within ${options.waitMs / 1000} s`, {
        hint: `its log: ${join(daemon.home, LOG_NAME)}`,
      })
    }
    await sleep(POLL_EVERY_MS)
  }
}

/** The last lines that this run of the daemon wrote, made printable. */
export async function logTail(daemon: Pick<StartedDaemon, 'home' | 'logFromByte'>): Promise<string[]> {
  let log: FileHandle | undefined
  try {
    log = await open(join(daemon.home, LOG_NAME), 'r')
    const { size } = await log.stat()
    const from = Math.max(daemon.logFromByte, size - LOG_TAIL_SIZE_MAX)
    const bytes = Buffer.alloc(Math.max(0, size - from))
    const { bytesRead } = await log.read(bytes, 0, bytes.length, from)
    const lines = bytes.subarray(0, bytesRead).toString('utf8').split('\n')
    return lines
      .filter((line) => line.trim() !== '')
      .slice(-LOG_TAIL_LINES)
      .map(printable)
  } catch {
    return []
  } finally {
    await log?.close()
  }
}

/** A home, and the process that was last started in it, if any. */
export interface DaemonTrace {
  readonly home: string
  readonly pid: number | undefined
}

/**
 * The process that runs a daemon of `home`: the one that has the home's lock, whoever started it and how;
 * else the one last started, which may not have come to the lock yet.
 */
export async function findDaemon({ home, pid }: DaemonTrace): Promise<number | undefined> {
  const holder = homeHolder(home)
  if (holder !== undefined && (await isHolder(holder, home))) return holder
  return pid !== undefined && (await isDaemonOf(pid, home)) ? pid : undefined
}

/**
 * On Linux the lock tells processes of one number apart, and one that is on its way out has no words left;
 * elsewhere the number may be another's by now. SPEC home §2
 */
async function isHolder(pid: number, home: string): Promise<boolean> {
  return platform() === 'linux' ? (await commandLineOf(pid)) !== '' : isDaemonOf(pid, home)
}

/** Whether process `pid` is there and runs a daemon of `home`. A zombie counts as gone. */
export async function isDaemonOf(pid: number, home: string): Promise<boolean> {
  const words = await commandLineOf(pid)
  if (words !== undefined) return words.split(/[\0\n]/).includes(home) || words.includes(` ${home} `)
  const status = await connectControl(home)
    .status()
    .catch(() => undefined)
  return status?.pid === pid
}

/**
 * A question that tells whether the process that now has `pid` is still there; the id alone would not
 * do, since systems use it again.
 */
export async function watchProcess(pid: number): Promise<() => Promise<boolean>> {
  const before = await commandLineOf(pid)
  if (before !== undefined) return async () => before !== '' && (await commandLineOf(pid)) === before
  return async () => {
    try {
      return process.kill(pid, 0)
    } catch {
      return false
    }
  }
}

/** The words that started a process: '' when it is gone, undefined when this system does not tell. */
async function commandLineOf(pid: number): Promise<string | undefined> {
  if (!Number.isSafeInteger(pid) || pid <= 1) return ''
  if (platform() === 'linux') return readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  if (platform() === 'win32') return undefined
  const run = promisify(execFile)
  const answer = await run('ps', ['-ww', '-o', 'command=', '-p', String(pid)]).catch(() => ({ stdout: '' }))
  return answer.stdout
}

export interface EndBounds {
  readonly politelyMs: number
  readonly termMs: number
}

/**
 * Ends the daemon of `home` if process `pid` is one: by the control API, then by SIGTERM, then by
 * SIGKILL, each after its bound. Resolves once the process is gone; throws ERR_TOO_SLOW if it never is.
 */
export async function endDaemon(target: { pid: number; home: string }, bounds: EndBounds): Promise<void> {
  const isThere = await watchProcess(target.pid)
  if ((await findDaemon(target)) !== target.pid) return
  const asked = await connectControl(target.home)
    .stop({ announce: false })
    .then(
      () => true,
      () => false,
    )
  if (asked && (await isGoneWithin(isThere, bounds.politelyMs))) return
  if (!(await isThere())) return
  signalProcess(target.pid, 'SIGTERM')
  if (await isGoneWithin(isThere, bounds.termMs)) return
  signalProcess(target.pid, 'SIGKILL')
  if (await isGoneWithin(isThere, bounds.termMs)) return
  throw new TooSlowError(`process ${target.pid} does not end`)
}

/** Sends a signal; that the process has gone already is no error. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // Gone already: what was wanted.
  }
}

export async function isGoneWithin(isThere: () => Promise<boolean>, waitMs: number): Promise<boolean> {
  const untilMs = performance.now() + waitMs
  for (;;) {
    if (!(await isThere())) return true
    if (performance.now() > untilMs) return false
    await sleep(POLL_EVERY_MS)
  }
}
