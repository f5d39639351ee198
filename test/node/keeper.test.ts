/** Keepers among themselves: who may let a copy go, and on what proof; renewal. SPEC requests §6, §7 */
import { describe, expect, it } from 'vitest'
import { possessionProof } from '../../node/roles/copies.ts'
import { type ContentRef, encodeContentRef } from '../../storage/index.ts'
import { makeShard, makeSigned } from '../contract/shard.ts'
import { EPOCH_MS } from '../routing/membership/members.ts'
import { type Node, keeperNetwork as network } from './keeper-network.ts'

const DAY_MS = 24 * 60 * 60_000
const pass = { leaving: false, isStopped: () => false }
const lease = { leaseEndMs: EPOCH_MS + 5 * DAY_MS }

function putOf({ ref, bytes }: ReturnType<typeof makeShard>) {
  return { ref: encodeContentRef(ref), leaseDays: 30, nonce: new Uint8Array(16), bytes }
}

describe('a copy beyond those wanted', () => {
  it.each([
    ['shard', makeShard(1)],
    ['signed root', makeSigned(2)],
  ])('goes once every holder has proven its own: %s', async (_, shard) => {
    const [owner, next, , surplus] = network().around(shard.ref) as [Node, Node, Node, Node]
    await surplus.store.put({ ...shard, ...lease })
    expect(await surplus.reconciler.pass(pass)).toEqual({ pushed: 2, dropped: 1, lacking: 0, surplus: 0 })
    expect(surplus.store.has(shard.ref)).toBe(false)
    for (const holder of [owner, next]) expect(holder.store.leaseEnd(shard.ref)).toBe(lease.leaseEndMs)
  })

  it('stays when a holder says that it has it, and has not', async () => {
    const shard = makeShard(3)
    const [, liar, , surplus] = network().around(shard.ref) as [Node, Node, Node, Node]
    await surplus.store.put({ ...shard, ...lease })
    liar.lie = (call, truth) => {
      if (call.kind === 'have') return { kind: 'haves', tag: call.tag, held: new Uint8Array(call.refs.length).fill(1) }
      if (call.kind === 'copy') return { kind: 'copied', tag: call.tag, result: 0 }
      if (call.kind === 'prove')
        return { kind: 'proved', tag: call.tag, proofs: call.wanted.map(() => new Uint8Array(32)) }
      return truth
    }
    liar.store.delete(shard.ref)
    for (let passes = 0; passes < 3; passes++) {
      expect(await surplus.reconciler.pass(pass)).toMatchObject({ dropped: 0, surplus: 1 })
      expect(surplus.store.has(shard.ref)).toBe(true)
    }
  })

  it("stays when a holder hands in another holder's proof", async () => {
    const shard = makeShard(4)
    const [honest, liar, , surplus] = network().around(shard.ref) as [Node, Node, Node, Node]
    await surplus.store.put({ ...shard, ...lease })
    liar.lie = (call, truth) => {
      if (call.kind !== 'prove') return truth
      const proof = possessionProof({ nonce: call.nonce, holder: honest.id, bytes: shard.bytes })
      return { kind: 'proved', tag: call.tag, proofs: [proof] }
    }
    expect(await surplus.reconciler.pass(pass)).toMatchObject({ dropped: 0, surplus: 1 })
  })

  it('stays when a holder gives an earlier answer again', async () => {
    const shard = makeShard(5)
    const [, liar, , surplus] = network().around(shard.ref) as [Node, Node, Node, Node]
    let earlier: readonly Uint8Array[] | undefined
    liar.lie = (_, truth) => {
      if (truth?.kind !== 'proved') return truth
      earlier ??= truth.proofs
      return { ...truth, proofs: earlier }
    }
    for (const isFirst of [true, false]) {
      await surplus.store.put({ ...shard, ...lease })
      expect(await surplus.reconciler.pass(pass)).toMatchObject({ dropped: isFirst ? 1 : 0 })
    }
  })

  it('stays when a holder cannot be asked, and is given to one that lost it', async () => {
    const shard = makeShard(6)
    const { around } = network()
    const [owner, silent, , surplus] = around(shard.ref) as [Node, Node, Node, Node]
    await surplus.store.put({ ...shard, ...lease })
    silent.lie = () => undefined
    expect(await surplus.reconciler.pass(pass)).toMatchObject({ dropped: 0, lacking: 1, surplus: 1 })
    silent.lie = (_, truth) => truth
    owner.store.delete(shard.ref)
    expect(await surplus.reconciler.pass(pass)).toMatchObject({ dropped: 1, lacking: 0 })
    expect(owner.store.has(shard.ref) && silent.store.has(shard.ref)).toBe(true)
  })

  it('takes a quarter of the quota at most while it is not proven, what is farthest leaving first', async () => {
    const { nodes, around } = network({ quotaShards: 40 })
    for (const node of nodes) node.lie = (call, truth) => (call.kind === 'prove' ? undefined : truth)
    const [node] = nodes as [Node]
    const shards = Array.from({ length: 40 }, (_, i) => makeShard(100 + i))
    const rank = (ref: ContentRef): number => around(ref).indexOf(node)
    for (const shard of shards) if (rank(shard.ref) >= 2) await node.store.put({ ...shard, ...lease })
    const before = await node.reconciler.pass(pass)
    expect(before.surplus).toBeGreaterThan(10)
    const after = await node.reconciler.pass(pass)
    expect(after).toMatchObject({ surplus: 10, dropped: before.surplus - 10 })
    const kept = shards.filter(({ ref }) => node.store.has(ref)).map(({ ref }) => rank(ref))
    const left = shards.filter(({ ref }) => rank(ref) >= 2 && !node.store.has(ref)).map(({ ref }) => rank(ref))
    expect(Math.max(...kept)).toBeLessThanOrEqual(Math.min(...left))
  })
})

describe('a holder that takes nothing', () => {
  it('is given up for the pass after eight in a row, so that others get what they lack', async () => {
    const { nodes, around } = network()
    const [node] = nodes as [Node]
    const shards = Array.from({ length: 400 }, (_, i) => makeShard(200 + i))
    const mine = shards.filter(({ ref }) => around(ref)[0] === node)
    const silent = around((mine[0] as (typeof mine)[0]).ref)[1] as Node
    expect(mine.filter(({ ref }) => around(ref)[1] === silent).length).toBeGreaterThan(12)
    for (const shard of mine) await node.store.put({ ...shard, ...lease })
    let asked = 0
    silent.lie = (call, truth) => {
      if (call.kind !== 'copy') return truth
      asked++
      silent.store.delete(shards.find(({ bytes }) => Buffer.compare(bytes, call.bytes) === 0)?.ref as ContentRef)
      return undefined
    }
    const report = await node.reconciler.pass(pass)
    expect(asked).toBeGreaterThanOrEqual(8)
    expect(asked).toBeLessThan(12)
    expect(report.lacking).toBe(mine.filter(({ ref }) => around(ref)[1] === silent).length)
  })
})

describe('a put', () => {
  it('that ends at a node to which the content does not belong is looked at again soon, one at its owner is not', async () => {
    for (const [rank, isAside] of [[0, false] as const, [1, false] as const, [3, true] as const]) {
      const shard = makeShard(10 + rank)
      const node = network().around(shard.ref)[rank] as Node
      expect(await node.keeper.accept(shard.ref, putOf(shard))).toMatchObject({ end: 'stored' })
      expect(node.copies.takeAside()).toBe(isAside)
    }
  })
})

describe('a node that leaves', () => {
  it('proves nothing, so that nobody lets go of a copy for one that goes', async () => {
    const shard = makeShard(20)
    const [owner, leaver, , surplus] = network().around(shard.ref) as [Node, Node, Node, Node]
    for (const { store } of [owner, leaver, surplus]) await store.put({ ...shard, ...lease })
    leaver.keeper.leave()
    expect(await surplus.reconciler.pass(pass)).toMatchObject({ dropped: 0 })
    expect(surplus.store.has(shard.ref)).toBe(true)
  })

  it('is no holder for another that leaves at the same time', async () => {
    const shard = makeShard(21)
    const [owner, leaver, third] = network().around(shard.ref) as [Node, Node, Node]
    for (const { store } of [owner, leaver]) await store.put({ ...shard, ...lease })
    leaver.keeper.leave()
    const report = await owner.reconciler.pass({ ...pass, leaving: true })
    expect(report.lacking).toBe(1)
    expect(third.store.has(shard.ref)).toBe(true)
  })

  it('has all copies of a put elsewhere, and takes none of others', async () => {
    const shard = makeShard(22)
    const [owner, next, third, fourth] = network().around(shard.ref) as [Node, Node, Node, Node]
    owner.keeper.leave()
    expect(await owner.keeper.accept(shard.ref, putOf(shard))).toMatchObject({ end: 'stored' })
    expect([next, third, fourth].map(({ store }) => store.has(shard.ref))).toEqual([true, true, false])
    const other = makeShard(23)
    const [first, leaver, after] = network().around(other.ref) as [Node, Node, Node]
    leaver.keeper.leave()
    expect(await first.keeper.accept(other.ref, putOf(other))).toMatchObject({ end: 'stored' })
    expect([leaver, after].map(({ store }) => store.has(other.ref))).toEqual([false, true])
  })
})

describe('renewal', () => {
  const renew = { ref: new Uint8Array(34), leaseDays: 30, nonce: new Uint8Array(16).fill(9) }

  it('prolongs what the owner and the next hold, without bytes, before the receipt', async () => {
    const shard = makeShard(7)
    const [owner, next, third] = network().around(shard.ref) as [Node, Node, Node]
    for (const { store } of [owner, next]) await store.put({ ...shard, ...lease })
    const outcome = await owner.keeper.renew(shard.ref, renew)
    expect(outcome).toMatchObject({
      end: 'stored',
      receipt: { leaseEndMs: EPOCH_MS + 30 * DAY_MS, nonce: renew.nonce },
    })
    for (const { store } of [owner, next]) expect(store.leaseEnd(shard.ref)).toBe(EPOCH_MS + 30 * DAY_MS)
    expect(next.asked).toEqual(['prove'])
    expect(third.asked).toEqual([])
  })

  it('brings the copy that the next has lost', async () => {
    const shard = makeShard(8)
    const [owner, next] = network().around(shard.ref) as [Node, Node]
    await owner.store.put({ ...shard, ...lease })
    expect(await owner.keeper.renew(shard.ref, renew)).toMatchObject({ end: 'stored' })
    expect(next.asked).toEqual(['prove', 'copy'])
    expect(next.store.leaseEnd(shard.ref)).toBe(EPOCH_MS + 30 * DAY_MS)
  })

  it('is refused when nothing is held, or its lease is over, or no second copy can be had', async () => {
    const shard = makeShard(9)
    const { around } = network()
    const [owner, ...others] = around(shard.ref) as [Node, ...Node[]]
    expect(await owner.keeper.renew(shard.ref, renew)).toEqual({ end: 'none', reason: 0 })
    await owner.store.put({ ...shard, leaseEndMs: EPOCH_MS })
    expect(await owner.keeper.renew(shard.ref, renew)).toEqual({ end: 'none', reason: 0 })
    await owner.store.put({ ...shard, ...lease })
    for (const other of others) other.lie = () => undefined
    expect(await owner.keeper.renew(shard.ref, renew)).toEqual({ end: 'none', reason: 2 })
  })

  it('is not asked for by a proof that would reach further than any lease', async () => {
    const shard = makeShard(10)
    const [owner] = network().around(shard.ref) as [Node]
    await owner.store.put({ ...shard, ...lease })
    const wanted = [{ ref: encodeContentRef(shard.ref), leaseEndMs: EPOCH_MS + 92 * DAY_MS }]
    const answer = await owner.keeper.answer({ kind: 'prove', tag: 1, nonce: new Uint8Array(16), wanted })
    expect(answer).toEqual({ kind: 'proved', tag: 1, proofs: [new Uint8Array(32)] })
    expect(owner.store.leaseEnd(shard.ref)).toBe(lease.leaseEndMs)
  })
})
