/**
 * The cell: the one size of everything on a link. SPEC circuits §1, links §2. Big-endian:
 *
 *   0     4  circuit  meaningful on this link only; 0 for padding and message, never 0 otherwise
 *   4     1  command  COMMANDS
 *   5  8179  body     by command
 *
 * Circuit numbers are chosen by the side that opens the circuit: odd by the side that dialled the
 * link, even by the other, so the two never choose the same.
 */
import { assert, CELL_BODY_SIZE, CELL_HEADER_SIZE, CELL_SIZE, MalformedError } from '../../core/index.ts'

/** Numbers on the wire, append-only. `message`: the body's layout is in link/fragments.ts. */
export const COMMANDS = { padding: 0, create: 1, created: 2, relay: 3, destroy: 4, message: 5 } as const
export type Command = (typeof COMMANDS)[keyof typeof COMMANDS]

const COMMAND_MAX = COMMANDS.message
const CIRCUIT_MAX = 0xffff_ffff

export interface Cell {
  readonly circuit: number
  readonly command: Command
  /** CELL_BODY_SIZE bytes: a view of the cell. */
  readonly body: Uint8Array
  /** All of it, for handing on in the same memory: see writeHeader. */
  readonly whole: Uint8Array
}

/** A new cell, its body all zero. Write the body through `bodyOf`. */
export function newCell(circuit: number, command: Command): Uint8Array {
  const cell = new Uint8Array(CELL_SIZE)
  writeHeader(cell, circuit, command)
  return cell
}

/** A new cell with a copy of `body`, which may be shorter than a body: the rest is zero. */
export function makeCell(circuit: number, command: Command, body: Uint8Array): Uint8Array {
  assert(body.length <= CELL_BODY_SIZE, 'a body fits its cell')
  const cell = newCell(circuit, command)
  cell.set(body, CELL_HEADER_SIZE)
  return cell
}

/** The body as a view: writing to it writes to the cell. */
export function bodyOf(cell: Uint8Array): Uint8Array {
  return cell.subarray(CELL_HEADER_SIZE)
}

/** Sets the header of a cell whose body is done: a relay hands on the very memory it received. */
export function writeHeader(cell: Uint8Array, circuit: number, command: Command): void {
  assert(cell.length === CELL_SIZE, 'a cell has its size')
  assert(Number.isInteger(circuit) && circuit >= 0 && circuit <= CIRCUIT_MAX, 'a circuit number is a u32')
  assert((circuit === 0) === hasNoCircuit(command), 'circuit 0 is for what belongs to no circuit')
  cell[0] = circuit >>> 24
  cell[1] = circuit >>> 16
  cell[2] = circuit >>> 8
  cell[3] = circuit
  cell[4] = command
}

/** Throws ERR_MALFORMED for a wrong size, an unknown command, or a circuit number it may not have. */
export function readCell(cell: Uint8Array): Cell {
  if (cell.length !== CELL_SIZE) throw new MalformedError(`malformed cell: ${cell.length} bytes`)
  // The length was checked: all five are there.
  const circuit =
    (((cell[0] as number) << 24) | ((cell[1] as number) << 16) | ((cell[2] as number) << 8) | (cell[3] as number)) >>> 0
  const command = cell[4] as number
  if (command > COMMAND_MAX) throw new MalformedError('malformed cell: unknown command')
  if ((circuit === 0) !== hasNoCircuit(command)) throw new MalformedError('malformed cell: circuit number')
  return { circuit, command: command as Command, body: bodyOf(cell), whole: cell }
}

/** Whether the side that dialled the link chose this circuit number. */
export function isDialersCircuit(circuit: number): boolean {
  return circuit % 2 === 1
}

function hasNoCircuit(command: number): boolean {
  return command === COMMANDS.padding || command === COMMANDS.message
}
