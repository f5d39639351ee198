/**
 * The test of the tests: `npm run planted [-- NAME...] [--seeds 40] [--jobs 2] [--write]`. Each patch of
 * test/planted breaks the program in one place; it is applied to a scratch copy, and the simulator runs seed
 * after seed until one is violated. The head of a patch says what is wrong with it and how many seeds may pass.
 * --write makes the table of docs/measurements. Exits 1 when a bug is not found.
 */
import { spawn, spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = `${root}test/planted`
const ROOMS = ['core', 'crypto', 'storage', 'routing', 'node', 'sim', 'scripts', 'package.json', 'tsconfig.json']
/** What each seed of the search is: small and short, since most bugs show early. */
const SIZES = ['--nodes', '40', '--minutes', '6', '--puts', '20', '--jobs', '1']

const { values, positionals } = parseArgs({
  options: { write: { type: 'boolean' }, jobs: { type: 'string', default: '2' } },
  allowPositionals: true,
})

const patches = readdirSync(folder)
  .filter((file) => file.endsWith('.patch'))
  .sort()
  .filter((file) => positionals.length === 0 || positionals.some((name) => file.includes(name)))

const results = []
const waiting = [...patches]
await Promise.all(Array.from({ length: Number(values.jobs) }, work))
results.sort((a, b) => a.name.localeCompare(b.name))
if (values.write) writeFileSync(`${root}docs/measurements/planted-bugs.md`, page(results))
process.exitCode = results.every(({ seed }) => seed !== undefined) ? 0 : 1

async function work() {
  for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
    const result = await search(file)
    results.push(result)
    const said = result.seed === undefined ? `NOT FOUND in ${result.seedsMax} seeds` : `found by seed ${result.seed}`
    console.log(`${result.name}: ${said}${result.by ? `: ${result.by}` : ''}`)
  }
}

async function search(file) {
  const text = readFileSync(join(folder, file), 'utf8')
  const about = /^About: (.*)$/m.exec(text)?.[1] ?? ''
  const seedsMax = Number(/^Seeds: (\d+)$/m.exec(text)?.[1] ?? 10)
  const name = basename(file, '.patch')
  const scratch = mkdtempSync(join(tmpdir(), 'hush-planted-'))
  try {
    for (const room of ROOMS) cpSync(join(root, room), join(scratch, room), { recursive: true })
    symlinkSync(join(root, 'node_modules'), join(scratch, 'node_modules'))
    const applied = spawnSync('patch', ['-p1', '-s', '-i', join(folder, file)], { cwd: scratch, encoding: 'utf8' })
    if (applied.status !== 0) throw new Error(`${file} does not apply: ${applied.stdout}${applied.stderr}`)
    for (let seed = 1; seed <= seedsMax; seed++) {
      const { status, output } = await simulate(scratch, seed)
      if (status === 0) continue
      const by = /^ {2}violated: (?:at [\d.]+ s: )?(.*)$/m.exec(output)?.[1] ?? output.trim().split('\n').at(-1)
      return { name, about, seedsMax, seed, by }
    }
    return { name, about, seedsMax, seed: undefined, by: undefined }
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

function simulate(scratch, seed) {
  const args = ['scripts/sim.mjs', '--seed', String(seed), ...SIZES]
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd: scratch, stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.on('data', (data) => {
      output += data
    })
    child.once('error', reject)
    child.once('exit', (status) => resolve({ status, output }))
  })
}

function page(found) {
  const rows = found.map(({ name, about, seed, seedsMax, by }) => {
    const seen = (by ?? '').replaceAll('|', '/').slice(0, 110)
    return `| ${name} | ${about} | ${seed ?? 'not found'} | ${seedsMax} | ${seen} |`
  })
  return `# Planted bugs

Each is a small patch to the program (\`test/planted\`), applied to a scratch copy. The simulator runs seed 1, 2, 3 ...
(\`${SIZES.join(' ')}\`) until one is violated. Made by \`npm run planted -- --write\`.

| bug | what it does | first seed that finds it | allowed | what was violated |
|---|---|---|---|---|
${rows.join('\n')}
`
}
