/**
 * What can go wrong between this program and its machine or its neighbours' machines. A network address
 * may stand in a message, since the user chose it; nothing a peer said does.
 * SPEC home §1, links §1
 */
import { InputError, LocalError, PeerError, UnavailableError } from '../../core/index.ts'

type Options = { cause?: unknown }

/** An address is not `host:port` or `[v6]:port`. */
export class BadHostPortError extends InputError {
  readonly code = 'ERR_BAD_HOST_PORT'
  constructor(what: string) {
    super(`${what} is not host:port or [v6]:port`)
  }
}

/** Nobody answers there, or whoever answered hung up before the link stood. */
export class LinkUnreachableError extends UnavailableError {
  readonly code = 'ERR_LINK_UNREACHABLE'
  constructor(address: string, why: string, options?: Options) {
    super(`${address} is unreachable: ${why}`, options)
  }
}

export class LinkTimeoutError extends UnavailableError {
  readonly code = 'ERR_LINK_TIMEOUT'
  readonly timeoutMs: number
  constructor(address: string, timeoutMs: number) {
    super(`no link to ${address} within ${timeoutMs} ms`)
    this.timeoutMs = timeoutMs
  }
}

/** This node has as many links as it allows itself. */
export class LinkLimitError extends UnavailableError {
  readonly code = 'ERR_LINK_LIMIT'
  constructor(linksMax: number) {
    super(`this node has all of its ${linksMax} links in use`)
  }
}

export class TransportClosedError extends UnavailableError {
  readonly code = 'ERR_TRANSPORT_CLOSED'
  constructor() {
    super('this node is shutting down')
  }
}

/** Somebody else than the pinned node answers there; nothing was sent to them. */
export class WrongCertificateError extends PeerError {
  readonly code = 'ERR_LINK_WRONG_KEY'
  constructor(address: string) {
    super(`wrong certificate: the node at ${address} has another key than the one expected`)
  }
}

/** The listener refused our protocol name. It does not say whether the network or the version differs. */
export class OtherNetworkError extends PeerError {
  readonly code = 'ERR_LINK_OTHER_NETWORK'
  constructor(address: string, options?: Options) {
    super(`the node at ${address} belongs to another network or speaks another version of the protocol`, options)
  }
}

/** Something answers there, but it is no node. */
export class LinkHandshakeError extends PeerError {
  readonly code = 'ERR_LINK_HANDSHAKE'
  constructor(address: string, why: string, options?: Options) {
    super(`no node at ${address}: ${why}`, options)
  }
}

/** The address is a name, and this side looks none up. SPEC safety §2 */
export class NameRefusedError extends UnavailableError {
  readonly code = 'ERR_NAME_REFUSED'
  constructor(address: string) {
    super(`${address} is a name, and looking it up would tell others: give the IP address`)
  }
}

/** The proxy of the setting "proxy" is not there. */
export class ProxyUnreachableError extends UnavailableError {
  readonly code = 'ERR_PROXY_UNREACHABLE'
  constructor(proxy: string, why: string, options?: Options) {
    super(`the proxy ${proxy} is unreachable: ${why}`, {
      ...options,
      hint: 'is it running? see "proxy" in config.json',
    })
  }
}

/** What answers at the proxy's address is no SOCKS5 proxy, or breaks its rules. */
export class ProxyProtocolError extends LocalError {
  readonly code = 'ERR_PROXY_PROTOCOL'
  constructor(why: string) {
    super(`the proxy cannot be used: ${why}`, { hint: 'is "proxy" in config.json the address of a SOCKS5 proxy?' })
  }
}

/** The proxy says no; `reply` is its number, when it is one of a connection (RFC 1928 §6). */
export class ProxyRefusedError extends UnavailableError {
  readonly code = 'ERR_PROXY_REFUSED'
  readonly reply: number | undefined
  constructor(why: string, reply?: number) {
    super(`the proxy did not connect: ${why}`)
    this.reply = reply
  }
}

export class PortInUseError extends LocalError {
  readonly code = 'ERR_PORT_IN_USE'
  constructor(address: string, options?: Options) {
    super(`another program listens on ${address}`, { ...options, hint: 'choose another port' })
  }
}

export class ListenError extends LocalError {
  readonly code = 'ERR_LISTEN'
  constructor(address: string, why: string, options?: Options) {
    super(`cannot listen on ${address}: ${why}`, options)
  }
}

/** Another living process works in this home folder. */
export class HomeInUseError extends LocalError {
  readonly code = 'ERR_HOME_IN_USE'
  readonly pid: number
  constructor(path: string, pid: number) {
    super(`process ${pid} already works in ${path}`, {
      hint: `stop it with: hush down --home ${path}; or choose another home folder`,
    })
    this.pid = pid
  }
}

/** Others on this machine could read or change what is only ours, or it is another user's. */
export class HomePermissionError extends LocalError {
  readonly code = 'ERR_HOME_PERMISSIONS'
  constructor(path: string, why: string, hint?: string) {
    super(`${path} ${why}`, hint === undefined ? undefined : { hint })
  }
}

const HINT_OWNER = 'run as the user who owns it, or name a home of your own with --home'

export function anothersFolder(path: string): HomePermissionError {
  return new HomePermissionError(path, 'belongs to another user', HINT_OWNER)
}

/** What the system says of a folder, as an error: that this user may not enter it, or else that it failed. */
export function folderError(path: string, cause: unknown): HomePermissionError | FileError {
  const code = systemCodeOf(cause)
  if (code !== 'EACCES' && code !== 'EPERM') return new FileError(`opening the folder ${path}`, { cause })
  return new HomePermissionError(path, 'cannot be opened: permission denied', HINT_OWNER)
}

/** The disk or the system refused; `cause` tells what it said. */
export class FileError extends LocalError {
  readonly code = 'ERR_FILE'
  constructor(what: string, options: { cause: unknown }) {
    super(`${what} failed: ${systemCodeOf(options.cause)}`, options)
  }
}

/** The system's short word for a failure, such as ENOSPC. */
export function systemCodeOf(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code
  return typeof code === 'string' ? code : 'unknown'
}
