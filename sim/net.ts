/**
 * The network between the machines: connections that keep order and lose nothing while they stand, as TLS
 * over TCP gives them, made of delay, bandwidth, retransmission, silence and breaking. A lost packet shows as
 * a delay; a partition as silence, until the side that hears nothing gives up.
 *
 * A cell is handed over by reference: its sender gave it away (routing/link/port.ts).
 */
import { CELL_SIZE, equalBytes, type PublicKey, UnavailableError } from '../core/index.ts'
import type { Link, LinkHandlers, Listener, Transport } from '../routing/index.ts'
import type { Chance } from './chance.ts'
import type { Life } from './clock.ts'
import type { World } from './world.ts'

/** As the real transport (node/system/link-settings.ts): a peer not heard of for so long is given up. */
const SILENCE_MS = 75_000
/** More than this waiting on one link is a fault of flow control: the real transport would cut it. */
const QUEUED_BYTES_MAX = 2_048 * CELL_SIZE
const QUEUED_BYTES_LOW = 128 * 1024
const DRAIN_CHECK_MS = 5
/** A retransmission after a lost packet. */
const RETRANSMIT_MS = { min: 200, max: 1_200 }

/** Where a machine is and how good its line is. */
export interface Site {
  readonly index: number
  readonly x: number
  readonly y: number
  readonly bytesPerMs: number
  /** Slow machines take their time with everything that arrives. */
  slowMs: number
}

/** One running process as the network sees it. */
export interface Endpoint {
  readonly site: Site
  readonly key: PublicKey
  readonly life: Life
}

class NotReachedError extends UnavailableError {
  readonly code = 'ERR_LINK_UNREACHABLE'
}

interface Bound {
  readonly endpoint: Endpoint
  readonly onLink: (link: Link) => void
}

export class SimNet {
  /** Chance that a cell waits for a retransmission. */
  lossRate = 0
  /** Times as long as usual. */
  delayFactor = 1
  /** The largest queue seen on any link, in bytes. */
  queuedBytesSeen = 0
  cells = 0
  readonly #world: World
  readonly #chance: Chance
  readonly #bound = new Map<string, Bound>()
  readonly #wires = new Set<Wire>()
  /** from * 65,536 + to: nothing gets through that way. */
  readonly #blocked = new Set<number>()

  constructor(world: World, chance: Chance) {
    this.#world = world
    this.#chance = chance
  }

  transport(endpoint: Endpoint): Transport {
    return {
      dial: (to, { timeoutMs }) => this.#dial(endpoint, to, timeoutMs),
      listen: async (address, onLink): Promise<Listener> => {
        this.#bound.set(address, { endpoint, onLink })
        return {
          address,
          close: async () => {
            if (this.#bound.get(address)?.endpoint === endpoint) this.#bound.delete(address)
          },
        }
      },
      close: async () => this.#endAll(endpoint, 'closed by the peer'),
    }
  }

  /** The process is gone. `isSilent`: so is its machine; peers learn nothing until they give it up. */
  cut(endpoint: Endpoint, options: { isSilent: boolean }): void {
    for (const [address, bound] of this.#bound) if (bound.endpoint === endpoint) this.#bound.delete(address)
    for (const wire of this.#wires) if (wire.has(endpoint)) wire.lost(endpoint, options)
  }

  /** Nothing gets through from the one of a pair to the other. */
  block(pairs: Iterable<readonly [from: Site, to: Site]>): void {
    for (const [from, to] of pairs) this.#blocked.add(from.index * 65_536 + to.index)
    for (const wire of this.#wires) if (wire.isBlocked) wire.blocked()
  }

  /** Everything gets through again; what was sent meanwhile and was not given up arrives now. */
  unblockAll(): void {
    this.#blocked.clear()
    for (const wire of this.#wires) wire.unblocked()
  }

  isBlocked(from: Site, to: Site): boolean {
    return this.#blocked.size > 0 && this.#blocked.has(from.index * 65_536 + to.index)
  }

  get wireCount(): number {
    return this.#wires.size
  }

  forget(wire: Wire): void {
    this.#wires.delete(wire)
  }

  /** One way, before queueing. */
  latencyMs(a: Site, b: Site): number {
    const far = Math.hypot(a.x - b.x, a.y - b.y)
    return (5 + 80 * far) * this.delayFactor * this.#chance.between(0.9, 1.3) + b.slowMs
  }

  retransmitMs(): number {
    if (this.lossRate === 0 || !this.#chance.isLucky(this.lossRate)) return 0
    return this.#chance.between(RETRANSMIT_MS.min, RETRANSMIT_MS.max)
  }

  async #dial(from: Endpoint, to: { address: string; publicKey: PublicKey }, timeoutMs: number): Promise<Link> {
    const bound = this.#bound.get(to.address)
    const isDeaf =
      bound === undefined ||
      this.isBlocked(from.site, bound.endpoint.site) ||
      this.isBlocked(bound.endpoint.site, from.site)
    if (isDeaf) {
      // Refused at once by a machine that is up, or never answered: both are seen in the field.
      await this.#world.sleep(bound === undefined && this.#chance.isLucky(0.5) ? 100 : timeoutMs)
      throw new NotReachedError(`${to.address} is unreachable`)
    }
    const { site } = bound.endpoint
    await this.#world.sleep(3 * this.latencyMs(from.site, site) + this.retransmitMs())
    if (from.life.isOver) return new Promise(() => {})
    if (bound.endpoint.life.isOver || this.#bound.get(to.address) !== bound)
      throw new NotReachedError(`${to.address} is unreachable`)
    if (!equalBytes(bound.endpoint.key, to.publicKey)) throw new NotReachedError(`another key at ${to.address}`)
    const wire = new Wire(this, this.#world, from, bound.endpoint)
    this.#wires.add(wire)
    this.#world.after(this.latencyMs(from.site, site), () => {
      if (!bound.endpoint.life.isOver) bound.onLink(wire.there)
    })
    return wire.here
  }

  #endAll(endpoint: Endpoint, reason: string): void {
    for (const wire of [...this.#wires]) if (wire.has(endpoint)) wire.close(endpoint, reason)
  }
}

/** A connection with its two ends. */
class Wire {
  readonly here: WireEnd
  readonly there: WireEnd
  readonly net: SimNet
  readonly world: World

  constructor(net: SimNet, world: World, from: Endpoint, to: Endpoint) {
    this.net = net
    this.world = world
    this.here = new WireEnd(this, { own: from, peer: to, isDialer: true })
    this.there = new WireEnd(this, { own: to, peer: from, isDialer: false })
  }

  otherOf(end: WireEnd): WireEnd {
    return end === this.here ? this.there : this.here
  }
  has(endpoint: Endpoint): boolean {
    return this.here.own === endpoint || this.there.own === endpoint
  }
  get isBlocked(): boolean {
    const [a, b] = [this.here.own.site, this.there.own.site]
    return this.net.isBlocked(a, b) || this.net.isBlocked(b, a)
  }

  close(endpoint: Endpoint, reason: string): void {
    const end = this.here.own === endpoint ? this.here : this.there
    end.close(reason)
  }

  lost(endpoint: Endpoint, { isSilent }: { isSilent: boolean }): void {
    const left = this.here.own === endpoint ? this.there : this.here
    this.net.forget(this)
    const hearsAfterMs = isSilent ? SILENCE_MS : this.net.latencyMs(endpoint.site, left.own.site)
    this.world.after(hearsAfterMs, () => left.ended(isSilent ? 'the peer fell silent' : 'connection lost'))
  }

  blocked(): void {
    this.world.after(SILENCE_MS, () => {
      if (!this.isBlocked) return
      this.net.forget(this)
      this.here.ended('the peer fell silent')
      this.there.ended('the peer fell silent')
    })
  }

  unblocked(): void {
    this.here.release()
    this.there.release()
  }
}

class WireEnd implements Link {
  readonly own: Endpoint
  readonly isDialer: boolean
  readonly #peer: Endpoint
  readonly #wire: Wire
  #handlers: LinkHandlers | undefined
  /** Cells that came before the handlers did. */
  #early: Uint8Array[] = []
  /** Sent into a partition: they arrive when it ends. */
  #held: Uint8Array[] = []
  #isOver = false
  #isClosing = false
  #isDrainDue = false
  #takenMs = 0
  #arrivedMs = 0

  constructor(wire: Wire, ends: { own: Endpoint; peer: Endpoint; isDialer: boolean }) {
    this.#wire = wire
    this.own = ends.own
    this.#peer = ends.peer
    this.isDialer = ends.isDialer
  }

  get peerKey(): PublicKey {
    return this.#peer.key
  }

  get queuedBytes(): number {
    const { world } = this.#wire
    return Math.max(0, this.#takenMs - world.nowMs) * this.#bytesPerMs + this.#held.length * CELL_SIZE
  }

  get #bytesPerMs(): number {
    return Math.min(this.own.site.bytesPerMs, this.#peer.site.bytesPerMs)
  }

  start(handlers: LinkHandlers): void {
    this.#handlers = handlers
    for (const cell of this.#early.splice(0)) handlers.onCell(cell)
    if (this.#isOver) this.#wire.world.after(0, () => handlers.onClose('connection lost'))
  }

  send(cell: Uint8Array): void {
    if (this.#isOver || this.#isClosing || this.own.life.isOver) return
    const { net, world } = this.#wire
    if (net.isBlocked(this.own.site, this.#peer.site)) this.#held.push(cell)
    else this.#carry(cell)
    const queued = this.queuedBytes
    if (queued > net.queuedBytesSeen) net.queuedBytesSeen = queued
    if (queued > QUEUED_BYTES_MAX) {
      world.trace.note(world.nowMs, `link ${this.own.site.index}>${this.#peer.site.index} overflows`)
      this.close('the peer reads too slowly')
    } else if (queued > QUEUED_BYTES_LOW && !this.#isDrainDue) this.#drainLater()
  }

  close(reason: string): void {
    if (this.#isOver || this.#isClosing) return
    this.#isClosing = true
    const { world, net } = this.#wire
    // What is under way arrives before the end does.
    const other = this.#wire.otherOf(this)
    const arrivesMs = Math.max(world.nowMs + net.latencyMs(this.own.site, this.#peer.site), this.#arrivedMs)
    world.after(0, () => this.ended(reason))
    world.at(arrivesMs, () => {
      net.forget(this.#wire)
      other.ended('closed by the peer')
    })
  }

  ended(reason: string): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#held = []
    if (!this.own.life.isOver) this.#handlers?.onClose(reason)
  }

  release(): void {
    for (const cell of this.#held.splice(0)) this.#carry(cell)
  }

  #carry(cell: Uint8Array): void {
    const { net, world } = this.#wire
    this.#takenMs = Math.max(this.#takenMs, world.nowMs) + CELL_SIZE / this.#bytesPerMs
    const arrivesMs = this.#takenMs + net.latencyMs(this.own.site, this.#peer.site) + net.retransmitMs()
    this.#arrivedMs = Math.max(this.#arrivedMs, arrivesMs)
    const other = this.#wire.otherOf(this)
    net.cells++
    world.at(this.#arrivedMs, () => other.#take(cell))
  }

  #take(cell: Uint8Array): void {
    if (this.#isOver || this.own.life.isOver) return
    const { trace, nowMs } = this.#wire.world
    trace.mix((this.own.site.index << 16) ^ this.#peer.site.index ^ (cell[3] ?? 0) ^ ((cell[4] ?? 0) << 24))
    trace.mix(Math.floor(nowMs * 1_000) | 0)
    if (this.#handlers === undefined) this.#early.push(cell)
    else this.#handlers.onCell(cell)
  }

  #drainLater(): void {
    this.#isDrainDue = true
    const { world } = this.#wire
    const lowMs = this.#takenMs - QUEUED_BYTES_LOW / this.#bytesPerMs
    // Never at once again: in a partition nothing drains.
    world.at(Math.max(lowMs, world.nowMs + DRAIN_CHECK_MS), () => {
      this.#isDrainDue = false
      if (this.#isOver || this.own.life.isOver) return
      if (this.queuedBytes > QUEUED_BYTES_LOW) this.#drainLater()
      else this.#handlers?.onDrain()
    })
  }
}
