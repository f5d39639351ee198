/** The door of storage: addresses, content references, putting, getting and checking objects, shard stores. */
export { type Address, formatAddress, type PrivateAddress, type PublicAddress, parseAddress } from './address.ts'
export {
  type CheckPorts,
  checkObject,
  healthOf,
  type StripeHealth,
  type StripeReport,
} from './check.ts'
export {
  CONTENT_REF_SIZE,
  type ContentKind,
  type ContentRef,
  contentRefKey,
  decodeContentRef,
  encodeContentRef,
  locationOf,
  readContentRef,
  shardRef,
  verifyContent,
  verifyLeaves,
} from './content-ref.ts'
export {
  type PlaceOutcome,
  type PlaceShard,
  type PutInput,
  type PutPorts,
  type PutProgress,
  type PutReport,
  putObject,
} from './disperse.ts'
export {
  BadAddressError,
  BadNameError,
  BadRangeError,
  BadRepairKeyError,
  NewerAddressError,
  NewerObjectError,
  ObjectNotFoundError,
  ObjectTooLargeError,
  ShardStoreError,
  StripeMismatchError,
  StripeNotStoredError,
  TooFewShardsError,
} from './errors.ts'
export type { FetchContent } from './gather.ts'
export { INLINE_SIZE_MAX } from './manifest.ts'
export {
  areLeafHashesOf,
  type ContentLeaves,
  DROP_SECRET_SIZE,
  decodePlace,
  decodePointer,
  encodePlace,
  isSamePlace,
  leafHashesFor,
  mergePointers,
  PLACES_MAX,
  type Place,
  type Pointer,
  unwrapLeaves,
  WRAP_KEY_SIZE,
  wrap,
} from './pointer.ts'
export { type HeldPointer, PointerStore, type PointerUsage } from './pointer-store.ts'
export { type GetPorts, type OpenedObject, openObject, type ReadRange } from './recover.ts'
export { type ProbeContent, type RepairPorts, repairObject, type StripeRepair } from './repair.ts'
export { formatRepairKey, type Handle, parseHandle, parseRepairKey, type RepairKey } from './repair-key.ts'
export { makeRepairKey, subjectOf, subjectOfRepairKey } from './repair-list.ts'
export { type LmdbStoreOptions, openLmdbStore } from './shard-store/lmdb.ts'
export { openLmdbRecords } from './shard-store/lmdb-records.ts'
export { openMemoryStore } from './shard-store/memory.ts'
export { openMemoryRecords } from './shard-store/memory-records.ts'
export type { ArcRange, ShardCache, ShardStore, ShardStores, StoredShard, StoreUsage } from './shard-store/port.ts'
