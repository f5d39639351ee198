import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  CIRCUIT_REQUESTS_MAX,
  equalBytes,
  MalformedError,
  MESSAGE_SIZE_MAX,
  relayDataSizeMax,
} from '../../../core/index.ts'
import { RELAY_COMMANDS, type RelayMessage } from '../../../routing/circuit/relay-messages.ts'
import { StreamJoiner, splitForStream } from '../../../routing/circuit/streams.ts'
import { seededRandom } from './fixtures.ts'

const FULL = relayDataSizeMax(3)
const joinAll = (joiner: StreamJoiner, messages: RelayMessage[]): (Uint8Array | undefined)[] =>
  messages.map((message) => joiner.add(message))

describe('streams', () => {
  it('join to what was split, of every size, with every cell but the last full', () => {
    for (const size of [0, 1, FULL - 1, FULL, FULL + 1, 2 * FULL, MESSAGE_SIZE_MAX]) {
      const bytes = seededRandom(size + 1).bytes(size)
      const messages = splitForStream(7, bytes, FULL)
      expect(messages).toHaveLength(Math.max(1, Math.ceil(size / FULL)))
      expect(messages.slice(0, -1).every(({ command, data }) => command === 4 && data.length === FULL)).toBe(true)
      const joiner = new StreamJoiner({ dataSizeMax: FULL })
      const joined = joinAll(joiner, messages)
      expect(equalBytes(joined.pop() as Uint8Array, bytes)).toBe(true)
      expect(joined.every((part) => part === undefined)).toBe(true)
      expect([joiner.openCount, joiner.heldBytes]).toEqual([0, 0])
    }
  })

  it('join however they are mixed, and may be used again at once', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.uint8Array({ maxLength: 25 }), { minLength: 1, maxLength: 3 }), {
          minLength: 1,
          maxLength: 6,
        }),
        fc.array(fc.nat({ max: 5 }), { maxLength: 60 }),
        (streams, order) => {
          const queues = streams.map((parts, stream) => parts.flatMap((bytes) => splitForStream(stream, bytes, 10)))
          const joiner = new StreamJoiner({ dataSizeMax: 10 })
          const out: Uint8Array[][] = streams.map(() => [])
          const feed = (stream: number): void => {
            const message = queues[stream]?.shift()
            const whole = message === undefined ? undefined : joiner.add(message)
            if (whole !== undefined) out[stream]?.push(whole)
          }
          for (const stream of order) feed(stream)
          for (const [stream, queue] of queues.entries()) while (queue.length > 0) feed(stream)
          expect(out).toEqual(streams)
          expect(joiner.heldBytes).toBe(0)
        },
      ),
    )
  })

  const data = (stream: number, size = FULL): RelayMessage => ({
    command: RELAY_COMMANDS.data,
    stream,
    data: new Uint8Array(size),
  })

  it('are malformed with a short or an overlong piece before the end, an empty one at it, or another command', () => {
    const bad: RelayMessage[][] = [
      [data(1, FULL - 1)],
      [data(1, 0)],
      [data(1, FULL + 1)],
      [{ ...data(1, FULL + 1), command: RELAY_COMMANDS.dataEnd }],
      [data(1), { ...data(1, 0), command: RELAY_COMMANDS.dataEnd }],
      [{ ...data(0, 16), command: RELAY_COMMANDS.ack }],
    ]
    for (const messages of bad) {
      expect(() => joinAll(new StreamJoiner({ dataSizeMax: FULL }), messages)).toThrow(MalformedError)
    }
  })

  it('are bounded in size, in number and in bytes of all', () => {
    const long = new StreamJoiner({ dataSizeMax: FULL })
    expect(() => {
      for (let i = 0; i * FULL <= MESSAGE_SIZE_MAX; i++) long.add(data(1))
    }).toThrow('too long')

    const many = new StreamJoiner({ dataSizeMax: FULL })
    for (let stream = 0; stream < 2 * CIRCUIT_REQUESTS_MAX; stream++) many.add(data(stream))
    expect(() => many.add(data(9_999))).toThrow('too many unfinished messages')
    expect(many.openCount).toBe(64)
    many.drop(5)
    expect(many.add(data(9_999))).toBeUndefined()

    const heavy = new StreamJoiner({ dataSizeMax: FULL, heldBytesMax: 3 * FULL })
    for (let stream = 0; stream < 3; stream++) heavy.add(data(stream))
    expect(() => heavy.add(data(3))).toThrow('too many unfinished bytes')
    expect(heavy.heldBytes).toBe(3 * FULL)
    heavy.drop(0)
    heavy.drop(0)
    expect(heavy.heldBytes).toBe(2 * FULL)
  })

  it('of as many requests as a circuit may have, all of the longest kind, never break the bounds', () => {
    const joiner = new StreamJoiner({ dataSizeMax: FULL })
    const queues = Array.from({ length: CIRCUIT_REQUESTS_MAX }, (_, stream) =>
      splitForStream(stream, new Uint8Array(MESSAGE_SIZE_MAX), FULL),
    )
    let done = 0
    for (let i = 0; i < (queues[0]?.length ?? 0); i++) {
      for (const queue of queues) if (joiner.add(queue[i] as RelayMessage) !== undefined) done++
    }
    expect(done).toBe(CIRCUIT_REQUESTS_MAX)
  })

  it('take any messages, or call them malformed, and keep their bounds', () => {
    const messages = fc.record({
      command: fc.constantFrom(...Object.values(RELAY_COMMANDS)),
      stream: fc.nat({ max: 9 }),
      data: fc.constantFrom(0, 1, 9, 10, 10, 10, 11).map((size) => new Uint8Array(size)),
    })
    fc.assert(
      fc.property(fc.array(messages, { maxLength: 100 }), (sent) => {
        const joiner = new StreamJoiner({ dataSizeMax: 10, messageSizeMax: 40, streamsMax: 5, heldBytesMax: 100 })
        for (const message of sent) {
          try {
            joiner.add(message)
          } catch (error) {
            expect(error).toBeInstanceOf(MalformedError)
          }
          expect(joiner.openCount).toBeLessThanOrEqual(5)
          expect(joiner.heldBytes).toBeLessThanOrEqual(100)
        }
      }),
    )
  })
})
