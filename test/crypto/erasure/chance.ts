/** Repeatable bytes for tests: the xorshift sequence of a seed. */
export function seededBytes(size: number, seed: number): Uint8Array {
  let state = seed | 1
  return Uint8Array.from({ length: size }, () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 8
  })
}
