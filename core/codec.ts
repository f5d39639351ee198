/**
 * Reading and writing byte layouts, big-endian. The reader cannot run past its end and decoding must
 * consume everything; the writer knows its limit. A layout error is a PeerError: bytes that came from
 * outside were wrong.
 */
import { assert, PeerError } from './errors.ts'

/** Bytes from outside do not follow their layout. SPEC overview §5 */
export class MalformedError extends PeerError {
  readonly code = 'ERR_MALFORMED'
}

export class ByteReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #what: string
  #at = 0

  /** `what` names the layout in errors. The bytes are read in place, never copied. */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#what = what
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  u8(): number {
    return this.#view.getUint8(this.#step(1))
  }
  u16(): number {
    return this.#view.getUint16(this.#step(2))
  }
  u32(): number {
    return this.#view.getUint32(this.#step(4))
  }
  /** A u64 that must fit a safe integer; a larger one is malformed. */
  u64(): number {
    const value = Number(this.#view.getBigUint64(this.#step(8)))
    if (!Number.isSafeInteger(value)) throw this.malformed('number too large')
    return value
  }
  /** An i64 that must fit a safe integer; a larger one is malformed. */
  i64(): number {
    const value = Number(this.#view.getBigInt64(this.#step(8)))
    if (!Number.isSafeInteger(value)) throw this.malformed('number too large')
    return value
  }
  /** A view, not a copy: it pins the whole buffer it came from. */
  bytes(size: number): Uint8Array {
    const start = this.#step(size)
    return this.#bytes.subarray(start, start + size)
  }
  /** u16 length, then the bytes; at most `max`. */
  bytes16(max: number): Uint8Array {
    const size = this.u16()
    if (size > max) throw this.malformed('field too long')
    return this.bytes(size)
  }
  /** Everything that is left. */
  rest(): Uint8Array {
    return this.bytes(this.left)
  }
  /** Ends the decoding: trailing bytes are malformed. */
  end(): void {
    if (this.left !== 0) throw this.malformed(`${this.left} bytes too many`)
  }
  malformed(why: string): MalformedError {
    return new MalformedError(`malformed ${this.#what}: ${why}`)
  }

  #step(size: number): number {
    const start = this.#at
    if (size > this.#bytes.length - start) throw this.malformed('ends too early')
    this.#at = start + size
    return start
  }
}

export class ByteWriter {
  #bytes: Uint8Array
  #view: DataView
  #at = 0

  /** Room for exactly `sizeMax` bytes; writing past it is a bug. */
  constructor(sizeMax: number) {
    this.#bytes = new Uint8Array(sizeMax)
    this.#view = new DataView(this.#bytes.buffer)
  }

  u8(value: number): this {
    this.#view.setUint8(this.#step(1), value)
    return this
  }
  u16(value: number): this {
    this.#view.setUint16(this.#step(2), value)
    return this
  }
  u32(value: number): this {
    this.#view.setUint32(this.#step(4), value)
    return this
  }
  u64(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, 'u64 takes a safe integer')
    this.#view.setBigUint64(this.#step(8), BigInt(value))
    return this
  }
  i64(value: number): this {
    assert(Number.isSafeInteger(value), 'i64 takes a safe integer')
    this.#view.setBigInt64(this.#step(8), BigInt(value))
    return this
  }
  bytes(value: Uint8Array): this {
    this.#bytes.set(value, this.#step(value.length))
    return this
  }
  bytes16(value: Uint8Array): this {
    assert(value.length <= 0xffff, 'field fits a u16 length')
    return this.u16(value.length).bytes(value)
  }
  /** What was written; shares the writer's memory. */
  done(): Uint8Array {
    return this.#bytes.subarray(0, this.#at)
  }

  #step(size: number): number {
    const start = this.#at
    assert(size <= this.#bytes.length - start, 'writer within its limit')
    this.#at = start + size
    return start
  }
}
