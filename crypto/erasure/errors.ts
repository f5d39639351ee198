/** What a caller of the erasure code may have got wrong. Messages carry counts and sizes, never bytes. */
import { InputError } from '../../core/index.ts'

/** No code has these counts or sizes. SPEC erasure §2 */
export class CodeShapeError extends InputError {
  readonly code = 'ERR_CODE_SHAPE'
}

/** The fragments handed in are not k distinct ones of the right size. SPEC erasure §3 */
export class FragmentSetError extends InputError {
  readonly code = 'ERR_FRAGMENT_SET'
}
