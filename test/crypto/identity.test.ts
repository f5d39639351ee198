import { createHash, scryptSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { concatBytes, fromUtf8, type NetworkId, named32, PROFILES, type PublicKey, toHex } from '../../core/index.ts'
import { LABELS, nodeIdOf, solveIdentity } from '../../crypto/index.ts'
import { bytesOf, someBytes, vectorFile, vectors } from './support.ts'

const publicKey = named32<'PublicKey'>(someBytes(32, 'public key'), 'key')
const networkId = named32<'NetworkId'>(someBytes(32, 'network'), 'network')

function nonceBytes(nonce: number): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(nonce))
  return bytes
}

function workOf(key: PublicKey, nonce: number, network: NetworkId): Uint8Array {
  const salt = concatBytes(fromUtf8(LABELS.idPuzzle), network)
  return new Uint8Array(scryptSync(concatBytes(key, nonceBytes(nonce)), salt, 32, { N: 2 ** 14, r: 8, p: 1 }))
}

function idByHand(...parts: Uint8Array[]): string {
  const whole = createHash('sha256')
    .update(new Uint8Array([LABELS.id.length]))
    .update(LABELS.id)
  for (const part of parts) whole.update(new Uint8Array([0, 0, 0, part.length])).update(part)
  return whole.digest('hex')
}

describe('nodeIdOf', () => {
  it('without a puzzle hashes key and nonce', async () => {
    for (const nonce of [0, 1, 300, Number.MAX_SAFE_INTEGER]) {
      const id = await nodeIdOf({ publicKey, nonce, networkId, puzzleBits: 0 })
      expect(toHex(id as Uint8Array)).toBe(idByHand(publicKey, nonceBytes(nonce)))
    }
  })

  it('with a puzzle hashes key, nonce and work, and has no id where the work does not begin with enough zeros', async () => {
    for (const { password, salt, expect: wanted } of vectors<Record<'password' | 'salt' | 'expect', string>>(
      'scrypt',
    )) {
      expect(scryptSync(password, salt, 64, { N: 2 ** 14, r: 8, p: 1 }).toString('hex')).toBe(wanted)
    }
    let solved = 0
    for (let nonce = 0; nonce < 12; nonce++) {
      const work = workOf(publicKey, nonce, networkId)
      const id = await nodeIdOf({ publicKey, nonce, networkId, puzzleBits: 2 })
      const isSolved = (work[0] as number) < 64
      if (isSolved) solved++
      expect(id && toHex(id)).toBe(isSolved ? idByHand(publicKey, nonceBytes(nonce), work) : undefined)
    }
    expect(solved).toBeGreaterThan(0)
    expect(solved).toBeLessThan(12)
  })

  it('keeps the ids it always gave, the production puzzle among them', async () => {
    const { identities } = vectorFile<{
      identities: { publicKey: string; networkId: string; nonce: number; puzzleBits: number; expect: string }[]
    }>('frozen')
    for (const each of identities) {
      const id = await nodeIdOf({
        publicKey: named32<'PublicKey'>(bytesOf(each.publicKey), 'key'),
        networkId: named32<'NetworkId'>(bytesOf(each.networkId), 'network'),
        nonce: each.nonce,
        puzzleBits: each.puzzleBits,
      })
      expect(id && toHex(id)).toBe(each.expect)
    }
    expect(identities.map(({ puzzleBits }) => puzzleBits)).toContain(PROFILES.production.puzzleBits)
  })

  it('binds a solution to its key and its network', async () => {
    const { identities } = vectorFile<{
      identities: { publicKey: string; networkId: string; nonce: number; puzzleBits: number }[]
    }>('frozen')
    const solution = identities.find(({ puzzleBits }) => puzzleBits === 11)
    if (solution === undefined) throw new Error('no solution among the vectors')
    const claim = { nonce: solution.nonce, puzzleBits: 11 }
    const own = {
      publicKey: named32<'PublicKey'>(bytesOf(solution.publicKey), 'key'),
      networkId: named32<'NetworkId'>(bytesOf(solution.networkId), 'network'),
    }
    expect(await nodeIdOf({ ...claim, ...own })).toBeDefined()
    expect(
      await nodeIdOf({ ...claim, ...own, networkId: named32<'NetworkId'>(someBytes(32, 'another'), 'network') }),
    ).toBeUndefined()
    expect(
      await nodeIdOf({ ...claim, ...own, publicKey: named32<'PublicKey'>(someBytes(32, 'another'), 'key') }),
    ).toBeUndefined()
    expect(await nodeIdOf({ ...claim, ...own, nonce: solution.nonce + 1 })).toBeUndefined()
  })

  it('refuses nonces that are no whole number of 53 bits', async () => {
    for (const nonce of [-1, 0.5, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(await nodeIdOf({ publicKey, nonce, networkId, puzzleBits: 0 })).toBeUndefined()
    }
  })
})

describe('solveIdentity', () => {
  it('finds the lowest nonce that nodeIdOf accepts', async () => {
    const solution = await solveIdentity({ publicKey, networkId, puzzleBits: 3, isStopped: () => false })
    if (solution === undefined) throw new Error('not stopped, and yet no solution')
    expect(await nodeIdOf({ publicKey, networkId, puzzleBits: 3, nonce: solution.nonce })).toEqual(solution.id)
    for (let nonce = 0; nonce < solution.nonce; nonce++) {
      expect(workOf(publicKey, nonce, networkId)[0]).toBeGreaterThanOrEqual(32)
    }
  })

  it('needs no try where there is no puzzle', async () => {
    const solution = await solveIdentity({ publicKey, networkId, puzzleBits: 0, isStopped: () => false })
    expect(solution?.nonce).toBe(0)
  })

  it('stops when told to, between two tries', async () => {
    let asked = 0
    const solution = await solveIdentity({ publicKey, networkId, puzzleBits: 32, isStopped: () => ++asked > 2 })
    expect(solution).toBeUndefined()
    expect(asked).toBe(3)
  })
})
