/** What a keeper signs for a content that it keeps, and whether a client may count on it. SPEC requests §6 */
import {
  ByteWriter,
  type Clock,
  equalBytes,
  type NetworkId,
  type NodeId,
  type PublicKey,
  pause,
} from '../../core/index.ts'
import { LABELS, tagged, verifySignature } from '../../crypto/index.ts'
import { REGION_EXTRA, type Receipt, rankOf, type View } from '../../routing/index.ts'
import { type ContentRef, locationOf } from '../../storage/index.ts'

/** A receipt of a keeper that the view does not have yet waits for it so long, looked at so often. */
const UNKNOWN_KEEPER_MS = 3_000
const UNKNOWN_KEEPER_EVERY_MS = 100
const DAY_MS = 24 * 60 * 60_000

export function receiptBody(from: {
  networkId: Uint8Array
  location: Uint8Array
  leaseEndMs: number
  nonce: Uint8Array
}): Uint8Array {
  const lease = new ByteWriter(8).u64(from.leaseEndMs).done()
  return tagged(LABELS.receipt, from.networkId, from.location, lease, from.nonce)
}

/** What was asked for, and how it was answered. */
interface Given {
  readonly ref: ContentRef
  readonly nonce: Uint8Array
  readonly leaseDays: number
  readonly receipt: Receipt
}

export interface ReceiptsPorts {
  readonly clock: Clock
  readonly view: View
  readonly networkId: NetworkId
  readonly copies: number
}

export class Receipts {
  readonly #p: ReceiptsPorts
  #isStopped = false

  constructor(ports: ReceiptsPorts) {
    this.#p = ports
  }

  stop(): void {
    this.#isStopped = true
  }

  /** In the client's own view the signer must be of the location's region: any hop can sign. */
  async isGood({ ref, nonce, leaseDays, receipt }: Given): Promise<boolean> {
    const { view, clock, networkId, copies } = this.#p
    const nowMs = clock.nowMs()
    const { leaseEndMs, signature } = receipt
    if (!equalBytes(receipt.nonce, nonce) || leaseEndMs < nowMs + (leaseDays - 1) * DAY_MS) return false
    const location = locationOf(ref)
    const key = receipt.keeper as PublicKey
    const keeper = await this.#known(key)
    const rank = keeper && rankOf(location, keeper, view.members(nowMs))
    if (rank === undefined || rank >= copies + REGION_EXTRA) return false
    return verifySignature(key, receiptBody({ networkId, location, leaseEndMs, nonce }), signature)
  }

  /** A keeper that joined just now is known here a little later than on the ring. */
  async #known(key: PublicKey): Promise<NodeId | undefined> {
    const { view, clock } = this.#p
    const giveUpMs = clock.monotonicMs() + UNKNOWN_KEEPER_MS
    for (;;) {
      const id = view.byKey(key)?.id
      if (id !== undefined || this.#isStopped || clock.monotonicMs() >= giveUpMs) return id
      await pause(clock, UNKNOWN_KEEPER_EVERY_MS)
    }
  }
}
