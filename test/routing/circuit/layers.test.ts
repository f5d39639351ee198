import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CELL_BODY_SIZE, equalBytes, HOPS_MAX, LAYER_SIZE, relayDataSizeMax } from '../../../core/index.ts'
import { CounterSealer } from '../../../crypto/index.ts'
import { ClientLayers, type Opened, RelayLayer } from '../../../routing/circuit/layers.ts'
import { RELAY_COMMANDS, type RelayMessage } from '../../../routing/circuit/relay-messages.ts'
import { keysOf, makeCircuit, type Relay, seededRandom } from './fixtures.ts'

const HOPS = Array.from({ length: HOPS_MAX }, (_, index) => index + 1)
const PAIRS = HOPS.flatMap((hops) => HOPS.filter((to) => to <= hops).map((to) => ({ hops, to })))

function dataMessage(size: number, seed = 5): RelayMessage {
  return { command: RELAY_COMMANDS.data, stream: 9, data: seededRandom(seed).bytes(size) }
}

function relayAt(relays: readonly Relay[], hop: number): Relay {
  const relay = relays[hop - 1]
  if (relay === undefined) throw new Error('no such hop')
  return relay
}

/** Carries a body from the client to the first hop that does not pass it on. */
function carryForward(relays: readonly Relay[], body: Uint8Array) {
  for (const [index, relay] of relays.entries()) {
    const step = relay.forward(body)
    if (step.do !== 'pass') return { hop: index + 1, step }
    expect(step.body).toHaveLength(CELL_BODY_SIZE)
    body = step.body
  }
  return { hop: relays.length + 1, step: undefined }
}

/** Carries a body sealed by hop `from` to the client. */
function carryBackward(relays: readonly Relay[], from: number, body: Uint8Array): Uint8Array {
  for (let hop = from - 1; hop >= 1; hop--) {
    body = relayAt(relays, hop).backward(body)
    expect(body).toHaveLength(CELL_BODY_SIZE)
  }
  return body
}

/** Compares long data byte by byte: the matchers of the test runner take milliseconds for a cell. */
function expectOpened(got: Opened | undefined, wanted: { message: RelayMessage; tag?: Uint8Array }): void {
  const { command, stream, data } = wanted.message
  expect([got?.message.command, got?.message.stream]).toEqual([command, stream])
  expect(got !== undefined && equalBytes(got.message.data, data)).toBe(true)
  if (wanted.tag !== undefined) expect(got?.tag).toEqual(wanted.tag)
}

describe('layers, from end to end', () => {
  it.each(PAIRS)('carry messages to hop $to of $hops, in one size, and tell both ends one tag', ({ hops, to }) => {
    const { client, relays } = makeCircuit(hops)
    for (const size of [0, 1, 200, relayDataSizeMax(to)]) {
      const message = dataMessage(size, size + 1)
      const body = client.seal(to, message)
      expect(body).toHaveLength(CELL_BODY_SIZE)
      const tag = client.sealedTag(to)
      const end = carryForward(relays, body)
      expect(end.hop).toBe(to)
      expectOpened(end.step?.do === 'deliver' ? end.step : undefined, { message, tag })
    }
  })

  it.each(PAIRS)('carry messages from hop $to of $hops, in one size, and tell both ends one tag', ({ hops, to }) => {
    const { client, relays } = makeCircuit(hops)
    expect(relayAt(relays, to).dataSizeMax).toBe(relayDataSizeMax(to))
    for (const size of [0, 1, 200, relayDataSizeMax(to)]) {
      const message = dataMessage(size, size + 1)
      const body = relayAt(relays, to).reply(message)
      const tag = relayAt(relays, to).replyTag
      expect(body).toHaveLength(CELL_BODY_SIZE)
      const opened = client.open(carryBackward(relays, to, body))
      expect(opened?.hop).toBe(to)
      expectOpened(opened, { message, tag })
    }
  })

  it('keep any mixture of messages to and from all hops apart, whatever memory they are sealed into', () => {
    const step = fc.record({
      back: fc.boolean(),
      hop: fc.integer({ min: 1, max: HOPS_MAX }),
      size: fc.nat({ max: relayDataSizeMax(HOPS_MAX) }),
      dirt: fc.nat({ max: 255 }),
    })
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), (steps) => {
        const { client, relays } = makeCircuit(HOPS_MAX)
        for (const { back, hop, size, dirt } of steps) {
          const message = dataMessage(size, size + 1)
          const used = new Uint8Array(CELL_BODY_SIZE).fill(dirt)
          if (back) {
            const body = relayAt(relays, hop).reply(message, used)
            expect(body).toBe(used)
            const opened = client.open(carryBackward(relays, hop, body))
            expect(opened?.hop).toBe(hop)
            expectOpened(opened, { message })
          } else {
            const body = client.seal(hop, message, used)
            expect(body).toBe(used)
            const end = carryForward(relays, body)
            expect(end.hop).toBe(hop)
            expectOpened(end.step?.do === 'deliver' ? end.step : undefined, { message })
          }
        }
      }),
      { numRuns: 30 },
    )
  })

  it('let a circuit grow while it is used', () => {
    const { relays } = makeCircuit(3)
    const client = new ClientLayers()
    for (const hop of [1, 2, 3]) {
      client.addHop(keysOf(hop))
      expect(client.hops).toBe(hop)
      const extend: RelayMessage = { command: RELAY_COMMANDS.extend, stream: 0, data: Uint8Array.of(hop) }
      expect(carryForward(relays, client.seal(hop, extend))).toMatchObject({ hop, step: { message: extend } })
      const extended: RelayMessage = { command: RELAY_COMMANDS.extended, stream: 0, data: Uint8Array.of(hop) }
      const body = relayAt(relays, hop).reply(extended)
      expect(client.open(carryBackward(relays, hop, body))).toMatchObject({ hop, message: extended })
    }
  })

  it('hand on the memory they were given', () => {
    const { client, relays } = makeCircuit(2)
    const body = client.seal(2, dataMessage(10))
    const step = relayAt(relays, 1).forward(body)
    expect(step.do === 'pass' && step.body).toBe(body)
    const answer = relayAt(relays, 2).reply(dataMessage(10))
    expect(relayAt(relays, 1).backward(answer)).toBe(answer)
  })

  it('leave a delivered message alone when its cell is used again', () => {
    const { client, relays } = makeCircuit(1)
    const body = client.seal(1, dataMessage(100))
    const step = relayAt(relays, 1).forward(body)
    body.fill(0)
    expect(step).toMatchObject({ do: 'deliver', message: dataMessage(100) })
    const answer = relayAt(relays, 1).reply(dataMessage(100))
    const opened = client.open(answer)
    answer.fill(0)
    expect(opened).toMatchObject({ message: dataMessage(100) })
  })

  it('refuse data longer than a cell, hops that are not there, and a fifth hop, as bugs', () => {
    const { client, relays } = makeCircuit(HOPS_MAX)
    expect(() => client.seal(3, dataMessage(relayDataSizeMax(3) + 1))).toThrow('fit')
    expect(() => relayAt(relays, 3).reply(dataMessage(relayDataSizeMax(3) + 1))).toThrow('fit')
    expect(() => client.seal(5, dataMessage(1))).toThrow('hop')
    expect(() => client.seal(0, dataMessage(1))).toThrow('hop')
    expect(() => client.addHop(keysOf(5))).toThrow('HOPS_MAX')
    expect(() => new RelayLayer(keysOf(1), { hop: 5, random: seededRandom(1) })).toThrow('hop')
  })
})

/** Offsets in every region of the first `size` bytes: direction, inner layers, tags, and both edges of each. */
function offsetsIn(size: number): number[] {
  const offsets = new Set([0, 1, 2, 16, 17, 18, 1_000, 4_096, size >> 1])
  for (let back = 1; back <= 5 * LAYER_SIZE; back += 4) offsets.add(size - back)
  offsets.add(size - 16).add(size - 17)
  return [...offsets]
}

describe('a changed cell', () => {
  it.each([1, 2, 3, 4])('fails at the very next hop, wherever the change is, on its way to hop %i', (hop) => {
    const authentic = CELL_BODY_SIZE - LAYER_SIZE * (hop - 1)
    for (const offset of offsetsIn(authentic)) {
      const { client, relays } = makeCircuit(HOPS_MAX)
      const body = client.seal(HOPS_MAX, dataMessage(500))
      for (const relay of relays.slice(0, hop - 1)) expect(relay.forward(body).do).toBe('pass')
      body[offset] = (body[offset] as number) ^ 1
      expect(relayAt(relays, hop).forward(body), `offset ${offset}`).toEqual({ do: 'fail' })
    }
  })

  it('fails at the client, wherever the change is', () => {
    for (const offset of offsetsIn(CELL_BODY_SIZE)) {
      const { client, relays } = makeCircuit(3)
      const body = carryBackward(relays, 3, relayAt(relays, 3).reply(dataMessage(500)))
      body[offset] = (body[offset] as number) ^ 0x80
      expect(client.open(body), `offset ${offset}`).toBeUndefined()
    }
  })

  it('fails at the client when it was changed between two relays, however many honest layers lie over it', () => {
    for (const offset of offsetsIn(CELL_BODY_SIZE - 3 * LAYER_SIZE)) {
      const { client, relays } = makeCircuit(4)
      const body = relayAt(relays, 4).reply(dataMessage(500))
      body[offset] = (body[offset] as number) ^ 1
      expect(client.open(carryBackward(relays, 4, body)), `offset ${offset}`).toBeUndefined()
    }
  })

  it('changes nothing at all when only the filler was changed: it goes no further', () => {
    for (const direction of ['forward', 'backward'] as const) {
      const ends = [false, true].map((isChanged) => {
        const { client, relays } = makeCircuit(3)
        const change = (body: Uint8Array, size: number) => (isChanged ? body.fill(0xee, CELL_BODY_SIZE - size) : body)
        if (direction === 'forward') {
          const body = client.seal(3, dataMessage(500))
          relayAt(relays, 1).forward(body)
          relayAt(relays, 2).forward(change(body, LAYER_SIZE))
          return body
        }
        return relayAt(relays, 2).backward(change(relayAt(relays, 3).reply(dataMessage(500)), 2 * LAYER_SIZE))
      })
      expect(equalBytes(ends[0] as Uint8Array, ends[1] as Uint8Array)).toBe(true)
    }
  })
})

describe('order', () => {
  const sealed = (): { client: ClientLayers; relays: Relay[]; bodies: Uint8Array[] } => {
    const circuit = makeCircuit(3)
    return { ...circuit, bodies: [1, 2, 3, 4].map((size) => circuit.client.seal(3, dataMessage(size))) }
  }
  const at = (bodies: Uint8Array[], index: number): Uint8Array => (bodies[index] as Uint8Array).slice()

  it.each([
    { name: 'a replayed cell', order: [0, 0], failsAt: 1 },
    { name: 'a missing cell', order: [0, 2], failsAt: 1 },
    { name: 'cells out of order', order: [1, 0], failsAt: 0 },
    { name: 'a late replay', order: [0, 1, 2, 0], failsAt: 3 },
  ])('$name fails at the guard, and everything after it', ({ order, failsAt }) => {
    const { relays, bodies } = sealed()
    const verdicts = order.map((index) => relayAt(relays, 1).forward(at(bodies, index)).do)
    expect(verdicts.indexOf('fail')).toBe(failsAt)
    expect(relayAt(relays, 1).forward(at(bodies, failsAt)).do).toBe('fail')
  })

  it.each([
    { name: 'a replayed cell', order: [0, 0], failsAt: 1 },
    { name: 'a missing cell', order: [0, 2], failsAt: 1 },
    { name: 'cells out of order', order: [1, 0], failsAt: 0 },
  ])('$name from the guard fails at the client, and everything after it', ({ order, failsAt }) => {
    const { client, relays } = makeCircuit(3)
    const bodies = [1, 2, 3].map((size) => carryBackward(relays, 3, relayAt(relays, 3).reply(dataMessage(size))))
    const verdicts = order.map((index) => client.open(at(bodies, index)) === undefined)
    expect(verdicts.indexOf(true)).toBe(failsAt)
    expect(client.open(at(bodies, failsAt))).toBeUndefined()
  })

  it('a cell the middle relay replays or swallows fails at the gateway', () => {
    for (const order of [[0, 0], [0, 2], [1]]) {
      const { relays, bodies } = sealed()
      for (const body of bodies) for (const hop of [1, 2]) expect(relayAt(relays, hop).forward(body).do).toBe('pass')
      const verdicts = order.map((index) => relayAt(relays, 3).forward(at(bodies, index)).do)
      expect(verdicts.at(-1)).toBe('fail')
    }
  })

  it('a cell of one direction does not open in the other', () => {
    const { client, relays } = makeCircuit(1)
    expect(client.open(client.seal(1, dataMessage(5)))).toBeUndefined()
    const other = makeCircuit(1)
    expect(relayAt(other.relays, 1).forward(relayAt(relays, 1).reply(dataMessage(5))).do).toBe('fail')
  })
})

/** The guard sealed these plaintexts itself, or a client did: the layer opens, its content is wrong. */
function sealAlone(key: Uint8Array, plain: Uint8Array): Uint8Array {
  const body = new Uint8Array(CELL_BODY_SIZE)
  new CounterSealer(key).sealInto(plain, body)
  return body
}

describe('a good layer with bad content', () => {
  const size = CELL_BODY_SIZE - 16
  const contents = [
    { name: 'an unknown direction', bytes: [2, 4, 0, 1, 0, 0] },
    { name: 'no relay command', bytes: [1, 0, 0, 1, 0, 0] },
    { name: 'an unknown relay command', bytes: [1, 8, 0, 1, 0, 0] },
    { name: 'data longer than the cell', bytes: [1, 4, 0, 1, 0xff, 0xff] },
    { name: 'data one byte longer than the cell', bytes: [1, 4, 0, 1, 0x1f, 0xde] },
    { name: 'a stream on a circuit command', bytes: [1, 1, 0, 1, 0, 0] },
  ]
  it.each(contents)('$name is a failure at both ends', ({ bytes }) => {
    const plain = new Uint8Array(size)
    plain.set(bytes)
    const { client, relays } = makeCircuit(1)
    expect(relayAt(relays, 1).forward(sealAlone(keysOf(1).forward, plain)).do).toBe('fail')
    expect(client.open(sealAlone(keysOf(1).backward, plain))).toBeUndefined()
  })

  it('a cell from beyond the last hop is a failure at the client', () => {
    const { client } = makeCircuit(1)
    expect(client.open(sealAlone(keysOf(1).backward, new Uint8Array(size)))).toBeUndefined()
  })

  it('a body of any other size is a failure', () => {
    for (const wrong of [0, 1, CELL_BODY_SIZE - 1, CELL_BODY_SIZE + 1]) {
      const { client, relays } = makeCircuit(1)
      expect(relayAt(relays, 1).forward(new Uint8Array(wrong)).do).toBe('fail')
      expect(client.open(new Uint8Array(wrong))).toBeUndefined()
    }
  })

  it('any body at all is answered, never thrown', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat({ max: CELL_BODY_SIZE }), (bytes, offset) => {
        const { client, relays } = makeCircuit(2)
        const body = client.seal(2, dataMessage(3))
        body.set(bytes.subarray(0, CELL_BODY_SIZE - offset), offset)
        expect(['pass', 'fail']).toContain(relayAt(relays, 1).forward(body.slice()).do)
        expect(client.open(body)).toBeUndefined()
      }),
      { numRuns: 60 },
    )
    // And content of every kind under a key that fits.
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 6, maxLength: 40 }), (bytes) => {
        const plain = new Uint8Array(size)
        plain.set(bytes)
        const { relays } = makeCircuit(1)
        expect(['pass', 'deliver', 'fail']).toContain(
          relayAt(relays, 1).forward(sealAlone(keysOf(1).forward, plain)).do,
        )
      }),
    )
  })
})
