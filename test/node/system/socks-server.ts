/**
 * A SOCKS5 proxy for tests (RFC 1928, 1929) that notes what it is asked for and counts what passes. Names are
 * looked up in a table of its own. It reads byte by byte from one buffer, unlike the client it is to test.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface Asked {
  readonly form: 'ipv4' | 'ipv6' | 'name'
  readonly host: string
  readonly port: number
  readonly user: string | undefined
  readonly password: string | undefined
}

export interface SocksOptions {
  readonly address?: string
  readonly login?: { readonly user: string; readonly password: string }
  /** Answers every request with this number instead of connecting. */
  readonly reply?: number
  /** Sent instead of the reply, whole. */
  readonly raw?: Uint8Array
  /** Answers in pieces of one byte. */
  readonly isSlow?: boolean
  readonly names?: Readonly<Record<string, string>>
}

export interface SocksServer {
  readonly port: number
  readonly asked: Asked[]
  /** Connections that stand, and bytes that passed, both ways. */
  readonly counts: { open: number; up: number; down: number }
  close(): Promise<void>
}

export async function startSocks(options: SocksOptions = {}): Promise<SocksServer> {
  const asked: Asked[] = []
  const counts = { open: 0, up: 0, down: 0 }
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    counts.open += 1
    socket.on('error', () => undefined)
    socket.once('close', () => {
      counts.open -= 1
      sockets.delete(socket)
    })
    void serve(socket, { options, asked, counts }).catch(() => socket.destroy())
  })
  server.listen(0, options.address ?? '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    counts,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

interface Service {
  readonly options: SocksOptions
  readonly asked: Asked[]
  readonly counts: { up: number; down: number }
}

async function serve(socket: Socket, { options, asked, counts }: Service): Promise<void> {
  const say = async (...bytes: number[]) => {
    if (options.isSlow !== true) return void socket.write(Uint8Array.from(bytes))
    for (const byte of bytes) {
      socket.write(Uint8Array.of(byte))
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }
  if ((await take(socket, 1))[0] !== 5) return void socket.destroy()
  const methods = await take(socket, (await take(socket, 1))[0] ?? 0)
  const wanted = options.login === undefined ? 0 : 2
  if (!methods.includes(wanted)) {
    await say(5, 255)
    return void socket.end()
  }
  await say(5, wanted)
  let user: string | undefined
  let password: string | undefined
  if (options.login !== undefined) {
    await take(socket, 1)
    user = (await take(socket, (await take(socket, 1))[0] ?? 0)).toString()
    password = (await take(socket, (await take(socket, 1))[0] ?? 0)).toString()
    const isRight = user === options.login.user && password === options.login.password
    await say(1, isRight ? 0 : 1)
    if (!isRight) return void socket.end()
  }
  const [, , , form] = await take(socket, 4)
  const host =
    form === 1
      ? (await take(socket, 4)).join('.')
      : form === 4
        ? ((await take(socket, 16)).toString('hex').match(/..../g) ?? []).join(':')
        : (await take(socket, (await take(socket, 1))[0] ?? 0)).toString()
  const port = (await take(socket, 2)).readUInt16BE()
  asked.push({ form: form === 1 ? 'ipv4' : form === 4 ? 'ipv6' : 'name', host, port, user, password })
  if (options.raw !== undefined) return void socket.write(options.raw)
  if (options.reply !== undefined) {
    await say(5, options.reply, 0, 1, 0, 0, 0, 0, 0, 0)
    return void socket.end()
  }
  const target = connect({ host: form === 3 ? (options.names?.[host] ?? '192.0.2.1') : host, port, noDelay: true })
  target.on('error', () => socket.destroy())
  target.once('close', () => socket.destroy())
  socket.once('close', () => target.destroy())
  await once(target, 'connect')
  await say(5, 0, 0, 1, 127, 0, 0, 1, 0, 0)
  socket.on('data', (bytes: Buffer) => {
    counts.up += bytes.length
  })
  target.on('data', (bytes: Buffer) => {
    counts.down += bytes.length
  })
  socket.pipe(target)
  target.pipe(socket)
}

async function take(socket: Socket, size: number): Promise<Buffer> {
  for (;;) {
    if (size === 0) return Buffer.alloc(0)
    const bytes: Buffer | null = socket.read(size)
    if (bytes !== null) return bytes
    await Promise.race([once(socket, 'readable'), once(socket, 'end').then(() => Promise.reject(new Error('over')))])
  }
}
