/**
 * The test of the anonymity measurement: `npm run leaks [-- NAME...] [--write]`. Each patch of
 * test/planted/anonymity makes the program give something away; it is applied to a scratch copy, and the adversary
 * runs there on a few small networks (`npm run sim -- anonymity --probe`). The leak is found when the 95 % interval
 * of the figure that the patch names lies above that of the program as it is, wholly: no limit is chosen.
 * --write puts what was found into the page. Exits 1 when a leak is not found. SPEC anonymity §5
 */
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = `${root}test/planted/anonymity`
const pagePath = `${root}docs/measurements/anonymity.md`
const TITLE = '## Planted leaks'
const ROOMS = ['core', 'crypto', 'storage', 'routing', 'node', 'cli', 'sim', 'scripts']
const FILES = ['package.json', 'tsconfig.json', 'tsconfig.build.json']
/** As the patches call them; each is the middle and the bounds of its 95 % interval. */
const FIGURES = {
  'requests joined by a mark': ({ rows }) => rows[0].figures['marked requests'],
  'circuits joined by a mark': ({ rows }) => rows[0].figures['marked circuits'],
  'area at ring neighbours': ({ neighbours }) => neighbours.ring.area,
}

const { values, positionals } = parseArgs({ options: { write: { type: 'boolean' } }, allowPositionals: true })
const patches = readdirSync(folder)
  .filter(
    (file) => file.endsWith('.patch') && (positionals.length === 0 || positionals.some((part) => file.includes(part))),
  )
  .sort()
  .map(read)

const plain = probe(undefined)
const rows = patches.map((patch) => {
  const leaking = probe(patch.file)
  const { name, about, figure } = patch
  const [without, having] = [plain, leaking].map((results) => FIGURES[figure](results))
  const isFound = without !== undefined && having !== undefined && having.low > without.high
  console.log(`${name}: ${isFound ? 'found' : 'NOT FOUND'}: ${figure} ${said(without)} without, ${said(having)} with`)
  return {
    isFound,
    line: `| ${name} | ${about} | ${figure} | ${said(without)} | ${said(having)} | ${isFound ? 'yes' : 'no'} |`,
  }
})
if (values.write && positionals.length === 0) writePage()
process.exitCode = rows.every(({ isFound }) => isFound) ? 0 : 1

function read(file) {
  const text = readFileSync(join(folder, file), 'utf8')
  const head = (word) => new RegExp(`^${word}: (.*)$`, 'm').exec(text)?.[1]
  const figure = head('Figure')
  if (!(figure in FIGURES)) throw new Error(`${file} names no figure that there is: ${figure}`)
  return { file, name: basename(file, '.patch'), about: head('About'), figure }
}

/** The figures of one small network, of the program as it is or with a patch. */
function probe(file) {
  const scratch = mkdtempSync(join(tmpdir(), 'hush-leak-'))
  const modules = join(scratch, 'node_modules')
  try {
    for (const room of [...ROOMS, ...FILES]) cpSync(join(root, room), join(scratch, room), { recursive: true })
    symlinkSync(join(root, 'node_modules'), modules)
    if (file !== undefined) run('patch', ['-p1', '-s', '-i', join(folder, file)], scratch)
    const json = join(scratch, 'probe.json')
    run(process.execPath, ['scripts/sim.mjs', 'anonymity', '--probe', '--json', json], scratch)
    return JSON.parse(readFileSync(json, 'utf8')).all[0]
  } finally {
    // The link first, by its name: what it leads to is nobody's scratch.
    if (existsSync(modules)) unlinkSync(modules)
    rmSync(scratch, { recursive: true, force: true })
  }
}

function run(command, args, cwd) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed: ${stdout}${stderr}`)
}

function said(found) {
  if (found === undefined) return 'nothing to join'
  const { share, low, high } = found
  return `${share.toFixed(3)} (${low.toFixed(3)}–${Math.min(1, high).toFixed(3)})`
}

/** In place of that part of the page; the rest is written by the measurement. */
function writePage() {
  const text = existsSync(pagePath) ? readFileSync(pagePath, 'utf8') : '# Anonymity\n\n'
  const at = text.indexOf(TITLE)
  const { nodes, objects, networks, deals } = plain.effort
  const part = `${TITLE}

The test of the test. Each is a small patch to the program (\`test/planted/anonymity\`) that gives something away; it is
found when the interval of its figure lies wholly above that of the program as it is. ${networks} networks of ${nodes} nodes, ${objects}
objects each, ${deals} deals at 20 % hostile, as \`npm run sim -- anonymity --probe\`; intervals are 95 %, over networks, and for
the neighbours over gets. Made by \`npm run leaks -- --write\`. *Joined by a mark*: of what hostile nodes see at two places,
the share that equal bytes alone join, without times.

| leak | what it does | figure | as it is | with the leak | found |
|---|---|---|---|---|---|
${rows.map(({ line }) => line).join('\n')}
`
  writeFileSync(pagePath, `${(at === -1 ? text : text.slice(0, at)).trimEnd()}\n\n${part}`)
}
