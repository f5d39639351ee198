/**
 * One circuit of this client's: built hop by hop, then requests on its streams. SPEC circuits §2-§5
 *
 *   building ──> open ──> closed
 */
import {
  assert,
  CELL_SIZE,
  CIRCUIT_REQUESTS_MAX,
  type Clock,
  MalformedError,
  type NetworkId,
  type NodeId,
  PeerError,
  relayDataSizeMax,
  type SecretRandom,
  type Timer,
  UnavailableError,
} from '../core/index.ts'
import { beginHandshake, clientKeyOf } from '../crypto/index.ts'
import {
  bodyOf,
  type Cell,
  ClientLayers,
  COMMANDS,
  DESTROY_REASONS,
  type Descriptor,
  type DestroyReason,
  decodeAck,
  decodeCreated,
  decodeExtended,
  decodeExtendFailed,
  EXTEND_FAILURES,
  effortAsked,
  effortOfExtendFailed,
  encodeAck,
  encodeCreate,
  encodeExtend,
  isWindowed,
  RELAY_COMMANDS,
  ReceiveWindow,
  type RelayMessage,
  SendWindow,
  StreamJoiner,
  splitForStream,
} from '../routing/index.ts'
import type { CircuitEnd, CircuitTable } from './circuit-table.ts'
import type { PeerLink } from './links.ts'
import type { PuzzleSolver } from './puzzle-solver.ts'
import type { Cover, Covered } from './tasks/cover.ts'

const HOP_TIMEOUT_MS = 10_000
/** How often a hop may ask for work, each time for more than before. */
const PUZZLES_MAX = 3
const NOTHING = new Uint8Array(0)

/** A circuit could not be built, or broke; `hop` (from 1) is where, when that can be told. */
export class CircuitError extends UnavailableError {
  readonly code = 'ERR_CIRCUIT'
  readonly hop: number | undefined
  /** The hop itself is to blame, as far as the one before it says. */
  readonly isHopAtFault: boolean
  constructor(what: string, where: { hop?: number; isHopAtFault?: boolean } = {}) {
    super(where.hop === undefined ? what : `${what} (at the ${ROLE[where.hop - 1] ?? 'relay'})`)
    this.hop = where.hop
    this.isHopAtFault = where.isHopAtFault ?? false
  }
}
const ROLE = ['guard', 'middle', 'gateway']

export interface ClientCircuitPorts {
  readonly clock: Clock
  readonly random: SecretRandom
  readonly circuits: CircuitTable
  readonly networkId: NetworkId
  readonly puzzles: PuzzleSolver
  /** Undefined: none, and nothing waits for it. */
  readonly cover?: Pick<Cover, 'holds' | 'passes' | 'returned'> | undefined
}

/** What answers a CREATE or EXTEND: the handshake's reply, or the effort that the relay asks for first. */
type HopAnswer = Uint8Array | { readonly effort: number }

interface Waiting {
  settle(answer: Uint8Array | CircuitError): void
}

export class ClientCircuit implements CircuitEnd, Covered {
  readonly path: readonly Descriptor[]
  readonly openedMs: number
  /** Called once when the circuit is no more. */
  onClosed: () => void = () => {}
  readonly #p: ClientCircuitPorts
  readonly #peer: PeerLink
  readonly #layers: ClientLayers
  #circuit: number | undefined
  #isClosed = false
  #answer: ((message: RelayMessage | Uint8Array | CircuitError | { readonly effort: number }) => void) | undefined
  #stream = 0
  #reserved = 0
  /** When the last cell came. */
  #heardMs: number
  readonly #requests = new Map<number, Waiting>()
  /** Requests nobody waits for any more: to the gateway they are open until it has answered. */
  readonly #givenUp = new Set<number>()
  readonly #outbox: RelayMessage[] = []
  readonly #sendWindow = new SendWindow()
  readonly #receiveWindow = new ReceiveWindow()
  readonly #joiner: StreamJoiner

  private constructor(ports: ClientCircuitPorts, from: { guard: PeerLink; path: readonly Descriptor[] }) {
    this.#p = ports
    this.#peer = from.guard
    this.path = from.path
    this.openedMs = ports.clock.monotonicMs()
    this.#heardMs = this.openedMs
    this.#layers = new ClientLayers()
    this.#joiner = new StreamJoiner({ dataSizeMax: relayDataSizeMax(from.path.length) })
  }

  /** Throws CircuitError. */
  static async build(
    ports: ClientCircuitPorts,
    from: { guard: PeerLink; path: readonly Descriptor[] },
  ): Promise<ClientCircuit> {
    const circuit = new ClientCircuit(ports, from)
    try {
      for (let hop = 1; hop <= from.path.length; hop++) await circuit.#addHop(hop)
      return circuit
    } catch (error) {
      circuit.close()
      throw error
    }
  }

  get gateway(): NodeId {
    const last = this.path.at(-1)
    assert(last !== undefined, 'a circuit has a gateway')
    return last.id
  }
  get isOpen(): boolean {
    return !this.#isClosed
  }
  get outstanding(): number {
    return this.#requests.size + this.#givenUp.size + this.#reserved
  }
  get hasRoom(): boolean {
    return this.isOpen && this.outstanding < CIRCUIT_REQUESTS_MAX
  }

  /** Keeps a place for the next request, which takes it up: whoever waits for room gets what was free. */
  reserve(): void {
    this.#reserved++
  }

  /**
   * The gateway's answer to a request. Throws CircuitError: broken, full, without an answer for so long, or without a
   * cell of any kind for `silenceMs`.
   */
  request(
    bytes: Uint8Array,
    options: { timeoutMs: number; silenceMs?: number; signal?: AbortSignal },
  ): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (this.#reserved > 0) this.#reserved--
      if (!this.hasRoom) return reject(new CircuitError('the circuit is closed or full'))
      if (options.signal?.aborted) return reject(new CircuitError('no longer wanted'))
      const stream = this.#nextStream()
      const settle = (answer: Uint8Array | CircuitError): void => {
        timer.cancel()
        silence?.cancel()
        options.signal?.removeEventListener('abort', onAbort)
        this.#requests.delete(stream)
        if (answer instanceof Uint8Array) resolve(answer)
        else {
          this.#givenUp.add(stream)
          reject(answer)
        }
      }
      const onAbort = (): void => settle(new CircuitError('no longer wanted'))
      const { clock } = this.#p
      const timer = clock.setTimer(options.timeoutMs, () => settle(new CircuitError('no answer in time')))
      const { silenceMs } = options
      const askedMs = clock.monotonicMs()
      let silence: Timer | undefined
      const listen = (forMs: number): void => {
        silence = clock.setTimer(forMs, () => {
          const leftMs = Math.max(askedMs, this.#heardMs) + (silenceMs ?? 0) - clock.monotonicMs()
          if (leftMs <= 0) settle(new CircuitError('the circuit is silent'))
          else listen(leftMs)
        })
      }
      if (silenceMs !== undefined) listen(silenceMs)
      options.signal?.addEventListener('abort', onAbort, { once: true })
      this.#requests.set(stream, { settle })
      this.#outbox.push(...splitForStream(stream, bytes, relayDataSizeMax(this.path.length)))
      if (this.#p.cover?.holds(this) !== true) this.sendAll()
    })
  }

  close(reason: DestroyReason = DESTROY_REASONS.finished): void {
    const circuit = this.#circuit
    this.#circuit = undefined
    if (circuit !== undefined) this.#p.circuits.destroy(this.#peer, circuit, reason)
    this.#end()
  }

  onCreated(body: Uint8Array): void {
    this.#answer?.(decodeCreated(body))
  }

  onDestroyed(body?: Uint8Array): void {
    this.#circuit = undefined
    const effort = body && effortAsked(body)
    // Only a guard that has not answered yet may ask for work; its answer to the next CREATE decides.
    if (effort !== undefined && this.#layers.hops === 0 && this.#answer !== undefined) this.#answer({ effort })
    else this.#end()
  }

  onRelay(cell: Cell): void {
    this.#heardMs = this.#p.clock.monotonicMs()
    const opened = this.#layers.open(cell.body)
    if (opened === undefined) {
      this.close(DESTROY_REASONS.failed)
      return
    }
    try {
      this.#take(opened.message, { hop: opened.hop, tag: opened.tag })
    } catch (error) {
      if (!(error instanceof PeerError)) throw error
      this.close(DESTROY_REASONS.failed)
    }
  }

  #take(message: RelayMessage, from: { hop: number; tag: Uint8Array }): void {
    const { command, stream } = message
    if (command === RELAY_COMMANDS.extended || command === RELAY_COMMANDS.extendFailed) {
      // Only the hop that was asked to extend may say so.
      if (from.hop === this.#layers.hops) this.#answer?.(message)
      return
    }
    if (from.hop !== this.path.length) throw new MalformedError('malformed circuit: not from the gateway')
    if (isWindowed(command)) {
      if (!this.#receiveWindow.received(from.tag)) throw new MalformedError('malformed circuit: window overrun')
      const answer = this.#joiner.add(message)
      if (answer !== undefined && !this.#givenUp.delete(stream)) this.#requests.get(stream)?.settle(answer)
      for (let due = this.#receiveWindow.takeAck(); due !== undefined; due = this.#receiveWindow.takeAck()) {
        this.#send(from.hop, { command: RELAY_COMMANDS.ack, stream: 0, data: encodeAck(due) })
      }
    } else if (command === RELAY_COMMANDS.ack) {
      if (!this.#sendWindow.acknowledge(decodeAck(message.data)))
        throw new MalformedError('malformed circuit: false ack')
      if (this.#p.cover === undefined) this.sendAll()
      else this.#p.cover.passes(this)
    } else if (command === RELAY_COMMANDS.drop) this.#p.cover?.returned()
    else {
      throw new MalformedError('malformed circuit: not for a client')
    }
  }

  async #addHop(hop: number): Promise<void> {
    const relay = this.path[hop - 1]
    assert(relay !== undefined, 'the hop is on the path')
    const { random, networkId } = this.#p
    const handshake = beginHandshake({ random, networkId, relayId: relay.id, hop, onionKey: relay.onionKey })
    if (handshake === undefined) throw new CircuitError('unusable onion key', { hop, isHopAtFault: true })
    const { message } = handshake
    let answer: HopAnswer = { effort: 0 }
    let effort = 0
    for (let puzzles = 0; !(answer instanceof Uint8Array); puzzles++) {
      const proof = puzzles === 0 ? undefined : await this.#work(relay, { message, effort })
      if (puzzles > PUZZLES_MAX || (puzzles > 0 && proof === undefined)) {
        throw new CircuitError('a relay asks for more work than is worth it', { hop })
      }
      answer = await this.#ask(hop, () => {
        const create = { hop, message, proof }
        if (hop === 1) return this.#create(encodeCreate(create))
        const data = encodeExtend({ relayId: relay.id, ...create })
        return this.#send(hop - 1, { command: RELAY_COMMANDS.extend, stream: 0, data })
      })
      // What was enough a moment ago may no longer be, while many others work as well.
      if (!(answer instanceof Uint8Array)) effort = Math.max(answer.effort, effort + 1)
    }
    const keys = handshake.finish(answer)
    if (keys === undefined) throw new CircuitError('the handshake failed', { hop, isHopAtFault: true })
    this.#layers.addHop(keys)
  }

  #work(relay: Descriptor, asked: { message: Uint8Array; effort: number }) {
    const puzzle = { relayId: relay.id, clientKey: clientKeyOf(asked.message) }
    return this.#p.puzzles.solve(puzzle, { bits: asked.effort, isWanted: () => !this.#isClosed })
  }

  #create(body: Uint8Array): boolean {
    this.#circuit = this.#p.circuits.open(this.#peer, this)
    return this.#circuit !== undefined && this.#peer.sendCommand(this.#circuit, COMMANDS.create, body)
  }

  /** Sends, then waits for what answers a CREATE or EXTEND. */
  #ask(hop: number, send: () => boolean): Promise<HopAnswer> {
    return new Promise((resolve, reject) => {
      let timer: Timer | undefined
      this.#answer = (answer) => {
        timer?.cancel()
        this.#answer = undefined
        if (answer instanceof CircuitError) return reject(answer)
        if (answer instanceof Uint8Array || 'effort' in answer) return resolve(answer)
        if (answer.command === RELAY_COMMANDS.extended) return resolve(decodeExtended(answer.data))
        const reason = decodeExtendFailed(answer.data)
        if (reason === EXTEND_FAILURES.puzzle) return resolve({ effort: effortOfExtendFailed(answer.data) })
        const isHopAtFault = reason !== EXTEND_FAILURES.busy
        reject(new CircuitError('the circuit could not be extended', { hop, isHopAtFault }))
      }
      timer = this.#p.clock.setTimer(HOP_TIMEOUT_MS, () =>
        this.#answer?.(new CircuitError('no answer to the handshake', { hop, isHopAtFault: true })),
      )
      if (this.#isClosed || !send()) this.#answer(new CircuitError('the circuit broke while it was built', { hop }))
    })
  }

  get waiting(): number {
    return Math.min(this.#outbox.length, this.#sendWindow.room)
  }

  sendAll(): void {
    while (this.waiting > 0) this.sendOne()
  }

  sendOne(): void {
    const last = this.path.length
    const message = this.waiting > 0 ? this.#outbox.shift() : undefined
    if (message !== undefined && this.#send(last, message)) this.#sendWindow.sent(this.#layers.sealedTag(last))
  }

  /** A cell to the gateway, which sends one back. */
  sendLoop(): boolean {
    return this.#send(this.path.length, { command: RELAY_COMMANDS.loop, stream: 0, data: NOTHING })
  }

  #send(hop: number, message: RelayMessage): boolean {
    if (this.#circuit === undefined || this.#isClosed) return false
    const raw = new Uint8Array(CELL_SIZE)
    this.#layers.seal(hop, message, bodyOf(raw))
    if (this.#peer.sendRelay(this.#circuit, raw)) return true
    this.close(DESTROY_REASONS.full)
    return false
  }

  #end(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    const broken = new CircuitError('the circuit broke')
    this.#answer?.(broken)
    for (const waiting of [...this.#requests.values()]) waiting.settle(broken)
    this.#outbox.length = 0
    this.onClosed()
  }

  #nextStream(): number {
    do this.#stream = (this.#stream % 0xffff) + 1
    while (this.#requests.has(this.#stream) || this.#givenUp.has(this.#stream))
    return this.#stream
  }
}
