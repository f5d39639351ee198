/**
 * What the source and the pages promise each other: a cited section exists, an error code is explained, a
 * file that a page names is there, a folder has its word, and nobody leaves a note to finish something later.
 */
import { posix } from 'node:path'
import { at, lineOf, type Source } from './source.ts'

interface Page {
  readonly path: string
  readonly text: string
}

// --- notes to finish later -------------------------------------------------------------------------

// Spelt in halves, so that this file passes its own rule.
const REMINDERS = new RegExp(`\\b(?:${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X'].join('|')})\\b`)

export function reminderFaults(page: Page): string[] {
  return page.text
    .split('\n')
    .flatMap((line, index) => (REMINDERS.test(line) ? [`${page.path}:${index + 1} leaves something for later`] : []))
}

// --- citations: the word SPEC, a page, its sections; further ones after a comma or "and" -----------

export interface Citation {
  readonly doc: string
  readonly section: string
  readonly index: number
}

const ONE = /([a-z][a-z0-9-]*)?\s*§(\d+(?:\.\d+)*)(?:\s*[-–]\s*§?(\d+))?/
const CITATION = new RegExp(`\\bSPEC\\s+(${ONE.source}(?:(?:,|\\s+and)\\s+${ONE.source})*)`, 'g')

export function citationsOf(file: Source): Citation[] {
  // A citation may run over the end of a comment line.
  const comments = file.comments.replace(/\n\s*\*(?!\/)/g, blankKeepingLine)
  const citations: Citation[] = []
  for (const match of comments.matchAll(CITATION)) {
    let doc = ''
    for (const [, named, first, last] of (match[1] as string).matchAll(new RegExp(ONE.source, 'g'))) {
      if (named !== undefined && named !== 'and') doc = named
      for (const section of sectionsBetween(first as string, last)) citations.push({ doc, section, index: match.index })
    }
  }
  return citations
}

/** Of "§2-§4": 2, 3 and 4. */
function sectionsBetween(first: string, last: string | undefined): string[] {
  const count = last === undefined ? 1 : Number(last) - Number(first) + 1
  return count > 1 ? Array.from({ length: count }, (_, step) => String(Number(first) + step)) : [first]
}

function blankKeepingLine(text: string): string {
  return text.replace(/[^\n]/g, ' ')
}

/** The numbered headings of a page of docs/spec. */
export function sectionsOf(page: Page): string[] {
  return [...page.text.matchAll(/^#{2,3} (\d+(?:\.\d+)*)\.? /gm)].map((match) => match[1] as string)
}

/** `sections` maps a page's bare name to its sections. */
export function citationFaults(file: Source, sections: ReadonlyMap<string, readonly string[]>): string[] {
  return citationsOf(file).flatMap(({ doc, section, index }) => {
    const known = sections.get(doc)
    if (known === undefined) return [at(file, index, `cites docs/spec/${doc}.md, which is not there`)]
    return known.includes(section) ? [] : [at(file, index, `cites ${doc} §${section}, which is not there`)]
  })
}

// --- error codes -----------------------------------------------------------------------------------

/** Codes that Node itself gives; the program compares with them but does not own them. */
const FOREIGN = /^ERR_(?:OSSL|TLS|SSL|HTTP|HTTP2|STREAM|SOCKET|SERVER|IPC|CRYPTO|INVALID_ARG|MODULE|UNESCAPED)_/

interface Code {
  readonly code: string
  readonly index: number
  /** Compared with, not given. */
  readonly isAsked: boolean
}

export function codesOf(file: Source): Code[] {
  return [...file.plain.matchAll(/([!=]==\s*|\bcase\s+)?['"`](ERR_[A-Z0-9_]+)['"`]/g)]
    .map((match) => ({ code: match[2] as string, index: match.index, isAsked: match[1] !== undefined }))
    .filter(({ code }) => !FOREIGN.test(code))
}

/** Codes that a page explains: the first cell of a table's row. */
export function explainedCodes(page: Page): string[] {
  return [...page.text.matchAll(/^\|\s*`(ERR_[A-Z0-9_]+)`\s*\|/gm)].map((match) => match[1] as string)
}

/** A code means one thing, so one class in one place owns it. */
export function ownerFaults(files: readonly Source[]): string[] {
  const owners = new Map<string, string>()
  return files.flatMap((file) =>
    [...file.plain.matchAll(/\bcode\b[^=;\n]*=\s*['"](ERR_[A-Z0-9_]+)['"]/g)].flatMap((match) => {
      const code = match[1] as string
      const owner = owners.get(code)
      owners.set(code, owner ?? file.path)
      return owner === undefined ? [] : [at(file, match.index, `takes the code ${code}, which ${owner} has already`)]
    }),
  )
}

export function codeFaults(files: readonly Source[], page: Page): string[] {
  const explained = explainedCodes(page)
  const all = files.flatMap((file) => codesOf(file).map((code) => ({ ...code, file })))
  const given = all.filter(({ isAsked }) => !isAsked)
  const known = new Set(given.map(({ code }) => code))
  const firstOf = new Map(given.toReversed().map((each) => [each.code, each]))
  return [
    ...all
      .filter(({ code, isAsked }) => isAsked && !known.has(code))
      .map(({ code, file, index }) => at(file, index, `asks for ${code}, which nobody gives`)),
    ...[...firstOf.values()]
      .filter(({ code }) => !explained.includes(code))
      .map(({ code, file, index }) => at(file, index, `${code} is not explained in ${page.path}`)),
    ...explained
      .filter((code, index) => explained.indexOf(code) !== index)
      .map((code) => `${page.path} explains ${code} twice`),
    ...explained.filter((code) => !known.has(code)).map((code) => `${page.path} explains ${code}, which nobody gives`),
  ]
}

// --- files that pages name -------------------------------------------------------------------------

const LINK = /\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)/g
const PATH = /`((?:core|crypto|storage|routing|node|cli|test|bench|sim|scripts|docs)\/[\w./-]+\.(?:ts|mjs|md|json))`/g

/** Links are taken from the page's own folder, paths in backticks from the root. */
export function missingFiles(page: Page, isThere: (path: string) => boolean): string[] {
  const links = [...page.text.matchAll(LINK)].map((match) => ({
    path: posix.normalize(posix.join(posix.dirname(page.path), match[1] as string)),
    index: match.index,
  }))
  const paths = [...page.text.matchAll(PATH)].map((match) => ({ path: match[1] as string, index: match.index }))
  return [...links, ...paths]
    .filter(({ path }) => !isThere(path))
    .map(
      ({ path, index }) =>
        `${page.path}:${lineOf({ text: page.text } as Source, index)} names ${path}, which is not there`,
    )
}

/** The same for pages that a comment sends its reader to. */
export function missingPages(file: Source, isThere: (path: string) => boolean): string[] {
  return [...file.comments.matchAll(/\bdocs\/[\w/-]+\.md\b/g)]
    .filter((match) => !isThere(match[0]))
    .map((match) => at(file, match.index, `names ${match[0]}, which is not there`))
}

/** Folders inside a room, of the files at `paths`, that the room's row in the page's table leaves out. */
export function unnamedFolders(page: Page, paths: readonly string[]): string[] {
  const rows = page.text.split('\n')
  const folders = new Set(paths.map((path) => posix.dirname(path).split('/').slice(0, 2).join('/')))
  return [...folders]
    .filter((folder) => {
      const [room, inside] = folder.split('/')
      const row = rows.find((line) => line.startsWith(`| \`${room}/\` |`))
      return inside !== undefined && row?.includes(`\`${inside}/\``) !== true
    })
    .map((folder) => `${page.path} does not name ${folder}/`)
}
