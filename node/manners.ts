/**
 * How much of what costs work one peer may ask for. Members are trusted with the traffic of many; a
 * stranger is a client, which compares views now and then and puts everything else into circuits.
 * SPEC links §5
 */
import { type Clock, PeerError } from '../core/index.ts'
import { LINK_MESSAGE } from '../routing/index.ts'
import type { PeerLink } from './links.ts'
import { type Rate, TokenBucket } from './token-bucket.ts'

/** Messages of a stranger; a node that is new speaks a little before it is known. Beyond, the link is closed. */
const STRANGER_MESSAGES: Rate = { burst: 256, perSecond: 16 }
/**
 * Steps of comparing views, each up to 66 KiB and 240 signatures to check. Beyond, they are passed over:
 * the next round brings what is missing.
 */
const GOSSIP: Rate = { burst: 16, perSecond: 4 }

/** A peer sends far more than its part needs; its link is closed. */
export class FloodError extends PeerError {
  readonly code = 'ERR_FLOOD'
}

interface Account {
  readonly messages: TokenBucket
  readonly gossip: TokenBucket
}

export class Manners {
  readonly #clock: Clock
  readonly #accounts = new WeakMap<PeerLink, Account>()
  readonly counts = { floods: 0, gossipPassedOver: 0 }

  constructor(ports: { readonly clock: Clock }) {
    this.#clock = ports.clock
  }

  /** Whether the message is to be looked at. Throws FloodError. */
  admits(peer: PeerLink, type: number): boolean {
    const isGossip = isGossipType(type)
    if (peer.isMember && !isGossip) return true
    const nowMs = this.#clock.monotonicMs()
    const account = this.#accountOf(peer, nowMs)
    if (!peer.isMember && !account.messages.take(nowMs)) {
      this.counts.floods++
      throw new FloodError('flood: a stranger sends more than a client would')
    }
    if (!isGossip || account.gossip.take(nowMs)) return true
    this.counts.gossipPassedOver++
    return false
  }

  #accountOf(peer: PeerLink, nowMs: number): Account {
    const known = this.#accounts.get(peer)
    if (known !== undefined) return known
    const account = { messages: new TokenBucket(STRANGER_MESSAGES, nowMs), gossip: new TokenBucket(GOSSIP, nowMs) }
    this.#accounts.set(peer, account)
    return account
  }
}

function isGossipType(type: number): boolean {
  const { gossipDigests, gossipSummaries, gossipDescriptors, announce } = LINK_MESSAGE
  return [gossipDigests, gossipSummaries, gossipDescriptors, announce].some((each) => each === type)
}
