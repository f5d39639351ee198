/**
 * Where connections come from, counted by address and by the network around it, so that whoever has one
 * address or one network cannot take all the room. SPEC home §4
 *
 * Two measures each: connections at the same time, and how often new ones come; a TLS handshake costs
 * milliseconds of processor time whether or not anything comes of it. Addresses are held while they are
 * counted and written nowhere.
 */

import { TokenBucket } from '../token-bucket.ts'
import { originOf } from './address.ts'
import type { TransportLimits } from './link-settings.ts'

/** Beyond this, places nobody is connected from are forgotten. */
const PLACES_MAX = 4_096
/** Many at once, since looking for them takes as long as there are places. */
const PLACES_LEFT = 3_072

interface Place {
  count: number
  readonly arrivals: TokenBucket
}

export interface Visit {
  /** The /16 of an IPv4 address, the /32 of an IPv6 one. */
  readonly prefix: string
  /** The connection is gone. Harmless when called twice. */
  leave(): void
}

export class Origins {
  readonly #limits: TransportLimits
  readonly #places = new Map<string, Place>()

  constructor(limits: TransportLimits) {
    this.#limits = limits
  }

  /** Addresses and networks remembered. */
  get placeCount(): number {
    return this.#places.size
  }

  /** Counts a new connection, or says why it may not stay. */
  enter(remoteAddress: string, nowMs: number): Visit | 'too many' | 'too often' {
    const { perOriginMax, perPrefixMax, perOrigin, perPrefix } = this.#limits
    const origin = originOf(remoteAddress)
    if (origin === undefined) return 'too many'
    const prefix = prefixOf(origin)
    const near = this.#place(origin, perOrigin, nowMs)
    const around = this.#place(prefix, perPrefix, nowMs)
    // Both buckets pay, and pay for those refused below too: an attack must not be free.
    const isPaced = near.arrivals.take(nowMs)
    if (!around.arrivals.take(nowMs) || !isPaced) return 'too often'
    if (near.count >= perOriginMax || around.count >= perPrefixMax) return 'too many'
    near.count++
    around.count++
    let isHere = true
    return {
      prefix,
      leave: () => {
        if (!isHere) return
        isHere = false
        near.count--
        around.count--
      },
    }
  }

  #place(name: string, rate: TransportLimits['perOrigin'], nowMs: number): Place {
    const known = this.#places.get(name)
    if (known !== undefined) return known
    if (this.#places.size >= PLACES_MAX) this.#forget(nowMs)
    const place = { count: 0, arrivals: new TokenBucket(rate, nowMs) }
    this.#places.set(name, place)
    return place
  }

  /** First those that may come as they like again; if there are none, the oldest of those nobody is connected from. */
  #forget(nowMs: number): void {
    for (const [name, { count, arrivals }] of this.#places)
      if (count === 0 && arrivals.isFull(nowMs)) this.#places.delete(name)
    for (const [name, { count }] of this.#places) {
      if (this.#places.size < PLACES_LEFT) return
      if (count === 0) this.#places.delete(name)
    }
  }
}

/** `origin` is an IPv4 address, or four groups of an IPv6 one. */
function prefixOf(origin: string): string {
  const isV4 = origin.includes('.')
  return isV4 ? `${origin.split('.', 2).join('.')}.` : `${origin.split(':', 2).join(':')}::`
}
