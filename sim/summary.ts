/**
 * What many seeds came to together: counts of puts and reads, each loss with its reason, and the costs. Shares
 * have the interval of Wilson at 95 %. Times in seconds, memory in MiB.
 */
import { type Share, shareOf } from './lookups/statistics.ts'
import type { RunReport } from './run.ts'

export type Timed = RunReport & {
  readonly realSeconds: number
  readonly cpuSeconds: number
  readonly crypto: 'fast' | 'real'
  readonly peakMiB: number
}

export interface Summary {
  readonly seeds: number
  readonly seedsReal: number
  readonly violated: readonly { readonly seed: number; readonly violations: readonly string[] }[]
  readonly puts: {
    readonly tried: number
    readonly acknowledged: number
    /** Acknowledged with some shards still to be placed. */
    readonly degraded: number
    readonly refused: number
    /** Their user's machine crashed meanwhile: nobody was told anything. */
    readonly cutShort: number
  }
  readonly reads: {
    readonly right: number
    readonly explained: number
    /** Of acknowledged objects. */
    readonly success: Share
    /** Whole objects asked for, until one came or all tries were used up; per object. */
    readonly meanTries: number
  }
  /** By the nodes of those who put, while faults went on. */
  readonly readBack: RunReport['readBack']
  readonly losses: readonly { readonly seed: number; readonly what: string }[]
  readonly contents: number
  readonly contentsLost: number
  readonly faults: RunReport['faults']
  readonly simulatedSeconds: number
  readonly events: number
  readonly cpuSeconds: number
  readonly cpuSecondsMax: number
  readonly peakMiB: number
}

export function summaryOf(reports: readonly Timed[]): Summary {
  const total = (of: (report: Timed) => number): number => reports.reduce((sum, report) => sum + of(report), 0)
  const most = (of: (report: Timed) => number): number => reports.reduce((max, report) => Math.max(max, of(report)), 0)
  const [tried, acknowledged] = [total(({ load }) => load.puts), total(({ load }) => load.acknowledged)]
  const refused = total(({ load }) => load.refused)
  const [right, explained] = [total(({ read }) => read.right), total(({ read }) => read.explained)]
  const faults = { crashes: 0, deaths: 0, leaves: 0, joins: 0, partitions: 0, full: 0, rot: 0 }
  for (const name of Object.keys(faults) as (keyof typeof faults)[])
    faults[name] = total((report) => report.faults[name])
  return {
    seeds: reports.length,
    seedsReal: reports.filter(({ crypto }) => crypto === 'real').length,
    violated: reports.filter((r) => r.violations.length > 0).map(({ seed, violations }) => ({ seed, violations })),
    puts: {
      tried,
      acknowledged,
      degraded: total(({ load }) => load.degraded),
      refused,
      cutShort: tried - acknowledged - refused,
    },
    reads: {
      right,
      explained,
      success: shareOf(right, Math.max(1, acknowledged)),
      meanTries: total(({ read }) => read.tries) / Math.max(1, acknowledged),
    },
    readBack: {
      verified: total(({ readBack }) => readBack.verified),
      restored: total(({ readBack }) => readBack.restored),
      unproven: total(({ readBack }) => readBack.unproven),
    },
    losses: reports.flatMap(({ seed, losses }) => losses.map((what) => ({ seed, what }))),
    contents: total(({ contents }) => contents),
    contentsLost: total(({ contentsLost }) => contentsLost),
    faults,
    simulatedSeconds: total(({ simulatedSeconds }) => simulatedSeconds),
    events: total(({ events }) => events),
    cpuSeconds: Math.round(total(({ cpuSeconds }) => cpuSeconds)),
    cpuSecondsMax: Math.round(most(({ cpuSeconds }) => cpuSeconds)),
    peakMiB: most(({ peakMiB }) => peakMiB),
  }
}
