/**
 * Who is served under load? `npm run sim -- ledger` prints the table of docs/measurements/ledger.md; `--json`
 * prints the figures instead. The same seed gives the same figures. SPEC ledger §7
 */
import { parseArgs } from 'node:util'
import { type Economy, type Kind, type Outcome, runEconomy } from './ledger/economy.ts'

const BASE: Economy = {
  seed: 'hushring',
  nodes: 200,
  freeShare: 0.3,
  freeKind: 'free rider',
  offered: 1,
  hasLedgers: true,
  days: 6,
  hasForwarding: false,
  seconds: 1_800,
  warmSeconds: 300,
  renameSeconds: 60,
}

export interface Row {
  readonly name: string
  readonly wish: Economy
  readonly outcome: Outcome
}

export function ledgerRows(base: Partial<Economy>, only?: number): Row[] {
  const row = (name: string, change: Partial<Economy>): Row[] => {
    const wish = { ...BASE, ...base, ...change }
    return only === undefined || wish.offered === only ? [{ name, wish, outcome: runEconomy(wish) }] : []
  }
  return [
    ...[0.4, 0.8, 1, 1.5].flatMap((offered) => [
      ...row('no ledgers', { offered, hasLedgers: false }),
      ...row('ledgers', { offered }),
    ]),
    ...row('ledgers, all limits as at the start', { days: 0 }),
    ...row('the same, credit forwarded', { days: 0, hasForwarding: true }),
    ...row('whitewashing each minute', { freeKind: 'whitewasher' }),
    ...row('one newcomer', { freeKind: 'newcomer', freeShare: 1 / 200 }),
    ...row('one newcomer, no ledgers', { freeKind: 'newcomer', freeShare: 1 / 200, hasLedgers: false }),
  ]
}

export function runLedger(args: string[]): void {
  const { values } = parseArgs({
    args,
    options: {
      seed: { type: 'string', default: BASE.seed },
      nodes: { type: 'string', default: String(BASE.nodes) },
      minutes: { type: 'string', default: String(BASE.seconds / 60) },
      json: { type: 'boolean', default: false },
      /** Rows of that share of the uploads only. */
      offered: { type: 'string' },
    },
  })
  const seconds = 60 * Number(values.minutes)
  const size = { seed: values.seed, nodes: Number(values.nodes), seconds, warmSeconds: Math.min(300, seconds / 3) }
  const only = values.offered === undefined ? undefined : Number(values.offered)
  const rows = ledgerRows(size, only)
  process.stdout.write(values.json ? `${JSON.stringify(rows, undefined, 2)}\n` : tableOf(rows))
}

function tableOf(rows: readonly Row[]): string {
  const lines = rows.map(({ name, wish, outcome }) => {
    const per = (kind: Kind): string => {
      const found = outcome.kinds[kind]
      if (found === undefined) return '- | -'
      const share = found.asked === 0 ? '-' : `${((100 * found.got) / found.asked).toFixed(1)}%`
      return `${share} | ${found.creditsPerSecond.toFixed(1)}`
    }
    const own = outcome.kinds.contributor?.creditsPerSecond ?? 0
    const other = outcome.kinds[wish.freeKind]?.creditsPerSecond ?? 0
    const ratio = own === 0 ? '-' : `${((100 * other) / own).toFixed(1)}%`
    const cost = outcome.forwarded === 0 ? '-' : `${outcome.forwarded} for ${outcome.forwardingCost}`
    return `| ${Math.round(100 * wish.offered)}% | ${name} | ${per('contributor')} | ${per(wish.freeKind)} | ${ratio} | ${cost} |`
  })
  return [
    '| offered | network | contributor: of what it asked | credits/s | other: of what it asked | credits/s | other / contributor | forwarded |',
    '|---|---|---|---|---|---|---|---|',
    ...lines,
    '',
  ].join('\n')
}
