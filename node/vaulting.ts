/** A node as a vault: what it keeps, and the lines by which it is reached, put together. SPEC vaults §2, §3 */
import type { RecordStore } from '../core/index.ts'
import type { ShardStore } from '../storage/index.ts'
import { Guards, type GuardsPorts } from './guards.ts'
import { Vault } from './roles/vault.ts'
import { SecondRelays } from './second-relays.ts'
import { Lines, type LinesPorts } from './tasks/lines.ts'

export interface VaultingPorts
  extends Omit<LinesPorts, 'guards' | 'seconds' | 'vault' | 'selfId'>,
    Omit<GuardsPorts, 'stateKey'> {
  readonly selfId: () => LinesPorts['selfId']
  readonly records: RecordStore
  /** For the blobs of keepers alone. */
  readonly store: ShardStore
}

export class Vaulting {
  readonly vault: Vault
  readonly lines: Lines
  readonly guards: Guards

  constructor(ports: VaultingPorts) {
    this.vault = new Vault(ports)
    this.guards = new Guards({ ...ports, stateKey: 'vault-guards' })
    this.lines = new Lines({
      ...ports,
      selfId: ports.selfId(),
      guards: this.guards,
      seconds: new SecondRelays(ports),
      vault: this.vault,
    })
  }

  start(): void {
    this.vault.start()
    this.lines.start()
  }

  stop(): void {
    this.vault.stop()
    this.lines.stop()
  }
}
