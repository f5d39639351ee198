/**
 * The simulator's command: one seed or many, several processes at a time.
 *
 *   npm run sim -- --seed 7 [--nodes 200] [--minutes 30 | --hours 2] [--puts 100] [--crypto fast|real]
 *                        [--trace TEXT]
 *                        [--churn] [--vaults] [--hostile SHARE]
 *                        [--objects mixed|small] [--gets 100]
 *   npm run sim -- --seeds 1-100 [--jobs 2] [--batch 1] [--real-every 20] [--json FILE] [--summary FILE]
 *   npm run sim -- lookups | load | durability | flood [...]
 *   npm run sim -- ledger [--minutes 30] [--whole [--no-ledgers]]
 *   npm run sim -- proofs --many FILE --churn FILE [--write]
 *
 * The same seed, sizes and commit give the same trace hash. Exits 1 when anything was violated.
 */
import { spawn } from 'node:child_process'
import { appendFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { runAnonymity } from './anonymity.ts'
import { runDurability } from './durability.ts'
import { runFlood } from './flood.ts'
import { runLedger } from './ledger.ts'
import { runLoad } from './load.ts'
import { runLookups } from './lookups.ts'
import { runProofs } from './proofs.ts'
import { type RunWish, runSeed } from './run.ts'
import { summaryOf, type Timed } from './summary.ts'

const OPTIONS = {
  seed: { type: 'string' },
  seeds: { type: 'string' },
  nodes: { type: 'string', default: '200' },
  minutes: { type: 'string' },
  hours: { type: 'string' },
  puts: { type: 'string', default: '100' },
  /** As many as puts, unless given. */
  gets: { type: 'string' },
  objects: { type: 'string', default: 'mixed' },
  crypto: { type: 'string', default: 'fast' },
  'real-every': { type: 'string', default: '0' },
  jobs: { type: 'string', default: String(Math.min(2, cpus().length)) },
  /** Seeds that one process runs, one after the other: short ones pay for its warming up together. */
  batch: { type: 'string', default: '1' },
  json: { type: 'string' },
  summary: { type: 'string' },
  churn: { type: 'boolean', default: false },
  vaults: { type: 'boolean', default: false },
  hostile: { type: 'string' },
  trace: { type: 'string' },
  /** Set by the parent for its helpers: run these seeds here, one JSON line each. */
  here: { type: 'string' },
} as const

type Crypto = 'fast' | 'real'

/** Every line of the trace that holds this text goes to stderr. */
interface Sizes extends Omit<RunWish, 'seed' | 'onLine'> {
  readonly trace?: string
}

interface Wish extends Sizes {
  readonly seeds: readonly number[]
  readonly crypto: Crypto
  readonly realEvery: number
  readonly jobs: number
  readonly batch: number
}

/**
 * Most of what is made is dropped at once: a large nursery saves an eighth of the time. Threads that help to
 * collect would take it from the other seeds that run meanwhile.
 */
const HEAP = ['--max-old-space-size=8192', '--max-semi-space-size=64', '--single-threaded-gc']
const here = fileURLToPath(import.meta.url)
const isFastTree = here.includes('/sim-fast/')

const [, , what, ...rest] = process.argv
if (what === 'lookups') await runLookups(rest)
else if (what === 'load') await inFastTree(() => runLoad(rest))
else if (what === 'durability') await inFastTree(() => runDurability(rest))
else if (what === 'flood') await inFastTree(() => runFlood(rest))
else if (what === 'ledger') await runLedger(rest)
else if (what === 'proofs') runProofs(rest)
else if (what === 'anonymity') await inFastTree(() => runAnonymity(rest))
else await main()

async function main(): Promise<void> {
  const { values } = parseArgs({ options: OPTIONS })
  const minutes =
    values.hours === undefined ? numberOf('minutes', values.minutes ?? '30') : 60 * numberOf('hours', values.hours)
  const sizes = {
    nodes: numberOf('nodes', values.nodes),
    minutes,
    puts: numberOf('puts', values.puts),
    gets: numberOf('gets', values.gets ?? values.puts),
    objects: objectsOf(values.objects),
    faults: values.churn ? ('churn' as const) : ('drawn' as const),
    hasVaults: values.vaults,
    ...(values.hostile !== undefined && { hostileShare: numberOf('hostile', values.hostile) }),
    ...(values.trace !== undefined && { trace: values.trace }),
  }
  if (sizes.nodes < 20 || sizes.nodes > 20_000) fail('--nodes is 20 to 20000')
  if (values.here !== undefined) return runHere(values.here.split(',').map(Number), sizes)
  if (values.crypto !== 'fast' && values.crypto !== 'real') fail('--crypto is fast or real')
  const seeds = values.seeds === undefined ? [numberOf('seed', values.seed ?? '1')] : rangeOf(values.seeds)
  const wish: Wish = {
    ...sizes,
    seeds,
    crypto: values.crypto,
    realEvery: numberOf('real-every', values['real-every']),
    jobs: numberOf('jobs', values.jobs),
    batch: Math.max(1, numberOf('batch', values.batch)),
  }
  if (values.json !== undefined) writeFileSync(values.json, '')
  const reports = await runAll(wish, (report) => {
    say(report, wish)
    if (values.json !== undefined) appendFileSync(values.json, `${JSON.stringify(report)}\n`)
  })
  summary(reports)
  if (values.summary !== undefined)
    writeFileSync(values.summary, `${JSON.stringify(summaryOf(reports), undefined, 2)}\n`)
  if (reports.some((report) => report.violations.length > 0)) process.exitCode = 1
}

/** Runs the measurement in the tree with the fast stand-ins, in a process of its own unless this one has it. */
async function inFastTree(measure: () => Promise<void>): Promise<void> {
  if (isFastTree) return measure()
  const tree = here.replace('/sim/sim/', '/sim-fast/sim/')
  const child = spawn(process.execPath, [...HEAP, tree, ...process.argv.slice(2)], { stdio: 'inherit' })
  process.exitCode = await new Promise((resolve) => child.once('exit', (status) => resolve(status ?? 1)))
}

/** In this process, which has the tree that the crypto asked for needs. */
async function runHere(seeds: readonly number[], sizes: Sizes): Promise<void> {
  const onLine = (line: string): void => {
    if (sizes.trace !== undefined && line.includes(sizes.trace)) process.stderr.write(`${line}\n`)
  }
  for (const seed of seeds) {
    const startedMs = Date.now()
    const cpuBefore = cpuSeconds()
    const faults: string[] = []
    const onCrash = (error: unknown): void => void faults.push(`a node crashed: ${stackOf(error)}`)
    process.on('uncaughtException', onCrash).on('unhandledRejection', onCrash)
    const report = await runSeed({ seed, ...sizes, onLine })
    process.off('uncaughtException', onCrash).off('unhandledRejection', onCrash)
    const realSeconds = (Date.now() - startedMs) / 1_000
    const peakMiB = Math.round(process.resourceUsage().maxRSS / 1_024)
    const timed: Timed = {
      ...report,
      violations: [...report.violations, ...faults],
      realSeconds,
      cpuSeconds: cpuSeconds() - cpuBefore,
      crypto: isFastTree ? 'fast' : 'real',
      peakMiB,
    }
    process.stdout.write(`${JSON.stringify(timed)}\n`)
  }
}

/** Seeds dealt out to processes: a process takes the next ones when it is done with some. */
async function runAll(wish: Wish, onReport: (report: Timed) => void): Promise<Timed[]> {
  const reports: Timed[] = []
  const waiting = [...wish.seeds]
  const work = async (): Promise<void> => {
    while (waiting.length > 0) {
      await runElsewhere(nextOf(waiting, wish), wish, (report) => {
        reports.push(report)
        onReport(report)
      })
    }
  }
  await Promise.all(Array.from({ length: Math.min(wish.jobs, wish.seeds.length) }, work))
  return reports.sort((a, b) => a.seed - b.seed)
}

/** The next seeds that one process can run: of one kind of cryptography. */
function nextOf(waiting: number[], wish: Wish): number[] {
  const crypto = cryptoOf(waiting[0] ?? 0, wish)
  const other = waiting.findIndex((seed) => cryptoOf(seed, wish) !== crypto)
  return waiting.splice(0, Math.min(wish.batch, other === -1 ? waiting.length : other))
}

function cryptoOf(seed: number, wish: Wish): Crypto {
  return wish.crypto === 'real' || (wish.realEvery > 0 && seed % wish.realEvery === 0) ? 'real' : 'fast'
}

async function runElsewhere(seeds: readonly number[], wish: Wish, onReport: (report: Timed) => void): Promise<void> {
  const crypto = cryptoOf(seeds[0] ?? 0, wish)
  const tree = here.replace(/\/sim(-fast)?\/sim\//, crypto === 'fast' ? '/sim-fast/sim/' : '/sim/sim/')
  const sizes = ['--nodes', String(wish.nodes), '--minutes', String(wish.minutes), '--puts', String(wish.puts)]
  sizes.push('--gets', String(wish.gets), '--objects', wish.objects)
  if (wish.faults === 'churn') sizes.push('--churn')
  if (wish.hasVaults) sizes.push('--vaults')
  if (wish.hostileShare !== undefined) sizes.push('--hostile', String(wish.hostileShare))
  if (wish.trace !== undefined) sizes.push('--trace', wish.trace)
  const child = spawn(process.execPath, [...HEAP, tree, '--here', seeds.join(','), ...sizes], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let told = 0
  for await (const line of createInterface({ input: child.stdout })) {
    told++
    onReport(JSON.parse(line) as Timed)
  }
  if (told < seeds.length) fail(`seed ${seeds[told]} ended without a report`)
}

function say(report: Timed, wish: Wish): void {
  const { seed, load, read, faults, violations } = report
  const speed = Math.round(report.events / report.realSeconds)
  const parts = [
    `seed ${seed} ${violations.length === 0 ? 'ok' : 'VIOLATED'} ${report.traceHash} (${report.crypto})`,
    `${load.acknowledged}/${load.puts} puts acknowledged, ${load.degraded} degraded; ${read.right} read back, ${read.explained} lost as allowed`,
    `${load.getsRight}/${load.gets} gets meanwhile`,
    `${faults.crashes} crashes, ${faults.deaths} deaths, ${faults.leaves} leaves, ${faults.joins} joins, ${faults.partitions} partitions, ${Math.round(report.hostileShare * 100)} % hostile`,
    `healed in ${report.healedAfterSeconds} s`,
    `${report.events} events, ${speed}/s, ${report.simulatedSeconds} s simulated at ${(report.simulatedSeconds / report.realSeconds).toFixed(1)}x, ${report.realSeconds.toFixed(0)} s, ${report.cpuSeconds.toFixed(0)} s of CPU, ${report.peakMiB} MiB`,
  ]
  console.log(parts.join(' · '))
  for (const loss of report.losses) console.log(`  lost as allowed: ${loss}`)
  if (violations.length === 0) return
  for (const violation of violations.slice(0, 10)) console.log(`  violated: ${violation}`)
  console.log(
    `  again: npm run sim -- --seed ${seed} --nodes ${wish.nodes} --minutes ${wish.minutes} --puts ${wish.puts} --gets ${wish.gets} --objects ${wish.objects} --crypto ${report.crypto}${wish.faults === 'churn' ? ' --churn' : ''}${wish.hasVaults ? ' --vaults' : ''}${wish.hostileShare === undefined ? '' : ` --hostile ${wish.hostileShare}`}`,
  )
  for (const line of report.lastEvents) console.log(`  | ${line}`)
}

function summary(reports: readonly Timed[]): void {
  const total = (of: (report: Timed) => number): number => reports.reduce((sum, report) => sum + of(report), 0)
  const bad = reports.filter((report) => report.violations.length > 0).map(({ seed }) => seed)
  console.log(
    `${reports.length} seeds, ${total(({ load }) => load.acknowledged)} puts acknowledged, ${total(({ read }) => read.right)} read back, ` +
      `${total(({ read }) => read.explained)} lost as allowed, ${bad.length} seeds with violations${bad.length > 0 ? `: ${bad.join(', ')}` : ''}; ` +
      `${total(({ events }) => events)} events in ${Math.round(total(({ realSeconds }) => realSeconds))} process-seconds`,
  )
}

/** Of this process until now. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000_000
}

function numberOf(name: string, text: string): number {
  const number = Number(text)
  if (!Number.isFinite(number) || number < 0) fail(`--${name} takes a number, not ${text}`)
  return number
}

function objectsOf(text: string): RunWish['objects'] {
  return text === 'mixed' || text === 'small' ? text : fail('--objects is mixed or small')
}

function rangeOf(text: string): number[] {
  const [first, last] = text.includes('-') ? text.split('-').map(Number) : [1, Number(text)]
  if (first === undefined || last === undefined || !(first <= last)) fail('--seeds takes 100 or 1-100')
  return Array.from({ length: last - first + 1 }, (_, i) => first + i)
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

function fail(why: string): never {
  console.error(`error: ${why}`)
  process.exit(2)
}
