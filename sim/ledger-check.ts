/**
 * Ledgers of honest neighbours, seen by somebody who sees both sides and their disks: what left with a signature
 * is on disk, both sides come to the same last entry, and nobody honest is proven a fraud. SPEC ledger §4, §5
 */
import { keyOf } from '../core/index.ts'
import type { HushNode } from '../node/compose.ts'
import { decodeAccountRecord } from '../routing/index.ts'
import type { SimHost } from './host.ts'
import type { SimNetwork } from './network.ts'

/** First byte of an account's record, before the peer's key. SPEC ledger §9 */
const ACCOUNT_KIND = 0x61
/** What is said is said again after 30 s; so one loss is made good by then. */
export const LEDGERS_AGREE_WITHIN_MS = 90_000

type Report = ReturnType<HushNode['accounts']['reports']>[0]

/** One pair, from both sides. */
interface Pair {
  readonly one: SimHost
  readonly other: SimHost
  readonly mine: Report
  readonly theirs: Report
}

/** At the moment a machine goes down: whatever number its peers hold signed by it, its disk knows of. */
export function checkLedgersWritten(network: SimNetwork, host: SimHost): void {
  if (host.isHostile) return
  const signed = new Map<string, number>()
  for (const { key, value } of host.disk.storedRecords(Uint8Array.of(ACCOUNT_KIND)))
    signed.set(keyOf(key.subarray(1)), decodeAccountRecord(value).pair.signedNumber)
  for (const peer of network.hosts) {
    if (peer === host || peer.isHostile || peer.node === undefined) continue
    const held = peer.node.accounts.topNumber(host.identity.publicKey)
    const known = signed.get(keyOf(peer.identity.publicKey)) ?? 0
    if (held > known)
      network.violate(`${host.name} signed entry ${held} with ${peer.name}, and its disk knows of ${known}`)
  }
}

/** Pairs of which both are up and linked. */
export function ledgerPairs(network: SimNetwork): Pair[] {
  const honest = network.hosts.filter((host) => host.node !== undefined && !host.isHostile)
  const byKey = new Map(honest.map((host) => [keyOf(host.identity.publicKey), host]))
  const reports = new Map(honest.map((host) => [host, reportsOf(host)]))
  const pairs: Pair[] = []
  for (const [one, own] of reports) {
    for (const [key, mine] of own) {
      const other = byKey.get(key)
      const theirs = other && reports.get(other)?.get(keyOf(one.identity.publicKey))
      if (other === undefined || theirs === undefined) continue
      // Each pair once.
      if (one.site.index < other.site.index && areLinked(one, other)) pairs.push({ one, other, mine, theirs })
    }
  }
  return pairs
}

/** What was said before, both sides have taken by now; one number is one entry; nothing is made or lost in between. */
export function checkLedgersAgree(network: SimNetwork, before: readonly Pair[]): void {
  const first = new Map(before.map((pair) => [nameOf(pair), Math.max(pair.mine.entries, pair.theirs.entries)]))
  for (const pair of ledgerPairs(network)) {
    const { mine, theirs } = pair
    if (mine.isFraud || theirs.isFraud) network.violate(`${nameOf(pair)}: honest, and one is taken for a fraud`)
    const due = first.get(nameOf(pair)) ?? 0
    const reached = Math.min(mine.entries, theirs.entries)
    if (reached < due) network.violate(`${nameOf(pair)}: one is still at entry ${reached}, the other was at ${due}`)
    if (mine.entries !== theirs.entries) continue
    const isSame =
      mine.balance === 0 - theirs.balance &&
      mine.given - mine.unsignedGiven === theirs.got - theirs.unsignedGot &&
      mine.got - mine.unsignedGot === theirs.given - theirs.unsignedGiven
    if (!isSame) network.violate(`${nameOf(pair)}: entry ${mine.entries} says other things to each of them`)
  }
}

function reportsOf(host: SimHost): Map<string, Report> {
  return new Map((host.node?.accounts.reports() ?? []).map((report) => [keyOf(report.peer), report]))
}

function areLinked(one: SimHost, other: SimHost): boolean {
  return (
    one.node?.links.of(other.identity.publicKey) !== undefined &&
    other.node?.links.of(one.identity.publicKey) !== undefined
  )
}

function nameOf({ one, other }: Pair): string {
  return `the ledger of ${one.name} and ${other.name}`
}
