/**
 * Who may import what.
 *
 *   core <- crypto <- { storage, routing } <- node <- cli
 *
 * Outsiders of a room take its door, index.ts; insiders take files and never their own door. Outside
 * packages and `node:` modules each have their place.
 */
import { builtinModules } from 'node:module'
import { posix } from 'node:path'
import { type Exception, isException } from './exceptions.ts'
import { at, ROOMS, type Source, YARDS } from './source.ts'

type Room = (typeof ROOMS)[number]

const MAY_IMPORT: Readonly<Record<Room, readonly Room[]>> = {
  core: [],
  crypto: ['core'],
  storage: ['core', 'crypto'],
  routing: ['core', 'crypto'],
  node: ['core', 'crypto', 'storage', 'routing'],
  cli: ['core', 'node'],
}
/** Doors besides each room's index.ts, and who may use them. */
const EXTRA_DOORS: readonly { door: string; for: readonly string[] }[] = [
  { door: 'node/control/index.ts', for: ['cli', ...YARDS] },
  { door: 'node/system/index.ts', for: YARDS },
  { door: 'node/compose.ts', for: YARDS },
]
/** These get their ports handed in, so that a simulator can run them: never from node/system. */
const PURE_PARTS = ['node/compose.ts', 'node/roles/', 'node/tasks/']

/** Where each outside package may be imported. Tests, benches and scripts may take any that is installed. */
const PACKAGE_PLACES: Readonly<Record<string, readonly string[]>> = {
  ws: ['node/system/'],
  pino: ['node/system/'],
  'prom-client': ['node/system/'],
  lmdb: ['storage/shard-store/'],
  zod: ['node/config.ts', 'node/control/'],
  commander: ['cli/'],
  'cli-progress': ['cli/'],
  '@noble/curves': ['crypto/'],
  '@noble/post-quantum': ['crypto/'],
}
const MODULE_PLACES = ['node/system/', 'cli/']

export interface Import {
  readonly from: string
  readonly index: number
}

const FORMS =
  /\b(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]|\bimport\s*['"]([^'"]+)['"]|\bimport\s*\(\s*['"`]([^'"`]+)['"`]/g

/** Each import, export-from and import() of a file, types too. */
export function importsOf(file: Source): Import[] {
  return [...file.plain.matchAll(FORMS)]
    .filter((match) => /^(import|export)/.test(file.code.slice(match.index)))
    .map((match) => ({ from: (match[1] ?? match[2] ?? match[3]) as string, index: match.index }))
}

type Used = (exception: Exception) => void

/** Room imports room in one direction only, and through the door. */
export function directionFaults(file: Source, used?: Used): string[] {
  const faults: string[] = []
  for (const { from, index } of importsOf(file)) {
    if (!from.startsWith('.')) continue
    const target = posix.normalize(posix.join(posix.dirname(file.path), from))
    const why = directionFault(file.path, target)
    if (why !== undefined && !isException(file.path, target, used)) faults.push(at(file, index, why))
  }
  return faults
}

function directionFault(path: string, target: string): string | undefined {
  const from = path.split('/')[0] as string
  const to = target.split('/')[0] as string
  if (!isRoom(to)) return isRoom(from) ? `imports ${target}, which is no room of the program` : undefined
  if (from === to) {
    if (target === `${to}/index.ts`) return `imports its own door ${target}; take the file`
    if (target.startsWith('node/system/') && PURE_PARTS.some((part) => path.startsWith(part)))
      return `imports ${target}; ports are handed in here`
    return undefined
  }
  if (isRoom(from) && !MAY_IMPORT[from].includes(to)) return `${from} must not import ${to} (${target})`
  if (EXTRA_DOORS.some((extra) => extra.door === target && extra.for.includes(from))) return undefined
  if (target === `${to}/index.ts` && !(from === 'cli' && to === 'node')) return undefined
  // The unit tests that mirror a room take its files; the fuzz targets take decoders wherever they are.
  if (path.startsWith(`test/${to}/`) || path.startsWith('test/fuzz/')) return undefined
  return `imports ${target} past the door`
}

function isRoom(name: string): name is Room {
  return (ROOMS as readonly string[]).includes(name)
}

/** Outside packages and `node:` modules stay in their places. */
export function packageFaults(file: Source, installed: ReadonlySet<string>, used?: Used): string[] {
  const faults: string[] = []
  for (const { from, index } of importsOf(file)) {
    if (from.startsWith('.')) continue
    const why = packageFault(file.path, from, installed)
    if (why !== undefined && !isException(file.path, from, used)) faults.push(at(file, index, why))
  }
  return faults
}

function packageFault(path: string, from: string, installed: ReadonlySet<string>): string | undefined {
  const isProgram = isRoom(path.split('/')[0] as string)
  if (builtinModules.includes(from)) return `imports ${from}; write node:${from}`
  if (from === 'node:crypto')
    return isProgram && !path.startsWith('crypto/') ? 'imports node:crypto outside crypto' : undefined
  if (from.startsWith('node:'))
    return isProgram && !isIn(path, MODULE_PLACES)
      ? `imports ${from} outside ${MODULE_PLACES.join(' and ')}`
      : undefined
  const name = from
    .split('/')
    .slice(0, from.startsWith('@') ? 2 : 1)
    .join('/')
  if (!installed.has(name)) return `imports ${name}, which package.json does not name`
  if (!isProgram) return undefined
  const places = PACKAGE_PLACES[name]
  if (places === undefined) return `imports ${name}, which has no place in the program`
  return isIn(path, places) ? undefined : `imports ${name} outside ${places.join(' and ')}`
}

function isIn(path: string, places: readonly string[]): boolean {
  return places.some((place) => (place.endsWith('/') ? path.startsWith(place) : path === place))
}

/** A door holds named re-exports and nothing else. */
export function doorFaults(file: Source, used?: Used): string[] {
  if (!/^(?:[a-z]+|node\/(?:control|system))\/index\.ts$/.test(file.path)) return []
  const faults: string[] = []
  for (const match of file.code.matchAll(/\bexport\s*(?:type\s*)?\*/g))
    if (!isException(file.path, 'export *', used)) faults.push(at(file, match.index, 'a door names what it exports'))
  const rest = file.code.replace(/\bexport\s+(?:type\s+)?(?:\{[^}]*\}|\*)\s*from\s*['"]\s*['"];?/g, (all) => blank(all))
  const other = rest.search(/\S/)
  if (other !== -1) faults.push(at(file, other, 'a door holds re-exports and nothing else'))
  return faults
}

function blank(text: string): string {
  return text.replace(/\S/g, ' ')
}
