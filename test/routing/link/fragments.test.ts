import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CELL_BODY_SIZE, CELL_SIZE, equalBytes, MalformedError, MESSAGE_SIZE_MAX } from '../../../core/index.ts'
import { COMMANDS, readCell } from '../../../routing/circuit/cell.ts'
import { FairQueue } from '../../../routing/link/fair-queue.ts'
import {
  FRAGMENT_DATA_SIZE_MAX as FULL,
  MessageJoiner,
  messageCellCount,
  splitMessage,
} from '../../../routing/link/fragments.ts'

function pattern(size: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => (i * 7 + (i >> 8) + seed) & 0xff)
}

/** A body as a peer might send it, right or wrong. */
function body(fields: { flow?: number; flags?: number; length?: number; size?: number }): Uint8Array {
  const bytes = new Uint8Array(fields.size ?? CELL_BODY_SIZE)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, fields.flow ?? 1)
  view.setUint8(4, fields.flags ?? 0)
  view.setUint16(5, fields.length ?? FULL)
  return bytes
}

describe('link messages', () => {
  it('join to what was split, of every size, in whole cells whose rest is zero', () => {
    for (const size of [0, 1, FULL - 1, FULL, FULL + 1, 2 * FULL, 63_600, MESSAGE_SIZE_MAX]) {
      const joiner = new MessageJoiner()
      const cells = splitMessage(0xffff_ffff, pattern(size))
      expect(cells).toHaveLength(messageCellCount(size))
      const joined = cells.map((cell) => {
        expect(cell).toHaveLength(CELL_SIZE)
        const read = readCell(cell)
        expect([read.circuit, read.command]).toEqual([0, COMMANDS.message])
        const length = new DataView(read.body.buffer, read.body.byteOffset).getUint16(5)
        expect(read.body.subarray(7 + length).every((value) => value === 0)).toBe(true)
        return joiner.add(read.body)
      })
      expect(equalBytes(joined.pop() as Uint8Array, pattern(size))).toBe(true)
      expect(joined.every((part) => part === undefined)).toBe(true)
      expect([joiner.partialCount, joiner.heldBytes]).toEqual([0, 0])
    }
  })

  it('have the layout of the specification', () => {
    const [cell] = splitMessage(0x0102_0304, Uint8Array.of(0xaa, 0xbb))
    expect([...(cell as Uint8Array).subarray(0, 15)]).toEqual([0, 0, 0, 0, 5, 1, 2, 3, 4, 1, 0, 2, 0xaa, 0xbb, 0])
  })

  it('join however their cells are mixed, and a flow number is free again after its last cell', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.nat({ max: 3 * FULL }), { minLength: 1, maxLength: 2 }), { minLength: 1, maxLength: 4 }),
        fc.array(fc.nat({ max: 3 }), { maxLength: 16 }),
        (flows, order) => {
          const queues = flows.map((sizes, flow) => sizes.flatMap((size) => splitMessage(flow, pattern(size, flow))))
          const joiner = new MessageJoiner()
          const out: number[][] = flows.map(() => [])
          const feed = (flow: number): void => {
            const cell = queues[flow]?.shift()
            const whole = cell === undefined ? undefined : joiner.add(readCell(cell).body)
            if (whole === undefined) return
            if (!pattern(whole.length, flow).every((value, i) => value === whole[i])) throw new Error('other bytes')
            out[flow]?.push(whole.length)
          }
          for (const flow of order) feed(flow)
          for (const [flow, queue] of queues.entries()) while (queue.length > 0) feed(flow)
          expect(out).toEqual(flows)
          expect(joiner.heldBytes).toBe(0)
        },
      ),
      { numRuns: 40 },
    )
  })

  it('do not change when the network buffer of an earlier cell is used again', () => {
    const [first, second] = splitMessage(1, pattern(FULL + 5)) as [Uint8Array, Uint8Array]
    const joiner = new MessageJoiner()
    joiner.add(readCell(first).body)
    first.fill(0)
    expect(equalBytes(joiner.add(readCell(second).body) as Uint8Array, pattern(FULL + 5))).toBe(true)
  })

  it.each([
    { name: 'a body of another size', bodies: [body({ size: CELL_BODY_SIZE - 1, length: 5, flags: 1 })] },
    { name: 'an unknown flag', bodies: [body({ flags: 2 })] },
    { name: 'a length past the cell', bodies: [body({ flags: 1, length: FULL + 1 })] },
    { name: 'a short piece before the last', bodies: [body({ length: FULL - 1 })] },
    { name: 'an empty piece before the last', bodies: [body({ length: 0 })] },
    { name: 'an empty piece at the end', bodies: [body({}), body({ flags: 1, length: 0 })] },
    { name: 'a message too long', bodies: [...Array(8).fill(body({})), body({ flags: 1, length: FULL })] },
    {
      name: 'a message too long by one byte',
      bodies: [...Array(8).fill(body({})), body({ flags: 1, length: MESSAGE_SIZE_MAX - 8 * FULL + 1 })],
    },
  ])('are malformed: $name', ({ bodies }) => {
    const joiner = new MessageJoiner()
    for (const good of bodies.slice(0, -1)) joiner.add(good)
    expect(() => joiner.add(bodies.at(-1) as Uint8Array)).toThrow(MalformedError)
  })

  it('are bounded in unfinished messages and in their bytes', () => {
    const many = new MessageJoiner()
    for (let flow = 0; flow < 64; flow++) many.add(body({ flow }))
    expect(() => many.add(body({ flow: 64 }))).toThrow('too many unfinished messages')
    // A message of one cell needs no place, and the end of an open one frees its own.
    expect(many.add(body({ flow: 64, flags: 1, length: 3 }))).toHaveLength(3)
    expect(many.add(body({ flow: 0, flags: 1, length: 3 }))).toHaveLength(FULL + 3)
    expect(many.partialCount).toBe(63)
    many.add(body({ flow: 64 }))

    const heavy = new MessageJoiner({ partialBytesMax: 2 * FULL })
    heavy.add(body({ flow: 1 }))
    heavy.add(body({ flow: 1 }))
    expect(() => heavy.add(body({ flow: 2 }))).toThrow('too many unfinished bytes')
    expect(() => heavy.add(body({ flow: 1 }))).toThrow('too many unfinished bytes')
    expect(heavy.heldBytes).toBe(2 * FULL)
  })

  it('longer than the limit, or with a flow that is no u32, are bugs of the sender', () => {
    expect(() => splitMessage(1, new Uint8Array(MESSAGE_SIZE_MAX + 1))).toThrow('fits')
    expect(() => splitMessage(2 ** 32, new Uint8Array(1))).toThrow('u32')
  })

  it('from outside are taken or malformed, nothing else, and the bounds hold', () => {
    const bodies = fc.oneof(
      fc
        .record({
          flow: fc.nat({ max: 6 }),
          flags: fc.constantFrom(0, 0, 1, 3),
          length: fc.constantFrom(0, 5, FULL, FULL, FULL, FULL + 1, 0xffff),
          size: fc.constantFrom(CELL_BODY_SIZE, CELL_BODY_SIZE, CELL_BODY_SIZE, 7, CELL_BODY_SIZE + 1),
        })
        .map(body),
      fc.uint8Array({ maxLength: 12 }),
    )
    fc.assert(
      fc.property(fc.array(bodies, { maxLength: 40 }), (sent) => {
        const joiner = new MessageJoiner({ partialMax: 4, partialBytesMax: 10 * FULL })
        for (const bytes of sent) {
          try {
            joiner.add(bytes)
          } catch (error) {
            expect(error).toBeInstanceOf(MalformedError)
          }
          expect(joiner.partialCount).toBeLessThanOrEqual(4)
          expect(joiner.heldBytes).toBeLessThanOrEqual(10 * FULL)
        }
      }),
    )
  })

  it('of a sender that queues them in lanes never break the bounds of a receiver, however many wait', () => {
    const longest = new Uint8Array(MESSAGE_SIZE_MAX)
    const run = (lanes: number): void => {
      const queue = new FairQueue({ itemsMax: 2_048, bytesMax: 2_048 * CELL_SIZE })
      const joiner = new MessageJoiner()
      let offered = 0
      for (let message = 0; message < 220; message++) {
        const cells = splitMessage(message, longest)
        const priority = message % 3 === 0 ? 'control' : 'normal'
        for (const cell of cells) offered += queue.offer(message % lanes, cell, { priority }) ? 1 : 0
      }
      expect(offered).toBe(220 * 9)
      let whole = 0
      for (let cell = queue.take(); cell !== undefined; cell = queue.take()) {
        if (joiner.add(readCell(cell).body) !== undefined) whole++
      }
      expect(whole).toBe(220)
    }
    run(32) // 64 with both priorities
    // One flow for each message opens them all at once.
    expect(() => run(10_000)).toThrow('too many unfinished messages')
  })
})
