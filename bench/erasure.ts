/**
 * How fast is the erasure code, and how much faster than the npm package reed-solomon-erasure?
 * `npm run bench -- erasure` prints JSON: MiB of stripe data per second of
 * CPU time (what else the machine does then counts for less), medians of ROUNDS; `ratio` is the median of
 * fastest : package, round by round, with V8's flags as a daemon sets them.
 *
 * Ours are whole calls: checks, matrices, copies in and out. The kernels by name write into a buffer that
 * the caller keeps, `fresh` is the fastest into a new one each time, which mostly measures page faults. The package
 * is timed at its best: in place, in memory that already holds the fragments, without any copy; so the
 * ratios err in its favour. As many data fragments as a code can lose are rebuilt.
 */
import { cpus } from 'node:os'
import { availableKernels, ErasureCode, type Fragment } from '../crypto/erasure/index.ts'
import { tuneEngine } from '../node/system/index.ts'
import { refereeEncodeAt, refereeMemory, refereeParity, refereeRebuildAt } from '../test/crypto/erasure/referee.ts'

const SIZE = 63_360
const CODES = [
  { k: 4, n: 14 },
  { k: 8, n: 22 },
  { k: 10, n: 30 },
]
const ROUNDS = 31
/** Short, so that a slow spell of the machine hits all contenders of a round alike. */
const ROUND_MS = 20
const MIB = 1024 * 1024

type Speeds = Readonly<Record<string, readonly number[]>>

/** MiB per second of each contender in each round; they take turns. The first round warms up. */
function race(contenders: Readonly<Record<string, () => unknown>>, bytesPerRun: number): Speeds {
  const speeds = Object.entries(contenders).map(([name, run]) => ({ name, run, rounds: [] as number[] }))
  for (let round = -1; round < ROUNDS; round++) {
    for (const { run, rounds } of speeds) {
      const startMs = cpuMs()
      let runs = 0
      let tookMs = 0
      do {
        run()
        runs++
        tookMs = cpuMs() - startMs
      } while (tookMs < ROUND_MS)
      if (round >= 0) rounds.push((runs * bytesPerRun) / MIB / (tookMs / 1_000))
    }
  }
  return Object.fromEntries(speeds.map(({ name, rounds }) => [name, rounds]))
}

/** CPU time of this process so far: user and system, so that page faults count. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}

function report(...speeds: readonly Speeds[]): Record<string, number> {
  const all: Speeds = Object.assign({}, ...speeds)
  const { [FASTEST.name]: ours = [], package: other = [] } = all
  const ratio = median(ours.map((speed, round) => speed / (other[round] ?? Number.NaN)))
  const medians = Object.entries(all).map(([name, rounds]) => [name, Math.round(median(rounds))])
  return { ...Object.fromEntries(medians), ratio: Number(ratio.toFixed(1)) }
}

tuneEngine()
const codes = availableKernels().map((kernel) => ({ name: kernel.name, code: new ErasureCode(kernel) }))
const FASTEST = codes[0] as (typeof codes)[number]

function setUp({ k, n }: { k: number; n: number }) {
  const parity = n - k
  const parityShape = { k, parity, size: SIZE }
  const shape = { k, n, size: SIZE }
  const data = Uint8Array.from({ length: k * SIZE }, (_, i) => Math.imul(i + 1, 2_654_435_761) >>> 24)
  const lost = Math.min(k, parity)
  const all = new Uint8Array(n * SIZE)
  all.set(data)
  all.set(FASTEST.code.encodeParity(parityShape, data), data.length)
  const have: Fragment[] = Array.from({ length: k }, (_, i) => {
    const index = lost + i
    return { index, bytes: all.slice(index * SIZE, (index + 1) * SIZE) }
  })
  const parityKept = new Uint8Array(parity * SIZE)
  const dataKept = new Uint8Array(k * SIZE)
  return { parityShape, shape, data, lost, all, have, parityKept, dataKept }
}

/** The plain kernel first: the package grows its memory, after which V8 slows all plain byte loops. */
const plainSpeeds = CODES.map((counts) => {
  const { parityShape, shape, data, have, parityKept, dataKept } = setUp(counts)
  const plain = codes.filter(({ name }) => name === 'plain')
  return {
    encode: race(
      Object.fromEntries(plain.map(({ name, code }) => [name, () => code.encodeParity(parityShape, data, parityKept)])),
      data.length,
    ),
    rebuild: race(
      Object.fromEntries(plain.map(({ name, code }) => [name, () => code.rebuildData(shape, have, dataKept)])),
      data.length,
    ),
  }
})

const results = CODES.map((counts, at) => {
  const { k, n } = counts
  const { parityShape, shape, data, lost, all, have, parityKept, dataKept } = setUp(counts)
  const compiled = codes.filter(({ name }) => name !== 'plain')
  const expected = refereeParity(parityShape, data)
  const byteIdentical = codes.every(
    ({ code }) =>
      Buffer.compare(code.encodeParity(parityShape, data), expected) === 0 &&
      Buffer.compare(code.rebuildData(shape, have), data) === 0,
  )

  const place = refereeMemory(n * SIZE + n).at
  const flagsAt = place + n * SIZE
  refereeMemory(0).heap.set(all, place)
  const encode = race(
    {
      ...Object.fromEntries(
        compiled.map(({ name, code }) => [name, () => code.encodeParity(parityShape, data, parityKept)]),
      ),
      fresh: () => FASTEST.code.encodeParity(parityShape, data),
      package: () => refereeEncodeAt(place, shape),
    },
    data.length,
  )
  const rebuild = race(
    {
      ...Object.fromEntries(compiled.map(({ name, code }) => [name, () => code.rebuildData(shape, have, dataKept)])),
      fresh: () => FASTEST.code.rebuildData(shape, have),
      package: () => {
        refereeMemory(0)
          .heap.fill(1, flagsAt, flagsAt + n)
          .fill(0, flagsAt, flagsAt + lost)
        refereeRebuildAt(place, shape)
      },
    },
    data.length,
  )
  return {
    k,
    n,
    lost,
    byteIdentical,
    encode: report(encode, plainSpeeds[at]?.encode ?? {}),
    rebuild: report(rebuild, plainSpeeds[at]?.rebuild ?? {}),
  }
})

const machine = { node: process.version, cpu: cpus()[0]?.model }
console.log(
  JSON.stringify(
    { unit: 'MiB of data per CPU second', fragmentBytes: SIZE, rounds: ROUNDS, ...machine, results },
    null,
    2,
  ),
)
