/**
 * The open links of a node: one table, each link with its queue, its message joiner and its numbers
 * for circuits. Everything that leaves goes through the fair queue; everything that arrives is handed
 * to the one listener. SPEC links §2-§4
 *
 * A peer is known by the key its TLS certificate proved. It gets a node id only when it announced a
 * descriptor signed by that key, or when it was dialled under one.
 */
import {
  CELL_SIZE,
  CIRCUIT_CELLS_QUEUED_MAX,
  type Clock,
  keyOf,
  type Log,
  MalformedError,
  messageOf,
  type NodeId,
  PeerError,
  type PublicKey,
  UnavailableError,
} from '../core/index.ts'
import {
  type Cell,
  COMMANDS,
  type Command,
  FairQueue,
  type Link,
  MessageJoiner,
  makeCell,
  readCell,
  splitMessage,
  type Transport,
  writeHeader,
} from '../routing/index.ts'
import { CellMeter } from './cell-credits.ts'
import { giveWayTo, heaviest, LINK_LIMITS, type LinkLimits, type LinkWorth, type Standing } from './link-limits.ts'
import type { Upload } from './upload.ts'

/** Handed to the link beyond this, cells wait in the fair queue, where order can still change. */
const LINK_QUEUED_BYTES_HIGH = 256 * 1024
/** Cells waiting on one link, all flows together. */
const QUEUE_CELLS_MAX = 2_048
/** Shards half arrived on one link. */
const PARTIAL_BYTES_MAX = 8 * 1024 * 1024
/**
 * Messages of one lane go one after the other, lanes take turns: so many messages may be under way at
 * once, fewer than the other side's joiner holds. Control has lanes of its own, since it overtakes.
 */
const NORMAL_LANES = 32
const CONTROL_LANES = 8
/** Lanes are flows above the circuit numbers (u32). */
const LANE_FLOW_BASE = 2 ** 32
/** Half a link's queue for one circuit; the rest of the bound is for all messages together. */
const FLOW_CELLS_MAX = 1_024
const DIAL_TIMEOUT_MS = 5_000
/** A link nobody used for so long is closed; neighbours and guards are used all the time. */
const IDLE_MS = 5 * 60_000
const IDLE_CHECK_MS = 30_000
/** Cells received, of all links, before what is held is summed up anew: 2 MiB. */
const CELLS_BETWEEN_WEIGHING = 256
/** Besides so often while any link holds something, and more often while a quarter of what may be held is. */
const WEIGH_EVERY_MS = { calm: 5_000, heavy: 100 }

/** Where a node can be found. */
export interface Contact {
  readonly id: NodeId | undefined
  readonly publicKey: PublicKey
  readonly addresses: readonly string[]
}

export interface LinkListener {
  readonly limits: Partial<LinkLimits>
  readonly upload: Upload
  standingOf(peer: PeerLink): Standing
  onMessage(peer: PeerLink, message: Uint8Array): void
  /** `raw` is the whole cell, the listener's own memory; `cell.body` is a view of it. */
  onCircuitCell(peer: PeerLink, cell: Cell, raw: Uint8Array): void
  onOpen(peer: PeerLink): void
  onClosed(peer: PeerLink): void
}

/** The peer could not be reached; which peer is the caller's to say. */
export class UnreachableError extends UnavailableError {
  readonly code = 'ERR_UNREACHABLE'
}

interface PeerLinkNeeds {
  readonly id: NodeId | undefined
  readonly clock: Clock
  readonly upload: Upload
  readonly onLaden: (peer: PeerLink) => void
  readonly onUncounted: (peer: PeerLink) => void
}

export class PeerLink {
  /** Known once announced or dialled; a peer without is a client. */
  id: NodeId | undefined
  readonly key: PublicKey
  readonly isDialer: boolean
  /** Circuits and calls that run over this link: it is in use while above zero. */
  holds = 0
  readonly #link: Link
  #queue = newQueue()
  readonly joiner = new MessageJoiner({ partialBytesMax: PARTIAL_BYTES_MAX })
  #isClosed = false
  /** False: it held nothing when last asked, and nothing has come or gone since. */
  #mayHold = false
  readonly #onLaden: (peer: PeerLink) => void
  #turn = 0
  #circuit = 0
  #usedMs: number
  readonly #openedMs: number
  readonly #clock: Clock
  readonly #upload: Upload
  /** What the relay cells on this link cost whom. */
  readonly cells: CellMeter

  /**
   * `onLaden` is told when it may hold something, after it held nothing; `onUncounted` of the first relay cell
   * after cells.take().
   */
  constructor(link: Link, from: PeerLinkNeeds) {
    this.#link = link
    this.#onLaden = from.onLaden
    this.id = from.id
    this.key = link.peerKey
    this.isDialer = link.isDialer
    this.cells = new CellMeter({ isDialer: link.isDialer, onFirst: () => from.onUncounted(this) })
    this.#clock = from.clock
    this.#upload = from.upload
    this.#usedMs = from.clock.monotonicMs()
    this.#openedMs = this.#usedMs
  }

  get isClosed(): boolean {
    return this.#isClosed
  }
  /** A node of the ring, as far as is known; anybody else is a stranger and gets less. */
  get isMember(): boolean {
    return this.id !== undefined
  }
  get queuedBytes(): number {
    return this.#link.queuedBytes + this.#queue.bytes
  }
  get idleMs(): number {
    return this.holds > 0 ? 0 : this.#clock.monotonicMs() - this.#usedMs
  }
  /** What waits to be sent, and messages half arrived. */
  get heldBytes(): number {
    if (!this.#mayHold || this.#isClosed) return 0
    const heldBytes = this.queuedBytes + this.joiner.heldBytes
    this.#mayHold = heldBytes > 0
    return heldBytes
  }
  worth(standing: Standing, nowMs: number): LinkWorth {
    const { holds, heldBytes } = this
    return { standing, holds, heldBytes, silentMs: nowMs - this.#usedMs, ageMs: nowMs - this.#openedMs }
  }

  /** A number for a new circuit: odd ones belong to the dialling side, even ones to the other. */
  nextCircuit(): number {
    this.#circuit = (this.#circuit + 2) % 0xffff_fffe
    return this.isDialer ? this.#circuit + 1 : this.#circuit + 2
  }

  /** False when the link is closed or its queue full: nothing was sent, nothing will be. */
  sendMessage(message: Uint8Array, urgency: 'control' | 'normal' = 'normal'): boolean {
    if (this.#isClosed) return false
    this.#turn = (this.#turn + 1) % (NORMAL_LANES * CONTROL_LANES)
    const lane = urgency === 'control' ? NORMAL_LANES + (this.#turn % CONTROL_LANES) : this.#turn % NORMAL_LANES
    const flow = LANE_FLOW_BASE + lane
    const cells = splitMessage(lane, message)
    const wish = { count: cells.length, sizeBytes: cells.length * CELL_SIZE, priority: urgency }
    if (!this.#queue.hasRoom(flow, wish)) return false
    for (const cell of cells) this.#queue.offer(flow, cell, wish)
    this.pump()
    return true
  }

  /** Makes or ends a circuit. Destroy never overtakes what the circuit still has to deliver. */
  sendCommand(circuit: number, command: Command, body: Uint8Array): boolean {
    const priority = command === COMMANDS.destroy ? 'normal' : 'control'
    return this.#offer(circuit, makeCell(circuit, command, body), priority)
  }

  /**
   * Sends a relay cell, whose body is done; the memory belongs to the link from now on. False when the
   * circuit's queue or the link's is full: the caller destroys the circuit.
   */
  sendRelay(circuit: number, cell: Uint8Array): boolean {
    writeHeader(cell, circuit, COMMANDS.relay)
    if (this.#queue.flowItems(circuit) >= CIRCUIT_CELLS_QUEUED_MAX) return false
    if (!this.#offer(circuit, cell, 'normal')) return false
    this.cells.sent(circuit)
    return true
  }

  /** Cells of the circuit that wait for this link. */
  waiting(circuit: number): number {
    return this.#queue.flowItems(circuit)
  }

  #offer(circuit: number, cell: Uint8Array, priority: 'control' | 'normal'): boolean {
    if (this.#isClosed || !this.#queue.offer(circuit, cell, { priority })) return false
    this.pump()
    return true
  }

  dropCircuit(circuit: number): void {
    this.#queue.dropFlow(circuit)
  }

  /** Moves cells to the link while it takes them. */
  pump(): void {
    this.#laden()
    let hasSent = true
    while (hasSent) hasSent = this.sendOne()
  }

  sendOne(): boolean {
    if (this.#isClosed || this.#link.queuedBytes >= LINK_QUEUED_BYTES_HIGH || this.#queue.items === 0) return false
    if (!this.#upload.admits(this, { sizeBytes: CELL_SIZE, isControl: this.#queue.hasControl })) return false
    const cell = this.#queue.take()
    if (cell === undefined) return false
    this.#usedMs = this.#clock.monotonicMs()
    this.#link.send(cell)
    return true
  }

  #laden(): void {
    if (this.#mayHold) return
    this.#mayHold = true
    this.#onLaden(this)
  }

  start(handlers: { onCell(cell: Uint8Array): void; onClose(reason: string): void }): void {
    this.#link.start({
      onCell: (cell) => {
        this.#usedMs = this.#clock.monotonicMs()
        handlers.onCell(cell)
        this.#laden()
      },
      onDrain: () => this.pump(),
      onClose: (reason) => {
        this.#isClosed = true
        this.#upload.forget(this)
        handlers.onClose(reason)
      },
    })
  }

  close(reason: string): void {
    this.#link.close(reason)
  }

  /** Closes, and lets go at once of what was to be sent. */
  shed(): void {
    this.#isClosed = true
    this.#queue = newQueue()
    this.#link.close('holds too much')
  }
}

function newQueue(): FairQueue {
  return new FairQueue({
    flowItemsMax: FLOW_CELLS_MAX,
    itemsMax: QUEUE_CELLS_MAX,
    bytesMax: QUEUE_CELLS_MAX * CELL_SIZE,
    controlItemsReserved: 64,
  })
}

export class LinkTable {
  readonly #transport: Transport
  readonly #clock: Clock
  readonly #common: Omit<PeerLinkNeeds, 'id'>
  readonly #log: Log
  readonly #listener: LinkListener
  readonly #open = new Map<string, PeerLink[]>()
  /** Those that may hold something. */
  readonly #laden = new Set<PeerLink>()
  /** Those over which relay cells have gone since takeUncounted(). */
  #uncounted = new Set<PeerLink>()
  readonly #dialling = new Map<string, Promise<PeerLink>>()
  readonly #limits: LinkLimits
  #sinceWeighed = 0
  #isWeighing = false
  #isStopped = false
  /** Links closed in favour of others, newcomers refused, and links closed because they held too much. */
  readonly counts = { gaveWay: 0, refused: 0, unburdened: 0 }

  constructor(ports: { transport: Transport; clock: Clock; log: Log }, listener: LinkListener) {
    this.#transport = ports.transport
    this.#clock = ports.clock
    this.#common = {
      clock: ports.clock,
      upload: listener.upload,
      onLaden: (peer: PeerLink) => {
        this.#laden.add(peer)
        if (!this.#isWeighing) this.#weighLater(WEIGH_EVERY_MS.calm)
      },
      onUncounted: (peer: PeerLink) => void this.#uncounted.add(peer),
    }
    this.#log = ports.log
    this.#listener = listener
    this.#limits = { ...LINK_LIMITS, ...listener.limits }
    this.#closeIdle()
  }

  get count(): number {
    let count = 0
    for (const links of this.#open.values()) count += links.length
    return count
  }
  all(): PeerLink[] {
    return [...this.#open.values()].flat()
  }

  /** Links over which relay cells have gone since this was last asked, closed ones included. */
  takeUncounted(): Iterable<PeerLink> {
    const uncounted = this.#uncounted
    this.#uncounted = new Set()
    return uncounted
  }

  /** An open link to that key, or undefined. */
  of(key: PublicKey): PeerLink | undefined {
    return this.#open.get(keyOf(key))?.[0]
  }

  /** An open link to that node: the one there is, or a new one. Throws UnreachableError or a link's own error. */
  async to(contact: Contact): Promise<PeerLink> {
    const name = keyOf(contact.publicKey)
    const open = this.#open.get(name)?.[0]
    if (open !== undefined) {
      open.id ??= contact.id
      return open
    }
    const dialling = this.#dialling.get(name)
    if (dialling !== undefined) return dialling
    const attempt = this.#dial(contact).finally(() => this.#dialling.delete(name))
    this.#dialling.set(name, attempt)
    return attempt
  }

  /** Takes in a link that a peer opened. */
  accept(link: Link): void {
    if (this.#isStopped) return void link.close('stopping')
    const peer = new PeerLink(link, { id: undefined, ...this.#common })
    if (this.count >= this.#limits.linksMax && !this.#makeRoomFor(peer)) {
      this.counts.refused++
      return void link.close('full')
    }
    this.#add(peer)
  }

  /** Asked each second: of many links few hold anything. */
  get heldBytes(): number {
    let sizeBytes = 0
    for (const peer of this.#laden) {
      const { heldBytes } = peer
      if (heldBytes === 0) this.#laden.delete(peer)
      sizeBytes += heldBytes
    }
    return sizeBytes
  }

  close(): void {
    this.#isStopped = true
    for (const peer of this.all()) peer.close('stopping')
  }

  #makeRoomFor(newcomer: PeerLink): boolean {
    const out = giveWayTo(this.#listener.standingOf(newcomer), this.all(), this.#weigh())
    if (out === undefined) return false
    this.counts.gaveWay++
    out.close('full')
    return true
  }

  /** Closes links while all of them together hold too much; what they hold then. */
  #unburden(): number {
    this.#sinceWeighed = 0
    for (;;) {
      const { heldBytes } = this
      if (heldBytes <= this.#limits.heldBytesMax) return heldBytes
      const out = heaviest(this.all(), this.#weigh())
      if (out === undefined) return heldBytes
      this.counts.unburdened++
      this.#log('warn', 'link closed: all together hold too much', { heldBytes: out.heldBytes })
      out.shed()
    }
  }

  #weigh(): (peer: PeerLink) => LinkWorth {
    const nowMs = this.#clock.monotonicMs()
    return (peer) => peer.worth(this.#listener.standingOf(peer), nowMs)
  }

  async #dial(contact: Contact): Promise<PeerLink> {
    let failure: unknown
    for (const address of contact.addresses) {
      if (this.#isStopped) break
      try {
        const link = await this.#transport.dial(
          { address, publicKey: contact.publicKey },
          { timeoutMs: DIAL_TIMEOUT_MS },
        )
        const peer = new PeerLink(link, { id: contact.id, ...this.#common })
        this.#add(peer)
        return peer
      } catch (error) {
        failure = error
      }
    }
    throw failure ?? new UnreachableError('the node gives no address')
  }

  #add(peer: PeerLink): void {
    const name = keyOf(peer.key)
    const links = this.#open.get(name) ?? []
    links.push(peer)
    this.#open.set(name, links)
    peer.start({
      onCell: (cell) => this.#take(peer, cell),
      onClose: (reason) => {
        const left = (this.#open.get(name) ?? []).filter((other) => other !== peer)
        if (left.length === 0) this.#open.delete(name)
        else this.#open.set(name, left)
        this.#log('debug', 'link closed', { reason })
        this.#listener.onClosed(peer)
      },
    })
    this.#listener.onOpen(peer)
  }

  #take(peer: PeerLink, raw: Uint8Array): void {
    if (++this.#sinceWeighed >= CELLS_BETWEEN_WEIGHING) this.#unburden()
    try {
      const cell = readCell(raw)
      if (cell.command === COMMANDS.padding) return
      if (cell.command !== COMMANDS.message) {
        if (cell.command === COMMANDS.relay) peer.cells.arrived(cell.circuit)
        this.#listener.onCircuitCell(peer, cell, raw)
        return
      }
      if (cell.circuit !== 0) throw new MalformedError('malformed cell: a message on a circuit')
      const message = peer.joiner.add(cell.body)
      if (message !== undefined) this.#listener.onMessage(peer, message)
    } catch (error) {
      if (!(error instanceof PeerError)) throw error
      this.#log('warn', 'peer misbehaved', { reason: messageOf(error) })
      peer.close('misbehaved')
    }
  }

  /** What is on its way out grows without a cell coming in, when it comes from the disk. */
  #weighLater(delayMs: number): void {
    this.#isWeighing = true
    this.#clock.setTimer(delayMs, () => {
      this.#isWeighing = false
      if (this.#isStopped) return
      const isHeavy = this.#unburden() > this.#limits.heldBytesMax / 4
      // Once no link holds anything, the next one that may tells.
      if (this.#laden.size > 0) this.#weighLater(isHeavy ? WEIGH_EVERY_MS.heavy : WEIGH_EVERY_MS.calm)
    })
  }

  #closeIdle(): void {
    this.#clock.setTimer(IDLE_CHECK_MS, () => {
      if (this.#isStopped) return
      for (const peer of this.all()) if (peer.idleMs > IDLE_MS) peer.close('idle')
      this.#closeIdle()
    })
  }
}
