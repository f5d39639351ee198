/** A node's identity costs work that is done beside everything else, and others take in no identity without it. SPEC crypto §6 */
import { afterEach, describe, expect, it } from 'vitest'
import { type NodeId, named32, PROFILES } from '../../core/index.ts'
import { nodeIdOf, signingKeyFromSeed, solveIdentity } from '../../crypto/index.ts'
import type { HushNode } from '../../node/compose.ts'
import { systemRandom } from '../../node/system/index.ts'
import { encodeDescriptor, signDescriptor } from '../../routing/index.ts'
import { MemoryNetwork } from './memory-network.ts'

const random = systemRandom()
/** Work as in production, so much less of it that a test can do it. */
const puzzleBits = 3
let network: MemoryNetwork
afterEach(() => network.stop())

async function fresh(bits: number): Promise<{ node: HushNode; nonces: number[] }> {
  network = new MemoryNetwork()
  const nonces: number[] = []
  const { node } = await network.addFresh({ puzzleBits: bits }, (nonce) => nonces.push(nonce))
  return { node, nonces }
}

describe('a new node', () => {
  it('runs before its puzzle is solved, and is a member with the id of its solution afterwards', async () => {
    const { node, nonces } = await fresh(puzzleBits)
    expect(node.member).toBeUndefined()
    await expect.poll(() => node.member, { timeout: 60_000 }).toBeDefined()
    const { networkId, seed } = node.settings
    const { publicKey } = signingKeyFromSeed(seed)
    expect(nonces).toHaveLength(1)
    expect(node.member?.id).toEqual(await nodeIdOf({ publicKey, networkId, puzzleBits, nonce: nonces[0] as number }))
  })

  it('is up at once with the puzzle of production too, with no place on the ring yet', async () => {
    const { node, nonces } = await fresh(PROFILES.production.puzzleBits)
    // What turns the event loop takes are not held up by it.
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
    expect(node.member).toBeUndefined()
    expect(node.address).toBeDefined()
    expect(nonces).toEqual([])
  })

  it('takes in a descriptor whose nonce is solved, and none with a forged nonce or the id of another', async () => {
    const { node } = await fresh(puzzleBits)
    const { networkId } = node.settings
    const key = signingKeyFromSeed(random.bytes(32))
    const rule = { publicKey: key.publicKey, networkId, puzzleBits }
    const solved = await solveIdentity({ ...rule, isStopped: () => false })
    if (solved === undefined) throw new Error('not solved')
    let forged = solved.nonce + 1
    while ((await nodeIdOf({ ...rule, nonce: forged })) !== undefined) forged++
    const claimed = (await nodeIdOf({ ...rule, puzzleBits: 0, nonce: forged })) as NodeId
    const described = (id: NodeId, nonce: number): Uint8Array =>
      encodeDescriptor(
        signDescriptor(key, networkId, {
          id,
          nonce,
          onionKey: named32<'OnionKey'>(random.bytes(32), 'onion key'),
          addresses: ['10.98.0.1:1'],
          roles: { relay: true, gateway: true, keeper: true, leaving: false },
          issuedMs: network.clock.nowMs(),
        }),
      )
    const elsewhere = named32<'NodeId'>(random.bytes(32), 'id')
    await node.admit([described(claimed, forged), described(solved.id, forged), described(elsewhere, solved.nonce)])
    for (const id of [claimed, solved.id, elsewhere]) expect(node.view.get(id)).toBeUndefined()
    await node.admit([described(solved.id, solved.nonce)])
    expect(node.view.get(solved.id)?.nonce).toBe(solved.nonce)
  })
})
