/**
 * SHA-256, plain and tagged. SPEC crypto §1
 *
 * Tagged input, big-endian, so that no two lists of parts ever give the same bytes:
 *   1      n   length of the label, then the label in ASCII
 *   4      m   for each part: its length, then the part
 */
import { hash } from 'node:crypto'
import type { Label } from './labels.ts'

/** 32 bytes, owned by the caller. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return plainBytes(hash('sha256', bytes, 'buffer'))
}

/** SHA-256 of the label and the parts, each with its length. */
export function tagged(label: Label, ...parts: readonly Uint8Array[]): Uint8Array {
  return sha256(tagLayout(label, parts))
}

/** The bytes that tagged() hashes; key derivation uses the same layout. */
export function tagLayout(label: Label, parts: readonly Uint8Array[]): Uint8Array {
  let size = 1 + label.length
  for (const part of parts) size += 4 + part.length
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  bytes[0] = label.length
  for (let i = 0; i < label.length; i++) bytes[1 + i] = label.charCodeAt(i)
  let at = 1 + label.length
  for (const part of parts) {
    view.setUint32(at, part.length)
    bytes.set(part, at + 4)
    at += 4 + part.length
  }
  return bytes
}

/** The same memory as a Uint8Array: a Buffer's slice() and its printing differ and must not leak out of this room. */
export function plainBytes(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}
