/** The door of secret sharing: any `threshold` shares give the secret, fewer tell nothing. SPEC erasure §4 */
export { ShareSetError, SharingError } from './errors.ts'
export {
  combineShares,
  evaluateShare,
  SECRET_SIZE,
  SHARES_MAX,
  type Share,
  type SharingCounts,
  splitSecret,
} from './sharing.ts'
