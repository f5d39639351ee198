import { describe, expect, it } from 'vitest'
import {
  citationFaults,
  citationsOf,
  codeFaults,
  missingFiles,
  missingPages,
  ownerFaults,
  reminderFaults,
  sectionsOf,
  unnamedFolders,
} from './pages.ts'
import { source } from './source.ts'

describe('notes to finish later', () => {
  it('are found in any text', () => {
    for (const word of ['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X'])
      expect(reminderFaults({ path: 'a.md', text: `fine\nsoon ${word}: more` })).toEqual([
        'a.md:2 leaves something for later',
      ])
    expect(reminderFaults({ path: 'a.md', text: 'mktemp -d /tmp/run.XXXXXX' })).toEqual([])
  })
})

describe('citations', () => {
  const sections = new Map([
    [
      'ring',
      sectionsOf({ path: 'docs/spec/ring.md', text: '# Ring\n\n## 1. Points\n\n### 1.2 Zero\n\n## 2. Steps\n' }),
    ],
    ['wire', ['4']],
  ])
  const faults = (text: string) => citationFaults(source('routing/a.ts', text), sections)

  it('are read from comments, one or several', () => {
    const file = source(
      'core/a.ts',
      "// SPEC wire §2-§3, dispersal §3 and §4.1\n/** x. SPEC\n * ring §1 */\nconst s = 'SPEC no §9'",
    )
    expect(citationsOf(file).map(({ doc, section }) => `${doc} ${section}`)).toEqual([
      'wire 2',
      'wire 3',
      'dispersal 3',
      'dispersal 4.1',
      'ring 1',
    ])
  })

  it('lead to a section that exists', () => {
    expect(faults('// SPEC ring §1, §2 and wire §4')).toEqual([])
    expect(faults('// SPEC ring §1.2')).toEqual([])
    expect(faults('const a = 1 // SPEC ring §3')).toEqual(['routing/a.ts:1 cites ring §3, which is not there'])
    expect(faults('\n// SPEC rings §1')).toEqual(['routing/a.ts:2 cites docs/spec/rings.md, which is not there'])
  })
})

describe('error codes', () => {
  const page = (text: string) => ({ path: 'docs/errors.md', text })
  const files = [source('core/a.ts', "readonly code = 'ERR_ONE'\nif (error.code === 'ERR_TLS_CERT') stop() // ERR_NOT")]

  it('are explained once each, and only those that are given', () => {
    expect(codeFaults(files, page('| `ERR_ONE` | bug | x |'))).toEqual([])
    expect(codeFaults(files, page('prose about ERR_ONE'))).toEqual([
      'core/a.ts:1 ERR_ONE is not explained in docs/errors.md',
    ])
    expect(codeFaults(files, page('| `ERR_ONE` |\n| `ERR_ONE` |'))).toEqual(['docs/errors.md explains ERR_ONE twice'])
    expect(codeFaults(files, page('| `ERR_ONE` |\n| `ERR_TWO` |'))).toEqual([
      'docs/errors.md explains ERR_TWO, which nobody gives',
    ])
  })
})

describe('error codes that are asked for', () => {
  it('are given by somebody', () => {
    const page = { path: 'docs/errors.md', text: '| `ERR_A` | bug | x |' }
    const giver = source('core/a.ts', "readonly code = 'ERR_A'")
    expect(codeFaults([giver, source('cli/b.ts', "if (error.code === 'ERR_A') go()")], page)).toEqual([])
    expect(codeFaults([giver, source('cli/b.ts', "if (error.code === 'ERR_B') go()")], page)).toEqual([
      'cli/b.ts:1 asks for ERR_B, which nobody gives',
    ])
  })
})

describe('error codes of two classes', () => {
  const own = (path: string, code: string) => source(path, `export class A {\n  readonly code = '${code}'\n}`)

  it('are told apart', () => {
    expect(ownerFaults([own('core/a.ts', 'ERR_A'), own('core/b.ts', 'ERR_B')])).toEqual([])
    expect(ownerFaults([own('core/a.ts', 'ERR_A'), own('node/b.ts', 'ERR_A')])).toEqual([
      'node/b.ts:2 takes the code ERR_A, which core/a.ts has already',
    ])
    expect(ownerFaults([source('core/a.ts', "const is = code === 'ERR_A' || code === 'ERR_A'")])).toEqual([])
  })
})

describe('files that pages name', () => {
  const faults = (text: string) =>
    missingFiles({ path: 'docs/a.md', text }, (path) => path === 'docs/b.md' || path === 'core/c.ts')

  it('are there', () => {
    expect(faults('[b](b.md), [b](../docs/b.md#top), `core/c.ts`, [out](https://example.org/x.md), `core/`')).toEqual(
      [],
    )
    expect(faults('\n[b](b2.md)')).toEqual(['docs/a.md:2 names docs/b2.md, which is not there'])
    expect(faults('see `core/d.ts`')).toEqual(['docs/a.md:1 names core/d.ts, which is not there'])
  })

  it('are there when a comment names them', () => {
    const named = (text: string) => missingPages(source('core/a.ts', text), (path) => path === 'docs/b.md')
    expect(named("// see docs/b.md\nconst c = 'docs/c.md'")).toEqual([])
    expect(named('/**\n * docs/decisions/c.md\n */')).toEqual([
      'core/a.ts:2 names docs/decisions/c.md, which is not there',
    ])
  })
})

describe('folders inside a room', () => {
  it('are named in its row of the table', () => {
    const page = { path: 'A.md', text: 'cli has `b/`\n| `cli/` | words; `a/` |\n| `node/` | `b/` |' }
    expect(unnamedFolders(page, ['cli/x.ts', 'cli/a/x.ts', 'cli/a/deep/x.ts', 'node/b/x.ts'])).toEqual([])
    expect(unnamedFolders(page, ['cli/b/x.ts', 'cli/b/y.ts', 'sim/c/x.ts'])).toEqual([
      'A.md does not name cli/b/',
      'A.md does not name sim/c/',
    ])
  })
})
