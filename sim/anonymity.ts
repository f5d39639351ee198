/**
 * Who asks, who publishes, who stores, what belongs together: how often can hostile nodes that pool all they see
 * tell? `npm run sim -- anonymity` prints tables; `--json FILE` writes the figures as well, and `--write` writes
 * docs/measurements/anonymity.md with its plots. `--probe` is a few small networks for the planted leaks. The same
 * seed and sizes give the same figures. SPEC anonymity §4, §5
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { type Effort, measureAnonymity, type Results } from './anonymity/measure.ts'
import { plantedPart, renderLinkagePlot, renderNamingPlot, renderPage, renderText } from './anonymity/report.ts'

const SHARES = [0.05, 0.1, 0.2, 0.3]
const FOLDER = 'docs/measurements'
const DEFAULTS = { seed: 'hushring', objects: 150, minutes: 8, networks: 8, deals: 4, large: 0 }
/** A larger network, if wanted: a few of its nodes are users, the others are there to hide among. */
const LARGE = { users: 150, objects: 200, minutes: 4, networks: 2, deals: 3 }
const PROBE = { nodes: 40, users: 40, objects: 30, minutes: 2, networks: 4, deals: 12, shares: [0.2] }

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
      large: text('large'),
      json: { type: 'string' },
      probe: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
    },
  })
  const { seed } = values
  const large = Number(values.large)
  const small = {
    seed,
    nodes: 100,
    users: 100,
    objects: Number(values.objects),
    minutes: Number(values.minutes),
    networks: Number(values.networks),
    deals: Number(values.deals),
    shares: SHARES,
  }
  const efforts: Effort[] = values.probe ? [{ ...PROBE, seed }] : [small]
  if (!values.probe && large > 0) efforts.push({ ...LARGE, seed, nodes: large, shares: SHARES })
  const all: Results[] = []
  for (const effort of efforts) {
    all.push(await measureAnonymity(effort, (line) => process.stderr.write(`${effort.nodes} nodes, ${line}\n`)))
    process.stdout.write(renderText(all.at(-1) as Results))
  }
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(all, undefined, 2)}\n`)
  if (!values.write) return
  mkdirSync(FOLDER, { recursive: true })
  const page = `${FOLDER}/anonymity.md`
  // The part on planted leaks is written by npm run leaks, and stays.
  const planted = existsSync(page) ? plantedPart(readFileSync(page, 'utf8')) : undefined
  writeFileSync(page, renderPage(all, { command: commandOf(values), planted }))
  writeFileSync(`${FOLDER}/anonymity.svg`, renderNamingPlot(all))
  writeFileSync(`${FOLDER}/anonymity-linkage.svg`, renderLinkagePlot(all))
}

/** What writes the page anew: only what differs from the defaults is spelt out. */
function commandOf(values: Readonly<Record<string, unknown>>): string {
  const names = Object.keys(DEFAULTS) as (keyof typeof DEFAULTS)[]
  const changed = names
    .filter((name) => values[name] !== String(DEFAULTS[name]))
    .map((name) => `--${name} ${values[name]}`)
  return ['npm run sim -- anonymity', ...changed, '--write'].join(' ')
}
