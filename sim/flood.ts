/**
 * How much does a bought crowd hide, and what do the keepers of a file? `npm run sim -- flood` prints a table; `--write`
 * writes docs/measurements/flood.md. The same seed and sizes give the same figures. SPEC anonymity §7
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { type Flooded, IDENTITY_SECONDS, measureFlood, measureShutDown, type ShutDown } from './flood/measure.ts'
import { shareOf } from './lookups/statistics.ts'

const DEFAULTS = { seed: 'hushring', nodes: '40', networks: '3', targets: '1', gets: '20', hours: '2,10', files: '8' }

export async function runFlood(args: string[]): Promise<void> {
  const text = (name: keyof typeof DEFAULTS) => ({ type: 'string', default: DEFAULTS[name] }) as const
  const { values } = parseArgs({
    args,
    options: {
      seed: text('seed'),
      nodes: text('nodes'),
      networks: text('networks'),
      targets: text('targets'),
      gets: text('gets'),
      hours: text('hours'),
      files: text('files'),
      write: { type: 'boolean', default: false },
    },
  })
  const { seed } = values
  const [nodes, networks, targets, gets] = [values.nodes, values.networks, values.targets, values.gets].map(Number) as [
    number,
    number,
    number,
    number,
  ]
  const floods: Flooded[] = []
  for (const coreHours of values.hours.split(',').map(Number)) {
    for (const hasRegions of [false, true]) {
      const flooded = await measureFlood({ seed, nodes, networks, targets, gets, coreHours, hasRegions })
      floods.push(flooded)
      console.log(row(flooded))
    }
  }
  const shutDown = await measureShutDown({ seed, nodes, networks, files: Number(values.files), locations: 8 })
  console.log(told(shutDown))
  if (values.write) writeFileSync('docs/measurements/flood.md', renderFlood(floods, shutDown))
}

function row({ wish, made, placed, before, after, warned, beside }: Flooded): string {
  const cells = [
    wish.hasRegions ? 'as built' : 'off',
    wish.coreHours,
    made,
    placed,
    `${before.right} of ${before.all}`,
    `${after.right} of ${after.all}`,
    percentOf(after),
    `${warned} of ${beside}`,
  ]
  return `| ${cells.join(' | ')} |`
}

function told({ nodes, networks, locations, down, own, others }: ShutDown): string {
  return (
    `In ${networks} networks of ${nodes} nodes the first two members after each of ${locations} locations of one file's shards were silenced at ` +
    `once (${(down / networks).toFixed(0)} nodes each, which are vaults of other contents as well). Fetched three minutes later: of these files ` +
    `${own.right} of ${own.all}, of the others ${others.right} of ${others.all}, ${percentOf(others)}.`
  )
}

function percentOf({ right, all }: { right: number; all: number }): string {
  const { share, low, high } = shareOf(right, all)
  return `${(100 * share).toFixed(1)} % (${(100 * low).toFixed(1)}–${(100 * high).toFixed(1)})`
}

export function renderFlood(floods: readonly Flooded[], shutDown: ShutDown): string {
  const wish = floods[0]?.wish
  return `# A flood of identities

Somebody makes identities until enough of them stand behind one location, lets them join, and has them deny whatever they are asked on the
ring. How many gets of what was put there before still succeed? Whole nodes with vaults in the [simulator](../spec/simulator.md), without
caches; ${wish?.networks} networks of ${wish?.nodes} nodes, ${wish?.targets === 1 ? 'one shard' : `${wish?.targets} shards`} in each; how it is done: [spec/anonymity.md](../spec/anonymity.md) §7. \`npm run sim -- flood --write\` writes this page.

An identity costs ${Math.round(IDENTITY_SECONDS)} s of one core, and its place is chance. *Made*: by one core in so many hours; *placed*: those of them that
fall into the eight arcs after the location, which alone join. *Off*: only the first two members have a pointer, and the eldest are not
asked, as before there were regions. *Warned*: honest members of the region that say that they are crowded.

| regions | core-hours | made | placed | before | after | share after | warned |
|---|---|---|---|---|---|---|---|
${floods.map(row).join('\n')}

Gets of one network are no independent trials; the intervals are Wilson's, as if they were, and so too narrow.

## Keepers shut down

${told(shutDown)}
`
}
