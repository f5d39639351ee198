/**
 * Lines to vaults without the circuits: what a keeper asks of them (node/roles/vault-lines.ts), answered from
 * memory. Vaults have room for so many blobs, come and go, refuse, lose and damage what they hold; a line belongs to
 * the keeper that owns its point, and others reach it from afar. SPEC vaults §2 to §4
 */
import {
  type Clock,
  equalBytes,
  LEAF_COUNT,
  LEAF_SIZE,
  type Location,
  type PublicKey,
  toHex,
} from '../../core/index.ts'
import { merkleProof, merkleRoot } from '../../crypto/index.ts'
import { dropHashOf } from '../../node/roles/vault.ts'
import type { AttachedLine, Blob, BlobPlace, VaultLines } from '../../node/roles/vault-lines.ts'

interface StoredBlob extends Blob {
  leaseEndMs: number
}

/** One line, and what its vault holds behind it. */
export class MemoryLine {
  readonly point: Location
  readonly line: PublicKey
  readonly blobs = new Map<string, StoredBlob>()
  readonly slots: number
  /** Whether the vault is there. */
  isUp = true
  isLeaving = false
  /** Instead of keeping what it is given; 'lies': says kept, and has nothing. */
  keeps: 'kept' | 'full' | 'failed' | 'lies' = 'kept'
  absentSinceMs: number | undefined
  /** How a keeper has judged it, audit by audit. */
  readonly audits: boolean[] = []

  constructor(at: { point: Location; line: PublicKey; slots: number }) {
    this.point = at.point
    this.line = at.line
    this.slots = at.slots
  }

  take(blob: Blob): 'kept' | 'full' | 'failed' {
    if (!this.isUp || this.keeps === 'failed') return 'failed'
    if (this.keeps === 'full' || this.blobs.size >= this.slots) return 'full'
    if (this.keeps === 'kept') this.blobs.set(toHex(merkleRoot(blob.bytes)), { ...blob })
    return 'kept'
  }
}

/** All lines of a ring. `ownerOf` names the keeper at which a point is attached. */
export class MemoryVaults {
  readonly lines: MemoryLine[] = []
  readonly #clock: Clock
  readonly #ownerOf: (point: Location) => string

  constructor(parts: { readonly clock: Clock; readonly ownerOf: (point: Location) => string }) {
    this.#clock = parts.clock
    this.#ownerOf = parts.ownerOf
  }

  /** What the keeper of this name sees. */
  at(keeper: string): VaultLines {
    const isHere = (line: MemoryLine): boolean => line.isUp && this.#ownerOf(line.point) === keeper
    const find = ({ line }: { line: PublicKey }): MemoryLine | undefined =>
      this.lines.find((each) => equalBytes(each.line, line))
    const read: VaultLines['read'] = async (place, ask) => {
      const line = find(place)
      const blob = line?.isUp === true ? line.blobs.get(toHex(place.root)) : undefined
      if (blob === undefined || blob.leaseEndMs <= this.#clock.nowMs()) return undefined
      const { from, count } = ask.range
      const leaves = blob.bytes.slice(from * LEAF_SIZE, (from + count) * LEAF_SIZE)
      if (!equalBytes(merkleRoot(blob.bytes), place.root)) return undefined
      blob.leaseEndMs = Math.max(blob.leaseEndMs, ask.leaseEndMs ?? 0)
      return { leaves, proof: count === LEAF_COUNT ? new Uint8Array(0) : merkleProof(blob.bytes, ask.range) }
    }
    const drop = async (place: BlobPlace, secret: Uint8Array): Promise<boolean> => {
      const line = find(place)
      const blob = line !== undefined && isHere(line) ? line.blobs.get(toHex(place.root)) : undefined
      if (blob === undefined || !equalBytes(dropHashOf(secret), blob.dropHash)) return false
      return line?.blobs.delete(toHex(place.root)) === true
    }
    const lines: VaultLines = {
      attached: () => this.lines.filter(isHere).map((line) => this.#shown(line)),
      keep: async (key, blob) => {
        const line = find({ line: key })
        return line !== undefined && isHere(line) ? line.take(blob) : 'failed'
      },
      read,
      readHere: async (place, ask) => {
        const line = find(place)
        return line !== undefined && isHere(line) ? read(place, ask) : undefined
      },
      drop,
      absentSinceMs: (key) => find({ line: key })?.absentSinceMs,
      audited: (key, hasPassed) => void find({ line: key })?.audits.push(hasPassed),
      onLeave: () => 0,
      blobsOn: () => 0,
    }
    return lines
  }

  #shown(line: MemoryLine): AttachedLine {
    const { point, isLeaving } = line
    return { point, line: line.line, isLeaving, slotsFree: line.slots - line.blobs.size }
  }
}
