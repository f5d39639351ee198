/**
 * From an error to its exit code and its words on stderr. docs/exit-codes.md
 *
 * `error:` what failed; `hint:` what to do about it. With --json one line of JSON instead of both.
 */
import { constants } from 'node:os'
import { type ErrorKind, HushError } from '../../core/index.ts'
import { InterruptedError, OutputClosedError } from '../errors.ts'
import { printable } from './text.ts'

export const EXIT = { ok: 0, bug: 1, input: 2, degraded: 3, unavailable: 4, peer: 5, local: 6 } as const

const EXIT_OF_KIND: Readonly<Record<ErrorKind, number>> = {
  bug: EXIT.bug,
  input: EXIT.input,
  unavailable: EXIT.unavailable,
  peer: EXIT.peer,
  local: EXIT.local,
}

/** Whom an exit code of a process of ours blames. */
export function kindOfExitCode(code: number | null): ErrorKind {
  if (code === EXIT.input) return 'input'
  if (code === EXIT.unavailable) return 'unavailable'
  if (code === EXIT.peer) return 'peer'
  if (code === EXIT.local) return 'local'
  return 'bug'
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof InterruptedError) return 128 + (constants.signals[error.signal] ?? 0)
  if (error instanceof OutputClosedError) return 128 + (constants.signals.SIGPIPE ?? 13)
  return error instanceof HushError ? EXIT_OF_KIND[error.kind] : EXIT.bug
}

export interface TellOptions {
  readonly json: boolean
  readonly trace: boolean
  /** What was typed to name the home, as ` --home ./net/client-a`; empty when nothing was. */
  readonly homeWords: string
}

/** What goes to stderr, with its line feeds; empty for what needs no word. */
export function errorText(error: unknown, options: TellOptions): string {
  if (error instanceof OutputClosedError) return ''
  const told = tell(error, options.homeWords)
  if (options.json) return `${JSON.stringify({ error: told, exit: exitCodeOf(error) })}\n`
  const lines = [`error: ${printable(told.message)}`]
  if (told.hint !== undefined) lines.push(`hint: ${printable(told.hint)}`)
  if (options.trace && error instanceof Error && error.stack !== undefined) {
    lines.push(...error.stack.split('\n').map((line) => `note: ${printable(line)}`))
  }
  return `${lines.join('\n')}\n`
}

function tell(error: unknown, homeWords: string): { code: string; kind: string; message: string; hint?: string } {
  if (error instanceof HushError) {
    const { code, kind, message, hint } = error
    return { code, kind, message, ...(hint !== undefined && { hint: forHome(hint, homeWords) }) }
  }
  if (error instanceof InterruptedError) return { code: 'ERR_INTERRUPTED', kind: 'input', message: error.message }
  const words = error instanceof Error ? error.message : String(error)
  return {
    code: 'ERR_BUG',
    kind: 'bug',
    message: `internal: ${words}`,
    hint: 'this is a fault of hush; run it again with HUSH_TRACE=1 and report what it prints',
  }
}

/** The commands of a hint that comes from below, where nobody knows by which words the home was named. */
function forHome(hint: string, homeWords: string): string {
  return hint.replace(
    /\bhush (?:status|ledger|down(?: --now)?|up --detach|keep --list|check ADDRESS)\b(?! --)/g,
    (command) => command + homeWords,
  )
}
