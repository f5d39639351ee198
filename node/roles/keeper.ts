/**
 * The keeper: answers for the locations between its predecessor and itself, holds the bytes, and sees
 * to it that the next `copies - 1` live nodes hold them too before it gives a receipt.
 * SPEC requests §6-§7, §9
 *
 * It never learns who asks or publishes, nor which shards belong together: it sees neighbours and
 * masked bytes.
 */

import {
  ByteWriter,
  type Clock,
  LEAF_SIZE,
  type Log,
  messageOf,
  type NetworkId,
  type NodeId,
  type Profile,
} from '../../core/index.ts'
import { LABELS, merkleProof, type SigningKey, tagged } from '../../crypto/index.ts'
import {
  type Call,
  COPY_RESULT,
  isWhole,
  LEASE_DAYS_MAX,
  type LeafRange,
  type Outcome,
  type PutRequest,
  REFUSAL,
  REGION_EXTRA,
  type Receipt,
  type RenewRequest,
} from '../../routing/index.ts'
import { type ContentRef, locationOf, readContentRef, type ShardStore, verifyContent } from '../../storage/index.ts'
import { type Copies, possessionProof } from './copies.ts'
import type { Holders } from './holders.ts'

const DAY_MS = 24 * 60 * 60_000
/** A lease handed on may not reach further than a fresh one could. */
const LEASE_MS_MAX = (LEASE_DAYS_MAX + 1) * DAY_MS
/** PROVE calls answered at the same time; the caller of one too many hears nothing and asks again later. */
const PROVING_MAX = 64
const NO_PROOF = new Uint8Array(32)

export interface KeeperPorts {
  readonly clock: Clock
  readonly log: Log
  readonly store: ShardStore
  readonly profile: Profile
  readonly networkId: NetworkId
  readonly key: SigningKey
  readonly selfId: NodeId
  readonly holders: Holders
  readonly copies: Copies
}

/** What a keeper signs. SPEC requests §6 */
export function receiptBody(from: {
  networkId: Uint8Array
  location: Uint8Array
  leaseEndMs: number
  nonce: Uint8Array
}): Uint8Array {
  const lease = new ByteWriter(8).u64(from.leaseEndMs).done()
  return tagged(LABELS.receipt, from.networkId, from.location, lease, from.nonce)
}

export class Keeper {
  readonly #p: KeeperPorts
  /** PROVE calls being answered. */
  #proving = 0
  #isAside = false

  constructor(ports: KeeperPorts) {
    this.#p = ports
  }

  /** Whether a copy went to another member than it belongs to since this was last asked. */
  takeAside(): boolean {
    const was = this.#isAside
    this.#isAside = false
    return was
  }

  /** What this node holds of the content itself, cache aside. */
  read(ref: ContentRef, range: LeafRange): Outcome | undefined {
    const bytes = this.#p.store.get(ref)
    return bytes === undefined ? undefined : cut(bytes, range)
  }

  /** Stores here and at the next nodes; a receipt only when all copies are flushed. */
  async accept(ref: ContentRef, put: PutRequest): Promise<Outcome> {
    const { clock, profile } = this.#p
    const leaseEndMs = clock.nowMs() + put.leaseDays * DAY_MS
    const own = this.#keep(ref, put.bytes, leaseEndMs)
    const copied = this.#atSome(this.#p.holders.others(locationOf(ref)), profile.copies - 1, (id) =>
      this.#p.copies.hand(id, ref, { bytes: put.bytes, leaseEndMs }),
    )
    if ((await own) === 'full') return { end: 'none', reason: REFUSAL.full }
    if (!(await copied)) return { end: 'none', reason: REFUSAL.copies }
    return this.#receipt(ref, leaseEndMs, put.nonce)
  }

  #receipt(ref: ContentRef, leaseEndMs: number, nonce: Uint8Array): Outcome {
    const { key, networkId } = this.#p
    const signature = key.sign(receiptBody({ networkId, location: locationOf(ref), leaseEndMs, nonce }))
    const receipt: Receipt = { leaseEndMs, nonce, keeper: key.publicKey, signature }
    return { end: 'stored', receipt }
  }

  /** Prolongs what is held, here and at the next nodes, which prove that they hold it or get it anew. */
  async renew(ref: ContentRef, renew: RenewRequest): Promise<Outcome> {
    const { clock, profile, store } = this.#p
    const nowMs = clock.nowMs()
    const bytes = (store.leaseEnd(ref) ?? 0) > nowMs ? store.get(ref) : undefined
    if (bytes === undefined) return { end: 'none', reason: REFUSAL.notFound }
    const leaseEndMs = nowMs + renew.leaseDays * DAY_MS
    const own = this.#prolong(ref, leaseEndMs)
    const others = this.#p.holders.others(locationOf(ref))
    const renewed = this.#atSome(others, profile.copies - 1, async (id) => {
      const [isProven] = await this.#p.copies.prove(id, [{ ref, leaseEndMs }])
      return isProven === true || this.#p.copies.hand(id, ref, { bytes, leaseEndMs })
    })
    if (!(await own)) return { end: 'none', reason: REFUSAL.full }
    if (!(await renewed)) return { end: 'none', reason: REFUSAL.copies }
    return this.#receipt(ref, leaseEndMs, renew.nonce)
  }

  /** Answers a neighbour's call; undefined when the call is not for keepers, or this one has too many. */
  async answer(call: Call): Promise<Call | undefined> {
    if (call.kind === 'have') {
      const nowMs = this.#p.clock.nowMs()
      const held = call.refs.map((raw) => {
        const ref = readContentRef(raw)
        return ref !== undefined && (this.#p.store.leaseEnd(ref) ?? 0) > nowMs ? 1 : 0
      })
      return { kind: 'haves', tag: call.tag, held: Uint8Array.from(held) }
    }
    if (call.kind === 'prove') {
      if (this.#proving >= PROVING_MAX) return undefined
      this.#proving++
      try {
        const proofs: Uint8Array[] = []
        for (const wanted of call.wanted) proofs.push(await this.#proof(call.nonce, wanted))
        return { kind: 'proved', tag: call.tag, proofs }
      } finally {
        this.#proving--
      }
    }
    if (call.kind !== 'copy') return undefined
    return { kind: 'copied', tag: call.tag, result: await this.#takeCopy(call) }
  }

  /** Zeros for what is not held. A held one's lease reaches as far as was asked before it is proven. */
  async #proof(nonce: Uint8Array, wanted: { ref: Uint8Array; leaseEndMs: number }): Promise<Uint8Array> {
    const { store, clock, selfId } = this.#p
    const nowMs = clock.nowMs()
    const ref = readContentRef(wanted.ref)
    const heldMs = ref === undefined ? 0 : (store.leaseEnd(ref) ?? 0)
    const bytes = ref !== undefined && heldMs > nowMs ? store.get(ref) : undefined
    if (ref === undefined || bytes === undefined || wanted.leaseEndMs > nowMs + LEASE_MS_MAX) return NO_PROOF
    if (wanted.leaseEndMs > heldMs && !(await this.#prolong(ref, wanted.leaseEndMs))) return NO_PROOF
    return possessionProof({ nonce, holder: selfId, bytes })
  }

  /** Whether `hand` succeeded at `count` of the members; in order, going on to the next when one fails. */
  async #atSome(members: readonly NodeId[], count: number, hand: (id: NodeId) => Promise<boolean>): Promise<boolean> {
    let done = 0
    let next = 0
    while (done < count && next < members.length) {
      const some = members.slice(next, next + count - done)
      next += some.length
      const results = await Promise.all(some.map(hand))
      done += results.filter(Boolean).length
      if (results.includes(false)) this.#isAside = true
    }
    return done >= count
  }

  async #takeCopy(call: Extract<Call, { kind: 'copy' }>): Promise<number> {
    const { clock, profile } = this.#p
    const ref = readContentRef(call.ref)
    const nowMs = clock.nowMs()
    const isLeaseSane = call.leaseEndMs > nowMs && call.leaseEndMs <= nowMs + LEASE_MS_MAX
    if (ref === undefined || !isLeaseSane || !verifyContent(ref, call.bytes)) return COPY_RESULT.refused
    // One place further than a keeper may go: views differ while the ring changes.
    if (this.#p.holders.rankOf(locationOf(ref)) > profile.copies + REGION_EXTRA) return COPY_RESULT.refused
    return (await this.#keep(ref, call.bytes, call.leaseEndMs)) === 'full' ? COPY_RESULT.full : COPY_RESULT.stored
  }

  async #prolong(ref: ContentRef, leaseEndMs: number): Promise<boolean> {
    try {
      return await this.#p.store.renew(ref, leaseEndMs)
    } catch (error) {
      this.#p.log('error', 'lease not prolonged', { reason: messageOf(error) })
      return false
    }
  }

  async #keep(ref: ContentRef, bytes: Uint8Array, leaseEndMs: number): Promise<'stored' | 'full'> {
    const { store, log } = this.#p
    try {
      return await store.put({ ref, bytes, leaseEndMs })
    } catch (error) {
      log('error', 'store failed', { reason: messageOf(error) })
      return 'full'
    }
  }
}

/** The leaves of the range with their proof. */
export function cut(bytes: Uint8Array, range: LeafRange): Outcome {
  if (isWhole(range)) return { end: 'data', leaves: bytes, proof: new Uint8Array(0) }
  const leaves = bytes.subarray(range.from * LEAF_SIZE, (range.from + range.count) * LEAF_SIZE)
  return { end: 'data', leaves, proof: merkleProof(bytes, range) }
}
