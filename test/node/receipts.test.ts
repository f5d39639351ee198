/** Which receipts a client counts. SPEC requests §6 */
import { beforeEach, describe, expect, it } from 'vitest'
import { type NodeId, PROFILES } from '../../core/index.ts'
import { Receipts, receiptBody } from '../../node/roles/receipts.ts'
import { ownersOf, REGION_EXTRA, type Receipt, View } from '../../routing/index.ts'
import { locationOf } from '../../storage/index.ts'
import { makeShard } from '../contract/shard.ts'
import { descriptorOf, keyOf, NETWORK } from '../routing/membership/members.ts'
import { pointOf } from '../routing/ring/rings.ts'
import { HandClock } from './hand-clock.ts'

const MEMBERS = 20
const COPIES = 2
const LEASE_DAYS = 30
const LEASE_MS = LEASE_DAYS * 24 * 60 * 60_000
const { ref } = makeShard(1)
const nonce = pointOf(5).subarray(0, 16)
const seeds = Array.from({ length: MEMBERS }, (_, i) => i)

let clock: HandClock
let view: View
let receipts: Receipts

beforeEach(() => {
  clock = new HandClock()
  view = new View({ profile: PROFILES.testnet })
  receipts = new Receipts({ clock, view, networkId: NETWORK, copies: COPIES })
  for (const seed of seeds) know(seed)
})

function know(seed: number): void {
  expect(view.admit(descriptorOf(seed, { issuedMs: clock.nowMs() }), clock.nowMs())).toBe('new')
}

function receiptOf(seed: number, changes: Partial<Receipt> = {}): Receipt {
  const leaseEndMs = changes.leaseEndMs ?? clock.nowMs() + LEASE_MS
  const body = receiptBody({ networkId: NETWORK, location: locationOf(ref), leaseEndMs, nonce })
  return { keeper: keyOf(seed).publicKey, nonce, leaseEndMs, signature: keyOf(seed).sign(body), ...changes }
}

/** Of the members, as a client sees them from the location on. */
function seedOfRank(rank: number): number {
  const ids = seeds.map((seed) => pointOf(seed) as NodeId)
  const id = ownersOf(locationOf(ref), [...ids].sort(Buffer.compare), MEMBERS)[rank]
  return ids.findIndex((each) => Buffer.compare(each, id as NodeId) === 0)
}

const isGood = (receipt: Receipt) => receipts.isGood({ ref, nonce, leaseDays: LEASE_DAYS, receipt })

describe('a receipt', () => {
  it('counts when any member of the region signed it: those before may have died, and the view have them still', async () => {
    for (let rank = 0; rank < COPIES + REGION_EXTRA; rank++)
      expect(await isGood(receiptOf(seedOfRank(rank)))).toBe(true)
  })

  it('does not count from anybody further on', async () => {
    for (let rank = COPIES + REGION_EXTRA; rank < MEMBERS; rank++)
      expect(await isGood(receiptOf(seedOfRank(rank)))).toBe(false)
  })

  it('does not count for another request, for a shorter lease, or with a signature of another', async () => {
    const seed = seedOfRank(0)
    expect(await isGood(receiptOf(seed, { nonce: pointOf(6).subarray(0, 16) }))).toBe(false)
    expect(await isGood(receiptOf(seed, { leaseEndMs: clock.nowMs() + LEASE_MS / 2 }))).toBe(false)
    expect(await isGood(receiptOf(seed, { signature: receiptOf(seedOfRank(1)).signature }))).toBe(false)
  })

  it('of a keeper that is not known yet waits for it, a while', async () => {
    const owner = seedOfRank(0)
    view = new View({ profile: PROFILES.testnet })
    receipts = new Receipts({ clock, view, networkId: NETWORK, copies: COPIES })
    const early = isGood(receiptOf(owner))
    await clock.pass(1_000)
    know(owner)
    await clock.pass(1_000)
    expect(await early).toBe(true)
    const never = isGood(receiptOf(seedOfRank(1)))
    await clock.pass(5_000)
    expect(await never).toBe(false)
  })
})
