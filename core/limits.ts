/**
 * Every size that more than one room relies on, and at load time the checks that they fit together.
 * SPEC circuits §1, dispersal §2. Sizes in bytes unless named otherwise.
 */
import { assert } from './errors.ts'

// --- specification -----------------------------------------------------------------------------

/** One size for everything on a link. Measured choice: docs/decisions/0003-cell-size.md */
export const CELL_SIZE = 8_184
/** circuit u32, command u8 */
export const CELL_HEADER_SIZE = 5
export const CELL_BODY_SIZE = CELL_SIZE - CELL_HEADER_SIZE
/** What one onion layer adds: one byte of direction and a 16-byte tag. */
export const LAYER_SIZE = 17
export const HOPS_MAX = 4
/** relay command u8, stream u16, length u16 */
export const RELAY_HEADER_SIZE = 5
/** Data that fits one relay cell for hop `hop` (from 1). */
export function relayDataSizeMax(hop: number): number {
  return CELL_BODY_SIZE - LAYER_SIZE * hop - RELAY_HEADER_SIZE
}

export const FRAGMENT_SIZE = 63_360
export const SHARD_HEADER_SIZE = 128
export const SHARD_SIZE = SHARD_HEADER_SIZE + FRAGMENT_SIZE
/** Sixteen leaves to a shard, a full tree: docs/decisions/0004-leaf-size.md */
export const LEAF_COUNT = 16
export const LEAF_SIZE = SHARD_SIZE / LEAF_COUNT
/** Fragments of a full stripe. */
export const STRIPE_K_MAX = 8
export const STRIPE_SIZE = STRIPE_K_MAX * FRAGMENT_SIZE
/** A stripe of k fragments has n = 2k + 6 shards. SPEC dispersal §3 */
export function shardCount(k: number): number {
  return 2 * k + 6
}
export const STRIPE_N_MAX = shardCount(STRIPE_K_MAX)
/** Copies of an object's root, each at a location of its own. SPEC addresses §2 */
export const ROOT_COPIES = 8

// --- implementation ----------------------------------------------------------------------------

/** A message on a link or a circuit: one shard and its envelope, or a list of descriptors. */
export const MESSAGE_SIZE_MAX = 66_560
/** Cells one circuit may have waiting on one link before it is destroyed. SPEC circuits §5 */
export const CIRCUIT_CELLS_QUEUED_MAX = 512
/** Requests one circuit may have outstanding at its gateway. */
export const CIRCUIT_REQUESTS_MAX = 32
/** Cells in flight on one circuit in one direction before an acknowledgement is due. */
export const CIRCUIT_WINDOW_CELLS = 256
/** One acknowledgement for so many cells. */
export const CIRCUIT_ACK_EVERY_CELLS = 32

assert(LEAF_SIZE * LEAF_COUNT === SHARD_SIZE && Number.isInteger(LEAF_SIZE), 'leaves fill a shard')
assert(MESSAGE_SIZE_MAX >= SHARD_SIZE + 512, 'a shard fits one message with its envelope')
assert(CIRCUIT_WINDOW_CELLS < CIRCUIT_CELLS_QUEUED_MAX, 'a full window fits the queue')
assert(STRIPE_N_MAX <= 255, 'shards of a stripe are counted in one byte')
