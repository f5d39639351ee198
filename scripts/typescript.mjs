/**
 * Compiles one TypeScript file with all that it imports and runs it, because Node 20 does not read
 * TypeScript. No type check: `npm run types` does that. The program runs in the root of the repository and
 * should look for files from there, not from its own place. Signals are handed on, since it may have
 * processes of its own to end.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP']

/** `entry`: a path from the root, as bench/transfer.ts. `scratch`: a folder inside dist. Exits with its code. */
export async function compileAndRun({ entry, scratch, args, nodeOptions = [] }) {
  const folder = await compile({ entries: [entry], scratch })
  await run([...nodeOptions, `${folder}/${entry.replace(/\.ts$/, '.js')}`, ...args])
}

/** Returns the folder that now holds the compiled tree. */
export async function compile({ entries, scratch }) {
  if (!existsSync(`${root}crypto/erasure/kernel-bytes.ts`)) fail('run npm run build first')
  const folder = `${root}dist/${scratch}`
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const compilerOptions = { noEmit: false, noCheck: true, outDir: '.', rootDir: '../..' }
  const options = {
    extends: '../../tsconfig.json',
    compilerOptions,
    include: [],
    files: entries.map((entry) => `../../${entry}`),
  }
  writeFileSync(`${folder}/tsconfig.json`, JSON.stringify(options))
  const compiler = createRequire(import.meta.url)
    .resolve('typescript/package.json')
    .replace(/package\.json$/, 'bin/tsc')
  await run([compiler, '-p', `${folder}/tsconfig.json`])
  return folder
}

export async function run(command) {
  const child = spawn(process.execPath, command, { cwd: root, stdio: 'inherit' })
  const handOn = (signal) => child.kill(signal)
  for (const signal of SIGNALS) process.on(signal, handOn)
  const status = await new Promise((resolve) => child.once('exit', resolve).once('error', () => resolve(1)))
  for (const signal of SIGNALS) process.off(signal, handOn)
  if (status !== 0) process.exit(status ?? 1)
}

export function fail(why) {
  console.error(`error: ${why}`)
  process.exit(2)
}
