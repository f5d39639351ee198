/**
 * The streams of one circuit, as one of its two ends has them: what it asks and what it is asked, cut into
 * cells and joined again, within both windows. SPEC circuits §4, §5
 *
 *   opened here:       asked ──> answered, or given up: to the other end it is open until it has answered
 *   opened over there: asked ──> being answered ──> the answer waits for the window ──> sent
 *
 * It seals nothing and knows no hop. What the other end does wrong is thrown: the circuit has to go then.
 */
import { CELL_SIZE, CIRCUIT_REQUESTS_MAX, type Clock, MalformedError, type Timer } from '../core/index.ts'
import {
  decodeAck,
  encodeAck,
  isWindowed,
  RELAY_COMMANDS,
  ReceiveWindow,
  type RelayMessage,
  SendWindow,
  StreamJoiner,
  splitForStream,
} from '../routing/index.ts'
import { CircuitError } from './circuit-error.ts'

/** Answers that wait for acknowledgements; an other end that asks on without them is cut off. */
const OUTBOX_CELLS_MAX = 16 * CIRCUIT_REQUESTS_MAX
/** Streams that the last hop opens have the highest bit. */
const LAST_HOPS = 0x8000
const STREAM_MAX = 0x7fff

export interface CircuitStreamsPorts {
  readonly clock: Clock
  readonly end: 'client' | 'lastHop'
  /** What one cell to the other end holds. */
  readonly dataSizeMax: number
  /** Seals and sends; the tag that the cell got, or undefined: the circuit is no more. */
  readonly send: (message: RelayMessage) => Uint8Array | undefined
  /** The answer to what the other end asks. */
  readonly answer: (question: Uint8Array) => Promise<Uint8Array>
  /** There was no answer: `error` says why, and the circuit has to go. */
  readonly onFailed: (error: unknown) => void
  /** Whether what this end asks has to wait at this moment; who sends on when there is room again. SPEC circuits §8 */
  readonly cover?: { holds(): boolean; passes(): void } | undefined
  /** Unfinished messages and what waits for the window take so much memory from now on. */
  readonly onHeld?: ((sizeBytes: number) => void) | undefined
}

export interface AskOptions {
  readonly timeoutMs: number
  /** Given up as well when no cell of any kind has come for so long. */
  readonly silenceMs?: number
  readonly signal?: AbortSignal
  /** Called once when the other end has it open no more: it has answered, late perhaps, or the circuit is gone. */
  readonly onOver?: () => void
}

interface Waiting {
  settle(answer: Uint8Array | CircuitError): void
}

export class CircuitStreams {
  readonly #p: CircuitStreamsPorts
  readonly #asked = new Map<number, Waiting>()
  /** Nobody waits for these any more; the other end has them open until it has answered. */
  readonly #givenUp = new Map<number, (() => void) | undefined>()
  readonly #outbox: RelayMessage[] = []
  readonly #sendWindow = new SendWindow()
  readonly #receiveWindow = new ReceiveWindow()
  readonly #joiner: StreamJoiner
  #answering = 0
  #stream = 0
  #isOver = false
  /** When the last cell came. */
  #heardMs: number

  constructor(ports: CircuitStreamsPorts) {
    this.#p = ports
    this.#heardMs = ports.clock.monotonicMs()
    this.#joiner = new StreamJoiner({ dataSizeMax: ports.dataSizeMax })
  }

  /** Questions of this end that the other one has open. */
  get outstanding(): number {
    return this.#asked.size + this.#givenUp.size
  }

  /** The other end's answer. Throws CircuitError: broken, full, or silent for so long. */
  ask(bytes: Uint8Array, options: AskOptions): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const isFull = this.outstanding >= CIRCUIT_REQUESTS_MAX
      if (this.#isOver || isFull) return reject(new CircuitError('the circuit is closed or full'))
      if (options.signal?.aborted) return reject(new CircuitError('no longer wanted'))
      const stream = this.#nextStream()
      const settle = (answer: Uint8Array | CircuitError): void => {
        timer.cancel()
        silence?.cancel()
        options.signal?.removeEventListener('abort', onAbort)
        this.#asked.delete(stream)
        if (answer instanceof Uint8Array || this.#isOver) options.onOver?.()
        else this.#givenUp.set(stream, options.onOver)
        if (answer instanceof Uint8Array) resolve(answer)
        else reject(answer)
      }
      const onAbort = (): void => settle(new CircuitError('no longer wanted'))
      const { clock } = this.#p
      const timer = clock.setTimer(options.timeoutMs, () => settle(new CircuitError('no answer in time')))
      const { silenceMs } = options
      const askedMs = clock.monotonicMs()
      let silence: Timer | undefined
      const listen = (forMs: number): void => {
        silence = clock.setTimer(forMs, () => {
          const leftMs = Math.max(askedMs, this.#heardMs) + (silenceMs ?? 0) - clock.monotonicMs()
          if (leftMs < 1) settle(new CircuitError('the circuit is silent'))
          else listen(leftMs)
        })
      }
      if (silenceMs !== undefined) listen(silenceMs)
      options.signal?.addEventListener('abort', onAbort, { once: true })
      this.#asked.set(stream, { settle })
      this.#outbox.push(...splitForStream(stream, bytes, this.#p.dataSizeMax))
      if (this.#p.cover?.holds() !== true) this.sendAll()
      this.#noteHeld()
    })
  }

  /** A cell has come, whatever is in it. */
  heard(): void {
    this.#heardMs = this.#p.clock.monotonicMs()
  }

  /** Takes what the other end says; false when it is not about streams. Throws MalformedError. */
  take(message: RelayMessage, tag: Uint8Array): boolean {
    const { command, stream } = message
    if (isWindowed(command)) {
      if (!this.#receiveWindow.received(tag)) throw new MalformedError('malformed circuit: window overrun')
      const whole = this.#joiner.add(message)
      if (whole !== undefined) this.#joined(stream, whole)
      this.#noteHeld()
      for (let due = this.#receiveWindow.takeAck(); due !== undefined; due = this.#receiveWindow.takeAck()) {
        this.#p.send({ command: RELAY_COMMANDS.ack, stream: 0, data: encodeAck(due) })
      }
      return true
    }
    if (command === RELAY_COMMANDS.ack) {
      if (!this.#sendWindow.acknowledge(decodeAck(message.data)))
        throw new MalformedError('malformed circuit: false ack')
      if (this.#p.cover === undefined) this.sendAll()
      else this.#p.cover.passes()
      this.#noteHeld()
      return true
    }
    return command === RELAY_COMMANDS.drop
  }

  /** The circuit is no more. */
  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#outbox.length = 0
    this.#p.onHeld?.(0)
    const broken = new CircuitError('the circuit broke')
    for (const waiting of [...this.#asked.values()]) waiting.settle(broken)
    for (const onOver of this.#givenUp.values()) onOver?.()
    this.#givenUp.clear()
  }

  #joined(stream: number, bytes: Uint8Array): void {
    const isOwn = stream >= LAST_HOPS === (this.#p.end === 'lastHop')
    if (!isOwn) this.#answer(stream, bytes)
    else if (this.#givenUp.has(stream)) {
      const onOver = this.#givenUp.get(stream)
      this.#givenUp.delete(stream)
      onOver?.()
    } else this.#asked.get(stream)?.settle(bytes)
  }

  #answer(stream: number, question: Uint8Array): void {
    const isFull = this.#answering >= CIRCUIT_REQUESTS_MAX || this.#outbox.length >= OUTBOX_CELLS_MAX
    if (isFull) throw new MalformedError('malformed circuit: too many requests')
    this.#answering++
    void this.#p.answer(question).then(
      (answer) => {
        this.#answering--
        if (!this.#isOver) this.#put(stream, answer)
      },
      (error: unknown) => {
        this.#answering--
        this.#p.onFailed(error)
      },
    )
  }

  #put(stream: number, bytes: Uint8Array): void {
    this.#outbox.push(...splitForStream(stream, bytes, this.#p.dataSizeMax))
    this.sendAll()
    this.#noteHeld()
  }

  /** Cells that could be sent now, as far as the window reaches. */
  get waiting(): number {
    return this.#isOver ? 0 : Math.min(this.#outbox.length, this.#sendWindow.room)
  }

  sendAll(): void {
    while (this.waiting > 0) this.sendOne()
  }

  sendOne(): void {
    const message = this.waiting > 0 ? this.#outbox.shift() : undefined
    const tag = message && this.#p.send(message)
    if (tag !== undefined) this.#sendWindow.sent(tag)
  }

  #noteHeld(): void {
    if (!this.#isOver) this.#p.onHeld?.(this.#joiner.heldBytes + this.#outbox.length * CELL_SIZE)
  }

  #nextStream(): number {
    const mark = this.#p.end === 'lastHop' ? LAST_HOPS : 0
    do this.#stream = (this.#stream % STREAM_MAX) + 1
    while (this.#asked.has(mark | this.#stream) || this.#givenUp.has(mark | this.#stream))
    return mark | this.#stream
  }
}
