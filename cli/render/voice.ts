/**
 * The two ways a command speaks: its answer on stdout and nothing else there, everything else on
 * stderr. With --json the answer is JSON, one value a line, and so are the notes.
 */
import type { Writable } from 'node:stream'
import { OutputClosedError } from '../errors.ts'
import type { World } from '../world.ts'
import { printable } from './text.ts'

export class Voice {
  readonly isJson: boolean
  readonly #stdout: Writable
  readonly #stderr: Writable
  #closed = false

  constructor(world: Pick<World, 'stdout' | 'stderr'>, isJson: boolean) {
    this.isJson = isJson
    this.#stdout = world.stdout
    this.#stderr = world.stderr
    this.#stdout.on('error', () => {
      this.#closed = true
    })
  }

  /** One answer: the text for people, or the value for programs. */
  answer(text: string, value: unknown): void {
    this.#stdout.write(this.isJson ? `${JSON.stringify(value)}\n` : `${text}\n`)
  }

  note(text: string): void {
    this.#stderr.write(this.isJson ? `${JSON.stringify({ note: text })}\n` : `note: ${printable(text)}\n`)
  }

  hint(text: string): void {
    this.#stderr.write(this.isJson ? `${JSON.stringify({ hint: text })}\n` : `hint: ${printable(text)}\n`)
  }

  /** Raw bytes as the answer; resolves when stdout takes more. Throws once its reader has gone. */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#closed) throw new OutputClosedError()
    if (this.#stdout.write(bytes)) return
    if (!this.#closed) await drained(this.#stdout)
    if (this.#closed) throw new OutputClosedError()
  }

  /** Resolves when all that was said has been handed to the system. */
  async finish(): Promise<void> {
    await Promise.all([flushed(this.#stdout), flushed(this.#stderr)])
    if (this.#closed) throw new OutputClosedError()
  }
}

function flushed(stream: Writable): Promise<void> {
  if (stream.destroyed || stream.writableEnded) return Promise.resolve()
  return new Promise((resolve) => {
    stream.write('', () => resolve())
  })
}

/** Resolves when the stream takes more, or never will again. */
function drained(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    const events = ['drain', 'close', 'error'] as const
    const done = () => {
      for (const event of events) stream.off(event, done)
      resolve()
    }
    for (const event of events) stream.once(event, done)
  })
}
