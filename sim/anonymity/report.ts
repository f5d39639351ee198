/** What was measured, as tables for the terminal and as a page with plots. Shares in percent. */
import type { Share } from '../lookups/statistics.ts'
import { drawPlot } from '../plot.ts'
import { AIMS } from './aimed.ts'
import type { GuardsResults } from './guards.ts'
import type { Measured, Results, Row } from './measure.ts'
import { LINKED_SHARDS } from './score.ts'

/** Where the part of the page begins that `npm run leaks` writes. */
const PLANTED_TITLE = '## Planted leaks'

interface Section {
  readonly title: string
  readonly words: string
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

export function renderText(results: Results): string {
  const { effort, gets, puts, failed, cpuSeconds, peakMiB } = results
  const intro = `${effort.nodes} nodes, ${effort.users} users, ${effort.networks} networks: ${puts} puts, ${gets} gets, ${failed} failed; ${cpuSeconds} s of CPU, ${peakMiB} MiB so far\n`
  return [intro, ...sectionsOf([results]).map(rendered)].join('\n')
}

export function renderPage(
  { all, held, bare, guards, cpuSeconds, peakMiB }: Measured,
  wish: { commands: readonly string[]; planted: string | undefined },
): string {
  const sizes = all.map(
    ({ effort, puts, gets, failed, rows }) =>
      `- ${counted(effort.nodes)} nodes, ${counted(effort.users)} of them users, ${effort.networks} ${effort.networks === 1 ? 'network' : 'networks'}: ` +
      `${puts} puts and ${gets} gets of one stripe (22 shards) each within ${effort.minutes} minutes, ${failed} failed; ` +
      `${rows.map((row) => row.placements).join(', ')} placements of hostile nodes at ${rows.map((row) => percent(row.share, 0)).join(', ')} %.`,
  )
  const intro = `# Anonymity

How often hostile nodes that pool all they see can tell who asked for an object, who published it, who stores it and
which shards belong together. The whole program runs in the [simulator](../spec/simulator.md) with fast stand-ins for
ciphers; what the adversary sees, how it guesses and how it is scored is in [spec/anonymity.md](../spec/anonymity.md).
Hostile nodes follow the protocol and keep their eyes open; they do not delay or drop, and choose their places only where
that is said.

\`\`\`
${wish.commands.join('\n')}
\`\`\`

${wish.commands.length === 1 ? 'writes this page anew' : 'each with `--json FILE`, and then `--from FILE --from FILE --write`, write this page anew'}, in about ${Math.round(cpuSeconds / 60)} minutes of one core and ${counted(peakMiB)} MiB. Samples:

${sizes.join('\n')}

Intervals are 95 %, over networks: the mean of one network's placements is one value, and one network alone has no interval. All nodes are vaults but where it is said. No churn but where it is said: guards stay.

![Readers and authors named against the share of hostile nodes](anonymity.svg)
![Shards of a stripe that a pool links](anonymity-linkage.svg)

${promises(all)}`
  const more = [
    ...(held === undefined ? [] : [heldSection(held, all)]),
    ...(bare === undefined ? [] : [bareSection(bare, all)]),
    ...(guards === undefined ? [] : [guardsSection(guards)]),
  ]
  const parts = [intro, ...[...sectionsOf(all), ...more].map(rendered), reading(all)]
  return `${parts.join('\n')}${wish.planted === undefined ? '' : `\n${wish.planted}`}`
}

/** The part on planted leaks of a page as it is. */
export function plantedPart(page: string): string | undefined {
  const at = page.indexOf(PLANTED_TITLE)
  return at === -1 ? undefined : page.slice(at)
}

function sectionsOf(all: readonly Results[]): Section[] {
  const each = (cells: (row: Row, results: Results) => string[]): string[][] =>
    all.flatMap((results) =>
      results.rows.map((row) => [counted(results.effort.nodes), `${percent(row.share, 0)} %`, ...cells(row, results)]),
    )
  const head = ['nodes', 'hostile']
  return [
    {
      title: 'Reader and author, targeted',
      words: `The adversary knows the address, so all its locations, and names one member. *Named*: the chance that it is the right
one, lucky guesses included; *guess*: what guessing alone gives; *less guess*: (named - guess) / (1 - guess). *Found*: named
rightly and with more than even belief: without lucky guesses, but also without what it half knows, which is much when
few nodes are hostile. *Guard*: readers whose guard is hostile.`,
      head: [
        ...head,
        'reader named',
        'author named',
        'guess',
        'reader, less guess',
        'author, less guess',
        'reader found',
        'author found',
        'guard',
      ],
      rows: each(({ figures }) => [
        shareText(figures['get right']),
        shareText(figures['put right']),
        percentText(figures['get guess']),
        shareText(lessGuess(figures['get right'], figures['get guess'])),
        shareText(lessGuess(figures['put right'], figures['put guess'])),
        shareText(figures['get found']),
        shareText(figures['put found']),
        shareText(figures['get guarded']),
      ]),
    },
    {
      title: 'How sure it is',
      words: `*Right when sure*: of what it says with more than even belief. *Degree*: entropy of its belief over log2 of the nodes, 1
is best. *Expected*: what the design reckons, (1 - f) log(N (1 - f)) / log N, for an adversary that leaves out nobody but itself.`,
      head: [
        ...head,
        'reader, right when sure',
        'author, right when sure',
        'degree, reader',
        'degree, author',
        'expected',
      ],
      rows: each(({ share, figures }, { effort }) => [
        shareText(figures['get claimsRight']),
        shareText(figures['put claimsRight']),
        degreeText(figures['get degree']),
        degreeText(figures['put degree']),
        (((1 - share) * Math.log(effort.nodes * (1 - share))) / Math.log(effort.nodes)).toFixed(3),
      ]),
    },
    {
      title: 'Single requests, untargeted',
      words: `Without the address. Of all requests for one shard: those whose location a hostile node sees, and those of which it
also says rightly, with more than even belief, who asked.`,
      head: [...head, 'gets seen', 'gets found', 'puts seen', 'puts found'],
      rows: each(({ figures }) => [
        shareText(figures['get requestsSeen']),
        shareText(figures['get requestsNamed']),
        shareText(figures['put requestsSeen']),
        shareText(figures['put requestsNamed']),
      ]),
    },
    {
      title: 'Storer',
      words: `Of pairs of a shard and the vault that has it, those in which the vault is named, of vaults that are not hostile. *Watching*: without the
address, by what passes: the shard's keeper and the vault's guard are both hostile, and see the same circuit. *Asking by pointer*: without the address too,
but a hostile member has a pointer of the shard, and puts it again six times; the guard sees which circuit wakes each time.
*Asking by address*: whoever has the object does so, whether it has a pointer or not; then with guesses among all others, and less them. *Right*:
of the vaults that it says. *Pointer held*: shards of which a hostile member has a pointer. ${all
        .map(
          ({ effort, pairs, questions, inVaults, withKeepers }) =>
            `${counted(effort.nodes)} nodes: ${counted(pairs)} pairs, ${counted(questions)} times put again; ${shareText(inVaults)} % of the shards lie with two vaults, ` +
            `of ${shareText(withKeepers)} % keepers have the bytes themselves, and everybody who has the address knows them; those are not in this table.`,
        )
        .join(' ')}`,
      head: [
        ...head,
        'watching',
        'right',
        'asking by pointer',
        'asking by address',
        'right',
        'with guesses',
        'less the guess',
        'pointer held',
      ],
      rows: each(({ figures }) => [
        shareText(figures['storer watched'], 2),
        percentText(figures['storer watchedRight']),
        shareText(figures['storer pointed']),
        shareText(figures['storer asked']),
        percentText(figures['storer askedRight']),
        shareText(figures['storer askedOrGuessed']),
        shareText(lessGuess(figures['storer askedOrGuessed'], figures['get guess'])),
        percentText(figures['storer pointers']),
      ]),
    },
    {
      title: 'Shards of one stripe, pooled',
      words: `Of the 22 shards of a put: those seen by hostile nodes, and the largest part of them that is taken for one thing, with the
share of that group that really is of that put, root included. By *circuit*: what comes over one circuit within 2 s. By *guard*: over all circuits of
one client that are matched with hostile guards. By *time*: whatever is put within 250 ms of each other, anywhere.`,
      head: [...head, 'seen', 'by circuit', 'of it right', 'by guard', 'of it right', 'by time', 'of it right'],
      rows: each(({ figures }) => [
        shareText(figures.stripeSeen),
        shareText(figures['circuit share']),
        percentText(figures['circuit purity']),
        shareText(figures['guard share']),
        percentText(figures['guard purity']),
        shareText(figures['time share']),
        percentText(figures['time purity']),
      ]),
    },
    {
      title: 'Aimed',
      words: `Hostile nodes that choose their places: as many *keepers* of one object's shards as they are, those that hold most of
them; or all *around* one user on the ring, half of them on each side. Named is its reader or author, as above, by what they
see; *guard*: the user's guard is theirs. *Seen*: shards of the stripe; *linked*: taken for one thing by their time.`,
      head: [...head, 'aim', 'reader named', 'author named', 'guess', 'guard', 'seen', 'linked'],
      rows: all.flatMap((results) =>
        results.effort.aimed === 0
          ? []
          : results.rows.flatMap(({ share, figures }) =>
              AIMS.map((aim) => [
                counted(results.effort.nodes),
                `${percent(share, 0)} %`,
                aim === 'keepers' ? 'keepers' : 'around',
                shareText(figures[`${aim} reader`]),
                shareText(figures[`${aim} author`]),
                percentText(figures[`${aim} guess`]),
                shareText(figures[`${aim} guard`]),
                shareText(figures[`${aim} seen`]),
                shareText(figures[`${aim} linked`]),
              ]),
            ),
      ),
    },
    {
      title: 'Shards of one stripe, one node alone',
      words: `Over all pairs of a node and a put. *Linked*: ${LINKED_SHARDS} shards, which rebuild a stripe, within 250 ms of each other, in any
role. *Over two*: as gateway it opened more than two shards of the stripe.`,
      head: ['nodes', 'pairs', 'linked', 'over two', 'most as gateway', 'most in all roles'],
      rows: all.map(({ effort, alone, linked, overTwo }) => [
        counted(effort.nodes),
        counted(alone.pairs),
        shareText(linked, 3),
        shareText(overTwo, 3),
        String(alone.mostAsGateway),
        String(alone.mostInAll),
      ]),
    },
    {
      title: 'One neighbour',
      words: `What Levine et al. (CCS 2020) did to Freenet: a node that knows the address counts, for each neighbour, the requests of the
object that came from it (ring), or the cells on its circuits meanwhile (middle, guard). *Area*: the chance that the
reader's count is above another neighbour's, ties half; 0.5 tells nothing, at any threshold. *Right*: the neighbour with
the highest count is the reader; *guess*: one neighbour at random.`,
      head: ['nodes', 'place', 'gets', 'area', 'right', 'guess'],
      rows: all.flatMap(({ effort, neighbours }) =>
        (['ring', 'middle', 'guard'] as const).map((place) => [
          counted(effort.nodes),
          place,
          String(neighbours[place].gets),
          degreeText(neighbours[place].area),
          shareText(neighbours[place].right),
          percentText(neighbours[place].guess),
        ]),
      ),
    },
  ]
}

/** Puts with `--hold minutes` beside puts without. */
function heldSection({ effort, rows, puts, failed }: Results, all: readonly Results[]): Section {
  const plain = all.find((results) => results.effort.nodes === effort.nodes)
  return {
    title: 'Held puts',
    words: `With \`hush put --hold minutes\`: ${counted(puts)} puts in ${effort.networks} networks of ${effort.nodes} nodes, ${failed} failed, as many a minute as above. Parts of
a put as in "Shards of one stripe, pooled"; the last column is without hold. A gateway sees a held put when it takes it.`,
    head: [
      'hostile',
      'author named',
      'seen',
      'by circuit',
      'by guard',
      'by time',
      'of it right',
      'by time, without hold',
    ],
    rows: rows.map(({ share, figures }, at) => [
      `${percent(share, 0)} %`,
      shareText(figures['put right']),
      shareText(figures.stripeSeen),
      shareText(figures['circuit share']),
      shareText(figures['guard share']),
      shareText(figures['time share']),
      percentText(figures['time purity']),
      shareText(plain?.rows[at]?.figures['time share']),
    ]),
  }
}

/** What vaults change for those who are not asked for them. */
function bareSection({ effort, rows, gets, failed }: Results, all: readonly Results[]): Section {
  const plain = all.find((results) => results.effort.nodes === effort.nodes)
  return {
    title: 'Without vaults',
    words: `Readers, authors and linkage in ${effort.networks} networks of ${effort.nodes} nodes that are no vaults (${counted(gets)} gets, ${failed} failed), each figure before
the arrow; after it, with vaults, as above. A pointer goes to all members of a region, eight on average, where a copy went to one.`,
    head: ['hostile', 'reader named', 'author named', 'puts seen', 'shards seen', 'linked by time', 'of it right'],
    rows: rows.map(({ share, figures }, at) => {
      const both = (name: keyof typeof figures): string =>
        `${percentText(figures[name])} → ${percentText(plain?.rows[at]?.figures[name])}`
      return [
        `${percent(share, 0)} %`,
        both('get right'),
        both('put right'),
        both('put requestsSeen'),
        both('stripeSeen'),
        both('time share'),
        both('time purity'),
      ]
    }),
  }
}

function guardsSection({ wish, rows, crashes }: GuardsResults): Section {
  return {
    title: 'Guards when machines come and go',
    words: `Machines are up for an hour on average and away for 1 to 11 minutes, guards among them: ${wish.networks} networks of ${wish.nodes} nodes and ${wish.clients} clients, ${counted(crashes)} times
somebody went away, and nobody's guard was past its time. *Met*: guards that a user's circuits have gone through so far;
then the share of users that have met a hostile one, over 200 placements. A settled guard gives f.`,
    head: ['hours', 'met', ...wish.shares.map((share) => `f = ${percent(share, 0)} %`)],
    rows: rows.map(({ hours, met, exposed }) => [
      String(hours),
      `${met.share.toFixed(2)} (${met.low.toFixed(2)}–${met.high.toFixed(2)})`,
      ...exposed.map((share) => shareText(share)),
    ]),
  }
}

export function renderNamingPlot(all: readonly Results[]): string {
  return drawPlot({
    title: 'Named by hostile nodes that pool what they see',
    xLabel: 'hostile nodes, percent',
    yLabel: 'named, percent',
    xTicks: ticksOf(all),
    yTicks: [0, 10, 20, 30, 40],
    lines: [
      ...all.flatMap(({ effort, rows }) => [
        { name: `reader, ${counted(effort.nodes)}`, points: curve(rows, (row) => row.figures['get right']) },
        { name: `author, ${counted(effort.nodes)}`, points: curve(rows, (row) => row.figures['put right']) },
        {
          name: 'reader, less guess',
          points: curve(rows, ({ figures }) => lessGuess(figures['get right'], figures['get guess'])),
        },
      ]),
      { name: 'wanted: 1.1 f', points: ticksOf(all).map((tick) => [tick, 1.1 * tick] as const), isDashed: true },
    ],
  })
}

export function renderLinkagePlot({ all, held }: Pick<Measured, 'all' | 'held'>): string {
  const [first] = all
  const rows = first?.rows ?? []
  return drawPlot({
    title: `Shards of one stripe that a pool links, ${counted(first?.effort.nodes ?? 0)} nodes`,
    xLabel: 'hostile nodes, percent',
    yLabel: 'of the 22 shards, percent',
    xTicks: ticksOf(all),
    yTicks: [0, 20, 40, 60, 80, 100],
    lines: [
      { name: 'seen at all', points: curve(rows, (row) => row.figures.stripeSeen), isDashed: true },
      { name: 'by time', points: curve(rows, (row) => row.figures['time share']) },
      { name: 'by guard', points: curve(rows, (row) => row.figures['guard share']) },
      { name: 'by circuit', points: curve(rows, (row) => row.figures['circuit share']) },
      ...(held === undefined
        ? []
        : [{ name: 'by time, held', points: curve(held.rows, (row) => row.figures['time share']), isDashed: true }]),
    ],
  })
}

function ticksOf([first]: readonly Results[]): number[] {
  return (first?.rows ?? []).map(({ share }) => Math.round(share * 100))
}

function curve(rows: readonly Row[], of: (row: Row) => Share | undefined): (readonly [number, number])[] {
  return rows.map((row) => [row.share * 100, (of(row)?.share ?? 0) * 100] as const)
}

/** The promises with what was measured; the verdict is reckoned from the figures, so that it cannot part from them. */
function promises(all: readonly Results[]): string {
  const rows = all.flatMap((results) => {
    const { effort, linked, alone, neighbours } = results
    const nodes = counted(effort.nodes)
    const naming = results.rows.flatMap(({ share, figures }) =>
      (['get', 'put'] as const).map((kind) => {
        const who = kind === 'get' ? 'reader' : 'author'
        const named = figures[`${kind} right`]
        const less = lessGuess(named, figures[`${kind} guess`])
        const limit = 1.1 * share
        return [
          nodes,
          `${who} named at most 1.1 f, f = ${percent(share, 0)} %: ${percent(limit)} %`,
          `${shareText(named)}; less the guess ${shareText(less)}`,
          `${verdict(named, limit)}; less the guess: ${verdict(less, limit)}`,
        ]
      }),
    )
    const storers = results.rows.flatMap(({ share, figures }) => {
      const [squared, plain] = [1.1 * share ** 2, 1.1 * share]
      const row = (what: string, found: Share | undefined, limit: number, digits: number): string[] => [
        nodes,
        `storer, ${what}, f = ${percent(share, 0)} %: ${percent(limit, digits)} %`,
        shareText(found, digits),
        verdict(found, limit),
      ]
      return [
        row('without the address, watching, at most 1.1 f²', figures['storer watched'], squared, 2),
        row('without the address, asking by pointer, at most 1.1 f²', figures['storer pointed'], squared, 2),
        row('with the address, at most 1.1 f', figures['storer asked'], plain, 1),
      ]
    })
    return [
      ...naming,
      ...storers,
      [
        nodes,
        `a node alone links ${LINKED_SHARDS} shards of a stripe: below 0.1 %`,
        `${shareText(linked, 3)}; most seen in all roles: ${alone.mostInAll}`,
        verdict(linked, 0.001),
      ],
      [
        nodes,
        'a node alone opens at most two shards of a stripe as gateway',
        `${counted(alone.overTwo)} of ${counted(alone.pairs)} pairs of node and put opened more; most: ${alone.mostAsGateway}`,
        alone.overTwo === 0 ? 'kept' : 'broken',
      ],
      [
        nodes,
        'a ring neighbour does not tell a reader: area at most 0.5',
        degreeText(neighbours.ring.area),
        verdict(neighbours.ring.area, 0.5),
      ],
    ]
  })
  return rendered({
    title: 'Against the promises',
    words: `Shares in percent. *Kept*: the whole interval lies at or below the limit; *broken*: all of it above; *open*: the limit
lies within it. *Less the guess*: (named - g) / (1 - g), where g is what guessing alone gives. Storers are counted for each shard and vault, without lucky guesses.`,
    head: ['nodes', 'promise', 'measured', 'verdict'],
    rows,
  })
}

/** What is named beyond what guessing alone would name. */
function lessGuess(named: Share | undefined, guess: Share | undefined): Share | undefined {
  if (named === undefined || guess === undefined) return undefined
  const less = (value: number): number => Math.max(0, (value - guess.share) / (1 - guess.share))
  return { share: less(named.share), low: less(named.low), high: less(named.high) }
}

function verdict(found: Share | undefined, limit: number): string {
  if (found === undefined) return 'open'
  if (found.high <= limit) return 'kept'
  return found.low > limit ? 'broken' : 'open'
}

/** Measured apart: one network of 100, 200 and 400 nodes each. */
const COST = `1,000 nodes were not run. One network with 150 users, 200 objects and 4 minutes took 29, 59 and 122 s of CPU and 0.36, 0.74
and 1.3 GiB at 100, 200 and 400 nodes; so at 1,000 about 5 minutes and 3.3 GiB, and with up to 1 s for each of 152 placements
some 7 minutes: an hour of one core for eight networks, by \`npm run sim -- anonymity --large 1000\` (two of them). There
the guess is a tenth and the share of hostile guards the same; requests take more hops, so pools see more of them.
`

/** What the figures mean, and what they do not say. It states no figure that a run could change. */
const reading = (all: readonly Results[]): string => `## Reading

A user is named when its guard is hostile, and nearly always then once more than a few nodes are: the cells that a guard
passes to a middle and those that a gateway gets from it match one for one, and what the ring sees comes in the same burst.
With an honest guard the adversary is left with a guess among those that it does not guard. So "named" is the share of
hostile guards and the guess, one in the honest members that are left, which does not shrink with f: in a small network
with few hostile nodes it weighs. The fewer are hostile, the fewer circuits of a put they see, and the less sure they are.

The more nodes are hostile, the further the degree of anonymity falls below what the design reckons. The adversary also
leaves out the users that it guards and did not see, and the middles before its gateways: a user is never a relay of its
own circuits.

**Parts of a put are told by time**: what is put at one moment is mostly one thing, since a client sends a stripe at once.
That takes no guard, no circuit and no address: nearly all of what a pool sees of a stripe it also links. It is the
strongest statement here against the present design. It grows with the share of what is seen, not with its square. In this
network somebody puts every few seconds; more users at work at once would blur it.

A node alone links more in smaller networks, where it plays more roles in each put: of 4,800 pairs in four networks of 40
nodes (\`--probe\`) 0.229 % (0.128–0.410), which breaks the promise there.

**Storers** are hidden from those who watch: it takes the keeper and the vault's guard, as reckoned. They are not hidden in
f² from those who act. All members of a region have the pointer, with the line's point and key; whoever has it can have the vault read, through
whichever keeper has the line, as often as it likes, and needs the guard alone then. With eight members in a region some
member is hostile for most shards. So the promise in f² holds for a pool that only looks, and for one that asks it is that
chance times f: nearly the figure of those who have the address.

A keeper that has fewer than two lines keeps bytes itself. Lines end where their points lie, and points were drawn when the
network was small: who came later and has a small part of the ring has few.

At ring neighbours the area lies a little below 0.5, since a user is never its own gateway: a neighbour that asks for the
object is a little *less* likely to want it. That is a trace too, and shrinks with the network. A middle is told by the hop
number that its neighbour is a guard, never the user. A guard knows that its client is at work, when and how much; not
what for: with the address and a sight of the requests it needs no more.

Hostile nodes that aim at the keepers of an object see nearly all of it, with a third of the nodes, and link it; that
does not name anybody: what they lack is the guard, which they cannot choose. Those around a user on the ring are no
better off than those anywhere.

Not in these figures: hostile nodes that delay, drop or refuse to make clients build anew, or that are many guards'
choice because they are old; long observation of one user; an observer of the lines.

${all.some(({ effort }) => effort.nodes >= 1_000) ? '' : COST}`

// --- words -----------------------------------------------------------------------------------------

function rendered({ title, words, head, rows }: Section): string {
  const widths = head.map((cell, column) => Math.max(3, cell.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] as number)).join(' | ')} |`
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`
  return [`## ${title}`, '', words, '', line(head), rule, ...rows.map(line), ''].join('\n')
}

function percent(share: number, digits = 1): string {
  return (share * 100).toFixed(digits)
}

function percentText(share: Share | undefined): string {
  return share === undefined ? '-' : percent(share.share)
}

function shareText(share: Share | undefined, digits = 1): string {
  if (share === undefined) return '-'
  // One network has no interval.
  if (share.low === 0 && share.high === 1) return percent(share.share, digits)
  return `${percent(share.share, digits)} (${percent(share.low, digits)}–${percent(Math.min(1, share.high), digits)})`
}

function degreeText(share: Share | undefined): string {
  if (share === undefined) return '-'
  if (share.low === 0 && share.high === 1) return share.share.toFixed(3)
  return `${share.share.toFixed(3)} (${share.low.toFixed(3)}–${Math.min(1, share.high).toFixed(3)})`
}

/** 10000 as 10,000, whatever the machine's language. */
function counted(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',')
}
