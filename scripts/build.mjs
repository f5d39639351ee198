/**
 * Builds the program: `npm run build`, and `prepare` after `npm ci`.
 *   1. crypto/erasure/kernel.wat -> crypto/erasure/kernel-bytes.ts (written only when it changes)
 *   2. dist/ cleaned, then filled by the TypeScript compiler
 *   3. dist/cli/main.js made executable
 * `--kernel-only` stops after the first step, which is all that the tests and the type check need.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const KERNEL_SOURCE = `${root}crypto/erasure/kernel.wat`
const KERNEL_BYTES = `${root}crypto/erasure/kernel-bytes.ts`
const COMMAND = `${root}dist/cli/main.js`

await buildKernel()
if (!process.argv.includes('--kernel-only')) {
  compile()
  makeExecutable()
}

async function buildKernel() {
  const bytes = await assemble(readFileSync(KERNEL_SOURCE, 'utf8'))
  const lines =
    Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,100}/g) ?? []
  const text = [
    '/** Made from kernel.wat by scripts/build.mjs. */',
    'export const KERNEL_BYTES: Uint8Array<ArrayBuffer> = Uint8Array.from(',
    '  atob(',
    `    ${lines.map((line) => `'${line}'`).join(' +\n      ')},`,
    '  ),',
    '  (letter) => letter.charCodeAt(0),',
    ')',
    '',
  ].join('\n')
  if (!existsSync(KERNEL_BYTES) || readFileSync(KERNEL_BYTES, 'utf8') !== text) writeFileSync(KERNEL_BYTES, text)
}

async function assemble(source) {
  const { default: makeWabt } = await import('wabt').catch(() => {
    fail('the build needs the development dependencies: run npm ci without --omit=dev, or use the published package')
  })
  const wabt = await makeWabt()
  const module = wabt.parseWat('kernel.wat', source, { simd: true })
  try {
    module.validate({ simd: true })
    return module.toBinary({}).buffer
  } finally {
    module.destroy()
  }
}

function compile() {
  rmSync(`${root}dist`, { recursive: true, force: true })
  const compiler = createRequire(import.meta.url)
    .resolve('typescript/package.json')
    .replace(/package\.json$/, 'bin/tsc')
  const { status } = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json'], {
    cwd: root,
    stdio: 'inherit',
  })
  if (status !== 0) fail('the compiler found errors')
}

function makeExecutable() {
  if (!existsSync(COMMAND)) return
  const text = readFileSync(COMMAND, 'utf8')
  if (text.startsWith('#!/usr/bin/env node\n')) chmodSync(COMMAND, 0o755)
}

function fail(why) {
  console.error(`error: ${why}`)
  process.exit(1)
}
