/** Runs the fuzzer of test/fuzz: `npm run fuzz -- [TARGET …] [--seconds N] [--seed N]`, after `npm run build`. */
import { compileAndRun } from './typescript.mjs'

// Optimised code does not count its calls: after some thousand inputs most coverage would be gone.
const nodeOptions = ['--no-opt']
await compileAndRun({ entry: 'test/fuzz/fuzz.ts', scratch: 'fuzz', args: process.argv.slice(2), nodeOptions })
