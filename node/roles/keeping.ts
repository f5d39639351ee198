/** A keeper with all that belongs to it, put together in the one way there is. SPEC requests §6, §7 */
import type { Log, NetworkId } from '../../core/index.ts'
import type { SigningKey } from '../../crypto/index.ts'
import { Copies, type CopiesPorts } from './copies.ts'
import { Holders, type HoldersPorts } from './holders.ts'
import { Keeper } from './keeper.ts'
import { Reconciler } from './reconciler.ts'

export interface KeepingPorts extends HoldersPorts, CopiesPorts {
  readonly log: Log
  readonly networkId: NetworkId
  readonly key: SigningKey
}

export interface Keeping {
  readonly holders: Holders
  readonly keeper: Keeper
  readonly reconciler: Reconciler
}

export function makeKeeping(ports: KeepingPorts): Keeping {
  const holders = new Holders(ports)
  const parts = { holders, copies: new Copies(ports) }
  return { holders, keeper: new Keeper({ ...ports, ...parts }), reconciler: new Reconciler({ ...ports, ...parts }) }
}
