/**
 * The relay: answers CREATE, extends circuits, passes cells on, and as the last hop hands requests to
 * the gateway. It knows the two links of a circuit and nothing of what it carries. SPEC circuits §2-§5
 *
 *   CREATE ──> open ── EXTEND ──> extending ── CREATED ──> extended
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
  decodeAck,
  decodeCreate,
  decodeCreated,
  decodeExtend,
  EXTEND_FAILURES,
  type Extend,
  type ExtendFailure,
  encodeAck,
  encodeCreate,
  encodeCreated,
  encodeExtended,
  encodeExtendFailed,
  isWindowed,
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
import type { PeerLink } from '../links.ts'
import type { Gateway } from './gateway.ts'

const EXTEND_TIMEOUT_MS = 8_000
/** Answers that wait for the client's acknowledgements; a client that asks on without them is cut off. */
const OUTBOX_CELLS_MAX = 16 * CIRCUIT_REQUESTS_MAX

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
  readonly reach: (id: NodeId) => Promise<PeerLink | undefined>
  readonly isKnown: (id: NodeId) => boolean
}

export class Relay {
  readonly #p: RelayPorts
  readonly counts = { circuits: 0, cells: 0 }

  constructor(ports: RelayPorts) {
    this.#p = ports
    ports.circuits.onCreate = (peer, circuit, body) => this.#create(peer, circuit, body)
  }

  #create(peer: PeerLink, circuit: number, body: Uint8Array): void {
    const { hop, message } = decodeCreate(body)
    const { random, networkId, selfId } = this.#p
    const answer = answerHandshake({ networkId, relayId: selfId, hop, random, onionKeys: this.#p.onionKeys(), message })
    if (answer === undefined) {
      refuse(peer, circuit)
      return
    }
    const layer = new RelayLayer(answer.keys, { hop, random })
    const relayed = new RelayedCircuit(this.#p, { peer, circuit, layer, hop, counts: this.counts })
    if (!this.#p.circuits.accept(peer, circuit, relayed)) {
      refuse(peer, circuit)
      return
    }
    this.counts.circuits++
    peer.sendCommand(circuit, COMMANDS.created, encodeCreated(answer.reply))
  }
}

/** The side towards the client; holds the side away from it, if there is one. */
class RelayedCircuit implements CircuitEnd {
  readonly #p: RelayPorts
  readonly #peer: PeerLink
  readonly #circuit: number
  readonly #layer: RelayLayer
  readonly #hop: number
  readonly #counts: { cells: number }
  #next: NextHop | undefined
  #isExtending = false
  #isGone = false
  // As the last hop: requests that come, and what is to go back.
  readonly #joiner: StreamJoiner
  readonly #sendWindow = new SendWindow()
  readonly #receiveWindow = new ReceiveWindow()
  readonly #outbox: RelayMessage[] = []
  #serving = 0

  constructor(
    ports: RelayPorts,
    from: { peer: PeerLink; circuit: number; layer: RelayLayer; hop: number; counts: { cells: number } },
  ) {
    this.#p = ports
    this.#peer = from.peer
    this.#circuit = from.circuit
    this.#layer = from.layer
    this.#hop = from.hop
    this.#counts = from.counts
    this.#joiner = new StreamJoiner({ dataSizeMax: from.layer.dataSizeMax })
  }

  /** A cell from the client's side. */
  onRelay(cell: { body: Uint8Array }, raw: Uint8Array): void {
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
    this.#next?.destroy(DESTROY_REASONS.finished)
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
      for (let due = this.#receiveWindow.takeAck(); due !== undefined; due = this.#receiveWindow.takeAck()) {
        this.#reply({ command: RELAY_COMMANDS.ack, stream: 0, data: encodeAck(due) })
      }
    } else if (command === RELAY_COMMANDS.ack) {
      if (!this.#sendWindow.acknowledge(decodeAck(message.data)))
        throw new MalformedError('malformed circuit: false ack')
      this.#flush()
    } else if (command === RELAY_COMMANDS.extend) {
      const wish = decodeExtend(message.data)
      if (wish.hop !== this.#hop + 1) throw new MalformedError('malformed circuit: hop out of order')
      if (this.#next !== undefined || this.#isExtending) throw new MalformedError('malformed circuit: extended twice')
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
      },
      (error: unknown) => {
        this.#serving--
        if (!(error instanceof PeerError)) this.#p.log('error', 'request failed', { reason: messageOf(error) })
        this.#destroy(DESTROY_REASONS.failed)
      },
    )
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

  async #extend({ relayId, hop, message }: Extend): Promise<void> {
    this.#isExtending = true
    const failure = await this.#extendTo(relayId, encodeCreate({ hop, message }))
    this.#isExtending = false
    if (failure !== undefined) {
      this.#reply({ command: RELAY_COMMANDS.extendFailed, stream: 0, data: encodeExtendFailed(failure) })
    }
  }

  /** The id is looked up in the own view: nobody can make a relay connect anywhere else. */
  async #extendTo(relayId: NodeId, create: Uint8Array): Promise<ExtendFailure | undefined> {
    if (!this.#p.isKnown(relayId) || equalBytes(relayId, this.#p.selfId)) return EXTEND_FAILURES.unknownRelay
    const peer = await this.#p.reach(relayId)
    if (peer === undefined) return EXTEND_FAILURES.unreachable
    if (this.#isGone) return undefined
    const next = new NextHop(this.#p, { peer, before: this })
    this.#next = next
    const created = await next.create(create)
    if (created !== undefined) {
      this.#reply({ command: RELAY_COMMANDS.extended, stream: 0, data: encodeExtended(created) })
      return undefined
    }
    next.destroy(DESTROY_REASONS.failed)
    if (this.#next === next) this.#next = undefined
    return EXTEND_FAILURES.refused
  }

  #destroy(reason: (typeof DESTROY_REASONS)[keyof typeof DESTROY_REASONS]): void {
    if (this.#isGone) return
    this.#isGone = true
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
  #onCreated: ((reply: Uint8Array | undefined) => void) | undefined
  #timer: Timer | undefined

  constructor(ports: RelayPorts, from: { peer: PeerLink; before: RelayedCircuit }) {
    this.#p = ports
    this.#peer = from.peer
    this.#before = from.before
  }

  /** The new relay's handshake reply, or undefined. */
  create(body: Uint8Array): Promise<Uint8Array | undefined> {
    assert(body.length <= CELL_BODY_SIZE, 'a create fits its cell')
    return new Promise((resolve) => {
      this.#onCreated = (reply) => {
        this.#timer?.cancel()
        this.#onCreated = undefined
        resolve(reply)
      }
      this.#circuit = this.#p.circuits.open(this.#peer, this)
      if (this.#circuit === undefined) return this.#onCreated(undefined)
      this.#timer = this.#p.clock.setTimer(EXTEND_TIMEOUT_MS, () => this.#onCreated?.(undefined))
      if (!this.#peer.sendCommand(this.#circuit, COMMANDS.create, body)) this.#onCreated(undefined)
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

  onDestroyed(): void {
    this.#circuit = undefined
    if (this.#onCreated !== undefined) this.#onCreated(undefined)
    else this.#before.nextGone()
  }

  destroy(reason: (typeof DESTROY_REASONS)[keyof typeof DESTROY_REASONS]): void {
    const circuit = this.#circuit
    this.#circuit = undefined
    if (circuit !== undefined) this.#p.circuits.destroy(this.#peer, circuit, reason)
  }
}
