/**
 * Runs bench/NAME.ts: `npm run bench -- NAME [arguments]`, after `npm run build`.
 * The file and what it imports are compiled to dist/bench without a type check (`npm run types` does
 * that), because Node 20 does not read TypeScript. Bench files run in the root of the repository and
 * should look for files from there, not from their own place. Signals are handed on to the bench, which may
 * have processes of its own to end.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const scratch = `${root}dist/bench`
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP']
const names = readdirSync(`${root}bench`)
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.slice(0, -3))

const [name, ...rest] = process.argv.slice(2)
if (name === undefined || !names.includes(name)) fail(`usage: npm run bench -- ${names.join('|')}`)
if (!existsSync(`${root}crypto/erasure/kernel-bytes.ts`)) fail('run npm run build first')

rmSync(scratch, { recursive: true, force: true })
mkdirSync(scratch, { recursive: true })
const options = { noEmit: false, noCheck: true, outDir: '.', rootDir: '../..' }
writeFileSync(
  `${scratch}/tsconfig.json`,
  JSON.stringify({
    extends: '../../tsconfig.json',
    compilerOptions: options,
    include: [],
    files: [`../../bench/${name}.ts`],
  }),
)
const compiler = createRequire(import.meta.url)
  .resolve('typescript/package.json')
  .replace(/package\.json$/, 'bin/tsc')
await run([compiler, '-p', `${scratch}/tsconfig.json`])
await run([`${scratch}/bench/${name}.js`, ...rest])

async function run(command) {
  const child = spawn(process.execPath, command, { cwd: root, stdio: 'inherit' })
  const handOn = (signal) => child.kill(signal)
  for (const signal of SIGNALS) process.on(signal, handOn)
  const status = await new Promise((resolve) => child.once('exit', resolve).once('error', () => resolve(1)))
  for (const signal of SIGNALS) process.off(signal, handOn)
  if (status !== 0) process.exit(status ?? 1)
}

function fail(why) {
  console.error(`error: ${why}`)
  process.exit(2)
}
