/** Making homes and networks, and the invites that carry a network to another machine. SPEC home §1, §4 */
import {
  ByteReader,
  ByteWriter,
  equalBytes,
  fromBase32,
  fromUtf8,
  InputError,
  MalformedError,
  PROFILES,
  type ProfileName,
  type SecretRandom,
  toBase32,
  toHex,
  toUtf8,
} from '../core/index.ts'
import { LABELS, nodeIdOf, signingKeyFromSeed, solveIdentity, tagged } from '../crypto/index.ts'
import {
  BadConfigError,
  bytesOf,
  type ConfigFile,
  HomeStateError,
  type IdentityFile,
  type NetworkFile,
  networkIdOf,
  parseConfig,
  parseNetwork,
  safetySettingsOf,
} from './config.ts'
import { judge, settingHazards } from './safety.ts'
import { openHome, systemClock, systemRandom } from './system/index.ts'

const INVITE_PREFIX = 'hush-invite:'
const INVITE_VERSION = 1
/** Enough that some of them are still there when the invite is used. */
export const INVITE_CONTACTS_MAX = 6
const PROFILE_CODES: readonly ProfileName[] = ['production', 'testnet']

/** The text is not an invite, or a later version made it. */
export class BadInviteError extends InputError {
  readonly code = 'ERR_BAD_INVITE'
}

export interface HomeWish {
  readonly home: string
  readonly network: NetworkFile
  readonly role: 'node' | 'client'
  readonly listen?: string
  readonly advertise?: readonly string[]
  readonly overrides?: Partial<ConfigFile>
}

/** Makes the files of a home. Refuses a folder that is one already, and settings that it could not start with. `id` is absent while the puzzle is unsolved. */
export async function createHome(wish: HomeWish): Promise<{ id: string | undefined; publicKey: string }> {
  const random = systemRandom()
  return writeHome(wish, newIdentity(random))
}

/**
 * Makes a network and the homes of its first nodes, r + 1 of them, which start as a perfect ring.
 * SPEC ring §3. With an identity puzzle this takes minutes; `onProgress` tells how far it is.
 */
export async function createNetwork(options: {
  readonly profile: ProfileName
  readonly seeds: readonly { readonly home: string; readonly listen: string; readonly advertise?: readonly string[] }[]
  readonly overrides?: Partial<ConfigFile>
  readonly onProgress?: (done: number, total: number) => void
}): Promise<NetworkFile> {
  const random = systemRandom()
  const profile = PROFILES[options.profile]
  const seeds = options.seeds.map((seed) => ({ address: seed.advertise?.[0] ?? seed.listen }))
  // Before the puzzles, which take minutes.
  for (const seed of options.seeds) configOf({ ...seed, ...options, role: 'node', network: { seeds } })
  const wanted = profile.successors + 1
  if (options.seeds.length !== wanted) {
    throw new BadConfigError(`a ${profile.name} network starts from ${wanted} nodes, not ${options.seeds.length}`, {
      hint: `give ${wanted} addresses; several may be on one machine`,
    })
  }
  const networkId = random.bytes(32)
  const rule = { networkId: networkIdOf(emptyNetwork(networkId, options.profile)), puzzleBits: profile.puzzleBits }
  const founders: { identity: IdentityFile; contact: NetworkFile['seeds'][number] }[] = []
  for (const seed of options.seeds) {
    const identity = newIdentity(random)
    const { publicKey } = signingKeyFromSeed(bytesOf(identity.seed))
    const solved = await solveIdentity({ publicKey, ...rule, isStopped: () => false })
    if (solved === undefined) throw new BadConfigError('the identity puzzle was not solved')
    const address = seed.advertise?.[0] ?? seed.listen
    founders.push({
      identity: { ...identity, nonce: solved.nonce },
      contact: { id: toHex(solved.id), publicKey: toHex(publicKey), address },
    })
    options.onProgress?.(founders.length, wanted)
  }
  const network = { ...emptyNetwork(networkId, options.profile), seeds: founders.map(({ contact }) => contact) }
  for (const [i, seed] of options.seeds.entries()) {
    const founder = founders[i]
    if (founder === undefined) continue
    const overrides = options.overrides === undefined ? {} : { overrides: options.overrides }
    await writeHome({ ...seed, network, role: 'node', ...overrides }, founder.identity)
  }
  return network
}

/** The network a home belongs to. */
export async function readNetwork(home: string): Promise<NetworkFile> {
  const text = openHome(home).readText('network.json')
  if (text === undefined) {
    throw new HomeStateError(`${home} is not a home yet`, { hint: 'make it one with: hush init' })
  }
  return parseNetwork(text)
}

// invite: hush-invite: and base32 of
//   version u8, network id 32, profile u8, created u64 (Unix ms), contacts u8,
//   for each: id 32, public key 32, address length u16 and text; then 4 bytes of checksum
export function makeInvite(network: NetworkFile): string {
  const seeds = network.seeds.slice(0, INVITE_CONTACTS_MAX)
  const w = new ByteWriter(64 + seeds.length * 256)
  w.u8(INVITE_VERSION).bytes(bytesOf(network.id)).u8(PROFILE_CODES.indexOf(network.profile)).u64(network.createdMs)
  w.u8(seeds.length)
  for (const seed of seeds) w.bytes(bytesOf(seed.id)).bytes(bytesOf(seed.publicKey)).bytes16(fromUtf8(seed.address))
  const body = w.done()
  return INVITE_PREFIX + toBase32(new ByteWriter(body.length + 4).bytes(body).bytes(inviteSum(body)).done())
}

/** Throws BadInviteError. */
export function parseInvite(text: string): NetworkFile {
  const trimmed = text.trim()
  const copied = { hint: 'copy the whole line that hush invite printed' }
  if (!trimmed.startsWith(INVITE_PREFIX)) {
    throw new BadInviteError(`an invite starts with ${INVITE_PREFIX}`, copied)
  }
  const raw = trimmed.length > 8_192 ? undefined : fromBase32(trimmed.slice(INVITE_PREFIX.length))
  const body = raw?.subarray(0, -4)
  if (raw === undefined || body === undefined || !equalBytes(raw.subarray(-4), inviteSum(body))) {
    throw new BadInviteError('the invite is mistyped or cut off', copied)
  }
  try {
    return readInvite(new ByteReader(body, 'invite'))
  } catch (error) {
    if (error instanceof MalformedError || error instanceof BadConfigError) {
      throw new BadInviteError('the invite does not hold a network', { cause: error })
    }
    throw error
  }
}

function readInvite(r: ByteReader): NetworkFile {
  const version = r.u8()
  if (version !== INVITE_VERSION) {
    throw new BadInviteError(`the invite is of version ${version}; this program knows ${INVITE_VERSION}`, {
      hint: 'update the program',
    })
  }
  const id = toHex(r.bytes(32))
  const profile = PROFILE_CODES[r.u8()]
  const createdMs = r.u64()
  const seeds = Array.from({ length: r.u8() }, () => {
    const contact = { id: toHex(r.bytes(32)), publicKey: toHex(r.bytes(32)) }
    return { ...contact, address: toUtf8(r.bytes16(128)) ?? '' }
  })
  r.end()
  return parseNetwork(JSON.stringify({ id, profile, createdMs, seeds }))
}

function inviteSum(body: Uint8Array): Uint8Array {
  return tagged(LABELS.invite, body).subarray(0, 4)
}

function emptyNetwork(id: Uint8Array, profile: ProfileName): NetworkFile {
  return { id: toHex(id), profile, createdMs: systemClock().nowMs(), seeds: [] }
}

function newIdentity(random: SecretRandom): IdentityFile {
  return { seed: toHex(random.bytes(32)), onionSeed: toHex(random.bytes(32)) }
}

/** The settings of a home to be made. Throws BadConfigError and UnsafeSettingError. */
function configOf(
  wish: Omit<HomeWish, 'network' | 'home'> & { readonly network: { readonly seeds: readonly { address: string }[] } },
): ConfigFile {
  const given = {
    role: wish.role,
    ...(wish.role === 'node' && wish.listen !== undefined ? { listen: wish.listen } : {}),
    ...(wish.advertise === undefined ? {} : { advertise: wish.advertise }),
    ...wish.overrides,
  }
  const config = parseConfig(JSON.stringify(given))
  judge(config.anonymity, settingHazards(safetySettingsOf(config, wish.network)))
  return config
}

async function writeHome(
  wish: HomeWish,
  identity: IdentityFile,
): Promise<{ id: string | undefined; publicKey: string }> {
  const config = configOf(wish)
  const home = openHome(wish.home)
  if (home.read('network.json') !== undefined || home.read('identity.json') !== undefined) {
    throw new HomeStateError(`${wish.home} is a home already`, { hint: 'choose another folder with --home' })
  }
  const { publicKey } = signingKeyFromSeed(bytesOf(identity.seed))
  const puzzleBits = PROFILES[wish.network.profile].puzzleBits
  const nonce = identity.nonce ?? (puzzleBits === 0 ? 0 : undefined)
  const complete = wish.role === 'node' && nonce !== undefined ? { ...identity, nonce } : identity
  await home.write('identity.json', `${JSON.stringify(complete, null, 2)}\n`)
  await home.write('config.json', `${JSON.stringify(config, null, 2)}\n`)
  // The network file comes last: only a home that has it counts as one.
  await home.write('network.json', `${JSON.stringify(wish.network, null, 2)}\n`)
  const id =
    complete.nonce === undefined
      ? undefined
      : await nodeIdOf({ publicKey, nonce: complete.nonce, networkId: networkIdOf(wish.network), puzzleBits })
  return { id: id && toHex(id), publicKey: toHex(publicKey) }
}
