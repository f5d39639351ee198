/**
 * What this node asks of others that hold the same contents: to take a copy, and to prove that they have
 * theirs. SPEC requests §6, §7
 */
import { type Clock, equalBytes, keyOf, type NodeId, type SecretRandom } from '../../core/index.ts'
import { LABELS, tagged } from '../../crypto/index.ts'
import { COPY_RESULT, copyPrice, NONCE_SIZE, POINTERS_MAX, PROVE_REFS_MAX } from '../../routing/index.ts'
import { type ContentRef, encodeContentRef, encodePlace, type Pointer, type ShardStore } from '../../storage/index.ts'
import type { Calls } from '../calls.ts'
import type { PeerLink } from '../links.ts'
import type { Accounts } from './accounts.ts'

/** A copy is a message of 64 KiB and a flush at the other side. */
const COPY_TIMEOUT_MS = 8_000
/** A flush at the other side. */
const POINTER_TIMEOUT_MS = 4_000
/** Each of its references costs a read of the whole content at the other side. */
const PROVE_TIMEOUT_MS = 8_000

export interface CopiesPorts {
  readonly clock: Clock
  readonly random: SecretRandom
  readonly store: ShardStore
  readonly calls: Calls
  readonly accounts: Pick<Accounts, 'received'>
  /** An open link to the member, or undefined; a failure is noted in the view. */
  readonly reach: (id: NodeId) => Promise<PeerLink | undefined>
}

interface Pointing {
  readonly ref: ContentRef
  readonly pointer: Pointer
  readonly settle: (isStored: boolean) => void
}

export class Copies {
  readonly #p: CopiesPorts
  /** By member, while a call with others is on its way to it. */
  readonly #pointing = new Map<string, Pointing[]>()
  #isAside = false

  constructor(ports: CopiesPorts) {
    this.#p = ports
  }

  /** Whether a copy went to another member than it belongs to since this was last asked. */
  takeAside(): boolean {
    const was = this.#isAside
    this.#isAside = false
    return was
  }

  /** One lies here that belongs to others. */
  noteAside(): void {
    this.#isAside = true
  }

  /** Whether `hand` succeeded at `count` of the members; in order, going on to the next when one fails. */
  async atSome(members: readonly NodeId[], count: number, hand: (id: NodeId) => Promise<boolean>): Promise<boolean> {
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

  /** Whether the member has the bytes flushed now. */
  async hand(id: NodeId, ref: ContentRef, copy: { bytes: Uint8Array; leaseEndMs: number }): Promise<boolean> {
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

  /**
   * Whether the member has the pointer flushed now, with what it held of it before. One call to a member is under way
   * at a time; what comes meanwhile goes together with the next.
   */
  point(id: NodeId, ref: ContentRef, pointer: Pointer): Promise<boolean> {
    return new Promise((settle) => {
      const waiting = this.#pointing.get(keyOf(id))
      if (waiting !== undefined) return void waiting.push({ ref, pointer, settle })
      const first = [{ ref, pointer, settle }]
      this.#pointing.set(keyOf(id), first)
      void this.#pointAll(id, first)
    })
  }

  async #pointAll(id: NodeId, waiting: Pointing[]): Promise<void> {
    while (waiting.length > 0) {
      const some = waiting.splice(0, POINTERS_MAX)
      const results = await this.#pointSome(id, some)
      for (const [at, { settle }] of some.entries()) settle(results?.[at] === COPY_RESULT.stored)
    }
    this.#pointing.delete(keyOf(id))
  }

  async #pointSome(id: NodeId, some: readonly Pointing[]): Promise<Uint8Array | undefined> {
    const peer = await this.#p.reach(id)
    const pointers = some.map(({ ref, pointer: { leaseEndMs, leafHashes, places } }) => {
      return { ref: encodeContentRef(ref), leaseEndMs, leafHashes, places: places.map(encodePlace) }
    })
    return peer && (await this.#p.calls.ask(peer, { kind: 'pointer', pointers }, POINTER_TIMEOUT_MS))?.results
  }

  /** Hands over what is held here; false also when it no longer is. */
  async push(id: NodeId, held: { ref: ContentRef; leaseEndMs: number }): Promise<boolean> {
    const bytes = this.#p.store.get(held.ref)
    return bytes !== undefined && (await this.hand(id, held.ref, { bytes, leaseEndMs: held.leaseEndMs }))
  }

  /** Which of the contents, all of them held here, the member proves to hold with a lease as long. */
  async prove(
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
}

/**
 * What proves that the holder has the bytes: nobody else's answer serves, and no part of the bytes is enough.
 * SPEC requests §7
 */
export function possessionProof(of: { nonce: Uint8Array; holder: NodeId; bytes: Uint8Array }): Uint8Array {
  return tagged(LABELS.possession, of.nonce, of.holder, of.bytes)
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((value) => value === 0)
}
