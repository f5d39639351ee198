/**
 * Which link goes when there are too many, or when all together hold too much. Pure: it is told what each
 * link is worth and chooses. Neighbours of the ring and guards stay, members come before strangers, who
 * carries circuits before who carries none, and who came long ago before who came just now. SPEC home §4, links §5
 */

export interface LinkLimits {
  /** Links at which a new one is taken only in place of another. */
  readonly linksMax: number
  /** Cells that wait and messages half arrived, of all links together. */
  readonly heldBytesMax: number
}

export const LINK_LIMITS: LinkLimits = { linksMax: 1_024, heldBytesMax: 48 * 1024 * 1024 }

/** A stranger without a circuit may look for a place so long ... */
const LOOK_MS = 60_000
/** ... if it is not silent for so long. */
const SILENT_MS = 15_000
/** A link that holds less is no burden, whoever is at its other end. */
const BURDEN_BYTES_MIN = 1024 * 1024

/** kept: a neighbour on the ring, or a guard of ours. */
export type Standing = 'kept' | 'member' | 'stranger'

export interface LinkWorth {
  readonly standing: Standing
  /** Circuits and calls that run over it. */
  readonly holds: number
  /** Since a cell last went either way. */
  readonly silentMs: number
  readonly ageMs: number
  readonly heldBytes: number
}

/** The one that gives way to a newcomer; undefined: the newcomer is worth less than any, and is refused. */
export function giveWayTo<Link>(
  newcomer: Standing,
  links: Iterable<Link>,
  worthOf: (link: Link) => LinkWorth,
): Link | undefined {
  let chosen: { link: Link; rank: number } | undefined
  for (const link of links) {
    const rank = evictionRank(newcomer, worthOf(link))
    if (rank > (chosen?.rank ?? 0)) chosen = { link, rank }
  }
  return chosen?.link
}

const USELESS = 3e12
const STRANGER = 2e12
const IDLE_MEMBER = 1e12

/** Above 0: may go, the highest first. Ages are far below a class's step. */
function evictionRank(newcomer: Standing, worth: LinkWorth): number {
  const { standing, holds, silentMs, ageMs } = worth
  if (standing === 'kept') return 0
  if (standing === 'member') return newcomer === 'kept' && holds === 0 ? IDLE_MEMBER + silentMs : 0
  if (holds === 0 && (silentMs >= SILENT_MS || ageMs >= LOOK_MS)) return USELESS + silentMs
  // A useful stranger goes only for a member: the newest first.
  return newcomer === 'stranger' ? 0 : STRANGER + 1e11 - ageMs
}

/** The one to close when all hold too much: the heaviest stranger, or else the heaviest of all. */
export function heaviest<Link>(links: Iterable<Link>, worthOf: (link: Link) => LinkWorth): Link | undefined {
  const ranks: Record<Standing, number> = { stranger: 2, member: 1, kept: 0 }
  let chosen: { link: Link; rank: number; heldBytes: number } | undefined
  for (const link of links) {
    const { standing, heldBytes } = worthOf(link)
    if (heldBytes < BURDEN_BYTES_MIN) continue
    const rank = ranks[standing]
    if (chosen !== undefined && (rank < chosen.rank || (rank === chosen.rank && heldBytes <= chosen.heldBytes)))
      continue
    chosen = { link, rank, heldBytes }
  }
  return chosen?.link
}
