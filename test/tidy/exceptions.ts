/**
 * The one table of allowed exceptions to the rules on imports, modules and calls. `where` is a file, or a
 * folder when it ends in a slash; `what` is the thing used: a path, a module, or a name.
 */
export interface Exception {
  readonly where: string
  readonly what: string
  readonly why: string
}

export const EXCEPTIONS: readonly Exception[] = [
  { where: 'cli/commands/', what: 'node/daemon.ts', why: '`hush up` is the daemon: it starts in the same process' },
  {
    where: 'cli/commands/',
    what: 'node/home.ts',
    why: '`hush init` and `hush testnet` lay out home folders before any daemon runs',
  },
  {
    where: 'cli/safety.ts',
    what: 'node/safety.ts',
    why: 'each command judges its own process before it runs, with the same rules as the daemon',
  },
  ...['exchange', 'server'].map((file) => ({
    where: `node/control/${file}.ts`,
    what: 'node:http',
    why: 'the control API is HTTP on a local socket, and cli, which uses it, may not enter node/system',
  })),
  {
    where: 'bench/erasure.ts',
    what: 'crypto/erasure/index.ts',
    why: 'a bench of the kernels needs both kernels, which the door does not give',
  },
  ...['calls', 'links', 'roles/keeping', 'roles/reconciler', 'tasks/reconcile'].map((file) => ({
    where: 'sim/keepers.ts',
    what: `node/${file}.ts`,
    why: 'a ring of keepers without the rest of the node, so that losses can be counted, is made of these parts',
  })),
  { where: 'core/index.ts', what: 'export *', why: 'core is names and numbers only; all of it is meant for everyone' },
]

/** Whether the table allows `what` in the file at `path`; told to `used` when it does. */
export function isException(path: string, what: string, used?: (exception: Exception) => void): boolean {
  const found = EXCEPTIONS.find(
    (each) => each.what === what && (each.where.endsWith('/') ? path.startsWith(each.where) : path === each.where),
  )
  if (found !== undefined) used?.(found)
  return found !== undefined
}
