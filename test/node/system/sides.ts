/** Transports for tests over loopback, with everything they log and the cells they get. */

import { CELL_SIZE, type Clock, type LogFields, type NetworkId, named32 } from '../../../core/index.ts'
import { signingKeyFromSeed, tagged } from '../../../crypto/index.ts'
import { systemClock } from '../../../node/system/clock.ts'
import type { TransportLimits } from '../../../node/system/link-settings.ts'
import type { SocksProxy } from '../../../node/system/socks.ts'
import { type CountedTransport, makeTransport } from '../../../node/system/transport.ts'
import type { Link } from '../../../routing/index.ts'

export const NETWORK = networkOf(9)
export const TIMEOUT_MS = 20_000

export function networkOf(value: number): NetworkId {
  return named32<'NetworkId'>(new Uint8Array(32).fill(value), 'network id')
}

export function seedOf(value: number): Uint8Array {
  return new Uint8Array(32).fill(value)
}

export function keyOf(value: number) {
  return signingKeyFromSeed(seedOf(value)).publicKey
}

/** A cell that can be told from every other number's. */
export function cellOf(number: number): Uint8Array {
  const cell = new Uint8Array(CELL_SIZE)
  cell.set(tagged('hush/1/id', new Uint8Array(new Uint32Array([number]).buffer)))
  new DataView(cell.buffer).setUint32(CELL_SIZE - 4, number)
  return cell
}

export function numberOf(cell: Uint8Array): number {
  return new DataView(cell.buffer, cell.byteOffset, cell.byteLength).getUint32(CELL_SIZE - 4)
}

export interface Side {
  readonly transport: CountedTransport
  readonly lines: { event: string; fields: LogFields | undefined }[]
}

const open: CountedTransport[] = []

export function makeSide(
  seed: number,
  options: {
    network?: NetworkId
    limits?: Partial<TransportLimits>
    clock?: Clock
    keyLog?: (line: string) => void
    proxy?: SocksProxy
    mayLookUp?: boolean
  } = {},
): Side {
  const lines: Side['lines'] = []
  const transport = makeTransport({
    seed: seedOf(seed),
    networkId: options.network ?? NETWORK,
    clock: options.clock ?? systemClock(),
    log: (_, event, fields) => lines.push({ event, fields }),
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    ...(options.keyLog === undefined ? {} : { keyLog: options.keyLog }),
    ...(options.proxy === undefined ? {} : { proxy: options.proxy }),
    ...(options.mayLookUp === undefined ? {} : { mayLookUp: options.mayLookUp }),
  })
  open.push(transport)
  return { transport, lines }
}

export async function closeSides(): Promise<void> {
  await Promise.all(open.splice(0).map((transport) => transport.close()))
}

/** A started link and what came of it. */
export class Watched {
  readonly link: Link
  readonly cells: Uint8Array[] = []
  drains = 0
  reason: string | undefined
  #onChange: (() => void)[] = []

  constructor(link: Link) {
    this.link = link
    link.start({
      onCell: (cell) => {
        this.cells.push(cell)
        this.#changed()
      },
      onDrain: () => {
        this.drains += 1
        this.#changed()
      },
      onClose: (reason) => {
        if (this.reason !== undefined) throw new Error('closed twice')
        this.reason = reason
        this.#changed()
      },
    })
  }

  /** Resolves when the condition holds; asked again at each event. */
  async until(holds: (watched: this) => boolean): Promise<this> {
    while (!holds(this)) await new Promise<void>((resolve) => this.#onChange.push(resolve))
    return this
  }

  #changed(): void {
    for (const wake of this.#onChange.splice(0)) wake()
  }
}

/** A listener whose links are started and collected. */
export async function listening(side: Side, address = '127.0.0.1:0') {
  const links: Watched[] = []
  const waiting: ((link: Watched) => void)[] = []
  const listener = await side.transport.listen(address, (link) => {
    const watched = new Watched(link)
    const next = waiting.shift()
    if (next === undefined) links.push(watched)
    else next(watched)
  })
  const next = () => {
    const ready = links.shift()
    return ready === undefined ? new Promise<Watched>((resolve) => waiting.push(resolve)) : Promise.resolve(ready)
  }
  return { listener, address: listener.address, port: Number(listener.address.split(':').at(-1)), next }
}

/** One link, both ends. */
export async function linked(server: Side, client: Side, serverSeed: number) {
  const door = await listening(server)
  const link = await client.transport.dial(
    { address: door.address, publicKey: keyOf(serverSeed) },
    { timeoutMs: TIMEOUT_MS },
  )
  const far = await door.next()
  return { near: new Watched(link), far, door }
}

/** Polls a condition nobody announces. */
export async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5))
}
