/** Chance that repeats itself, for tests: bytes of SHA-256 over a seed and a counter. */
import { createHash } from 'node:crypto'
import type { Jitter, SecretRandom } from '../../../core/index.ts'

export function seededRandom(seed: string): SecretRandom {
  let counter = 0
  const fill = (target: Uint8Array) => {
    for (let at = 0; at < target.length; at += 32) {
      const block = createHash('sha256').update(`${seed}/${counter++}`).digest()
      target.set(block.subarray(0, Math.min(32, target.length - at)), at)
    }
  }
  return {
    fill,
    bytes(size) {
      const bytes = new Uint8Array(size)
      fill(bytes)
      return bytes
    },
  }
}

export function seededJitter(seed: string): Jitter {
  const random = seededRandom(seed)
  return { uint32: () => new DataView(random.bytes(4).buffer).getUint32(0) }
}

/** Bytes that no two seeds share, quickly made. */
export function seededBytes(seed: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size)
  let state = (seed * 2_654_435_761 + 1) >>> 0
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}
