/**
 * The keeper: answers for the locations between its predecessor and itself, holds the bytes, and sees
 * to it that the next `copies - 1` live nodes hold them too before it gives a receipt.
 * SPEC requests §6-§7
 *
 * It never learns who asks or publishes, nor which shards belong together: it sees neighbours and
 * masked bytes.
 */

import {
  ByteWriter,
  type Clock,
  compareBytes,
  LEAF_SIZE,
  type Log,
  MalformedError,
  messageOf,
  type NetworkId,
  type NodeId,
  type Profile,
  toHex,
} from '../../core/index.ts'
import { LABELS, merkleProof, type SigningKey, tagged } from '../../crypto/index.ts'
import {
  type Call,
  COPY_RESULT,
  HAVE_REFS_MAX,
  isWhole,
  LEASE_DAYS_MAX,
  type LeafRange,
  type Outcome,
  ownersOf,
  type PutRequest,
  REFUSAL,
  type Receipt,
  rankOf,
  type View,
} from '../../routing/index.ts'
import {
  type ContentRef,
  decodeContentRef,
  encodeContentRef,
  locationOf,
  type ShardStore,
  verifyContent,
} from '../../storage/index.ts'
import type { Calls } from '../calls.ts'
import type { PeerLink } from '../links.ts'

/** Beyond the `copies` that hold a shard, so many more members may be asked for it. */
export const REGION_EXTRA = 4
const DAY_MS = 24 * 60 * 60_000
/** A copy is a message of 64 KiB and a flush at the other side. */
const COPY_TIMEOUT_MS = 8_000
const HAVE_TIMEOUT_MS = 8_000
/** A lease handed on may not reach further than a fresh one could. */
const LEASE_MS_MAX = (LEASE_DAYS_MAX + 1) * DAY_MS
/** Copies pushed at the same time while reconciling: repair must not crowd out requests. */
const PUSHES_MAX = 4
const RECONCILE_PAGE = 512

export interface KeeperPorts {
  readonly clock: Clock
  readonly log: Log
  readonly store: ShardStore
  readonly calls: Calls
  readonly view: View
  readonly profile: Profile
  readonly networkId: NetworkId
  readonly key: SigningKey
  readonly selfId: NodeId
  /** An open link to the member, or undefined; a failure is noted in the view. */
  readonly reach: (id: NodeId) => Promise<PeerLink | undefined>
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

export interface ReconcileReport {
  readonly pushed: number
  readonly dropped: number
  /** Shards that lack a copy still, because somebody could not be asked or did not take it. */
  readonly lacking: number
}

export class Keeper {
  readonly #p: KeeperPorts
  constructor(ports: KeeperPorts) {
    this.#p = ports
  }

  /** The members that should hold what lies at `location`, nearest first, this node among them or not. */
  #holders(location: Uint8Array, options: { count: number; leaving?: boolean }): NodeId[] {
    const { view, clock, selfId } = this.#p
    const members = view.reachable(clock.nowMs())
    const all = ownersOf(location, members, options.count + 1)
    const left = options.leaving ? all.filter((id) => compareBytes(id, selfId) !== 0) : all
    return left.slice(0, options.count)
  }

  /** How many members lie between the location and this node, itself not counted. */
  rankOf(location: Uint8Array): number {
    const { view, clock, selfId } = this.#p
    return rankOf(location, selfId, view.reachable(clock.nowMs()))
  }

  /** What this node holds of the content itself, cache aside. */
  read(ref: ContentRef, range: LeafRange): Outcome | undefined {
    const bytes = this.#p.store.get(ref)
    return bytes === undefined ? undefined : cut(bytes, range)
  }

  /** Stores here and at the next nodes; a receipt only when all copies are flushed. */
  async accept(ref: ContentRef, put: PutRequest): Promise<Outcome> {
    const { clock, profile, key, networkId, selfId } = this.#p
    const location = locationOf(ref)
    const leaseEndMs = clock.nowMs() + put.leaseDays * DAY_MS
    const others = this.#holders(location, { count: profile.copies + REGION_EXTRA }).filter(
      (id) => compareBytes(id, selfId) !== 0,
    )
    const own = this.#keep(ref, put.bytes, leaseEndMs)
    const copied = this.#copyToSome(ref, { bytes: put.bytes, leaseEndMs, to: others, count: profile.copies - 1 })
    if ((await own) === 'full') return { end: 'none', reason: REFUSAL.full }
    if (!(await copied)) return { end: 'none', reason: REFUSAL.copies }
    const signature = key.sign(receiptBody({ networkId, location, leaseEndMs, nonce: put.nonce }))
    const receipt: Receipt = { leaseEndMs, nonce: put.nonce, keeper: key.publicKey, signature }
    return { end: 'stored', receipt }
  }

  /** Answers a neighbour's call; undefined when the call is not for keepers. */
  async answer(call: Call): Promise<Call | undefined> {
    if (call.kind === 'have') {
      const nowMs = this.#p.clock.nowMs()
      const held = call.refs.map((raw) => {
        const ref = readRef(raw)
        return ref !== undefined && (this.#p.store.leaseEnd(ref) ?? 0) > nowMs ? 1 : 0
      })
      return { kind: 'haves', tag: call.tag, held: Uint8Array.from(held) }
    }
    if (call.kind !== 'copy') return undefined
    return { kind: 'copied', tag: call.tag, result: await this.#takeCopy(call) }
  }

  /**
   * Makes what is stored here fit the ring as it is: copies to where they lack, surplus away once
   * every holder has its own. With `leaving`, as if this node were already gone.
   */
  async reconcile(options: { leaving: boolean; isStopped: () => boolean }): Promise<ReconcileReport> {
    const report = { pushed: 0, dropped: 0, lacking: 0 }
    let after: ReturnType<ShardStore['list']>[number] | undefined
    for (;;) {
      const page = this.#p.store.list({ limit: RECONCILE_PAGE, ...(after === undefined ? {} : { after: after.ref }) })
      if (page.length === 0 || options.isStopped()) return report
      await this.#reconcilePage(page, options, report)
      after = page.at(-1)
    }
  }

  async #reconcilePage(
    page: ReturnType<ShardStore['list']>,
    options: { leaving: boolean; isStopped: () => boolean },
    report: { pushed: number; dropped: number; lacking: number },
  ): Promise<void> {
    const { selfId, profile, store } = this.#p
    const plans = page.map((held) => {
      const holders = this.#holders(locationOf(held.ref), { count: profile.copies, leaving: options.leaving })
      const others = holders.filter((id) => compareBytes(id, selfId) !== 0)
      return { ...held, others, isHolder: others.length < holders.length, lacks: 0 }
    })
    const byHolder = new Map<string, { id: NodeId; plans: typeof plans }>()
    for (const plan of plans)
      for (const id of plan.others) {
        const name = toHex(id)
        const entry = byHolder.get(name) ?? { id, plans: [] }
        entry.plans.push(plan)
        byHolder.set(name, entry)
      }
    for (const { id, plans: asked } of byHolder.values()) {
      const peer = await this.#p.reach(id)
      for (let start = 0; start < asked.length; start += HAVE_REFS_MAX) {
        const some = asked.slice(start, start + HAVE_REFS_MAX)
        const refs = some.map((plan) => encodeContentRef(plan.ref))
        const answer = peer && (await this.#p.calls.ask(peer, { kind: 'have', refs }, HAVE_TIMEOUT_MS))
        const missing = some.filter((_, i) => answer?.held[i] !== 1)
        await inParallel(PUSHES_MAX, missing, async (plan) => {
          if (options.isStopped() || !(await this.#push(id, plan))) plan.lacks++
          else report.pushed++
        })
      }
    }
    for (const plan of plans) {
      if (plan.lacks > 0) report.lacking++
      else if (!plan.isHolder && plan.others.length >= profile.copies && !options.leaving) {
        store.delete(plan.ref)
        report.dropped++
      }
    }
  }

  async #push(id: NodeId, held: { ref: ContentRef; leaseEndMs: number }): Promise<boolean> {
    const bytes = this.#p.store.get(held.ref)
    return bytes !== undefined && (await this.#copy(id, held.ref, { bytes, leaseEndMs: held.leaseEndMs }))
  }

  /** Copies to `count` of the members, in order, going on to the next when one fails. */
  async #copyToSome(
    ref: ContentRef,
    copy: { bytes: Uint8Array; leaseEndMs: number; to: readonly NodeId[]; count: number },
  ): Promise<boolean> {
    let stored = 0
    let next = 0
    while (stored < copy.count && next < copy.to.length) {
      const some = copy.to.slice(next, next + copy.count - stored)
      next += some.length
      const results = await Promise.all(some.map((id) => this.#copy(id, ref, copy)))
      stored += results.filter(Boolean).length
    }
    return stored >= copy.count
  }

  async #copy(id: NodeId, ref: ContentRef, copy: { bytes: Uint8Array; leaseEndMs: number }): Promise<boolean> {
    const peer = await this.#p.reach(id)
    if (peer === undefined) return false
    const question = {
      kind: 'copy',
      ref: encodeContentRef(ref),
      leaseEndMs: copy.leaseEndMs,
      bytes: copy.bytes,
    } as const
    const answer = await this.#p.calls.ask(peer, question, COPY_TIMEOUT_MS)
    return answer?.result === COPY_RESULT.stored
  }

  async #takeCopy(call: Extract<Call, { kind: 'copy' }>): Promise<number> {
    const { clock, profile } = this.#p
    const ref = readRef(call.ref)
    const nowMs = clock.nowMs()
    const isLeaseSane = call.leaseEndMs > nowMs && call.leaseEndMs <= nowMs + LEASE_MS_MAX
    if (ref === undefined || !isLeaseSane || !verifyContent(ref, call.bytes)) return COPY_RESULT.refused
    // One place further than a keeper may go: views differ while the ring changes.
    if (this.rankOf(locationOf(ref)) > profile.copies + REGION_EXTRA) return COPY_RESULT.refused
    return (await this.#keep(ref, call.bytes, call.leaseEndMs)) === 'full' ? COPY_RESULT.full : COPY_RESULT.stored
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

/** Runs `work` over the items, at most `atOnce` at a time. */
async function inParallel<T>(atOnce: number, items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0
  const run = async (): Promise<void> => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await work(item)
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, run))
}

/** The reference, or undefined when the bytes are none. */
export function readRef(bytes: Uint8Array): ContentRef | undefined {
  try {
    return decodeContentRef(bytes)
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
}
