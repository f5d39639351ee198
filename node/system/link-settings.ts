/**
 * The settings of links in one place. SPEC links §1, home §4
 * The reasons stand beside them.
 */
import type { TlsOptions } from 'node:tls'
import { CELL_SIZE, type NetworkId, toHex } from '../../core/index.ts'
import { LABELS, tagged } from '../../crypto/index.ts'
import type { Rate } from '../token-bucket.ts'

// --- specification -----------------------------------------------------------------------------

export const PROTOCOL_VERSION = 1
/** The one path that is upgraded; anything else gets a bare 404. */
export const LINK_PATH = '/link'
export const MESSAGE_CELLS_MAX = 12
export const MESSAGE_SIZE_MAX_WIRE = MESSAGE_CELLS_MAX * CELL_SIZE

/** The protocol name of one network, so that two networks cannot meet. */
export function alpnOf(networkId: NetworkId): string {
  return `hush/${PROTOCOL_VERSION}/${toHex(tagged(LABELS.alpn, networkId)).slice(0, 16)}`
}

/**
 * What tells a proxy one network's links from another's. It says no more than the protocol name does, which
 * whoever carries the links reads anyhow.
 */
export function proxyLoginOf(networkId: NetworkId): { user: string; password: string } {
  return { user: 'hush', password: alpnOf(networkId) }
}

/** What a dialler of another name seems to be. */
export function strangerOf(
  names: readonly string[],
): 'other network' | 'older protocol' | 'newer protocol' | 'no node' {
  const versions = names.flatMap((name) => /^hush\/(\d{1,4})\//.exec(name)?.[1] ?? []).map(Number)
  if (versions.length === 0) return 'no node'
  if (versions.includes(PROTOCOL_VERSION)) return 'other network'
  return Math.max(...versions) < PROTOCOL_VERSION ? 'older protocol' : 'newer protocol'
}

/** OpenSSL's number (test/node/system/transport.test.ts compares): a resumed session shows no certificate. */
export const SSL_OP_NO_TICKET = 0x4000

/** Both sides. No certificate authority takes part: the peer's key is compared by us. */
export const TLS_SETTINGS = {
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
  ecdhCurve: 'X25519',
  sigalgs: 'ed25519',
  secureOptions: SSL_OP_NO_TICKET,
  rejectUnauthorized: false,
} as const satisfies TlsOptions

// --- implementation ----------------------------------------------------------------------------

/** Both sides. Compression costs 30 times the time and tells lengths; ws would offer it by itself. */
export const WEBSOCKET_SETTINGS = {
  perMessageDeflate: false,
  skipUTF8Validation: true,
  maxPayload: MESSAGE_SIZE_MAX_WIRE,
  // A node sends whole messages; these bound what a hostile one may make us hold in pieces.
  maxFragments: 16,
  maxBufferedChunks: 1_024,
  // Pings are answered by the link itself, which counts them: the library would answer millions.
  autoPong: false,
} as const

export interface TransportLimits {
  /** Links that stand, dialled ones too. */
  readonly linksMax: number
  /** Links and handshakes from one IPv4 address or IPv6 /64, and from the IPv4 /16 or IPv6 /32 around it. */
  readonly perOriginMax: number
  readonly perPrefixMax: number
  /** New connections from there. */
  readonly perOrigin: Rate
  readonly perPrefix: Rate
  /** Connections whose link does not stand yet; the oldest from the most crowded network gives way. */
  readonly halfOpenMax: number
  /** From the first byte of a connection to a standing link. */
  readonly handshakeMs: number
  readonly pingEveryMs: number
  /** A link that was silent for so long is dead. */
  readonly silenceMs: number
  /** A link that has something to send, of which the peer takes nothing for so long, is cut off. */
  readonly stallMs: number
  /** Pings, pongs and the like; nodes send two a minute. */
  readonly controlFrames: Rate
  /** How long a closed link may take to send what it still holds. */
  readonly closeMs: number
  /** A link whose peer lets more than this pile up is closed. */
  readonly queuedBytesMax: number
}

export const TRANSPORT_LIMITS: TransportLimits = {
  linksMax: 1_088,
  perOriginMax: 64,
  perPrefixMax: 256,
  perOrigin: { burst: 96, perSecond: 16 },
  perPrefix: { burst: 192, perSecond: 32 },
  halfOpenMax: 256,
  handshakeMs: 10_000,
  pingEveryMs: 30_000,
  silenceMs: 75_000,
  stallMs: 20_000,
  controlFrames: { burst: 32, perSecond: 1 },
  closeMs: 2_000,
  queuedBytesMax: 2_048 * CELL_SIZE,
}

/** At or below this, after having been above it, there is room again. */
export const QUEUED_BYTES_LOW = 128 * 1024
