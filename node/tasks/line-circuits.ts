/** The circuits of a vault's lines: four relays to the keeper, and the line attached at the end. SPEC vaults §2 */
import { type Jitter, messageOf, type NetworkId, type NodeId } from '../../core/index.ts'
import type { SigningKey } from '../../crypto/index.ts'
import {
  areApart,
  DESTROY_REASONS,
  type Descriptor,
  decodeLineAnswer,
  encodeLineRequest,
  type LineAnswer,
  pickRelay,
  type View,
} from '../../routing/index.ts'
import { CircuitError, faultyRelay } from '../circuit-error.ts'
import { ClientCircuit, type ClientCircuitPorts } from '../client-circuit.ts'
import type { Guards } from '../guards.ts'
import { HeldBytes } from '../held-bytes.ts'
import type { KeptLine } from '../kept-lines.ts'
import { attachBody } from '../roles/attachments.ts'
import type { Vault } from '../roles/vault.ts'
import type { SecondRelays } from '../second-relays.ts'

const ASK_TIMEOUT_MS = 10_000
/** Unfinished questions and answers that wait, of all lines; the one that holds most gives way. */
const LINES_HELD_BYTES_MAX = 16 * 1024 * 1024

export interface LineCircuitsPorts extends ClientCircuitPorts {
  readonly jitter: Jitter
  readonly networkId: NetworkId
  readonly selfId: NodeId
  readonly view: View
  readonly hasPrefixLimits: boolean
  /** A set of their own. */
  readonly guards: Guards
  readonly seconds: SecondRelays
  readonly vault: Pick<Vault, 'answer'>
}

/** A line as it is to be attached. */
interface Attachable {
  readonly kept: KeptLine
  readonly key: SigningKey
  /** Its keeper. */
  readonly target: NodeId | undefined
  /** The keeper serves another line of this vault. */
  readonly isShared: boolean
}

/** A circuit with an attached line, and whose it is. */
export interface Attached {
  readonly circuit: ClientCircuit
  readonly keeper: NodeId
  readonly sinceMs: number
  /** The keeper serves another line of this vault: this one gives what lies behind it, and takes nothing more. */
  isShared: boolean
}

/** A relay between guard and keeper failed: the next circuit will not have it. */
export class PathError extends CircuitError {}

export class LineCircuits {
  readonly #p: LineCircuitsPorts
  readonly #held = new HeldBytes<ClientCircuit>(LINES_HELD_BYTES_MAX, (circuit) => circuit.close(DESTROY_REASONS.full))

  constructor(ports: LineCircuitsPorts) {
    this.#p = ports
  }

  /** A circuit to the line's keeper, with the line attached. Throws CircuitError. */
  async attach(line: Attachable): Promise<Attached> {
    const { networkId, vault, clock } = this.#p
    const { key, isShared } = line
    const { publicKey } = key
    const { circuit, keeper } = await this.#circuitTo(line.target)
    const attached: Attached = { circuit, keeper, sinceMs: clock.monotonicMs(), isShared }
    circuit.onAsked = (question) => vault.answer(publicKey, question, { isFull: attached.isShared })
    const { point } = line.kept
    const body = attachBody({ networkId, keeperId: keeper, point, binding: circuit.binding })
    const answer = await this.say(circuit, { kind: 'attach', line: publicKey, point, signature: key.sign(body) })
    if (answer.kind === 'attached') return attached
    circuit.close()
    throw new CircuitError('the keeper does not take the line')
  }

  async #circuitTo(target: NodeId | undefined): Promise<{ circuit: ClientCircuit; keeper: NodeId }> {
    const { view, clock, jitter, guards, seconds, selfId, hasPrefixLimits } = this.#p
    const taken = await guards.take()
    const keeper = target && view.get(target)
    if (taken === undefined || keeper === undefined) throw new CircuitError('no guard can be reached')
    const { guard } = taken
    if (!areApart(keeper, guard, { hasPrefixLimits })) throw new CircuitError('the keeper does not fit the guard')
    const exclude = [selfId, ...guards.ids]
    const second = await seconds.take({ others: [guard, keeper], exclude })
    const nowMs = clock.nowMs()
    const middle =
      second && pickRelay(view, { nowMs, jitter, exclude, hasPrefixLimits, others: [guard, second, keeper] })
    if (second === undefined || middle === undefined) throw new CircuitError('the network has too few relays')
    const path = [guard, second, middle, keeper]
    try {
      const circuit = await ClientCircuit.build(this.#p, { guard: taken.link, path, held: this.#held })
      return { circuit, keeper: keeper.id }
    } catch (error) {
      const failed: Descriptor | undefined = faultyRelay(error, path)
      if (failed !== undefined) view.markFailed(failed.id, clock.nowMs())
      if (failed === second || failed === middle) throw new PathError(messageOf(error))
      throw error
    }
  }

  /** Throws CircuitError. */
  async say(circuit: ClientCircuit, request: Parameters<typeof encodeLineRequest>[0]): Promise<LineAnswer> {
    try {
      return decodeLineAnswer(await circuit.request(encodeLineRequest(request), { timeoutMs: ASK_TIMEOUT_MS }))
    } catch (error) {
      circuit.close()
      throw error instanceof CircuitError ? error : new CircuitError(messageOf(error))
    }
  }
}
