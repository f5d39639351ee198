/**
 * The self-signed Ed25519 certificate a node shows on its links. Only its key means anything: each side pins
 * the key it expects, nobody reads names or dates, so they are the same for every node. SPEC crypto §5
 *
 * DER, RFC 5280: SEQUENCE { tbs, algorithm, signature }, tbs = version 3, serial (from the key), algorithm,
 * issuer, validity 2020 to 9999 (RFC 5280 §4.1.2.5: no end), subject = issuer, key. 224 bytes.
 */
import { X509Certificate } from 'node:crypto'
import { concatBytes, fromUtf8, named32, type PublicKey } from '../core/index.ts'
import { privateKeyFromSeed, rawPublicKey } from './curve-key.ts'
import { sha256 } from './hash.ts'
import { signingKeyFromSeed } from './sign.ts'

/** What a peer may show; ours have 224 bytes. */
const CERTIFICATE_SIZE_MAX = 4_096

const INTEGER = 0x02
const BIT_STRING = 0x03
const SEQUENCE = 0x30
const SET = 0x31
const UTF8_STRING = 0x0c
const UTC_TIME = 0x17
const GENERALIZED_TIME = 0x18
const VERSION = 0xa0
const ED25519 = der(SEQUENCE, new Uint8Array([0x06, 0x03, 0x2b, 0x65, 0x70]))
const COMMON_NAME = new Uint8Array([0x06, 0x03, 0x55, 0x04, 0x03])

/** Both in PEM, as node:tls takes them; the same seed gives the same certificate. */
export function selfSignedCertificate(seed: Uint8Array): { certPem: string; keyPem: string } {
  const key = signingKeyFromSeed(seed)
  const serial = sha256(key.publicKey).slice(0, 8)
  // A positive INTEGER in its shortest form: top bit 0, next bit 1.
  serial[0] = ((serial[0] as number) & 0x3f) | 0x40
  const name = der(SEQUENCE, der(SET, der(SEQUENCE, COMMON_NAME, der(UTF8_STRING, fromUtf8('localhost')))))
  const tbs = der(
    SEQUENCE,
    der(VERSION, der(INTEGER, new Uint8Array([2]))),
    der(INTEGER, serial),
    ED25519,
    name,
    der(SEQUENCE, der(UTC_TIME, fromUtf8('200101000000Z')), der(GENERALIZED_TIME, fromUtf8('99991231235959Z'))),
    name,
    der(SEQUENCE, ED25519, bitString(key.publicKey)),
  )
  const text = Buffer.from(der(SEQUENCE, tbs, ED25519, bitString(key.sign(tbs)))).toString('base64')
  const lines = text.match(/.{1,64}/g) ?? []
  return {
    certPem: `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`,
    keyPem: privateKeyFromSeed('Ed25519', seed).export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

/**
 * The key in a peer's certificate (DER), or undefined when it is no certificate or has no Ed25519 key.
 * TLS has made the peer prove that it holds the key; nothing else of the certificate is looked at.
 */
export function publicKeyOfCertificate(certificate: Uint8Array): PublicKey | undefined {
  if (certificate.length > CERTIFICATE_SIZE_MAX) return undefined
  try {
    const key = new X509Certificate(certificate).publicKey
    if (key.asymmetricKeyType !== 'ed25519') return undefined
    return named32<'PublicKey'>(rawPublicKey(key), 'certificate key')
  } catch {
    return undefined
  }
}

function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = concatBytes(...parts)
  const size = content.length < 0x80 ? [content.length] : [0x82, content.length >> 8, content.length & 0xff]
  if (size.length === 3 && content.length < 0x100) size.splice(0, 2, 0x81)
  return concatBytes(new Uint8Array([tag, ...size]), content)
}

function bitString(bytes: Uint8Array): Uint8Array {
  return der(BIT_STRING, new Uint8Array([0]), bytes)
}
