/**
 * Which blocks of the program have run, asked of V8 itself: precise coverage with counts, taken as deltas.
 * V8 leaves a block out of its answer when it ran as often as what surrounds it, so blocks have no lasting
 * names; what lasts are the places in the text that ran. A block is the stretch between two places at which
 * any answer ever began or ended one.
 */
import { type Profiler, Session } from 'node:inspector'

/** Places of each function that ran, by the function's own name: file and offsets. */
export type Trace = ReadonlyMap<string, Uint8Array>

/** For each function the first place of each stretch. */
export type Places = ReadonlyMap<string, readonly number[]>

export class Coverage {
  readonly #session = new Session()
  readonly #isCounted: (url: string) => boolean
  #ran = new Map<string, Uint8Array>()
  readonly #cuts = new Map<string, Set<number>>()

  constructor(isCounted: (url: string) => boolean) {
    this.#isCounted = isCounted
    this.#session.connect()
    this.#session.post('Profiler.enable')
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  }

  /** What ran since the last call. */
  take(): Trace {
    const trace = new Map<string, Uint8Array>()
    // Within one thread the answer comes before `post` returns.
    this.#session.post('Profiler.takePreciseCoverage', (error, answer) => {
      if (error !== null) throw error
      for (const script of answer.result) {
        if (!this.#isCounted(script.url)) continue
        for (const ranges of script.functions) this.#paint(script.url, ranges, trace)
      }
    })
    return trace
  }

  #paint(url: string, { ranges }: Profiler.FunctionCoverage, trace: Map<string, Uint8Array>): void {
    const [whole] = ranges
    if (whole === undefined || whole.count === 0) return
    const name = `${url}:${whole.startOffset}-${whole.endOffset}`
    const ran = new Uint8Array(whole.endOffset - whole.startOffset)
    const cuts = this.#cuts.get(name) ?? new Set([0])
    this.#cuts.set(name, cuts)
    // Outer ranges come before inner ones.
    for (const { startOffset, endOffset, count } of ranges) {
      const [from, to] = [startOffset - whole.startOffset, endOffset - whole.startOffset]
      ran.fill(count > 0 ? 1 : 0, from, to)
      cuts.add(from)
      if (to < ran.length) cuts.add(to)
    }
    trace.set(name, ran)
  }

  /** The places of a trace that no learnt one had. */
  newIn(trace: Trace): Places {
    const places = new Map<string, number[]>()
    for (const [name, ran] of trace) {
      const known = this.#ran.get(name)
      const firsts: number[] = []
      let isInside = false
      for (let at = 0; at < ran.length; at++) {
        const isNew = ran[at] === 1 && known?.[at] !== 1
        if (isNew && !isInside) firsts.push(at)
        isInside = isNew
      }
      if (firsts.length > 0) places.set(name, firsts)
    }
    return places
  }

  learn(trace: Trace): void {
    for (const [name, ran] of trace) {
      const known = this.#ran.get(name)
      if (known === undefined) this.#ran.set(name, ran)
      else for (let at = 0; at < ran.length; at++) if (ran[at] === 1) known[at] = 1
    }
  }

  forget(): void {
    this.#ran = new Map()
  }

  /** Blocks that ran, of those in functions that were entered at all. */
  blocks(): { ran: number; all: number } {
    const sum = { ran: 0, all: 0 }
    for (const [name, ran] of this.#ran) {
      for (const at of this.#cuts.get(name) ?? []) {
        sum.all++
        if (ran[at] === 1) sum.ran++
      }
    }
    return sum
  }

  stop(): void {
    this.#session.disconnect()
  }
}

export function reaches(trace: Trace, places: Places): boolean {
  for (const [name, firsts] of places) {
    const ran = trace.get(name)
    if (ran === undefined || firsts.some((at) => ran[at] !== 1)) return false
  }
  return true
}
