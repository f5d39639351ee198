#!/usr/bin/env node
/**
 * The `hush` command: hands the real process to `run`, and ends with its exit code.
 */
import { createWriteStream, fstatSync, readFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { rooms } from './commands/rooms.ts'
import { run } from './run.ts'
import type { World } from './world.ts'

/** From the package's own description: one folder up in the source, two in the built package. */
function readVersion(): string {
  for (const path of ['../package.json', '../../package.json']) {
    try {
      const found = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'))
      if (found.name === 'hushring') return String(found.version)
    } catch {
      // Not here: look one folder further up.
    }
  }
  return 'unknown'
}

/** Node's own stream over a file takes a write that the system cut short, on a disk nearly full, for a whole one. */
function standardOutput(): World['stdout'] {
  return fstatSync(1).isFile() ? createWriteStream('', { fd: 1, autoClose: false }) : process.stdout
}

const world: World = {
  stdin: process.stdin,
  stdout: standardOutput(),
  stderr: process.stderr,
  env: process.env,
  nodeOptions: process.execArgv,
  folder: process.cwd(),
  userFolder: homedir(),
  temporaryFolder: tmpdir(),
  version: readVersion(),
  self: { program: process.execPath, script: fileURLToPath(import.meta.url) },
  onInterrupt: (stop) => {
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
    for (const signal of signals) process.on(signal, stop)
    return () => {
      for (const signal of signals) process.off(signal, stop)
    }
  },
  ...rooms,
}

// A reader that has gone away is met where the bytes are written; stderr's is nobody's concern.
process.stderr.on('error', () => undefined)
// By now all output is flushed; what may still be open (a connection given up, standard input) must not hold the process.
process.exit(await run(process.argv.slice(2), world))
