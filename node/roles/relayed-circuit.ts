/**
 * One circuit at a relay: its side towards the client, which holds the side away from it, if there is one.
 * Its own end of the circuit is what the client asks of it, and what it asks over a line. SPEC circuits §2-§5
 *
 *   open ── EXTEND ──> extending ── CREATED ──> extended
 *   any of these ── DESTROY, a broken link, a cell that does not open, a full queue ──> gone
 */
import {
  CELL_SIZE,
  type Clock,
  equalBytes,
  type Log,
  MalformedError,
  messageOf,
  type NodeId,
  PeerError,
} from '../../core/index.ts'
import {
  bodyOf,
  DESTROY_REASONS,
  type DestroyReason,
  decodeExtend,
  EXTEND_FAILURES,
  type Extend,
  encodeCreate,
  encodeExtended,
  encodeExtendFailed,
  RELAY_COMMANDS,
  type RelayLayer,
  type RelayMessage,
} from '../../routing/index.ts'
import { CircuitStreams } from '../circuit-streams.ts'
import type { CircuitEnd, CircuitTable } from '../circuit-table.ts'
import type { Gate } from '../gate.ts'
import type { HeldBytes } from '../held-bytes.ts'
import type { PeerLink } from '../links.ts'
import type { AskedCircuit, Gateway } from './gateway.ts'
import { type ExtendFailed, NextHop } from './next-hop.ts'

/** Circuits that are being extended, each of which may be a link to open. */
const EXTENDING_MAX = 256
/** A client may be asked for work, and for more work; who tries again and again is none. */
const EXTEND_TRIES_MAX = 6

export interface RelayedCircuitPorts {
  readonly clock: Clock
  readonly log: Log
  readonly circuits: CircuitTable
  readonly selfId: NodeId
  readonly gateway: Pick<Gateway, 'serve'>
  readonly gate: Pick<Gate, 'pass'>
  readonly reach: (id: NodeId) => Promise<PeerLink | undefined>
  readonly isKnown: (id: NodeId) => boolean
}

export interface RelayCounts {
  circuits: number
  cells: number
  extending: number
  extendsRefused: number
  gaveWay: number
}

interface RelayedCircuitParts {
  readonly peer: PeerLink
  readonly circuit: number
  readonly layer: RelayLayer
  readonly hop: number
  readonly binding: Uint8Array
  readonly counts: RelayCounts
  readonly held: HeldBytes<RelayedCircuit>
}

export class RelayedCircuit implements CircuitEnd, AskedCircuit {
  readonly binding: Uint8Array
  /** Called once, when the circuit is no more. */
  onGone: () => void = () => {}
  readonly #p: RelayedCircuitPorts
  readonly #peer: PeerLink
  readonly #circuit: number
  readonly #layer: RelayLayer
  readonly #hop: number
  readonly #counts: RelayCounts
  readonly #streams: CircuitStreams
  #next: NextHop | undefined
  #isExtending = false
  #extendTries = 0
  #isGone = false

  constructor(ports: RelayedCircuitPorts, from: RelayedCircuitParts) {
    this.#p = ports
    this.binding = from.binding
    this.#peer = from.peer
    this.#circuit = from.circuit
    this.#layer = from.layer
    this.#hop = from.hop
    this.#counts = from.counts
    this.#streams = new CircuitStreams({
      clock: ports.clock,
      end: 'lastHop',
      dataSizeMax: from.layer.dataSizeMax,
      send: (message) => (this.#reply(message) ? this.#layer.replyTag : undefined),
      answer: (question) => ports.gateway.serve(question, this),
      onFailed: (error) => {
        if (!(error instanceof PeerError)) ports.log('error', 'request failed', { reason: messageOf(error) })
        this.#destroy(DESTROY_REASONS.failed)
      },
      // Requests under way are counted too: each is a shard on its way in, or room for one on its way out.
      onHeld: (sizeBytes) => from.held.set(this, sizeBytes),
    })
  }

  get isGone(): boolean {
    return this.#isGone
  }

  /** Asks the client, on a stream of this end's. Throws CircuitError. */
  ask(question: Uint8Array, options: { readonly timeoutMs: number }): Promise<Uint8Array> {
    return this.#streams.ask(question, options)
  }

  /** The client does not follow the rules of what runs on the circuit. */
  misbehaved(reason: string): void {
    this.#p.log('debug', 'circuit misbehaved', { reason })
    this.#destroy(DESTROY_REASONS.failed)
  }

  /** A cell from the client's side. */
  onRelay(cell: { body: Uint8Array }, raw: Uint8Array): void {
    if (!this.#p.gate.pass(this.#peer, () => this.#forward(cell, raw))) this.#destroy(DESTROY_REASONS.full)
  }

  #forward(cell: { body: Uint8Array }, raw: Uint8Array): void {
    if (this.#isGone) return
    this.#counts.cells++
    const forwarded = this.#layer.forward(cell.body)
    if (forwarded.do === 'fail') {
      this.#destroy(DESTROY_REASONS.failed)
      return
    }
    if (forwarded.do === 'pass') {
      if (this.#next === undefined || !this.#next.send(raw)) this.#destroy(DESTROY_REASONS.full)
      return
    }
    try {
      this.#take(forwarded.message, forwarded.tag)
    } catch (error) {
      if (!(error instanceof PeerError)) throw error
      this.misbehaved(messageOf(error))
    }
  }

  onCreated(): void {
    // Only the side that sent CREATE expects it.
    this.#destroy(DESTROY_REASONS.failed)
  }

  onDestroyed(): void {
    this.#end()
    this.#next?.destroy(DESTROY_REASONS.finished)
  }

  /** It holds more than any other, and all together hold too much. */
  giveWay(): void {
    this.#destroy(DESTROY_REASONS.full)
  }

  /** A cell from the far side: one more layer, and on towards the client. */
  sendBack(raw: Uint8Array): void {
    this.#counts.cells++
    this.#layer.backward(bodyOf(raw))
    if (!this.#peer.sendRelay(this.#circuit, raw)) this.#destroy(DESTROY_REASONS.full)
  }

  /** The far side ended: what it sent still goes to the client before the end does. */
  nextGone(): void {
    this.#next = undefined
    this.#destroy(DESTROY_REASONS.finished)
  }

  #take(message: RelayMessage, tag: Uint8Array): void {
    if (this.#streams.take(message, tag)) return
    if (message.command !== RELAY_COMMANDS.extend) throw new MalformedError('malformed circuit: not for a relay')
    const wish = decodeExtend(message.data)
    if (wish.hop !== this.#hop + 1) throw new MalformedError('malformed circuit: hop out of order')
    if (this.#next !== undefined || this.#isExtending) throw new MalformedError('malformed circuit: extended twice')
    this.#extendTries++
    if (this.#extendTries > EXTEND_TRIES_MAX) throw new MalformedError('malformed circuit: extended again and again')
    void this.#extend(wish)
  }

  #reply(message: RelayMessage): boolean {
    if (this.#isGone) return false
    const raw = new Uint8Array(CELL_SIZE)
    this.#layer.reply(message, bodyOf(raw))
    if (this.#peer.sendRelay(this.#circuit, raw)) return true
    this.#destroy(DESTROY_REASONS.full)
    return false
  }

  async #extend(wish: Extend): Promise<void> {
    this.#isExtending = true
    const failed = await this.#extendTo(wish)
    this.#isExtending = false
    if (failed === undefined) return
    this.#counts.extendsRefused++
    const data = encodeExtendFailed(failed.reason, failed.effort)
    this.#reply({ command: RELAY_COMMANDS.extendFailed, stream: 0, data })
  }

  /** The id is looked up in the own view: nobody can make a relay connect anywhere else. */
  async #extendTo({ relayId, hop, message, proof }: Extend): Promise<ExtendFailed | undefined> {
    const { isKnown, selfId, reach } = this.#p
    if (!isKnown(relayId) || equalBytes(relayId, selfId)) return { reason: EXTEND_FAILURES.unknownRelay, effort: 0 }
    if (this.#counts.extending >= EXTENDING_MAX) return { reason: EXTEND_FAILURES.busy, effort: 0 }
    this.#counts.extending++
    try {
      const peer = await reach(relayId)
      if (peer === undefined) return { reason: EXTEND_FAILURES.unreachable, effort: 0 }
      if (this.#isGone) return undefined
      const next = new NextHop(this.#p, { peer, before: this })
      this.#next = next
      const created = await next.create(encodeCreate({ hop, message, proof }))
      if (created instanceof Uint8Array) {
        this.#reply({ command: RELAY_COMMANDS.extended, stream: 0, data: encodeExtended(created) })
        return undefined
      }
      next.destroy(DESTROY_REASONS.failed)
      if (this.#next === next) this.#next = undefined
      return created
    } finally {
      this.#counts.extending--
    }
  }

  #destroy(reason: DestroyReason): void {
    if (this.#isGone) return
    this.#end()
    this.#p.circuits.destroy(this.#peer, this.#circuit, reason)
    // Why it ended here is nobody's business further on.
    this.#next?.destroy(DESTROY_REASONS.finished)
  }

  #end(): void {
    if (this.#isGone) return
    this.#isGone = true
    this.#streams.end()
    this.onGone()
  }
}
