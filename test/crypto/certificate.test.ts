import { X509Certificate } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { describe, expect, it } from 'vitest'
import { concatBytes, toHex } from '../../core/index.ts'
import { publicKeyOfCertificate, selfSignedCertificate, sha256, signingKeyFromSeed } from '../../crypto/index.ts'
import { flipped, someBytes, vectorFile } from './support.ts'

const seed = someBytes(32, 'server')
const { certPem, keyPem } = selfSignedCertificate(seed)
const parsed = new X509Certificate(certPem)
const der = new Uint8Array(parsed.raw)
const publicKey = toHex(signingKeyFromSeed(seed).publicKey)

describe('selfSignedCertificate', () => {
  it('is a certificate that its own key signed', () => {
    expect(parsed.verify(parsed.publicKey)).toBe(true)
    expect(parsed.publicKey.asymmetricKeyType).toBe('ed25519')
    expect(parsed.issuer).toBe(parsed.subject)
    expect(parsed.validTo).toBe('Dec 31 23:59:59 9999 GMT')
    expect(der.length).toBeLessThan(256)
  })

  it('is the same for the same seed, for ever', () => {
    const { certificate } = vectorFile<{ certificate: { sha256: string } }>('frozen')
    expect(selfSignedCertificate(seed)).toEqual({ certPem, keyPem })
    expect(toHex(sha256(der))).toBe(certificate.sha256)
  })

  it('parses for every seed, whatever the first bits of its serial number', () => {
    for (let index = 0; index < 40; index++) {
      const each = someBytes(32, `seed ${index}`)
      const made = new X509Certificate(selfSignedCertificate(each).certPem)
      expect(made.verify(made.publicKey)).toBe(true)
      expect(toHex(publicKeyOfCertificate(made.raw) as Uint8Array)).toBe(toHex(signingKeyFromSeed(each).publicKey))
    }
  })

  it('shows each side of a TLS 1.3 link the key of the other', async () => {
    const client = selfSignedCertificate(someBytes(32, 'client'))
    const common = { minVersion: 'TLSv1.3', rejectUnauthorized: false } as const
    const seen: string[] = []
    const keyOf = (socket: TLSSocket) =>
      toHex(publicKeyOfCertificate(socket.getPeerX509Certificate()?.raw ?? der.subarray(1)) ?? der)
    await new Promise<void>((resolve, reject) => {
      const server = createServer({ ...common, cert: certPem, key: keyPem, requestCert: true }, (socket) => {
        seen.push(`server saw ${keyOf(socket)}`)
        socket.end('.')
      })
      server.on('tlsClientError', reject)
      server.listen(0, '127.0.0.1', () => {
        const { port } = server.address() as AddressInfo
        const socket = connect({ ...common, port, host: '127.0.0.1', cert: client.certPem, key: client.keyPem }, () => {
          seen.push(`client saw ${keyOf(socket)}`)
        })
        socket.on('error', reject)
        socket.on('data', () => undefined)
        socket.on('close', () => server.close(() => resolve()))
      })
    })
    const clientKey = toHex(signingKeyFromSeed(someBytes(32, 'client')).publicKey)
    expect(seen.sort()).toEqual([`client saw ${publicKey}`, `server saw ${clientKey}`])
  })
})

describe('publicKeyOfCertificate', () => {
  it('reads the key', () => {
    expect(toHex(publicKeyOfCertificate(der) as Uint8Array)).toBe(publicKey)
  })

  it('has no answer for a certificate of another kind of key', () => {
    // Ed25519 is 1.3.101.112, X25519 1.3.101.110: the second of the three algorithm fields is the key's own.
    const places = [...der.keys()].filter((at) => toHex(der.subarray(at, at + 3)) === '2b6570')
    expect(places.length).toBe(3)
    const other = new Uint8Array(der)
    other[(places[1] as number) + 2] = 0x6e
    expect(new X509Certificate(other).publicKey.asymmetricKeyType).toBe('x25519')
    expect(publicKeyOfCertificate(other)).toBeUndefined()
  })

  it('has no answer for bytes that are no certificate, and never throws', () => {
    for (const size of [0, 1, 32, 100, der.length - 1])
      expect(publicKeyOfCertificate(der.subarray(0, size))).toBeUndefined()
    expect(publicKeyOfCertificate(concatBytes(der, new Uint8Array(4_096)))).toBeUndefined()
    expect(publicKeyOfCertificate(someBytes(300))).toBeUndefined()
    for (let at = 0; at < der.length; at++) expect(() => publicKeyOfCertificate(flipped(der, at, at % 8))).not.toThrow()
  })
})
