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
  /** What a neighbour got and has not signed for yet is proposed after so long at the latest. SPEC ledger §6 */
  readonly ledgerEveryMs: number
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
    ledgerEveryMs: 60 * SECOND,
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
    ledgerEveryMs: 10 * SECOND,
  },
}
