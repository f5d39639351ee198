/** Stands in for ML-KEM-768 of @noble/post-quantum in fast simulations: same sizes, no secret. */
import { createHash } from 'node:crypto'

const shared = (ciphertext: Uint8Array, publicKey: Uint8Array): Uint8Array =>
  new Uint8Array(createHash('sha256').update(ciphertext).update(publicKey).digest())

function stretched(seed: Uint8Array, size: number): Uint8Array {
  const bytes = new Uint8Array(size)
  for (let at = 0; at < size; at += seed.length) bytes.set(seed.subarray(0, Math.min(seed.length, size - at)), at)
  return bytes
}

export const ml_kem768 = {
  keygen: (seed: Uint8Array) => {
    const publicKey = stretched(seed, 1_184)
    return { publicKey, secretKey: publicKey }
  },
  encapsulate: (publicKey: Uint8Array, seed: Uint8Array) => {
    const cipherText = stretched(seed, 1_088)
    return { cipherText, sharedSecret: shared(cipherText, publicKey) }
  },
  decapsulate: (cipherText: Uint8Array, secretKey: Uint8Array) => shared(cipherText, secretKey),
}
