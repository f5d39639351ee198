/**
 * The fuzzer: npm run fuzz -- [TARGET …] [--seconds N] [--seed N]
 *
 * For each target: inputs are made by changing inputs of its corpus (edits.ts); one that reaches a place in
 * the program that no other has reached is shrunk and joins the corpus; one that breaks a rule of
 * target.ts is shrunk and written down as a crash. At the end the corpus is reduced to the inputs that
 * each reach something of their own. The same seed with the same corpus tries the same inputs. Seconds are
 * of the processor, shared out evenly: a busy machine takes longer, and tries no less.
 * Why not another's fuzzer: docs/decisions/0013-own-fuzz-loop.md
 */
import { parseArgs } from 'node:util'
import fc from 'fast-check'
import { below, fromUtf8, type Jitter } from '../../core/index.ts'
import { readCorpus, writeCorpus, writeCrash } from './corpus.ts'
import { Coverage, type Places, reaches, type Trace } from './coverage.ts'
import { applyEdits, COMMON_TOKENS, drawEdits, INPUT_SIZE_MAX } from './edits.ts'
import { attempt, FuzzFault, filled, type Target } from './target.ts'
import { TARGETS } from './targets.ts'
import { Watchdog } from './watchdog.ts'

/** Asking V8 for coverage takes 1 to 3 ms, as long as some hundred small inputs. */
const BATCH = 256
const SLOW_BATCH = 32
const SEEDS = 64
const SHRINKS_MAX = 40
const CRASHES_MAX = 8
const CORPUS_COUNT_MAX = 120
const CORPUS_BYTES_MAX = 256 * 1024

class Xorshift implements Jitter {
  #state: number
  constructor(seed: number) {
    this.#state = (seed ^ 0x9e37_79b9) | 1
    for (let i = 0; i < 8; i++) this.uint32()
  }
  uint32(): number {
    this.#state ^= this.#state << 13
    this.#state ^= this.#state >>> 17
    this.#state ^= this.#state << 5
    return this.#state >>> 0
  }
}

interface Result {
  readonly name: string
  readonly inputs: number
  readonly kept: number
  readonly crashes: number
  readonly seconds: number
  readonly blocks: { ran: number; all: number }
}

/** What nobody waited for and that failed, since the last look. */
const strays: unknown[] = []
process.on('unhandledRejection', (error) => strays.push(error))
process.on('uncaughtException', (error) => strays.push(error))

class Fuzzing {
  readonly #target: Target
  readonly #seed: number
  readonly #chance: Jitter
  readonly #tokens: readonly Uint8Array[]
  readonly #coverage = new Coverage((url) => url.includes('/dist/fuzz/') && !url.includes('/dist/fuzz/test/'))
  readonly #watchdog: Watchdog
  readonly #corpus: Uint8Array[] = []
  readonly #crashes = new Set<string>()
  #inputs = 0

  constructor(target: Target, seed: number) {
    this.#target = target
    this.#seed = seed
    this.#chance = new Xorshift(seed)
    this.#tokens = [...COMMON_TOKENS, ...(target.tokens ?? []).map(fromUtf8)]
    this.#watchdog = new Watchdog(target.name, INPUT_SIZE_MAX + 1024)
  }

  async run(seconds: number): Promise<Result> {
    const began = process.cpuUsage()
    const isOver = () => secondsSince(began) >= seconds || this.#crashes.size >= CRASHES_MAX
    await this.#seedCorpus()
    while (!isOver()) {
      const length = this.#target.runs === undefined ? BATCH : SLOW_BATCH
      await this.#tryAll(Array.from({ length }, () => this.#makeInput()))
    }
    const blocks = this.#coverage.blocks()
    const kept = await this.#reduceCorpus()
    await this.#watchdog.stop()
    this.#coverage.stop()
    const { name } = this.#target
    return { name, inputs: this.#inputs, kept, crashes: this.#crashes.size, seconds: secondsSince(began), blocks }
  }

  /** The corpus as it lies there, then valid encodings. */
  async #seedCorpus(): Promise<void> {
    const valid = fc.sample(this.#target.valid, { seed: this.#seed, numRuns: SEEDS })
    const old = readCorpus(this.#target.name).filter((entry) => !entry.isCrash)
    // Once without looking: what is made at first use belongs to no input.
    await this.#try(valid[0] ?? new Uint8Array(0))
    this.#coverage.take()
    for (const bytes of [...old.map((entry) => entry.bytes), ...valid]) await this.#keepIfNew(bytes)
    if (this.#corpus.length === 0) this.#corpus.push(...valid.slice(0, 1))
  }

  #makeInput(): Uint8Array {
    const pick = () => this.#corpus[below(this.#chance, this.#corpus.length)] as Uint8Array
    // The newest are the least explored.
    const newest = this.#corpus.length - 1 - below(this.#chance, Math.min(8, this.#corpus.length))
    const from = below(this.#chance, 3) === 0 ? (this.#corpus[newest] as Uint8Array) : pick()
    return applyEdits(from, drawEdits(this.#chance), { other: pick(), tokens: this.#tokens })
  }

  /** Runs the inputs; if anything new ran, looks for it in halves. */
  async #tryAll(inputs: readonly Uint8Array[]): Promise<void> {
    for (const input of inputs) await this.#try(input)
    const trace = this.#coverage.take()
    if (this.#coverage.newIn(trace).size === 0) return
    if (inputs.length <= 2) {
      for (const input of inputs) await this.#keepIfNew(input)
    } else {
      const middle = inputs.length >>> 1
      await this.#tryAll(inputs.slice(0, middle))
      await this.#tryAll(inputs.slice(middle))
    }
    // What no input reaches by itself, or only the first time, is known now, too.
    this.#coverage.learn(trace)
  }

  /** Runs one input; what it breaks is written down. */
  async #try(input: Uint8Array): Promise<void> {
    this.#inputs++
    const fault = await this.#faultOf(input)
    if (fault === undefined) return
    const kind = kindOf(fault)
    if (this.#crashes.has(kind)) return
    this.#crashes.add(kind)
    const least = await this.#shrink(input, async (smaller) => {
      const other = await this.#faultOf(smaller)
      return other !== undefined && kindOf(other) === kind
    })
    const path = writeCrash(this.#target.name, least, `${fault.message}\nseed ${this.#seed}`)
    console.error(`crash: ${fault.message}\n       ${path}`)
  }

  async #faultOf(input: Uint8Array): Promise<Error | undefined> {
    const whole = filled(this.#target, input)
    this.#watchdog.begin(whole)
    strays.length = 0
    try {
      const verdict = attempt(this.#target, whole)
      if (verdict instanceof Promise) await verdict
    } catch (error) {
      return error instanceof FuzzFault ? error : new FuzzFault(this.#target, `the target failed: ${error}`, error)
    }
    return strays.length === 0 ? undefined : new FuzzFault(this.#target, `left a failure behind: ${strays[0]}`)
  }

  /** Coverage was always taken just before: nothing else is in the answer. */
  async #traceOf(input: Uint8Array): Promise<Trace> {
    await this.#try(input)
    return this.#coverage.take()
  }

  async #keepIfNew(input: Uint8Array): Promise<void> {
    const places = this.#coverage.newIn(await this.#traceOf(input))
    if (places.size === 0) return
    const least = await this.#shrink(input, (smaller) => this.#stillReaches(smaller, places))
    this.#coverage.learn(await this.#traceOf(least))
    this.#corpus.push(least)
  }

  async #stillReaches(input: Uint8Array, places: Places): Promise<boolean> {
    return reaches(await this.#traceOf(input), places)
  }

  /** Cuts off ends and takes out parts, larger ones first, as long as `isGood` holds. */
  async #shrink(input: Uint8Array, isGood: (smaller: Uint8Array) => Promise<boolean>): Promise<Uint8Array> {
    let least = input
    let tries = 0
    if (this.#target.fillTo !== undefined) {
      const bare = withoutZeros(least)
      if (bare.length < least.length && (await isGood(bare))) least = bare
    }
    for (let part = least.length; part >= 1; part = Math.floor(part / 2)) {
      for (let at = least.length - part; at >= 0; at -= part) {
        if (++tries > SHRINKS_MAX) return least
        const smaller = new Uint8Array(least.length - part)
        smaller.set(least.subarray(0, at))
        smaller.set(least.subarray(at + part), at)
        if (await isGood(smaller)) least = smaller
      }
    }
    return least
  }

  /** The smallest inputs first, each that reaches anything those before it did not. */
  async #reduceCorpus(): Promise<number> {
    const kept: Uint8Array[] = []
    let keptBytes = 0
    this.#coverage.forget()
    for (const input of [...this.#corpus].sort((a, b) => a.length - b.length)) {
      const trace = await this.#traceOf(input)
      if (this.#coverage.newIn(trace).size === 0) continue
      if (kept.length >= CORPUS_COUNT_MAX || keptBytes + input.length > CORPUS_BYTES_MAX) break
      this.#coverage.learn(trace)
      kept.push(input)
      keptBytes += input.length
    }
    writeCorpus(this.#target.name, kept)
    return kept.length
  }
}

function secondsSince(began: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(began)
  return (user + system) / 1e6
}

/** Faults of one kind differ in numbers and quoted text only. */
function kindOf(fault: Error): string {
  return fault.message.replace(/"[^"]*"?|[0-9a-f]{8,}|\d+/g, '#').slice(0, 80)
}

function withoutZeros(bytes: Uint8Array): Uint8Array {
  let size = bytes.length
  while (size > 0 && bytes[size - 1] === 0) size--
  return bytes.subarray(0, size)
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string' } },
})
const seconds = Number(values.seconds)
const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed)
const unknown = positionals.filter((name) => !TARGETS.some((target) => target.name === name))
if (unknown.length > 0 || !(seconds > 0) || !Number.isSafeInteger(seed)) {
  console.error(
    `error: usage: npm run fuzz -- [TARGET …] [--seconds N] [--seed N]\nhint: targets: ${TARGETS.map((t) => t.name).join(' ')}`,
  )
  process.exit(2)
}
const chosen = TARGETS.filter((target) => positionals.length === 0 || positionals.includes(target.name))
console.error(`note: seed ${seed}, ${chosen.length} targets, ${seconds} s in all`)
console.log('| target | seconds | inputs | blocks | of | corpus | crashes |\n|---|---|---|---|---|---|---|')
let crashes = 0
for (const target of chosen) {
  const result = await new Fuzzing(target, seed).run(seconds / chosen.length)
  crashes += result.crashes
  const { name, inputs, blocks, kept } = result
  console.log(
    `| ${name} | ${result.seconds.toFixed(1)} | ${inputs} | ${blocks.ran} | ${blocks.all} | ${kept} | ${result.crashes} |`,
  )
}
process.exit(crashes > 0 ? 1 : 0)
