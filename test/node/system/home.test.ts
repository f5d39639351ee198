import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { fromUtf8 } from '../../../core/index.ts'
import { systemJitter } from '../../../node/system/chance.ts'
import { homePathOf, openHome } from '../../../node/system/files.ts'
import { homeHolder, lockHome } from '../../../node/system/home-lock.ts'
import { openStateStore } from '../../../node/system/state-store.ts'
import { cleanUp, kill, makeFolder, startProcess } from './folders.ts'

vi.setConfig({ testTimeout: 60_000 })
afterEach(cleanUp)

const ports = { jitter: systemJitter() }
const modeOf = (path: string) => lstatSync(path).mode & 0o777

describe('the home folder', () => {
  it('is named by the flag, else by HUSH_HOME, else lies in the user’s folder', () => {
    const environment = { HUSH_HOME: '/of/environment' }
    expect(homePathOf({ flag: '/of/flag', environment })).toBe('/of/flag')
    expect(homePathOf({ environment })).toBe('/of/environment')
    expect(homePathOf({ environment: {} })).toBe(join(homedir(), '.hush'))
  })

  it('is made for its user alone, with what is written into it', async () => {
    const home = openHome(join(makeFolder(), 'deep', 'home'))
    await home.write('identity.json', '{}')
    expect([modeOf(home.path), modeOf(home.pathOf('identity.json')), modeOf(home.folder('state'))]).toEqual([
      0o700, 0o600, 0o700,
    ])
    expect(home.readText('identity.json', { secret: true })).toBe('{}')
    expect(home.read('absent.json')).toBeUndefined()
    home.remove('identity.json')
    expect(home.read('identity.json')).toBeUndefined()
  })

  it('is tightened while empty, and refused when others may enter and something is in it', () => {
    const path = join(makeFolder(), 'open')
    mkdirSync(path)
    chmodSync(path, 0o755)
    openHome(path)
    expect(modeOf(path)).toBe(0o700)
    writeFileSync(join(path, 'something'), '')
    chmodSync(path, 0o750)
    expect(() => openHome(path)).toThrow(expect.objectContaining({ code: 'ERR_HOME_PERMISSIONS', kind: 'local' }))
    expect(modeOf(path)).toBe(0o750)
  })

  it('may be a link to a private folder, and no file', () => {
    const folder = makeFolder()
    mkdirSync(join(folder, 'real'), { mode: 0o700 })
    symlinkSync(join(folder, 'real'), join(folder, 'link'))
    openHome(join(folder, 'link'))
    writeFileSync(join(folder, 'file'), '')
    expect(() => openHome(join(folder, 'file'))).toThrow(expect.objectContaining({ kind: 'local' }))
  })

  it('gives no secret from a file that others may read', async () => {
    const home = openHome(makeFolder())
    await home.write('identity.json', 'secret')
    chmodSync(home.pathOf('identity.json'), 0o640)
    expect(() => home.read('identity.json', { secret: true })).toThrow(
      expect.objectContaining({ code: 'ERR_HOME_PERMISSIONS', hint: `chmod 600 ${home.pathOf('identity.json')}` }),
    )
    expect(home.readText('identity.json')).toBe('secret')
  })

  it('keeps the old file when a write fails, and nothing beside it', async () => {
    const home = openHome(makeFolder())
    mkdirSync(home.pathOf('taken'))
    writeFileSync(join(home.pathOf('taken'), 'inside'), 'old')
    await expect(home.write('taken', 'new')).rejects.toMatchObject({ code: 'ERR_FILE', kind: 'local' })
    expect(readdirSync(home.path)).toEqual(['taken'])
  })
})

describe('the lock of a home', () => {
  it('is had by one only, and again by the next when released', async () => {
    const home = openHome(makeFolder())
    const lock = await lockHome(home, ports)
    expect(home.readText('daemon.pid')).toBe(`${process.pid}\n`)
    expect(homeHolder(home.path)).toBe(process.pid)
    await expect(lockHome(home, ports)).rejects.toMatchObject({ code: 'ERR_HOME_IN_USE', pid: process.pid })
    lock.release()
    lock.release()
    expect(existsSync(home.pathOf('daemon.pid'))).toBe(false)
    expect(homeHolder(home.path)).toBeUndefined()
    ;(await lockHome(home, ports)).release()
  })

  it('is refused while another process has it, and taken over when that one was killed', async () => {
    const home = openHome(makeFolder())
    const { child, line } = await startProcess('lock', home.path)
    expect(line).toBe('locked')
    await expect(lockHome(home, ports)).rejects.toMatchObject({ code: 'ERR_HOME_IN_USE', pid: child.pid })
    await kill(child)
    expect(readdirSync(home.pathOf('lock'))).toHaveLength(1)
    const lock = await lockHome(home, ports)
    expect(homeHolder(home.path)).toBe(process.pid)
    expect(readdirSync(home.pathOf('lock'))).toHaveLength(1)
    lock.release()
  })

  it('is not kept by a process that was given the number of a dead one', async () => {
    const home = openHome(makeFolder())
    // Number 1 lives as long as the system, but did not begin at tick 12345.
    writeFileSync(join(home.folder('lock'), '1-12345-00000000'), '')
    if (process.platform !== 'linux') return
    ;(await lockHome(home, ports)).release()
  })

  it('removes what cut-off writes have left', async () => {
    const home = openHome(makeFolder())
    writeFileSync(home.pathOf('config.json'), '{}')
    writeFileSync(`${home.pathOf('config.json')}.4711-3.tmp`, '{"ro')
    const lock = await lockHome(home, ports)
    expect(readdirSync(home.path).sort()).toEqual(['config.json', 'daemon.pid', 'lock'])
    lock.release()
  })

  it('is had by at most one of many that come at once', async () => {
    const home = openHome(makeFolder())
    const answers = await Promise.all(Array.from({ length: 3 }, () => startProcess('lock', home.path)))
    expect(answers.filter(({ line }) => line === 'locked').length).toBeLessThanOrEqual(1)
    expect(answers.every(({ line }) => line === 'locked' || line === 'ERR_HOME_IN_USE')).toBe(true)
  })
})

describe('the state store', () => {
  it('gives back what was put, also after it is opened anew', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.constantFrom('guards', 'view', 'times'), fc.uint8Array({ maxLength: 300 })), {
          maxLength: 12,
        }),
        async (puts) => {
          const folder = join(makeFolder(), 'state')
          const store = openStateStore(folder)
          await Promise.all(puts.map(([key, value]) => store.put(key, value)))
          const newest = new Map<string, Uint8Array>(puts)
          const again = openStateStore(folder)
          for (const key of ['guards', 'view', 'times']) {
            expect(store.get(key)).toEqual(newest.get(key))
            expect(again.get(key)).toEqual(newest.get(key))
          }
        },
      ),
      { numRuns: 20 },
    )
  })

  it('keeps the old value when a write was torn, and clears away what it left', async () => {
    const folder = join(makeFolder(), 'state')
    await openStateStore(folder).put('guards', fromUtf8('whole'))
    writeFileSync(join(folder, 'guards.4711-1.tmp'), 'hal')
    const store = openStateStore(folder)
    expect(store.get('guards')).toEqual(fromUtf8('whole'))
    expect(readdirSync(folder)).toEqual(['guards'])
    expect(modeOf(join(folder, 'guards'))).toBe(0o600)
  })

  it('holds a whole value, old or new, when its process is killed while writing', async () => {
    const home = openHome(makeFolder())
    for (let round = 0; round < 3; round++) {
      const { child, line } = await startProcess('write', home.path)
      expect(line).toBe('writing')
      await new Promise((resolve) => setTimeout(resolve, 40 + 30 * round))
      await kill(child)
      const value = openStateStore(home.pathOf('state')).get('value') as Uint8Array
      const at = (value.length - 1_000) / 997
      expect(Number.isInteger(at) && at >= 1).toBe(true)
      expect(value.every((byte) => byte === (at & 0xff))).toBe(true)
      expect(readFileSync(join(home.path, 'state', 'value')).length).toBe(value.length)
    }
  })

  it('does not share its values with who put or got them', async () => {
    const store = openStateStore(join(makeFolder(), 'state'))
    const value = new Uint8Array([1, 2, 3])
    const put = store.put('view', value)
    value.fill(0)
    await put
    store.get('view')?.fill(9)
    expect(store.get('view')).toEqual(new Uint8Array([1, 2, 3]))
  })

  it('tells when the disk refuses, and works again afterwards', async () => {
    const folder = join(makeFolder(), 'state')
    const store = openStateStore(folder)
    mkdirSync(join(folder, 'view', 'full'), { recursive: true })
    await expect(store.put('view', new Uint8Array(4))).rejects.toMatchObject({ code: 'ERR_FILE' })
    await store.put('guards', new Uint8Array(4))
    expect(openStateStore(folder.replace(/state$/, 'other')).get('view')).toBeUndefined()
  })
})
