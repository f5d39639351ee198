/**
 * The keeper: answers for the locations between its predecessor and itself. It gives the bytes to vaults, or holds
 * them itself while there are too few, and sees to it that the next `copies - 1` live nodes can answer as well before
 * it gives a receipt. SPEC requests §6-§7, §9, vaults §6
 *
 * It never learns who asks or publishes, nor which shards belong together: it sees neighbours and
 * masked bytes.
 */

import {
  type Clock,
  LEAF_SIZE,
  type Log,
  messageOf,
  type NetworkId,
  type NodeId,
  type Profile,
} from '../../core/index.ts'
import { merkleProof, type SigningKey } from '../../crypto/index.ts'
import {
  type Call,
  COPY_RESULT,
  HELD,
  isWhole,
  LEASE_DAYS_MAX,
  type LeafRange,
  type Outcome,
  type PutRequest,
  REFUSAL,
  REGION_EXTRA,
  type Receipt,
  type RenewRequest,
  type ToldPointer,
} from '../../routing/index.ts'
import { type ContentRef, locationOf, readContentRef, type ShardStore, verifyContent } from '../../storage/index.ts'
import { type Copies, possessionProof } from './copies.ts'
import type { Holders } from './holders.ts'
import { receiptBody } from './receipts.ts'
import type { Vaulted, Vaulting } from './vaulted.ts'

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
  readonly vaulted: Vaulted
}

export class Keeper {
  readonly #p: KeeperPorts
  /** PROVE calls being answered. */
  #proving = 0
  #isLeaving = false
  /** Puts and renewals that ended in bytes stored here, since there were not vaults enough. */
  readonly counts = { inVaults: 0, here: 0 }

  constructor(ports: KeeperPorts) {
    this.#p = ports
  }

  /** From now on what lies here is no copy that others may count on. SPEC requests §7 */
  leave(): void {
    this.#isLeaving = true
  }

  /** Copies that others must have beside what lies here. */
  get #copiesElsewhere(): number {
    return this.#p.profile.copies - (this.#isLeaving ? 0 : 1)
  }

  /** What lies here of the content itself, cache aside. */
  read(ref: ContentRef, range: LeafRange): Outcome | undefined {
    const bytes = this.#p.store.get(ref)
    return bytes === undefined ? undefined : cut(bytes, range)
  }

  /**
   * What this node points to, out of a vault; undefined at once when it points to no such thing. `isHereOnly`: of a
   * vault that is attached to this node.
   */
  readVaulted(
    ref: ContentRef,
    range: LeafRange,
    from: { readonly isHereOnly?: boolean } = {},
  ): Promise<Outcome | undefined> | undefined {
    const { vaulted } = this.#p
    if (vaulted.get(ref) === undefined) return undefined
    return vaulted
      .read(ref, range, from)
      .then((found) => found && { end: 'data', leaves: found.leaves, proof: found.proof })
  }

  /** Gives the bytes to vaults, or stores them here and at the next nodes; a receipt only when all is flushed. */
  async accept(ref: ContentRef, put: PutRequest): Promise<Outcome> {
    const leaseEndMs = this.#p.clock.nowMs() + put.leaseDays * DAY_MS
    const vaulting = await this.#p.vaulted.accept(ref, { bytes: put.bytes, leaseEndMs })
    return this.#ended(ref, vaulting, { leaseEndMs, nonce: put.nonce })
  }

  /** What came of the vaults; when there were too few, the content is kept here. SPEC vaults §6 */
  #ended(
    ref: ContentRef,
    vaulting: Vaulting,
    wish: { leaseEndMs: number; nonce: Uint8Array },
  ): Outcome | Promise<Outcome> {
    if (vaulting.end === 'few lines') return this.#acceptHere(ref, vaulting.bytes, wish)
    if (vaulting.end === 'not had') return { end: 'none', reason: REFUSAL.notFound }
    if (vaulting.end !== 'stored') return { end: 'none', reason: REFUSAL[vaulting.end] }
    this.counts.inVaults++
    return this.#receipt(ref, wish.leaseEndMs, wish.nonce)
  }

  /** Stores here and at the next nodes; a receipt only when all copies are flushed. */
  async #acceptHere(
    ref: ContentRef,
    bytes: Uint8Array,
    { leaseEndMs, nonce }: { leaseEndMs: number; nonce: Uint8Array },
  ): Promise<Outcome> {
    const { copies, holders, profile } = this.#p
    const own = this.#keep(ref, bytes, leaseEndMs)
    const copied = copies.atSome(holders.others(locationOf(ref)), this.#copiesElsewhere, (id) =>
      copies.hand(id, ref, { bytes, leaseEndMs }),
    )
    if ((await own) === 'full') return { end: 'none', reason: REFUSAL.full }
    // A request may end here by somebody's false word: who should have the content gets it soon.
    if (holders.rankOf(locationOf(ref)) >= profile.copies) copies.noteAside()
    if (!(await copied)) return { end: 'none', reason: REFUSAL.copies }
    this.counts.here++
    return this.#receipt(ref, leaseEndMs, nonce)
  }

  #receipt(ref: ContentRef, leaseEndMs: number, nonce: Uint8Array): Outcome {
    const { key, networkId } = this.#p
    const signature = key.sign(receiptBody({ networkId, location: locationOf(ref), leaseEndMs, nonce }))
    const receipt: Receipt = { leaseEndMs, nonce, keeper: key.publicKey, signature }
    return { end: 'stored', receipt }
  }

  /** Prolongs what is held, here and at the next nodes, which prove that they hold it or get it anew. */
  async renew(ref: ContentRef, renew: RenewRequest): Promise<Outcome> {
    const { clock, store, copies, vaulted } = this.#p
    const nowMs = clock.nowMs()
    const leaseEndMs = nowMs + renew.leaseDays * DAY_MS
    const bytes = (store.leaseEnd(ref) ?? 0) > nowMs ? store.get(ref) : undefined
    if (vaulted.get(ref) !== undefined) {
      const vaulting = await vaulted.renew(ref, leaseEndMs, bytes)
      return this.#ended(ref, vaulting, { leaseEndMs, nonce: renew.nonce })
    }
    if (bytes === undefined) return { end: 'none', reason: REFUSAL.notFound }
    const own = this.#prolong(ref, leaseEndMs)
    const others = this.#p.holders.others(locationOf(ref))
    const renewed = copies.atSome(others, this.#copiesElsewhere, async (id) => {
      const [isProven] = await copies.prove(id, [{ ref, leaseEndMs }])
      return isProven === true || copies.hand(id, ref, { bytes, leaseEndMs })
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
        if (ref === undefined) return HELD.not
        if (this.#p.vaulted.get(ref) !== undefined) return HELD.pointer
        return !this.#isLeaving && (this.#p.store.leaseEnd(ref) ?? 0) > nowMs ? HELD.bytes : HELD.not
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
    if (call.kind === 'pointer') {
      const results = await Promise.all(call.pointers.map((told) => this.#takePointer(told)))
      return { kind: 'pointed', tag: call.tag, results: Uint8Array.from(results) }
    }
    if (call.kind !== 'copy') return undefined
    return { kind: 'copied', tag: call.tag, result: await this.#takeCopy(call) }
  }

  /** Zeros for what is not held. A held one's lease reaches as far as was asked before it is proven. */
  async #proof(nonce: Uint8Array, wanted: { ref: Uint8Array; leaseEndMs: number }): Promise<Uint8Array> {
    const { clock, selfId } = this.#p
    const ref = readContentRef(wanted.ref)
    if (this.#isLeaving || ref === undefined || wanted.leaseEndMs > clock.nowMs() + LEASE_MS_MAX) return NO_PROOF
    const bytes = await this.#proveable(ref, wanted.leaseEndMs)
    return bytes === undefined ? NO_PROOF : possessionProof({ nonce, holder: selfId, bytes })
  }

  /** What this node holds or points to, for so long at least. */
  async #proveable(ref: ContentRef, leaseEndMs: number): Promise<Uint8Array | undefined> {
    const { store, clock, vaulted } = this.#p
    const heldMs = store.leaseEnd(ref) ?? 0
    const bytes = heldMs > clock.nowMs() ? store.get(ref) : undefined
    if (bytes === undefined) return vaulted.proveable(ref, leaseEndMs)
    return leaseEndMs <= heldMs || (await this.#prolong(ref, leaseEndMs)) ? bytes : undefined
  }

  async #takePointer(told: ToldPointer): Promise<number> {
    const ref = readContentRef(told.ref)
    if (ref === undefined || !this.#isSane(told.leaseEndMs)) return COPY_RESULT.refused
    return this.#p.vaulted.take(told, ref)
  }

  #isSane(leaseEndMs: number): boolean {
    const nowMs = this.#p.clock.nowMs()
    return leaseEndMs > nowMs && leaseEndMs <= nowMs + LEASE_MS_MAX
  }

  async #takeCopy(call: Extract<Call, { kind: 'copy' }>): Promise<number> {
    const { profile } = this.#p
    const ref = readContentRef(call.ref)
    if (this.#isLeaving || ref === undefined || !this.#isSane(call.leaseEndMs) || !verifyContent(ref, call.bytes))
      return COPY_RESULT.refused
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
