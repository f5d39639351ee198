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
  compareBytes,
  equalBytes,
  keyOf,
  LEAF_SIZE,
  type Location,
  type Log,
  messageOf,
  type NetworkId,
  type NodeId,
  named32,
  type Profile,
  type SecretRandom,
  SHARD_SIZE,
} from '../../core/index.ts'
import { LABELS, merkleProof, type SigningKey, tagged } from '../../crypto/index.ts'
import {
  type Call,
  COPY_RESULT,
  copyPrice,
  HAVE_REFS_MAX,
  isWhole,
  LEASE_DAYS_MAX,
  type LeafRange,
  NONCE_SIZE,
  type Outcome,
  ownersOf,
  PROVE_REFS_MAX,
  type PutRequest,
  REFUSAL,
  type Receipt,
  type RenewRequest,
  rankOf,
  type View,
} from '../../routing/index.ts'
import {
  type ContentRef,
  encodeContentRef,
  locationOf,
  readContentRef,
  type ShardStore,
  type StoredShard,
  verifyContent,
} from '../../storage/index.ts'
import type { Calls } from '../calls.ts'
import type { PeerLink } from '../links.ts'
import type { Accounts } from './accounts.ts'

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
/** Times that holders are worked out for one content in a pass, as some turn out to be gone. */
const PLANS_MAX = 4
const RECONCILE_PAGE = 512
/** Each of its references costs a read of the whole content at the other side. */
const PROVE_TIMEOUT_MS = 8_000
/** PROVE calls answered at the same time; the caller of one too many hears nothing and asks again later. */
const PROVING_MAX = 64
/** Of the quota, what unproven surplus may take. */
const SURPLUS_SHARE = 1 / 4
const NO_PROOF = new Uint8Array(32)

export interface KeeperPorts {
  readonly clock: Clock
  readonly log: Log
  readonly random: SecretRandom
  readonly store: ShardStore
  readonly calls: Calls
  readonly accounts: Pick<Accounts, 'received'>
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
  /** What this node is no holder of any more and keeps, since not every holder has proven its copy. */
  readonly surplus: number
}

export interface ReconcileOptions {
  readonly leaving: boolean
  readonly isStopped: () => boolean
}

type Writable<T> = { -readonly [Name in keyof T]: T[Name] }

/** A content held here, and how it stands with the others that should hold it. */
interface Plan extends StoredShard {
  readonly others: readonly NodeId[]
  readonly isHolder: boolean
  lacks: number
  unproven: number
}

export class Keeper {
  readonly #p: KeeperPorts
  /** PROVE calls being answered. */
  #proving = 0
  /** Contents that the last pass kept as surplus. */
  #surplus = 0
  #isAside = false
  #around: { readonly members: readonly NodeId[]; readonly ids: string } | undefined

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

  /** Whether a copy went to another member than it belongs to since this was last asked. */
  takeAside(): boolean {
    const was = this.#isAside
    this.#isAside = false
    return was
  }

  /** Who is near enough for a change to move a content from or to this node. */
  neighbourhood(): string {
    const { view, clock, profile, selfId } = this.#p
    const members = view.reachable(clock.nowMs())
    // The view gives the same list until something changes.
    if (this.#around?.members === members) return this.#around.ids
    const others = members.filter((id) => compareBytes(id, selfId) !== 0)
    const count = Math.min(profile.copies, others.length)
    const after = ownersOf(selfId, others, count)
    const before = ownersOf(selfId, others, others.length).slice(others.length - count)
    const ids = [...before, ...after].map(keyOf).join('')
    this.#around = { members, ids }
    return ids
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
    const copied = this.#atSome(this.#others(locationOf(ref)), profile.copies - 1, (id) =>
      this.#copy(id, ref, { bytes: put.bytes, leaseEndMs }),
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
    const others = this.#others(locationOf(ref))
    const renewed = this.#atSome(others, profile.copies - 1, async (id) => {
      const [isProven] = await this.#prove(id, [{ ref, leaseEndMs }])
      return isProven === true || this.#copy(id, ref, { bytes, leaseEndMs })
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

  /** Which of the contents, all of them held here, the member proves to hold with a lease as long. */
  async #prove(
    id: NodeId,
    wanted: readonly { readonly ref: ContentRef; readonly leaseEndMs: number }[],
  ): Promise<boolean[]> {
    const { calls, random, store, reach } = this.#p
    const proven: boolean[] = []
    const peer = await reach(id)
    for (let start = 0; start < wanted.length; start += PROVE_REFS_MAX) {
      const some = wanted.slice(start, start + PROVE_REFS_MAX)
      const nonce = random.bytes(NONCE_SIZE)
      const asked = some.map(({ ref, leaseEndMs }) => ({ ref: encodeContentRef(ref), leaseEndMs }))
      const answer = peer && (await calls.ask(peer, { kind: 'prove', nonce, wanted: asked }, PROVE_TIMEOUT_MS))
      for (const [at, { ref }] of some.entries()) {
        const proof = answer?.proofs[at]
        const bytes = proof === undefined || isZero(proof) ? undefined : store.get(ref)
        proven.push(
          proof !== undefined &&
            bytes !== undefined &&
            equalBytes(proof, possessionProof({ nonce, holder: id, bytes })),
        )
      }
    }
    return proven
  }

  /**
   * Makes what is stored here fit the ring as it is: copies to where they lack, surplus away once every
   * holder has proven its own. With `leaving`, as if this node were already gone.
   */
  async reconcile(options: ReconcileOptions): Promise<ReconcileReport> {
    const { store, selfId } = this.#p
    const report = { pushed: 0, dropped: 0, lacking: 0, surplus: 0 }
    const surplusMax = Math.floor((store.usage().quotaBytes * SURPLUS_SHARE) / SHARD_SIZE)
    // From this node on clockwise: what is farthest from its own arc comes first, and leaves first.
    const arc = { from: ownLocation(selfId), to: ownLocation(selfId), limit: RECONCILE_PAGE }
    const pass = { report, over: Math.max(0, this.#surplus - surplusMax) }
    let after: ContentRef | undefined
    for (;;) {
      const page = store.list({ ...arc, ...(after === undefined ? {} : { after }) })
      if (options.isStopped()) return report
      if (page.length === 0) break
      await this.#reconcilePage(page, options, pass)
      after = page.at(-1)?.ref
    }
    this.#surplus = report.surplus
    return report
  }

  async #reconcilePage(
    page: ReturnType<ShardStore['list']>,
    options: ReconcileOptions,
    pass: { readonly report: Writable<ReconcileReport>; over: number },
    attempt = 1,
  ): Promise<void> {
    const { selfId, profile, store } = this.#p
    const { report } = pass
    const all = page.map((held): Plan => {
      const holders = this.#holders(locationOf(held.ref), { count: profile.copies, leaving: options.leaving })
      const others = holders.filter((id) => compareBytes(id, selfId) !== 0)
      return { ...held, others, isHolder: others.length < holders.length, lacks: 0, unproven: others.length }
    })
    const unreached = new Set<Plan>()
    for (const { id, plans: asked } of byHolder(all)) {
      const peer = await this.#p.reach(id)
      if (peer === undefined) {
        for (const plan of asked) unreached.add(plan)
        continue
      }
      for (let start = 0; start < asked.length; start += HAVE_REFS_MAX) {
        const some = asked.slice(start, start + HAVE_REFS_MAX)
        const refs = some.map((plan) => encodeContentRef(plan.ref))
        const answer = await this.#p.calls.ask(peer, { kind: 'have', refs }, HAVE_TIMEOUT_MS)
        const missing = some.filter((_, i) => answer?.held[i] !== 1)
        await inParallel(PUSHES_MAX, missing, async (plan) => {
          if (options.isStopped() || !(await this.#push(id, plan))) plan.lacks++
          else report.pushed++
        })
      }
    }
    if (attempt < PLANS_MAX && unreached.size > 0 && !options.isStopped()) {
      // Who could not be reached counts as gone now: the holders are others.
      await this.#reconcilePage([...unreached], options, pass, attempt + 1)
    } else for (const plan of unreached) plan.lacks++
    const plans = attempt < PLANS_MAX ? all.filter((plan) => !unreached.has(plan)) : all
    report.lacking += plans.filter((plan) => plan.lacks > 0).length
    if (options.leaving) return
    const surplus = plans.filter((plan) => !plan.isHolder && plan.others.length >= profile.copies)
    await this.#proveSurplus(surplus, options, report)
    for (const plan of surplus) {
      const isProven = plan.unproven === 0 && plan.lacks === 0
      if (isProven || pass.over > 0) {
        store.delete(plan.ref)
        report.dropped++
        if (!isProven) pass.over--
      } else report.surplus++
    }
  }

  /** A holder that said it has a content and cannot prove it is given the content anew, and asked again next time. */
  async #proveSurplus(
    surplus: readonly Plan[],
    options: ReconcileOptions,
    report: Writable<ReconcileReport>,
  ): Promise<void> {
    for (const { id, plans } of byHolder(surplus.filter((plan) => plan.lacks === 0))) {
      if (options.isStopped()) return
      const proven = await this.#prove(id, plans)
      await inParallel(PUSHES_MAX, [...plans.entries()], async ([at, plan]) => {
        if (proven[at] === true) plan.unproven--
        else if (!options.isStopped() && (await this.#push(id, plan))) report.pushed++
      })
    }
  }

  async #push(id: NodeId, held: { ref: ContentRef; leaseEndMs: number }): Promise<boolean> {
    const bytes = this.#p.store.get(held.ref)
    return bytes !== undefined && (await this.#copy(id, held.ref, { bytes, leaseEndMs: held.leaseEndMs }))
  }

  /** The members that may hold what lies at the location besides this one, nearest first. */
  #others(location: Uint8Array): NodeId[] {
    const { profile, selfId } = this.#p
    const region = this.#holders(location, { count: profile.copies + REGION_EXTRA })
    return region.filter((id) => compareBytes(id, selfId) !== 0)
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
    if (answer?.result !== COPY_RESULT.stored) return false
    const leaseMs = copy.leaseEndMs - this.#p.clock.nowMs()
    this.#p.accounts.received(peer, copyPrice(copy.bytes.length, leaseMs))
    return true
  }

  async #takeCopy(call: Extract<Call, { kind: 'copy' }>): Promise<number> {
    const { clock, profile } = this.#p
    const ref = readContentRef(call.ref)
    const nowMs = clock.nowMs()
    const isLeaseSane = call.leaseEndMs > nowMs && call.leaseEndMs <= nowMs + LEASE_MS_MAX
    if (ref === undefined || !isLeaseSane || !verifyContent(ref, call.bytes)) return COPY_RESULT.refused
    // One place further than a keeper may go: views differ while the ring changes.
    if (this.rankOf(locationOf(ref)) > profile.copies + REGION_EXTRA) return COPY_RESULT.refused
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

/**
 * What proves that the holder has the bytes: nobody else's answer serves, and no part of the bytes is enough.
 * SPEC requests §7
 */
export function possessionProof(of: { nonce: Uint8Array; holder: NodeId; bytes: Uint8Array }): Uint8Array {
  return tagged(LABELS.possession, of.nonce, of.holder, of.bytes)
}

/** The plans that each of the other holders has a part in. */
function byHolder(plans: readonly Plan[]): Iterable<{ readonly id: NodeId; readonly plans: Plan[] }> {
  const found = new Map<string, { id: NodeId; plans: Plan[] }>()
  for (const plan of plans)
    for (const id of plan.others) {
      const name = keyOf(id)
      const entry = found.get(name) ?? { id, plans: [] }
      entry.plans.push(plan)
      found.set(name, entry)
    }
  return found.values()
}

/** A node's id is a place on the ring as well. */
function ownLocation(id: NodeId): Location {
  return named32<'Location'>(id, 'location')
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((value) => value === 0)
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
