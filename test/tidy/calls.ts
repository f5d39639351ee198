/**
 * Time, chance, the process and the console come in through ports; only node/system, cli and the folders
 * that serve the program touch them directly. `Buffer` is Node's own, so only crypto and the disk store use it.
 */
import { type Exception, isException } from './exceptions.ts'
import { at, type Source } from './source.ts'

interface Ban {
  readonly name: string
  readonly use: RegExp
  readonly instead: string
}

const FREE_PLACES = ['node/system/', 'cli/', 'test/', 'bench/', 'sim/', 'scripts/']
const BUFFER_PLACES = ['crypto/', 'storage/shard-store/', ...FREE_PLACES]

// Not a property of something else, and not a field's name.
const word = (name: string) => new RegExp(`(?<![\\w$.#])${name}(?![\\w$]|\\s*\\??:)`, 'g')

const BANS: readonly Ban[] = [
  { name: 'Date', use: word('Date'), instead: 'Clock.nowMs' },
  { name: 'performance', use: word('performance'), instead: 'Clock.monotonicMs' },
  ...['setTimeout', 'setInterval', 'setImmediate'].map((name) => ({
    name,
    use: word(name),
    instead: 'Clock.setTimer',
  })),
  { name: 'AbortSignal.timeout', use: /\bAbortSignal\s*\.\s*timeout\b/g, instead: 'Clock.setTimer' },
  { name: 'Math.random', use: /\bMath\s*\.\s*random\b/g, instead: 'Jitter' },
  {
    name: 'random of crypto',
    use: /(?<![\w$])(?:random(?:Bytes|Fill|FillSync|Int|UUID)|getRandomValues)(?![\w$])/g,
    instead: 'SecretRandom',
  },
  { name: 'process', use: word('process'), instead: 'a port or a parameter' },
  { name: 'console', use: word('console'), instead: 'Log' },
  {
    name: 'globalThis',
    use: /\bglobalThis\s*\.\s*(?:Date|performance|process|console|crypto|set\w+|Buffer)\b/g,
    instead: 'a port',
  },
]
const BUFFER_BAN: Ban = { name: 'Buffer', use: word('Buffer'), instead: 'Uint8Array and core/bytes' }

export function callFaults(file: Source, used?: (exception: Exception) => void): string[] {
  const bans = [...(isIn(file, FREE_PLACES) ? [] : BANS), ...(isIn(file, BUFFER_PLACES) ? [] : [BUFFER_BAN])]
  return bans
    .flatMap((ban) => [...file.code.matchAll(ban.use)].map((match) => ({ ban, index: match.index })))
    .filter(({ ban }) => !isException(file.path, ban.name, used))
    .map(({ ban, index }) => at(file, index, `uses ${ban.name}; take ${ban.instead}`))
}

function isIn(file: Source, places: readonly string[]): boolean {
  return places.some((place) => file.path.startsWith(place)) || !file.path.includes('/')
}
