/** Decoders of cells, layers and pieces: what comes over links and circuits before it is a message. SPEC links §3, circuits §1 to §5 */
import fc from 'fast-check'
import {
  CELL_BODY_SIZE,
  CELL_SIZE,
  concatBytes,
  LAYER_SIZE,
  MalformedError,
  MESSAGE_SIZE_MAX,
  RELAY_HEADER_SIZE,
  relayDataSizeMax,
} from '../../core/index.ts'
import { CounterSealer } from '../../crypto/index.ts'
import { bodyOf, makeCell, newCell, readCell } from '../../routing/circuit/cell.ts'
import { ClientLayers, RelayLayer } from '../../routing/circuit/layers.ts'
import * as relay from '../../routing/circuit/relay-messages.ts'
import { StreamJoiner } from '../../routing/circuit/streams.ts'
import { FRAGMENT_DATA_SIZE_MAX, MessageJoiner } from '../../routing/link/fragments.ts'
import * as shapes from './shapes.ts'
import { FuzzFault, type Target } from './target.ts'

const { noise, noiseUpTo, timeMs, u32 } = shapes
const permitted = [MalformedError]

// --- cells and what is in them ---------------------------------------------------------------------

const cell: Target<ReturnType<typeof readCell>> = {
  name: 'cell',
  covers: ['routing/circuit/cell.ts#readCell'],
  valid: fc
    .tuple(fc.constantFrom(0, 1, 2, 3, 4, 5), fc.integer({ min: 1, max: 0xffff_ffff }), noiseUpTo(64))
    .map(([command, circuit, body]) => makeCell(command % 5 === 0 ? 0 : circuit, command as 0, body)),
  decode: readCell,
  encode: (value) => makeCell(value.circuit, value.command, value.body),
  isCanonical: true,
  permitted,
  fillTo: CELL_SIZE,
}

const relayMessage: Target<relay.RelayMessage> = {
  name: 'relay-message',
  covers: ['routing/circuit/relay-messages.ts#readRelayMessage'],
  valid: fc
    .tuple(fc.integer({ min: 1, max: 7 }), fc.nat(0xffff), noiseUpTo(300), fc.nat(40))
    .map(([command, stream, data, spare]) => {
      const isWindowed = relay.isWindowed(command as 1)
      const into = new Uint8Array(RELAY_HEADER_SIZE + data.length + spare)
      relay.writeRelayMessage({ command: command as 1, stream: isWindowed ? stream : 0, data }, into)
      return into
    }),
  decode: relay.readRelayMessage,
  encode: (message) => {
    const into = new Uint8Array(RELAY_HEADER_SIZE + message.data.length)
    relay.writeRelayMessage(message, into)
    return into
  },
  permitted,
}

const hop = fc.integer({ min: 1, max: 4 })
const handshake = noise(1_313)
const proof = fc.option(fc.record({ effort: fc.integer({ min: 1, max: 32 }), hour: u32, nonce: timeMs }), {
  nil: undefined,
})

const create: Target<relay.Create> = {
  name: 'create',
  covers: ['routing/circuit/relay-messages.ts#decodeCreate'],
  valid: fc.record({ hop, message: handshake, proof }).map((wish) => bodyOf(makeCell(1, 1, relay.encodeCreate(wish)))),
  decode: relay.decodeCreate,
  encode: (value) => bodyOf(makeCell(1, 1, relay.encodeCreate(value))),
  permitted,
  fillTo: 1_327,
}
const created: Target<Uint8Array> = {
  name: 'created',
  covers: ['routing/circuit/relay-messages.ts#decodeCreated'],
  valid: noise(1_152),
  decode: relay.decodeCreated,
  encode: relay.encodeCreated,
  permitted,
  fillTo: 1_152,
}
const extend: Target<relay.Extend> = {
  name: 'extend',
  covers: ['routing/circuit/relay-messages.ts#decodeExtend'],
  valid: fc
    .record({ relayId: noise(32), hop, message: handshake, proof })
    .map((wish) => relay.encodeExtend(wish as unknown as relay.Extend)),
  decode: relay.decodeExtend,
  encode: relay.encodeExtend,
  isCanonical: true,
  permitted,
  fillTo: 1_346,
}
const extended: Target<Uint8Array> = {
  name: 'extended',
  covers: ['routing/circuit/relay-messages.ts#decodeExtended'],
  valid: noise(1_152),
  decode: relay.decodeExtended,
  encode: relay.encodeExtended,
  isCanonical: true,
  permitted,
  fillTo: 1_152,
}
const extendFailed: Target<relay.ExtendFailure> = {
  name: 'extend-failed',
  covers: ['routing/circuit/relay-messages.ts#decodeExtendFailed'],
  valid: fc.nat(255).map((reason) => Uint8Array.of(reason)),
  decode: relay.decodeExtendFailed,
  encode: relay.encodeExtendFailed,
  permitted,
}
const destroy: Target<relay.DestroyReason> = {
  name: 'destroy',
  covers: ['routing/circuit/relay-messages.ts#decodeDestroy'],
  valid: fc.nat(255).map((reason) => Uint8Array.of(reason)),
  decode: relay.decodeDestroy,
  encode: relay.encodeDestroy,
  permitted,
}
const ack: Target<Uint8Array> = {
  name: 'ack',
  covers: ['routing/circuit/relay-messages.ts#decodeAck'],
  valid: noise(16),
  decode: relay.decodeAck,
  encode: relay.encodeAck,
  isCanonical: true,
  permitted,
}

// --- layers: the first byte says whether and for which hop the rest is sealed ---------------------------

const KEYS = [1, 2, 3, 4].map((n) => ({ forward: shapes.noiseOf(n, 32), backward: shapes.noiseOf(-n, 32) }))
const FILLER = { bytes: (size: number) => new Uint8Array(size), fill: (target: Uint8Array) => void target.fill(7) }

function sealedBody(key: Uint8Array, at: number, plain: Uint8Array): Uint8Array {
  const whole = new Uint8Array(CELL_BODY_SIZE - LAYER_SIZE * at + 1)
  whole.set(plain.subarray(0, whole.length))
  const body = new Uint8Array(CELL_BODY_SIZE)
  new CounterSealer(key).sealInto(whole, body.subarray(0, whole.length + 16))
  return body
}
const layered = fc
  .tuple(fc.nat(7), fc.constantFrom(0, 1), fc.integer({ min: 1, max: 7 }), noiseUpTo(40))
  .map(([mode, direction, command, data]) => {
    const message = new Uint8Array(RELAY_HEADER_SIZE + data.length)
    relay.writeRelayMessage({ command: command as 1, stream: 0, data }, message)
    return concatBytes(Uint8Array.of(mode | 1, direction), message)
  })

const relayLayer: Target = {
  name: 'relay-layer',
  covers: ['routing/circuit/layers.ts#RelayLayer.forward', 'crypto/aead.ts#CounterOpener.open'],
  valid: layered,
  decode: (bytes) => {
    const at = 1 + (((bytes[0] ?? 0) >>> 1) % 4)
    const keys = KEYS[at - 1] as (typeof KEYS)[number]
    const layer = new RelayLayer(keys, { hop: at, random: FILLER })
    const isSealed = (bytes[0] ?? 0) % 2 === 1
    const forwarded = layer.forward(isSealed ? sealedBody(keys.forward, at, bytes.subarray(1)) : bytes.slice(1))
    return forwarded.do === 'fail' ? undefined : forwarded
  },
  permitted: [],
  runs: 60,
}

const clientLayers: Target = {
  name: 'client-layers',
  covers: ['routing/circuit/layers.ts#ClientLayers.open'],
  valid: layered,
  decode: (bytes) => {
    const hops = 1 + (((bytes[0] ?? 0) >>> 1) % 3)
    const client = new ClientLayers()
    for (const keys of KEYS.slice(0, hops)) client.addHop(keys)
    if ((bytes[0] ?? 0) % 2 === 0) return client.open(bytes.subarray(1))
    let body = sealedBody((KEYS[hops - 1] as (typeof KEYS)[number]).backward, hops, bytes.subarray(1))
    for (let at = hops - 1; at >= 1; at--) {
      const keys = KEYS[at - 1] as (typeof KEYS)[number]
      body = new RelayLayer(keys, { hop: at, random: FILLER }).backward(body)
    }
    return client.open(body)
  },
  permitted: [],
  // A last layer that says "pass on" is refused.
  mayRefuseValid: true,
  runs: 60,
}

// --- joiners: an input is a list of pieces, each a number, flags and a length ----------------------------

const MESSAGES_MAX = 8
const HELD_MAX = 4 * MESSAGE_SIZE_MAX
/** So many bytes of an input are read as pieces, four bytes each: a piece may take 8 KiB. */
const STEPS_SIZE_MAX = 1_024

/** The pieces of some messages, those of each in order: number u8, flags u8, length u16. */
function pieces(sizeMax: number, flags: { more: number; last: number }): fc.Arbitrary<Uint8Array> {
  const message = fc.tuple(fc.nat(9), fc.constantFrom(0, 1, sizeMax, sizeMax + 1, 3 * sizeMax, MESSAGE_SIZE_MAX))
  return fc.array(message, { minLength: 1, maxLength: 5 }).map((list) => {
    const queues = list.map(([number, size]) => {
      const count = Math.max(1, Math.ceil(size / sizeMax))
      return Array.from({ length: count }, (_, i) => {
        const length = i === count - 1 ? size - i * sizeMax : sizeMax
        return Uint8Array.of(number, i === count - 1 ? flags.last : flags.more, length >>> 8, length)
      })
    })
    return concatBytes(...queues.flat())
  })
}

function within(target: Target, joiner: { count: number; heldBytes: number }): void {
  if (joiner.count > MESSAGES_MAX || joiner.heldBytes > HELD_MAX)
    throw new FuzzFault(target, 'holds more than its bounds')
}

const messageJoiner: Target = {
  name: 'message-joiner',
  covers: ['routing/link/fragments.ts#MessageJoiner.add'],
  valid: pieces(FRAGMENT_DATA_SIZE_MAX, { more: 0, last: 1 }),
  decode: (bytes) => {
    const joiner = new MessageJoiner({ partialMax: MESSAGES_MAX, partialBytesMax: HELD_MAX })
    let joined = 0
    for (const steps = new shapes.Steps(bytes.subarray(0, STEPS_SIZE_MAX)); steps.hasMore; ) {
      const [number, flags, length] = [steps.u8(), steps.u8(), steps.u16()]
      const body = bodyOf(newCell(0, 5))
      body.set([0, 0, 0, number, flags, length >>> 8, length])
      const message = joiner.add(flags === 0xff ? body.subarray(0, length % CELL_BODY_SIZE) : body)
      if (message !== undefined && message.length > MESSAGE_SIZE_MAX) throw new FuzzFault(messageJoiner, 'too long')
      if (message !== undefined) joined++
      within(messageJoiner, { count: joiner.partialCount, heldBytes: joiner.heldBytes })
    }
    return joined
  },
  permitted,
  mayRefuseValid: true,
  runs: 100,
}

const STREAM_PIECE_MAX = relayDataSizeMax(3)
const streamJoiner: Target = {
  name: 'stream-joiner',
  covers: ['routing/circuit/streams.ts#StreamJoiner.add'],
  valid: pieces(STREAM_PIECE_MAX, { more: 4, last: 5 }),
  decode: (bytes) => {
    const joiner = new StreamJoiner({ dataSizeMax: STREAM_PIECE_MAX, streamsMax: MESSAGES_MAX, heldBytesMax: HELD_MAX })
    let joined = 0
    for (const steps = new shapes.Steps(bytes.subarray(0, STEPS_SIZE_MAX)); steps.hasMore; ) {
      const [stream, command, length] = [steps.u8(), steps.u8(), steps.u16()]
      if (command === 0xff) joiner.drop(stream)
      else if (joiner.add({ stream, command: command as 4, data: new Uint8Array(length) }) !== undefined) joined++
      within(streamJoiner, { count: joiner.openCount, heldBytes: joiner.heldBytes })
    }
    return joined
  },
  permitted,
  mayRefuseValid: true,
  runs: 100,
}

export const circuitTargets = [
  cell,
  relayMessage,
  create,
  created,
  extend,
  extended,
  extendFailed,
  destroy,
  ack,
  relayLayer,
  clientLayers,
  messageJoiner,
  streamJoiner,
]
