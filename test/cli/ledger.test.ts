/** What `hush ledger` prints. SPEC control §13 */
import { describe, expect, it } from 'vitest'
import { heldText, linesText, reportText, verdictText } from '../../cli/commands/ledger.ts'
import type { JudgedLedger, LedgerReport } from '../../node/control/index.ts'

const LINE = { number: 3, by: 'A', minute: 29_000_000, servedAB: 700, servedBA: 1_200, forwarded: 0 } as const
const JUDGED: JudgedLedger = {
  keyA: 'aa',
  keyB: 'bb',
  verdict: { verdict: 'good', isWhole: true },
  lines: [{ ...LINE, forgiven: 400, balance: -100, limitAB: 4_096, limitBA: 8_192 }],
}
const REPORT: LedgerReport = {
  key: 'cc'.repeat(32),
  isNode: true,
  load: 0.25,
  totals: { accounts: 1, given: 2_048, got: 10, owedToUs: 5, owedByUs: 0 },
  accounts: [
    {
      peer: 'dd'.repeat(32),
      id: 'ee'.repeat(32),
      balance: 5,
      exposure: 9,
      limit: 4_096,
      allowance: 3_072,
      merit: 0,
      peerLimit: 8_192,
      given: 2_048,
      got: 10,
      unsignedGiven: 4,
      unsignedGot: 0,
      entries: 7,
      strikes: 0,
      fraud: false,
      word: 'serve',
      score: 0.5,
    },
  ],
}

describe('the words of hush ledger', () => {
  it('are a line for each peer and the sums', () => {
    const [head, line, sum] = reportText(REPORT).split('\n')
    expect(head?.split(/ {2,}/)).toEqual([
      'peer',
      'kind',
      'balance',
      'unsigned',
      'allowance',
      'limit',
      'ours',
      'gave',
      'got',
      'last entry',
      'word',
      'standing',
    ])
    expect(line?.split(/ {2,}/)).toEqual([
      'eeeeeeeeeeeeeeee',
      'member',
      '5',
      '4',
      '3072',
      '4096',
      '8192',
      '2.0 MiB',
      '10.0 KiB',
      '7',
      'serve',
      '0.50',
    ])
    expect(sum).toBe('1 account; gave 2.0 MiB, got 10.0 KiB; owed to this home 5, by it 0 credits; load 25%')
    expect(
      reportText({ ...REPORT, accounts: REPORT.accounts.map((account) => ({ ...account, fraud: true })) }),
    ).toContain('fraud')
  })

  it('say why this home waits', () => {
    expect(heldText('cc', { word: 'refuse', exposure: 70, limit: 0 })).toBe(
      'cc is busy and makes this home wait: it serves first who has served it, and this home has not',
    )
    expect(heldText('cc', { word: 'delay', exposure: 1_100, limit: 1_024 })).toBe(
      'cc is busy and makes this home wait: it is owed 1100 credits, and lends this home 1024 while it is busy',
    )
  })

  it('are a line for each entry, and the verdict', () => {
    expect(linesText(JUDGED).split('\n')).toHaveLength(4)
    expect(verdictText(JUDGED)).toBe('good: 1 entry')
    const later = verdictText({ ...JUDGED, verdict: { verdict: 'good', isWhole: false } })
    expect(later).toBe('good: 1 entry, from number 3 on; what came before is not in it')
    const broken = verdictText({ ...JUDGED, verdict: { verdict: 'broken', at: 1, why: 'counter falls' } })
    expect(broken).toBe('broken at entry 1: counter falls')
    const forked = verdictText({ ...JUDGED, verdict: { verdict: 'forked', at: 2, by: 'B' } })
    expect(forked).toBe('forked at entry 2: two with one number, both signed by B')
  })
})
