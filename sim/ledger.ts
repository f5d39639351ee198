/**
 * Who is served under load? `npm run sim -- ledger` prints the table of docs/measurements/ledger.md; `--json`
 * prints the figures instead. The same seed gives the same figures. SPEC ledger §7
 */
import { parseArgs } from 'node:util'
import { type Economy, type Outcome, runEconomy } from './ledger/economy.ts'
import type { Kind } from './ledger/parties.ts'
import { runWhole } from './ledger/whole.ts'

const BASE: Omit<Economy, 'others'> = {
  seed: 'hushring',
  nodes: 200,
  offered: 1,
  hasLedgers: true,
  days: 6,
  hasForwarding: false,
  seconds: 1_800,
  warmSeconds: 300,
}

/** Of the whole nodes. */
const UPLOAD_BYTES_PER_S = 256 * 1_024

export interface Row {
  readonly name: string
  /** Who is compared with the contributors. */
  readonly other: Kind
  readonly wish: Economy
  readonly outcome: Outcome
}

interface Question extends Partial<Economy> {
  readonly name: string
  readonly other?: Kind
}

/** What is asked for a network of that size: nearly a third of it are what is looked at, unless it says otherwise. */
function questionsOf(nodes: number): Question[] {
  const third = Math.round(0.3 * nodes)
  const few = Math.max(1, Math.round(0.025 * nodes))
  const some = Math.round(0.2 * nodes)
  const instead = (kind: Kind, count: number): Pick<Question, 'other' | 'others'> => ({
    other: kind,
    others: { [kind]: count },
  })
  return [
    ...[0.4, 0.8, 1, 1.5].flatMap((offered) => [
      { name: 'no ledgers', offered, hasLedgers: false },
      { name: 'ledgers', offered },
      { name: 'ledgers, first day', offered, days: 0 },
    ]),
    { name: 'first day, credit forwarded', days: 0, hasForwarding: true },
    { name: 'members that never serve', ...instead('idle member', third) },
    { name: 'members that never serve, first day', ...instead('idle member', third), days: 0 },
    { name: 'a new name each minute', ...instead('whitewasher', third) },
    { name: 'one that asks all nodes', other: 'leech', others: { leech: 1, 'free rider': third } },
    { name: 'one core of puzzles, all nodes', other: 'swarm', others: { swarm: 1, 'free rider': third } },
    { name: 'a ring that pays itself, all nodes', other: 'ring', others: { ring: few, 'free rider': third } },
    { name: 'who serves its guard only', other: 'flatterer', others: { flatterer: few, 'free rider': third } },
    { name: 'newcomers that serve', other: 'newcomer', others: { newcomer: few, 'free rider': third } },
    { name: 'all serve, no ledgers', others: {}, hasLedgers: false },
    { name: 'all serve', others: {} },
    { name: 'all serve, first day', others: {}, days: 0 },
    { name: 'a fifth signs for nothing', ...instead('misreporter', some) },
    { name: 'a fifth signs for nothing, first day', ...instead('misreporter', some), days: 0 },
    { name: 'a fifth denies what it got', ...instead('denier', some) },
    { name: 'a fifth denies what it got, first day', ...instead('denier', some), days: 0 },
  ]
}

export function ledgerRows(base: Partial<Economy>, only?: (question: Question) => boolean): Row[] {
  const nodes = base.nodes ?? BASE.nodes
  const riders = { 'free rider': Math.round(0.3 * nodes) }
  return questionsOf(nodes)
    .filter((question) => only?.(question) ?? true)
    .map(({ name, other = 'free rider', ...change }) => {
      const wish: Economy = { others: riders, ...BASE, ...base, ...change }
      return { name, other, wish, outcome: runEconomy(wish) }
    })
}

export async function runLedger(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      seed: { type: 'string', default: BASE.seed },
      nodes: { type: 'string', default: String(BASE.nodes) },
      minutes: { type: 'string', default: String(BASE.seconds / 60) },
      json: { type: 'boolean', default: false },
      /** Rows of that share of the uploads only, or whose names hold that text. */
      offered: { type: 'string' },
      only: { type: 'string' },
      /** Whole nodes instead of flows. */
      whole: { type: 'boolean', default: false },
      'no-ledgers': { type: 'boolean', default: false },
    },
  })
  if (values.whole) {
    const nodes = Number(values.nodes)
    const minutes = Number(values.minutes)
    const wish = {
      seed: Number.parseInt(values.seed, 10) || 1,
      nodes,
      riders: Math.round((0.3 / 0.7) * nodes),
      uploadBytesPerSecond: UPLOAD_BYTES_PER_S,
      offered: Number(values.offered ?? BASE.offered),
      hasLedgers: !values['no-ledgers'],
      objects: 2 * nodes,
      minutes,
      warmMinutes: minutes / 3,
    }
    process.stdout.write(`${JSON.stringify({ ...wish, ...(await runWhole(wish)) })}\n`)
    return
  }
  const seconds = 60 * Number(values.minutes)
  const size = { seed: values.seed, nodes: Number(values.nodes), seconds, warmSeconds: Math.min(300, seconds / 3) }
  const isWanted = ({ name, offered = BASE.offered }: Question): boolean =>
    (values.offered === undefined || offered === Number(values.offered)) && name.includes(values.only ?? '')
  const rows = ledgerRows(size, isWanted)
  process.stdout.write(values.json ? `${JSON.stringify(rows, undefined, 2)}\n` : tableOf(rows))
}

function tableOf(rows: readonly Row[]): string {
  const lines = rows.map(({ name, other, wish, outcome }) => {
    const per = (kind: Kind): string => {
      const found = outcome.kinds[kind]
      if (found === undefined) return '- | -'
      const share = found.asked === 0 ? '-' : `${((100 * found.got) / found.asked).toFixed(1)}%`
      return `${share} | ${found.creditsPerSecond.toFixed(1)}`
    }
    const own = outcome.kinds.contributor?.creditsPerSecond ?? 0
    const its = outcome.kinds[other]
    const ratio = own === 0 || its === undefined ? '-' : `${((100 * its.creditsPerSecond) / own).toFixed(1)}%`
    const minutes = its?.minutes.map((each) => each.toFixed(0)).join(' ') ?? '-'
    const moved = outcome.forwarded === 0 ? '' : `; ${outcome.forwarded} credits forwarded`
    const names = (its?.names ?? 0) > wish.nodes ? `; ${its?.names} names` : ''
    return `| ${Math.round(100 * wish.offered)}% | ${name} | ${per('contributor')} | ${per(other)} | ${ratio} | ${minutes}${moved}${names} |`
  })
  return [
    '| offered | network | contributor: of what it asked | credits/s | other: of what it asked | credits/s | other / contributor | credits/s of the other, minute by minute |',
    '|---|---|---|---|---|---|---|---|',
    ...lines,
    '',
  ].join('\n')
}
