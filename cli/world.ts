/**
 * What the command line touches of its process, handed in as one value, so that tests can run a whole
 * command without a process of its own. `main.ts` makes the real one.
 */
import type { Readable, Writable } from 'node:stream'
import type { ProfileName } from '../core/index.ts'

export interface World {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: Writable
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number }
  readonly env: Readonly<Record<string, string | undefined>>
  /** Options that Node itself was started with. */
  readonly nodeOptions: readonly string[]
  /** Folder that relative paths start from. */
  readonly folder: string
  /** The user's own folder, where `.hush` lies unless told otherwise. */
  readonly userFolder: string
  readonly temporaryFolder: string
  readonly version: string
  /** The program and first argument that start this command line again in another process. */
  readonly self: { readonly program: string; readonly script: string }
  /** Calls at SIGINT and SIGTERM until the returned function is called. */
  onInterrupt(run: (signal: NodeJS.Signals) => void): () => void
  homes(): Promise<HomeRoom>
  daemon(): Promise<DaemonRoom>
}

/** What the cli needs to know of a network; passed on whole. */
export interface NetworkLike {
  readonly id: string
  readonly profile: ProfileName
  readonly createdMs: number
  readonly seeds: { id: string; publicKey: string; address: string }[]
}

/** Settings that a command gives a home besides its addresses. */
export interface Overrides {
  readonly prefixLimits?: boolean
  readonly anonymity?: 'strict' | 'unsafe'
  readonly proxy?: string
  readonly vaults?: boolean
}

/** The part of node/home.ts that makes home folders; the processes in them speak the control API. */
export interface HomeRoom {
  createHome(options: {
    home: string
    network: NetworkLike
    role: 'node' | 'client'
    listen?: string
    advertise?: readonly string[]
    overrides?: Overrides
  }): Promise<{ id: string | undefined; publicKey: string }>
  createNetwork(options: {
    profile: ProfileName
    seeds: readonly { home: string; listen: string; advertise?: readonly string[] }[]
    overrides?: Overrides
    onProgress?: (done: number, total: number) => void
  }): Promise<NetworkLike>
  readNetwork(home: string): Promise<NetworkLike>
  makeInvite(network: NetworkLike): string
  parseInvite(text: string): NetworkLike
}

/** The part of node/daemon.ts that `hush up` runs. */
export interface DaemonRoom {
  runDaemon(options: { home: string; foreground: boolean; onReady?: () => void }): Promise<number>
}
