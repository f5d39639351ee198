/** Decoders of what vaults and keepers say over lines, and of what both keep of them. SPEC vaults §2 to §4 */
import fc from 'fast-check'
import { concatBytes, LEAF_COUNT, MalformedError, named32, PROFILES, SHARD_SIZE } from '../../core/index.ts'
import { type KeptLine, readKeptLines, saveKeptLines } from '../../node/kept-lines.ts'
import { SecondRelays } from '../../node/second-relays.ts'
import { View } from '../../routing/index.ts'
import * as vault from '../../routing/request/vault-messages.ts'
import { noise, noiseUpTo, timeMs, u32 } from './shapes.ts'
import { FuzzFault, type Target } from './target.ts'

const permitted = [MalformedError]

const lineRequest: Target<vault.LineRequest> = {
  name: 'line-request',
  covers: ['routing/request/vault-messages.ts#decodeLineRequest'],
  valid: fc
    .oneof(
      fc.record({ kind: fc.constant('attach' as const), line: noise(32), point: noise(32), signature: noise(64) }),
      fc.constant({ kind: 'leave' as const }),
    )
    .map(vault.encodeLineRequest),
  decode: vault.decodeLineRequest,
  encode: vault.encodeLineRequest,
  isCanonical: true,
  permitted,
  tokens: ['\x08', '\x0a'],
}
const lineAnswer: Target<vault.LineAnswer> = {
  name: 'line-answer',
  covers: ['routing/request/vault-messages.ts#decodeLineAnswer'],
  valid: fc
    .oneof(
      fc.record({ kind: fc.constant('attached' as const), slots: u32 }),
      fc.record({ kind: fc.constant('left' as const), left: u32 }),
      fc.constant({ kind: 'refused' as const }),
    )
    .map(vault.encodeLineAnswer),
  decode: vault.decodeLineAnswer,
  encode: vault.encodeLineAnswer,
  permitted,
  tokens: ['\x09', '\x0b', '\x05\x00', '\x06', '\x03'],
}

const range = fc
  .integer({ min: 1, max: LEAF_COUNT })
  .chain((count) => fc.integer({ min: 0, max: LEAF_COUNT - count }).map((from) => ({ from, count })))
const vaultRequest: Target<vault.VaultRequest> = {
  name: 'vault-request',
  covers: ['routing/request/vault-messages.ts#decodeVaultRequest'],
  valid: fc
    .oneof(
      fc.record({
        kind: fc.constant('keep' as const),
        leaseEndMs: timeMs,
        dropHash: noise(32),
        bytes: noise(SHARD_SIZE),
      }),
      fc.record({ kind: fc.constant('read' as const), root: noise(32), leaseEndMs: timeMs, range }),
      fc.record({ kind: fc.constant('drop' as const), root: noise(32), secret: noise(32) }),
    )
    .map(vault.encodeVaultRequest),
  decode: vault.decodeVaultRequest,
  encode: vault.encodeVaultRequest,
  isCanonical: true,
  permitted,
  runs: 100,
  tokens: ['@', 'A', 'B'],
}
const vaultAnswer: Target<vault.VaultAnswer> = {
  name: 'vault-answer',
  covers: ['routing/request/vault-messages.ts#decodeVaultAnswer'],
  valid: fc
    .oneof(
      fc.constantFrom({ kind: 'kept' as const }, { kind: 'full' as const }, { kind: 'none' as const }),
      fc.record({ kind: fc.constant('data' as const), leaves: noiseUpTo(200), proof: noiseUpTo(128) }),
    )
    .map(vault.encodeVaultAnswer),
  decode: vault.decodeVaultAnswer,
  encode: vault.encodeVaultAnswer,
  permitted,
  tokens: ['C', 'D', '\x03', '\x05\x00'],
}
const remoteRead: Target<{ rid: Uint8Array; read: vault.RemoteRead }> = {
  name: 'remote-read',
  covers: ['routing/request/vault-messages.ts#decodeRemoteRead'],
  valid: fc
    .tuple(
      noise(8),
      fc.record({
        point: noise(32),
        line: noise(32),
        root: noise(32),
        leaseEndMs: timeMs,
        range,
        isPastOwner: fc.boolean(),
      }),
    )
    .map(([rid, read]) => vault.encodeRemoteRead(rid, read)),
  decode: vault.decodeRemoteRead,
  encode: ({ rid, read }) => vault.encodeRemoteRead(rid, read),
  isCanonical: true,
  permitted,
  tokens: ['&'],
}

// --- what is kept -----------------------------------------------------------------------------------

const log = (): void => {}
function encodeLines(lines: readonly KeptLine[]): Uint8Array {
  let written = new Uint8Array(0)
  const put = async (_key: string, bytes: Uint8Array): Promise<void> => {
    written = bytes.slice()
  }
  saveKeptLines({ state: { get: () => undefined, put }, log }, lines)
  return written
}
const keptLines: Target<readonly KeptLine[]> = {
  name: 'kept-lines',
  covers: ['node/kept-lines.ts#readKeptLines'],
  valid: fc
    .array(fc.tuple(noise(32), noise(32)), { maxLength: 8 })
    .map((lines) => encodeLines(lines.map(([point, seed]) => ({ point: named32<'Location'>(point, 'point'), seed })))),
  decode: (bytes) => readKeptLines({ state: { get: () => bytes, put: async () => {} }, log }),
  encode: encodeLines,
  permitted: [],
}

const secondRelays: Target = {
  name: 'second-relays',
  covers: ['node/second-relays.ts#SecondRelays'],
  valid: fc
    .array(noise(40), { maxLength: 8 })
    // Times are safe integers: their highest bytes are zero.
    .map((list) => concatBytes(Uint8Array.of(1), ...list.map((second) => second.fill(0, 32, 34)))),
  decode: async (bytes) => {
    const seconds = new SecondRelays({
      clock: { nowMs: () => 1, monotonicMs: () => 1, setTimer: () => ({ cancel: () => {} }) },
      jitter: { uint32: () => 0 },
      log,
      state: { get: () => bytes, put: async () => {} },
      view: new View({ profile: PROFILES.testnet }),
      hasPrefixLimits: true,
    })
    const taken = await seconds.take({ others: [], exclude: [] })
    if (taken !== undefined) throw new FuzzFault(secondRelays, 'takes a relay that nobody knows')
    return true
  },
  permitted: [],
}

export const vaultTargets = [lineRequest, lineAnswer, vaultRequest, vaultAnswer, remoteRead, keptLines, secondRelays]
