/** A fast hash that is no secret's friend: 16 bytes over words. For simulations only. */

/** Mixes `bytes` under the number `key`; four lanes, each word counts. */
export function mix16(key: number, bytes: Uint8Array): Uint8Array {
  let a = 0x9e3779b9 ^ key
  let b = 0x85ebca6b ^ bytes.length
  const whole = bytes.length - (bytes.length % 4)
  if (bytes.byteOffset % 4 === 0) {
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, whole >> 2)
    for (let i = 0; i < words.length; i++) {
      a = Math.imul(a ^ (words[i] as number), 0xcc9e2d51)
      b = (b ^ a ^ (a >>> 15)) + i
    }
  } else {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    for (let i = 0, at = 0; at < whole; i++, at += 4) {
      a = Math.imul(a ^ view.getInt32(at, true), 0xcc9e2d51)
      b = (b ^ a ^ (a >>> 15)) + i
    }
  }
  for (let at = whole; at < bytes.length; at++) {
    a = Math.imul(a ^ (bytes[at] as number), 0xcc9e2d51)
    b = (b ^ a ^ (a >>> 15)) + at
  }
  const out = new Uint8Array(16)
  const view = new DataView(out.buffer)
  for (let at = 0; at < 16; at += 4) {
    a = Math.imul(a ^ (b >>> 13), 0x1b873593)
    b = Math.imul(b ^ (a >>> 16), 0x85ebca6b)
    view.setInt32(at, a ^ b, true)
  }
  return out
}

export function wordOf(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getInt32(0, true)
}
