/** What was measured, as tables for the terminal and as a page. Shares in percent, times in seconds. */
import { STRIPE_K_MAX, STRIPE_N_MAX } from '../../core/index.ts'
import { drawPlot } from '../plot.ts'
import {
  GET_COUNTS,
  type GetSuccess,
  type Hops,
  type Load,
  type PathSuccess,
  type Spread,
  STALE_SHARE,
  type Stale,
  TRY_COUNTS,
} from './measure.ts'
import type { Share } from './statistics.ts'

export interface Results {
  readonly seed: string
  readonly samples: { readonly rings: number; readonly lookups: number; readonly gets: number }
  readonly hops: readonly Hops[]
  readonly stale: readonly Stale[]
  readonly paths: readonly PathSuccess[]
  readonly gets: readonly GetSuccess[]
  readonly load: readonly Load[]
}

/** What the ring was designed for, in percent: shares of tries that succeed at N = 1,000. */
const DESIGNED: readonly { hostile: number; percent: readonly number[] }[] = [
  { hostile: 0.2, percent: [58, 82, 96, 99.6] },
  { hostile: 0.3, percent: [45, 69, 88, 98] },
]

interface Section {
  readonly title: string
  readonly words: readonly string[]
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

export function renderText(results: Results): string {
  const { seed, samples } = results
  const intro = `Seed ${seed}; ${samples.rings} rings of each size; ${counted(samples.lookups)} lookups, ${counted(samples.gets)} gets a row.\n`
  return [intro, ...sectionsOf(results).map(rendered)].join('\n')
}

export function renderPage(results: Results, command: string): string {
  const { seed, samples } = results
  const intro = `# Lookups

How far a request goes on the ring, how often it gets past hostile and vanished nodes, and how evenly the ring shares
the load. It is the product's own routing (\`routing/ring/route.ts\`), with random ids, a view that all nodes share and
the successors of the profile \`production\`; no links, circuits, caches or load.

\`\`\`
${command}
\`\`\`

writes this page anew, byte for byte: seed \`${seed}\`, ${samples.rings} rings of each size, ${counted(samples.lookups)} lookups a row in the tables of hops,
stale views and paths, ${counted(samples.gets)} gets a row in those of gets. Intervals are Wilson's, 95 %.

![Hops against the size of the network](lookups.svg)
`
  return [intro, ...sectionsOf(results).map(rendered), reading(results)].join('\n')
}

export function renderPlot({ hops }: Results): string {
  const over = (of: (each: Hops) => number) => hops.map((each) => [each.size, of(each)] as const)
  return drawPlot({
    title: 'Hops from a gateway to the owner of a location',
    xLabel: 'nodes',
    yLabel: 'hops',
    xTicks: hops.map(({ size }) => size),
    yTicks: [0, 1, 2, 3, 4, 5, 6, 7],
    lines: [
      { name: 'mean', points: over(({ mean }) => mean) },
      { name: '99th percentile', points: over(({ p99 }) => p99) },
      { name: 'log16 N', points: over(({ size }) => log16(size)), isDashed: true },
      { name: 'half log2 N', points: over(({ size }) => Math.log2(size) / 2), isDashed: true },
    ],
  })
}

function sectionsOf(results: Results): Section[] {
  const { hops, stale, paths, gets, load } = results
  const asked = gets.filter(({ hostile }) => hostile !== undefined)
  const refused = gets.filter(({ hostile }) => hostile === undefined)
  return [
    {
      title: 'Hops',
      words: ['Links from a random gateway to the owner of a random location, all nodes honest and alive.'],
      head: ['nodes', 'mean', 'p50', 'p99', 'max', 'log16 N', 'half log2 N'],
      rows: hops.map((row) => [
        counted(row.size),
        row.mean.toFixed(2),
        String(row.p50),
        String(row.p99),
        String(row.max),
        log16(row.size).toFixed(2),
        (Math.log2(row.size) / 2).toFixed(2),
      ]),
    },
    {
      title: 'A stale view',
      words: [
        `Each node of the view is gone with a chance of ${percent(STALE_SHARE, 0)} %. No node remembers a failed dial, so each`,
        'lookup pays as if it were the first. A try is a node that a request was sent or dialled to; hops are those of the',
        'way that led to the owner, the first live node at or after the location. One gateway, no second attempt.',
      ],
      head: ['nodes', 'what is gone', 'found %', 'hops', 'tries', 'p99 tries', 'wait, s'],
      rows: stale.map((row) => [
        counted(row.size),
        row.kind,
        shareText(row.found),
        row.meanHops.toFixed(2),
        row.meanTries.toFixed(2),
        String(row.p99Tries),
        row.meanSeconds.toFixed(2),
      ]),
    },
    {
      title: 'Paths among hostile nodes',
      words: [
        'A try succeeds when its gateway and all hops are honest, the owner left out: the first hostile node ends it, as one',
        'does that answers "not found". Each try has another gateway; all share the hostile nodes. In percent.',
      ],
      head: ['nodes', 'hostile', ...TRY_COUNTS.map(tries), 'designed for'],
      rows: paths.map((row) => [
        counted(row.size),
        `${percent(row.hostile, 0)} %`,
        ...row.within.map(shareText),
        row.size === 1_000 ? (designedFor(row.hostile)?.join(' / ') ?? '') : '',
      ]),
    },
    {
      title: 'Gets, as a client makes them',
      words: [
        'A shard on two nodes; hostile are gateways, hops and keepers alike. The client asks up to 4 gateways, after the',
        'second "not found" with `skip`; each hop tries up to 3 others within 10 s. *Silent* nodes never answer, nodes that',
        '*stall* say for ever that they are still at it, those that *deny* say "not found". In percent.',
      ],
      head: ['nodes', 'hostile', 'they', ...GET_COUNTS.map(tries), 'wait, s', 'a keeper is honest'],
      rows: asked.map((row) => [
        counted(row.size),
        `${percent(row.hostile ?? 0, 0)} %`,
        row.conduct,
        ...row.within.map(shareText),
        waitText(row),
        percent(1 - (row.hostile ?? 0) ** 2, 0),
      ]),
    },
    {
      title: 'A hostile owner',
      words: [
        'The same, when the owner of the location is the only hostile node and the second copy is well. In percent.',
      ],
      head: ['nodes', 'the owner', ...GET_COUNTS.map(tries), 'wait, s'],
      rows: refused.map((row) => [counted(row.size), row.conduct, ...row.within.map(shareText), waitText(row)]),
    },
    {
      title: 'Load',
      words: [
        'As multiples of the mean node. *Arc*: locations owned. *Stored*: with two copies. *Pointed at*: nodes that have it',
        'as a finger, which is what brings it requests to pass on.',
      ],
      head: ['nodes', 'arc p50, p99, max', 'stored p50, p99, max', 'pointed at p50, p99, max', 'fingers of a node'],
      rows: load.map((row) => [
        counted(row.size),
        spreadText(row.arc),
        spreadText(row.stored),
        spreadText(row.inDegree),
        row.meanFingers.toFixed(1),
      ]),
    },
  ]
}

/** What the figures say and what they do not; it names them, so that it cannot part from the tables. */
function reading({ hops, stale, paths, gets, load }: Results): string {
  const size = 1_000
  const hop = hops.find((row) => row.size === size)
  const path = paths.find((row) => row.size === size && row.hostile === 0.2)
  const lost = stale.filter((row) => row.size === size)
  const arc = load.find((row) => row.size === size)
  const getAt = (conduct: string, hostile?: number) =>
    gets.find((row) => row.size === size && row.conduct === conduct && row.hostile === hostile)?.within.at(-1)
  const say = (share: Share | undefined): string => percent(share?.share ?? 0)
  const found = lost.map((row) => row.found.share).sort((a, b) => a - b)
  return `## Reading

At N = 1,000 a request takes ${hop?.mean.toFixed(2)} hops, where log16 N is ${log16(size).toFixed(2)}: nodes send straight to an owner that they list.
Path success is close to what the ring was designed for, mostly a little above: at 20 % hostile ${path?.within.map(say).join(' / ')} %
within 1 / 2 / 4 / 8 tries. Independent tries would do better (${path === undefined ? '' : independent(path)} %); ways to one owner presumably share
their last hops. With a tenth of the view gone one attempt still finds ${percent(found[0] ?? 0)} to ${percent(found.at(-1) ?? 0)} % at N = 1,000. What fails, fails
by time: two dials of 5 s use up the 10 s of a request; where dials are refused at once, nearly all is found.

In the table of gets the keepers may be hostile too. One hostile owner alone hides nothing: with the second copy well,
${say(getAt('silent'))}, ${say(getAt('denies'))} and ${say(getAt('stalls'))} % are had within 4 gateways from behind one that is silent, denies or stalls, since the hop
that asked it asks the next member itself and gives each 3 s (SPEC requests §3). At 20 % hostile ${say(getAt('denies', 0.2))} % of single
shards are had from nodes that deny, ${say(getAt('silent', 0.2))} % from silent ones. A stripe needs any 8 of its 22: were its shards
independent of each other, it would be missed with ${missed(getAt('denies', 0.2))} at 20 % that deny and ${missed(getAt('denies', 0.3))} at 30 %.

The largest arc is ${arc?.arc.max.toFixed(1)} times the mean at N = 1,000 (random points give about ln N), the fullest disk of two copies ${arc?.stored.max.toFixed(1)} times.

Not in these figures: guards and middles of circuits, which may be hostile too; views that differ; hostile nodes that
choose their place or whom to serve; load, caches, and the memory of failed dials, which makes a stale view cheaper. All
trials of a row share its few rings, so the true intervals are a little wider.
`
}

/** What the tries would give if one told nothing of the next. */
function independent({ within }: PathSuccess): string {
  const one = within[0]?.share ?? 0
  return TRY_COUNTS.map((count) => percent(1 - (1 - one) ** count)).join(' / ')
}

/** The chance that fewer than k of a full stripe's n shards come, each with this share. */
function missed(each: Share | undefined): string {
  const share = each?.share ?? 0
  let sum = 0
  let ways = 1
  for (let came = 0; came < STRIPE_K_MAX; came++) {
    sum += ways * share ** came * (1 - share) ** (STRIPE_N_MAX - came)
    ways = (ways * (STRIPE_N_MAX - came)) / (came + 1)
  }
  return sum.toPrecision(1)
}

// --- words -----------------------------------------------------------------------------------------

function rendered({ title, words, head, rows }: Section): string {
  const widths = head.map((cell, column) => Math.max(3, cell.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] as number)).join(' | ')} |`
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`
  return [`## ${title}`, '', ...words, '', line(head), rule, ...rows.map(line), ''].join('\n')
}

function log16(size: number): number {
  return Math.log2(size) / 4
}

function percent(share: number, digits = 1): string {
  return (share * 100).toFixed(digits)
}

function shareText({ share, low, high }: Share): string {
  return `${percent(share)} (${percent(low)}–${percent(high)})`
}

/** Nothing that came, nothing that was waited for. */
function waitText({ within, meanSeconds }: GetSuccess): string {
  return within.at(-1)?.share === 0 ? '' : meanSeconds.toFixed(1)
}

function spreadText({ p50, p99, max }: Spread): string {
  return [p50, p99, max].map((value) => value.toFixed(2)).join(', ')
}

function designedFor(hostile: number): readonly number[] | undefined {
  return DESIGNED.find((row) => row.hostile === hostile)?.percent
}

function tries(count: number): string {
  return count === 1 ? '1 try' : `${count} tries`
}

/** 10000 as 10,000, whatever the machine's language. */
function counted(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',')
}
