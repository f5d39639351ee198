/**
 * Runs the simulator: `npm run sim -- [arguments]`, after `npm run build`. Two trees are made: dist/sim with the
 * program as it is, and dist/sim-fast in which ciphers, signatures and key exchange are fast stand-ins
 * (sim/fast) and shards are small, so that more of everything else happens in the same time.
 */
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { compile, run } from './typescript.mjs'

/** module of the program -> its stand-in */
const STAND_INS = { 'crypto/aead.js': 'aead', 'crypto/sign.js': 'sign', 'crypto/exchange.js': 'exchange' }
const REPLACED_IN = {
  'core/limits.js': [
    ['FRAGMENT_SIZE = 63_360', 'FRAGMENT_SIZE = 3_968'],
    ['CELL_SIZE = 8_184', 'CELL_SIZE = 4_352'],
  ],
  'crypto/kdf.js': [["'node:crypto'", "'../sim/fast/kdf.js'"]],
  'crypto/handshake.js': [["'@noble/post-quantum/ml-kem.js'", "'../sim/fast/kem.js'"]],
}

const entries = ['main', 'fast/kem', 'fast/aead', 'fast/sign', 'fast/exchange', 'fast/kdf'].map(
  (name) => `sim/${name}.ts`,
)
const real = await compile({ entries, scratch: 'sim' })
const fast = `${real}-fast`
rmSync(fast, { recursive: true, force: true })
cpSync(real, fast, { recursive: true })
for (const [module, name] of Object.entries(STAND_INS))
  writeFileSync(`${fast}/${module}`, `export * from '../sim/fast/${name}.js'\n`)
for (const [module, changes] of Object.entries(REPLACED_IN)) {
  let text = readFileSync(`${fast}/${module}`, 'utf8')
  for (const [from, to] of changes) {
    if (text.split(from).length !== 2) throw new Error(`${module} has not one "${from}"`)
    text = text.replace(from, to)
  }
  writeFileSync(`${fast}/${module}`, text)
}
await run([`${real}/sim/main.js`, ...process.argv.slice(2)])
