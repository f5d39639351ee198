import { describe, expect, it } from 'vitest'
import { callFaults } from './calls.ts'
import { source } from './source.ts'

const calls = (path: string, text: string) => callFaults(source(path, text)).length

describe('forbidden calls', () => {
  it.each([
    'const now = Date.now()',
    'const now: Date = given',
    'const now = performance.now()',
    'setTimeout(run, 10)',
    'const id = setInterval(run, 10)',
    'setImmediate(run)',
    'const signal = AbortSignal.timeout(10)',
    'const coin = Math.random() < 0.5',
    "import { randomBytes } from 'node:crypto'",
    'crypto.getRandomValues(bytes)',
    'process.exit(1)',
    "console.log('here')",
    'globalThis.process.exit()',
    'const bytes = Buffer.alloc(3)',
  ])('are found in a pure part: %s', (text) => {
    expect(calls('routing/ring/a.ts', `const before = 1\n${text}`)).toBeGreaterThan(0)
    expect(calls('test/a.test.ts', text)).toBe(0)
    expect(calls('node/system/a.ts', text)).toBe(0)
  })

  it.each([
    '// Date.now() would be wrong here',
    "const words = 'process.exit and console.log'",
    'const left = clock.setTimeout(3) + this.process + frame.console',
    'interface Steps { process: () => void; performance?: number }',
    'const updateDate = reprocess(consoles, processing)',
  ])('are not seen where there are none: %s', (text) => {
    expect(calls('storage/a.ts', text)).toBe(0)
  })

  it('leave Buffer to crypto and to the disk store', () => {
    expect(calls('crypto/hash.ts', 'const b = Buffer.from(x)')).toBe(0)
    expect(calls('storage/shard-store/lmdb.ts', 'const b = Buffer.from(x)')).toBe(0)
    expect(calls('storage/stripe.ts', 'const b = Buffer.from(x)')).toBe(1)
    expect(calls('crypto/hash.ts', 'const b = Date.now()')).toBe(1)
  })
})
