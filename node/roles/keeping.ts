/** A keeper with all that belongs to it, put together in the one way there is. SPEC requests §6, §7, vaults §6, §7 */
import type { Jitter, Log, NetworkId } from '../../core/index.ts'
import type { SigningKey } from '../../crypto/index.ts'
import type { PointerStore } from '../../storage/index.ts'
import { Blobs } from './blobs.ts'
import { Copies, type CopiesPorts } from './copies.ts'
import { Holders, type HoldersPorts } from './holders.ts'
import { Keeper } from './keeper.ts'
import { PointerReconciler } from './pointer-reconciler.ts'
import { Reconciler } from './reconciler.ts'
import { Tending } from './tending.ts'
import { NO_LINES, type VaultLines } from './vault-lines.ts'
import { Vaulted } from './vaulted.ts'

export interface KeepingPorts extends HoldersPorts, CopiesPorts {
  readonly jitter: Jitter
  readonly log: Log
  readonly networkId: NetworkId
  readonly key: SigningKey
  readonly pointers: PointerStore
  /** Whether this node itself has the blob, as a vault. */
  readonly isVaultOf?: (root: Uint8Array) => boolean
  /** Absent where there are no vaults. */
  readonly lines?: VaultLines | undefined
}

export interface Keeping {
  readonly holders: Holders
  readonly copies: Copies
  readonly keeper: Keeper
  readonly blobs: Blobs
  readonly tending: Tending
  readonly reconciler: Reconciler
  readonly pointerReconciler: PointerReconciler
}

export function makeKeeping(ports: KeepingPorts): Keeping {
  const lines = ports.lines ?? NO_LINES
  const parts = { holders: new Holders(ports), copies: new Copies(ports), blobs: new Blobs({ ...ports, lines }) }
  const vaulted = new Vaulted({ ...ports, ...parts, isVaultOf: ports.isVaultOf ?? (() => false) })
  const tending = new Tending({ ...ports, ...parts, lines, vaulted })
  if (ports.lines !== undefined) {
    ports.lines.blobsOn = (line) => ports.pointers.onLine(line)
    ports.lines.onLeave = (line) => tending.leaving(line)
  }
  return {
    ...parts,
    tending,
    keeper: new Keeper({ ...ports, ...parts, vaulted }),
    reconciler: new Reconciler({ ...ports, ...parts }),
    pointerReconciler: new PointerReconciler({ ...ports, ...parts, tending, vaulted }),
  }
}
