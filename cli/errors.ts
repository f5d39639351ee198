/** What the command line itself finds wrong, before or after the daemon has its say. SPEC control §8 */
import { type ErrorKind, HushError, InputError, LocalError, UnavailableError } from '../core/index.ts'

/** The words of the command line do not make a command. */
export class UsageError extends InputError {
  readonly code = 'ERR_USAGE'
}

/** A file named on the command line cannot be read. */
export class FileUnreadableError extends InputError {
  readonly code = 'ERR_FILE_UNREADABLE'
}

/** The file to write is there already. */
export class TargetExistsError extends InputError {
  readonly code = 'ERR_TARGET_EXISTS'
}

/** This machine would not write or read what the command needs. */
export class LocalFileError extends LocalError {
  readonly code = 'ERR_LOCAL_FILE'
}

export class AlreadyRunningError extends LocalError {
  readonly code = 'ERR_ALREADY_RUNNING'
}

/** A daemon that this command started has ended; its own exit code says of which kind the reason is. */
export class DaemonEndedError extends HushError {
  readonly code = 'ERR_DAEMON_ENDED'
  readonly kind: ErrorKind
  constructor(what: string, options: { readonly kind: ErrorKind; readonly hint?: string }) {
    super(what, options.hint === undefined ? undefined : { hint: options.hint })
    this.kind = options.kind
  }
}

/** Something that was started did not get ready, or did not stop, within its bound. */
export class TooSlowError extends UnavailableError {
  readonly code = 'ERR_TOO_SLOW'
}

/** What came back is not what was put. */
export class DemoFailedError extends UnavailableError {
  readonly code = 'ERR_DEMO_FAILED'
}

/** The user, or the system, asked the command to stop. */
export class InterruptedError extends Error {
  readonly signal: NodeJS.Signals
  constructor(signal: NodeJS.Signals) {
    super(`interrupted by ${signal}`)
    this.signal = signal
  }
}

/** Whoever read our standard output has gone; not worth a word. */
export class OutputClosedError extends Error {}

/** The stable short name of a system error, or undefined for any other value. */
export function systemCodeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : undefined
}

const SYSTEM_WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of its path is not a folder',
  EEXIST: 'it exists already',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the file would be larger than the system allows',
  EROFS: 'the file system is read-only',
  EIO: 'the disk reports an error',
  ENAMETOOLONG: 'its name is too long',
  ELOOP: 'it is a symbolic link',
  EMFILE: 'too many files are open',
}

/** The reason of a system error in words, without the path. */
export function reasonOf(error: unknown): string {
  const code = systemCodeOf(error)
  if (code === undefined) return error instanceof Error ? error.message : String(error)
  return SYSTEM_WORDS[code] ?? `the system reports ${code}`
}
