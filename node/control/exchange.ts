/**
 * One HTTP request over the control socket, with a body streamed under backpressure and the answer
 * streaming back at the same time. A connection serves one request. SPEC control §2
 */
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http'
import { concatBytes } from '../../core/index.ts'
import {
  ControlAccessError,
  ControlProtocolError,
  DaemonError,
  DaemonGoneError,
  DaemonSilentError,
  NoDaemonError,
} from './errors.ts'
import { parseJson } from './lines.ts'
import { checkControlFolder, controlPathOf } from './path.ts'
import { errorBodySchema } from './types.ts'

export interface Exchange {
  readonly home: string
  readonly method: 'GET' | 'POST'
  /** With its query, encoded. */
  readonly path: string
  /** In words, for errors: "status", "the put". */
  readonly during: string
  readonly body?: AsyncIterable<Uint8Array>
  readonly signal?: AbortSignal
  /** Silence allowed on the connection; absent: any. */
  readonly silenceMsMax?: number
}

export interface Answer {
  readonly message: IncomingMessage
  /** What a break of the connection means to the caller. */
  translate(error: unknown): unknown
}

/** Error bodies are small; more than this is not one of ours. */
const ERROR_BODY_SIZE_MAX = 65_536

/**
 * Resolves with the head of a 200 answer; the caller reads or destroys the message. Any other status
 * throws the error that the daemon gave. Source errors of the body are thrown as they are.
 */
export async function exchange(wish: Exchange): Promise<Answer> {
  const socketPath = controlPathOf(wish.home)
  checkControlFolder(socketPath)
  wish.signal?.throwIfAborted()
  const request = httpRequest({
    socketPath,
    method: wish.method,
    path: wish.path,
    agent: false,
    headers: { host: 'hush', connection: 'close', ...(wish.body && { 'content-type': 'application/octet-stream' }) },
    ...(wish.signal && { signal: wish.signal }),
  })
  let silent = false
  if (wish.silenceMsMax !== undefined) {
    request.setTimeout(wish.silenceMsMax, () => {
      silent = true
      request.destroy()
    })
  }
  let sourceError: { readonly error: unknown } | undefined
  const translate = (error: unknown): unknown => {
    if (sourceError !== undefined) return sourceError.error
    if (wish.signal?.aborted === true) return wish.signal.reason
    if (silent) return new DaemonSilentError(wish.during)
    return translateSocketError(error, wish)
  }
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve)
    request.on('error', (error) => reject(translate(error)))
  })
  send(request, wish.body).catch((error: unknown) => {
    sourceError ??= { error }
    request.destroy(error instanceof Error ? error : new Error('the source failed'))
  })
  const message = await answered
  if (message.statusCode === 200) return { message, translate }
  const error = await errorOf(message, translate)
  request.destroy()
  throw error
}

async function send(request: ClientRequest, body: AsyncIterable<Uint8Array> | undefined): Promise<void> {
  if (body !== undefined) {
    for await (const piece of body) {
      if (request.destroyed) return
      if (!request.write(piece)) await drained(request)
    }
  }
  if (!request.destroyed) request.end()
}

/** Resolves when the request takes more, or never will again. */
function drained(request: ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      request.off('drain', done).off('close', done)
      resolve()
    }
    if (request.destroyed) resolve()
    else request.once('drain', done).once('close', done)
  })
}

async function errorOf(message: IncomingMessage, translate: (error: unknown) => unknown): Promise<unknown> {
  const pieces: Uint8Array[] = []
  let size = 0
  try {
    for await (const piece of message as AsyncIterable<Uint8Array>) {
      size += piece.length
      if (size > ERROR_BODY_SIZE_MAX) return new ControlProtocolError(`status ${message.statusCode}`)
      pieces.push(piece)
    }
  } catch (error) {
    return translate(error)
  }
  const body = errorBodySchema.safeParse(size === 0 ? undefined : parseJson(concatBytes(...pieces)))
  return body.success ? new DaemonError(body.data) : new ControlProtocolError(`status ${message.statusCode}`)
}

function translateSocketError(cause: unknown, wish: Exchange): unknown {
  const code = (cause as { code?: unknown } | undefined)?.code
  if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTSOCK' || code === 'ENOTDIR')
    return new NoDaemonError(wish.home, { cause })
  if (code === 'EACCES' || code === 'EPERM') return new ControlAccessError('permission denied', { cause })
  if (typeof code === 'string' && code.startsWith('HPE_')) return new ControlProtocolError('not HTTP', { cause })
  return new DaemonGoneError(wish.during, { cause })
}
