/**
 * The handshake puzzle: work that a client shows for a CREATE while a relay has more of them than it can
 * answer. One puzzle is good for one relay, one hour and one handshake, whose one-time key X it names, so
 * work can neither be stored up nor used twice. SPEC crypto §8
 *
 *   effort of a nonce = leading zero bits of H(handshake puzzle, relay id, hour u32, X, nonce u64)
 *
 * Hour: Unix time in whole hours. One try is one SHA-256 of three blocks, about a microsecond.
 */
import { hash } from 'node:crypto'
import { assert, ByteWriter, type NodeId } from '../core/index.ts'
import { tagLayout } from './hash.ts'
import { LABELS } from './labels.ts'

const NONCE_SIZE = 8
/** Below this it is not worth the way there and back; above, an honest client would wait for minutes. */
export const PUZZLE_EFFORT = { min: 16, max: 24 } as const

export interface HandshakePuzzle {
  readonly relayId: NodeId
  readonly hour: number
  /** X of the handshake, 32 bytes. */
  readonly clientKey: Uint8Array
}

/** How much work a nonce shows: 0 to 32 bits, more are not counted. */
export function puzzleEffort(puzzle: HandshakePuzzle, nonce: number): number {
  const { input, view, nonceAt } = layoutOf(puzzle)
  writeNonce(view, nonceAt, nonce)
  return effortOf(input)
}

/** A search for a nonce of at least `bits`, in as many goes as the caller likes: it never waits. */
export class PuzzleSearch {
  readonly #bits: number
  readonly #input: Uint8Array
  readonly #view: DataView
  readonly #nonceAt: number
  #next: number

  /** `firstNonce` is where to begin: any place is as good as another. */
  constructor(puzzle: HandshakePuzzle, from: { readonly bits: number; readonly firstNonce?: number }) {
    assert(Number.isInteger(from.bits) && from.bits >= 0 && from.bits <= 32, 'an effort is 0 to 32 bits')
    const { input, view, nonceAt } = layoutOf(puzzle)
    this.#bits = from.bits
    this.#input = input
    this.#view = view
    this.#nonceAt = nonceAt
    this.#next = from.firstNonce ?? 0
  }

  /** The nonce, if it is among the next `tries`. */
  run(tries: number): number | undefined {
    for (let left = tries; left > 0; left--) {
      const nonce = this.#next++
      writeNonce(this.#view, this.#nonceAt, nonce)
      if (effortOf(this.#input) >= this.#bits) return nonce
    }
    return undefined
  }
}

function layoutOf({ relayId, hour, clientKey }: HandshakePuzzle) {
  const hours = new ByteWriter(4).u32(hour).done()
  const parts = [relayId, hours, clientKey, new Uint8Array(NONCE_SIZE)]
  const input = tagLayout(LABELS.handshakePuzzle, parts)
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength)
  return { input, view, nonceAt: input.length - NONCE_SIZE }
}

function writeNonce(view: DataView, at: number, nonce: number): void {
  view.setUint32(at, Math.floor(nonce / 2 ** 32))
  view.setUint32(at + 4, nonce >>> 0)
}

function effortOf(input: Uint8Array): number {
  // As a string of one letter a byte: making a buffer for each try would cost three times as much.
  const digest = hash('sha256', input, 'binary')
  const head =
    ((digest.charCodeAt(0) << 24) |
      (digest.charCodeAt(1) << 16) |
      (digest.charCodeAt(2) << 8) |
      digest.charCodeAt(3)) >>>
    0
  return Math.clz32(head)
}
