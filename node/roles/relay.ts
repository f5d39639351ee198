/**
 * The relay: answers CREATE, extends circuits, passes cells on, and as the last hop hands requests to
 * the gateway. It knows the two links of a circuit and nothing of what it carries. SPEC circuits §2-§5
 *
 *   CREATE ──> waiting (create-desk.ts) ──> open ── EXTEND ──> extending ── CREATED ──> extended
 *   any of these ── DESTROY, a broken link, a cell that does not open, a full queue ──> gone
 */
import {
  assert,
  CELL_BODY_SIZE,
  CELL_SIZE,
  CIRCUIT_REQUESTS_MAX,
  type Clock,
  equalBytes,
  type Log,
  MalformedError,
  messageOf,
  type NetworkId,
  type NodeId,
  PeerError,
  type SecretRandom,
  type Timer,
} from '../../core/index.ts'
import { answerHandshake, type ExchangeKey } from '../../crypto/index.ts'
import {
  bodyOf,
  COMMANDS,
  DESTROY_REASONS,
  type DestroyReason,
  decodeAck,
  decodeCreate,
  decodeCreated,
  decodeDestroy,
  decodeExtend,
  EXTEND_FAILURES,
  type Extend,
  type ExtendFailure,
  effortAsked,
  encodeAck,
  encodeCreate,
  encodeCreated,
  encodeExtended,
  encodeExtendFailed,
  isWindowed,
  type PuzzleProof,
  RELAY_COMMANDS,
  ReceiveWindow,
  RelayLayer,
  type RelayMessage,
  SendWindow,
  StreamJoiner,
  splitForStream,
} from '../../routing/index.ts'
import type { CircuitEnd, CircuitTable } from '../circuit-table.ts'
import { refuse } from '../circuit-table.ts'
import type { Gate } from '../gate.ts'
import type { PeerLink } from '../links.ts'
import { CreateDesk, type WaitingCreate } from './create-desk.ts'
import type { Gateway } from './gateway.ts'
import { HeldBytes } from './held-bytes.ts'

const EXTEND_TIMEOUT_MS = 8_000
/** Answers that wait for the client's acknowledgements; a client that asks on without them is cut off. */
const OUTBOX_CELLS_MAX = 16 * CIRCUIT_REQUESTS_MAX
/** Unfinished requests and answers that wait, of all circuits that end here; the one that holds most gives way. */
const CIRCUITS_HELD_BYTES_MAX = 24 * 1024 * 1024
/** Circuits that are being extended, each of which may be a link to open. */
const EXTENDING_MAX = 256
/** A client may be asked for work, and for more work; who tries again and again is none. */
const EXTEND_TRIES_MAX = 6

export interface RelayPorts {
  readonly clock: Clock
  readonly random: SecretRandom
  readonly log: Log
  readonly circuits: CircuitTable
  readonly selfId: NodeId
  readonly networkId: NetworkId
  /** Newest first. */
  readonly onionKeys: () => readonly ExchangeKey[]
  readonly gateway: Gateway
  readonly gate: Pick<Gate, 'pass'>
  readonly reach: (id: NodeId) => Promise<PeerLink | undefined>
  readonly isKnown: (id: NodeId) => boolean
}

export class Relay {
  readonly #p: RelayPorts
  readonly desk: CreateDesk
  readonly counts = { circuits: 0, cells: 0, extending: 0, extendsRefused: 0, gaveWay: 0 }
  readonly #held = new HeldBytes<RelayedCircuit>(CIRCUITS_HELD_BYTES_MAX, (circuit) => {
    this.counts.gaveWay++
    circuit.giveWay()
  })

  constructor(ports: RelayPorts) {
    this.#p = ports
    this.desk = new CreateDesk({ clock: ports.clock, relayId: ports.selfId })
    ports.circuits.onCreate = (peer, circuit, body) => this.#create(peer, circuit, body)
  }

  get heldBytes(): number {
    return this.#held.total
  }

  #create(peer: PeerLink, circuit: number, body: Uint8Array): void {
    const { hop, message, proof } = decodeCreate(body)
    // Of its own: the body is part of a network buffer of up to twelve cells.
    const waiting = new CreatedCircuit(this.#p, { peer, circuit, hop, proof, message: message.slice() }, this)
    if (this.#p.circuits.accept(peer, circuit, waiting)) this.desk.offer(waiting)
    else refuse(peer, circuit, DESTROY_REASONS.full)
  }

  /** False: the handshake was bad. */
  answer({ peer, circuit, hop, message }: Asked): boolean {
    const { random, networkId, selfId, circuits } = this.#p
    const answer = answerHandshake({ networkId, relayId: selfId, hop, random, onionKeys: this.#p.onionKeys(), message })
    if (answer === undefined) return false
    const layer = new RelayLayer(answer.keys, { hop, random })
    const from = { peer, circuit, layer, hop, counts: this.counts, held: this.#held }
    circuits.replace(peer, circuit, new RelayedCircuit(this.#p, from))
    this.counts.circuits++
    peer.sendCommand(circuit, COMMANDS.created, encodeCreated(answer.reply))
    return true
  }
}

interface Asked {
  readonly peer: PeerLink
  readonly circuit: number
  readonly hop: number
  readonly message: Uint8Array
  readonly proof: PuzzleProof | undefined
}

/** A circuit whose CREATE waits for its answer: it has a number and nothing else. */
class CreatedCircuit implements CircuitEnd, WaitingCreate {
  readonly message: Uint8Array
  readonly proof: PuzzleProof | undefined
  readonly link: PeerLink
  readonly #p: RelayPorts
  readonly #asked: Asked
  readonly #relay: Relay

  constructor(ports: RelayPorts, asked: Asked, relay: Relay) {
    this.#p = ports
    this.#asked = asked
    this.#relay = relay
    this.message = asked.message
    this.proof = asked.proof
    this.link = asked.peer
  }

  answer(): boolean {
    const isGood = this.#relay.answer(this.#asked)
    if (!isGood) this.#end(DESTROY_REASONS.failed)
    return isGood
  }

  refuse(why: Parameters<WaitingCreate['refuse']>[0]): void {
    if (why.reason === 'puzzle') this.#end(DESTROY_REASONS.puzzle, why.effort)
    else this.#end(DESTROY_REASONS.full)
  }

  flooded(): void {
    this.#p.log('warn', 'peer misbehaved', { reason: 'too many circuits asked for' })
    this.link.close('misbehaved')
  }

  /** Nothing may come before the answer. */
  onRelay(): void {
    this.#withdraw()
  }
  onCreated(): void {
    this.#withdraw()
  }
  onDestroyed(): void {
    this.#relay.desk.withdraw(this)
  }

  #withdraw(): void {
    this.#relay.desk.withdraw(this)
    this.#end(DESTROY_REASONS.failed)
  }

  #end(reason: DestroyReason, effort = 0): void {
    this.#p.circuits.destroy(this.#asked.peer, this.#asked.circuit, reason, effort)
  }
}

/** The side towards the client; holds the side away from it, if there is one. */
class RelayedCircuit implements CircuitEnd {
  readonly #p: RelayPorts
  readonly #peer: PeerLink
  readonly #circuit: number
  readonly #layer: RelayLayer
  readonly #hop: number
  readonly #counts: Relay['counts']
  readonly #held: HeldBytes<RelayedCircuit>
  #next: NextHop | undefined
  #isExtending = false
  #extendTries = 0
  #isGone = false
  // As the last hop: requests that come, and what is to go back.
  readonly #joiner: StreamJoiner
  readonly #sendWindow = new SendWindow()
  readonly #receiveWindow = new ReceiveWindow()
  readonly #outbox: RelayMessage[] = []
  #serving = 0

  constructor(
    ports: RelayPorts,
    from: {
      peer: PeerLink
      circuit: number
      layer: RelayLayer
      hop: number
      counts: Relay['counts']
      held: HeldBytes<RelayedCircuit>
    },
  ) {
    this.#p = ports
    this.#peer = from.peer
    this.#circuit = from.circuit
    this.#layer = from.layer
    this.#hop = from.hop
    this.#counts = from.counts
    this.#held = from.held
    this.#joiner = new StreamJoiner({ dataSizeMax: from.layer.dataSizeMax })
  }

  /** A cell from the client's side. */
  onRelay(cell: { body: Uint8Array }, raw: Uint8Array): void {
    const drop = (): void => this.#destroy(DESTROY_REASONS.full)
    const take = (): boolean => {
      if (this.#isGone) return false
      this.#forward(cell, raw)
      return true
    }
    if (!this.#p.gate.pass(this.#peer, { take, drop })) drop()
  }

  #forward(cell: { body: Uint8Array }, raw: Uint8Array): void {
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
      this.#p.log('debug', 'circuit misbehaved', { reason: messageOf(error) })
      this.#destroy(DESTROY_REASONS.failed)
    }
  }

  onCreated(): void {
    // Only the side that sent CREATE expects it.
    this.#destroy(DESTROY_REASONS.failed)
  }

  onDestroyed(): void {
    this.#isGone = true
    this.#held.set(this, 0)
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
    const { command } = message
    if (isWindowed(command)) {
      if (!this.#receiveWindow.received(tag)) throw new MalformedError('malformed circuit: window overrun')
      const request = this.#joiner.add(message)
      if (request !== undefined) this.#serve(message.stream, request)
      this.#noteHeld()
      for (let due = this.#receiveWindow.takeAck(); due !== undefined; due = this.#receiveWindow.takeAck()) {
        this.#reply({ command: RELAY_COMMANDS.ack, stream: 0, data: encodeAck(due) })
      }
    } else if (command === RELAY_COMMANDS.ack) {
      if (!this.#sendWindow.acknowledge(decodeAck(message.data)))
        throw new MalformedError('malformed circuit: false ack')
      this.#flush()
      this.#noteHeld()
    } else if (command === RELAY_COMMANDS.extend) {
      const wish = decodeExtend(message.data)
      if (wish.hop !== this.#hop + 1) throw new MalformedError('malformed circuit: hop out of order')
      if (this.#next !== undefined || this.#isExtending) throw new MalformedError('malformed circuit: extended twice')
      this.#extendTries++
      if (this.#extendTries > EXTEND_TRIES_MAX) throw new MalformedError('malformed circuit: extended again and again')
      void this.#extend(wish)
    } else if (command !== RELAY_COMMANDS.drop) {
      throw new MalformedError('malformed circuit: not for a relay')
    }
  }

  #serve(stream: number, request: Uint8Array): void {
    const isFull = this.#serving >= CIRCUIT_REQUESTS_MAX || this.#outbox.length >= OUTBOX_CELLS_MAX
    if (isFull) throw new MalformedError('malformed circuit: too many requests')
    this.#serving++
    void this.#p.gateway.serve(request).then(
      (answer) => {
        this.#serving--
        if (this.#isGone) return
        this.#outbox.push(...splitForStream(stream, answer, this.#layer.dataSizeMax))
        this.#flush()
        this.#noteHeld()
      },
      (error: unknown) => {
        this.#serving--
        if (!(error instanceof PeerError)) this.#p.log('error', 'request failed', { reason: messageOf(error) })
        this.#destroy(DESTROY_REASONS.failed)
      },
    )
  }

  /** Requests under way are counted too: each is a shard on its way in, or room for one on its way out. */
  #noteHeld(): void {
    if (this.#isGone) return
    this.#held.set(this, this.#joiner.heldBytes + this.#outbox.length * CELL_SIZE)
  }

  /** Sends what waits, as far as the window reaches. */
  #flush(): void {
    while (!this.#isGone && this.#sendWindow.room > 0) {
      const message = this.#outbox.shift()
      if (message === undefined) return
      if (this.#reply(message)) this.#sendWindow.sent(this.#layer.replyTag)
    }
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

  #destroy(reason: (typeof DESTROY_REASONS)[keyof typeof DESTROY_REASONS]): void {
    if (this.#isGone) return
    this.#isGone = true
    this.#held.set(this, 0)
    this.#p.circuits.destroy(this.#peer, this.#circuit, reason)
    // Why it ended here is nobody's business further on.
    this.#next?.destroy(DESTROY_REASONS.finished)
  }
}

/** The side away from the client. */
class NextHop implements CircuitEnd {
  readonly #p: RelayPorts
  readonly #peer: PeerLink
  readonly #before: RelayedCircuit
  #circuit: number | undefined
  #onCreated: ((reply: Uint8Array | ExtendFailed) => void) | undefined
  #timer: Timer | undefined

  constructor(ports: RelayPorts, from: { peer: PeerLink; before: RelayedCircuit }) {
    this.#p = ports
    this.#peer = from.peer
    this.#before = from.before
  }

  /** The new relay's handshake reply, or why there is none. */
  create(body: Uint8Array): Promise<Uint8Array | ExtendFailed> {
    assert(body.length <= CELL_BODY_SIZE, 'a create fits its cell')
    return new Promise((resolve) => {
      this.#onCreated = (reply) => {
        this.#timer?.cancel()
        this.#onCreated = undefined
        resolve(reply)
      }
      this.#circuit = this.#p.circuits.open(this.#peer, this)
      if (this.#circuit === undefined) return this.#onCreated(BUSY)
      this.#timer = this.#p.clock.setTimer(EXTEND_TIMEOUT_MS, () => this.#onCreated?.(REFUSED))
      if (!this.#peer.sendCommand(this.#circuit, COMMANDS.create, body)) this.#onCreated(BUSY)
    })
  }

  send(raw: Uint8Array): boolean {
    return this.#circuit !== undefined && this.#peer.sendRelay(this.#circuit, raw)
  }

  onCreated(body: Uint8Array): void {
    this.#onCreated?.(decodeCreated(body))
  }

  onRelay(_cell: unknown, raw: Uint8Array): void {
    this.#before.sendBack(raw)
  }

  onDestroyed(body?: Uint8Array): void {
    this.#circuit = undefined
    if (this.#onCreated !== undefined) this.#onCreated(failedBy(body))
    else this.#before.nextGone()
  }

  destroy(reason: (typeof DESTROY_REASONS)[keyof typeof DESTROY_REASONS]): void {
    const circuit = this.#circuit
    this.#circuit = undefined
    if (circuit !== undefined) this.#p.circuits.destroy(this.#peer, circuit, reason)
  }
}

/** Why a circuit was not extended; `effort` counts when the reason is a puzzle. */
interface ExtendFailed {
  readonly reason: ExtendFailure
  readonly effort: number
}
const REFUSED: ExtendFailed = { reason: EXTEND_FAILURES.refused, effort: 0 }
const BUSY: ExtendFailed = { reason: EXTEND_FAILURES.busy, effort: 0 }

/** What the client is told when a relay refuses a create with a destroy of this body. */
function failedBy(body: Uint8Array | undefined): ExtendFailed {
  const effort = body && effortAsked(body)
  if (effort !== undefined) return { reason: EXTEND_FAILURES.puzzle, effort }
  return body !== undefined && decodeDestroy(body) === DESTROY_REASONS.full ? BUSY : REFUSED
}
