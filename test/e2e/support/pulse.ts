/**
 * How one process is while something goes on: memory, open files and the time of an answer, taken again
 * and again; and whether the network about it serves, as puts and gets of clients that go on beside.
 */
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectControl } from '../../../node/control/index.ts'

export interface Vitals {
  readonly rssAnonMib: number
  readonly files: number
  readonly links: number
  readonly answerMs: number
}

const EVERY_MS = 400

export async function vitalsOf(home: string, pid: number): Promise<Vitals> {
  const startMs = performance.now()
  const { links } = await connectControl(home).status()
  const answerMs = performance.now() - startMs
  const [status, files] = await Promise.all([readFile(`/proc/${pid}/status`, 'utf8'), readdir(`/proc/${pid}/fd`)])
  return { rssAnonMib: Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024, files: files.length, links, answerMs }
}

export interface VitalsWatch {
  /** The worst of each since the last lap, or since the beginning. */
  lap(): Vitals
  /** The worst of each in all. Throws when the process did not answer at some time. */
  stop(): Promise<Vitals>
}

/** Takes the vitals again and again until stopped. */
export function watchVitals(home: string, pid: number): VitalsWatch {
  let isStopped = false
  let lap = NOTHING
  let worst = NOTHING
  const watching = (async () => {
    while (!isStopped) {
      lap = worseOf(lap, await vitalsOf(home, pid))
      worst = worseOf(worst, lap)
      await sleep(EVERY_MS)
    }
  })()
  watching.catch(() => undefined)
  return {
    lap: () => {
      const last = lap
      lap = NOTHING
      return last
    },
    stop: async () => {
      isStopped = true
      await watching
      return worst
    },
  }
}

const NOTHING: Vitals = { rssAnonMib: 0, files: 0, links: 0, answerMs: 0 }

function worseOf(one: Vitals, other: Vitals): Vitals {
  return {
    rssAnonMib: Math.max(one.rssAnonMib, other.rssAnonMib),
    files: Math.max(one.files, other.files),
    links: Math.max(one.links, other.links),
    answerMs: Math.max(one.answerMs, other.answerMs),
  }
}

/** In one line. */
export function vitalsText({ rssAnonMib, files, links, answerMs }: Vitals): string {
  return `${rssAnonMib.toFixed(0)} MiB, ${files} files, ${links} links, answers in ${answerMs.toFixed(0)} ms`
}

export interface Served {
  puts: number
  gets: number
  failed: number
  readonly reasons: string[]
}

/** Puts with one client and gets with the other, one after the other, until stopped. */
export function keepServing(homes: { putter: string; getter: string }): { stop(): Promise<Served> } {
  let isStopped = false
  const served: Served = { puts: 0, gets: 0, failed: 0, reasons: [] }
  const serving = (async () => {
    for (let number = 0; !isStopped; number++) {
      const file = Buffer.from(`request ${number} `.repeat(3_000))
      try {
        const source = (async function* () {
          yield new Uint8Array(file)
        })()
        const { address } = await connectControl(homes.putter).put(source, { kind: 'private' })
        served.puts++
        const parts: Uint8Array[] = []
        const got = await connectControl(homes.getter).get(address)
        for await (const part of got.body) parts.push(part)
        if (!Buffer.concat(parts).equals(file)) throw new Error('another file came back')
        served.gets++
      } catch (error) {
        served.failed++
        served.reasons.push(String(error).slice(0, 200))
      }
    }
  })()
  return {
    stop: async () => {
      isStopped = true
      await serving
      return served
    },
  }
}
