/** Crowds of identities beside a member. SPEC ring §8 */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { compareBytes, fromHex, type NodeId, named32 } from '../../../core/index.ts'
import { chanceOf, crowdBeside } from '../../../routing/ring/density.ts'
import { idOf } from './rings.ts'

interface Case {
  readonly name: string
  readonly self: string
  readonly members: readonly string[]
  readonly crowd: { readonly members: number; readonly arcs: number } | null
}
const path = new URL('../../vectors/routing/crowds.json', import.meta.url)
const { cases } = JSON.parse(readFileSync(path, 'utf8')) as { cases: readonly Case[] }

function idFrom(start: string): NodeId {
  return named32<'NodeId'>(fromHex(start.padEnd(64, '0')) as Uint8Array, 'id')
}

describe('a crowd beside a member', () => {
  it('is found as the vectors say', () => {
    expect(cases.length).toBeGreaterThan(8)
    for (const { name, self, members, crowd } of cases) {
      const found = crowdBeside(members.map(idFrom), idFrom(self))
      if (crowd === null) expect(`${name}: ${found?.members}`).toBe(`${name}: undefined`)
      else {
        expect(`${name}: ${found?.members}`).toBe(`${name}: ${crowd.members}`)
        expect(found?.arcs).toBeCloseTo(crowd.arcs, 6)
      }
    }
  })

  it('is hardly ever seen by chance: at one of 1,000 places at most', () => {
    const members = Array.from({ length: 2_000 }, (_, seed) => idOf(seed)).sort(compareBytes)
    expect(members.filter((id) => crowdBeside(members, id) !== undefined).length).toBeLessThanOrEqual(2)
  })

  it('is looked for beside a place where no member is, and nowhere without members', () => {
    const near = cases.find(({ name }) => name.startsWith('eight after')) as Case
    const others = near.members.filter((id) => id !== near.self).map(idFrom)
    expect(crowdBeside(others, idFrom(near.self))?.members).toBe(8)
    expect(crowdBeside([], idFrom(near.self))).toBeUndefined()
  })

  it('has the chance that Poisson gives, down to the smallest', () => {
    expect(chanceOf(1, 0.5)).toBeCloseTo(1 - Math.exp(-0.5), 12)
    expect(chanceOf(21, 8)).toBeCloseTo(9.4e-5, 6)
    expect(chanceOf(3, 1e-6) / (1e-18 / 6)).toBeCloseTo(1, 5)
    expect(chanceOf(2, 300)).toBe(1)
  })
})
