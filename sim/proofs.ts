/**
 * What the long runs of SPEC simulator §5 came to: `npm run sim -- proofs --many FILE --churn FILE` reads what they
 * wrote with --json, finished or not, and prints the page; `--write` writes docs/measurements/seeds.md.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { type Summary, summaryOf, type Timed } from './summary.ts'

const PAGE = 'docs/measurements/seeds.md'
const COMMANDS = {
  many: '--seeds 1-100 --nodes 200 --minutes 30 --puts 100 --jobs 2 --real-every 20',
  churn:
    '--seeds 1-500 --nodes 30 --minutes 10 --puts 200 --gets 50 --objects small --churn --hostile 0.2 --jobs 2 --batch 10',
} as const
const ABOUT = {
  many: 'Many networks: every kind of fault, as each seed draws it',
  churn: 'Coming and going: sessions of an hour, lives of 30 days, a fifth of the nodes hostile; most objects small',
} as const
type Run = keyof typeof COMMANDS
const RUNS: readonly Run[] = ['many', 'churn']

export function runProofs(args: string[]): void {
  const { values } = parseArgs({
    args,
    options: { many: { type: 'string' }, churn: { type: 'string' }, write: { type: 'boolean', default: false } },
  })
  const parts = RUNS.flatMap((run) => {
    const file = values[run]
    const reports = file === undefined ? [] : reportsOf(file)
    return reports.length === 0 ? [] : [partOf(run, reports)]
  })
  const page = `# Long runs of the simulator

What is simulated and what is checked: [simulator](../spec/simulator.md) §1 to §4. Made by
\`npm run sim -- proofs --many FILE --churn FILE --write\` from what the commands below wrote with \`--json FILE\`. CPU
seconds are of the whole process of a seed, as they were with whatever else the machine did meanwhile.

${parts.join('\n\n')}
`
  process.stdout.write(page)
  if (values.write) writeFileSync(PAGE, page)
}

function reportsOf(file: string): Timed[] {
  if (!existsSync(file)) throw new Error(`there is no ${file}: --many and --churn take what a run wrote with --json`)
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean)
  return lines.map((line) => JSON.parse(line) as Timed)
}

function partOf(run: Run, reports: readonly Timed[]): string {
  const all = summaryOf(reports)
  return `## ${ABOUT[run]}

\`\`\`
npm run sim -- ${COMMANDS[run]} --json FILE
\`\`\`

| | |
|---|---|
${rowsOf(all)
  .map(([name, value]) => `| ${name} | ${value} |`)
  .join('\n')}

${violationsOf(all)}

${lossesOf(all)}`
}

function rowsOf(all: Summary): readonly (readonly [name: string, value: string])[] {
  const { puts, reads, readBack, faults } = all
  const per = (sum: number, count: number): string => (sum / Math.max(1, count)).toFixed(1)
  const percent = (share: number): string => `${(100 * share).toFixed(3)} %`
  const { share, low, high } = reads.success
  return [
    ['seeds that ended', `${all.seeds}, ${all.seedsReal} of them with real cryptography`],
    ['seeds with a violation', `${all.violated.length}`],
    ['puts begun', `${puts.tried}`],
    ['acknowledged', `${puts.acknowledged}, ${puts.degraded} of them with shards still to be placed`],
    ['refused, their user told so', `${puts.refused}`],
    ['cut short by a crash of their user', `${puts.cutShort}`],
    ['read back whole after healing', `${reads.right}`],
    ['not readable, as the promise allows', `${reads.explained}`],
    ['share read back', `${percent(share)} (${percent(low)} to ${percent(high)})`],
    ['tries per object', reads.meanTries.toFixed(3)],
    ["read back by their author's node meanwhile", `${readBack.verified}; ${readBack.unproven} given up`],
    ['shards put again by it', `${readBack.restored}`],
    ['contents acknowledged', `${all.contents}`],
    ['contents that lay on no honest machine any more', `${all.contentsLost}`],
    [
      'faults',
      `${faults.crashes} crashes, ${faults.deaths} of them for good, ${faults.leaves} leaves, ${faults.joins} joins, ${faults.partitions} partitions, ${faults.full} full disks, ${faults.rot} rotted bits`,
    ],
    ['simulated', `${per(all.simulatedSeconds, 3_600)} h of networks, ${all.events} events`],
    ['CPU', `${all.cpuSeconds} s, ${per(all.cpuSeconds, all.seeds)} s a seed, ${all.cpuSecondsMax} s the longest`],
    ['memory of the largest process', `${all.peakMiB} MiB`],
  ]
}

function violationsOf({ violated }: Summary): string {
  if (violated.length === 0) return 'Nothing was violated.'
  const lines = violated.map(({ seed, violations }) => `- seed ${seed}: ${violations.slice(0, 3).join('; ')}`)
  return `Violated:\n\n${lines.join('\n')}`
}

function lossesOf({ losses }: Summary): string {
  if (losses.length === 0) return 'No acknowledged object was lost.'
  return `Lost, one by one:\n\n${losses.map(({ seed, what }) => `- seed ${seed}: ${what}`).join('\n')}`
}
