import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromUtf8, toHex } from '../../core/index.ts'
import { LABELS, sha256, tagged } from '../../crypto/index.ts'
import { bytesOf, vectorFile, vectors } from './support.ts'

describe('sha256', () => {
  it.each(vectors<{ text: string; repeat: number; expect: string }>('sha256'))('$name', (vector) => {
    expect(toHex(sha256(fromUtf8(vector.text.repeat(vector.repeat))))).toBe(vector.expect)
  })

  it('gives a plain Uint8Array with memory of its own', () => {
    const digest = sha256(new Uint8Array(3))
    expect(digest.constructor).toBe(Uint8Array)
    expect(digest.buffer.byteLength).toBe(32)
  })
})

describe('tagged', () => {
  const frozen = vectorFile<{ tags: { label: keyof typeof LABELS; parts: string[]; expect: string }[] }>('frozen')

  it.each(frozen.tags)('hashes $label with $parts.length parts as it always has', ({ label, parts, expect: hash }) => {
    expect(toHex(tagged(LABELS[label], ...parts.map(bytesOf)))).toBe(hash)
  })

  it('hashes the label and each part behind its length', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 }), (parts) => {
        const whole = createHash('sha256')
          .update(new Uint8Array([LABELS.pos.length]))
          .update(LABELS.pos)
        for (const part of parts) whole.update(new Uint8Array([0, 0, part.length >> 8, part.length & 255])).update(part)
        expect(toHex(tagged(LABELS.pos, ...parts))).toBe(whole.digest('hex'))
      }),
    )
  })

  it('never gives one hash for two ways to cut the same bytes', () => {
    const bytes = new Uint8Array(24)
    const hashes = new Set([toHex(tagged(LABELS.pos, bytes)), toHex(tagged(LABELS.pos))])
    for (let cut = 0; cut <= bytes.length; cut++) {
      hashes.add(toHex(tagged(LABELS.pos, bytes.subarray(0, cut), bytes.subarray(cut))))
    }
    expect(hashes.size).toBe(2 + 25)
  })
})

describe('labels', () => {
  const labels = Object.values(LABELS)

  it('are all different', () => {
    expect(new Set(labels).size).toBe(labels.length)
  })

  it('are short, plain and carry the protocol version', () => {
    for (const label of labels) expect(label).toMatch(/^hush\/1\/[a-z-]{2,40}$/)
  })

  it('keep the strings they were released with', () => {
    const { labels: released } = vectorFile<{ labels: Record<string, string> }>('frozen')
    expect(LABELS).toMatchObject(released)
    expect(Object.keys(released).length).toBeGreaterThan(20)
  })
})
