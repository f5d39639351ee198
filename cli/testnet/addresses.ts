/**
 * Where the nodes of a testnet listen. Each has a loopback address in a /16 of its own, so that the
 * limits on address prefixes apply as they do elsewhere; where the system has 127.0.0.1 only (macOS),
 * each has a port of its own instead. docs/threat-model.md
 */
import { createServer } from 'node:net'
import { TooSlowError } from '../errors.ts'

export interface AddressPlan {
  /** one-each: 127.(i+1).0.1:PORT; shared: 127.0.0.1:(PORT+i) */
  readonly kind: 'one-each' | 'shared'
  readonly basePort: number
}

/** Below the ports that systems give to outgoing connections. */
const PORT_MIN = 20_000
const PORT_MAX = 29_000
const TRIES_MAX = 50

export function nodeAddress(plan: AddressPlan, index: number): string {
  return plan.kind === 'one-each' ? `127.${index + 1}.0.1:${plan.basePort}` : `127.0.0.1:${plan.basePort + index}`
}

/** A plan whose first `count` addresses were all free a moment ago. */
export async function planAddresses(count: number): Promise<AddressPlan> {
  let kind: AddressPlan['kind'] = 'one-each'
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const plan = { kind, basePort: PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN)) }
    const results = await Promise.all(Array.from({ length: count }, (_, index) => tryAddress(nodeAddress(plan, index))))
    if (results.includes('impossible')) kind = 'shared'
    else if (results.every((result) => result === 'free')) return plan
  }
  throw new TooSlowError(`found no base port with ${count} free addresses`)
}

function tryAddress(address: string): Promise<'free' | 'taken' | 'impossible'> {
  const [host = '', port] = address.split(':')
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code === 'EADDRINUSE' || error.code === 'EACCES' ? 'taken' : 'impossible'),
    )
    server.listen({ host, port: Number(port), exclusive: true }, () => server.close(() => resolve('free')))
  })
}
