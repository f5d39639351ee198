import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CELL_BODY_SIZE, HOPS_MAX, MalformedError, named32, relayDataSizeMax, toHex } from '../../../core/index.ts'
import { HANDSHAKE_MESSAGE_SIZE, HANDSHAKE_REPLY_SIZE } from '../../../crypto/index.ts'
import { COMMANDS, makeCell, readCell } from '../../../routing/circuit/cell.ts'
import {
  DESTROY_REASONS,
  decodeAck,
  decodeCreate,
  decodeCreated,
  decodeDestroy,
  decodeExtend,
  decodeExtended,
  decodeExtendFailed,
  EXTEND_FAILURES,
  effortAsked,
  effortOfExtendFailed,
  encodeAck,
  encodeCreate,
  encodeCreated,
  encodeDestroy,
  encodeExtend,
  encodeExtended,
  encodeExtendFailed,
  isWindowed,
  RELAY_COMMANDS,
  type RelayCommand,
  readRelayMessage,
  writeRelayMessage,
} from '../../../routing/circuit/relay-messages.ts'
import { seededRandom } from './fixtures.ts'

const handshakes = fc.integer({ min: 1, max: 9_999 }).map((seed) => seededRandom(seed).bytes(HANDSHAKE_MESSAGE_SIZE))
const replies = fc.integer({ min: 1, max: 9_999 }).map((seed) => seededRandom(seed).bytes(HANDSHAKE_REPLY_SIZE))
const hops = fc.integer({ min: 1, max: HOPS_MAX })
const throughCell = (command: 1 | 2 | 4, body: Uint8Array): Uint8Array => readCell(makeCell(1, command, body)).body

describe('relay messages', () => {
  const commands = fc.constantFrom<RelayCommand[]>(...Object.values(RELAY_COMMANDS))

  it('read back as they were written, over memory of any content, and leave zeros behind them', () => {
    fc.assert(
      fc.property(commands, fc.nat({ max: 0xffff }), fc.uint8Array({ maxLength: 200 }), (command, number, data) => {
        const stream = isWindowed(command) ? number : 0
        const bytes = new Uint8Array(300).fill(0xaa)
        writeRelayMessage({ command, stream, data }, bytes)
        expect(readRelayMessage(bytes)).toEqual({ command, stream, data })
        expect(bytes.subarray(5 + data.length).every((value) => value === 0)).toBe(true)
      }),
    )
  })

  it('have the layout and the numbers of the specification', () => {
    const bytes = new Uint8Array(8)
    writeRelayMessage({ command: RELAY_COMMANDS.data, stream: 0x102, data: Uint8Array.of(7) }, bytes)
    expect([...bytes]).toEqual([4, 1, 2, 0, 1, 7, 0, 0])
    expect(RELAY_COMMANDS).toEqual({
      extend: 1,
      extended: 2,
      extendFailed: 3,
      data: 4,
      dataEnd: 5,
      ack: 6,
      drop: 7,
      loop: 8,
    })
    expect(EXTEND_FAILURES).toEqual({ refused: 1, unknownRelay: 2, unreachable: 3, busy: 4, puzzle: 5 })
    expect(DESTROY_REASONS).toEqual({ finished: 1, failed: 2, full: 3, unreachable: 4, leaving: 5, puzzle: 6 })
  })

  it('count against the window only when they carry data', () => {
    const counted = Object.entries(RELAY_COMMANDS).filter(([, command]) => isWindowed(command))
    expect(counted.map(([name]) => name)).toEqual(['data', 'dataEnd'])
  })
})

describe('making a circuit', () => {
  it('create and extend read back as they were written, with room in their cells', () => {
    fc.assert(
      fc.property(hops, handshakes, fc.integer({ min: 1, max: 9_999 }), (hop, message, seed) => {
        expect(decodeCreate(throughCell(COMMANDS.create, encodeCreate({ hop, message })))).toEqual({ hop, message })
        const relayId = named32<'NodeId'>(seededRandom(seed).bytes(32), 'id')
        const data = encodeExtend({ relayId, hop, message })
        expect(data.length).toBeLessThanOrEqual(relayDataSizeMax(HOPS_MAX))
        expect(decodeExtend(data)).toEqual({ relayId, hop, message })
      }),
      { numRuns: 20 },
    )
  })

  it('carry a proof of work behind the handshake, or none', () => {
    const message = seededRandom(1).bytes(HANDSHAKE_MESSAGE_SIZE)
    const relayId = named32<'NodeId'>(seededRandom(2).bytes(32), 'id')
    const proof = { effort: 16, hour: 0x0001_0203, nonce: 2 ** 40 + 5 }
    const data = encodeExtend({ relayId, hop: 2, message, proof })
    expect(toHex(data.subarray(-13))).toBe('10000102030000010000000005')
    expect(decodeExtend(data)).toEqual({ relayId, hop: 2, message, proof })
    expect(decodeCreate(throughCell(COMMANDS.create, encodeCreate({ hop: 2, message, proof })))).toEqual({
      hop: 2,
      message,
      proof,
    })
    // What an earlier version sent: zeros in a create, nothing in an extend.
    expect(decodeExtend(encodeExtend({ relayId, hop: 2, message })).proof).toBeUndefined()
    expect(decodeCreate(throughCell(COMMANDS.create, encodeCreate({ hop: 2, message }))).proof).toBeUndefined()
    for (const effort of [0, 33, 255])
      expect(() => decodeExtend(encodeExtend({ relayId, hop: 2, message, proof: { ...proof, effort } }))).toThrow(
        MalformedError,
      )
  })

  it('name the effort that is asked for', () => {
    expect([...encodeExtendFailed(EXTEND_FAILURES.puzzle, 18)]).toEqual([5, 18])
    expect(effortOfExtendFailed(Uint8Array.of(5, 18))).toBe(18)
    expect(() => decodeExtendFailed(Uint8Array.of(5))).toThrow(MalformedError)
    expect(effortAsked(throughCell(COMMANDS.destroy, encodeDestroy(DESTROY_REASONS.puzzle, 18)))).toBe(18)
    expect(effortAsked(throughCell(COMMANDS.destroy, encodeDestroy(DESTROY_REASONS.full)))).toBeUndefined()
  })

  it('created and extended read back as they were written', () => {
    fc.assert(
      fc.property(replies, (reply) => {
        expect(decodeCreated(throughCell(COMMANDS.created, encodeCreated(reply)))).toEqual(reply)
        expect(decodeExtended(encodeExtended(reply))).toEqual(reply)
      }),
      { numRuns: 20 },
    )
  })

  it('refuses hops from nowhere, and any other length', () => {
    const message = new Uint8Array(HANDSHAKE_MESSAGE_SIZE)
    const relayId = named32<'NodeId'>(new Uint8Array(32), 'id')
    for (const hop of [0, HOPS_MAX + 1, 255]) {
      expect(() => decodeCreate(throughCell(COMMANDS.create, encodeCreate({ hop, message })))).toThrow(MalformedError)
      expect(() => decodeExtend(encodeExtend({ relayId, hop, message }))).toThrow(MalformedError)
    }
    for (const size of [0, HANDSHAKE_MESSAGE_SIZE - 1, HANDSHAKE_MESSAGE_SIZE + 1]) {
      const data = encodeExtend({ relayId, hop: 1, message: new Uint8Array(size) })
      expect(() => decodeExtend(data)).toThrow(MalformedError)
    }
    for (const size of [0, HANDSHAKE_REPLY_SIZE - 1, HANDSHAKE_REPLY_SIZE + 1]) {
      expect(() => decodeExtended(new Uint8Array(size))).toThrow(MalformedError)
    }
  })
})

describe('ends', () => {
  it('reasons read back as they were written, and unknown ones as the plainest', () => {
    for (const reason of Object.values(EXTEND_FAILURES))
      expect(decodeExtendFailed(encodeExtendFailed(reason))).toBe(reason)
    for (const reason of Object.values(DESTROY_REASONS)) {
      expect(decodeDestroy(throughCell(COMMANDS.destroy, encodeDestroy(reason)))).toBe(reason)
    }
    expect(decodeExtendFailed(Uint8Array.of(200))).toBe(EXTEND_FAILURES.refused)
    expect(decodeDestroy(Uint8Array.of(200))).toBe(DESTROY_REASONS.finished)
  })

  it('an ack is one tag and nothing else', () => {
    expect(decodeAck(encodeAck(new Uint8Array(16).fill(3)))).toEqual(new Uint8Array(16).fill(3))
    for (const size of [0, 15, 17]) expect(() => decodeAck(new Uint8Array(size))).toThrow(MalformedError)
  })
})

describe('any bytes from outside', () => {
  const decoders = {
    readRelayMessage,
    decodeCreate,
    decodeCreated,
    decodeExtend,
    decodeExtended,
    decodeExtendFailed,
    decodeDestroy,
    decodeAck,
  }
  it.each(Object.keys(decoders) as (keyof typeof decoders)[])('are read by %s or malformed, nothing else', (name) => {
    const decode: (bytes: Uint8Array) => unknown = decoders[name]
    const sizes = fc.constantFrom(
      0,
      1,
      2,
      15,
      16,
      17,
      40,
      HANDSHAKE_REPLY_SIZE,
      HANDSHAKE_MESSAGE_SIZE + 33,
      CELL_BODY_SIZE,
    )
    fc.assert(
      fc.property(sizes, fc.uint8Array({ maxLength: 48 }), (size, head) => {
        const bytes = new Uint8Array(size)
        bytes.set(head.subarray(0, size))
        try {
          decode(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedError)
        }
      }),
      { numRuns: 300 },
    )
  })
})
