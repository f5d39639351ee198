/** A planted bug that no longer applies tests nothing: whoever changes what it stands on changes it too. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const ROOT = join(import.meta.dirname, '../..')
const FOLDER = join(ROOT, 'test/planted')
const patches = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.patch'))

/** What each hunk of a patch expects to find, by file. */
function expectedBy(patch: string): { file: string; text: string }[] {
  return patch.split(/^--- a\//m).flatMap((part, index) => {
    if (index === 0) return []
    const [head = '', ...hunks] = part.split(/^@@ .*\n/m)
    const file = head.slice(0, head.indexOf('\n'))
    return hunks.map((hunk) => ({
      file,
      text: hunk.replace(/^\+.*\n/gm, '').replace(/^[- ]/gm, ''),
    }))
  })
}

describe('the planted bugs', () => {
  it.each(patches)('apply to the program as it is: %s', (name) => {
    const expected = expectedBy(readFileSync(join(FOLDER, name), 'utf8'))
    expect(expected.length).toBeGreaterThan(0)
    for (const { file, text } of expected) expect(readFileSync(join(ROOT, file), 'utf8')).toContain(text)
  })
})
