/**
 * The file that a get writes: first a hidden part beside the target, then, whole and flushed, the
 * target itself. The final name never names a part of a file. SPEC control §9
 *
 * The part is `.NAME.TAG.hush-part`, TAG being 8 hex digits of SHA-256 of the address, so a part is
 * only ever taken up for the address it belongs to. Bytes are written at their own places, from the
 * part's end on, and an object's bytes never change: two gets into one part do each other no harm.
 */
import { constants as FS, type Stats } from 'node:fs'
import { type FileHandle, link, lstat, open, readdir, rename, unlink } from 'node:fs/promises'
import { platform } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fromUtf8, toHex } from '../core/index.ts'
import { LocalFileError, reasonOf, systemCodeOf, TargetExistsError } from './errors.ts'

const PART_END = '.hush-part'
/** File names hold 255 bytes; the part's own marks need 20. */
const NAME_SIZE_MAX = 200

/** The first 8 hex digits of SHA-256 of the address text. */
export async function addressTag(address: string): Promise<string> {
  const digest = await globalThis.crypto.subtle.digest('SHA-256', fromUtf8(address))
  return toHex(new Uint8Array(digest)).slice(0, 8)
}

/**
 * A publisher's name as a file name in the current folder: the last piece of a path, without control
 * characters, reading-direction marks, what Windows forbids, or leading dots and blanks.
 */
export function safeFileName(name: string | undefined, fallback: string): string {
  const last = (name ?? '').split(/[/\\]/).at(-1) ?? ''
  const clean = last
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is taken out
    .replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffd<>:"|?*]/g, '')
    .replace(/^[.\s-]+/, '')
  const short = cutToBytes(clean, NAME_SIZE_MAX).replace(/[.\s]+$/, '')
  return short === '' || /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i.test(short) ? fallback : short
}

export function partPath(target: string, tag: string): string {
  return join(dirname(target), `.${cutToBytes(basename(target), NAME_SIZE_MAX)}.${tag}${PART_END}`)
}

/** The name that an earlier get of this address, not told any, was writing in `folder`. */
export async function findPartName(folder: string, tag: string): Promise<string | undefined> {
  const end = `.${tag}${PART_END}`
  const entries = await readdir(folder).catch(() => [])
  const part = entries.find((entry) => entry.startsWith('.') && entry.endsWith(end) && entry.length > end.length + 1)
  return part?.slice(1, -end.length)
}

/** Throws ERR_TARGET_EXISTS unless `target` is free, or `isForced` and a file that may be replaced. */
export async function checkTarget(target: string, isForced: boolean): Promise<void> {
  const found = await lstat(target).catch((error: unknown) => {
    if (systemCodeOf(error) === 'ENOENT') return undefined
    throw new LocalFileError(`cannot write ${target}: ${reasonOf(error)}`, { cause: error })
  })
  if (found === undefined) return
  if (found.isDirectory()) {
    throw new TargetExistsError(`${target} is a folder`, { hint: `name a file in it: -o ${join(target, 'NAME')}` })
  }
  if (!found.isFile() && !found.isSymbolicLink()) {
    throw new TargetExistsError(`${target} is not a plain file`, { hint: 'send the bytes there with: -o - > FILE' })
  }
  if (!isForced) {
    throw new TargetExistsError(`${target} exists already`, {
      hint: 'name another file with -o, or replace it with --force',
    })
  }
}

export class PartFile {
  readonly path: string
  readonly #target: string
  readonly #handle: FileHandle
  /** Tells our file from another one of the same name. */
  readonly #number: number
  #sizeBytes: number

  private constructor(paths: { part: string; target: string }, handle: FileHandle, found: Stats) {
    this.path = paths.part
    this.#target = paths.target
    this.#handle = handle
    this.#number = found.ino
    this.#sizeBytes = found.size
  }

  /** Takes up the part that lies beside `target`, or starts one. What is not plainly ours is refused. */
  static async open(target: string, tag: string): Promise<PartFile> {
    const part = partPath(target, tag)
    // No following of links: in a folder that others write to, the name could have been planted.
    const noFollow = platform() === 'win32' ? 0 : FS.O_NOFOLLOW
    const handle = await open(part, FS.O_RDWR | FS.O_CREAT | noFollow, 0o600).catch((error: unknown) => {
      if (systemCodeOf(error) === 'ENOENT') {
        const folder = dirname(target)
        throw new LocalFileError(`cannot write ${target}: the folder ${folder} does not exist`, {
          cause: error,
          hint: `make it with: mkdir -p ${folder}`,
        })
      }
      throw new LocalFileError(`cannot write beside ${target}: ${reasonOf(error)}`, { cause: error })
    })
    const found = await handle.stat()
    const isOurs =
      found.isFile() && found.nlink === 1 && (process.geteuid === undefined || found.uid === process.geteuid())
    if (!isOurs) {
      await handle.close()
      throw new LocalFileError(`${part} is in the way and not a file of yours`, { hint: 'remove it, or choose -o' })
    }
    return new PartFile({ part, target }, handle, found)
  }

  /** Bytes held so far: where to go on from. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  async append(bytes: Uint8Array): Promise<void> {
    let at = 0
    try {
      while (at < bytes.length) {
        at += (await this.#handle.write(bytes, at, bytes.length - at, this.#sizeBytes + at)).bytesWritten
      }
    } catch (error) {
      throw new LocalFileError(`cannot write ${this.#target}: ${reasonOf(error)}`, { cause: error })
    } finally {
      this.#sizeBytes += at
    }
  }

  /** Forgets what is held: it cannot be of this object. */
  async restart(): Promise<void> {
    await this.#handle.truncate(0)
    this.#sizeBytes = 0
  }

  /** Flushes the part and gives it its final name, which it takes from nobody unless `isForced`. */
  async finish(isForced: boolean): Promise<void> {
    try {
      await this.#handle.chmod(0o666 & ~process.umask()).catch(() => undefined)
      await this.#handle.sync()
      await this.#handle.close()
      if (isForced) await rename(this.path, this.#target)
      else await this.#moveIntoFreePlace()
      await syncFolder(dirname(this.#target))
    } catch (error) {
      if ((await this.#at(this.#target)) !== undefined) {
        // Another get of this address took our part and made it the target: it is whole, and what was asked for.
        if (isForced) return
        throw new TargetExistsError(`another get of this address has made ${this.#target} in the meantime`, {
          hint: 'nothing is left to do: the file is whole',
        })
      }
      if (error instanceof TargetExistsError) throw error
      throw new LocalFileError(`cannot write ${this.#target}: ${reasonOf(error)}`, { cause: error })
    }
  }

  /**
   * After a failure: keeps what may be gone on with and returns its size, 0 when another get has finished
   * the part; one that is empty, whoever writes into it, goes.
   */
  async abandon(): Promise<number> {
    await this.#handle.sync().catch(() => undefined)
    await this.#handle.close().catch(() => undefined)
    const left = await this.#at(this.path)
    if (left?.size === 0) await unlink(this.path).catch(() => undefined)
    return left?.size ?? 0
  }

  /** What lies at `path`, if it is our file. */
  async #at(path: string): Promise<Stats | undefined> {
    const found = await lstat(path).catch(() => undefined)
    return found?.ino === this.#number ? found : undefined
  }

  async #moveIntoFreePlace(): Promise<void> {
    try {
      await link(this.path, this.#target)
      await unlink(this.path)
    } catch (error) {
      const code = systemCodeOf(error)
      if (code === 'EEXIST') throw this.#taken()
      if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'ENOSYS' && code !== 'EMLINK') throw error
      // A file system without links: claim the name, then put the whole file in its place.
      const claim = await open(this.#target, 'wx').catch((failure: unknown) => {
        throw systemCodeOf(failure) === 'EEXIST' ? this.#taken() : failure
      })
      await claim.close()
      await rename(this.path, this.#target)
    }
  }

  #taken(): TargetExistsError {
    return new TargetExistsError(`${this.#target} appeared in the meantime`, {
      hint: `what was fetched is in ${this.path}; run it again with another -o, or with --force`,
    })
  }
}

async function syncFolder(folder: string): Promise<void> {
  if (platform() === 'win32') return
  const handle = await open(folder, 'r').catch(() => undefined)
  await handle?.sync().catch(() => undefined)
  await handle?.close()
}

/** The longest beginning of `text` that fits, never cutting a character. */
function cutToBytes(text: string, sizeMax: number): string {
  let cut = ''
  let size = 0
  for (const letter of text) {
    size += fromUtf8(letter).length
    if (size > sizeMax) break
    cut += letter
  }
  return cut
}
