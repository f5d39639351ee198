/**
 * Who asks, who publishes, who stores, what belongs together: how often can hostile nodes that pool all they see
 * tell? `npm run sim -- anonymity` prints tables; `--json FILE` writes the figures as well, and `--write` writes
 * docs/measurements/anonymity.md with its plots, also of what several runs have left (`--from FILE`). `--large NODES`,
 * `--held NETWORKS`, `--bare NETWORKS` and `--churned NETWORKS` measure larger networks, held puts, networks without
 * vaults, and guards when machines come and go.
 * `--probe` is a few small networks for the planted leaks. The same
 * seed and sizes give the same figures. SPEC anonymity §4, §5
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { measureGuards } from './anonymity/guards.ts'
import { type Effort, type Measured, measureAnonymity, type Results } from './anonymity/measure.ts'
import { plantedPart, renderLinkagePlot, renderNamingPlot, renderPage, renderText } from './anonymity/report.ts'

const SHARES = [0.05, 0.1, 0.2, 0.3]
const FOLDER = 'docs/measurements'
const DEFAULTS = {
  seed: 'hushring',
  objects: 150,
  minutes: 8,
  networks: 4,
  deals: 4,
  aimed: 40,
  asked: 100,
  large: 0,
  'large-networks': 2,
  held: 0,
  bare: 0,
  churned: 0,
}
/** A larger network, if wanted: a few of its nodes are users, the others are there to hide among. */
const LARGE = { users: 150, objects: 150, minutes: 3, deals: 2, aimed: 20, asked: 100, hasVaults: true }
const PROBE = {
  nodes: 40,
  users: 40,
  objects: 30,
  minutes: 2,
  networks: 4,
  deals: 12,
  shares: [0.2],
  aimed: 0,
  asked: 0,
  hasVaults: false,
}
const CHURNED = { nodes: 40, clients: 20, hours: [1, 3], shares: SHARES }

export async function runAnonymity(args: string[]): Promise<void> {
  const text = (name: keyof typeof DEFAULTS) => ({ type: 'string', default: String(DEFAULTS[name]) }) as const
  const { values } = parseArgs({
    args,
    options: {
      seed: text('seed'),
      objects: text('objects'),
      minutes: text('minutes'),
      networks: text('networks'),
      deals: text('deals'),
      aimed: text('aimed'),
      large: text('large'),
      'large-networks': text('large-networks'),
      asked: text('asked'),
      held: text('held'),
      bare: text('bare'),
      churned: text('churned'),
      json: { type: 'string' },
      from: { type: 'string', multiple: true, default: [] },
      probe: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
    },
  })
  const measured = values.from.length > 0 ? joined(values.from) : await measureAll(values)
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(measured, undefined, 2)}\n`)
  if (!values.write) return
  mkdirSync(FOLDER, { recursive: true })
  const page = `${FOLDER}/anonymity.md`
  // The part on planted leaks is written by npm run leaks, and stays.
  const planted = existsSync(page) ? plantedPart(readFileSync(page, 'utf8')) : undefined
  const commands = values.from.length > 0 ? measured.commands : [`${commandOf(values)} --write`]
  writeFileSync(page, renderPage(measured, { commands, planted }))
  writeFileSync(`${FOLDER}/anonymity.svg`, renderNamingPlot(measured.all))
  writeFileSync(`${FOLDER}/anonymity-linkage.svg`, renderLinkagePlot(measured))
}

type Values = Readonly<Record<keyof typeof DEFAULTS, string>> & { readonly probe: boolean }

async function measureAll(values: Values): Promise<Measured> {
  const { seed } = values
  const [large, held, bare, churned] = [values.large, values.held, values.bare, values.churned].map(Number) as [
    number,
    number,
    number,
    number,
  ]
  const small = {
    seed,
    nodes: 100,
    users: 100,
    objects: Number(values.objects),
    minutes: Number(values.minutes),
    networks: Number(values.networks),
    deals: Number(values.deals),
    aimed: Number(values.aimed),
    asked: Number(values.asked),
    hasVaults: true,
    shares: SHARES,
  }
  const efforts: Effort[] = values.probe ? [{ ...PROBE, seed }] : small.networks > 0 ? [small] : []
  if (!values.probe && large > 0) {
    efforts.push({ ...LARGE, seed, nodes: large, networks: Number(values['large-networks']), shares: SHARES })
  }
  const all: Results[] = []
  for (const effort of efforts) all.push(await told(effort))
  const heldWish = { ...small, networks: held, aimed: 0, asked: 0, hold: 'minutes' as const }
  const bareWish = { ...small, networks: bare, aimed: 0, asked: 0, hasVaults: false }
  const guards = { ...CHURNED, seed, networks: churned }
  return {
    commands: [commandOf(values)],
    all,
    held: held > 0 ? await told(heldWish) : undefined,
    bare: bare > 0 ? await told(bareWish) : undefined,
    guards: churned > 0 ? await measureGuards(guards, (line) => process.stderr.write(`${line}\n`)) : undefined,
    cpuSeconds: Math.round((process.cpuUsage().user + process.cpuUsage().system) / 1e6),
    peakMiB: Math.round(process.resourceUsage().maxRSS / 1_024),
  }
}

async function told(effort: Effort): Promise<Results> {
  const what = `${effort.nodes} nodes${effort.hold === undefined ? '' : ', held'}${effort.hasVaults ? '' : ', no vaults'}`
  const results = await measureAnonymity(effort, (line) => process.stderr.write(`${what}, ${line}\n`))
  process.stdout.write(renderText(results))
  return results
}

/** What several runs have left with `--json`, as if it had been one. */
function joined(files: readonly string[]): Measured {
  const parts = files.map((file) => JSON.parse(readFileSync(file, 'utf8')) as Measured)
  return {
    commands: parts.flatMap(({ commands }) => commands),
    all: parts.flatMap(({ all }) => all),
    held: parts.find(({ held }) => held !== undefined)?.held,
    bare: parts.find(({ bare }) => bare !== undefined)?.bare,
    guards: parts.find(({ guards }) => guards !== undefined)?.guards,
    cpuSeconds: parts.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
    peakMiB: Math.max(...parts.map(({ peakMiB }) => peakMiB)),
  }
}

/** Only what differs from the defaults is spelt out. */
function commandOf(values: Values): string {
  const names = Object.keys(DEFAULTS) as (keyof typeof DEFAULTS)[]
  const changed = names
    .filter((name) => values[name] !== String(DEFAULTS[name]))
    .map((name) => `--${name} ${values[name]}`)
  return ['npm run sim -- anonymity', ...changed].join(' ')
}
