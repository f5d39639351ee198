/** Whether the fuzz targets are all there are: no decoder of the program without one. */
import { describe, expect, it } from 'vitest'
import { ROOMS, readSources, type Source, source } from '../tidy/source.ts'
import { corpusNames } from './corpus.ts'
import { NO_DECODERS, TARGETS } from './targets.ts'

const FUNCTION = /\bexport\s+(?:async\s+)?(?:function\*?|const)\s+((?:decode|parse|read|open|from)[A-Z]\w*)/g
const METHOD = /\bstatic\s+(?:async\s+)?((?:decode|parse|read|open|from)\w*)\s*\(/g
const CLASS = /\bclass\s+(\w+)/g

/** Exported functions and static methods with a decoder's name, as `path#name`. */
function decodersOf(file: Source): string[] {
  const functions = [...file.code.matchAll(FUNCTION)].map((match) => `${file.path}#${match[1]}`)
  const methods = [...file.code.matchAll(METHOD)].map((match) => {
    const before = [...file.code.slice(0, match.index).matchAll(CLASS)].at(-1)
    return `${file.path}#${before?.[1]}.${match[1]}`
  })
  return [...functions, ...methods]
}

const files = readSources(ROOMS)
const covered = new Set(TARGETS.flatMap((target) => target.covers))

describe('the registry of fuzz targets', () => {
  it('finds functions and static methods by their names', () => {
    const text = 'export function decodeA() {}\nclass B {\n  static fromBytes() {}\n}\nfunction readC() {}'
    expect(decodersOf(source('core/x.ts', text))).toEqual(['core/x.ts#decodeA', 'core/x.ts#B.fromBytes'])
  })

  it('names every decoder of the program, or says why it is none', () => {
    const decoders = files.flatMap(decodersOf)
    expect(decoders.length).toBeGreaterThan(40)
    expect(decoders.filter((name) => !covered.has(name) && !(name in NO_DECODERS))).toEqual([])
  })

  it('names nothing that is not there', () => {
    const texts = new Map(files.map((file) => [file.path, file.code]))
    const isThere = (name: string) => {
      const [path = '', what = ''] = name.split('#')
      return what.split('.').every((word) => new RegExp(`\\b${word}\\b`).test(texts.get(path) ?? ''))
    }
    expect([...covered, ...Object.keys(NO_DECODERS)].filter((name) => !isThere(name))).toEqual([])
  })

  it('has one target to a name, and no corpus without a target', () => {
    const names = TARGETS.map((target) => target.name)
    expect(new Set(names).size).toBe(names.length)
    expect(corpusNames().filter((name) => !names.includes(name))).toEqual([])
  })
})
