/** Keepers whose bytes lie with vaults: putting, reading, sharing pointers, and looking after them. SPEC vaults §5 to §7 */
import { describe, expect, it } from 'vitest'
import { LEAF_SIZE, type NodeId, toHex } from '../../core/index.ts'
import { merkleProof, merkleRoot } from '../../crypto/index.ts'
import { possessionProof } from '../../node/roles/copies.ts'
import { COPY_RESULT, WHOLE } from '../../routing/index.ts'
import { type ContentRef, decodePlace, encodeContentRef, encodePlace, leafHashesFor } from '../../storage/index.ts'
import { makeShard, makeSigned } from '../contract/shard.ts'
import { EPOCH_MS } from '../routing/membership/members.ts'
import { seededBytes } from '../storage/support/random.ts'
import { keeperNetwork, type Node } from './keeper-network.ts'
import type { MemoryLine } from './memory-vaults.ts'

const DAY_MS = 24 * 60 * 60_000
const AUDIT_PAUSE_MS = 5_000
const pass = { leaving: false, isStopped: () => false }

/** By then the whole region has a new pointer. */
const TOLD_MS = 2_000

/** Nine keepers with three lines each, and a content that was put at its owner. */
async function stored(seed: number, options: { vaults?: number; make?: typeof makeShard } = {}) {
  const net = keeperNetwork({ vaults: options.vaults ?? 3 })
  const shard = (options.make ?? makeShard)(seed)
  const around = net.around(shard.ref)
  const [owner] = around as [Node]
  const outcome = await owner.keeper.accept(shard.ref, putOf(shard))
  return {
    ...net,
    shard,
    members: around,
    owner,
    outcome,
    withBlob: () => net.vaults.lines.filter(({ blobs }) => blobs.size > 0),
  }
}
function putOf({ ref, bytes }: { ref: ContentRef; bytes: Uint8Array }, leaseDays = 5) {
  return { ref: encodeContentRef(ref), leaseDays, nonce: new Uint8Array(16).fill(3), bytes }
}
function lineOfPlace(lines: readonly MemoryLine[], place: { line: Uint8Array }): MemoryLine {
  return lines.find(({ line }) => Buffer.compare(line, place.line) === 0) as MemoryLine
}
/** Lets timers run until the work is done. */
async function through<T>(net: { hand: { pass(ms: number): Promise<void> } }, begun: Promise<T> | T): Promise<T> {
  const work = Promise.resolve(begun)
  let isDone = false
  void work.finally(() => {
    isDone = true
  })
  for (let tries = 0; tries < 20 && !isDone; tries++) await net.hand.pass(AUDIT_PAUSE_MS)
  return work
}
const at = (members: readonly Node[], ref: ContentRef): number =>
  members.filter(({ pointers }) => pointers.get(ref)).length

describe('a put where there are vaults', () => {
  it.each([
    ['shard', makeShard],
    ['signed root', makeSigned],
  ])('leaves nothing but a pointer with keepers, and two blobs that have nothing in common: %s', async (_, make) => {
    const net = await stored(1, { make })
    expect(net.outcome).toMatchObject({ end: 'stored', receipt: { leaseEndMs: EPOCH_MS + 5 * DAY_MS } })
    for (const { store } of net.members) expect(store.usage().count).toBe(0)
    const blobs = net.withBlob().flatMap(({ blobs: held }) => [...held.values()])
    expect(blobs.length).toBe(2)
    const runs = [net.shard.bytes, ...blobs.map(({ bytes }) => bytes)].flatMap((bytes) =>
      Array.from({ length: 3_968 }, (__, i) => Buffer.from(bytes.subarray(i * 16, i * 16 + 16)).toString('hex')),
    )
    expect(new Set(runs).size).toBe(runs.length)
    expect(new Set(blobs.map(({ dropHash }) => Buffer.from(dropHash).toString('hex'))).size).toBe(2)
    for (const { leaseEndMs } of blobs) expect(leaseEndMs).toBe(EPOCH_MS + 5 * DAY_MS)
    expect(net.owner.keeper.counts).toEqual({ inVaults: 1, here: 0 })
  })

  it('has its pointer with two members before the receipt, and then with the whole region', async () => {
    const net = keeperNetwork({ vaults: 3 })
    const shard = makeShard(2)
    const members = net.around(shard.ref)
    const [owner, next] = members as [Node, Node]
    let atReceipt = 0
    await owner.keeper.accept(shard.ref, putOf(shard)).then(() => {
      atReceipt = [owner, next].filter(({ pointers }) => pointers.get(shard.ref)).length
    })
    expect(atReceipt).toBe(2)
    await net.hand.pass(TOLD_MS)
    const region = owner.holders.region(shard.ref.id)
    expect(region.length).toBeGreaterThan(4)
    expect(at(members, shard.ref)).toBe(region.length)
  })

  it('tells a member of many pointers in few messages', async () => {
    const net = keeperNetwork({ vaults: 3 })
    const shards = Array.from({ length: 120 }, (_, i) => makeShard(300 + i))
    const owners = shards.map(({ ref }) => net.around(ref)[0] as Node)
    const accepted = await Promise.all(shards.map((shard, i) => owners[i]?.keeper.accept(shard.ref, putOf(shard))))
    expect(accepted.filter((outcome) => outcome?.end === 'stored').length).toBe(shards.length)
    await net.hand.pass(TOLD_MS)
    let told = 0
    for (const [i, { ref }] of shards.entries()) {
      const region = owners[i]?.holders.region(ref.id) ?? []
      expect(at(net.nodes, ref)).toBe(region.length)
      told += region.length - 1
    }
    const messages = net.nodes.flatMap(({ asked }) => asked).filter((kind) => kind === 'pointer').length
    expect(told).toBeGreaterThan(4 * messages)
  })

  it('is refused when no second member takes the pointer', async () => {
    const net = keeperNetwork({ vaults: 3 })
    const shard = makeShard(3)
    const [owner, ...others] = net.around(shard.ref) as [Node, ...Node[]]
    for (const other of others)
      other.lie = ({ kind, tag }, truth) =>
        kind === 'pointer' ? { kind: 'pointed', tag, results: Uint8Array.of(COPY_RESULT.full) } : truth
    expect(await owner.keeper.accept(shard.ref, putOf(shard))).toEqual({ end: 'none', reason: 2 })
  })

  it('goes on to other lines when some fail, are full or leave', async () => {
    for (const kind of ['failed', 'full'] as const) {
      const net = keeperNetwork({ vaults: 4 })
      const shard = makeShard(4)
      const [owner] = net.around(shard.ref) as [Node]
      const [bad, worse] = net.linesOf(owner) as [MemoryLine, MemoryLine]
      bad.keeps = kind
      worse.isLeaving = true
      expect(await through(net, owner.keeper.accept(shard.ref, putOf(shard)))).toMatchObject({ end: 'stored' })
      expect([bad.blobs.size, worse.blobs.size]).toEqual([0, 0])
      expect(owner.pointers.get(shard.ref)?.places.length).toBe(2)
    }
  })

  it('is stored by keepers, counted, when there is one line only, and the one blob is dropped', async () => {
    const net = keeperNetwork({ vaults: 3 })
    const shard = makeShard(5)
    const [owner, next] = net.around(shard.ref) as [Node, Node]
    for (const line of net.linesOf(owner).slice(1)) line.keeps = 'full'
    expect(await through(net, owner.keeper.accept(shard.ref, putOf(shard)))).toMatchObject({ end: 'stored' })
    for (const { store } of [owner, next]) expect(store.has(shard.ref)).toBe(true)
    expect(owner.pointers.get(shard.ref)).toBeUndefined()
    expect(net.vaults.lines.every(({ blobs }) => blobs.size === 0)).toBe(true)
    expect(owner.keeper.counts).toEqual({ inVaults: 0, here: 1 })
  })

  it('that is tried again while the first try is under way fills no more vaults', async () => {
    const net = keeperNetwork({ vaults: 3 })
    const shard = makeShard(6)
    const [owner] = net.around(shard.ref) as [Node]
    const twice = await Promise.all([1, 2].map(() => owner.keeper.accept(shard.ref, putOf(shard))))
    expect(twice).toMatchObject([{ end: 'stored' }, { end: 'stored' }])
    expect(net.vaults.lines.reduce((sum, { blobs }) => sum + blobs.size, 0)).toBe(2)
  })
})

describe('a get of what lies with vaults', () => {
  it('is answered by any member of the region, whole and by ranges that a stranger can check', async () => {
    const net = await stored(10)
    await net.hand.pass(TOLD_MS)
    for (const member of net.members.slice(0, 4)) {
      expect(await member.keeper.readVaulted(net.shard.ref, WHOLE)).toMatchObject({
        end: 'data',
        leaves: net.shard.bytes,
      })
      const range = { from: 2, count: 3 }
      const part = await member.keeper.readVaulted(net.shard.ref, range)
      const leaves = net.shard.bytes.slice(2 * LEAF_SIZE, 5 * LEAF_SIZE)
      expect(part).toEqual({ end: 'data', leaves, proof: merkleProof(net.shard.bytes, range) })
    }
  })

  it('gives no part of a signed root, which nobody could check', async () => {
    const net = await stored(11, { make: makeSigned })
    expect(await net.owner.keeper.readVaulted(net.shard.ref, { from: 0, count: 1 })).toBeUndefined()
    expect(await net.owner.keeper.readVaulted(net.shard.ref, WHOLE)).toMatchObject({ end: 'data' })
  })

  it('goes on to the other place when one is gone, and ends when both are', async () => {
    const net = await stored(12)
    const [one, other] = net.withBlob() as [MemoryLine, MemoryLine]
    one.blobs.clear()
    for (let tries = 0; tries < 3; tries++)
      expect(await net.owner.keeper.readVaulted(net.shard.ref, WHOLE)).toMatchObject({ leaves: net.shard.bytes })
    other.isUp = false
    expect(await net.owner.keeper.readVaulted(net.shard.ref, WHOLE)).toBeUndefined()
  })

  it('does not wait for a place that is silent', async () => {
    const net = await stored(13)
    const [first] = net.owner.pointers.get(net.shard.ref)?.places ?? []
    const { lines } = net.owner
    if (lines === undefined || first === undefined) throw new Error('no place')
    const read = lines.read
    lines.read = (place, ask) =>
      Buffer.compare(place.line, first.line) === 0 ? new Promise(() => {}) : read(place, ask)
    expect(await through(net, net.owner.keeper.readVaulted(net.shard.ref, WHOLE))).toMatchObject({
      leaves: net.shard.bytes,
    })
  })
})

describe('pointers between members', () => {
  it('are refused for another content, with a lease out of bounds, and far from their location', async () => {
    const net = await stored(20)
    const pointer = net.owner.pointers.get(net.shard.ref)
    const [, next] = net.members as [Node, Node]
    const told = {
      ref: encodeContentRef(net.shard.ref),
      leaseEndMs: EPOCH_MS + DAY_MS,
      leafHashes: pointer?.leafHashes as Uint8Array,
      places: (pointer?.places ?? []).map(encodePlace),
    }
    const other = makeShard(21)
    const pointers = [
      { ...told, leafHashes: leafHashesFor(other.ref, other.bytes) },
      { ...told, leaseEndMs: EPOCH_MS },
      told,
      { ...told, leaseEndMs: EPOCH_MS + 92 * DAY_MS },
    ]
    const { stored: good, refused } = COPY_RESULT
    expect(await next.keeper.answer({ kind: 'pointer', tag: 1, pointers })).toEqual({
      kind: 'pointed',
      tag: 1,
      results: Uint8Array.of(refused, refused, good, refused),
    })
  })

  it('never take a proven place away, whatever a neighbour hands over', async () => {
    const net = await stored(22)
    await net.owner.tending.audit()
    for (let seed = 0; seed < 30; seed++) {
      const told = {
        ref: encodeContentRef(net.shard.ref),
        leaseEndMs: EPOCH_MS + DAY_MS,
        leafHashes: leafHashesFor(net.shard.ref, net.shard.bytes),
        places: [1, 2, 3, 4].map((i) => encodePlace(decodePlace(seededBytes(1_000 + 4 * seed + i, 128)))),
      }
      await net.owner.keeper.answer({ kind: 'pointer', tag: 1, pointers: [told] })
    }
    expect(net.owner.pointers.get(net.shard.ref)?.places.length).toBe(4)
    expect(await net.owner.keeper.readVaulted(net.shard.ref, WHOLE)).toMatchObject({ leaves: net.shard.bytes })
  })

  it('leave out a place whose blob the node itself has: no disk has a blob and its key', async () => {
    const net = keeperNetwork({ vaults: 3 })
    const shard = makeShard(26)
    const [owner, next, third] = net.around(shard.ref) as [Node, Node, Node]
    const keep = owner.lines?.keep
    if (owner.lines === undefined || keep === undefined) throw new Error('no lines')
    let blobs = 0
    owner.lines.keep = (line, blob) => {
      next.ownRoots.add(blobs++ === 0 ? toHex(merkleRoot(blob.bytes)) : '')
      third.ownRoots.add(toHex(merkleRoot(blob.bytes)))
      return keep(line, blob)
    }
    expect(await owner.keeper.accept(shard.ref, putOf(shard))).toMatchObject({ end: 'stored' })
    await net.hand.pass(TOLD_MS)
    expect(next.pointers.get(shard.ref)?.places.length).toBe(1)
    expect(third.pointers.get(shard.ref)).toBeUndefined()
    expect(await next.keeper.readVaulted(shard.ref, WHOLE)).toMatchObject({ leaves: shard.bytes })
  })

  it('are read by a member behind the owner over its own lines alone: what the owner cannot reach, it cannot', async () => {
    const net = await stored(24)
    await net.hand.pass(TOLD_MS)
    const [, next] = net.members as [Node, Node]
    expect(next.pointers.get(net.shard.ref)?.places.length).toBe(2)
    expect(await next.keeper.readVaulted(net.shard.ref, WHOLE)).toMatchObject({ leaves: net.shard.bytes })
    const behind = { isHereOnly: true }
    expect(await next.keeper.readVaulted(net.shard.ref, WHOLE, behind)).toBeUndefined()
    expect(await net.owner.keeper.readVaulted(net.shard.ref, WHOLE, behind)).toMatchObject({ leaves: net.shard.bytes })
  })

  it('tell a place that gives another content than it should from one that is away: it is forgotten at once', async () => {
    const net = await stored(23)
    const held = net.owner.pointers.get(net.shard.ref)
    const [one, other] = held?.places ?? []
    if (held === undefined || one === undefined || other === undefined) throw new Error('no places')
    const lied = { ...one, wrapKey: seededBytes(1, 32) }
    await net.owner.pointers.put(net.shard.ref, { ...held, places: [lied, other] })
    for (let tries = 0; tries < 4; tries++)
      expect(await net.owner.keeper.readVaulted(net.shard.ref, WHOLE)).toMatchObject({ leaves: net.shard.bytes })
    lineOfPlace(net.vaults.lines, other).isUp = false
    await net.owner.keeper.readVaulted(net.shard.ref, WHOLE)
    expect(net.owner.pointers.get(net.shard.ref)?.places).toEqual([other])
  })

  it('are handed to those that lack them, and answer HAVE with 2 and PROVE with the content', async () => {
    const net = await stored(24)
    await net.hand.pass(TOLD_MS)
    const [, next] = net.members as [Node, Node]
    await next.pointers.delete(net.shard.ref)
    expect(await net.owner.pointerReconciler.pass(pass)).toMatchObject({ pushed: 1, lacking: 0 })
    const refs = [encodeContentRef(net.shard.ref)]
    expect(await next.keeper.answer({ kind: 'have', tag: 1, refs })).toMatchObject({ held: Uint8Array.of(2) })
    const leaseEndMs = EPOCH_MS + 9 * DAY_MS
    const nonce = new Uint8Array(16).fill(5)
    const proof = possessionProof({ nonce, holder: next.id, bytes: net.shard.bytes })
    const wanted = [{ ref: encodeContentRef(net.shard.ref), leaseEndMs }]
    expect(await next.keeper.answer({ kind: 'prove', tag: 1, nonce, wanted })).toMatchObject({ proofs: [proof] })
    expect(next.pointers.get(net.shard.ref)?.leaseEndMs).toBe(leaseEndMs)
    for (const { blobs } of net.withBlob()) for (const blob of blobs.values()) expect(blob.leaseEndMs).toBe(leaseEndMs)
  })

  it('are handed on by a leaver, and kept by who is no holder any more', async () => {
    const net = await stored(25)
    for (const other of net.members.slice(2)) await other.pointers.delete(net.shard.ref)
    expect(await net.owner.pointerReconciler.pass({ ...pass, leaving: true })).toMatchObject({ lacking: 0 })
    const region = net.owner.holders.region(net.shard.ref.id, { leaving: true })
    const ids = region.map((id: NodeId) => net.members.findIndex((node) => Buffer.compare(node.id, id) === 0))
    expect(ids.every((i) => net.members[i]?.pointers.get(net.shard.ref) !== undefined)).toBe(true)
  })
})

describe('renewal of what lies with vaults', () => {
  const renew = { ref: new Uint8Array(34), leaseDays: 30, nonce: new Uint8Array(16).fill(9) }

  it('prolongs both blobs and the pointers before the receipt', async () => {
    const net = await stored(30)
    const outcome = await net.owner.keeper.renew(net.shard.ref, renew)
    const leaseEndMs = EPOCH_MS + 30 * DAY_MS
    expect(outcome).toMatchObject({ end: 'stored', receipt: { leaseEndMs, nonce: renew.nonce } })
    for (const { pointers } of net.members.slice(0, 2)) expect(pointers.get(net.shard.ref)?.leaseEndMs).toBe(leaseEndMs)
    for (const { blobs } of net.withBlob()) for (const blob of blobs.values()) expect(blob.leaseEndMs).toBe(leaseEndMs)
    expect(net.withBlob().length).toBe(2)
  })

  it('finds another vault for a blob that is gone', async () => {
    const net = await stored(31)
    const [lost] = net.withBlob() as [MemoryLine]
    lost.blobs.clear()
    expect(await net.owner.keeper.renew(net.shard.ref, renew)).toMatchObject({ end: 'stored' })
    expect(net.withBlob().length).toBe(2)
    expect(lost.blobs.size).toBe(0)
  })

  it('says no when nothing can be had any more', async () => {
    const net = await stored(32)
    for (const line of net.withBlob()) line.blobs.clear()
    expect(await net.owner.keeper.renew(net.shard.ref, renew)).toEqual({ end: 'none', reason: 0 })
  })
})

describe('looking after', () => {
  it('passes vaults that give a leaf, and tells the line so', async () => {
    const net = await stored(40)
    await net.owner.tending.audit()
    expect(net.owner.tending.counts).toMatchObject({ auditsPassed: 2, auditsFailed: 0 })
    for (const line of net.withBlob()) expect(line.audits).toEqual([true])
  })

  it('gives the content to another vault when one attached here has lost it', async () => {
    const net = await stored(41)
    const [liar, other] = net.withBlob() as [MemoryLine, MemoryLine]
    liar.blobs.clear()
    await through(net, net.owner.tending.audit())
    expect(liar.audits).toEqual([false])
    expect(net.owner.tending.counts).toMatchObject({ auditsFailed: 1, replaced: 1 })
    const places = net.owner.pointers.get(net.shard.ref)?.places ?? []
    expect(places.length).toBe(2)
    expect(places.some(({ line }) => Buffer.compare(line, liar.line) === 0)).toBe(false)
    expect(net.withBlob().length).toBe(2)
    other.isUp = false
    expect(await net.owner.keeper.readVaulted(net.shard.ref, WHOLE)).toMatchObject({ leaves: net.shard.bytes })
  })

  it('waits for a vault that is away, and replaces it when it stays away', async () => {
    const net = await stored(42)
    const [away] = net.withBlob() as [MemoryLine]
    const leave = (line: MemoryLine): void => {
      line.isUp = false
      line.absentSinceMs = net.hand.monotonicMs()
    }
    leave(away)
    await net.owner.pointerReconciler.pass(pass)
    expect(net.withBlob().length).toBe(2)
    await net.hand.pass(25_000)
    // The second member is more patient than the first.
    await net.members[1]?.pointerReconciler.pass(pass)
    expect(net.withBlob().length).toBe(2)
    await net.owner.pointerReconciler.pass(pass)
    expect(net.withBlob().length).toBe(3)
    expect(net.owner.tending.counts.replaced).toBe(1)
    expect(net.owner.pointers.get(net.shard.ref)?.places.length).toBe(2)
  })

  it('relieves a vault that leaves, and drops there what has been moved', async () => {
    const net = await stored(43)
    const [leaver] = net.withBlob() as [MemoryLine]
    leaver.isLeaving = true
    const { lines } = net.owner
    expect(lines?.onLeave(leaver.line)).toBe(1)
    await net.hand.pass(TOLD_MS)
    expect(lines?.onLeave(leaver.line)).toBe(0)
    expect(leaver.blobs.size).toBe(0)
    expect(net.withBlob().length).toBe(2)
  })

  it('lets a vault go only when a second member has flushed where its blob lies now', async () => {
    const net = await stored(46)
    const [leaver] = net.withBlob() as [MemoryLine]
    const [, next] = net.members as [Node, Node]
    await net.hand.pass(TOLD_MS)
    leaver.isLeaving = true
    let tries = 0
    while ((net.owner.lines?.onLeave(leaver.line) ?? 0) > 0 && tries++ < 100) await net.hand.pass(0)
    const [added] = net.owner.pointers.get(net.shard.ref)?.places ?? []
    expect(added?.line).not.toEqual(leaver.line)
    expect(next.pointers.get(net.shard.ref)?.places.map(({ root }) => toHex(root))).toContain(
      toHex(added?.root as never),
    )
  })

  it('does not count on a place that its pointer lists and that is gone', async () => {
    const net = await stored(47)
    const held = net.owner.pointers.get(net.shard.ref)
    if (held === undefined) throw new Error('no pointer')
    const gone = decodePlace(seededBytes(5, 128))
    await net.owner.pointers.put(net.shard.ref, { ...held, places: [...held.places, gone] })
    const [leaver] = net.withBlob() as [MemoryLine]
    leaver.isLeaving = true
    net.owner.lines?.onLeave(leaver.line)
    await net.hand.pass(TOLD_MS)
    expect(leaver.blobs.size).toBe(0)
    expect(net.withBlob().length).toBe(2)
  })

  it('keeps the content itself, and at the next member, while there is no other vault for one that is gone', async () => {
    const net = await stored(48)
    const [gone] = net.withBlob() as [MemoryLine]
    const [owner, next] = net.members as [Node, Node]
    for (const line of net.vaults.lines) if (!net.withBlob().includes(line)) line.keeps = 'full'
    gone.isUp = false
    gone.absentSinceMs = net.hand.monotonicMs()
    await net.hand.pass(25_000)
    await through(net, owner.pointerReconciler.pass(pass))
    expect(owner.store.has(net.shard.ref)).toBe(false)
    await net.hand.pass(40_000)
    await through(net, owner.pointerReconciler.pass(pass))
    for (const { store } of [owner, next]) expect(store.has(net.shard.ref)).toBe(true)
  })

  it('gives nothing to a vault that leaves', async () => {
    const net = keeperNetwork({ vaults: 3 })
    const shard = makeShard(49)
    const [owner] = net.around(shard.ref) as [Node]
    for (const line of net.linesOf(owner).slice(1)) line.isLeaving = true
    expect(await through(net, owner.keeper.accept(shard.ref, putOf(shard)))).toMatchObject({ end: 'stored' })
    expect(net.vaults.lines.every(({ blobs }) => blobs.size === 0)).toBe(true)
    expect(owner.store.has(shard.ref)).toBe(true)
  })

  it('tells the whole region what has changed before it leaves itself', async () => {
    const net = await stored(50)
    await net.hand.pass(TOLD_MS)
    const [lost] = net.withBlob() as [MemoryLine]
    lost.blobs.clear()
    await net.owner.keeper.renew(net.shard.ref, { leaseDays: 30, ref: new Uint8Array(34), nonce: new Uint8Array(16) })
    await net.owner.pointerReconciler.pass({ ...pass, leaving: true })
    const [added] = net.owner.pointers.get(net.shard.ref)?.places ?? []
    for (const id of net.owner.holders.othersOfRegion(net.shard.ref.id)) {
      const member = net.members.find((node) => Buffer.compare(node.id, id) === 0)
      const roots = member?.pointers.get(net.shard.ref)?.places.map(({ root }) => toHex(root))
      expect(roots).toContain(toHex(added?.root as never))
    }
  })

  it('moves what lies with keepers to vaults once there are lines, and no sooner lets go of the bytes', async () => {
    const net = keeperNetwork({ vaults: 3 })
    const shard = makeShard(44)
    const members = net.around(shard.ref)
    const [owner, next] = members as [Node, Node]
    for (const line of net.vaults.lines) line.isUp = false
    await owner.keeper.accept(shard.ref, putOf(shard))
    expect(await owner.tending.move(pass)).toEqual({ moved: 0, left: 0 })
    for (const line of net.vaults.lines) line.isUp = true
    // The owner moves: the next one waits for its pointer.
    expect(await next.tending.move(pass)).toEqual({ moved: 0, left: 0 })
    expect(await owner.tending.move(pass)).toEqual({ moved: 1, left: 0 })
    expect(owner.store.has(shard.ref)).toBe(false)
    expect(next.store.has(shard.ref)).toBe(true)
    await net.hand.pass(TOLD_MS)
    expect(await next.tending.move(pass)).toEqual({ moved: 1, left: 0 })
    expect(next.store.has(shard.ref)).toBe(false)
    expect(net.vaults.lines.reduce((sum, { blobs }) => sum + blobs.size, 0)).toBe(2)
    expect(await next.keeper.readVaulted(shard.ref, WHOLE)).toMatchObject({ leaves: shard.bytes })
  })

  it('does not let go of bytes for a place that only says it has them', async () => {
    const net = keeperNetwork({ vaults: 3 })
    const shard = makeShard(45)
    const [owner, next] = net.around(shard.ref) as [Node, Node]
    for (const line of net.vaults.lines) line.isUp = false
    await owner.keeper.accept(shard.ref, putOf(shard))
    for (const line of net.vaults.lines) {
      line.isUp = true
      if (net.linesOf(owner).includes(line)) line.keeps = 'lies'
    }
    await owner.tending.move(pass)
    await net.hand.pass(TOLD_MS)
    expect(next.pointers.get(shard.ref)).toBeDefined()
    await next.tending.move(pass)
    expect(await next.keeper.readVaulted(shard.ref, WHOLE)).toMatchObject({ leaves: shard.bytes })
  })
})
