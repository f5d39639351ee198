/**
 * Log lines as JSON, one a line, to stderr or to a file that is kept within bounds: at its limit it is
 * renamed to `<file>.old` and begun anew. A log that cannot be written never stops the node.
 * SPEC home §1
 */
import { closeSync, constants, fchmodSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs'
import { pino } from 'pino'
import type { Log, LogLevel } from '../../core/index.ts'
import { FileError } from './errors.ts'

export const LOG_FILE_SIZE_MAX = 16 * 1024 * 1024

export interface LogOptions {
  readonly level: LogLevel
  /** Undefined: stderr. */
  readonly file?: string
  /** For each line; never a secret. */
  readonly fields?: Readonly<Record<string, string | number>>
  readonly fileSizeMax?: number
}

interface Lines {
  write(line: string): void
}

export function makeLog(options: LogOptions): Log {
  const lines = options.file === undefined ? stderrLines() : fileLines(options.file, options.fileSizeMax)
  const logger = pino(
    {
      level: options.level,
      base: options.fields ?? null,
      messageKey: 'event',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
    },
    lines,
  )
  return (level, event, fields) => logger[level](fields ?? {}, event)
}

function stderrLines(): Lines {
  return { write: (line) => void tryWrite(2, line) }
}

function fileLines(path: string, sizeMax = LOG_FILE_SIZE_MAX): Lines {
  let { file, size } = openFile(path)
  return {
    write(line) {
      if (size >= sizeMax) {
        try {
          renameSync(path, `${path}.old`)
          const next = openFile(path)
          closeSync(file)
          file = next.file
          size = next.size
        } catch {
          // Goes on in the old file and tries again after as many bytes.
          size = 0
        }
      }
      size += tryWrite(file, line)
    },
  }
}

function openFile(path: string): { file: number; size: number } {
  try {
    const file = openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT, 0o600)
    fchmodSync(file, 0o600)
    return { file, size: fstatSync(file).size }
  } catch (cause) {
    throw new FileError(`opening the log ${path}`, { cause })
  }
}

/** The bytes written: 0 when the disk is full or the reader gone. */
function tryWrite(file: number, line: string): number {
  try {
    return writeSync(file, line)
  } catch {
    return 0
  }
}
