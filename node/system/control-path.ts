/**
 * Where the daemon of a home folder listens for its user: HOME/control.sock; in a short private folder
 * under the system's folder for temporary files when that path is too long for a socket; a named pipe on
 * Windows. SPEC home §3
 */
import { lstatSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fromUtf8 } from '../../core/index.ts'
import { anothersFolder, folderError, HomePermissionError, systemCodeOf } from './errors.ts'
import { FOLDER_MODE, ownUser } from './files.ts'

/** Systems take 104 to 108 bytes. */
const SOCKET_PATH_SIZE_MAX = 100

export function controlPathOf(home: string): string {
  const absolute = resolve(home)
  if (process.platform === 'win32') return `\\\\.\\pipe\\hush-${shortHash(absolute)}`
  const path = join(absolute, 'control.sock')
  if (fromUtf8(path).length <= SOCKET_PATH_SIZE_MAX) return path
  return join(tmpdir(), `hush-${ownUser()}-${shortHash(absolute)}`, 'control.sock')
}

/**
 * Throws ERR_HOME_PERMISSIONS when the socket's folder is not ours alone: under a folder that everyone may
 * write to, somebody else may have made it first, to be taken for our daemon. Both ends call this.
 */
export function checkControlFolder(path: string): void {
  if (process.platform === 'win32') return
  const folder = dirname(path)
  try {
    const found = lstatSync(folder)
    // HOME itself may be a link that its user made, and has been checked where it was opened.
    if (found.isSymbolicLink() && !folder.startsWith(tmpdir())) return
    if (!found.isDirectory()) throw new HomePermissionError(folder, 'is not a folder')
    if (found.uid !== ownUser()) throw anothersFolder(folder)
    if ((found.mode & 0o077) !== 0)
      throw new HomePermissionError(
        folder,
        'can be entered by other users',
        `chmod ${FOLDER_MODE.toString(8)} ${folder}`,
      )
  } catch (error) {
    if (error instanceof HomePermissionError) throw error
    const code = systemCodeOf(error)
    // Nobody listens there, which the connection will show.
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw folderError(folder, error)
  }
}

/** FNV-1a of 64 bits in hex: tells homes apart, protects nothing; the folder's owner is checked. */
function shortHash(text: string): string {
  let hash = 0xcbf29ce484222325n
  for (const value of fromUtf8(text)) hash = ((hash ^ BigInt(value)) * 0x100000001b3n) & 0xffffffffffffffffn
  return hash.toString(16).padStart(16, '0')
}
