/** What a caller of secret sharing may have got wrong. Messages carry counts, never bytes. */
import { InputError } from '../../core/index.ts'

/** No sharing has these counts, or the secret has the wrong length. SPEC erasure §4 */
export class SharingError extends InputError {
  readonly code = 'ERR_SHARING'
}

/** The shares handed in are not exactly `threshold` distinct ones of the right size. SPEC erasure §4 */
export class ShareSetError extends InputError {
  readonly code = 'ERR_SHARE_SET'
}
