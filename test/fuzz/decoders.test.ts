/** Each decoder of outside bytes against its valid encodings, changed ones, and the corpus. docs/decisions/0013-own-fuzz-loop.md */
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { fromUtf8 } from '../../core/index.ts'
import { removeScratch } from './control-targets.ts'
import { readCorpus } from './corpus.ts'
import { applyEdits, COMMON_TOKENS, someEdits } from './edits.ts'
import { attempt, filled } from './target.ts'
import { TARGETS } from './targets.ts'

const RUNS = 200
/** The fuzzer draws seeds; on each change the same inputs are tried, so that a failure is the change's. */
const SEED = 13

afterAll(removeScratch)

describe.each(TARGETS.map((target) => [target.name, target] as const))('%s', (_, target) => {
  const runs = target.runs ?? RUNS
  const tokens = [...COMMON_TOKENS, ...(target.tokens ?? []).map(fromUtf8)]

  it('takes its valid encodings and gives them back', async () => {
    const verdicts = new Set<string>()
    await fc.assert(
      fc.asyncProperty(target.valid, async (bytes) => {
        const verdict = await attempt(target, bytes)
        verdicts.add(verdict)
        if (target.mayRefuseValid !== true) expect(verdict).toBe('taken')
      }),
      { seed: SEED, numRuns: Math.ceil(runs / 4) },
    )
    expect(verdicts).toContain('taken')
  })

  it('bears encodings that were flipped, cut, lengthened, spliced and lied about', async () => {
    await fc.assert(
      fc.asyncProperty(target.valid, target.valid, someEdits, async (bytes, other, edits) => {
        await attempt(target, applyEdits(bytes, edits, { other, tokens }))
      }),
      { seed: SEED, numRuns: runs },
    )
  })

  it('bears every input of its corpus', async () => {
    for (const { name, bytes } of readCorpus(target.name)) {
      await attempt(target, filled(target, bytes)).valueOf()
      expect(name).not.toBe('')
    }
  })
})
