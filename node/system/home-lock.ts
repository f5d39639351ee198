/**
 * One process to a home folder. Each one that wants it puts a file of its own into HOME/lock, named by
 * its process, and then looks who else is there: it has the home when nobody else's file belongs to a
 * living process. No name is ever used twice, so files of the dead can be removed at any time without
 * taking away a newer lock, and of two that come at once at least one sees the other. SPEC home §2
 *
 * File name: <pid>-<start>, start = when the process began, as the system counts it, so that a number
 * given out anew is not taken for the old process; 0 where the system does not tell.
 */
import { closeSync, existsSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { below, type Jitter } from '../../core/index.ts'
import { FileError, HomeInUseError, systemCodeOf } from './errors.ts'
import { type Home, openPrivateFolder, SECRET_MODE, sweepTemporaries } from './files.ts'

const LOCK_FOLDER = 'lock'
const PID_FILE = 'daemon.pid'
const NAME = /^([1-9][0-9]{0,9})-([0-9]{1,20}(?:-[0-9a-f]{8})?)$/
/** Two that come at once may both step back; they come again after a time of their own. */
const TRIES_MAX = 5
const STEP_BACK_MS = 40

export interface HomeLock {
  /** Whether the home is still there and our file in it: false once somebody has taken it away. */
  isHeld(): boolean
  /** Gives the home free. Harmless when called twice. */
  release(): void
}

/** Throws ERR_HOME_IN_USE when a living process has the home. Writes `daemon.pid` once it is ours. */
export async function lockHome(home: Home, ports: { jitter: Jitter }): Promise<HomeLock> {
  const folder = home.folder(LOCK_FOLDER)
  for (let tries = 1; ; tries++) {
    const own = enter(folder)
    const holder = othersAlive(folder, own)
    if (holder === undefined) return take(home, folder, own)
    leave(folder, own)
    if (tries === TRIES_MAX) throw new HomeInUseError(home.path, holder)
    // Not by the Clock port, whose timers let a process end while it waits.
    await pause(below(ports.jitter, STEP_BACK_MS * tries) + 1)
  }
}

/** The living process that has the home at this path, if any; asks without taking part and makes nothing. */
export function homeHolder(path: string): number | undefined {
  try {
    return othersAlive(join(path, LOCK_FOLDER), undefined)
  } catch (cause) {
    if (systemCodeOf(cause) === 'ENOENT') return undefined
    throw new FileError(`reading ${join(path, LOCK_FOLDER)}`, { cause })
  }
}

async function take(home: Home, folder: string, own: string): Promise<HomeLock> {
  let isHeld = true
  const release = () => {
    if (!isHeld) return
    isHeld = false
    // Where our file is gone, another process may have come, and the number is its own.
    if (existsSync(join(folder, own))) home.remove(PID_FILE)
    leave(folder, own)
  }
  try {
    sweepTemporaries(home.path)
    await home.write(PID_FILE, `${process.pid}\n`)
  } catch (error) {
    release()
    throw error
  }
  // By name, not by an open file: a home put in the place of the old one is not ours.
  return { isHeld: () => isHeld && existsSync(join(folder, own)), release }
}

/** A second lock by the same process finds its own file and is refused as any other. */
function enter(folder: string): string {
  const own = `${process.pid}-${startOf(process.pid) ?? '0'}`
  openPrivateFolder(folder)
  try {
    closeSync(openSync(join(folder, own), 'wx', SECRET_MODE))
    return own
  } catch (cause) {
    if (systemCodeOf(cause) === 'EEXIST') throw new HomeInUseError(dirname(folder), process.pid)
    throw new FileError(`locking ${folder}`, { cause })
  }
}

function leave(folder: string, name: string): void {
  rmSync(join(folder, name), { force: true })
}

function othersAlive(folder: string, own: string | undefined): number | undefined {
  for (const name of readdirSync(folder)) {
    const match = NAME.exec(name)
    if (match === null || name === own) continue
    const pid = Number(match[1])
    if (isAlive(pid, match[2] as string)) return pid
    if (own !== undefined) leave(folder, name)
  }
  return undefined
}

function isAlive(pid: number, start: string): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    // Somebody else's process has that number: alive, if it is the one.
    if (systemCodeOf(error) !== 'EPERM') return false
  }
  const startNow = startOf(pid)
  return startNow === undefined || startNow === start
}

/**
 * On Linux clock ticks from the boot to the process's start, and a part of the boot's own name; '' for a
 * process that has ended and is only waited for. Undefined where the system does not tell.
 */
function startOf(pid: number): string | undefined {
  if (process.platform !== 'linux') return undefined
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The second field is the program's name and may hold anything, brackets too.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (fields[0] === 'Z') return ''
    return `${fields[19] as string}-${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').slice(0, 8)}`
  } catch {
    return undefined
  }
}
