/** Who holds what was acknowledged, from its receipt to the end of the run. SPEC simulator §4, requests §7 */
import { toHex } from '../core/index.ts'
import { ownersOf, REGION_EXTRA } from '../routing/index.ts'
import { type ContentRef, contentRefKey, encodeContentRef, locationOf } from '../storage/index.ts'
import type { SimHost } from './host.ts'
import type { SimNetwork } from './network.ts'
import { answersFor, blobsOf, copiesOf, whereabouts } from './whereabouts.ts'

/**
 * Watches where acknowledged contents lie. A content must never vanish from the last honest machine that has
 * it, unless that machine died or the bits rotted; and once faults are over it is to have its copies again.
 */
export class Custody {
  readonly #network: SimNetwork
  readonly #copies: number
  readonly #holders = new Map<string, { ref: ContentRef; at: readonly SimHost[]; sinceMs: number }>()
  lost = 0

  constructor(network: SimNetwork, copies: number) {
    this.#network = network
    this.#copies = copies
    network.onDelete = (host, ref) => this.#letGo(host, ref)
    network.onLog = (host, line) => {
      if (/^handed over .*lacking=0$/.test(line)) this.#handedOver(host)
    }
  }

  get count(): number {
    return this.#holders.size
  }
  /** Contents that two vaults have or more. */
  get inVaults(): number {
    let count = 0
    for (const { ref } of this.#holders.values()) {
      const vaults = copiesOf(ref, this.#network.nodes).filter((host) => !host.disk.keeps(ref))
      if (vaults.length > 1) count++
    }
    return count
  }

  /** At the moment of the receipt. */
  acknowledged(ref: ContentRef): void {
    const at = this.#holdersOf(ref)
    const honest = at.filter((host) => !host.isHostile)
    // A hostile machine may have said stored and have nothing: then fewer are found.
    const hasHostile = this.#network.nodes.some((host) => host.isHostile)
    if (at.length < (hasHostile ? 1 : this.#copies))
      this.#network.violate(`${shown(ref)} was acknowledged with ${at.length} durable copies`)
    this.#holders.set(contentRefKey(ref), { ref, at: honest, sinceMs: this.#network.world.nowMs })
  }

  /** Surplus goes when its holders have proven that they have it. What they do afterwards is another matter. */
  #letGo(host: SimHost, ref: ContentRef): void {
    if (host.isHostile || host.isClient || host.disk.hasRotted(ref)) return
    const others = Math.max(this.#keptBy(ref, host).length, blobsOf(ref, this.#network.nodes))
    if (others < this.#copies)
      this.#network.violate(`${host.name} lets go of ${shown(ref)}, which ${others} others have`)
  }

  /** A leaver that says that nothing lacks leaves the copies behind, but for those it gave to machines that lie. */
  #handedOver(host: SimHost): void {
    const { leavingMs } = host
    if (host.isHostile || leavingMs === undefined) return
    const ids = this.#network.liveIds()
    const hosts = new Map(this.#network.nodes.map((other) => [toHex(other.identity.id), other]))
    for (const { ref, sinceMs } of this.#holders.values()) {
      if (sinceMs >= leavingMs || !host.disk.holds(ref) || host.disk.hasRotted(ref)) continue
      const near = ownersOf(locationOf(ref), ids, this.#copies + REGION_EXTRA).map((id) => hosts.get(toHex(id)))
      const kept = this.#keptBy(ref, host)
      const liars = near.filter((other) => other?.isHostile === true && !kept.includes(other))
      if (Math.max(kept.length + liars.length, blobsOf(ref, this.#network.nodes)) < this.#copies)
        this.#network.violate(
          `${host.name} has handed over ${shown(ref)}, which ${kept.length} others have: ${namesOf(kept)} of ${namesOf(near)}`,
        )
    }
  }

  /** Also machines that are down or have just died: they had it when they were asked. */
  #keptBy(ref: ContentRef, without: SimHost): SimHost[] {
    return copiesOf(
      ref,
      this.#network.nodes.filter((other) => other !== without),
    )
  }

  /** Now and then: contents move as the ring changes, and are never dropped by their last holder. */
  watch(): void {
    const now = this.#whereAll()
    for (const [key, held] of this.#holders) {
      const at = now.get(key) ?? []
      if (at.length === 0 && held.at.length > 0) {
        const guilty = held.at.find((host) => this.#isGuilty(host, held.ref))
        if (guilty !== undefined)
          this.#network.violate(`${shown(held.ref)} vanished from ${guilty.name}, its last holder`)
        this.lost++
      }
      this.#holders.set(key, { ...held, at })
    }
  }

  /** Contents with fewer copies than promised although honest machines could hold them; for the end. */
  lacking(): string[] {
    const now = this.#whereAll({ isUp: true })
    const lacking: string[] = []
    for (const [key, { ref }] of this.#holders) {
      // What has rotted is dropped when it is next read: that machine has nothing to copy from.
      const at = (now.get(key) ?? []).filter((host) => !host.disk.hasRotted(ref))
      if (at.length === 0) continue
      const owners = this.#ownersOf(ref)
      if (owners.some((host) => host === undefined || host.isHostile)) continue
      const missing = owners.filter((host) => host !== undefined && !answersFor(host, ref))
      // With vaults that lie too: who they are a keeper cannot know.
      const up = this.#network.nodes.filter((host) => host.isUp)
      const everywhere = copiesOf(ref, up)
      const isShort = everywhere.length < this.#copies && blobsOf(ref, up) < this.#copies
      if (isShort && everywhere.some(({ vaultDisk }) => vaultDisk !== undefined))
        lacking.push(`${shown(ref)} lies at ${namesOf(everywhere)} only`)
      if (missing.length > 0)
        lacking.push(`${shown(ref)} lacks at ${namesOf(missing)} of ${namesOf(owners)}, lies at ${namesOf(at)}`)
    }
    return lacking
  }

  /** Who died could not help it, nor who left and handed over to a machine that lied. */
  #isGuilty(host: SimHost, ref: ContentRef): boolean {
    if (host.disk.hasRotted(ref)) return false
    // Hostile machines keep what they proved to hold, and may be all who should.
    if (copiesOf(ref, this.#network.nodes).some((other) => other.isHostile)) return false
    if (!host.isDead) return true
    return host.hasLeft && !this.#ownersOf(ref).some((owner) => owner === undefined || owner.isHostile)
  }

  #ownersOf(ref: ContentRef): (SimHost | undefined)[] {
    const hosts = new Map(this.#network.nodes.map((host) => [toHex(host.identity.id), host]))
    const ids = ownersOf(locationOf(ref), this.#network.liveIds(), this.#copies)
    return ids.map((id) => hosts.get(toHex(id)))
  }

  #holdersOf(ref: ContentRef): SimHost[] {
    return copiesOf(ref, this.#network.nodes)
  }

  #whereAll(wish: { isUp?: boolean } = {}): Map<string, SimHost[]> {
    const hosts = this.#network.nodes.filter(
      (host) => !host.isHostile && !host.isDead && (wish.isUp !== true || host.isUp),
    )
    const held = [...whereabouts(hosts)].filter(([key]) => this.#holders.has(key))
    return new Map(held.map(([key, at]) => [key, [...at]]))
  }
}

/** For people: which content. */
export function shown(ref: ContentRef): string {
  const bytes = encodeContentRef(ref)
  return `${ref.kind} ${toHex(bytes.subarray(2)).slice(0, 8)}/${ref.copy}`
}

function namesOf(hosts: readonly (SimHost | undefined)[]): string {
  return hosts.map((host) => host?.name ?? 'nobody').join(', ')
}
