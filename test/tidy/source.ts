/**
 * The tree as the tidy rules see it: each file with its text in three layers of equal length, so that a
 * place in one layer is the same place in the others. Blanked characters are spaces; line ends stay.
 *
 *   code      no comments, no string contents: what runs
 *   plain     no comments: strings can be read, for import paths and error codes
 *   comments  nothing but comments
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Source {
  /** From the repository's root, with forward slashes. */
  readonly path: string
  readonly text: string
  readonly code: string
  readonly plain: string
  readonly comments: string
}

export const ROOT = join(import.meta.dirname, '..', '..')
/** Folders that hold the program. */
export const ROOMS = ['core', 'crypto', 'storage', 'routing', 'node', 'cli'] as const
/** Folders that serve it. */
export const YARDS = ['test', 'bench', 'sim', 'scripts'] as const

export function source(path: string, text: string): Source {
  return { path, text, ...layers(text) }
}

/** Every TypeScript and JavaScript file of these folders, or of the root itself for ''. */
export function readSources(folders: readonly string[]): Source[] {
  return readTexts(folders, /\.(ts|mts|js|mjs)$/).map(({ path, text }) => source(path, text))
}

export function readTexts(folders: readonly string[], name: RegExp): { path: string; text: string }[] {
  return folders
    .flatMap((folder) => pathsIn(folder))
    .filter((path) => name.test(path))
    .sort()
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }))
}

function pathsIn(folder: string): string[] {
  const options = { recursive: folder !== '', withFileTypes: true } as const
  let entries: ReturnType<typeof listed>
  try {
    entries = listed(join(ROOT, folder), options)
  } catch {
    return []
  }
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => path.slice(ROOT.length + 1).replaceAll('\\', '/'))
}

function listed(path: string, options: { recursive: boolean; withFileTypes: true }) {
  return readdirSync(path, options)
}

export function lineOf(file: Source, index: number): number {
  return file.text.slice(0, index).split('\n').length
}

/** A violation as a person reads it. */
export function at(file: Source, index: number, what: string): string {
  return `${file.path}:${lineOf(file, index)} ${what}`
}

// A slash starts a pattern, not a division, after one of these.
const BEFORE_PATTERN = /(?:^|[(,=:[!&|?{};+\-*%~^<>]|\b(?:return|typeof|case|in|of|do|else|void))\s*$/

function layers(text: string): { code: string; plain: string; comments: string } {
  const code: string[] = []
  const plain: string[] = []
  const comments: string[] = []
  // Depths of braces at which a template's ${ … } ends.
  const templates: number[] = []
  let depth = 0
  let index = 0

  const give = (kind: 'code' | 'string' | 'comment', end: number) => {
    for (; index < end && index < text.length; index++) {
      const letter = text[index] as string
      const blank = letter === '\n' ? '\n' : ' '
      code.push(kind === 'code' ? letter : blank)
      plain.push(kind === 'comment' ? blank : letter)
      comments.push(kind === 'comment' ? letter : blank)
    }
  }
  const endOfQuoted = (quote: string, from: number) => {
    let end = from
    while (end < text.length && text[end] !== quote && text[end] !== '\n') end += text[end] === '\\' ? 2 : 1
    return end
  }
  const endOfPattern = (from: number) => {
    let end = from
    let isInClass = false
    while (end < text.length && text[end] !== '\n' && (isInClass || text[end] !== '/')) {
      if (text[end] === '[') isInClass = true
      if (text[end] === ']') isInClass = false
      end += text[end] === '\\' ? 2 : 1
    }
    return end
  }
  const template = () => {
    let end = index
    while (end < text.length && text[end] !== '`' && !text.startsWith('${', end)) end += text[end] === '\\' ? 2 : 1
    give('string', end)
    if (text[index] === '`') return give('code', index + 1)
    templates.push(depth)
    depth++
    give('code', index + 2)
  }

  while (index < text.length) {
    const letter = text[index] as string
    if (text.startsWith('//', index)) {
      const end = text.indexOf('\n', index)
      give('comment', end === -1 ? text.length : end)
    } else if (text.startsWith('/*', index)) {
      const end = text.indexOf('*/', index + 2)
      give('comment', end === -1 ? text.length : end + 2)
    } else if (letter === "'" || letter === '"') {
      give('code', index + 1)
      give('string', endOfQuoted(letter, index))
      give('code', index + 1)
    } else if (letter === '`') {
      give('code', index + 1)
      template()
    } else if (letter === '/' && BEFORE_PATTERN.test(code.slice(-60).join(''))) {
      give('code', index + 1)
      give('string', endOfPattern(index))
      give('code', index + 1)
    } else if (letter === '{') {
      depth++
      give('code', index + 1)
    } else if (letter === '}') {
      depth--
      give('code', index + 1)
      if (templates.at(-1) === depth) {
        templates.pop()
        template()
      }
    } else {
      give('code', index + 1)
    }
  }
  return { code: code.join(''), plain: plain.join(''), comments: comments.join('') }
}
