/** Both ends of a circuit ask and answer over it, within their windows. SPEC circuits §4, §5 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CIRCUIT_REQUESTS_MAX, equalBytes, MalformedError } from '../../core/index.ts'
import { CircuitStreams } from '../../node/circuit-streams.ts'
import { RELAY_COMMANDS, type RelayMessage } from '../../routing/index.ts'
import { HandClock, settled } from './hand-clock.ts'

const DATA_SIZE = 100

interface End {
  readonly streams: CircuitStreams
  readonly sent: RelayMessage[]
  readonly failures: unknown[]
  heldBytes: number
}

/** Two ends whose cells arrive in order; each answers with what `answers` of it says. */
function pair(answers: { client?: Answer; lastHop?: Answer } = {}) {
  const clock = new HandClock()
  let tags = 0
  const queue: (() => void)[] = []
  const make = (end: 'client' | 'lastHop', answer: Answer): End => {
    const made: End = {
      sent: [],
      failures: [],
      heldBytes: 0,
      streams: new CircuitStreams({
        clock,
        end,
        dataSizeMax: DATA_SIZE,
        answer,
        send: (message) => {
          const tag = new Uint8Array(16)
          new DataView(tag.buffer).setUint32(0, ++tags)
          made.sent.push(message)
          queue.push(() => (end === 'client' ? lastHop : client).streams.take(message, tag))
          return tag
        },
        onFailed: (error) => void made.failures.push(error),
        onHeld: (sizeBytes) => {
          made.heldBytes = sizeBytes
        },
      }),
    }
    return made
  }
  const client: End = make('client', answers.client ?? echo)
  const lastHop: End = make('lastHop', answers.lastHop ?? echo)
  const deliver = async (): Promise<void> => {
    while (queue.length > 0) {
      for (const step of queue.splice(0)) step()
      await Promise.resolve()
      await Promise.resolve()
    }
  }
  return { clock, client, lastHop, deliver, queue }
}
type Answer = (question: Uint8Array) => Promise<Uint8Array>
const echo: Answer = async (question) => question.slice()
const never: Answer = () => new Promise(() => {})
const WAIT = { timeoutMs: 1_000 }

describe('the streams of a circuit', () => {
  it('carry questions of both ends and their answers, of any size, at the same time', async () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 3_000 }), { maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(sizes, sizes, async (fromClient, fromLastHop) => {
        const { client, lastHop, deliver } = pair()
        const ask = (end: End, list: readonly number[], mark: number) =>
          list.map(async (size, i) => {
            const question = new Uint8Array(size).fill(mark + i)
            return equalBytes(await end.streams.ask(question, WAIT), question)
          })
        const asked = [...ask(client, fromClient, 1), ...ask(lastHop, fromLastHop, 100)]
        await deliver()
        expect((await Promise.all(asked)).every(Boolean)).toBe(true)
        expect([client.heldBytes, lastHop.heldBytes]).toEqual([0, 0])
      }),
      { numRuns: 40 },
    )
  })

  it('have the highest bit when the last hop opens them, and never when the client does', async () => {
    const { client, lastHop, deliver } = pair()
    const asked = [client, lastHop].map(({ streams }) => streams.ask(new Uint8Array(1), WAIT))
    expect([client.sent[0]?.stream, lastHop.sent[0]?.stream]).toEqual([1, 0x8001])
    await deliver()
    await Promise.all(asked)
  })

  it('are 32 at most for each end, those given up counted until they are answered', async () => {
    for (const end of ['client', 'lastHop'] as const) {
      const { clock, deliver, ...ends } = pair({ client: never, lastHop: never })
      const { streams } = ends[end]
      const asked = Array.from({ length: CIRCUIT_REQUESTS_MAX }, () => streams.ask(new Uint8Array(1), WAIT))
      const late = Promise.allSettled(asked)
      await deliver()
      await clock.pass(2_000)
      expect((await late).every(({ status }) => status === 'rejected')).toBe(true)
      await expect(streams.ask(new Uint8Array(1), WAIT)).rejects.toThrow('full')
    }
  })

  it('tell once when a question is over at the other end: answered, late perhaps, or the circuit gone', async () => {
    const waiting: ((answer: Uint8Array) => void)[] = []
    const { clock, client, deliver } = pair({ lastHop: () => new Promise((resolve) => waiting.push(resolve)) })
    const over: number[] = []
    const asked = [0, 1, 2, 3].map((i) =>
      client.streams.ask(Uint8Array.of(i), { ...WAIT, onOver: () => over.push(i) }).then(
        () => 'answered',
        () => 'given up',
      ),
    )
    await deliver()
    waiting[0]?.(Uint8Array.of(0))
    await settled()
    await deliver()
    await clock.pass(WAIT.timeoutMs)
    expect(over).toEqual([0])
    waiting[2]?.(Uint8Array.of(2))
    await settled()
    await deliver()
    expect(over).toEqual([0, 2])
    client.streams.end()
    expect(await Promise.all(asked)).toEqual(['answered', 'given up', 'given up', 'given up'])
    expect(over).toEqual([0, 2, 1, 3])
  })

  it('end the circuit of an end that asks a 33rd, answers aside', () => {
    const { lastHop } = pair({ lastHop: never })
    const tag = new Uint8Array(16)
    const ask = (stream: number) =>
      lastHop.streams.take({ command: RELAY_COMMANDS.dataEnd, stream, data: new Uint8Array(1) }, tag)
    for (let stream = 1; stream <= CIRCUIT_REQUESTS_MAX; stream++) ask(stream)
    expect(() => ask(0x8001)).not.toThrow()
    expect(() => ask(33)).toThrow(MalformedError)
  })

  it('send no more than a window unacknowledged, and what waits is counted', async () => {
    const { lastHop, deliver, queue } = pair()
    const asked = lastHop.streams.ask(new Uint8Array(300 * DATA_SIZE), WAIT)
    expect(lastHop.sent.length).toBe(256)
    expect(lastHop.heldBytes).toBeGreaterThan(0)
    expect(queue.length).toBe(256)
    await deliver()
    expect((await asked).length).toBe(300 * DATA_SIZE)
    expect(lastHop.heldBytes).toBe(0)
  })

  it('tell who asked that the circuit broke, and hold nothing any more', async () => {
    const { client, lastHop, deliver } = pair({ lastHop: never })
    const asked = client.streams.ask(new Uint8Array(10), WAIT)
    await deliver()
    client.streams.end()
    lastHop.streams.end()
    await expect(asked).rejects.toThrow('broke')
    await expect(client.streams.ask(new Uint8Array(1), WAIT)).rejects.toThrow('closed')
    expect(client.heldBytes).toBe(0)
  })

  it('hand the failure of an answer to their circuit', async () => {
    const fails: Answer = async () => {
      throw new MalformedError('malformed circuit: asks a client')
    }
    const { client, lastHop, deliver } = pair({ client: fails })
    const asked = lastHop.streams.ask(new Uint8Array(1), WAIT).catch(() => 'broke')
    await deliver()
    await settled()
    expect(client.failures).toHaveLength(1)
    lastHop.streams.end()
    expect(await asked).toBe('broke')
  })
})

describe('a circuit that is silent', () => {
  it('is given up though its timers fire a hair too early, as the rounding of a clock may have it', async () => {
    let nowMs = 1_800_000_000_000
    let timersSet = 0
    const due: { readonly atMs: number; readonly run: () => void }[] = []
    const streams = new CircuitStreams({
      clock: {
        nowMs: () => nowMs,
        monotonicMs: () => nowMs,
        setTimer: (delayMs, run) => {
          timersSet++
          const timer = { atMs: nowMs + delayMs, run }
          due.push(timer)
          return { cancel: () => void due.splice(due.indexOf(timer), 1) }
        },
      },
      end: 'client',
      dataSizeMax: DATA_SIZE,
      send: () => new Uint8Array(16),
      answer: echo,
      onFailed: () => {},
    })
    const asked = streams.ask(new Uint8Array(1), { timeoutMs: 15_000, silenceMs: 4_000 })
    const failed = asked.catch((error: unknown) => String(error))
    while (due.length > 0 && timersSet < 100) {
      due.sort((a, b) => a.atMs - b.atMs)
      const [first] = due.splice(0, 1)
      nowMs = Math.max(nowMs, (first?.atMs ?? nowMs) - 1e-3)
      first?.run()
    }
    expect(await failed).toContain('the circuit is silent')
    expect(timersSet).toBeLessThan(5)
  })
})
