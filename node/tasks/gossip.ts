/**
 * Comparing views with one other node now and then, and answering those who compare with us.
 * SPEC membership §3
 */
import { around, type Clock, type Jitter, type Log, messageOf, type Profile } from '../../core/index.ts'
import {
  arcDigests,
  decodeDigests,
  decodeExchange,
  decodeSummaries,
  differingArcs,
  type Exchange,
  encodeDescriptor,
  encodeExchange,
  encodeSummaries,
  LINK_MESSAGE,
  missing,
  summariesFor,
  type View,
  wantedFrom,
} from '../../routing/index.ts'
import type { PeerLink } from '../links.ts'

/** Until the view knows anybody, so often. */
const EAGER_MS = 500
const ARC_COUNT = 256
/** Rounds that were asked for come at most so often. */
const SOON_MS = 2_000

export interface GossipPorts {
  readonly clock: Clock
  readonly jitter: Jitter
  readonly log: Log
  readonly profile: Profile
  readonly view: View
  readonly admit: (descriptors: readonly Uint8Array[], from: PeerLink) => void
  readonly partner: () => Promise<PeerLink | undefined>
}

export class Gossip {
  readonly #p: GossipPorts
  #isStopped = false
  #lastMs = Number.NEGATIVE_INFINITY

  constructor(ports: GossipPorts) {
    this.#p = ports
  }

  start(): void {
    void this.#rounds()
  }

  /** A round now, besides the regular ones, for who is about to depend on the view. */
  soon(): void {
    if (!this.#isStopped && this.#p.clock.monotonicMs() - this.#lastMs >= SOON_MS) void this.#round()
  }

  stop(): void {
    this.#isStopped = true
  }

  /** True when the message was gossip. Throws MalformedError. */
  onMessage(peer: PeerLink, message: Uint8Array): boolean {
    const { view, clock, jitter } = this.#p
    const nowMs = clock.nowMs()
    const body = message.subarray(1)
    if (message[0] === LINK_MESSAGE.gossipDigests) {
      const arcs = differingArcs(view, decodeDigests(body), nowMs)
      if (arcs.length === 0) return true
      const summaries = summariesFor(view, arcs, jitter.uint32() % ARC_COUNT)
      send(peer, LINK_MESSAGE.gossipSummaries, encodeSummaries(summaries))
    } else if (message[0] === LINK_MESSAGE.gossipSummaries) {
      const exchange = missing(view, decodeSummaries(body), nowMs)
      if (exchange.want.length + exchange.give.length > 0) sendExchange(peer, exchange)
    } else if (message[0] === LINK_MESSAGE.gossipDescriptors) {
      const { want, give } = decodeExchange(body)
      if (want.length > 0) sendExchange(peer, wantedFrom(view, want, nowMs))
      if (give.length > 0) this.#p.admit(give.map(encodeDescriptor), peer)
    } else return false
    return true
  }

  async #rounds(): Promise<void> {
    const { view, clock, jitter, profile } = this.#p
    await this.#round()
    if (this.#isStopped) return
    const isEager = view.members(clock.nowMs()).length < 2
    clock.setTimer(around(jitter, isEager ? EAGER_MS : profile.gossipEveryMs, 0.2), () => {
      if (!this.#isStopped) void this.#rounds()
    })
  }

  async #round(): Promise<void> {
    const { view, clock, log } = this.#p
    this.#lastMs = clock.monotonicMs()
    try {
      const peer = await this.#p.partner()
      if (peer !== undefined) send(peer, LINK_MESSAGE.gossipDigests, arcDigests(view, clock.nowMs()))
    } catch (error) {
      log('error', 'gossip failed', { reason: messageOf(error) })
    }
  }
}

function sendExchange(peer: PeerLink, exchange: Exchange): void {
  send(peer, LINK_MESSAGE.gossipDescriptors, encodeExchange(exchange))
}

function send(peer: PeerLink, type: number, body: Uint8Array): void {
  const message = new Uint8Array(1 + body.length)
  message[0] = type
  message.set(body, 1)
  peer.sendMessage(message, 'control')
}
