/**
 * The yardstick: bytes through a bare chain of processes with as many links as a stored shard crosses. Each
 * process has the product's own transport (TLS, WebSocket, cells) and its settings of the collector, and
 * only passes cells on: no onion, no checks, no disk.
 *
 *   client - guard - middle - gateway - ring hop - keeper - second keeper
 *
 * The far end acknowledges each ACK_EVERY_CELLS cells and the last one; the client keeps at most
 * WINDOW_CELLS unacknowledged, and its clock stops at the last acknowledgement. Whole cells are payload.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { CELL_SIZE, fromHex, type NetworkId, named32, type PublicKey, toHex } from '../../core/index.ts'
import { signingKeyFromSeed } from '../../crypto/index.ts'
import { makeTransport, systemClock, tuneEngine } from '../../node/system/index.ts'
import type { Link } from '../../routing/index.ts'

export const CHAIN_LINKS = 6
/** What the program's first argument says in a process of the chain. */
export const HOP_WORD = 'chain-hop'
/** Half of what a link lets pile up before it gives its peer up. */
const WINDOW_CELLS = 1_024
const ACK_EVERY_CELLS = 32
const ANSWER_WAIT_MS = 120_000

interface Contact {
  readonly address: string
  readonly publicKey: string
}

type Order =
  | { readonly do: 'begin'; readonly networkId: string; readonly seed: string; readonly next: Contact | undefined }
  | { readonly do: 'send'; readonly sizeBytes: number }
  | { readonly do: 'tell-cpu' }

/** The answers to the three orders. */
interface Answers {
  readonly begin: Contact
  readonly send: { readonly tookMs: number }
  readonly 'tell-cpu': { readonly seconds: number }
}

export interface ChainRun {
  readonly tookMs: number
  /** Of all processes of the chain. */
  readonly cpuSeconds: number
}

export class Chain {
  /** The far end first. */
  readonly #hops: readonly ChildProcess[]
  readonly #signal: AbortSignal

  private constructor(hops: readonly ChildProcess[], signal: AbortSignal) {
    this.#hops = hops
    this.#signal = signal
  }

  static async start(program: string, signal: AbortSignal): Promise<Chain> {
    const networkId = randomBytes(32).toString('hex')
    const hops: ChildProcess[] = []
    try {
      let next: Contact | undefined
      for (let i = 0; i <= CHAIN_LINKS; i++) {
        // A group of its own: Ctrl-C is told to the bench alone, which ends the chain in its own time.
        const hop = fork(program, [HOP_WORD], { detached: true, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
        hops.push(hop)
        next = await ask(hop, { do: 'begin', networkId, seed: randomBytes(32).toString('hex'), next }, signal)
      }
      return new Chain(hops, signal)
    } catch (error) {
      await end(hops)
      throw error
    }
  }

  async send(sizeBytes: number): Promise<ChainRun> {
    const beforeSeconds = await this.#cpuSeconds()
    const client = this.#hops.at(-1) as ChildProcess
    const { tookMs } = await ask(client, { do: 'send', sizeBytes }, this.#signal)
    return { tookMs, cpuSeconds: (await this.#cpuSeconds()) - beforeSeconds }
  }

  stop(): Promise<void> {
    return end(this.#hops)
  }

  async #cpuSeconds(): Promise<number> {
    const told = await Promise.all(this.#hops.map((hop) => ask(hop, { do: 'tell-cpu' }, this.#signal)))
    return told.reduce((sum, { seconds }) => sum + seconds, 0)
  }
}

/** One order at a time to each process. */
function ask<Word extends Order['do']>(
  hop: ChildProcess,
  order: Order & { do: Word },
  signal: AbortSignal,
): Promise<Answers[Word]> {
  return new Promise((resolve, reject) => {
    const done = (settle: () => void) => {
      clearTimeout(timer)
      hop.off('message', onAnswer).off('exit', onExit)
      signal.removeEventListener('abort', onAbort)
      settle()
    }
    const onAnswer = (answer: unknown) => done(() => resolve(answer as Answers[Word]))
    const onExit = () => done(() => reject(new Error('a process of the bare chain has ended')))
    const onAbort = () => done(() => reject(signal.reason))
    const onSilence = () => done(() => reject(new Error('a process of the bare chain is silent')))
    const timer = setTimeout(onSilence, ANSWER_WAIT_MS)
    hop.once('message', onAnswer).once('exit', onExit)
    signal.addEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
    else if (!hop.connected) onExit()
    else hop.send(order)
  })
}

async function end(hops: readonly ChildProcess[]): Promise<void> {
  await Promise.all(
    hops.map((hop) => {
      if (hop.exitCode !== null || hop.signalCode !== null) return undefined
      const gone = new Promise<void>((resolve) => hop.once('exit', () => resolve()))
      hop.kill('SIGKILL')
      return gone
    }),
  )
}

// --- in a process of the chain --------------------------------------------------------------------

/** Does what the bench orders until the bench has gone. */
export function runHop(): void {
  tuneEngine()
  process.on('disconnect', () => process.exit())
  let client: Sender | undefined
  const carryOut = async (order: Order): Promise<Answers[Order['do']]> => {
    if (order.do === 'tell-cpu') {
      const { user, system } = process.cpuUsage()
      return { seconds: (user + system) / 1e6 }
    }
    if (order.do === 'send') {
      if (client === undefined) throw new Error('the chain has not begun')
      return { tookMs: await client.send(order.sizeBytes) }
    }
    const begun = await begin(order)
    client = begun.sender
    return begun.contact
  }
  process.on('message', (order) => {
    carryOut(order as Order).then(
      (answer) => process.send?.(answer),
      (error: unknown) => {
        console.error('a process of the bare chain failed:', error)
        process.exit(1)
      },
    )
  })
}

async function begin(order: Order & { do: 'begin' }): Promise<{ contact: Contact; sender: Sender | undefined }> {
  const seed = bytesOf(order.seed)
  const networkId: NetworkId = named32(bytesOf(order.networkId), 'network id')
  const log = () => undefined
  const transport = makeTransport({ seed, networkId, clock: systemClock(), log })
  let onward: Link | undefined
  if (order.next !== undefined) {
    const publicKey: PublicKey = named32(bytesOf(order.next.publicKey), 'public key')
    onward = await transport.dial({ address: order.next.address, publicKey }, { timeoutMs: 10_000 })
  }
  const sender = onward && new Sender(onward)
  const listener = await transport.listen('127.0.0.1:0', (link) => {
    if (sender === undefined) acknowledge(link)
    else sender.passOnFrom(link)
  })
  const contact = { address: listener.address, publicKey: toHex(signingKeyFromSeed(seed).publicKey) }
  return { contact, sender }
}

/** The near end of one link: sends bytes of its own, or what another link brings. */
class Sender {
  readonly #link: Link
  #onBack: (cell: Uint8Array) => void = () => undefined

  constructor(link: Link) {
    this.#link = link
    link.start({ onCell: (cell) => this.#onBack(cell), onDrain: () => undefined, onClose: lost })
  }

  passOnFrom(link: Link): void {
    this.#onBack = (cell) => link.send(cell)
    link.start({ onCell: (cell) => this.#link.send(cell), onDrain: () => undefined, onClose: lost })
  }

  /** Resolves with the time it took once the far end has acknowledged the last cell. */
  send(sizeBytes: number): Promise<number> {
    const cellCount = Math.ceil(sizeBytes / CELL_SIZE)
    const bytes = randomBytes(cellCount * CELL_SIZE)
    let sent = 0
    let acknowledged = 0
    const pump = () => {
      for (; sent < cellCount && sent - acknowledged < WINDOW_CELLS; sent++) {
        // A copy, since the link owns what it is given.
        const cell = Uint8Array.prototype.slice.call(bytes, sent * CELL_SIZE, (sent + 1) * CELL_SIZE)
        viewOf(cell).setUint32(0, cellCount - sent - 1)
        this.#link.send(cell)
      }
    }
    return new Promise((resolve) => {
      const startMs = performance.now()
      this.#onBack = (cell) => {
        acknowledged += viewOf(cell).getUint32(0)
        if (acknowledged === cellCount) resolve(performance.now() - startMs)
        else pump()
      }
      pump()
    })
  }
}

/** The far end: counts. A cell begins with how many come after it, an acknowledgement with how many came. */
function acknowledge(link: Link): void {
  let came = 0
  const onCell = (cell: Uint8Array) => {
    came++
    if (came < ACK_EVERY_CELLS && viewOf(cell).getUint32(0) > 0) return
    const answer = new Uint8Array(CELL_SIZE)
    viewOf(answer).setUint32(0, came)
    came = 0
    link.send(answer)
  }
  link.start({ onCell, onDrain: () => undefined, onClose: lost })
}

function lost(reason: string): void {
  console.error(`a link of the bare chain was lost: ${reason}`)
  process.exit(1)
}

function viewOf(cell: Uint8Array): DataView {
  return new DataView(cell.buffer, cell.byteOffset, cell.byteLength)
}

function bytesOf(hex: string): Uint8Array {
  const bytes = fromHex(hex)
  if (bytes === undefined) throw new Error('not hex digits')
  return bytes
}
