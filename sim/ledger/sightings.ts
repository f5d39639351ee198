/**
 * What a node's ledgers tell it of its neighbours, and whether that betrays who reads or writes: the credits
 * that they sign and the messages in which they do, in and after the time of a put or get. A tap that writes
 * down and changes nothing, and the statistic over it. SPEC anonymity §4
 */
import { toHex } from '../../core/index.ts'
import { COMMANDS, decodeLedgerMessage, type Link, MessageJoiner, readCell } from '../../routing/index.ts'
import type { Deed, Scene } from '../anonymity/scene.ts'
import type { SimHost, Tamper } from '../host.ts'
import { meanOf } from '../lookups/statistics.ts'
import type { World } from '../world.ts'

interface Sighting {
  readonly atMs: number
  readonly peer: string
  /** Credits of both directions that an entry has more than the last one seen. */
  readonly credits: number
}

/** What is little is proposed after a minute, and answered a little later. */
const LATE_MS = 75_000

export class LedgerSightings {
  readonly #of = new Map<string, Sighting[]>()

  tap(world: World): Tamper {
    return (transport, host) => ({
      dial: async (to, options) => this.#watch(world, await transport.dial(to, options), host),
      listen: (address, onLink) => transport.listen(address, (link) => onLink(this.#watch(world, link, host))),
      close: () => transport.close(),
    })
  }

  /** By neighbour, what the node saw of its ledgers in that time: 0 for one that was seen at another. */
  seenBy(node: string, [fromMs, untilMs]: readonly [number, number], of: 'credits' | 'messages'): Map<string, number> {
    const counts = new Map<string, number>()
    for (const { peer, atMs, credits } of this.#of.get(node) ?? []) {
      const isThen = atMs >= fromMs && atMs <= untilMs + LATE_MS
      const worth = of === 'credits' ? credits : 1
      counts.set(peer, (counts.get(peer) ?? 0) + (isThen ? worth : 0))
    }
    return counts
  }

  #watch(world: World, link: Link, host: SimHost): Link {
    const node = toHex(host.identity.publicKey)
    const peer = toHex(link.peerKey)
    const sightings = this.#of.get(node) ?? []
    this.#of.set(node, sightings)
    let credits = 0
    const note = (joiner: MessageJoiner, raw: Uint8Array): void => {
      const { command, body } = readCell(raw)
      const message = command === COMMANDS.message ? joiner.add(body) : undefined
      const said = message && decodeLedgerMessage(message)
      if (said === undefined) return
      const last = said.proposal ?? said.top
      const now = last === undefined ? credits : Math.max(credits, last.servedAB + last.servedBA)
      sightings.push({ atMs: world.nowMs, peer, credits: now - credits })
      credits = now
    }
    const [came, went] = [new MessageJoiner(), new MessageJoiner()]
    return {
      peerKey: link.peerKey,
      isDialer: link.isDialer,
      get queuedBytes() {
        return link.queuedBytes
      },
      start: (handlers) =>
        link.start({
          ...handlers,
          onCell: (cell) => {
            note(came, cell)
            handlers.onCell(cell)
          },
        }),
      send: (cell) => {
        note(went, cell)
        link.send(cell)
      },
      close: (reason) => link.close(reason),
    }
  }
}

export interface Told {
  /** Chance that who did it has the higher count than another neighbour; one value for each put or get. */
  readonly area: readonly number[]
}

/**
 * The nodes whose guard one is know it to be a client of theirs and are scored apart: `guard` against all their
 * neighbours, `others` (ring neighbours and middles) against the neighbours whose guard they are not.
 */
export function scoreLedgers(
  scene: Scene,
  sightings: LedgerSightings,
  of: 'credits' | 'messages',
): { readonly guard: Told; readonly others: Told } {
  const areas = { guard: [] as number[], others: [] as number[] }
  for (const deed of scene.deeds) {
    const each = { guard: [] as number[], others: [] as number[] }
    for (const { self, legs } of scene.recordings) {
      const clients = new Set(legs.filter(({ hop, isFromPeer }) => hop === 1 && isFromPeer).map(({ peer }) => peer))
      const counts = sightings.seenBy(self, [deed.fromMs, deed.untilMs], of)
      const isGuard = clients.has(deed.who)
      const area = areaOf(deed, counts, (peer) => isGuard || !clients.has(peer))
      if (area !== undefined) each[isGuard ? 'guard' : 'others'].push(area)
    }
    for (const place of ['guard', 'others'] as const) if (each[place].length > 0) areas[place].push(meanOf(each[place]))
  }
  return { guard: { area: areas.guard }, others: { area: areas.others } }
}

function areaOf({ who }: Deed, counts: Map<string, number>, isCompared: (peer: string) => boolean): number | undefined {
  const own = counts.get(who)
  const others = [...counts].filter(([peer]) => peer !== who && isCompared(peer)).map(([, count]) => count)
  if (own === undefined || others.length === 0) return undefined
  const above = others.filter((count) => count < own).length
  const equal = others.filter((count) => count === own).length
  return (above + equal / 2) / others.length
}
