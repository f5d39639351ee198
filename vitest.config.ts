/**
 * Groups of tests, one after the other and two files at a time: "house", then "e2e", which starts real processes, and
 * at the end "alone", whose one file measures what a flood does to a machine that does nothing else. Set
 * HUSH_TEST_REPORT to a path to get a JSON report as well.
 */
import { configDefaults, defineConfig } from 'vitest/config'

const PATIENCE_MS = 120_000
const WORKERS_MAX = 2
const ALONE = 'test/e2e/attack.test.ts'
const reportPath = process.env.HUSH_TEST_REPORT

const shared = {
  pool: 'forks',
  testTimeout: PATIENCE_MS,
  hookTimeout: PATIENCE_MS,
} as const

export default defineConfig({
  test: {
    maxWorkers: WORKERS_MAX,
    passWithNoTests: false,
    ...(reportPath === undefined ? {} : { reporters: ['default', 'json'], outputFile: { json: reportPath } }),
    projects: [
      {
        test: {
          ...shared,
          name: 'house',
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, 'test/e2e/**'],
          maxWorkers: WORKERS_MAX,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...shared,
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ALONE],
          maxWorkers: WORKERS_MAX,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...shared,
          name: 'alone',
          include: [ALONE],
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
