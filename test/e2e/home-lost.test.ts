/** A daemon whose home is taken away ends by itself: nobody could tell it to any more. SPEC home §2 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { hush } from './support/hush.ts'

const MAIN = process.env.HUSH_E2E_MAIN ?? fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
/** It looks every 30 s; the rest is for a busy machine. */
const END_MS_MAX = 90_000
const EXIT_LOCAL = 6

const running: ChildProcess[] = []
const folders: string[] = []
afterEach(async () => {
  for (const child of running.splice(0)) child.kill('SIGKILL')
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

/** A daemon in the foreground, with what it says. */
async function daemon(home: string) {
  const child = spawn(process.execPath, [MAIN, 'up', '--home', home], { stdio: ['ignore', 'pipe', 'pipe'] })
  running.push(child)
  const told = { text: '' }
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes: Buffer) => (told.text += bytes))
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  while (!told.text.includes('the daemon is up')) {
    if (child.exitCode !== null) throw new Error(`it did not start: ${told.text}`)
    await sleep(50)
  }
  return { told, ended }
}

/** Of a network none of whose nodes runs. */
async function clientHome(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'hush-home-lost-'))
  folders.push(folder)
  const seeds = Array.from({ length: 7 }, (_, i) => `127.0.0.1:${9 + i}`).join(',')
  const net = join(folder, 'net')
  const made = await hush(['network', 'create', net, '--profile', 'testnet', '--seeds', seeds, '--json'])
  const home = join(folder, 'home')
  const init = await hush(['init', '--client', '--join', JSON.parse(made.stdout.toString()).invite, '--home', home])
  if (init.code !== 0) throw new Error(init.stderr)
  return home
}

describe('a daemon', () => {
  it('whose home is removed, or given away, ends and says why', async () => {
    const homes = [await clientHome(), await clientHome()]
    const [removed, moved] = await Promise.all(homes.map(daemon))
    await rm(homes[0] as string, { recursive: true })
    await rename(homes[1] as string, `${homes[1]}-elsewhere`)
    for (const gone of [removed, moved]) {
      const code = await Promise.race([gone?.ended, sleep(END_MS_MAX, 'still running', { ref: false })])
      expect(gone?.told.text).toMatch(/"home-lost"/)
      expect(gone?.told.text).toMatch(/error: the home .* was removed/)
      expect(code).toBe(EXIT_LOCAL)
    }
  })
})
