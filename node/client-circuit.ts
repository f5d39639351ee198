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
  decodeCreated,
  decodeExtended,
  decodeExtendFailed,
  EXTEND_FAILURES,
  effortAsked,
  effortOfExtendFailed,
  encodeCreate,
  encodeExtend,
  RELAY_COMMANDS,
  type RelayMessage,
} from '../routing/index.ts'
import { CircuitError } from './circuit-error.ts'
import { type AskOptions, CircuitStreams } from './circuit-streams.ts'
import type { CircuitEnd, CircuitTable } from './circuit-table.ts'
import type { HeldBytes } from './held-bytes.ts'
import type { PeerLink } from './links.ts'
import type { PuzzleSolver } from './puzzle-solver.ts'

const HOP_TIMEOUT_MS = 10_000
/** How often a hop may ask for work, each time for more than before. */
const PUZZLES_MAX = 3

export interface ClientCircuitPorts {
  readonly clock: Clock
  readonly random: SecretRandom
  readonly circuits: CircuitTable
  readonly networkId: NetworkId
  readonly puzzles: PuzzleSolver
}

export interface CircuitWay {
  readonly guard: PeerLink
  readonly path: readonly Descriptor[]
  /** Counts what the circuit holds in memory; where the last relay asks, that is its doing. */
  readonly held?: HeldBytes<ClientCircuit>
}

/** What answers a CREATE or EXTEND: the handshake's reply, or the effort that the relay asks for first. */
type HopAnswer = Uint8Array | { readonly effort: number }

export class ClientCircuit implements CircuitEnd {
  readonly path: readonly Descriptor[]
  readonly openedMs: number
  /** Called once when the circuit is no more. */
  onClosed: () => void = () => {}
  /** What the last relay asks on streams of its own; over a line only. SPEC vaults §3 */
  onAsked: ((question: Uint8Array) => Promise<Uint8Array>) | undefined
  readonly #p: ClientCircuitPorts
  readonly #peer: PeerLink
  readonly #layers: ClientLayers
  #circuit: number | undefined
  #isClosed = false
  #answer: ((message: RelayMessage | Uint8Array | CircuitError | { readonly effort: number }) => void) | undefined
  #reserved = 0
  #binding: Uint8Array | undefined
  readonly #streams: CircuitStreams

  private constructor(ports: ClientCircuitPorts, from: CircuitWay) {
    this.#p = ports
    this.#peer = from.guard
    this.path = from.path
    this.openedMs = ports.clock.monotonicMs()
    this.#layers = new ClientLayers()
    const last = from.path.length
    this.#streams = new CircuitStreams({
      clock: ports.clock,
      end: 'client',
      dataSizeMax: relayDataSizeMax(last),
      send: (message) => (this.#send(last, message) ? this.#layers.sealedTag(last) : undefined),
      answer: async (question) => {
        if (this.onAsked === undefined) throw new MalformedError('malformed circuit: asks a client')
        return this.onAsked(question)
      },
      onFailed: () => this.close(DESTROY_REASONS.failed),
      onHeld: from.held && ((sizeBytes) => from.held?.set(this, sizeBytes)),
    })
  }

  /** Throws CircuitError. */
  static async build(ports: ClientCircuitPorts, from: CircuitWay): Promise<ClientCircuit> {
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
    return this.#streams.outstanding + this.#reserved
  }
  get hasRoom(): boolean {
    return this.isOpen && this.outstanding < CIRCUIT_REQUESTS_MAX
  }

  /** Keeps a place for the next request, which takes it up: whoever waits for room gets what was free. */
  reserve(): void {
    this.#reserved++
  }

  /** What the last relay's handshake gave both ends. 32 bytes. */
  get binding(): Uint8Array {
    assert(this.#binding !== undefined, 'the circuit is built')
    return this.#binding
  }

  /** The gateway's answer to a request. Throws CircuitError: broken, full, or silent for so long. */
  async request(bytes: Uint8Array, options: AskOptions): Promise<Uint8Array> {
    if (this.#reserved > 0) this.#reserved--
    if (!this.hasRoom) throw new CircuitError('the circuit is closed or full')
    return this.#streams.ask(bytes, options)
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
    const { command } = message
    if (command === RELAY_COMMANDS.extended || command === RELAY_COMMANDS.extendFailed) {
      // Only the hop that was asked to extend may say so.
      if (from.hop === this.#layers.hops) this.#answer?.(message)
      return
    }
    if (from.hop !== this.path.length) throw new MalformedError('malformed circuit: not from the gateway')
    if (!this.#streams.take(message, from.tag)) throw new MalformedError('malformed circuit: not for a client')
  }

  async #addHop(hop: number): Promise<void> {
    const hops = this.path.length
    const relay = this.path[hop - 1]
    assert(relay !== undefined, 'the hop is on the path')
    const { random, networkId } = this.#p
    const handshake = beginHandshake({ random, networkId, relayId: relay.id, hop, onionKey: relay.onionKey })
    if (handshake === undefined) throw new CircuitError('unusable onion key', { hop, hops, isHopAtFault: true })
    const { message } = handshake
    let answer: HopAnswer = { effort: 0 }
    let effort = 0
    for (let puzzles = 0; !(answer instanceof Uint8Array); puzzles++) {
      const proof = puzzles === 0 ? undefined : await this.#work(relay, { message, effort })
      if (puzzles > PUZZLES_MAX || (puzzles > 0 && proof === undefined)) {
        throw new CircuitError('a relay asks for more work than is worth it', { hop, hops })
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
    if (keys === undefined) throw new CircuitError('the handshake failed', { hop, hops, isHopAtFault: true })
    this.#layers.addHop(keys)
    this.#binding = keys.binding
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
    const hops = this.path.length
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
        reject(new CircuitError('the circuit could not be extended', { hop, hops, isHopAtFault }))
      }
      timer = this.#p.clock.setTimer(HOP_TIMEOUT_MS, () =>
        this.#answer?.(new CircuitError('no answer to the handshake', { hop, hops, isHopAtFault: true })),
      )
      if (this.#isClosed || !send())
        this.#answer(new CircuitError('the circuit broke while it was built', { hop, hops }))
    })
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
    this.#answer?.(new CircuitError('the circuit broke'))
    this.#streams.end()
    this.onClosed()
  }
}
