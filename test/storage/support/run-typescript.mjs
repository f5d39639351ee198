// Runs the TypeScript file named first, in this process, with the arguments after it: Node 20 does not by itself.
import { runnerImport } from 'vite'

const [file] = process.argv.splice(2, 1)
await runnerImport(file)
