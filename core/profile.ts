/**
 * The one table in which networks differ. No other constant depends on the network.
 * SPEC overview §4. Times in milliseconds.
 */
export interface Profile {
  readonly name: ProfileName
  /** Successors each node lists; a network starts from one seed more. SPEC ring §3 */
  readonly successors: number
  readonly stabiliseEveryMs: number
  /** Leading zero bits an identity's proof of work needs; 0: no work. SPEC crypto §6 */
  readonly puzzleBits: number
  readonly gossipEveryMs: number
  /** A descriptor is signed anew so often, and dropped when it is three times as old. */
  readonly descriptorEveryMs: number
  /** A leaver goes on forwarding so long. SPEC ring §6 */
  readonly leaveForwardMs: number
  /** A guard should have been known so long. SPEC circuits §6 */
  readonly guardAgeMs: number
  readonly guardKeepMs: { readonly min: number; readonly max: number }
  readonly circuitAgeMaxMs: { readonly min: number; readonly max: number }
  /** Distinct gateways a client wants circuits to. */
  readonly gateways: number
  /** Nodes that hold a copy of each shard. SPEC requests §6 */
  readonly copies: number
  /** Keepers compare what they hold with their neighbours so often, besides at each ring change. */
  readonly reconcileEveryMs: number
  /** Keepers that a vault serves at a time; 0: there are no vaults. SPEC vaults §2 */
  readonly vaultLines: number
  /** Blobs a keeper gives a new line at most ... */
  readonly vaultSlots: number
  /** ... and twice as many after each such time that the line has passed all audits. */
  readonly vaultSlotsDoubleMs: number
  /** What lies behind a line is replaced when the line was absent for so long. SPEC vaults §7 */
  readonly vaultAbsentMs: number
  /** A vault that leaves waits so long for its keepers to move what it holds. */
  readonly vaultDrainMs: number
  /** The same line is audited so often. SPEC vaults §7 */
  readonly vaultAuditEveryMs: number
}

export type ProfileName = 'production' | 'testnet'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  production: {
    name: 'production',
    successors: 16,
    stabiliseEveryMs: 15 * SECOND,
    puzzleBits: 11,
    gossipEveryMs: 60 * SECOND,
    descriptorEveryMs: HOUR,
    leaveForwardMs: 30 * SECOND,
    guardAgeMs: 48 * HOUR,
    guardKeepMs: { min: 90 * DAY, max: 150 * DAY },
    circuitAgeMaxMs: { min: 5 * MINUTE, max: 15 * MINUTE },
    gateways: 11,
    copies: 2,
    reconcileEveryMs: HOUR,
    vaultLines: 8,
    vaultSlots: 64,
    vaultSlotsDoubleMs: 3 * DAY,
    vaultAbsentMs: DAY,
    vaultDrainMs: 5 * MINUTE,
    // 64 leaves a day.
    vaultAuditEveryMs: DAY / 64,
  },
  testnet: {
    name: 'testnet',
    successors: 6,
    stabiliseEveryMs: 2 * SECOND,
    puzzleBits: 0,
    gossipEveryMs: 4 * SECOND,
    descriptorEveryMs: 20 * SECOND,
    leaveForwardMs: 3 * SECOND,
    guardAgeMs: 48 * HOUR,
    guardKeepMs: { min: 90 * DAY, max: 150 * DAY },
    circuitAgeMaxMs: { min: 5 * MINUTE, max: 15 * MINUTE },
    gateways: 11,
    copies: 2,
    reconcileEveryMs: 5 * MINUTE,
    vaultLines: 8,
    vaultSlots: 4_096,
    vaultSlotsDoubleMs: 3 * DAY,
    vaultAbsentMs: 20 * SECOND,
    vaultDrainMs: 30 * SECOND,
    vaultAuditEveryMs: 5 * SECOND,
  },
}
