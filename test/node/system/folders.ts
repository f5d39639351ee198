/** Private folders that tests throw away, and real processes to kill. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const made: string[] = []
const children: ChildProcess[] = []

export function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'hush-test-'))
  made.push(folder)
  return folder
}

export async function cleanUp(): Promise<void> {
  for (const child of children.splice(0)) await kill(child)
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true })
}

/** A process of its own that runs home-process.ts; resolves with its first line. */
export async function startProcess(task: string, home: string): Promise<{ child: ChildProcess; line: string }> {
  const loader = fileURLToPath(new URL('../../storage/support/run-typescript.mjs', import.meta.url))
  const script = fileURLToPath(new URL('./home-process.ts', import.meta.url))
  const child = spawn(process.execPath, [loader, script, task, home], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  const line = await new Promise<string>((resolve, reject) => {
    let text = ''
    child.stdout?.on('data', (data: Buffer) => {
      text += data.toString()
      if (text.includes('\n')) resolve(text.slice(0, text.indexOf('\n')))
    })
    child.once('exit', (code) => reject(new Error(`ended with ${code}: ${text}`)))
  })
  return { child, line }
}

export async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}
