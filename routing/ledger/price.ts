/** What things cost, the same everywhere. In credits: 1 KiB over one link. SPEC ledger §1 */

/** A relay cell, by its direction; the dearer one pays for the lease of what it may carry. */
export const CELL_PRICE = { towardsGateway: 16, towardsClient: 8 } as const
const KIB = 1_024
const DAY_MS = 24 * 60 * 60_000

/** Bytes delivered and verified. */
export function dataPrice(sizeBytes: number): number {
  return Math.ceil(sizeBytes / KIB)
}
/** A put of `sizeBytes`, or with 1 KiB a renewal. */
export function storePrice(sizeBytes: number, lease: { readonly days: number; readonly copies: number }): number {
  return dataPrice(sizeBytes) + lease.days * lease.copies
}
/** A copy taken by another holder, for as long as its lease still runs. */
export function copyPrice(sizeBytes: number, leaseMs: number): number {
  return dataPrice(sizeBytes) + Math.max(0, Math.ceil(leaseMs / DAY_MS))
}
