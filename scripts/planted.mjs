/**
 * The test of the tests: `npm run planted [-- NAME...] [--jobs 2] [--write] [--real]`. Each patch of test/planted
 * breaks the program in one place; it is applied to a scratch copy, and the simulator runs seed after seed until
 * one is violated. The head of a patch says what is wrong with it (About), how many seeds may pass (Seeds), what the
 * simulator is told besides (With), and which test of real processes has to fail too (Real: FILE > part of the
 * test's name), if any.
 * --real runs those tests instead of the simulator, one at a time. --write puts what was found into the page of
 * docs/measurements; rows that were not tried stay. Exits 1 when a bug is not found.
 */
import { spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = `${root}test/planted`
const pagePath = `${root}docs/measurements/planted-bugs.md`
const ROOMS = ['core', 'crypto', 'storage', 'routing', 'node', 'cli', 'sim', 'scripts']
const FILES = ['package.json', 'tsconfig.json', 'tsconfig.build.json']
/** What each seed of the search is: small and short, since most bugs show early. */
const SIZES = ['--nodes', '40', '--minutes', '6', '--puts', '20', '--jobs', '1']
const NOT_FOUND = 'not found'

const { values, positionals } = parseArgs({
  options: { write: { type: 'boolean' }, real: { type: 'boolean' }, jobs: { type: 'string', default: '2' } },
  allowPositionals: true,
})

const patches = readdirSync(folder)
  .filter((file) => file.endsWith('.patch'))
  .sort()
  .map(read)
const chosen = patches
  .filter(({ name }) => positionals.length === 0 || positionals.some((part) => name.includes(part)))
  .filter(({ real }) => values.real !== true || real !== undefined)

let isEachFound = true
const waiting = [...chosen]
const workers = values.real === true ? 1 : Number(values.jobs)
await Promise.all(Array.from({ length: workers }, work))
process.exitCode = isEachFound ? 0 : 1

function read(file) {
  const text = readFileSync(join(folder, file), 'utf8')
  const head = (word) => new RegExp(`^${word}: (.*)$`, 'm').exec(text)?.[1]
  return {
    file,
    name: basename(file, '.patch'),
    about: head('About') ?? '',
    seedsMax: Number(head('Seeds') ?? 10),
    options: head('With')?.split(' ') ?? [],
    real: head('Real'),
  }
}

async function work() {
  for (let patch = waiting.shift(); patch !== undefined; patch = waiting.shift()) {
    const scratch = mkdtempSync(join(tmpdir(), 'hush-planted-'))
    try {
      apply(patch, scratch)
      const found = values.real === true ? await searchReal(patch, scratch) : await search(patch, scratch)
      if (!found.isFound) isEachFound = false
      console.log(`${patch.name}: ${found.said}`)
      if (values.write) writeFileSync(pagePath, page({ [patch.name]: found.columns }))
    } finally {
      rmSync(scratch, { recursive: true, force: true })
    }
  }
}

function apply({ file }, scratch) {
  for (const room of [...ROOMS, ...FILES]) cpSync(join(root, room), join(scratch, room), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(scratch, 'node_modules'))
  const applied = spawnSync('patch', ['-p1', '-s', '-i', join(folder, file)], { cwd: scratch, encoding: 'utf8' })
  if (applied.status !== 0) throw new Error(`${file} does not apply: ${applied.stdout}${applied.stderr}`)
}

async function search({ seedsMax, options }, scratch) {
  for (let seed = 1; seed <= seedsMax; seed++) {
    // Compiled with the first seed, and run as it is from then on.
    const script = seed === 1 ? 'scripts/sim.mjs' : 'dist/sim/sim/main.js'
    const { status, output } = await run([script, '--seed', String(seed), ...SIZES, ...options], { cwd: scratch })
    if (status === 0) continue
    const by = /^ {2}violated: (?:at [\d.]+ s: )?(.*)$/m.exec(output)?.[1] ?? output.trim().split('\n').at(-1)
    const columns = { seed: String(seed), seen: (by ?? '').replaceAll('|', '/').slice(0, 110) }
    return { isFound: true, said: `found by seed ${seed}: ${by}`, columns }
  }
  const columns = { seed: NOT_FOUND, seen: '' }
  return { isFound: false, said: `NOT FOUND in ${seedsMax} seeds`, columns }
}

/**
 * The patched program in real processes: the named test, run against it, has to fail, and against the program as
 * it is to pass. That one has to be built (npm run build).
 */
async function searchReal({ real }, scratch) {
  const built = await run(['scripts/build.mjs'], { cwd: scratch })
  if (built.status !== 0) throw new Error(`the patched program does not build: ${built.output}`)
  const [file, name] = real.split(' > ')
  const vitest = ['node_modules/vitest/vitest.mjs', 'run', '--project', 'e2e', file, '-t', name]
  const asItIs = await run(vitest, { cwd: root })
  if (asItIs.status !== 0) throw new Error(`${real} fails without the patch too`)
  const env = { ...process.env, HUSH_E2E_MAIN: join(scratch, 'dist/cli/main.js') }
  const { status, output } = await run(vitest, { cwd: root, env })
  const failed = status !== 0 && /^\s*Test Files .*\d+ failed/m.test(stripped(output))
  const why = /^\s*((?:AssertionError|Error|\w+Error): .*)$/m.exec(stripped(output))?.[1] ?? ''
  const said = failed ? `found by ${real}: ${why}` : `NOT FOUND by ${real}`
  return { isFound: failed, said, columns: { test: failed ? `${real}: ${why}`.replaceAll('|', '/') : NOT_FOUND } }
}

/** Without the colours of a terminal. */
function stripped(text) {
  return text.replaceAll(new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g'), '')
}

function run(args, { cwd, env = process.env }) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data) => {
        output += data
      })
    }
    child.once('error', reject)
    child.once('exit', (status) => resolve({ status, output }))
  })
}

/** The page as it is, with these columns of these patches in place of what stands there. */
function page(found) {
  const rows = patches.map(({ name, about, seedsMax }) => {
    const { seed = 'not run', seen = '' } = { ...known().seeds[name], ...found[name] }
    return `| ${name} | ${about} | ${seed} | ${seedsMax} | ${seen} |`
  })
  const real = patches
    .filter((patch) => patch.real !== undefined)
    .map(({ name }) => `| ${name} | ${{ ...known().tests[name], ...found[name] }.test ?? 'not run'} |`)
  return `# Planted bugs

Each is a small patch to the program (\`test/planted\`), applied to a scratch copy. The simulator runs seed 1, 2, 3 ...
(\`${SIZES.join(' ')}\`) until one is violated. Made by \`npm run planted -- --write\`.

| bug | what it does | first seed that finds it | allowed | what was violated |
|---|---|---|---|---|
${rows.join('\n')}

## In real processes

Some are shown to a test of real processes as well, which has to fail. Made by \`npm run planted -- --real --write\`.

| bug | test that fails, and how |
|---|---|
${real.join('\n')}
`
}

/** What the page says now: seed and violation by patch, test by patch. */
function known() {
  const seeds = {}
  const tests = {}
  const text = existsSync(pagePath) ? readFileSync(pagePath, 'utf8') : ''
  for (const line of text.split('\n')) {
    const cells = line.split('|').map((cell) => cell.trim())
    if (cells.length === 7) seeds[cells[1]] = { seed: cells[3], seen: cells[5] }
    if (cells.length === 4) tests[cells[1]] = { test: cells[2] }
  }
  return { seeds, tests }
}
