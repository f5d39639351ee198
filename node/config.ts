/**
 * The files of a home that say what this node is: settings, identity, network. Each is checked whole;
 * an unknown or wrong key is named. SPEC home §1
 */
import { z } from 'zod'
import {
  fromHex,
  InputError,
  LocalError,
  type NetworkId,
  type NodeId,
  named32,
  PROFILES,
  type PublicKey,
} from '../core/index.ts'
import { LINK_LIMITS } from './link-limits.ts'
import { ANONYMITY, type SafetySettings } from './safety.ts'
import {
  isLoopback,
  parseHostPort,
  parseProxy,
  proxyLoginOf,
  type SocksProxy,
  TRANSPORT_LIMITS,
  type TransportLimits,
} from './system/index.ts'

const GIB = 1024 ** 3
const MINUTES_A_DAY = 24 * 60
const MINUTE_MS = 60_000

/** A file of the home, or what was given for it, does not follow its schema. */
export class BadConfigError extends InputError {
  readonly code = 'ERR_BAD_CONFIG'
}
/** The folder is no home yet, or one is there already. */
export class HomeStateError extends LocalError {
  readonly code = 'ERR_HOME_STATE'
}

const hostPort = z
  .string()
  .max(128)
  .refine((text) => parseHostPort(text) !== undefined, 'must be HOST:PORT')
const hex32 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hex digits')

const configSchema = z.strictObject({
  role: z.enum(['node', 'client']),
  /** strict: what would undo anonymity is refused; unsafe: it is warned of. SPEC safety §1 */
  anonymity: z.enum(ANONYMITY).default('strict'),
  /** A SOCKS5 proxy that all dialled links go through: socks5://[USER:PASSWORD@]HOST:PORT. SPEC safety §3 */
  proxy: z
    .string()
    .refine((text) => parseProxy(text) !== undefined, 'must be socks5://HOST:PORT')
    .optional(),
  /** A user and a password of this network's own for the proxy, so that Tor keeps its circuits apart. */
  proxyIsolation: z.boolean().default(false),
  /** Where a node takes links; a client takes none. */
  listen: hostPort.optional(),
  /** What other nodes dial, when it differs from `listen`. */
  advertise: z.array(hostPort).max(2).default([]),
  /** Bytes of shards kept for others. */
  quotaBytes: z
    .number()
    .int()
    .min(0)
    .default(10 * GIB),
  /** Of the quota, set aside for the cache of what passes through. */
  cacheShare: z.number().min(0).max(0.5).default(0.2),
  /** Whether this node is a vault of others, and gives what it keeps as a keeper to vaults. SPEC vaults §2 */
  vaults: z.boolean().default(true),
  /** What may be sent, all links together; absent: as fast as they are. SPEC ledger §7 */
  uploadBytesPerSecond: z.number().int().min(65_536).optional(),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  /** HOST:PORT for Prometheus metrics, loopback only; absent: none but through the control API. */
  metrics: hostPort.optional(),
  /** One hop and one finger per address prefix; off only where all nodes share one address. */
  prefixLimits: z.boolean().default(true),
  /** After a put its shards are read back once, at a time drawn between these. SPEC repair §7 */
  readBackMinutes: z
    .strictObject({ min: z.number().min(0).max(MINUTES_A_DAY), max: z.number().min(0).max(MINUTES_A_DAY) })
    .refine(({ min, max }) => min <= max, '"min" must not be above "max"')
    .prefault({ min: 5, max: 60 }),
  /** Links of a node, and those from one address (IPv4, or IPv6 /64) or the network around it (/16, /32). */
  links: z
    .strictObject({
      max: z.number().int().min(32).max(16_384).default(LINK_LIMITS.linksMax),
      perAddress: z.number().int().min(1).default(TRANSPORT_LIMITS.perOriginMax),
      perNetwork: z.number().int().min(1).default(TRANSPORT_LIMITS.perPrefixMax),
    })
    .prefault({}),
})
export type ConfigFile = z.infer<typeof configSchema>

const identitySchema = z.strictObject({
  seed: hex32,
  onionSeed: hex32,
  /** Absent until the identity puzzle is solved. SPEC crypto §6 */
  nonce: z.number().int().min(0).optional(),
})
export type IdentityFile = z.infer<typeof identitySchema>

const networkSchema = z.strictObject({
  id: hex32,
  profile: z.enum(['production', 'testnet']),
  createdMs: z.number().int().min(0),
  /** Nodes to begin with; in a network's founding file the whole first ring. */
  seeds: z.array(z.strictObject({ id: hex32, publicKey: hex32, address: hostPort })).max(64),
})
export type NetworkFile = z.infer<typeof networkSchema>

export interface SeedContact {
  readonly id: NodeId
  readonly publicKey: PublicKey
  readonly addresses: readonly string[]
}

export function parseConfig(text: string): ConfigFile {
  const config = parseFile(configSchema, text, 'config.json')
  if (config.role === 'node' && config.listen === undefined) {
    throw new BadConfigError('config.json: a node needs "listen"', { hint: 'set "listen": "HOST:PORT"' })
  }
  const metrics = config.metrics === undefined ? undefined : parseHostPort(config.metrics)
  // The one name that is left, localhost, is for the safety switch to judge.
  if (metrics !== undefined && metrics.host !== 'localhost' && !isLoopback(metrics)) {
    throw new BadConfigError('config.json: "metrics" must be a loopback address', { hint: 'use 127.0.0.1:PORT' })
  }
  if (config.proxyIsolation && (config.proxy === undefined || parseProxy(config.proxy)?.login !== undefined)) {
    throw new BadConfigError('config.json: "proxyIsolation" goes with a "proxy" without user and password')
  }
  return config
}
export function parseIdentity(text: string): IdentityFile {
  return parseFile(identitySchema, text, 'identity.json')
}
export function parseNetwork(text: string): NetworkFile {
  return parseFile(networkSchema, text, 'network.json')
}

export function networkIdOf(network: NetworkFile): NetworkId {
  return named32<'NetworkId'>(bytesOf(network.id), 'network id')
}
export function seedsOf(network: NetworkFile): SeedContact[] {
  return network.seeds.map((seed) => ({
    id: named32<'NodeId'>(bytesOf(seed.id), 'seed id'),
    publicKey: named32<'PublicKey'>(bytesOf(seed.publicKey), 'seed key'),
    addresses: [seed.address],
  }))
}
export function profileOf(network: NetworkFile): (typeof PROFILES)[keyof typeof PROFILES] {
  return PROFILES[network.profile]
}

/** Hex that the schema has checked. */
export function bytesOf(hex: string): Uint8Array {
  const bytes = fromHex(hex)
  if (bytes === undefined) throw new BadConfigError('not hex')
  return bytes
}

function parseFile<T>(schema: z.ZodType<T>, text: string, file: string): T {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new BadConfigError(`${file} is not JSON`, { hint: 'look for a missing comma or quote' })
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const where = issue === undefined || issue.path.length === 0 ? '' : ` at "${issue.path.join('.')}"`
  const unknown = issue?.code === 'unrecognized_keys' ? `unknown key "${issue.keys.join('", "')}"` : issue?.message
  throw new BadConfigError(`${file}${where}: ${unknown ?? 'wrong'}`, { hint: 'docs/spec/home.md lists the keys' })
}

/** How a node's quota is shared out. SPEC home §5. A client keeps nothing for others. */
export function quotasOf({ role, quotaBytes, cacheShare, vaults }: ConfigFile): {
  readonly storeBytes: number
  readonly cacheBytes: number
  readonly vaultBytes: number
} {
  if (role === 'client') return { storeBytes: 0, cacheBytes: 0, vaultBytes: 0 }
  const cacheBytes = Math.floor(quotaBytes * cacheShare)
  const vaultBytes = vaults ? Math.floor((quotaBytes - cacheBytes) / 2) : 0
  return { storeBytes: quotaBytes - cacheBytes - vaultBytes, cacheBytes, vaultBytes }
}

export function pauseBeforeReadBackMs({ readBackMinutes }: ConfigFile): { readonly min: number; readonly max: number } {
  return { min: readBackMinutes.min * MINUTE_MS, max: readBackMinutes.max * MINUTE_MS }
}

/** Above `links.max`, which others fill: room for links that this node opens itself. */
const LINKS_RESERVED = 64
const NO_RATE = { burst: Number.MAX_SAFE_INTEGER, perSecond: 0 }

/** The settings' bounds on links. Where all nodes share one address there are none by address. */
export function linkBoundsOf({ links, prefixLimits }: ConfigFile): Partial<TransportLimits> {
  const linksMax = links.max + LINKS_RESERVED
  if (!prefixLimits)
    return { linksMax, perOriginMax: linksMax, perPrefixMax: linksMax, perOrigin: NO_RATE, perPrefix: NO_RATE }
  return { linksMax, perOriginMax: links.perAddress, perPrefixMax: links.perNetwork }
}

/**
 * The address a node dials from: that it listens on, when it is one of the loopback network's other than the
 * first, so that nodes of a testnet differ by address to those they dial, as nodes elsewhere do.
 */
export function dialFromOf({ listen, prefixLimits }: ConfigFile): string | undefined {
  const host = listen === undefined ? undefined : parseHostPort(listen)?.host
  return prefixLimits && host?.startsWith('127.') === true && host !== '127.0.0.1' ? host : undefined
}

/** What the safety switch judges. */
export function safetySettingsOf(
  config: ConfigFile,
  network: { readonly seeds: readonly { address: string }[] },
): SafetySettings {
  return { ...config, seeds: network.seeds.map((seed) => seed.address) }
}

/** The proxy of the settings, with its login if the network is to have one of its own. */
export function proxyOf(config: ConfigFile, networkId: NetworkId): SocksProxy | undefined {
  const proxy = config.proxy === undefined ? undefined : parseProxy(config.proxy)
  return proxy !== undefined && config.proxyIsolation ? { ...proxy, login: proxyLoginOf(networkId) } : proxy
}
