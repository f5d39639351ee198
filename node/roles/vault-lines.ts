/**
 * What a keeper may ask of the vaults that are attached to it, and of those attached elsewhere on the ring.
 * Who they are it cannot tell: a line is a circuit that the vault built. SPEC vaults §2-§4
 */
import type { Location, PublicKey } from '../../core/index.ts'
import type { LeafRange } from '../../routing/index.ts'

/** Where a blob lies: a line, and the blob's name on it. */
export interface BlobPlace {
  readonly point: Location
  readonly line: PublicKey
  /** Merkle root of the blob's bytes. 32 bytes. */
  readonly root: Uint8Array
}

/** A line attached here. */
export interface AttachedLine {
  readonly point: Location
  readonly line: PublicKey
  /** Blobs it may still be given. */
  readonly slotsFree: number
  readonly isLeaving: boolean
}

export interface Blob {
  /** SHARD_SIZE bytes, wrapped. */
  readonly bytes: Uint8Array
  readonly leaseEndMs: number
  /** Of the secret that a DROP has to show. 32 bytes. */
  readonly dropHash: Uint8Array
}

export interface ReadAsk {
  readonly range: LeafRange
  /** Prolongs the blob's lease first; absent: as it is. */
  readonly leaseEndMs?: number
}

/** `proof` is empty for all leaves. */
export interface BlobLeaves {
  readonly leaves: Uint8Array
  readonly proof: Uint8Array
}

export interface VaultLines {
  attached(): readonly AttachedLine[]
  /** Resolves with 'kept' once the vault says that it has flushed. 'failed': the line broke or was silent. */
  keep(line: PublicKey, blob: Blob): Promise<'kept' | 'full' | 'failed'>
  /** Over a line attached here, else along the ring; checked against the root. Undefined: not had. */
  read(place: BlobPlace, ask: ReadAsk): Promise<BlobLeaves | undefined>
  /** As `read`, over a line attached here only. */
  readHere(place: BlobPlace, ask: ReadAsk): Promise<BlobLeaves | undefined>
  /** Over lines attached here only; true when the vault says that it is gone. */
  drop(place: BlobPlace, secret: Uint8Array): Promise<boolean>
  /** Monotonic ms since which no line with this key is attached here; undefined: it is attached, or never was. */
  absentSinceMs(line: PublicKey): number | undefined
  /** An audit's result: slots grow only while all pass. */
  audited(line: PublicKey, hasPassed: boolean): void
  /** How many blobs a leaving line still has to be relieved of; asked when its vault says LEAVE. */
  onLeave: (line: PublicKey) => number
  /** How many blobs this keeper knows on a line: what its slots are taken by, besides those being kept just now. */
  blobsOn: (line: PublicKey) => number
}

/** Where there are no vaults: nothing is attached, nothing is had. */
export const NO_LINES: VaultLines = {
  attached: () => [],
  keep: async () => 'failed',
  read: async () => undefined,
  readHere: async () => undefined,
  drop: async () => false,
  absentSinceMs: () => undefined,
  audited: () => {},
  onLeave: () => 0,
  blobsOn: () => 0,
}
