/**
 * The two ways a command speaks: its answer on stdout and nothing else there, everything else on
 * stderr. With --json the answer is JSON, one value a line, and so are the notes.
 */
import type { Writable } from 'node:stream'
import { LocalFileError, OutputClosedError, reasonOf, systemCodeOf } from '../errors.ts'
import type { World } from '../world.ts'
import { printable } from './text.ts'

export class Voice {
  readonly isJson: boolean
  readonly #stdout: Writable
  readonly #stderr: Writable
  /** The first thing that went wrong with stdout; what follows it is told nobody. */
  #failure: Error | undefined

  constructor(world: Pick<World, 'stdout' | 'stderr'>, isJson: boolean) {
    this.isJson = isJson
    this.#stdout = world.stdout
    this.#stderr = world.stderr
    this.#stdout.on('error', (error: Error) => this.#fail(error))
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

  /**
   * Raw bytes as the answer; resolves when stdout has handed them on. Throws OutputClosedError once its
   * reader has gone, ERR_LOCAL_FILE when it cannot be written.
   */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#failure === undefined) await written(this.#stdout, bytes).catch((error: Error) => this.#fail(error))
    this.#throwFailure()
  }

  /** Resolves when all that was said has been handed to the system. Throws as `write` does. */
  async finish(): Promise<void> {
    await Promise.allSettled([flushed(this.#stdout), flushed(this.#stderr)])
    this.#throwFailure()
  }

  #fail(error: Error): void {
    this.#failure ??= error
  }

  /** Only a pipe or socket without its other end means that nobody reads on; all else the user must hear of. */
  #throwFailure(): void {
    const cause = this.#failure
    if (cause === undefined) return
    const code = systemCodeOf(cause)
    if (code === 'EPIPE' || code === 'ECONNRESET') throw new OutputClosedError()
    throw new LocalFileError(`cannot write standard output: ${reasonOf(cause)}`, { cause })
  }
}

/** A stream that has failed may keep what is written to it for ever. */
async function flushed(stream: Writable): Promise<void> {
  if (stream.errored === null && !stream.destroyed && !stream.writableEnded) await written(stream, '')
}

/** Resolves when the stream has handed the bytes on, or was closed meanwhile; rejects when it cannot. */
function written(stream: Writable, bytes: Uint8Array | string): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error | null) => {
      stream.off('close', settle).off('error', settle)
      if (error) reject(error)
      else resolve()
    }
    stream.once('close', settle).once('error', settle)
    stream.write(bytes, settle)
  })
}
