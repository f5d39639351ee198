/**
 * Network addresses as text: `host:port` with a DNS name or an IPv4 address, or `[v6]:port`.
 * SPEC links §1
 */
import { isIP, isIPv4, isIPv6 } from 'node:net'

export interface HostPort {
  readonly host: string
  /** 0 to 65,535; 0 asks the system for any free port, when listening. */
  readonly port: number
}

const FORM = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([A-Za-z0-9._-]{1,253})):([0-9]{1,5})$/
const NAME = /^(?!-)(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?$/

export function parseHostPort(address: string): HostPort | undefined {
  const match = FORM.exec(address)
  if (match === null) return undefined
  const port = Number(match[3])
  if (port > 65_535) return undefined
  if (match[1] !== undefined) return isIPv6(match[1]) ? { host: match[1], port } : undefined
  const host = match[2] as string
  // All digits and dots but no IPv4 address: the resolver might still make one of it.
  if (isIPv4(host)) return { host, port }
  return NAME.test(host) && !/^[0-9.]+$/.test(host) ? { host, port } : undefined
}

export function formatHostPort({ host, port }: HostPort): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`
}

/**
 * What counts as one remote address where links are counted: an IPv4 address, mapped or not, or the /64
 * of an IPv6 one, since one host has all of it.
 */
export function originOf(address: string): string | undefined {
  const mapped = /^::ffff:([0-9.]+)$/i.exec(address)
  const bare = mapped?.[1] ?? address.replace(/%.*$/, '')
  if (isIP(bare) === 4) return bare
  if (isIP(bare) !== 6) return undefined
  return ipv6Groups(bare).slice(0, 4).join(':')
}

/** Whether the host is an address already: anything else is a name, and somebody would have to look it up. */
export function isNumeric({ host }: Pick<HostPort, 'host'>): boolean {
  return isIP(host) !== 0
}

/** Whether nobody but this machine can reach it. A name never counts: what it stands for may change. */
export function isLoopback({ host }: Pick<HostPort, 'host'>): boolean {
  if (isIPv4(host)) return host.startsWith('127.')
  return isIPv6(host) && ipv6Groups(host.replace(/%.*$/, '')).join(':') === '0:0:0:0:0:0:0:1'
}

/** The 16 bytes of a valid IPv6 address. */
export function ipv6Bytes(host: string): Uint8Array {
  const groups = ipv6Groups(host.replace(/%.*$/, '')).map((group) => Number.parseInt(group, 16))
  return Uint8Array.from(groups.flatMap((group) => [group >>> 8, group & 0xff]))
}

/** The eight groups of a valid IPv6 address, without leading zeros. */
function ipv6Groups(address: string): string[] {
  const [head = '', tail] = address.split('::')
  const groupsOf = (text: string) => (text === '' ? [] : text.split(':')).flatMap(fromDotted)
  const front = groupsOf(head)
  const back = tail === undefined ? [] : groupsOf(tail)
  const gap = Array.from({ length: 8 - front.length - back.length }, () => '0')
  return [...front, ...gap, ...back].map((group) => Number.parseInt(group, 16).toString(16))
}

/** A trailing dotted quad stands for two groups. */
function fromDotted(group: string): string[] {
  if (!group.includes('.')) return [group]
  const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number)
  return [(a * 256 + b).toString(16), (c * 256 + d).toString(16)]
}
