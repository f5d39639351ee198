/**
 * The `hush` command as a user runs it: the built program in a process of its own. HUSH_E2E_MAIN names
 * another build than dist/.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const MAIN = process.env.HUSH_E2E_MAIN ?? fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url))
/** No command of these tests may take longer; one that does is ended, and its code is null. */
const PATIENCE_MS = 150_000

export interface Ran {
  /** Null after a signal. */
  readonly code: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

export interface RunOptions {
  readonly folder?: string
  /** Standard input; empty unless given. */
  readonly input?: Uint8Array
  /** Variables besides those of the tests. */
  readonly env?: Readonly<Record<string, string>>
  /** Options of Node itself. */
  readonly nodeOptions?: readonly string[]
  /** Program and words to run it under, such as those that enter a network namespace. */
  readonly under?: readonly string[]
}

/** Resolves with what the command said, however it ended. */
export function hush(words: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { under = [], nodeOptions = [] } = options
  return runProgram([...under, process.execPath, ...nodeOptions, MAIN, ...words], options)
}

/** `tar`, `sh` and the like, run in the same way. */
export function runProgram([program = '', ...words]: readonly string[], options: RunOptions = {}): Promise<Ran> {
  if (!existsSync(MAIN)) throw new Error(`${MAIN} is not there: npm run build`)
  return new Promise((resolve, reject) => {
    const { HUSH_HOME: _, ...given } = process.env
    const env = { ...given, ...options.env }
    const child = spawn(program, words, { stdio: 'pipe', env, ...(options.folder && { cwd: options.folder }) })
    const late = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS)
    const told: Buffer[] = []
    let stderr = ''
    child.stdout.on('data', (bytes: Buffer) => told.push(bytes))
    child.stderr.on('data', (bytes: Buffer) => {
      stderr += bytes.toString()
    })
    child.once('error', reject)
    child.once('close', (code) => {
      clearTimeout(late)
      resolve({ code, stdout: Buffer.concat(told), stderr })
    })
    // A command that ends before it has read everything is no failure of the test.
    child.stdin.on('error', () => undefined)
    child.stdin.end(options.input ?? new Uint8Array(0))
  })
}

/** The command line that a shell needs to start `hush` in a pipe. */
export const hushInShell = `'${process.execPath}' '${MAIN}'`

/** The only line on standard output: the address. Throws, with what the command said, when there is none. */
export function addressOf(ran: Ran): string {
  const address = acknowledged(ran)
  if (address === undefined) throw new Error(`no address: exit code ${ran.code}; ${ran.stderr}`)
  return address
}

/** The address, if this put says that it stored its object. */
export function acknowledged(ran: Ran): string | undefined {
  if (ran.code !== 0 && ran.code !== 3) return undefined
  return /^(hush:[a-z2-7]+)\n$/.exec(ran.stdout.toString())?.[1]
}
