import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { named32 } from '../../core/index.ts'
import { PuzzleSearch, puzzleEffort } from '../../crypto/index.ts'
import { bytesOf, someBytes, vectors } from './support.ts'

interface Case {
  relayId: string
  hour: number
  clientKey: string
  nonce: number
  effort: number
}
const cases = vectors<Case>('handshake-puzzle').map((vector) => ({
  ...vector,
  puzzle: {
    relayId: named32<'NodeId'>(bytesOf(vector.relayId), 'relay id'),
    hour: vector.hour,
    clientKey: bytesOf(vector.clientKey),
  },
}))

describe('the handshake puzzle', () => {
  it.each(cases)('has the effort of the vector: $name', ({ puzzle, nonce, effort }) => {
    expect(puzzleEffort(puzzle, nonce)).toBe(effort)
  })

  it('has vectors for work that does not hold elsewhere', () => {
    const elsewhere = cases.filter(({ name }) => name.includes('shown to'))
    expect(elsewhere.length).toBe(4)
    for (const { effort } of elsewhere) expect(effort).toBeLessThan(16)
  })

  it('is solved by what a search finds, and by no nonce before it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.nat(2 ** 32 - 1), (bits, hour) => {
        const relayId = named32<'NodeId'>(someBytes(32, `relay ${hour}`), 'relay id')
        const puzzle = { relayId, hour, clientKey: someBytes(32, 'key') }
        const nonce = new PuzzleSearch(puzzle, { bits }).run(1e6) as number
        expect(puzzleEffort(puzzle, nonce)).toBeGreaterThanOrEqual(bits)
        for (let before = 0; before < nonce; before++) expect(puzzleEffort(puzzle, before)).toBeLessThan(bits)
      }),
      { numRuns: 10 },
    )
  })

  it('is searched in as many goes as one likes, each going on where the last ended', () => {
    const puzzle = { relayId: named32<'NodeId'>(someBytes(32), 'id'), hour: 1, clientKey: someBytes(32, 'key') }
    const inOne = new PuzzleSearch(puzzle, { bits: 10 }).run(1e6)
    const search = new PuzzleSearch(puzzle, { bits: 10 })
    let found = search.run(7)
    for (let goes = 0; found === undefined && goes < 1e5; goes++) found = search.run(7)
    expect(found).toBe(inOne)
  })
})
