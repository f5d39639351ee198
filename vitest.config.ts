/**
 * Two groups of tests. "house" runs first, two files at a time; "e2e" starts real processes, so it runs
 * after the others and one file at a time. Set HUSH_TEST_REPORT to a path to get a JSON report as well.
 */
import { configDefaults, defineConfig } from 'vitest/config'

const PATIENCE_MS = 120_000
const WORKERS_MAX = 2
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
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
