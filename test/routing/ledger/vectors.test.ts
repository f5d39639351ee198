/** Ledger files, good and bad, with the verdict each must get. SPEC ledger §3, §8 */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { equalBytes, fromHex, MalformedError } from '../../../core/index.ts'
import { judgeChain } from '../../../routing/ledger/judge.ts'
import { decodeChain, encodeChain } from '../../../routing/ledger/messages.ts'

interface Case {
  readonly name: string
  readonly file: string
  readonly expect: { readonly malformed: true } | object
}
const path = new URL('../../vectors/routing/ledger.json', import.meta.url)
const { cases } = JSON.parse(readFileSync(path, 'utf8')) as { cases: Case[] }

describe('a ledger file', () => {
  it('has vectors', () => {
    expect(cases.length).toBeGreaterThan(30)
  })

  it.each(cases)('gets its verdict: $name', ({ file, expect: expected }) => {
    const bytes = fromHex(file) as Uint8Array
    if ('malformed' in expected) {
      expect(() => decodeChain(bytes)).toThrow(MalformedError)
      return
    }
    const { ends, opening, entries } = decodeChain(bytes)
    expect(judgeChain(ends, opening, entries)).toEqual(expected)
    expect(equalBytes(encodeChain({ ends, opening, entries }), bytes)).toBe(true)
  })
})
