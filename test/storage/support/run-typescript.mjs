// Runs the TypeScript file named first, in this process, with the arguments after it: Node 20 does not by itself.
import { createViteServer } from 'vitest/node'

const [file] = process.argv.splice(2, 1)
const server = await createViteServer({
  configFile: false,
  logLevel: 'error',
  optimizeDeps: { noDiscovery: true },
  server: { middlewareMode: true, watch: null, ws: false },
})
await server.ssrLoadModule(file)
