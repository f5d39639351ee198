/**
 * Links over WebSocket, TLS 1.3 and TCP: the maker of the Transport port. Both ends show a self-signed
 * Ed25519 certificate; the dialler pins the key it expects, the listener takes the key as the peer's name.
 * SPEC links §1, home §4
 */

import type { WebSocket } from 'ws'
import type { Clock, Log, NetworkId, PublicKey } from '../../core/index.ts'
import { selfSignedCertificate } from '../../crypto/index.ts'
import type { DialTarget, Link, Listener, Transport } from '../../routing/index.ts'
import { isNumeric, parseHostPort } from './address.ts'
import { type DialSetup, dialSocket } from './dialler.ts'
import { BadHostPortError, LinkLimitError, NameRefusedError, TransportClosedError } from './errors.ts'
import { BatchBuffers, type LinkCounts, SocketLink } from './link.ts'
import { alpnOf, TRANSPORT_LIMITS, type TransportLimits } from './link-settings.ts'
import { type ListenerSetup, PortListener, type Refusal } from './listener.ts'
import { Origins } from './origins.ts'
import type { SocksProxy } from './socks.ts'

/** One line a reason and this time, whatever strangers do. */
const REFUSALS_LOGGED_EVERY_MS = 60_000
/** A proxy may have a way of its own to find first; Tor builds circuits. */
const PROXY_TIMEOUT_MS_MIN = 30_000

export interface TransportOptions {
  /** 32 bytes, the seed of the Ed25519 key that this side proves on every link. */
  readonly seed: Uint8Array
  readonly networkId: NetworkId
  readonly clock: Clock
  readonly log: Log
  /**
   * TLS secrets of every link in the NSS key log format, each line with its line feed: makes captures
   * readable, for tests only.
   */
  readonly keyLog?: (line: string) => void
  readonly limits?: Partial<TransportLimits>
  /** The address this side dials from; the system's choice unless given. */
  readonly dialFrom?: string
  /** All dialled links go through it; none is opened when it is not there. SPEC safety §3 */
  readonly proxy?: SocksProxy
  /** Whether host names may be looked up on this machine, in dialling and listening. SPEC safety §2 */
  readonly mayLookUp?: boolean
}

/** Plain numbers that only grow, but for the first two; read them when somebody asks. */
export interface TransportCounts extends Readonly<LinkCounts> {
  readonly links: number
  readonly halfOpen: number
  readonly dialled: number
  readonly accepted: number
  readonly refused: Readonly<Partial<Record<Refusal, number>>>
}

export interface CountedTransport extends Transport {
  readonly counts: TransportCounts
}

export function makeTransport(options: TransportOptions): CountedTransport {
  return new SocketTransport(options)
}

class SocketTransport implements CountedTransport {
  readonly #options: TransportOptions
  readonly #limits: TransportLimits
  readonly #certificate: { certPem: string; keyPem: string }
  readonly #alpn: string
  readonly #links = new Set<SocketLink>()
  readonly #listeners = new Set<PortListener>()
  readonly #origins: Origins
  readonly #batches = new BatchBuffers()
  readonly #linkCounts: LinkCounts = { cellsIn: 0, cellsOut: 0, messagesIn: 0, messagesOut: 0, violations: 0 }
  readonly #refused: Partial<Record<Refusal, number>> = {}
  readonly #refusalLoggedMs = new Map<Refusal, number>()
  readonly #pending: DialSetup['pending'] = new Set()
  #isClosed = false
  #dialling = 0
  #dialled = 0
  #accepted = 0
  #onEmpty: (() => void) | undefined
  #isBeating = false

  constructor(options: TransportOptions) {
    this.#options = options
    this.#limits = { ...TRANSPORT_LIMITS, ...options.limits }
    this.#origins = new Origins(this.#limits)
    this.#certificate = selfSignedCertificate(options.seed)
    this.#alpn = alpnOf(options.networkId)
  }

  get counts(): TransportCounts {
    let halfOpen = 0
    for (const listener of this.#listeners) halfOpen += listener.halfOpen
    return {
      ...this.#linkCounts,
      links: this.#links.size,
      halfOpen,
      dialled: this.#dialled,
      accepted: this.#accepted,
      refused: { ...this.#refused },
    }
  }

  async dial(to: DialTarget, options: { readonly timeoutMs: number }): Promise<Link> {
    if (this.#isClosed) throw new TransportClosedError()
    if (!this.#hasRoom()) throw new LinkLimitError(this.#limits.linksMax)
    const { clock, keyLog, dialFrom, proxy, mayLookUp = false } = this.#options
    const own = { ...this.#certificate, alpn: this.#alpn, pending: this.#pending }
    const setup = { ...own, clock, keyLog, dialFrom, proxy, mayLookUp }
    const timeoutMs = proxy === undefined ? options.timeoutMs : Math.max(options.timeoutMs, PROXY_TIMEOUT_MS_MIN)
    this.#dialling += 1
    try {
      const link = await dialSocket(setup, { ...to, timeoutMs }, (socket) =>
        this.#adopt(socket, { key: to.publicKey, isDialer: true }),
      )
      this.#dialled += 1
      return link
    } finally {
      this.#dialling -= 1
    }
  }

  async listen(address: string, onLink: (link: Link) => void): Promise<Listener> {
    if (this.#isClosed) throw new TransportClosedError()
    const place = parseHostPort(address)
    if (place === undefined) throw new BadHostPortError('the address to listen on')
    if (this.#options.mayLookUp !== true && !isNumeric(place)) throw new NameRefusedError(address)
    const { clock, keyLog } = this.#options
    const setup: ListenerSetup = {
      ...this.#certificate,
      alpn: this.#alpn,
      clock,
      keyLog,
      limits: this.#limits,
      origins: this.#origins,
      hasRoom: () => this.#hasRoom(),
      onRefused: (why) => this.#onRefused(why),
      onOpen: (socket, key) => {
        if (this.#isClosed) return socket.terminate()
        this.#accepted += 1
        onLink(this.#adopt(socket, { key, isDialer: false }))
      },
    }
    const listener = new PortListener(setup)
    const bound = await listener.open(place)
    this.#listeners.add(listener)
    return {
      address: bound,
      close: async () => {
        this.#listeners.delete(listener)
        listener.close()
      },
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const fail of [...this.#pending]) fail(new TransportClosedError())
    for (const listener of this.#listeners) listener.close()
    this.#listeners.clear()
    if (this.#links.size === 0) return
    const empty = new Promise<void>((resolve) => {
      this.#onEmpty = resolve
    })
    for (const link of this.#links) link.close('this node is shutting down')
    await empty
  }

  #hasRoom(): boolean {
    return this.#links.size + this.#dialling < this.#limits.linksMax
  }

  #adopt(socket: WebSocket, peer: { key: PublicKey; isDialer: boolean }): SocketLink {
    const link = new SocketLink(socket, peer, {
      clock: this.#options.clock,
      limits: this.#limits,
      batches: this.#batches,
      counts: this.#linkCounts,
      onGone: (gone) => this.#onGone(gone),
    })
    this.#links.add(link)
    if (!this.#isBeating) this.#beatLater()
    return link
  }

  #onGone(link: SocketLink): void {
    this.#links.delete(link)
    if (this.#links.size === 0) this.#onEmpty?.()
  }

  /** One timer for all links, while there are any. */
  #beatLater(): void {
    this.#isBeating = true
    this.#options.clock.setTimer(this.#limits.pingEveryMs / 6, () => {
      this.#isBeating = false
      const nowMs = this.#options.clock.monotonicMs()
      for (const link of this.#links) link.beat(nowMs)
      if (this.#links.size > 0) this.#beatLater()
    })
  }

  #onRefused(why: Refusal): void {
    const times = (this.#refused[why] ?? 0) + 1
    this.#refused[why] = times
    const nowMs = this.#options.clock.monotonicMs()
    const loggedMs = this.#refusalLoggedMs.get(why)
    if (loggedMs !== undefined && nowMs - loggedMs < REFUSALS_LOGGED_EVERY_MS) return
    this.#refusalLoggedMs.set(why, nowMs)
    this.#options.log('info', 'link-refused', { why, times })
  }
}
