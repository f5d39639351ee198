/**
 * How evenly is the load shared, and what does a crowd do? `npm run sim -- load` prints tables, `--write` writes
 * docs/measurements/load.md. Whole nodes, all honest, nothing fails. The same seed and sizes give the same bytes.
 * SPEC requests §4, ring §7
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { type Crowd, measureLoad, type Spread } from './load/measure.ts'

const DEFAULTS = { sizes: '100,200', objects: '300', crowd: '200', seed: '1' }

export async function runLoad(args: string[]): Promise<void> {
  const text = (name: keyof typeof DEFAULTS) => ({ type: 'string', default: DEFAULTS[name] }) as const
  const { values } = parseArgs({
    args,
    options: {
      sizes: text('sizes'),
      objects: text('objects'),
      crowd: text('crowd'),
      seed: text('seed'),
      write: { type: 'boolean', default: false },
    },
  })
  const [seed, objects, crowd] = [Number(values.seed), Number(values.objects), Number(values.crowd)]
  const spreads: string[] = []
  const crowds: string[] = []
  for (const nodes of values.sizes.split(',').map(Number)) {
    const { spreads: found, withCaches, without } = await measureLoad({ seed, nodes, objects, crowd })
    spreads.push(...found.map((spread) => spreadRow(nodes, spread)))
    crowds.push(crowdRow(nodes, true, withCaches), crowdRow(nodes, false, without))
    console.log([...spreads.slice(-found.length), ...crowds.slice(-2)].join('\n'))
  }
  if (values.write) writeFileSync('docs/measurements/load.md', page(spreads, crowds, { objects, crowd }))
}

function spreadRow(nodes: number, { what, mean, max, least, expected }: Spread): string {
  const ratio = (max / mean).toFixed(2)
  const wanted = expected === undefined ? '' : expected.toFixed(2)
  return `| ${nodes} | ${what} | ${mean.toFixed(1)} | ${least} | ${max} | ${ratio} | ${wanted} | ${Math.log(nodes).toFixed(2)} |`
}

function crowdRow(nodes: number, hasCache: boolean, crowd: Crowd): string {
  const { right, all, keeperMean, keeperMax, busiest, answeredOnTheWay, merged, p50Seconds, p99Seconds } = crowd
  const cells = [
    nodes,
    hasCache ? 'yes' : 'no',
    `${right} of ${all}`,
    keeperMean.toFixed(1),
    keeperMax,
    busiest,
    answeredOnTheWay,
    merged,
    p50Seconds.toFixed(2),
    p99Seconds.toFixed(2),
  ]
  return `| ${cells.join(' | ')} |`
}

function page(spreads: readonly string[], crowds: readonly string[], of: { objects: number; crowd: number }): string {
  return `# Load

How evenly the nodes share what is stored and asked, and what happens when all want the same object. Whole nodes in the
simulator, all honest, nothing fails; caches of 1 MiB a node, which hold 256 of the simulator's shards of 4,096 B.

\`\`\`
npm run sim -- load --write
\`\`\`

writes this page anew: one seed, ${of.objects} objects of up to 16 KiB put by random users and each read once by another.

## Shared load

*Shards*: stored on the disk of a node, in number (all have one size). *Gets*, *puts*: requests that a node had to see
to, its own gateway's, its neighbours' and those it passed on. Without virtual nodes a node's part of the ring is the gap
before it, and gaps between random ids are exponential: the largest of N is about ln N times the mean. *Expected* is what
the very ids of this run give for the shards, two copies each: a node holds the gaps of itself and of its predecessor,
which evens out a little.

| nodes | what | mean | least | largest | largest / mean | expected | ln N |
|---|---|---|---|---|---|---|---|
${spreads.join('\n')}

## A crowd

${of.crowd} users, nodes and clients, get one object of 8 shards needed within ten seconds. *Keeper*: requests that came to the
first holder of each of its contents while the crowd was there, on average and at most; *busiest*: at any node, those that
it passed on included. Each line has an object of its own, so the most that one node has to do depends on where its contents
fell. *On the way*: answered out of a cache by a hop; *merged*: joined an equal request that was under way.
Seconds are simulated, from the address to the last byte.

| nodes | caches | right | keeper, mean | keeper, most | busiest | on the way | merged | p50, s | p99, s |
|---|---|---|---|---|---|---|---|---|---|
${crowds.join('\n')}
`
}
