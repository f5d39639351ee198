/** What the daemon knows of its own process: number, memory, signals, version, the key log of tests. */
import { appendFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

export const processId = (): number => process.pid
export const processRssBytes = (): number => process.memoryUsage.rss()

/** What the safety switch judges of this process. */
export function surroundings(): { env: Readonly<Record<string, string | undefined>>; nodeOptions: readonly string[] } {
  return { env: process.env, nodeOptions: process.execArgv }
}

/** Node from this version on has WebAssembly's relaxed look-ups without being asked. */
const NODE_WITH_RELAXED_SIMD = 22

/** Bytes outside the heap that may come on top of what was left after a collection ... */
const GARBAGE_BYTES_MAX = 32 * 1024 * 1024
/** ... looked at so often: a collection costs some tens of milliseconds. */
const GARBAGE_LOOK_EVERY_MS = 1_000

/**
 * A daemon is small and moves many buffers: V8 would collect its whole heap each second because of them, at
 * a third of all processor time. A small nursery frees them early, and the old heap may grow for longer.
 * docs/decisions/0011-garbage-collection.md. And the erasure code is half as fast again with relaxed look-ups,
 * which V8 has and hides in Node 20: docs/decisions/0005-own-reed-solomon-kernel.md
 */
export function tuneEngine(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
  setFlagsFromString('--heap-growing-percent=1000')
  const major = Number.parseInt(process.versions.node, 10)
  if (major < NODE_WITH_RELAXED_SIMD) setFlagsFromString('--experimental-wasm-relaxed-simd')
  collectBuffers()
}

/**
 * Buffers that have lived for a while are freed by a collection of the whole heap only, and V8 waits for 64 MiB of
 * them, which the allocator never gives back. They are collected before.
 */
function collectBuffers(): void {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  if (typeof collect !== 'function') return
  let leftBytes = process.memoryUsage().external
  setInterval(() => {
    const { external } = process.memoryUsage()
    // V8 may have collected by itself.
    leftBytes = Math.min(leftBytes, external)
    if (external - leftBytes < GARBAGE_BYTES_MAX) return
    collect()
    leftBytes = process.memoryUsage().external
  }, GARBAGE_LOOK_EVERY_MS).unref()
}

/** Calls at SIGTERM and SIGINT until the returned function is called. */
export function onStopSignal(run: () => void): () => void {
  process.on('SIGTERM', run)
  process.on('SIGINT', run)
  return () => {
    process.off('SIGTERM', run)
    process.off('SIGINT', run)
  }
}

/** The package's version; the source tree and the built one lie at different depths. */
export function programVersion(): string {
  const require = createRequire(import.meta.url)
  for (const path of ['../../package.json', '../../../package.json']) {
    try {
      const { name, version } = require(path) as { name?: unknown; version?: unknown }
      if (name === 'hushring' && typeof version === 'string') return version
    } catch {
      // Not at this depth.
    }
  }
  return 'unknown'
}

/**
 * With HUSH_KEY_LOG=FILE the TLS secrets of every link are appended to FILE, as browsers do with
 * SSLKEYLOGFILE: whoever has it can read captured links. For tests of what a wire shows, nothing else.
 */
export function keyLogOfEnvironment(): ((line: string) => void) | undefined {
  const file = process.env.HUSH_KEY_LOG
  return file === undefined || file === '' ? undefined : (line) => appendFileSync(file, line, { mode: 0o600 })
}
