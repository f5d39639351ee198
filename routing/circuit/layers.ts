/**
 * The onion: one AES-256-GCM layer for each hop, nested, so that a change anywhere fails at the very
 * next hop. SPEC circuits §3. Body of a relay cell at hop i (from 1), sizes in bytes:
 *
 *   0              1  direction  0 = pass on, 1 = for the end that opens this layer       ┐ sealed with
 *   1      8179-17·i  inner      the next hop's layer, or a relay message                 │ hop i's key
 *          +16        tag                                                                 ┘
 *   then   17·(i-1)   filler     fresh random bytes of the hop before; discarded, never handed on
 *
 * Each hop makes *all* of the filler anew: what an earlier hop put there would be a mark that colluding
 * ends could find again. Nonces are counted, never sent, so cells have to come whole and in order.
 *
 * Every call works in place: `body` is overwritten and comes back as the outgoing body, so that a relay
 * hands on the memory it received. After a failure its content means nothing.
 */
import {
  assert,
  CELL_BODY_SIZE,
  HOPS_MAX,
  LAYER_SIZE,
  MalformedError,
  relayDataSizeMax,
  type SecretRandom,
} from '../../core/index.ts'
import { type CircuitKeys, CounterOpener, CounterSealer } from '../../crypto/index.ts'
import { type RelayMessage, readRelayMessage, writeRelayMessage } from './relay-messages.ts'

const PASS = 0
const DELIVER = 1

/** A message and the tag its cell had in the layer of the two ends, for the window. SPEC circuits §5 */
export interface Opened {
  readonly message: RelayMessage
  readonly tag: Uint8Array
}

export type Forwarded =
  | { readonly do: 'pass'; readonly body: Uint8Array }
  | ({ readonly do: 'deliver' } & Opened)
  /** Destroy the circuit: a cell was changed, lost, repeated or reordered, or the peer does not follow the layout. */
  | { readonly do: 'fail' }

const FAIL: Forwarded = { do: 'fail' }

/** Bytes of a body that hop `hop` opens and seals. */
function sealedSize(hop: number): number {
  return CELL_BODY_SIZE - LAYER_SIZE * (hop - 1)
}

/** Bytes within that layer: sealed for the next hop, or a relay message. */
function innerSize(hop: number): number {
  return CELL_BODY_SIZE - LAYER_SIZE * hop
}

/** A relay's side of one circuit. */
export class RelayLayer {
  readonly #opener: CounterOpener
  readonly #sealer: CounterSealer
  readonly #random: SecretRandom
  readonly #hop: number
  readonly #sealedSize: number
  readonly #innerSize: number

  constructor(keys: CircuitKeys, { hop, random }: { readonly hop: number; readonly random: SecretRandom }) {
    assert(Number.isInteger(hop) && hop >= 1 && hop <= HOPS_MAX, 'a hop counts from 1 to HOPS_MAX')
    this.#opener = new CounterOpener(keys.forward)
    this.#sealer = new CounterSealer(keys.backward)
    this.#random = random
    this.#hop = hop
    this.#sealedSize = sealedSize(hop)
    this.#innerSize = innerSize(hop)
  }

  /** What one message to the client holds, in bytes of data. */
  get dataSizeMax(): number {
    return relayDataSizeMax(this.#hop)
  }

  /** Takes the body of a relay cell from the client's side. A delivered message has memory of its own. */
  forward(body: Uint8Array): Forwarded {
    if (body.length !== CELL_BODY_SIZE) return FAIL
    const plain = this.#opener.open(body.subarray(0, this.#sealedSize))
    if (plain === undefined) return FAIL
    const inner = plain.subarray(1)
    if (plain[0] === PASS) {
      body.set(inner)
      this.#random.fill(body.subarray(this.#innerSize))
      return { do: 'pass', body }
    }
    const message = plain[0] === DELIVER ? readInner(inner) : undefined
    return message === undefined ? FAIL : { do: 'deliver', message, tag: this.#opener.lastTag }
  }

  /** Adds this hop's layer to the body of a relay cell from the far side; what was filler there is gone. */
  backward(body: Uint8Array): Uint8Array {
    assert(body.length === CELL_BODY_SIZE, 'a body has its size')
    body.copyWithin(1, 0, this.#innerSize)
    return this.#seal(body, PASS)
  }

  /** Seals a message of this hop to the client, into `body` when given; its tag is `replyTag` then. */
  reply(message: RelayMessage, body: Uint8Array = new Uint8Array(CELL_BODY_SIZE)): Uint8Array {
    assert(body.length === CELL_BODY_SIZE, 'a body has its size')
    assert(message.data.length <= this.dataSizeMax, 'data fit their cell')
    writeRelayMessage(message, body.subarray(1, 1 + this.#innerSize))
    return this.#seal(body, DELIVER)
  }

  /** Tag of the newest reply, until the next cell is sealed. */
  get replyTag(): Uint8Array {
    return this.#sealer.lastTag
  }

  #seal(body: Uint8Array, direction: number): Uint8Array {
    body[0] = direction
    this.#sealer.sealInto(body.subarray(0, 1 + this.#innerSize), body.subarray(0, this.#sealedSize))
    // Nothing is left to fill at the first hop, whose layer is the whole body.
    if (this.#hop > 1) this.#random.fill(body.subarray(this.#sealedSize))
    return body
  }
}

interface Hop {
  readonly sealer: CounterSealer
  readonly opener: CounterOpener
}

/** The client's side of one circuit: all its layers. */
export class ClientLayers {
  readonly #hops: Hop[] = []

  /** Hops whose keys are agreed; messages go to hop 1 to `hops`. */
  get hops(): number {
    return this.#hops.length
  }

  addHop(keys: CircuitKeys): void {
    assert(this.hops < HOPS_MAX, 'a circuit has at most HOPS_MAX hops')
    this.#hops.push({ sealer: new CounterSealer(keys.forward), opener: new CounterOpener(keys.backward) })
  }

  /**
   * Seals a message for one hop, into `body` when given. No filler is needed: all layers together fill
   * the body. Layer i is sealed in place at offset i - 1, just behind the direction byte of the one
   * around it, so nothing is ever moved. The tag is `sealedTag(hop)` then.
   */
  seal(hop: number, message: RelayMessage, body: Uint8Array = new Uint8Array(CELL_BODY_SIZE)): Uint8Array {
    assert(hop >= 1 && hop <= this.hops, 'a message goes to a hop of the circuit')
    assert(body.length === CELL_BODY_SIZE, 'a body has its size')
    assert(message.data.length <= relayDataSizeMax(hop), 'data fit their cell')
    writeRelayMessage(message, body.subarray(hop, hop + innerSize(hop)))
    for (let layer = hop; layer >= 1; layer--) {
      const start = layer - 1
      body[start] = layer === hop ? DELIVER : PASS
      // innerSize(layer) + 1 + 16 = sealedSize(layer); start + sealedSize(layer) never passes the end.
      this.#at(layer).sealer.sealInto(
        body.subarray(start, start + 1 + innerSize(layer)),
        body.subarray(start, start + sealedSize(layer)),
      )
    }
    return body
  }

  /** Tag of the newest message for `hop` in its own layer; ask before anything else is sealed. */
  sealedTag(hop: number): Uint8Array {
    return this.#at(hop).sealer.lastTag
  }

  /**
   * Opens the body of a relay cell from the guard. Undefined: destroy the circuit, for the reasons of
   * 'fail' above. The message has memory of its own; `body` is left as it was.
   */
  open(body: Uint8Array): ({ readonly hop: number } & Opened) | undefined {
    if (body.length !== CELL_BODY_SIZE) return undefined
    let sealed = body
    for (let hop = 1; hop <= this.hops; hop++) {
      const { opener } = this.#at(hop)
      const plain = opener.open(sealed)
      if (plain === undefined) return undefined
      sealed = plain.subarray(1)
      if (plain[0] === PASS) continue
      const message = plain[0] === DELIVER ? readInner(sealed) : undefined
      return message === undefined ? undefined : { hop, message, tag: opener.lastTag }
    }
    return undefined
  }

  #at(hop: number): Hop {
    const found = this.#hops[hop - 1]
    assert(found !== undefined, 'the hop is of this circuit')
    return found
  }
}

/** A malformed message inside a good layer is the far end's fault, and ends the circuit like a bad tag. */
function readInner(bytes: Uint8Array): RelayMessage | undefined {
  try {
    return readRelayMessage(bytes)
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
}
