/**
 * How far does a lookup go, and how often does it arrive? `npm run sim -- lookups` prints tables; `--json`
 * prints the figures instead, and `--write` writes them to docs/measurements/lookups.md with a plot. The
 * same seed and samples give the same bytes. SPEC ring §7, requests §3, §8
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { measureGets, measureHops, measureLoad, measurePaths, measureStale } from './lookups/measure.ts'
import { type Results, renderPage, renderPlot, renderText } from './lookups/report.ts'

const SIZES = [100, 1_000, 10_000]
/** The plot wants some more. */
const HOP_SIZES = [100, 300, 1_000, 3_000, 10_000]
const FOLDER = 'docs/measurements'
const DEFAULTS = { seed: 'hushring', lookups: 20_000, gets: 5_000, rings: 10 }

export interface Plan {
  readonly seed: string
  readonly sizes: readonly number[]
  readonly hopSizes: readonly number[]
  /** Of each row, over all rings. */
  readonly lookups: number
  readonly gets: number
  readonly rings: number
}

export async function runLookups(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      seed: { type: 'string', default: DEFAULTS.seed },
      lookups: { type: 'string', default: String(DEFAULTS.lookups) },
      gets: { type: 'string', default: String(DEFAULTS.gets) },
      rings: { type: 'string', default: String(DEFAULTS.rings) },
      json: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
    },
  })
  const plan = {
    seed: values.seed,
    sizes: SIZES,
    hopSizes: HOP_SIZES,
    lookups: countOf('lookups', values.lookups),
    gets: countOf('gets', values.gets),
    rings: countOf('rings', values.rings),
  }
  const results = measureLookups(plan)
  process.stdout.write(values.json ? `${JSON.stringify(results, undefined, 2)}\n` : renderText(results))
  if (!values.write) return
  mkdirSync(FOLDER, { recursive: true })
  writeFileSync(`${FOLDER}/lookups.md`, renderPage(results, commandOf(plan)))
  writeFileSync(`${FOLDER}/lookups.svg`, renderPlot(results))
}

/** Measures what the plan says; the same plan gives the same results. */
export function measureLookups(plan: Plan): Results {
  const { seed, sizes, rings } = plan
  const lookups = { seed, rings, count: plan.lookups }
  const gets = { seed, rings, count: plan.gets }
  return {
    seed,
    samples: { rings, lookups: plan.lookups, gets: plan.gets },
    hops: plan.hopSizes.map((size) => measureHops(size, lookups)),
    stale: sizes.flatMap((size) => measureStale(size, lookups)),
    paths: sizes.flatMap((size) => measurePaths(size, lookups)),
    gets: sizes.flatMap((size) => measureGets(size, gets)),
    load: sizes.map((size) => measureLoad(size, { seed, rings })),
  }
}

function countOf(name: string, text: string): number {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1) throw new Error(`--${name} takes a whole number from 1, not ${text}`)
  return count
}

/** What writes the page anew: only what differs from the defaults is spelt out. */
function commandOf(plan: Plan): string {
  const names = ['seed', 'lookups', 'gets', 'rings'] as const
  const changed = names.filter((name) => plan[name] !== DEFAULTS[name]).map((name) => `--${name} ${plan[name]}`)
  return ['npm run sim -- lookups', ...changed, '--write'].join(' ')
}
