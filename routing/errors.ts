/** What can go wrong in this room, and who must act. */
import { InputError } from '../core/index.ts'

/** A descriptor was to be signed with something that no node would accept. SPEC membership §1 */
export class BadDescriptorError extends InputError {
  readonly code = 'ERR_BAD_DESCRIPTOR'
  constructor(why: string) {
    super(`the node cannot describe itself: ${why}`, {
      hint: 'an address is HOST:PORT with a DNS name, an IPv4 address or an IPv6 address in brackets',
    })
  }
}
