/**
 * Small values in files, one each, in HOME/state: see files.ts for how a write survives a crash. Values
 * are held in memory too; `get` gives the newest one put, flushed or not. SPEC home §1
 */
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { assert, type StateStore } from '../../core/index.ts'
import { FileError } from './errors.ts'
import { openPrivateFolder, readWhole, sweepTemporaries, writeWhole } from './files.ts'

const KEY = /^[a-z0-9][a-z0-9-]{0,63}$/
const VALUE_SIZE_MAX = 16 * 1024 * 1024

/** `folder` is ours alone (see openHome); what cut-off writes left there is removed. */
export function openStateStore(folder: string): StateStore {
  return new FileStateStore(folder)
}

class FileStateStore implements StateStore {
  readonly #folder: string
  readonly #values = new Map<string, Uint8Array>()
  /** Of each key the write in progress and the one that waits for it; several puts wait as one. */
  readonly #writing = new Map<string, Promise<void>>()
  readonly #waiting = new Map<string, Promise<void>>()

  constructor(folder: string) {
    this.#folder = folder
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 })
      openPrivateFolder(folder)
      sweepTemporaries(folder)
      for (const key of readdirSync(folder)) {
        const value = KEY.test(key) ? readWhole(join(folder, key), { secret: true }) : undefined
        if (value !== undefined) this.#values.set(key, value)
      }
    } catch (cause) {
      if (cause instanceof Error && 'kind' in cause) throw cause
      throw new FileError(`opening ${folder}`, { cause })
    }
  }

  get(key: string): Uint8Array | undefined {
    return this.#values.get(key)?.slice()
  }

  put(key: string, value: Uint8Array): Promise<void> {
    assert(KEY.test(key), 'a key of the state is a short word')
    assert(value.length <= VALUE_SIZE_MAX, 'a value of the state is small')
    this.#values.set(key, value.slice())
    const waiting = this.#waiting.get(key)
    if (waiting !== undefined) return waiting
    const before = this.#writing.get(key)
    if (before === undefined) return this.#write(key)
    const next = before.then(
      () => this.#write(key),
      () => this.#write(key),
    )
    this.#waiting.set(key, next)
    return next
  }

  #write(key: string): Promise<void> {
    this.#waiting.delete(key)
    const write = writeWhole(join(this.#folder, key), this.#values.get(key) as Uint8Array)
    this.#writing.set(key, write)
    const clear = () => {
      if (this.#writing.get(key) === write) this.#writing.delete(key)
    }
    write.then(clear, clear)
    return write
  }
}
