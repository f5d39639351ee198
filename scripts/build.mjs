/**
 * Builds the program: `npm run build`, and `prepare` after `npm ci`.
 *   1. crypto/erasure/kernel.wat -> crypto/erasure/kernel-bytes.ts (written only when it changes), assembled
 *      twice: as it stands, and with relaxed look-ups
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
  const source = readFileSync(KERNEL_SOURCE, 'utf8')
  // All indices are below 16, for which the relaxed look-up is defined to give the same.
  const relaxedSource = source.replaceAll('(i8x16.swizzle', '(i8x16.relaxed_swizzle')
  const text = [
    '/** Made from kernel.wat by scripts/build.mjs. */',
    ...constant('KERNEL_BYTES', await assemble(source)),
    ...constant('RELAXED_KERNEL_BYTES', await assemble(relaxedSource)),
    '',
  ].join('\n')
  if (!existsSync(KERNEL_BYTES) || readFileSync(KERNEL_BYTES, 'utf8') !== text) writeFileSync(KERNEL_BYTES, text)
}

function constant(name, bytes) {
  const lines =
    Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,100}/g) ?? []
  return [
    `export const ${name}: Uint8Array<ArrayBuffer> = Uint8Array.from(`,
    '  atob(',
    `    ${lines.map((line) => `'${line}'`).join(' +\n      ')},`,
    '  ),',
    '  (letter) => letter.charCodeAt(0),',
    ')',
  ]
}

async function assemble(source) {
  const { default: makeWabt } = await import('wabt').catch(() => {
    fail('the build needs the development dependencies: run npm ci without --omit=dev, or use the published package')
  })
  const wabt = await makeWabt()
  const features = { simd: true, relaxed_simd: true }
  const module = wabt.parseWat('kernel.wat', source, features)
  try {
    module.validate(features)
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
