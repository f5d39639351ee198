/** What only a process of its own meets: what the system refuses to write, and another user's home. docs/exit-codes.md */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { makeStage, scratchFolder } from '../cli/stage.ts'
import { seededBytes } from '../storage/support/random.ts'
import { hush, hushInShell, runProgram } from './support/hush.ts'

const EXIT_LOCAL = 6
const ADDRESS = 'hush:abc'
const BYTES = seededBytes(1, 1_000_000)
/** What `ulimit -f` counts in. */
const BLOCK_SIZE = 512

async function stageWithObject() {
  const stage = makeStage()
  const double = await stage.startDouble()
  double.objects.set(ADDRESS, { bytes: BYTES })
  const shell = (line: string) => runProgram(['sh', '-c', line], { folder: stage.folder })
  return { ...stage, shell, get: `${hushInShell} get ${ADDRESS} -o - --home '${stage.home}'` }
}

describe.skipIf(process.platform === 'win32')('standard output', () => {
  it.runIf(process.platform === 'linux')('on a full disk ends any command with 6 and the reason', async () => {
    const { shell, get, home } = await stageWithObject()
    for (const command of [get, `${hushInShell} status --home '${home}'`, `${hushInShell} --version`]) {
      const ran = await shell(`${command} > /dev/full`)
      expect(ran.stderr).toMatch(/(^|\n)error: cannot write standard output: the disk is full\n$/)
      expect(ran.code).toBe(EXIT_LOCAL)
    }
  })

  it('of which the system takes the beginning only is never taken for whole', async () => {
    const { shell, get, folder } = await stageWithObject()
    // Within the last piece: no later write would meet the bound.
    const blocks = Math.ceil(BYTES.length / BLOCK_SIZE) - 1
    const ran = await shell(`ulimit -f ${blocks}; ${get} > file`)
    expect(readFileSync(join(folder, 'file'))).toHaveLength(blocks * BLOCK_SIZE)
    expect(ran.stderr).toContain('error: cannot write standard output: the file would be larger')
    expect(ran.code).toBe(EXIT_LOCAL)
    expect(await shell(`${get} > whole`)).toMatchObject({ code: 0, stderr: '' })
    expect(readFileSync(join(folder, 'whole')).equals(BYTES)).toBe(true)
  })

  it('whose reader has gone ends a command with 141 and no word', async () => {
    const { shell, get } = await stageWithObject()
    expect(await shell(`{ ${get}; echo $? >&2; } | head -c 10`)).toMatchObject({ stderr: '141\n' })
  })
})

/** Who owns no home of these tests: another user where we may become one, else ourselves shut out. */
const isRoot = process.geteuid?.() === 0
const NOBODY = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups']

describe.skipIf(process.platform !== 'linux')("another user's home", () => {
  it('is opened by no command: each ends 6 and says who may', async () => {
    const closed = join(scratchFolder(), 'closed')
    const home = join(closed, 'home')
    mkdirSync(home, { recursive: true, mode: 0o700 })
    writeFileSync(join(home, 'network.json'), '{}')
    const file = join(scratchFolder(), 'file')
    writeFileSync(file, 'x')
    if (!isRoot) chmodSync(closed, 0)
    const commands = [
      ...['status', 'down', 'invite', 'ledger', 'up', 'up --detach', 'put -', 'get hush:x -o -', 'check hush:x'],
      ...['repair hush:x', 'repair-key hush:x', 'keep hush:x', 'keep --list'],
    ]
    for (const command of commands) {
      const ran = await hush([...command.split(' '), '--home', home], isRoot ? { under: NOBODY, folder: '/' } : {})
      expect(`${command}: ${ran.stderr}`).toBe(
        `${command}: error: ${home} cannot be opened: permission denied\n` +
          'hint: run as the user who owns it, or name a home of your own with --home\n',
      )
      expect(ran.code).toBe(EXIT_LOCAL)
    }
    chmodSync(closed, 0o700)
  })
})
