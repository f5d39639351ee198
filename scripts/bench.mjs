/** Runs bench/NAME.ts: `npm run bench -- NAME [arguments]`, after `npm run build`. */
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { compileAndRun, fail } from './typescript.mjs'

const names = readdirSync(fileURLToPath(new URL('../bench', import.meta.url)))
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.slice(0, -3))

const [name, ...args] = process.argv.slice(2)
if (name === undefined || !names.includes(name)) fail(`usage: npm run bench -- ${names.join('|')}`)
await compileAndRun({ entry: `bench/${name}.ts`, scratch: 'bench', args })
