/** A bounded sample of the simulator on every change: small networks, few minutes, real faults. SPEC simulator §2, §4 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { REGRESSIONS } from './regressions.ts'

const scratch = mkdtempSync(join(tmpdir(), 'hush-sim-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

interface Report {
  readonly seed: number
  readonly crypto: string
  readonly violations: readonly string[]
  readonly traceHash: string
  readonly load: { readonly acknowledged: number }
  readonly read: { readonly right: number; readonly explained: number }
  readonly contents: number
  readonly contentsInVaults: number
  readonly faults: Readonly<Record<string, number>>
}

const SIZES = { nodes: 30, minutes: 3, puts: 8 }

function simulate(args: readonly string[], { nodes, minutes, puts } = SIZES): Report[] {
  const file = join(scratch, 'reports.jsonl')
  // A run that does not begin leaves no report, least of all the last one's.
  writeFileSync(file, '')
  const sizes = ['--nodes', `${nodes}`, '--minutes', `${minutes}`, '--puts', `${puts}`, '--jobs', '1', '--json', file]
  const { stdout, stderr } = spawnSync(process.execPath, ['scripts/sim.mjs', ...args, ...sizes], { encoding: 'utf8' })
  const lines = readFileSync(file, 'utf8').trim().split('\n')
  const reports = lines.filter(Boolean).map((line) => JSON.parse(line) as Report)
  if (reports.length === 0) throw new Error(`no report: ${stdout}${stderr}`)
  return reports
}

describe('a simulated network', () => {
  let reports: Report[] = []
  beforeAll(() => {
    reports = simulate(['--seeds', '1-6', '--batch', '6'])
  })

  it('loses nothing acknowledged while machines crash, leave, lie and fill up, seed after seed', () => {
    expect(reports).toHaveLength(6)
    for (const { violations, load, read } of reports) {
      expect(violations).toEqual([])
      expect(load.acknowledged).toBeGreaterThan(4)
      expect(read.right + read.explained).toBe(load.acknowledged)
    }
    expect(reports.reduce((sum, { faults }) => sum + (faults.crashes ?? 0), 0)).toBeGreaterThan(3)
  })

  it('keeps all but a twentieth with two vaults each, and loses nothing, where nodes are vaults of each other', () => {
    const [report] = simulate(['--seed', '3', '--vaults'], { nodes: 20, minutes: 1, puts: 4 })
    expect(report?.violations).toEqual([])
    expect(report?.read.right).toBe(report?.load.acknowledged)
    expect(report?.contents).toBeGreaterThan(40)
    expect((report?.contentsInVaults ?? 0) / (report?.contents ?? 1)).toBeGreaterThanOrEqual(0.95)
  })

  it('runs the same course for the same seed, whatever ran before it, and another for another', () => {
    const [again] = simulate(['--seed', '5'])
    expect(again?.traceHash).toBe(reports.find(({ seed }) => seed === 5)?.traceHash)
    expect(new Set(reports.map(({ traceHash }) => traceHash)).size).toBe(reports.length)
  })

  it.each(REGRESSIONS)('finds no more what seed $seed of $nodes nodes found: $found', ({ seed, ...sizes }) => {
    const [report] = simulate(['--seed', `${seed}`], sizes)
    expect(report?.violations).toEqual([])
    expect(report?.load.acknowledged).toBeGreaterThan(sizes.puts / 2)
  })

  it("does as much with the program's own ciphers and signatures", () => {
    const [report] = simulate(['--seed', '7', '--crypto', 'real'])
    expect(report).toMatchObject({ crypto: 'real', violations: [] })
    expect(report?.load.acknowledged).toBeGreaterThan(4)
  })
})
