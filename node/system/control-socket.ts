/**
 * The daemon's end of the control socket: an HTTP/1.1 server that only its own user can reach, by the
 * rights on the socket (0600) and its folder (0700). What is asked and answered is node/control's part.
 * SPEC home §3
 */
import { chmodSync, lstatSync, renameSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { type Log, messageOf } from '../../core/index.ts'
import { checkControlFolder, controlPathOf } from './control-path.ts'
import { FileError, HomePermissionError, ListenError, PortInUseError, systemCodeOf } from './errors.ts'
import { openPrivateFolder, SECRET_MODE } from './files.ts'

const HEAD_SIZE_MAX = 16_384
const HEAD_TIMEOUT_MS = 10_000
const CONNECTIONS_MAX = 64
/** How long an existing socket may take to show that somebody is behind it. */
const PROBE_MS = 1_000

export interface ControlExchange {
  readonly method: string
  /** Path and query as sent. */
  readonly url: string
  readonly req: IncomingMessage
  readonly res: ServerResponse
}

export interface ControlSocket {
  readonly path: string
  /** Ends what is in progress and removes the socket. Resolves once every answer in work has had its `close`. */
  close(): Promise<void>
}

/** Only for who holds the lock of the home. A rejected handler is logged and answered with a bare 500. */
export async function serveControl(
  home: string,
  options: { readonly log: Log; readonly handler: (exchange: ControlExchange) => void | Promise<void> },
): Promise<ControlSocket> {
  const path = controlPathOf(home)
  if (process.platform !== 'win32') {
    openPrivateFolder(dirname(path))
    checkControlFolder(path)
    await removeStale(path)
  }
  const inWork = new Set<ServerResponse>()
  const server = createServer(
    // An upload may take as long as it takes; only its head may not.
    { maxHeaderSize: HEAD_SIZE_MAX, headersTimeout: HEAD_TIMEOUT_MS, requestTimeout: 0, keepAliveTimeout: 5_000 },
    (req, res) => {
      inWork.add(res)
      res.once('close', () => inWork.delete(res))
      Promise.resolve()
        .then(() => options.handler({ method: req.method ?? '', url: req.url ?? '', req, res }))
        .catch((error: unknown) => {
          options.log('error', 'control-handler-failed', { message: messageOf(error) })
          if (res.headersSent) res.destroy()
          else res.writeHead(500, { 'content-length': 0 }).end()
        })
    },
  )
  server.maxConnections = CONNECTIONS_MAX
  server.on('clientError', (_, socket) => socket.destroy())
  await listenAt(server, path)
  const own = fileNumber(path)
  const close = async (): Promise<void> => {
    // Node says that a server is closed before its connections have told their answers.
    const told = [...inWork].map((res) => new Promise((resolve) => res.once('close', resolve)))
    await closeServer(server, { path, own })
    await Promise.all(told)
  }
  return { path, close }
}

function listenAt(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (cause: Error) =>
      reject(
        systemCodeOf(cause) === 'EADDRINUSE'
          ? new PortInUseError(path, { cause })
          : new ListenError(path, systemCodeOf(cause), { cause }),
      )
    server.once('error', fail)
    server.listen(path, () => {
      server.off('error', fail)
      server.on('error', () => {})
      if (process.platform !== 'win32') chmodSync(path, SECRET_MODE)
      resolve()
    })
  })
}

/**
 * Node removes the socket's file itself, by name, whosever it is by now: where a home was removed and made
 * anew, another daemon's socket has our name, and is put aside while ours is closed.
 */
function closeServer(server: Server, { path, own }: { path: string; own: number | undefined }): Promise<void> {
  const found = fileNumber(path)
  const isOthers = found !== undefined && found !== own
  const aside = `${path}.aside`
  return new Promise((resolve) => {
    if (isOthers) renameSync(path, aside)
    server.close(() => resolve())
    if (isOthers) renameSync(aside, path)
    server.closeAllConnections()
  })
}

/** Undefined when there is no such file. */
function fileNumber(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.ino
}

/** A socket that a killed daemon left is removed; one that somebody answers is theirs. */
async function removeStale(path: string): Promise<void> {
  try {
    if (!lstatSync(path).isSocket()) throw new HomePermissionError(path, 'is not a socket')
  } catch (cause) {
    if (systemCodeOf(cause) === 'ENOENT') return
    if (cause instanceof HomePermissionError) throw cause
    throw new FileError(`opening ${path}`, { cause })
  }
  if (await isAnswered(path)) throw new PortInUseError(path)
  rmSync(path, { force: true })
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect({ path })
    const settle = (answered: boolean) => {
      probe.destroy()
      resolve(answered)
    }
    probe.setTimeout(PROBE_MS, () => settle(true))
    probe.once('connect', () => settle(true))
    probe.once('error', (error) => settle(systemCodeOf(error) === 'EAGAIN'))
  })
}
