import { readFileSync } from 'node:fs'
import { deserialize } from 'node:v8'
import { measureScenes } from './anonymity/measure.ts'
import { renderText } from './anonymity/report.ts'
const [file, nodes, deals] = process.argv.slice(2)
const scene = deserialize(readFileSync(file as string))
process.stdout.write(renderText(measureScenes({ seed: 'x', nodes: Number(nodes), users: 0, objects: 0, minutes: 0, networks: 1, deals: Number(deals), shares: [0.05, 0.1, 0.2, 0.3] }, [scene])))
