/**
 * Every decoder of bytes from outside: how its valid encodings are made, how it is called, and which
 * errors it may answer with. registry.test.ts fails when a decoder of the program is missing here.
 */
import { circuitTargets } from './circuit-targets.ts'
import { controlTargets } from './control-targets.ts'
import { cryptoTargets } from './crypto-targets.ts'
import { homeTargets } from './home-targets.ts'
import { ledgerTargets } from './ledger-targets.ts'
import { messageTargets } from './message-targets.ts'
import { nodeTargets } from './node-targets.ts'
import { safetyTargets } from './safety-targets.ts'
import { storageTargets } from './storage-targets.ts'
import type { Target } from './target.ts'
import { vaultTargets } from './vault-targets.ts'

export const TARGETS: readonly Target[] = [
  ...circuitTargets,
  ...messageTargets,
  ...ledgerTargets,
  ...cryptoTargets,
  ...storageTargets,
  ...homeTargets,
  ...nodeTargets,
  ...controlTargets,
  ...safetyTargets,
  ...vaultTargets,
] as readonly Target[]

/** Functions with a decoder's name that take no bytes or text from outside, and why. */
export const NO_DECODERS: Readonly<Record<string, string>> = {
  'core/bytes.ts#fromUtf8': 'makes bytes of a text of ours',
  'storage/shard-store/memory.ts#openMemoryStore': 'begins empty',
  'storage/shard-store/memory-records.ts#openMemoryRecords': 'begins empty',
  'storage/shard-store/lmdb-records.ts#openLmdbRecords': 'gives the bytes back as they are; their owner decodes them',
  'node/home.ts#readNetwork': 'reads a file through openHome and parses it with parseNetwork',
  'cli/testnet/record.ts#readRecord': 'reads a file and parses it with parseRecord',
  'cli/commands/put.ts#openSource': 'opens a file to be stored; its bytes mean nothing to the program',
  'cli/part-file.ts#PartFile.open': 'takes up a part of an object: opaque bytes, of which only the size counts',
}
