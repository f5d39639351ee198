/**
 * The settings of links in one place. SPEC links §1, home §4
 * The reasons stand beside them.
 */
import type { TlsOptions } from 'node:tls'
import { CELL_SIZE, type NetworkId, toHex } from '../../core/index.ts'
import { LABELS, tagged } from '../../crypto/index.ts'

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
  autoPong: true,
} as const

export interface TransportLimits {
  readonly linksMax: number
  /** Links and handshakes from one IPv4 address or IPv6 /64. */
  readonly perOriginMax: number
  /** Connections whose link does not stand yet; the oldest gives way. */
  readonly halfOpenMax: number
  /** From the first byte of a connection to a standing link. */
  readonly handshakeMs: number
  readonly pingEveryMs: number
  /** A link that was silent for so long is dead. */
  readonly silenceMs: number
  /** How long a closed link may take to send what it still holds. */
  readonly closeMs: number
  /** A link whose peer lets more than this pile up is closed. */
  readonly queuedBytesMax: number
}

export const TRANSPORT_LIMITS: TransportLimits = {
  linksMax: 2_048,
  perOriginMax: 256,
  halfOpenMax: 256,
  handshakeMs: 10_000,
  pingEveryMs: 30_000,
  silenceMs: 75_000,
  closeMs: 2_000,
  queuedBytesMax: 2_048 * CELL_SIZE,
}

/** At or below this, after having been above it, there is room again. */
export const QUEUED_BYTES_LOW = 128 * 1024
