/**
 * A thread that watches the fuzzer: a decoder that does not end cannot be stopped from its own thread.
 * The fuzzer puts each input into shared memory before it runs it; when the count of inputs stands still
 * while the process works for HANG_CPU_MS, or for HANG_MS whatever it does, the thread writes the input down
 * as a crash and ends the whole process.
 */
import { isMainThread, Worker, workerData } from 'node:worker_threads'
import { writeCrash } from './corpus.ts'

/** Of the processor: a busy machine is no hang. */
const HANG_CPU_MS = 10_000
const HANG_MS = 180_000
const CHECK_MS = 1_000

interface Shared {
  /** Inputs begun, and the size of the newest; 0 inputs: nothing runs. */
  readonly numbers: Int32Array
  readonly bytes: Uint8Array
  readonly target: string
}

/** Watches until `stop`. */
export class Watchdog {
  readonly #shared: Shared
  readonly #worker: Worker

  constructor(target: string, inputSizeMax: number) {
    const numbers = new Int32Array(new SharedArrayBuffer(8))
    this.#shared = { numbers, bytes: new Uint8Array(new SharedArrayBuffer(inputSizeMax)), target }
    this.#worker = new Worker(new URL(import.meta.url), { workerData: this.#shared })
    this.#worker.unref()
  }

  begin(input: Uint8Array): void {
    this.#shared.bytes.set(input)
    this.#shared.numbers[1] = input.length
    Atomics.add(this.#shared.numbers, 0, 1)
  }

  stop(): Promise<unknown> {
    return this.#worker.terminate()
  }
}

function watch({ numbers, bytes, target }: Shared): void {
  let seen = 0
  let sinceMs = Date.now()
  let began = process.cpuUsage()
  setInterval(() => {
    const count = Atomics.load(numbers, 0)
    if (count !== seen || count === 0) {
      seen = count
      sinceMs = Date.now()
      began = process.cpuUsage()
      return
    }
    const { user, system } = process.cpuUsage(began)
    if ((user + system) / 1_000 > HANG_CPU_MS || Date.now() - sinceMs > HANG_MS) {
      const path = writeCrash(target, bytes.slice(0, numbers[1]), `${target} did not end`)
      console.error(`error: ${target} hangs on ${path}`)
      process.kill(process.pid, 'SIGKILL')
    }
  }, CHECK_MS)
}

if (!isMainThread) watch(workerData as Shared)
