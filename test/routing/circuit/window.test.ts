import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CIRCUIT_ACK_EVERY_CELLS as EVERY, CIRCUIT_WINDOW_CELLS as WINDOW } from '../../../core/index.ts'
import { RELAY_COMMANDS, type RelayMessage } from '../../../routing/circuit/relay-messages.ts'
import { ReceiveWindow, SendWindow } from '../../../routing/circuit/window.ts'
import { makeCircuit, type Relay, seededRandom } from './fixtures.ts'

function tag(number: number): Uint8Array {
  const bytes = new Uint8Array(16).fill(0x5a)
  new DataView(bytes.buffer).setUint32(0, number)
  return bytes
}

function sendMany(window: SendWindow, count: number, from = 0): void {
  for (let i = from; i < from + count; i++) window.sent(tag(i))
}

describe('the send window', () => {
  it('blocks when full, and sending on is a bug', () => {
    const window = new SendWindow()
    expect(window.room).toBe(WINDOW)
    sendMany(window, WINDOW)
    expect(window.room).toBe(0)
    expect(window.inFlight).toBe(WINDOW)
    expect(() => window.sent(tag(WINDOW))).toThrow('room')
  })

  it('frees what is acknowledged, in order', () => {
    const window = new SendWindow()
    sendMany(window, WINDOW)
    for (let mark = EVERY; mark <= WINDOW; mark += EVERY) {
      expect(window.acknowledge(tag(mark - 1))).toBe(true)
      expect(window.room).toBe(mark)
    }
  })

  it('refuses a claim of what was not seen: a foreign tag, one not due, one too early, one twice', () => {
    const window = new SendWindow()
    expect(window.acknowledge(tag(0))).toBe(false)
    sendMany(window, EVERY - 1)
    expect(window.acknowledge(tag(EVERY - 2))).toBe(false)
    sendMany(window, EVERY + 1, EVERY - 1)
    for (const number of [0, EVERY - 2, EVERY, 2 * EVERY - 1, 99_999]) {
      expect(window.acknowledge(tag(number))).toBe(false)
    }
    expect(window.acknowledge(new Uint8Array(0))).toBe(false)
    expect(window.acknowledge(tag(EVERY - 1))).toBe(true)
    expect(window.acknowledge(tag(EVERY - 1))).toBe(false)
    expect(window.inFlight).toBe(EVERY)
  })

  it('remembers tags by value, so that the memory they came in may be used again', () => {
    const window = new SendWindow()
    const memory = new Uint8Array(16)
    for (let i = 0; i < EVERY; i++) window.sent(memory.fill(i))
    memory.fill(0)
    expect(window.acknowledge(new Uint8Array(16).fill(EVERY - 1))).toBe(true)
  })
})

describe('the receive window', () => {
  it('finds an acknowledgement due after every so many cells, and not before', () => {
    const window = new ReceiveWindow()
    for (let i = 0; i < 3 * EVERY; i++) {
      expect(window.received(tag(i))).toBe(true)
      expect(window.takeAck()).toEqual((i + 1) % EVERY === 0 ? tag(i) : undefined)
    }
    expect(window.unacknowledged).toBe(0)
  })

  it('refuses the cell that overruns it', () => {
    const window = new ReceiveWindow()
    for (let i = 0; i < WINDOW; i++) expect(window.received(tag(i))).toBe(true)
    expect(window.received(tag(WINDOW))).toBe(false)
    expect(window.takeAck()).toEqual(tag(EVERY - 1))
    expect(window.received(tag(WINDOW))).toBe(true)
  })
})

describe('both windows', () => {
  it('agree under every order of sending, arriving, taking and acknowledging', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('send', 'arrive', 'take', 'ack'), { maxLength: 3_000 }), (steps) => {
        const sender = new SendWindow()
        const receiver = new ReceiveWindow()
        const cells: Uint8Array[] = []
        const acks: Uint8Array[] = []
        let sent = 0
        for (const step of steps.flatMap((step) => (step === 'send' ? Array(EVERY / 2).fill(step) : [step]))) {
          if (step === 'send' && sender.room > 0) {
            const next = tag(sent++)
            sender.sent(next)
            cells.push(next)
          } else if (step === 'arrive') {
            for (const cell of cells.splice(0)) expect(receiver.received(cell)).toBe(true)
          } else if (step === 'take') {
            const ack = receiver.takeAck()
            if (ack !== undefined) acks.push(ack)
          } else if (step === 'ack') {
            const ack = acks.shift()
            if (ack !== undefined) expect(sender.acknowledge(ack)).toBe(true)
          }
          expect(sender.inFlight).toBe(receiver.unacknowledged + cells.length + acks.length * EVERY)
          expect(sender.inFlight).toBeLessThanOrEqual(WINDOW)
        }
      }),
      { numRuns: 40 },
    )
  })

  it('keep a real circuit flowing for many windows, each way, and stop it when acks stay away', () => {
    const { client, relays } = makeCircuit(2)
    const [guard, gateway] = relays as [Relay, Relay]
    const data: RelayMessage = { command: RELAY_COMMANDS.data, stream: 1, data: seededRandom(1).bytes(64) }
    const there = { send: new SendWindow(), receive: new ReceiveWindow() }
    const back = { send: new SendWindow(), receive: new ReceiveWindow() }
    for (let i = 0; i < 2 * WINDOW; i++) {
      const body = client.seal(2, data)
      there.send.sent(client.sealedTag(2))
      guard.forward(body)
      const step = gateway.forward(body)
      expect(step.do === 'deliver' && there.receive.received(step.tag)).toBe(true)
      const ack = there.receive.takeAck()
      if (ack !== undefined) expect(there.send.acknowledge(ack)).toBe(true)

      const answer = gateway.reply(data)
      back.send.sent(gateway.replyTag)
      const opened = client.open(guard.backward(answer))
      expect(opened !== undefined && back.receive.received(opened.tag)).toBe(true)
      const due = back.receive.takeAck()
      if (due !== undefined) expect(back.send.acknowledge(due)).toBe(true)
    }
    expect(there.send.inFlight + back.send.inFlight).toBe(0)
    for (let i = 0; i < WINDOW; i++) {
      client.seal(2, data)
      there.send.sent(client.sealedTag(2))
    }
    expect(there.send.room).toBe(0)
  })
})
