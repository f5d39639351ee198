import { describe, expect, it } from 'vitest'
import { source } from './source.ts'

describe('the three layers of a file', () => {
  const layersOf = (text: string) => source('core/sample.ts', text)

  it('keep every place where it was', () => {
    const text = `const a = 'x' // why\n/* more\n lines */ const b = \`y\${a}z\`\n`
    const { code, plain, comments } = layersOf(text)
    for (const layer of [code, plain, comments]) {
      expect(layer.length).toBe(text.length)
      expect([...layer.matchAll(/\n/g)].map((match) => match.index)).toEqual([20, 28, 57])
    }
  })

  it('tell a comment from a string that looks like one', () => {
    const { code, comments } = layersOf("const url = 'wss://host' // Date\nconst quote = \"it's\" /* Date */")
    expect(comments).toContain('// Date')
    expect(comments).not.toContain('host')
    expect(code).not.toContain('Date')
  })

  it('keep the code inside a template and drop its words', () => {
    const { code, plain } = layersOf(
      'const t = `Date $' + '{Date.now({ a: `in $' + '{inner}` })} process`; process.exit()',
    )
    expect(code).toContain('Date.now({ a: `')
    expect(code).toContain('inner')
    expect(code.match(/Date/g)).toHaveLength(1)
    expect(code.match(/process/g)).toHaveLength(1)
    expect(plain).toContain('`Date ${')
  })

  it('take a pattern for a string and a division for code', () => {
    const { code } = layersOf('const p = /[\'"/*]Date[/]/g; const half = whole / 2 / Date')
    expect(code.match(/Date/g)).toHaveLength(1)
    expect(code).toContain('whole / 2 / Date')
  })
})
