import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CELL_BODY_SIZE, CELL_HEADER_SIZE, CELL_SIZE, MalformedError } from '../../../core/index.ts'
import {
  bodyOf,
  COMMANDS,
  type Command,
  isDialersCircuit,
  makeCell,
  newCell,
  readCell,
  writeHeader,
} from '../../../routing/circuit/cell.ts'

const commands = fc.constantFrom<Command[]>(...Object.values(COMMANDS))
const circuitFor = (command: Command) =>
  command === COMMANDS.padding || command === COMMANDS.message
    ? fc.constant(0)
    : fc.integer({ min: 1, max: 0xffff_ffff })
const headers = commands.chain((command) => fc.record({ command: fc.constant(command), circuit: circuitFor(command) }))

describe('a cell', () => {
  it('reads back as it was made, in one size', () => {
    fc.assert(
      fc.property(headers, fc.uint8Array({ maxLength: 300 }), ({ command, circuit }, bytes) => {
        const cell = makeCell(circuit, command, bytes)
        expect(cell).toHaveLength(CELL_SIZE)
        const read = readCell(cell)
        expect({ circuit: read.circuit, command: read.command }).toEqual({ circuit, command })
        expect(read.whole).toBe(cell)
        expect(read.body).toHaveLength(CELL_BODY_SIZE)
        expect(read.body.subarray(0, bytes.length)).toEqual(bytes)
        expect(read.body.subarray(bytes.length).every((value) => value === 0)).toBe(true)
      }),
    )
  })

  it('has the layout of the specification', () => {
    const cell = makeCell(0x8000_0102, COMMANDS.relay, Uint8Array.of(0xaa))
    expect([...cell.subarray(0, 6)]).toEqual([0x80, 0, 1, 2, 3, 0xaa])
    expect(COMMANDS).toEqual({ padding: 0, create: 1, created: 2, relay: 3, destroy: 4, message: 5 })
  })

  it('takes a new header without touching its body', () => {
    const cell = makeCell(7, COMMANDS.relay, new Uint8Array(CELL_BODY_SIZE).fill(9))
    writeHeader(cell, 9, COMMANDS.relay)
    expect(readCell(cell).circuit).toBe(9)
    expect(cell.subarray(CELL_HEADER_SIZE).every((value) => value === 9)).toBe(true)
  })

  it('is written through the view of its body', () => {
    const cell = newCell(3, COMMANDS.create)
    bodyOf(cell)[0] = 5
    expect(readCell(cell).body[0]).toBe(5)
  })

  it('reads from the middle of a network buffer', () => {
    const buffer = new Uint8Array(3 * CELL_SIZE)
    buffer.set(makeCell(11, COMMANDS.destroy, Uint8Array.of(1)), CELL_SIZE)
    expect(readCell(buffer.subarray(CELL_SIZE, 2 * CELL_SIZE))).toMatchObject({ circuit: 11, command: 4 })
  })

  it('is malformed in any other size, with an unknown command, or with a circuit number it may not have', () => {
    for (const size of [0, 1, CELL_SIZE - 1, CELL_SIZE + 1]) {
      expect(() => readCell(new Uint8Array(size))).toThrow(MalformedError)
    }
    const bad = (circuit: number, command: number): Uint8Array => {
      const cell = new Uint8Array(CELL_SIZE)
      cell[3] = circuit
      cell[4] = command
      return cell
    }
    for (const [circuit, command] of [
      [1, 6],
      [1, 255],
      [1, 0],
      [1, 5],
      [0, 1],
      [0, 2],
      [0, 3],
      [0, 4],
    ] as const) {
      expect(() => readCell(bad(circuit, command))).toThrow(MalformedError)
    }
  })

  it('cannot be made with a wrong number or too long a body: bugs', () => {
    expect(() => newCell(0, COMMANDS.relay)).toThrow('circuit 0')
    expect(() => newCell(1, COMMANDS.message)).toThrow('circuit 0')
    expect(() => newCell(2 ** 32, COMMANDS.relay)).toThrow('u32')
    expect(() => makeCell(1, COMMANDS.relay, new Uint8Array(CELL_BODY_SIZE + 1))).toThrow('fits')
  })

  it('from outside is read or malformed, nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 5, maxLength: 5 }), fc.boolean(), (header, isWhole) => {
        const cell = new Uint8Array(isWhole ? CELL_SIZE : 5)
        cell.set(header)
        try {
          expect(readCell(cell).body).toHaveLength(CELL_BODY_SIZE)
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedError)
        }
      }),
    )
  })

  it('tells by its number which side opened its circuit', () => {
    expect([1, 2, 0xffff_ffff, 0xffff_fffe].map(isDialersCircuit)).toEqual([true, false, true, false])
  })
})
