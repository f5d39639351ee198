/**
 * Where a node can be reached: "host:port" with an IPv4 address, a bracketed IPv6 address or a DNS
 * name. Text from outside: bounded, in lower case, nothing but what a dialler needs.
 * SPEC membership §1, §4
 */

/** A DNS name of 253 letters would be the longest; the layout counts an address in one byte. */
export const ADDRESS_SIZE_MAX = 255
export const ADDRESSES_MAX = 2

export interface Endpoint {
  /** Without brackets. */
  readonly host: string
  readonly port: number
  readonly family: 'ipv4' | 'ipv6' | 'name'
}

const PORT = /^[1-9][0-9]{0,4}$/
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
const NAME_SIZE_MAX = 253

/** The parts of an address, or undefined when it is none. */
export function splitEndpoint(address: string): Endpoint | undefined {
  if (address.length > ADDRESS_SIZE_MAX) return undefined
  const colon = address.lastIndexOf(':')
  const portText = address.slice(colon + 1)
  if (colon < 1 || !PORT.test(portText) || Number(portText) > 65_535) return undefined
  const port = Number(portText)
  const host = address.slice(0, colon)
  if (host.startsWith('[') && host.endsWith(']')) {
    const inside = host.slice(1, -1)
    return ipv6Groups(inside) && { host: inside, port, family: 'ipv6' }
  }
  if (ipv4Bytes(host) !== undefined) return { host, port, family: 'ipv4' }
  return isName(host) ? { host, port, family: 'name' } : undefined
}

/**
 * What counts as one neighbourhood when a path must not have two nodes in the same: the /16 of an
 * IPv4 address, the /32 of an IPv6 address, a DNS name as a whole.
 */
export function prefixOf(address: string): string | undefined {
  const endpoint = splitEndpoint(address)
  if (endpoint === undefined) return undefined
  const { host, family } = endpoint
  if (family === 'name') return `name ${host}`
  if (family === 'ipv4') return ipv4Prefix(ipv4Bytes(host) as readonly number[])
  const groups = ipv6Groups(host) as readonly number[]
  const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff
  if (!isMapped) return `ipv6 ${groups[0]}:${groups[1]}`
  const high = groups[6] as number
  return ipv4Prefix([high >>> 8, high & 0xff])
}

function ipv4Prefix(bytes: readonly number[]): string {
  return `ipv4 ${bytes[0]}.${bytes[1]}`
}

function isName(host: string): boolean {
  if (host.length > NAME_SIZE_MAX) return false
  const labels = host.split('.')
  // A last label of digits would be read as an IPv4 address by some resolvers.
  return labels.every((label) => LABEL.test(label)) && !/^[0-9]+$/.test(labels.at(-1) as string)
}

function ipv4Bytes(host: string): readonly number[] | undefined {
  const parts = host.split('.')
  if (parts.length !== 4) return undefined
  return parts.every((part) => /^(?:0|[1-9][0-9]{0,2})$/.test(part) && Number(part) <= 255)
    ? parts.map(Number)
    : undefined
}

/** The eight groups, or undefined. No zone, and no more than one "::". */
function ipv6Groups(host: string): readonly number[] | undefined {
  const halves = host.split('::')
  if (halves.length > 2) return undefined
  const [before, after] = halves.map(groupsOf)
  if (before === undefined || (halves.length === 2 && after === undefined)) return undefined
  if (after === undefined) return before.length === 8 ? before : undefined
  const gap = 8 - before.length - after.length
  return gap < 1 ? undefined : [...before, ...new Array<number>(gap).fill(0), ...after]
}

function groupsOf(text: string): number[] | undefined {
  if (text === '') return []
  const groups = text.split(':')
  return groups.every((group) => /^[0-9a-f]{1,4}$/.test(group))
    ? groups.map((group) => Number.parseInt(group, 16))
    : undefined
}
