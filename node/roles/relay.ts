/**
 * The relay: answers CREATE, and holds the circuits that lead through this node or end here. It knows the two
 * links of a circuit and nothing of what it carries. SPEC circuits §2-§5
 *
 *   CREATE ──> waiting (create-desk.ts) ──> open (relayed-circuit.ts)
 *   any of these ── DESTROY, a broken link ──> gone
 */
import type { NetworkId, SecretRandom } from '../../core/index.ts'
import { answerHandshake, type ExchangeKey } from '../../crypto/index.ts'
import {
  COMMANDS,
  DESTROY_REASONS,
  type DestroyReason,
  decodeCreate,
  encodeCreated,
  type PuzzleProof,
  RelayLayer,
} from '../../routing/index.ts'
import type { CircuitEnd } from '../circuit-table.ts'
import { refuse } from '../circuit-table.ts'
import { HeldBytes } from '../held-bytes.ts'
import type { PeerLink } from '../links.ts'
import { CreateDesk, type WaitingCreate } from './create-desk.ts'
import { type RelayCounts, RelayedCircuit, type RelayedCircuitPorts } from './relayed-circuit.ts'

/** Unfinished requests and answers that wait, of all circuits that end here; the one that holds most gives way. */
const CIRCUITS_HELD_BYTES_MAX = 24 * 1024 * 1024

export interface RelayPorts extends RelayedCircuitPorts {
  readonly random: SecretRandom
  readonly networkId: NetworkId
  /** Newest first. */
  readonly onionKeys: () => readonly ExchangeKey[]
}

export class Relay {
  readonly #p: RelayPorts
  readonly desk: CreateDesk
  readonly counts: RelayCounts = { circuits: 0, cells: 0, extending: 0, extendsRefused: 0, gaveWay: 0 }
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
    const { binding } = answer.keys
    const from = { peer, circuit, layer, hop, binding, counts: this.counts, held: this.#held }
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
