/** Vaults attached to keepers, on the production composition over ports that are not sockets. SPEC vaults §2 to §4 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { equalBytes, LEAF_SIZE, PROFILES, type PublicKey, SHARD_SIZE, toHex } from '../../core/index.ts'
import { merkleRoot, signingKeyFromSeed, verifyMerkleProof } from '../../crypto/index.ts'
import { ClientCircuit } from '../../node/client-circuit.ts'
import type { Member as RingMember } from '../../node/member.ts'
import { attachBody } from '../../node/roles/attachments.ts'
import { dropHashOf } from '../../node/roles/vault.ts'
import type { BlobPlace, VaultLines } from '../../node/roles/vault-lines.ts'
import { decodeLineAnswer, encodeLineRequest, ownersOf, WHOLE } from '../../routing/index.ts'
import { shardRef } from '../../storage/index.ts'
import { chance, type Member, MemoryNetwork } from './memory-network.ts'

const LINES = 4
const MANY_LINES = 8
let network: MemoryNetwork

const alive = (): Member[] => network.members.filter(({ node }) => node.address !== undefined && !stopped.has(node))
const stopped = new Set<Member['node']>()
const ring = (member: Member): RingMember => {
  if (member.node.member === undefined) throw new Error('no member')
  return member.node.member
}
const linesOf = (member: Member): VaultLines => {
  const { lines } = ring(member)
  if (lines === undefined) throw new Error('no lines')
  return lines
}
const keepersOf = (member: Member) => ring(member).vaulting?.lines.keepers ?? []
const at = <T>(list: readonly T[], index: number): T => {
  const found = list[index]
  if (found === undefined) throw new Error('too few')
  return found
}

/** One of those that have some lines attached: which keepers do is chance. */
function keeperAt(index: number, linesMin = 1): Member {
  const keepers = alive().filter((member) => linesOf(member).attached().length >= linesMin)
  return at(keepers, index % keepers.length)
}

function makeBlob() {
  const secret = chance.bytes(32)
  const bytes = chance.bytes(SHARD_SIZE)
  const blob = { bytes, leaseEndMs: network.clock.nowMs() + 3_600_000, dropHash: dropHashOf(secret) }
  return { blob, secret, root: merkleRoot(bytes) }
}

/** A blob kept over some line of a keeper, and everything about it. */
async function keptAt(keeper: Member, key?: PublicKey) {
  const all = linesOf(keeper).attached()
  const line = at(
    all.filter((each) => key === undefined || equalBytes(each.line, key)),
    0,
  )
  const made = makeBlob()
  expect(await linesOf(keeper).keep(line.line, made.blob)).toBe('kept')
  const place: BlobPlace = { point: line.point, line: line.line, root: made.root }
  const vaults = alive().filter(({ vaultStore }) => vaultStore.has(shardRef(made.root)))
  return { ...made, place, vaults }
}

const allAttached = (lines = LINES): boolean => alive().every((member) => keepersOf(member).length >= lines)

async function begin(joining: number, lines: number): Promise<void> {
  network = new MemoryNetwork({ hasVaults: true, profile: { vaultLines: lines } })
  await network.start({ joining })
  await network.until(() => alive().every(({ node }) => node.member?.ring.state !== undefined), 'all have joined')
  await network.until(() => alive().every(knowsAll), 'all know one another')
  await network.until(() => allAttached(lines), 'lines')
}

/** Who does not know the owner of a point yet takes another for it. */
function knowsAll(member: Member): boolean {
  return member.node.view.reachable(network.clock.nowMs()).length === alive().length
}

beforeAll(() => begin(3, LINES))
afterAll(() => network.stop())

describe('the lines of a vault', () => {
  it('go to as many keepers as the profile says, each another one, and never to itself', () => {
    for (const member of alive()) {
      const keepers = keepersOf(member).map(toHex)
      expect(new Set(keepers).size).toBe(LINES)
      expect(keepers).not.toContain(toHex(ring(member).id))
    }
  })

  it('are attached in the region of their point, mostly to its owner', () => {
    let [attached, atOwners] = [0, 0]
    for (const member of alive()) {
      for (const { point, slotsFree } of linesOf(member).attached()) {
        attached++
        if (isOwner(member, point)) atOwners++
        expect(slotsFree).toBe(PROFILES.testnet.vaultSlots)
      }
    }
    expect(attached).toBeGreaterThanOrEqual(LINES * alive().length)
    expect(atOwners).toBeGreaterThan(attached / 2)
  })

  it('carry a blob to one machine, which is not the keeper, and read and drop it there', async () => {
    const keeper = keeperAt(2)
    const { place, blob, root, secret, vaults } = await keptAt(keeper)
    expect(vaults.length).toBe(1)
    expect(at(vaults, 0)).not.toBe(keeper)

    const whole = await linesOf(keeper).read(place, { range: WHOLE })
    expect(whole && Buffer.from(whole.leaves).equals(blob.bytes)).toBe(true)
    const range = { from: 5, count: 2 }
    const some = await linesOf(keeper).read(place, { range })
    expect(some && Buffer.from(some.leaves).equals(blob.bytes.subarray(5 * LEAF_SIZE, 7 * LEAF_SIZE))).toBe(true)
    expect(some && verifyMerkleProof(root, range, some.leaves, some.proof)).toBe(true)

    expect(await linesOf(keeper).drop(place, chance.bytes(32))).toBe(false)
    expect(await linesOf(keeper).drop(place, secret)).toBe(true)
    expect(at(vaults, 0).vaultStore.has(shardRef(root))).toBe(false)
    expect(await linesOf(keeper).read(place, { range: WHOLE })).toBeUndefined()
  })

  it('give a blob by none but its own, not even by another of the same vault', async () => {
    const keeper = keeperAt(3)
    const { place, secret, vaults } = await keptAt(keeper)
    const others = keepersOf(at(vaults, 0)).filter((id) => !equalBytes(id, ring(keeper).id))
    expect(others.length).toBe(LINES - 1)
    for (const other of alive().filter((member) => others.some((id) => equalBytes(id, ring(member).id)))) {
      for (const { point, line } of linesOf(other).attached()) {
        expect(await linesOf(other).readHere({ ...place, point, line }, { range: WHOLE })).toBeUndefined()
        expect(await linesOf(other).drop({ ...place, point, line }, secret)).toBe(false)
      }
    }
    expect(await linesOf(keeper).read(place, { range: WHOLE })).toBeDefined()
  })

  it('are read from afar, along the ring, by every other keeper', async () => {
    const { place, blob } = await keptAt(keeperAt(4))
    for (const member of alive()) {
      const found = await linesOf(member).read(place, { range: { from: 15, count: 1 } })
      expect(found && Buffer.from(found.leaves).equals(blob.bytes.subarray(15 * LEAF_SIZE))).toBe(true)
    }
    expect(await linesOf(at(alive(), 0)).read({ ...place, root: chance.bytes(32) }, { range: WHOLE })).toBeUndefined()
  })

  it('prolong a lease from afar, and never shorten it', async () => {
    const keeper = keeperAt(5)
    const { place, blob, root, vaults } = await keptAt(keeper)
    const leaseEnd = () => at(vaults, 0).vaultStore.leaseEnd(shardRef(root))
    const other = at(
      alive().filter((member) => member !== keeper),
      0,
    )
    const range = { from: 0, count: 1 }
    // The first hop of a busy ring may say that it is busy.
    const longer = { range, leaseEndMs: blob.leaseEndMs + 5_000 }
    while ((await linesOf(other).read(place, longer)) === undefined) await network.sleep(500)
    expect(leaseEnd()).toBe(blob.leaseEndMs + 5_000)
    expect(await linesOf(other).read(place, { range, leaseEndMs: blob.leaseEndMs })).toBeDefined()
    expect(leaseEnd()).toBe(blob.leaseEndMs + 5_000)
  })
})

describe('a stranger at the other end of a line', () => {
  /** A circuit of four relays to a keeper, from a client's home, as a vault would build it. */
  async function circuitTo(keeper: Member): Promise<ClientCircuit> {
    const client = await clientOf()
    const others = alive().filter((member) => member !== keeper)
    const path = [others[0], others[1], others[2], keeper].map((member) => {
      const found = member && client.view.get(ring(member).id)
      if (found === undefined) throw new Error('not in the view')
      return found
    })
    const guard = await client.reach(at(path, 0).id)
    if (guard === undefined) throw new Error('no guard')
    const { circuits, puzzles, settings } = client
    const { networkId } = settings
    return ClientCircuit.build({ clock: network.clock, random: chance, circuits, networkId, puzzles }, { guard, path })
  }
  let made: Promise<Member['node']> | undefined
  function clientOf(): Promise<Member['node']> {
    made ??= network.addClient().then(async (client) => {
      const isKnown = () => alive().every((member) => client.view.get(ring(member).id) !== undefined)
      await network.until(isKnown, 'the client knows everybody')
      return client
    })
    return made
  }

  function attachTo(keeper: Member, circuit: ClientCircuit, seed: Uint8Array) {
    const { publicKey, sign } = signingKeyFromSeed(seed)
    const keeperId = ring(keeper).id
    const { networkId } = keeper.node.settings
    const body = attachBody({ networkId, keeperId, point: keeperId, binding: circuit.binding })
    return encodeLineRequest({ kind: 'attach', line: publicKey, point: keeperId, signature: sign(body) })
  }
  const say = async (circuit: ClientCircuit, message: Uint8Array) =>
    decodeLineAnswer(await circuit.request(message, { timeoutMs: 5_000 }))
  const hasLine = (keeper: Member, line: PublicKey): boolean =>
    linesOf(keeper)
      .attached()
      .some((attached) => equalBytes(attached.line, line))

  it('cannot replay an ATTACH on another circuit', async () => {
    const keeper = at(alive(), 6)
    const seed = chance.bytes(32)
    const { publicKey } = signingKeyFromSeed(seed)
    const first = await circuitTo(keeper)
    const attach = attachTo(keeper, first, seed)
    expect((await say(first, attach)).kind).toBe('attached')
    expect(hasLine(keeper, publicKey)).toBe(true)
    const second = await circuitTo(keeper)
    expect((await say(second, attach)).kind).toBe('refused')
    first.close()
    await network.until(() => !hasLine(keeper, publicKey), 'the line is gone')
    expect((await say(second, attach)).kind).toBe('refused')
    second.close()
  })

  it('who answers nonsense, or knows no such questions, loses the circuit and nothing else happens', async () => {
    const keeper = at(alive(), 6)
    for (const onAsked of [async () => Uint8Array.of(99, 1, 2), undefined]) {
      const seed = chance.bytes(32)
      const circuit = await circuitTo(keeper)
      circuit.onAsked = onAsked
      expect((await say(circuit, attachTo(keeper, circuit, seed))).kind).toBe('attached')
      expect(await linesOf(keeper).keep(signingKeyFromSeed(seed).publicKey, makeBlob().blob)).toBe('failed')
      await network.until(() => !circuit.isOpen, 'the circuit is closed')
    }
    await keptAt(keeperAt(6))
  })

  it('who gives wrong bytes is not believed', async () => {
    const keeper = at(alive(), 6)
    const seed = chance.bytes(32)
    const circuit = await circuitTo(keeper)
    // DATA with an empty proof.
    circuit.onAsked = async () => Uint8Array.of(3, 0, 0, ...chance.bytes(LEAF_SIZE))
    await say(circuit, attachTo(keeper, circuit, seed))
    const place = { point: ring(keeper).id as never, line: signingKeyFromSeed(seed).publicKey, root: chance.bytes(32) }
    expect(await linesOf(keeper).read(place, { range: { from: 0, count: 1 } })).toBeUndefined()
    circuit.close()
  })
})

describe('when nodes go', () => {
  it('a keeper that dies loses its lines to others of the region, under the same keys, with what lies behind', async () => {
    await network.until(() => allAttached(), 'lines')
    const dying = keeperAt(3, 2)
    const kept: Awaited<ReturnType<typeof keptAt>>[] = []
    for (const { line } of linesOf(dying).attached()) kept.push(await keptAt(dying, line))
    const keys = kept.map(({ place }) => toHex(place.line))
    expect(keys.length).toBeGreaterThan(1)
    stopped.add(dying.node)
    await dying.node.stop()
    const elsewhere = () =>
      alive().flatMap((member) =>
        linesOf(member)
          .attached()
          .map(({ line }) => toHex(line)),
      )
    await network.until(() => keys.every((key) => elsewhere().includes(key)), 'all lines are attached elsewhere')
    for (const { place, blob } of kept) {
      for (const member of alive()) {
        const found = await linesOf(member).read(place, { range: WHOLE })
        expect(found && Buffer.from(found.leaves).equals(blob.bytes)).toBe(true)
      }
    }
  })

  it('a vault that leaves waits for its keepers to move what it holds', async () => {
    await network.until(() => allAttached(), 'lines')
    const leaver = at(alive(), 1)
    const asked: number[] = []
    let left = 2
    for (const member of alive()) {
      linesOf(member).onLeave = () => {
        asked.push(left)
        return left > 0 ? left-- : 0
      }
    }
    await leaver.node.leave()
    stopped.add(leaver.node)
    await leaver.node.stop()
    expect(left).toBe(0)
    expect(asked.length).toBeGreaterThanOrEqual(LINES)
  })
})

describe('when there are fewer keepers than lines', () => {
  beforeAll(async () => {
    await network.stop()
    await begin(9, MANY_LINES)
  })

  it('those with blobs share one, and take nothing more', async () => {
    const blobs: { place: BlobPlace; vault: Member }[] = []
    const hasBlob = (line: PublicKey): boolean => blobs.some(({ place }) => equalBytes(place.line, line))
    while (blobs.length < MANY_LINES * alive().length) {
      for (const keeper of alive())
        for (const { point, line } of linesOf(keeper).attached()) {
          const { blob, root } = makeBlob()
          if (hasBlob(line) || (await linesOf(keeper).keep(line, blob)) !== 'kept') continue
          const vault = alive().find(({ vaultStore }) => vaultStore.has(shardRef(root)))
          if (vault !== undefined) blobs.push({ place: { point, line, root }, vault })
        }
      await network.sleep(100)
    }
    // Itself and its guard are no keepers of a vault: two fewer than it has lines.
    while (alive().length > MANY_LINES) {
      const dying = at(alive(), alive().length - 1)
      stopped.add(dying.node)
      await dying.node.stop()
    }
    const left = blobs.filter(({ vault }) => alive().includes(vault))
    expect(left.length).toBe(MANY_LINES * alive().length)
    const isRead = async ({ place }: { place: BlobPlace }): Promise<boolean> => {
      const owner = alive().find((member) => isOwner(member, place.point))
      return owner !== undefined && (await linesOf(owner).read(place, { range: WHOLE })) !== undefined
    }
    for (let all = false; !all; ) {
      all = true
      for (const blob of left) if (!(await isRead(blob))) all = false
    }
    let sharing = 0
    for (const vault of alive()) {
      const keys = new Map<string, PublicKey[]>()
      for (const keeper of alive())
        for (const { line } of linesOf(keeper).attached())
          if (left.some((blob) => blob.vault === vault && equalBytes(blob.place.line, line)))
            keys.set(toHex(ring(keeper).id), [...(keys.get(toHex(ring(keeper).id)) ?? []), line])
      const shared = [...keys].filter(([, lines]) => lines.length > 1)
      sharing += shared.length
      for (const [id, lines] of shared) {
        const keeper = alive().find((member) => toHex(ring(member).id) === id) as Member
        const answers = await Promise.all(lines.map((line) => linesOf(keeper).keep(line, makeBlob().blob)))
        expect(answers.filter((answer) => answer === 'kept').length).toBeLessThanOrEqual(1)
      }
    }
    expect(sharing).toBeGreaterThan(0)
  }, 240_000)
})

function isOwner(member: Member, point: Uint8Array): boolean {
  const [owner] = ownersOf(point, member.node.view.reachable(network.clock.nowMs()), 1)
  return owner !== undefined && equalBytes(owner, ring(member).id)
}
