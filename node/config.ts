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
import { parseHostPort } from './system/index.ts'

const GIB = 1024 ** 3

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
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  /** HOST:PORT for Prometheus metrics, loopback only; absent: none but through the control API. */
  metrics: hostPort.optional(),
  /** One hop and one finger per address prefix; off only where all nodes share one address. */
  prefixLimits: z.boolean().default(true),
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
  if (config.metrics !== undefined && !isLoopback(config.metrics)) {
    throw new BadConfigError('config.json: "metrics" must be a loopback address', { hint: 'use 127.0.0.1:PORT' })
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

function isLoopback(address: string): boolean {
  const host = parseHostPort(address)?.host
  return host === 'localhost' || host === '::1' || host?.startsWith('127.') === true
}
