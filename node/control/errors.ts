/** What can go wrong between a program and its own daemon. SPEC control §2 */
import { type ErrorKind, HushError, LocalError, UnavailableError } from '../../core/index.ts'
import type { ErrorBody } from './types.ts'

/** An error the daemon told of, with the code, kind and words it gave. */
export class DaemonError extends HushError {
  readonly code: `ERR_${string}`
  readonly kind: ErrorKind
  constructor(body: ErrorBody) {
    super(body.message, body.hint === undefined ? undefined : { hint: body.hint })
    this.code = body.code as `ERR_${string}`
    this.kind = body.kind
  }
}

/** Nobody listens at the home's control socket. */
export class NoDaemonError extends UnavailableError {
  readonly code = 'ERR_NO_DAEMON'
  readonly home: string
  constructor(home: string, options?: { cause?: unknown; hint?: string }) {
    super(`no daemon is running for this home (${home})`, { hint: 'start one with: hush up --detach', ...options })
    this.home = home
  }
}

/** The daemon closed the connection before it had answered in full. */
export class DaemonGoneError extends UnavailableError {
  readonly code = 'ERR_DAEMON_GONE'
  constructor(during: string, options?: { cause?: unknown }) {
    super(`the daemon went away during ${during}`, { ...options, hint: 'look with: hush status; then run it again' })
  }
}

/** The daemon accepted a request and then stayed silent. */
export class DaemonSilentError extends UnavailableError {
  readonly code = 'ERR_DAEMON_SILENT'
  constructor(during: string) {
    super(`the daemon did not answer during ${during}`, { hint: 'stop it with: hush down --now; then start it again' })
  }
}

/** The control socket is there but not ours to use. */
export class ControlAccessError extends LocalError {
  readonly code = 'ERR_CONTROL_ACCESS'
  constructor(why: string, options?: { cause?: unknown }) {
    super(`cannot use the control socket: ${why}`, { ...options, hint: 'run as the user who owns the home folder' })
  }
}

/** The daemon's answer does not follow the API: most likely it is of another version. */
export class ControlProtocolError extends LocalError {
  readonly code = 'ERR_CONTROL_PROTOCOL'
  constructor(what: string, options?: { cause?: unknown }) {
    super(`the daemon's answer was not understood (${what})`, {
      ...options,
      hint: 'daemon and command may be of different versions: hush down, then hush up --detach',
    })
  }
}
