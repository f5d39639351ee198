/** The rules of this house, held against the tree. Each rule's own samples are in the files beside this one. */
import { existsSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { callFaults } from './calls.ts'
import { EXCEPTIONS, type Exception } from './exceptions.ts'
import { directionFaults, doorFaults, importsOf, packageFaults } from './imports.ts'
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
import { ROOMS, ROOT, readSources, readTexts, YARDS } from './source.ts'

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<
  'dependencies' | 'devDependencies',
  Record<string, string>
>
const program = readSources(ROOMS)
const everything = [...program, ...readSources([...YARDS, ''])]
const pages = readTexts(['docs', ''], /\.md$/)
const specPages = pages.filter((page) => page.path.startsWith('docs/spec/'))
const sections = new Map(specPages.map((page) => [basename(page.path, '.md'), sectionsOf(page)]))

const usedExceptions = new Set<Exception>()
const used = (exception: Exception) => void usedExceptions.add(exception)

describe('the tree', () => {
  it('is there to be read', () => {
    expect(program.length).toBeGreaterThan(8)
    expect(everything.length).toBeGreaterThan(program.length)
    expect(program.flatMap(importsOf).length).toBeGreaterThan(10)
  })

  it('imports in one direction and through doors', () => {
    expect(everything.flatMap((file) => directionFaults(file, used))).toEqual([])
  })

  it('has doors that name what they export and hold nothing else', () => {
    expect(program.flatMap((file) => doorFaults(file, used))).toEqual([])
  })

  it('takes each outside package and each node: module in its one place', () => {
    const own = new Set(Object.keys(manifest.dependencies))
    const all = new Set([...own, ...Object.keys(manifest.devDependencies)])
    const isProgram = new Set(program)
    expect(everything.flatMap((file) => packageFaults(file, isProgram.has(file) ? own : all, used))).toEqual([])
  })

  it('takes time, chance, the process and the console through ports', () => {
    expect(everything.flatMap((file) => callFaults(file, used))).toEqual([])
  })

  it('leaves no note to finish something later', () => {
    const texts = [...readTexts([...ROOMS, ...YARDS, '.ci'], /^(?!.*\.(?:json|gz|bin|wasm)$)/), ...pages]
    expect(texts.flatMap(reminderFaults)).toEqual([])
  })

  it('cites sections that exist', () => {
    expect(everything.flatMap((file) => citationFaults(file, sections))).toEqual([])
    const cited = new Set(
      everything.flatMap((file) => citationsOf(file).map(({ doc, section }) => `${doc} §${section}`)),
    )
    const uncited = [...sections].flatMap(([doc, known]) => known.map((section) => `${doc} §${section}`))
    const alone = uncited.filter((each) => !cited.has(each))
    if (alone.length > 0) console.info(`sections that no file cites: ${alone.join(', ')}`)
  })

  it('explains every error code in docs/errors.md, and no others', () => {
    const path = 'docs/errors.md'
    const page = pages.find((each) => each.path === path) ?? { path, text: '' }
    expect(codeFaults(program, page)).toEqual([])
  })

  it('gives each error code to one class', () => {
    expect(ownerFaults(program)).toEqual([])
  })

  it('has every file that its pages and comments name', () => {
    const isThere = (path: string) => existsSync(join(ROOT, path))
    expect(pages.flatMap((page) => missingFiles(page, isThere))).toEqual([])
    expect(everything.flatMap((file) => missingPages(file, isThere))).toEqual([])
  })

  it('has a word in ARCHITECTURE.md for every folder of the program and the simulator', () => {
    const path = 'ARCHITECTURE.md'
    const page = pages.find((each) => each.path === path) ?? { path, text: '' }
    const paths = [...program, ...readSources(['sim'])].map((file) => file.path)
    expect(unnamedFolders(page, paths)).toEqual([])
  })

  it('tells which allowed exceptions nobody needs', () => {
    const idle = EXCEPTIONS.filter((exception) => !usedExceptions.has(exception))
    for (const { where, what } of idle) console.info(`exception without a use: ${what} in ${where}`)
    expect(EXCEPTIONS.every(({ why }) => why.length > 20)).toBe(true)
  })
})
