/**
 * The home folder: everything a node keeps on disk, readable by its user alone. A file is written whole
 * under another name, flushed, and renamed into place, so a crash leaves the old one or the new one.
 * SPEC home §1. Modes are not checked on Windows, which has none.
 */
import { chmodSync, closeSync, fstatSync, lstatSync, mkdirSync, openSync, readdirSync, readSync, rmSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { assert, toUtf8 } from '../../core/index.ts'
import { anothersFolder, FileError, folderError, HomePermissionError, systemCodeOf } from './errors.ts'

export const FOLDER_MODE = 0o700
export const SECRET_MODE = 0o600
/** No file that is read whole is larger. */
const FILE_SIZE_MAX = 64 * 1024 * 1024
const TEMPORARY = /\.[0-9]+-[0-9]+\.tmp$/
const NAME = /^[a-z0-9][a-z0-9.-]{0,99}$/
const HAS_MODES = process.platform !== 'win32'

export interface Home {
  /** Absolute. */
  readonly path: string
  /** Absolute path of a file or folder directly in the home. */
  pathOf(name: string): string
  /** The whole file, or undefined when there is none. With `secret`, refuses a file that others may read. */
  read(name: string, options?: { secret?: boolean }): Uint8Array | undefined
  /** As `read`, as UTF-8. */
  readText(name: string, options?: { secret?: boolean }): string | undefined
  /** Mode 0600. Resolves once the new file would survive a crash. */
  write(name: string, content: Uint8Array | string): Promise<void>
  remove(name: string): void
  /** Absolute path of a folder in the home, made (0700) when missing. */
  folder(name: string): string
}

/** `--home`, else HUSH_HOME, else ~/.hush. Absolute. */
export function homePathOf(choice: {
  readonly flag?: string | undefined
  readonly environment: Readonly<Record<string, string | undefined>>
}): string {
  const named = choice.flag ?? choice.environment.HUSH_HOME
  return named === undefined || named === '' ? join(homedir(), '.hush') : resolve(named)
}

/** Opens the home folder, and makes it when missing. Throws ERR_HOME_PERMISSIONS when others may enter it. */
export function openHome(path: string): Home {
  const home = resolve(path)
  openPrivateFolder(home)
  const pathOf = (name: string) => {
    assert(NAME.test(name), 'a name in the home is one short word')
    return join(home, name)
  }
  const read: Home['read'] = (name, options) => readWhole(pathOf(name), options)
  return {
    path: home,
    pathOf,
    read,
    readText(name, options) {
      const bytes = read(name, options)
      if (bytes === undefined) return undefined
      const text = toUtf8(bytes)
      if (text === undefined) throw new FileError(`reading ${pathOf(name)}`, { cause: { code: 'not text' } })
      // Some editors begin a text with a byte order mark.
      return text.startsWith('\ufeff') ? text.slice(1) : text
    },
    write: (name, content) => writeWhole(pathOf(name), content),
    remove: (name) => removeFile(pathOf(name)),
    folder(name) {
      const folder = pathOf(name)
      openPrivateFolder(folder)
      return folder
    },
  }
}

/**
 * Makes sure of a folder that is ours alone. An empty one of ours is tightened; one that has something in
 * it is refused rather than changed, since it may be open for a reason.
 */
export function openPrivateFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: FOLDER_MODE })
    const found = lstatSync(path)
    const isLink = found.isSymbolicLink()
    // A home may be a link its user made; what matters is where it leads.
    const folder = isLink ? fstatOf(path) : found
    if (!folder.isDirectory()) throw new HomePermissionError(path, 'is not a folder')
    if (!HAS_MODES) return
    if (folder.uid !== ownUser()) throw anothersFolder(path)
    if ((folder.mode & 0o077) === 0) return
    if (readdirSync(path).length === 0) chmodSync(path, FOLDER_MODE)
    else throw new HomePermissionError(path, 'can be entered by other users', `chmod 700 ${path}`)
  } catch (cause) {
    if (cause instanceof HomePermissionError) throw cause
    throw folderError(path, cause)
  }
}

function fstatOf(path: string) {
  const file = openSync(path, 'r')
  try {
    return fstatSync(file)
  } finally {
    closeSync(file)
  }
}

/** What is checked is what is read: both through one open file. */
export function readWhole(path: string, options?: { secret?: boolean }): Uint8Array | undefined {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (cause) {
    if (systemCodeOf(cause) === 'ENOENT') return undefined
    throw new FileError(`reading ${path}`, { cause })
  }
  try {
    const found = fstatSync(file)
    if (options?.secret === true && HAS_MODES) {
      if (found.uid !== ownUser()) throw new HomePermissionError(path, 'belongs to another user')
      if ((found.mode & 0o077) !== 0)
        throw new HomePermissionError(path, 'can be read by other users', `chmod 600 ${path}`)
    }
    if (!found.isFile() || found.size > FILE_SIZE_MAX)
      throw new FileError(`reading ${path}`, { cause: { code: found.isFile() ? 'too large' : 'not a file' } })
    const bytes = new Uint8Array(found.size)
    let at = 0
    while (at < bytes.length) {
      const got = readSync(file, bytes, at, bytes.length - at, at)
      if (got === 0) break
      at += got
    }
    return bytes.subarray(0, at)
  } catch (cause) {
    if (cause instanceof FileError || cause instanceof HomePermissionError) throw cause
    throw new FileError(`reading ${path}`, { cause })
  } finally {
    closeSync(file)
  }
}

let written = 0

/** The old content or the new one, whatever happens between. */
export async function writeWhole(path: string, content: Uint8Array | string): Promise<void> {
  written += 1
  const temporary = `${path}.${process.pid}-${written}.tmp`
  try {
    const file = await open(temporary, 'wx', SECRET_MODE)
    try {
      await file.writeFile(content)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    await flushFolder(dirname(path))
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => {})
    throw new FileError(`writing ${path}`, { cause })
  }
}

/** A rename is durable once its folder is. Windows cannot open folders and needs it not. */
async function flushFolder(path: string): Promise<void> {
  if (!HAS_MODES) return
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** Removes what writes that a crash cut off have left behind; only by who holds the lock. */
export function sweepTemporaries(folder: string): void {
  for (const name of readdirSync(folder)) if (isTemporary(name)) removeFile(join(folder, name))
}

export function isTemporary(name: string): boolean {
  return TEMPORARY.test(basename(name))
}

function removeFile(path: string): void {
  try {
    rmSync(path, { force: true })
  } catch (cause) {
    throw new FileError(`removing ${path}`, { cause })
  }
}

/** Only asked for where there are users. */
export function ownUser(): number {
  return process.getuid?.() ?? -1
}
