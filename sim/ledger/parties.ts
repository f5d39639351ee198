/** Who takes part in the model of flows, and what each of them does to get served. SPEC ledger §6, §7 */

export const KINDS = [
  'contributor',
  'newcomer',
  'misreporter',
  'denier',
  'flatterer',
  'free rider',
  'idle member',
  'whitewasher',
  'leech',
  'swarm',
  'ring',
] as const
export type Kind = (typeof KINDS)[number]

interface Conduct {
  /** It serves everybody, only its guard, or nobody. */
  readonly serves: 'all' | 'guard' | 'none'
  /** It has solved a puzzle, and others know it. */
  readonly isMember: boolean
  /** It has served and been served for days when the run begins. */
  readonly hasHistory: boolean
  /** It asks through all nodes as its guards, and for as much as it can get. */
  readonly usesAll: boolean
  /** It takes a new name so often. */
  readonly renamedEveryS?: number
  /** What it got it only counts and never signs for; or not even that, and so holds back everybody. */
  readonly admits?: 'unsigned' | 'nothing'
  /** It comes when all that is counted begins. */
  readonly isLate?: boolean
}

/** What a puzzle of 11 bits takes one core. */
export const PUZZLE_S = 92

const HONEST: Conduct = { serves: 'all', isMember: true, hasHistory: true, usesAll: false }
const RIDER: Conduct = { serves: 'none', isMember: false, hasHistory: false, usesAll: false }

export const CONDUCT: Readonly<Record<Kind, Conduct>> = {
  contributor: HONEST,
  newcomer: { ...HONEST, hasHistory: false, isLate: true },
  misreporter: { ...HONEST, admits: 'unsigned' },
  denier: { ...HONEST, admits: 'nothing' },
  flatterer: { ...HONEST, serves: 'guard' },
  /** A client's home, which never serves. */
  'free rider': RIDER,
  'idle member': { ...RIDER, isMember: true },
  whitewasher: { ...RIDER, renamedEveryS: 60 },
  leech: { ...RIDER, usesAll: true },
  /** They serve and pay each other and nobody else, and go in by each other to whatever node they like. */
  ring: { ...RIDER, isMember: true, usesAll: true },
  /** One core that solves puzzles, and shows each new name to every node. */
  swarm: { ...RIDER, isMember: true, usesAll: true, renamedEveryS: PUZZLE_S },
}
