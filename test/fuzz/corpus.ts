/**
 * test/fuzz/corpus/TARGET/: inputs that each reach something of their own, found by the fuzzer, named by
 * their hash. `crash-` before the name: an input that once broke the decoder, with a note beside it; these
 * stay for ever. Read in place by the tests; written by the fuzzer only.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** From the root of the repository, where tests and scripts run. */
const FOLDER = join(process.cwd(), 'test', 'fuzz', 'corpus')
const CRASH = 'crash-'

export interface Entry {
  readonly name: string
  readonly bytes: Uint8Array
  readonly isCrash: boolean
}

export function readCorpus(target: string): Entry[] {
  const folder = join(FOLDER, target)
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((file) => file.endsWith('.bin'))
    .sort()
    .map((file) => ({
      name: file.slice(0, -4),
      bytes: new Uint8Array(readFileSync(join(folder, file))),
      isCrash: file.startsWith(CRASH),
    }))
}

/** Folders that hold a corpus. */
export function corpusNames(): string[] {
  return existsSync(FOLDER) ? readdirSync(FOLDER).sort() : []
}

/** Replaces what was found of the target before; crashes stay. */
export function writeCorpus(target: string, inputs: readonly Uint8Array[]): void {
  const folder = join(FOLDER, target)
  mkdirSync(folder, { recursive: true })
  const names = new Set(inputs.map((bytes) => `${hashOf(bytes)}.bin`))
  for (const file of readdirSync(folder)) {
    if (file.endsWith('.bin') && !file.startsWith(CRASH) && !names.has(file)) rmSync(join(folder, file))
  }
  for (const bytes of inputs) writeFileSync(join(folder, `${hashOf(bytes)}.bin`), bytes)
}

/** Returns the file's path. */
export function writeCrash(target: string, bytes: Uint8Array, note: string): string {
  const folder = join(FOLDER, target)
  mkdirSync(folder, { recursive: true })
  const path = join(folder, CRASH + hashOf(bytes))
  writeFileSync(`${path}.bin`, bytes)
  writeFileSync(`${path}.txt`, `${note}\n`)
  return `${path}.bin`
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16)
}
