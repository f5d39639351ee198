/** What the daemon's side of the control API reads and writes in one way everywhere. SPEC control §2 */
import { concatBytes, HushError, InputError, type Log, messageOf, toUtf8 } from '../../core/index.ts'
import { type Handle, parseHandle } from '../../storage/index.ts'
import type { ControlExchange } from '../system/index.ts'
import type { ErrorBody } from './types.ts'

type Request = ControlExchange['req']
export type Response = ControlExchange['res']

/** The request does not follow the API. */
export class BadRequestError extends InputError {
  readonly code = 'ERR_BAD_REQUEST'
}

const BODY_SIZE_MAX = 65_536

/** A part of a path, decoded. */
export function decodedPart(part: string | undefined): string {
  try {
    return decodeURIComponent(part ?? '')
  } catch {
    throw new BadRequestError('a part of the path is not percent-encoded')
  }
}

/** An address or a repair key. Throws storage's errors for what is neither: before anything goes out. */
export function handleOf(part: string | undefined): Handle {
  return parseHandle(decodedPart(part))
}

export function json(res: Response, value: object): void {
  res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

export function parsed<T>(
  schema: {
    safeParse(
      value: unknown,
    ): { success: true; data: T } | { success: false; error: { issues: { message: string; path: PropertyKey[] }[] } }
  },
  value: unknown,
): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const [issue] = result.error.issues
  throw new BadRequestError(`${issue?.path.map(String).join('.') || 'request'}: ${issue?.message ?? 'wrong'}`)
}

/** The body of a request. A caller that breaks off is no fault of the daemon. */
export async function* bodyOf(req: Request): AsyncGenerator<Uint8Array> {
  try {
    yield* req
  } catch (cause) {
    throw new BadRequestError('the request broke off', { cause })
  }
}

export async function readSmall(req: Request): Promise<string> {
  const pieces: Uint8Array[] = []
  let size = 0
  for await (const piece of bodyOf(req)) {
    size += piece.length
    if (size > BODY_SIZE_MAX) throw new BadRequestError('the request is too large')
    pieces.push(piece)
  }
  const text = toUtf8(concatBytes(...pieces))
  if (text === undefined) throw new BadRequestError('the request is not UTF-8')
  return text
}

export function toErrorBody(error: unknown, log: Log): ErrorBody {
  if (!(error instanceof HushError)) {
    log('error', 'control call failed', { reason: messageOf(error) })
    return { code: 'ERR_BUG', kind: 'bug', message: 'the daemon failed; its log says more' }
  }
  const { code, kind, message, hint } = error
  return { code, kind, message, ...(hint !== undefined && { hint }) }
}

/** Aborts when the caller goes away. */
export function goneSignal(res: Response): AbortSignal {
  const gone = new AbortController()
  res.once('close', () => gone.abort(new BadRequestError('the caller went away')))
  return gone.signal
}

/** Begins a stream of events; the returned function sends one. */
export function startEvents(res: Response): (event: object) => void {
  res.writeHead(200, { 'content-type': 'application/x-ndjson' })
  return (event) => void res.write(`${JSON.stringify(event)}\n`)
}
