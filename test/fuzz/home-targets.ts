/** The files of a home, invites, and small texts from the system and from people. SPEC home §1, §2, §4, control §9, links §1 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { InvalidArgumentError } from 'commander'
import fc from 'fast-check'
import { checkHostPort } from '../../cli/commands/init.ts'
import { parseNodeCount } from '../../cli/commands/testnet.ts'
import { UsageError } from '../../cli/errors.ts'
import { safeFileName } from '../../cli/part-file.ts'
import { parseRecord } from '../../cli/testnet/record.ts'
import {
  concatBytes,
  fromBase32,
  fromHex,
  fromUtf8,
  MalformedError,
  type NodeId,
  PROFILES,
  toBase32,
  toHex,
  toUtf8,
} from '../../core/index.ts'
import { LABELS, tagged } from '../../crypto/index.ts'
import * as config from '../../node/config.ts'
import { Guards } from '../../node/guards.ts'
import { BadInviteError, makeInvite, parseInvite } from '../../node/home.ts'
import { OnionKeys } from '../../node/onion-keys.ts'
import { formatHostPort, type HostPort, originOf, parseHostPort } from '../../node/system/address.ts'
import { homeHolder } from '../../node/system/home-lock.ts'
import { openHome, openStateStore } from '../../node/system/index.ts'
import { strangerOf } from '../../node/system/link-settings.ts'
import { decodeKept, encodeKept, type Kept } from '../../node/tasks/steward.ts'
import { View } from '../../routing/index.ts'
import { noise, noiseOf, plainBytes, textBytes, textOf, timeMs } from './shapes.ts'
import { FuzzFault, type Target } from './target.ts'

const hex32 = noise(32).map(toHex)
const hostPort = fc.constantFrom('127.0.0.1:4100', '[::1]:4100', 'a.example:80')
const json = (value: unknown) => fromUtf8(JSON.stringify(value))
const jsonTokens = ['"__proto__":', '1e999', '-0', 'true', ',', ':', '\\ud800', '{"a":', '[', '"role":"node"']

// --- files of JSON ------------------------------------------------------------------------------------

const configFile: Target = {
  name: 'config',
  covers: ['node/config.ts#parseConfig'],
  valid: fc
    .record(
      {
        role: fc.constant('node'),
        listen: hostPort,
        advertise: fc.array(hostPort, { maxLength: 2 }),
        quotaBytes: fc.nat(),
        cacheShare: fc.constantFrom(0, 0.2, 0.5),
        logLevel: fc.constantFrom('debug', 'info', 'warn', 'error'),
        metrics: fc.constant('127.0.0.1:9000'),
        prefixLimits: fc.boolean(),
        anonymity: fc.constantFrom('strict', 'unsafe'),
        proxy: fc.constantFrom('socks5://127.0.0.1:9050', 'socks5://a:b@[::1]:9050'),
      },
      { requiredKeys: ['role', 'listen'] },
    )
    .map(json),
  decode: (bytes) => config.parseConfig(textOf(bytes)),
  encode: json,
  permitted: [config.BadConfigError],
  tokens: [...jsonTokens, '"metrics":"1.2.3.4:1"', '"listen":'],
}
const identityFile: Target = {
  name: 'identity',
  covers: ['node/config.ts#parseIdentity'],
  valid: fc
    .record({ seed: hex32, onionSeed: hex32, nonce: fc.nat() }, { requiredKeys: ['seed', 'onionSeed'] })
    .map(json),
  decode: (bytes) => config.parseIdentity(textOf(bytes)),
  encode: json,
  permitted: [config.BadConfigError],
  tokens: jsonTokens,
}
const networks: fc.Arbitrary<config.NetworkFile> = fc.record({
  id: hex32,
  profile: fc.constantFrom('production', 'testnet'),
  createdMs: timeMs,
  seeds: fc.array(fc.record({ id: hex32, publicKey: hex32, address: hostPort }), { maxLength: 6 }),
})
const networkFile: Target<config.NetworkFile> = {
  name: 'network',
  covers: ['node/config.ts#parseNetwork', 'core/bytes.ts#fromHex'],
  valid: networks.map(json),
  decode: (bytes) => {
    const network = config.parseNetwork(textOf(bytes))
    config.networkIdOf(network)
    config.seedsOf(network)
    config.profileOf(network)
    return network
  },
  encode: json,
  permitted: [config.BadConfigError],
  tokens: jsonTokens,
}
const testnetRecord: Target = {
  name: 'testnet-record',
  covers: ['cli/testnet/record.ts#parseRecord'],
  valid: fc
    .array(
      fc.record(
        {
          name: fc.constant('node-00'),
          role: fc.constantFrom('node', 'client'),
          home: fc.constant('/x/node-00'),
          address: hostPort,
          pid: fc.integer({ min: 2, max: 99_999 }),
        },
        { requiredKeys: ['name', 'role', 'home'] },
      ),
      { maxLength: 3 },
    )
    .map((members) => json({ version: 1, plan: { kind: 'one-each', basePort: 20_000 }, members })),
  decode: (bytes) => parseRecord(textOf(bytes)),
  encode: json,
  permitted: [],
  tokens: [...jsonTokens, '"pid":1', '"pid":-1', '"plan":null', '"members":[null]'],
}

// --- invites ------------------------------------------------------------------------------------------

const invite: Target<config.NetworkFile> = {
  name: 'invite',
  covers: ['node/home.ts#parseInvite', 'core/bytes.ts#fromBase32'],
  valid: networks.map((network) => fromUtf8(makeInvite(network))),
  decode: (bytes) => parseInvite(textOf(bytes)),
  encode: (network) => fromUtf8(makeInvite(network)),
  permitted: [BadInviteError],
  tokens: ['hush-invite:', ' ', '\u212a', '1'],
  runs: 100,
}
const INVITE_PREFIX = 'hush-invite:'
/** The bytes behind the letters, under a right checksum. */
const inviteInside: Target<config.NetworkFile> = {
  name: 'invite-inside',
  covers: ['node/home.ts#parseInvite'],
  valid: networks.map(insideOf),
  decode: (body) => {
    const sum = tagged(LABELS.invite, body).subarray(0, 4)
    return parseInvite(INVITE_PREFIX + toBase32(concatBytes(body, sum)))
  },
  // More contacts than an invite of ours holds are read, so the second time there may be fewer.
  encode: insideOf,
  permitted: [BadInviteError],
  tokens: ['127.0.0.1:1', '[::1]:1', ':0'],
  runs: 100,
}
function insideOf(network: config.NetworkFile): Uint8Array {
  return (fromBase32(makeInvite(network).slice(INVITE_PREFIX.length)) as Uint8Array).slice(0, -4)
}

// --- state and locks ------------------------------------------------------------------------------------

function contactOf(count: number): Uint8Array {
  const address = fromUtf8('127.0.0.1:80')
  const addresses = Array.from({ length: count }, () => concatBytes(Uint8Array.of(0, address.length), address))
  return concatBytes(Uint8Array.of(count), count === 0 ? new Uint8Array(0) : noiseOf(count, 32), ...addresses)
}

const guards: Target<readonly NodeId[]> = {
  name: 'guards',
  covers: ['node/guards.ts#Guards'],
  valid: fc
    .tuple(fc.constantFrom(1, 2), fc.array(fc.tuple(noise(48), fc.nat(2)), { maxLength: 6 }))
    .map(([version, list]) =>
      concatBytes(
        Uint8Array.of(version),
        ...list.flatMap(([guard, count]) => [
          // Times are safe integers: the highest bytes of both are zero.
          guard.fill(0, 32, 34).fill(0, 40, 42),
          version === 1 ? new Uint8Array(0) : contactOf(count),
        ]),
      ),
    ),
  decode: (bytes) => {
    const read = new Guards({
      stateKey: 'guards',
      clock: { nowMs: () => 1, monotonicMs: () => 1, setTimer: () => ({ cancel: () => {} }) },
      jitter: { uint32: () => 0 },
      log: () => {},
      state: { get: () => bytes, put: async () => {} },
      profile: PROFILES.testnet,
      view: new View({ profile: PROFILES.testnet }),
      networkCreatedMs: 0,
      selfId: () => undefined,
      reach: async () => undefined,
    })
    for (const id of read.ids) read.contactOf(id)
    if (read.ids.length > 6) throw new FuzzFault(guards, 'more guards than it keeps')
    return read.ids
  },
  permitted: [],
}

const onionKeys: Target<readonly Uint8Array[]> = {
  name: 'onion-keys',
  covers: ['node/onion-keys.ts#OnionKeys'],
  valid: fc
    .array(noise(40), { maxLength: 2 })
    // Times are safe integers: the highest bytes are zero.
    .map((list) => concatBytes(Uint8Array.of(1), ...list.map((kept) => kept.fill(0, 32, 34)))),
  decode: (bytes) => {
    const keys = new OnionKeys({
      clock: { nowMs: () => 1, monotonicMs: () => 1, setTimer: () => ({ cancel: () => {} }) },
      random: { bytes: (size) => new Uint8Array(size), fill: (into) => into },
      log: () => {},
      state: { get: () => bytes, put: async () => {} },
      firstSeed: new Uint8Array(32),
      everyMs: 1,
      onNew: () => {},
    })
    const read = keys.answered.map(({ publicKey }) => publicKey)
    if (read.length < 1 || read.length > 2) throw new FuzzFault(onionKeys, `${read.length} keys`)
    return read
  },
  permitted: [],
  runs: 60,
}

const keptObjects: Target<readonly Kept[]> = {
  name: 'kept-objects',
  covers: ['node/tasks/steward.ts#decodeKept'],
  valid: fc
    .uniqueArray(fc.nat(9), { maxLength: 3 })
    .chain((seeds) => fc.tuple(fc.constant(seeds), timeMs, fc.nat()))
    .map(([seeds, nextMs, missing]) =>
      encodeKept(
        seeds.map((seed) => ({
          subject: noiseOf(seed, 32),
          isOwn: seed % 3 === 0,
          key: { kind: 'repair' as const, locator: noiseOf(seed + 1, 32), key: noiseOf(seed + 2, 32) },
          addedMs: 1,
          nextMs,
          last: seed % 2 === 0 ? undefined : { atMs: 5, health: 'weak' as const, missing, rebuilt: 1, pending: 0 },
        })),
      ),
    ),
  decode: decodeKept,
  encode: encodeKept,
  permitted: [MalformedError],
}

/** Names of files in HOME/lock and HOME/state, one a line: whatever lies there, nobody holds this home. */
const homeNames: Target = {
  name: 'home-names',
  covers: [
    'node/system/home-lock.ts#homeHolder',
    'node/system/state-store.ts#openStateStore',
    'node/system/files.ts#openHome',
    'node/system/files.ts#openPrivateFolder',
    'node/system/files.ts#readWhole',
  ],
  valid: textBytes(
    fc
      .array(fc.constantFrom('99999999-1', '1-0', '0-0', '4194304-77-deadbeef', 'guards', 'view', 'a.1-2.tmp', 'B'))
      .map((names) => names.join('\n')),
  ),
  decode: (bytes) => {
    const path = mkdtempSync(join(tmpdir(), 'hush-fuzz-'))
    try {
      const home = openHome(path)
      for (const folder of ['lock', 'state']) {
        mkdirSync(join(path, folder), { mode: 0o700 })
        for (const name of namesOf(bytes)) writeFileSync(join(path, folder, name), name, { mode: 0o600 })
      }
      const holder = homeHolder(home.path)
      if (holder !== undefined) throw new FuzzFault(homeNames, `process ${holder} holds the home`)
      openStateStore(join(path, 'state')).get('view')
      return true
    } finally {
      rmSync(path, { recursive: true, force: true })
    }
  },
  permitted: [],
  tokens: ['-', '99999999999', '0', '.tmp'],
  runs: 30,
}
function namesOf(bytes: Uint8Array): string[] {
  const isName = (name: string) => name !== '' && name !== '.' && name !== '..' && fromUtf8(name).length < 200
  return textOf(bytes)
    .split('\n')
    .slice(0, 16)
    .map((name) => name.replace(/[/\0\\:*?"<>|]/g, ''))
    .filter(isName)
}

// --- small texts ----------------------------------------------------------------------------------------

const hostPortText: Target<HostPort> = {
  name: 'host-port',
  covers: ['node/system/address.ts#parseHostPort', 'node/system/address.ts#originOf'],
  valid: textBytes(hostPort),
  decode: (bytes) => {
    const text = textOf(bytes)
    originOf(text)
    const found = parseHostPort(text)
    if (found !== undefined) originOf(found.host)
    return found
  },
  encode: (value) => fromUtf8(formatHostPort(value)),
  permitted: [],
  tokens: ['::', '[', ']', '%eth0', '::ffff:1.2.3.4', '.', ':0', ':65536', '1.2.3'],
}
const hostPortWord: Target = {
  name: 'host-port-word',
  covers: ['cli/commands/init.ts#checkHostPort'],
  valid: textBytes(hostPort),
  decode: (bytes) => checkHostPort(textOf(bytes)),
  permitted: [UsageError],
}
const nodeCount: Target = {
  name: 'node-count',
  covers: ['cli/commands/testnet.ts#parseNodeCount'],
  valid: textBytes(fc.integer({ min: 8, max: 64 }).map(String)),
  decode: (bytes) => {
    const count = parseNodeCount(textOf(bytes))
    if (!(count >= 8 && count <= 64)) throw new FuzzFault(nodeCount, `took ${count}`)
    return count
  },
  permitted: [UsageError, InvalidArgumentError],
}

const FALLBACK = 'hush-00000000'
/** A publisher's name. SPEC control §9 */
const fileName: Target = {
  name: 'file-name',
  covers: ['cli/part-file.ts#safeFileName'],
  valid: textBytes(
    fc.constantFrom('photo.jpg', 'a b.txt', 'ünï.tar.gz', '../../etc/passwd', 'con.txt', `${'x'.repeat(199)}.`),
  ),
  decode: (bytes) => {
    const name = safeFileName(toUtf8(bytes), FALLBACK)
    const isSafe =
      /^[^/\\\p{Cc}<>:"|?*]+$/u.test(name) &&
      !/^[.\s-]/.test(name) &&
      !/[.\s]$/.test(name) &&
      fromUtf8(name).length <= 200 &&
      !/^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i.test(name)
    if (!isSafe) throw new FuzzFault(fileName, `made ${JSON.stringify(name)}`)
    return name === FALLBACK ? undefined : name
  },
  encode: (name) => fromUtf8(name as string),
  mayRefuseValid: true,
  permitted: [],
  tokens: ['/', '\\', '..', 'con', 'COM1', '.', ' ', '\u202e', '\ufffd', '\u00a0', '-', 'é'.repeat(100)],
}

/** Protocol names that a stranger offers, one a line. */
const protocolNames: Target = {
  name: 'protocol-names',
  covers: ['node/system/link-settings.ts#strangerOf'],
  valid: textBytes(fc.constantFrom('hush/1/00112233', 'hush/2/x\nh2', 'hush/0/x', 'http/1.1')),
  decode: (bytes) => strangerOf(textOf(bytes).split('\n')),
  permitted: [],
  tokens: ['hush/', '9999', '/'],
}

/** What everything else that is text or hex goes through. */
const texts: Target<string> = {
  name: 'texts',
  covers: ['core/bytes.ts#toUtf8', 'core/bytes.ts#fromHex', 'core/bytes.ts#fromBase32'],
  valid: fc.oneof(
    textBytes(fc.string({ unit: 'grapheme', maxLength: 20 })),
    plainBytes(20).map((b) => fromUtf8(toHex(b))),
  ),
  decode: (bytes) => {
    const text = toUtf8(bytes)
    if (text === undefined) return undefined
    const raw = fromHex(text)
    if (raw !== undefined && toHex(raw) !== text.toLowerCase()) throw new FuzzFault(texts, 'took no hex')
    const letters = fromBase32(text)
    if (letters !== undefined && toBase32(letters) !== text.toLowerCase()) throw new FuzzFault(texts, 'took no base32')
    return text
  },
  encode: fromUtf8,
  isCanonical: true,
  permitted: [],
}

export const homeTargets = [
  configFile,
  identityFile,
  networkFile,
  testnetRecord,
  invite,
  inviteInside,
  guards,
  onionKeys,
  keptObjects,
  homeNames,
  hostPortText,
  hostPortWord,
  nodeCount,
  fileName,
  protocolNames,
  texts,
]
