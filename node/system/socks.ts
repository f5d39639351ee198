/**
 * The client of a SOCKS5 proxy: its setting as text, and its talk as a pure machine of bytes in and bytes
 * out. A name is passed on as it is: this side never looks one up. SPEC safety §3; RFC 1928, RFC 1929
 *
 *   greeting --method--> [login --verdict-->] request --reply--> open
 *
 * What the proxy says is bounded: 2 bytes, 2 bytes, and a reply of 262 at most. More than the reply is a
 * fault, since in TLS the dialling side speaks first.
 */
import { isIPv4, isIPv6 } from 'node:net'
import { ByteWriter, fromUtf8 } from '../../core/index.ts'
import { formatHostPort, type HostPort, ipv6Bytes, parseHostPort } from './address.ts'
import { ProxyProtocolError, ProxyRefusedError } from './errors.ts'

export interface SocksProxy extends HostPort {
  /** Given: the proxy must ask for them. Tor gives each pair circuits of its own. */
  readonly login?: { readonly user: string; readonly password: string }
}

const FORM = /^socks5h?:\/\/(?:([^:@/]*):([^:@/]*)@)?([^@/]+)$/
const TEXT_SIZE_MAX = 600
/** RFC 1929 counts each in one byte. */
const LOGIN_PART_SIZE_MAX = 255

/** `socks5://[USER:PASSWORD@]HOST:PORT`, user and password percent-encoded; undefined when it is not that. */
export function parseProxy(text: string): SocksProxy | undefined {
  const match = text.length > TEXT_SIZE_MAX ? null : FORM.exec(text)
  if (match === null) return undefined
  const place = parseHostPort(match[3] as string)
  if (place === undefined || place.port === 0) return undefined
  if (match[1] === undefined || match[2] === undefined) return place
  const [user, password] = [decoded(match[1]), decoded(match[2])]
  return user === undefined || password === undefined ? undefined : { ...place, login: { user, password } }
}

/** The text that `parseProxy` reads. */
export function formatProxy({ host, port, login }: SocksProxy): string {
  const before = login === undefined ? '' : `${encodeURIComponent(login.user)}:${encodeURIComponent(login.password)}@`
  return `socks5://${before}${formatHostPort({ host, port })}`
}

function decoded(text: string): string | undefined {
  try {
    const value = decodeURIComponent(text)
    const size = fromUtf8(value).length
    return size > 0 && size <= LOGIN_PART_SIZE_MAX ? value : undefined
  } catch {
    return undefined
  }
}

const VERSION = 5
const LOGIN_VERSION = 1
const METHODS = { none: 0, login: 2, refused: 0xff } as const
const CONNECT = 1
const FORMS = { ipv4: 1, name: 3, ipv6: 4 } as const
const ADDRESS_SIZE: Readonly<Record<number, number>> = { [FORMS.ipv4]: 4, [FORMS.ipv6]: 16 }

/** RFC 1928 §6, and what Tor adds for onion services. */
const REPLIES: Readonly<Record<number, string>> = {
  1: 'it failed, without a reason',
  2: 'its rules forbid the connection',
  3: 'no way to that network',
  4: 'no way to that machine',
  5: 'nobody listens there',
  6: 'no answer in time',
  7: 'it does not know how to connect',
  8: 'it does not take that kind of address',
  240: 'the onion service is not known',
  241: 'the onion service cannot be read',
  242: 'the onion service cannot be introduced to',
  243: 'the onion service does not meet',
  244: 'the onion service asks for a key',
  245: 'the onion service refuses the key',
  246: 'the onion address is not valid',
  247: 'the onion service does not answer in time',
}

/** One connection's talk. Throws ProxyProtocolError and ProxyRefusedError; of no use afterwards. */
export class SocksTalk {
  readonly #to: HostPort
  readonly #login: SocksProxy['login']
  #stage: 'method' | 'verdict' | 'reply' | 'open' = 'method'
  #held = new Uint8Array(0)

  constructor(to: HostPort, login: SocksProxy['login']) {
    this.#to = to
    this.#login = login
  }

  get isOpen(): boolean {
    return this.#stage === 'open'
  }

  /** What to send first. With a login nothing else is offered: it must not be left out unnoticed. */
  greeting(): Uint8Array {
    return Uint8Array.of(VERSION, 1, this.#login === undefined ? METHODS.none : METHODS.login)
  }

  /** Takes what came, in pieces of any size; what is to be sent now, if anything. */
  take(bytes: Uint8Array): Uint8Array | undefined {
    if (this.isOpen) throw new ProxyProtocolError('it says more than its answer')
    // Each answer is short, and the next comes only after what is sent here.
    const held = new Uint8Array(this.#held.length + bytes.length)
    held.set(this.#held)
    held.set(bytes, this.#held.length)
    const size = this.#sizeOf(held)
    if (held.length > size) throw new ProxyProtocolError('it says more than its answer')
    this.#held = held
    if (held.length < size) return undefined
    this.#held = new Uint8Array(0)
    return this.#answered(held)
  }

  /** Of the answer that is due, as far as its beginning tells. */
  #sizeOf(held: Uint8Array): number {
    const version = this.#stage === 'verdict' ? LOGIN_VERSION : VERSION
    if (held.length > 0 && held[0] !== version) throw new ProxyProtocolError('it does not speak SOCKS5')
    if (this.#stage !== 'reply') return 2
    // A proxy that refuses need not send the rest of the form.
    const reply = held[1]
    if (reply !== undefined && reply !== 0) return held.length
    const [form, length] = [held[3], held[4]]
    if (form === undefined) return 5
    if (form === FORMS.name) return length === undefined ? 5 : 7 + length
    const size = ADDRESS_SIZE[form]
    if (size === undefined || held[2] !== 0) throw new ProxyProtocolError('its answer is no reply of SOCKS5')
    return 6 + size
  }

  #answered(held: Uint8Array): Uint8Array | undefined {
    const code = held[1] as number
    if (this.#stage === 'method') return this.#chosen(code)
    if (this.#stage === 'verdict') {
      if (code !== 0) throw new ProxyRefusedError('it refuses the user and password of "proxy"')
      return this.#request()
    }
    if (code !== 0) throw new ProxyRefusedError(REPLIES[code] ?? `reply ${code}`, code)
    this.#stage = 'open'
    return undefined
  }

  #chosen(method: number): Uint8Array {
    const offered = this.#login === undefined ? METHODS.none : METHODS.login
    if (method === METHODS.refused) {
      const why = this.#login === undefined ? 'it wants a user and a password' : 'it takes no user and password'
      throw new ProxyRefusedError(why)
    }
    if (method !== offered) throw new ProxyProtocolError('it chose what was not offered')
    if (this.#login === undefined) return this.#request()
    this.#stage = 'verdict'
    const [user, password] = [fromUtf8(this.#login.user), fromUtf8(this.#login.password)]
    const w = new ByteWriter(3 + user.length + password.length).u8(LOGIN_VERSION)
    return w.u8(user.length).bytes(user).u8(password.length).bytes(password).done()
  }

  #request(): Uint8Array {
    this.#stage = 'reply'
    const { host, port } = this.#to
    const w = new ByteWriter(300).u8(VERSION).u8(CONNECT).u8(0)
    if (isIPv4(host)) w.u8(FORMS.ipv4).bytes(Uint8Array.from(host.split('.').map(Number)))
    else if (isIPv6(host)) w.u8(FORMS.ipv6).bytes(ipv6Bytes(host))
    else w.u8(FORMS.name).u8(host.length).bytes(fromUtf8(host))
    return w.u16(port).done()
  }
}
