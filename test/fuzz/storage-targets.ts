/** Addresses, manifests, shards and what a disk gives back. SPEC addresses §1 to §3, dispersal §2 to §6, shard-store §2 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { open as openEnvironment } from 'lmdb'
import {
  concatBytes,
  FRAGMENT_SIZE,
  fromBase32,
  fromUtf8,
  MalformedError,
  SHARD_SIZE,
  toBase32,
} from '../../core/index.ts'
import { LABELS, type Label, tagged } from '../../crypto/index.ts'
import { type Address, formatAddress, parseAddress } from '../../storage/address.ts'
import {
  type ContentRef,
  decodeContentRef,
  encodeContentRef,
  locationOf,
  readContentRef,
  verifyContent,
} from '../../storage/content-ref.ts'
import {
  BadAddressError,
  BadRepairKeyError,
  NewerAddressError,
  NewerObjectError,
  ShardStoreError,
} from '../../storage/errors.ts'
import { Halt } from '../../storage/halt.ts'
import * as manifest from '../../storage/manifest.ts'
import {
  decodePlace,
  decodePointer,
  encodePlace,
  encodePointer,
  type Place,
  type Pointer,
} from '../../storage/pointer.ts'
import { formatRepairKey, type Handle, parseHandle, parseRepairKey, type RepairKey } from '../../storage/repair-key.ts'
import { piecesOf, subjectOf } from '../../storage/repair-list.ts'
import { openRoot, sealRoot } from '../../storage/root.ts'
import { openLmdbStore } from '../../storage/shard-store/lmdb.ts'
import type { ShardStore } from '../../storage/shard-store/port.ts'
import { decodeStripe, encodeStripe, openPiece, stripeKeys } from '../../storage/stripe.ts'
import { makeShard } from '../contract/shard.ts'
import { noise, noiseOf, refBytes, Steps, textBytes, textOf, timeMs } from './shapes.ts'
import { FuzzFault, type Target } from './target.ts'

const random = (seed: number) => ({
  bytes: (size: number) => noiseOf(seed, size),
  fill: (target: Uint8Array) => target.set(noiseOf(seed, target.length)),
})

// --- addresses ----------------------------------------------------------------------------------------

const addresses: fc.Arbitrary<Address> = fc.oneof(
  noise(64).map((b) => ({ kind: 'private' as const, locator: b.subarray(0, 32), key: b.subarray(32) })),
  noise(32).map((hash) => ({ kind: 'public' as const, hash })),
)
const address: Target<Address> = {
  name: 'address',
  covers: ['storage/address.ts#parseAddress', 'core/bytes.ts#fromBase32'],
  valid: textBytes(addresses.map(formatAddress)),
  decode: (bytes) => parseAddress(textOf(bytes)),
  encode: (value) => fromUtf8(formatAddress(value)),
  permitted: [BadAddressError, NewerAddressError],
  tokens: ['hush:', 'HUSH:', ' ', '\u017f', '\u212a', '1', '='],
}

function withSum(label: Label, named: Uint8Array): string {
  return toBase32(concatBytes(named, tagged(label, named).subarray(0, 4)))
}
/** The bytes behind the letters, under a right checksum. */
const addressInside: Target<Address> = {
  name: 'address-inside',
  covers: ['storage/address.ts#parseAddress'],
  valid: addresses.map((value) => insideOf(value)),
  decode: (named) => parseAddress(`hush:${withSum(LABELS.addressChecksum, named)}`),
  encode: insideOf,
  isCanonical: true,
  permitted: [BadAddressError, NewerAddressError],
}
function insideOf(value: Address): Uint8Array {
  return (fromBase32(formatAddress(value).slice(5)) as Uint8Array).slice(0, -4)
}

// --- repair keys and what they lead to --------------------------------------------------------------------

const repairKeys: fc.Arbitrary<RepairKey> = noise(64).map((b) => ({
  kind: 'repair' as const,
  locator: b.subarray(0, 32),
  key: b.subarray(32),
}))
function handleText(handle: Handle): Uint8Array {
  return fromUtf8(handle.kind === 'repair' ? formatRepairKey(handle) : formatAddress(handle))
}
const handle: Target<Handle> = {
  name: 'handle',
  covers: ['storage/repair-key.ts#parseRepairKey', 'storage/repair-key.ts#parseHandle'],
  valid: fc.oneof(repairKeys, addresses).map(handleText),
  decode: (bytes) => parseHandle(textOf(bytes)),
  encode: handleText,
  permitted: [BadRepairKeyError, BadAddressError, NewerAddressError],
  tokens: ['hush-repair:', 'hush:', ' ', '\u212a', '1'],
}
const REPAIR_PREFIX = 'hush-repair:'
/** The bytes behind the letters of a repair key, under a right checksum. */
const repairKeyInside: Target<RepairKey> = {
  name: 'repair-key-inside',
  covers: ['storage/repair-key.ts#parseRepairKey'],
  valid: repairKeys.map(repairKeyBytes),
  decode: (named) => parseRepairKey(REPAIR_PREFIX + withSum(LABELS.repairKeyChecksum, named)),
  encode: repairKeyBytes,
  isCanonical: true,
  permitted: [BadRepairKeyError, NewerAddressError],
}
function repairKeyBytes(key: RepairKey): Uint8Array {
  return (fromBase32(formatRepairKey(key).slice(REPAIR_PREFIX.length)) as Uint8Array).slice(0, -4)
}

/** The bytes of a repair list, as an object that lives in its root, read by who has the key to it. */
const repairList: Target = {
  name: 'repair-list',
  covers: ['storage/repair-list.ts#piecesOf', 'storage/pieces.ts#openPieces', 'storage/recover.ts#openObject'],
  valid: fc.constantFrom(0, 1, 2).map((stripes) => {
    const head = Uint8Array.of(0x48, 0x4c, 1, 0, stripes === 0 ? 0 : 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, stripes)
    const [locator, repair] = [noiseOf(1, 32), noiseOf(2, 32)]
    const subject = subjectOf({ kind: 'private', locator, key: repair })
    return concatBytes(head, subject, repair, locator, ...entriesOf(stripes, 8).map(manifest.encodeEntry))
  }),
  decode: async (bytes) => {
    const inline = bytes.subarray(0, manifest.INLINE_SIZE_MAX)
    const names = { name: '', type: '', objectKey: noiseOf(1, 32) }
    const list = manifest.encodeRoot({ ...names, lengthBytes: inline.length, content: { inline } })
    const { address: at, copies } = sealRoot('private', list, random(9))
    if (at.kind !== 'private') return undefined
    const ports = { fetch: async () => copies[0]?.bytes, jitter: { uint32: () => 7 } }
    let count = 0
    for await (const _ of piecesOf({ kind: 'repair', locator: at.locator, key: at.key }, ports, new Halt())) count++
    return count
  },
  permitted: [MalformedError, NewerObjectError],
  runs: 30,
}

const entry: Target<manifest.StripeEntry> = {
  name: 'entry',
  covers: ['storage/manifest.ts#decodeEntry'],
  valid: fc.constantFrom(...entriesOf(1, 3)).map(manifest.encodeEntry),
  decode: (bytes) => manifest.decodeEntry(bytes, 3),
  encode: manifest.encodeEntry,
  isCanonical: true,
  permitted: [MalformedError],
}

// --- references, roots, nodes ------------------------------------------------------------------------

const contentRef: Target<ContentRef> = {
  name: 'content-ref',
  covers: ['storage/content-ref.ts#decodeContentRef'],
  valid: refBytes,
  decode: decodeContentRef,
  encode: encodeContentRef,
  isCanonical: true,
  permitted: [MalformedError],
}

const contentRefRead: Target = {
  name: 'content-ref-read',
  covers: ['storage/content-ref.ts#readContentRef'],
  valid: refBytes,
  decode: readContentRef,
  permitted: [],
}

const places = fc.tuple(noise(128), timeMs, noise(32)).map(([bytes, provenMs, secret]) => {
  const place = decodePlace(bytes)
  return { ...place, provenMs, dropSecret: provenMs % 2 === 0 ? secret : undefined }
})
const pointer: Target<Pointer> = {
  name: 'pointer',
  covers: ['storage/pointer.ts#decodePointer'],
  valid: fc
    .record({ leaseEndMs: timeMs, leafHashes: noise(512), places: fc.array(places, { minLength: 1, maxLength: 4 }) })
    .map(encodePointer),
  decode: decodePointer,
  encode: encodePointer,
  isCanonical: true,
  permitted: [MalformedError],
}
const place: Target<Place> = {
  name: 'place',
  covers: ['storage/pointer.ts#decodePlace'],
  valid: noise(128),
  decode: decodePlace,
  encode: encodePlace,
  isCanonical: true,
  permitted: [MalformedError],
}

const A_SHARD = makeShard(1)
/** kind u8, copy u8, id 32, then the content */
const content: Target = {
  name: 'content',
  covers: ['storage/content-ref.ts#verifyContent'],
  valid: fc.constant(concatBytes(encodeContentRef(A_SHARD.ref), A_SHARD.bytes)),
  decode: (bytes) => {
    const ref = decodeContentRef(bytes.subarray(0, 34))
    return verifyContent(ref, bytes.subarray(34))
  },
  permitted: [MalformedError],
  fillTo: 34 + SHARD_SIZE,
  runs: 30,
}

const objectKey = noise(32)
const meta = fc.record({ name: fc.constantFrom('', 'a', 'photo.jpg', 'ü'), type: fc.constantFrom('', 'text/plain') })
const inlineRoot = fc.tuple(meta, objectKey, fc.nat(300)).map(
  ([names, key, size]): manifest.Root => ({
    ...names,
    objectKey: key,
    lengthBytes: size,
    content: { inline: noiseOf(size, size) },
  }),
)
function entriesOf(count: number, k: number): manifest.StripeEntry[] {
  const n = 2 * k + 6
  return Array.from({ length: count }, (_, i) => ({
    k,
    hash: noiseOf(i, 32),
    ids: noiseOf(i + 1, 32 * n),
    salts: noiseOf(i + 2, n),
  }))
}
/** Lengths in bytes with the stripes and level that follow from them. SPEC dispersal §4, §5 */
const listedRoot = fc
  .tuple(
    meta,
    objectKey,
    fc.constantFrom(
      { lengthBytes: 63_360, stripes: 1, level: 0, k: 1 },
      { lengthBytes: 506_880, stripes: 1, level: 0, k: 8 },
      { lengthBytes: 2_000_000, stripes: 4, level: 0, k: 8 },
      { lengthBytes: 104 * 506_880, stripes: 104, level: 1, k: 1 },
    ),
  )
  .map(([names, key, { lengthBytes, stripes, level, k }]): manifest.Root => {
    const { counts } = manifest.manifestShape(stripes)
    const entries = entriesOf(counts[level] as number, k)
    return { ...names, objectKey: key, lengthBytes, content: { level, stripes, entries } }
  })

const root: Target<manifest.Root> = {
  name: 'root',
  covers: ['storage/manifest.ts#decodeRoot'],
  valid: fc.oneof(inlineRoot, listedRoot).map(manifest.encodeRoot),
  decode: manifest.decodeRoot,
  encode: manifest.encodeRoot,
  permitted: [MalformedError, NewerObjectError],
  fillTo: manifest.ROOT_SIZE,
  runs: 150,
}

/** level u8, count u16: what the list above says; then the node */
const node: Target = {
  name: 'node',
  covers: ['storage/manifest.ts#decodeNode'],
  valid: fc
    .tuple(fc.nat(1), fc.integer({ min: 1, max: 5 }))
    .map(([level, count]) =>
      concatBytes(Uint8Array.of(level, 0, count), manifest.encodeNode(level, entriesOf(count, level === 0 ? 8 : 1))),
    ),
  decode: (bytes) => {
    const steps = new Steps(bytes)
    const wanted = { level: steps.u8(), count: steps.u16() }
    return manifest.decodeNode(bytes.subarray(3), wanted)
  },
  permitted: [MalformedError],
  fillTo: 3 + FRAGMENT_SIZE,
  runs: 100,
}

const ROOT_BYTES = manifest.encodeRoot({
  lengthBytes: 3,
  objectKey: noiseOf(1, 32),
  name: 'a',
  type: '',
  content: { inline: Uint8Array.of(1, 2, 3) },
})
const SEALED = (['private', 'public'] as const).map((kind) => sealRoot(kind, ROOT_BYTES, random(3)))
/** kind u8, copy u8, then the copy as a keeper holds it */
const rootCopy: Target = {
  name: 'root-copy',
  covers: ['storage/root.ts#openRoot'],
  valid: fc.tuple(fc.nat(1), fc.nat(7)).map(([kind, copy]) => {
    const { bytes } = (SEALED[kind] as (typeof SEALED)[number]).copies[copy] as { bytes: Uint8Array }
    return concatBytes(Uint8Array.of(kind, copy), bytes)
  }),
  decode: (bytes) => {
    const sealed = SEALED[(bytes[0] ?? 0) % 2] as (typeof SEALED)[number]
    const opened = openRoot(sealed.address, (bytes[1] ?? 0) % 8, bytes.subarray(2))
    if (opened !== undefined && Buffer.compare(opened, ROOT_BYTES) !== 0) throw new FuzzFault(rootCopy, 'another root')
    return opened
  },
  permitted: [],
  fillTo: 2 + SHARD_SIZE,
  runs: 25,
}

const KEYS = stripeKeys(noiseOf(1, 32))
const PLACE = { level: 0, index: 0 }
const STRIPE = encodeStripe({ keys: KEYS, place: PLACE, k: 1, plain: new Uint8Array(FRAGMENT_SIZE), random: random(2) })
const PIECE = STRIPE.pieceOf(0).slice()
/** A shard's header, 128 bytes, before the fragment that belongs to it */
const shardPiece: Target = {
  name: 'shard-piece',
  covers: ['storage/stripe.ts#openPiece', 'storage/stripe.ts#decodeStripe'],
  valid: fc.constant(PIECE.slice(0, 128)),
  decode: (header) => {
    const opened = openPiece(0, concatBytes(header, PIECE.subarray(128)), STRIPE.hash)
    if (opened === undefined) return undefined
    const plain = decodeStripe({ keys: KEYS, place: PLACE, k: 1, hash: STRIPE.hash }, [opened])
    if (plain?.some((value) => value !== 0)) throw new FuzzFault(shardPiece, 'gave another plaintext')
    return plain?.length
  },
  permitted: [],
  fillTo: 128,
  runs: 100,
}

// --- what the disk gives back ----------------------------------------------------------------------------

const DATABASES = ['index', 'bytes', 'leases', 'cache', 'meta'] as const
const KEY = concatBytes(locationOf(A_SHARD.ref), encodeContentRef(A_SHARD.ref))
const LEASE = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 9)
function recordBytes(database: number, key: Uint8Array, value: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of(database, key.length), key, Uint8Array.of(value.length), value)
}

/** Records of a store's sub-databases, each: database u8, key with its u8 size, value with its u8 size. SPEC shard-store §2 */
const shardStore: Target = {
  name: 'shard-store',
  covers: ['storage/shard-store/lmdb.ts#openLmdbStore'],
  valid: fc
    .tuple(fc.boolean(), fc.boolean(), fc.boolean())
    .map(([hasLease, hasCache, hasMeta]) =>
      concatBytes(
        recordBytes(0, KEY, LEASE),
        recordBytes(1, KEY, noiseOf(4, 40)),
        hasLease ? recordBytes(2, concatBytes(LEASE, KEY), new Uint8Array(1)) : new Uint8Array(0),
        hasCache ? recordBytes(3, KEY, noiseOf(5, 40)) : new Uint8Array(0),
        hasMeta ? recordBytes(4, fromUtf8('format'), Uint8Array.of(1)) : new Uint8Array(0),
      ),
    ),
  decode: async (bytes) => {
    const path = mkdtempSync(join(tmpdir(), 'hush-fuzz-'))
    try {
      await writeRecords(path, bytes)
      return await useStore(path)
    } finally {
      rmSync(path, { recursive: true, force: true })
    }
  },
  permitted: [ShardStoreError],
  runs: 12,
}

async function writeRecords(path: string, bytes: Uint8Array): Promise<void> {
  const env = openEnvironment<Buffer, Buffer>({
    path,
    noSubdir: false,
    encoding: 'binary',
    keyEncoding: 'binary',
    maxDbs: 8,
    mapSize: 2 ** 22,
  })
  const writes: Promise<boolean>[] = []
  for (const steps = new Steps(bytes.subarray(0, 4_096)); steps.hasMore; ) {
    const name = DATABASES[steps.u8() % DATABASES.length] as string
    const key = Buffer.from(steps.take(steps.u8()))
    const value = Buffer.from(steps.take(steps.u8()))
    if (key.length === 0) continue
    writes.push(env.openDB<Buffer, Buffer>({ name, encoding: 'binary', keyEncoding: 'binary' }).put(key, value))
  }
  await Promise.all(writes)
  await env.close()
}

/** Everything a keeper does with its store, on what it finds there. */
async function useStore(path: string): Promise<number> {
  const { store, cache } = openLmdbStore({ path, quotaBytes: 8 * SHARD_SIZE, cacheBytes: 2 * SHARD_SIZE })
  try {
    const listed = store.list({ limit: 100 })
    for (const { ref } of listed) {
      store.get(ref)
      cache.get(ref)
      store.has(ref)
      await store.renew(ref, 1_000)
    }
    await store.put({ ...A_SHARD, leaseEndMs: 5_000 })
    if (store.get(A_SHARD.ref) === undefined && store.usage().count < 8) throw new FuzzFault(shardStore, 'lost a put')
    checkPages(store)
    store.expire(4_000, 100)
    store.expire(2 ** 52, 100)
    store.usage()
    cache.usage()
    return listed.length
  } finally {
    await store.close()
  }
}

/** Page after page, as a keeper that reconciles goes through what it holds: that must end. */
function checkPages(store: ShardStore): void {
  let page = store.list({ limit: 1 })
  for (let pages = 0; page[0] !== undefined; pages++) {
    if (pages > 100) throw new FuzzFault(shardStore, 'lists without end')
    page = store.list({ limit: 1, after: page[0].ref })
  }
}

export const storageTargets = [
  address,
  addressInside,
  handle,
  repairKeyInside,
  repairList,
  entry,
  contentRef,
  contentRefRead,
  pointer,
  place,
  content,
  root,
  node,
  rootCopy,
  shardPiece,
  shardStore,
]
