import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { addressTag, PartFile } from '../../cli/part-file.ts'
import { run } from '../../cli/run.ts'
import type { Double } from './daemon-double.mjs'
import { makeStage, type Stage } from './stage.ts'

const ADDRESS = 'hush:abc'
const BYTES = Uint8Array.from({ length: 300_000 }, (_, index) => (index * 7 + (index >> 8)) & 0xff)
const TOO_FEW = {
  code: 'ERR_TOO_FEW_SHARDS',
  kind: 'unavailable',
  message: 'stripe 3: found 7 of the 8 shards needed',
}

async function stageWithObject(
  name?: string,
): Promise<Stage & { double: Double; part(target: string): Promise<string> }> {
  const stage = makeStage()
  const double = await stage.startDouble()
  double.objects.set(ADDRESS, { bytes: BYTES, name })
  const part = async (target: string) => join(stage.folder, `.${target}.${await addressTag(ADDRESS)}.hush-part`)
  return { ...stage, double, part }
}

describe('hush get into a file', () => {
  it('writes the file and leaves nothing else', async () => {
    const stage = await stageWithObject()
    expect(await stage.hush(['get', ADDRESS, '-o', 'copy.bin'])).toMatchObject({ exit: 0, out: 'copy.bin\n' })
    expect(readdirSync(stage.folder)).toEqual(['copy.bin'])
    expect(readFileSync(join(stage.folder, 'copy.bin')).equals(BYTES)).toBe(true)
    expect(lstatSync(join(stage.folder, 'copy.bin')).mode & 0o777).toBe(0o666 & ~process.umask())
  })

  it('takes the stored name, made safe, or one made from the address', async () => {
    const named = await stageWithObject('../../.ssh/ keys\u0000\u202e.txt')
    expect(await named.hush(['get', ADDRESS])).toMatchObject({ exit: 0, out: 'keys.txt\n' })
    expect(readdirSync(named.folder)).toEqual(['keys.txt'])
    const nameless = await stageWithObject()
    expect(await nameless.hush(['get', ADDRESS])).toMatchObject({
      exit: 0,
      out: `hush-${await addressTag(ADDRESS)}\n`,
    })
  })

  it('fetches an empty file', async () => {
    const stage = await stageWithObject()
    stage.double.objects.set(ADDRESS, { bytes: new Uint8Array(0) })
    expect((await stage.hush(['get', ADDRESS, '-o', 'empty'])).exit).toBe(0)
    expect(statSync(join(stage.folder, 'empty')).size).toBe(0)
    expect(readdirSync(stage.folder)).toEqual(['empty'])
  })

  it('refuses a target that exists before it asks anybody', async () => {
    const stage = await stageWithObject()
    writeFileSync(join(stage.folder, 'mine'), 'mine')
    const { exit, err } = await stage.hush(['get', ADDRESS, '-o', 'mine'])
    expect(exit).toBe(2)
    expect(err).toMatch(/^error: .*mine exists already\nhint: .*--force\n$/)
    expect(stage.double.requests).toEqual([])
    expect(readFileSync(join(stage.folder, 'mine'), 'utf8')).toBe('mine')
  })

  it('refuses the stored name when it is taken', async () => {
    const stage = await stageWithObject('mine')
    writeFileSync(join(stage.folder, 'mine'), 'mine')
    expect((await stage.hush(['get', ADDRESS])).exit).toBe(2)
    expect(readdirSync(stage.folder)).toEqual(['mine'])
    expect(readFileSync(join(stage.folder, 'mine'), 'utf8')).toBe('mine')
  })

  it('replaces a file or a link with --force, the link and not what it names; never a folder', async () => {
    const stage = await stageWithObject()
    writeFileSync(join(stage.folder, 'mine'), 'mine')
    symlinkSync('mine', join(stage.folder, 'link'))
    mkdirSync(join(stage.folder, 'folder'))
    expect((await stage.hush(['get', ADDRESS, '-o', 'link', '--force'])).exit).toBe(0)
    expect(lstatSync(join(stage.folder, 'link')).isFile()).toBe(true)
    expect(readFileSync(join(stage.folder, 'mine'), 'utf8')).toBe('mine')
    expect((await stage.hush(['get', ADDRESS, '-o', 'mine', '--force'])).exit).toBe(0)
    expect(readFileSync(join(stage.folder, 'mine')).equals(BYTES)).toBe(true)
    expect((await stage.hush(['get', ADDRESS, '-o', 'folder', '--force'])).exit).toBe(2)
    expect((await stage.hush(['get', ADDRESS, '-o', '/dev/null', '--force'])).exit).toBe(2)
  })

  it('leaves no file and no part when nothing came', async () => {
    const stage = await stageWithObject()
    const { exit, err } = await stage.hush(['get', 'hush:unknown', '-o', 'copy'])
    expect(exit).toBe(4)
    expect(err).toBe('error: not found by 8 of 8 keepers\nhint: try again later\n')
    expect(readdirSync(stage.folder)).toEqual([])
  })

  it('ends 2 for an address that is mistyped', async () => {
    const stage = await stageWithObject()
    expect((await stage.hush(['get', 'hash:typo', '-o', 'copy'])).exit).toBe(2)
    expect(readdirSync(stage.folder)).toEqual([])
  })

  it.each([
    ['the network fails', TOO_FEW, /^error: stripe 3: found 7 of the 8 shards needed$/m],
    ['the daemon dies', 'cut' as const, /^error: the daemon went away during the get$/m],
  ])('keeps what it has when %s in the middle, and goes on from there', async (_, breakWith, message) => {
    const stage = await stageWithObject('file')
    Object.assign(stage.double, { breakAt: 100_000, breakWith })
    const first = await stage.hush(['get', ADDRESS])
    expect(first.exit).toBe(4)
    expect(first.err).toMatch(message)
    expect(first.err).toContain('note: 97.7 KiB are kept in .file.')
    expect(readdirSync(stage.folder)).toEqual([(await stage.part('file')).slice(stage.folder.length + 1)])
    expect(readFileSync(await stage.part('file')).equals(BYTES.subarray(0, 100_000))).toBe(true)

    stage.double.breakAt = undefined
    const second = await stage.hush(['get', ADDRESS])
    expect(second).toMatchObject({ exit: 0, out: 'file\n' })
    expect(stage.double.requests.at(-1)?.query).toEqual({ from: '100000' })
    expect(readFileSync(join(stage.folder, 'file')).equals(BYTES)).toBe(true)
    expect(readdirSync(stage.folder)).toEqual(['file'])
  })

  it('ends by the signal when interrupted, and goes on from there', async () => {
    const stage = await stageWithObject()
    Object.assign(stage.double, { breakAt: 100_000, breakWith: 'hang' })
    const running = stage.hush(['get', ADDRESS, '-o', 'file', '--json'])
    const part = await stage.part('file')
    while (!existsSync(part) || statSync(part).size < 100_000) await sleep(5)
    stage.press('SIGINT')
    const first = await running
    expect(first.exit).toBe(130)
    expect(existsSync(join(stage.folder, 'file'))).toBe(false)
    stage.double.breakAt = undefined
    const second = await stage.hush(['get', ADDRESS, '-o', 'file', '--json'])
    expect(JSON.parse(second.out)).toMatchObject({ lengthBytes: 300_000, resumedFromByte: 100_000 })
    expect(readFileSync(join(stage.folder, 'file')).equals(BYTES)).toBe(true)
  })

  it('finishes a part that was whole already', async () => {
    const stage = await stageWithObject()
    writeFileSync(await stage.part('file'), BYTES)
    expect((await stage.hush(['get', ADDRESS, '-o', 'file'])).exit).toBe(0)
    expect(readFileSync(join(stage.folder, 'file')).equals(BYTES)).toBe(true)
  })

  it('begins anew when the part is longer than the object', async () => {
    const stage = await stageWithObject()
    writeFileSync(await stage.part('file'), new Uint8Array(400_000))
    expect((await stage.hush(['get', ADDRESS, '-o', 'file'])).exit).toBe(0)
    expect(readFileSync(join(stage.folder, 'file')).equals(BYTES)).toBe(true)
  })

  it('does not take up a part of another address or of another name', async () => {
    const stage = await stageWithObject('file')
    const other = await addressTag('hush:other')
    writeFileSync(join(stage.folder, `.file.${other}.hush-part`), new Uint8Array(1000))
    writeFileSync(await stage.part('elsewhere'), new Uint8Array(1000))
    expect(await stage.hush(['get', ADDRESS])).toMatchObject({ exit: 0, out: 'file\n' })
    expect(readFileSync(join(stage.folder, 'file')).equals(BYTES)).toBe(true)
    expect(readdirSync(stage.folder)).toHaveLength(3)
  })

  it('does not write through a link planted in place of its part', async () => {
    const stage = await stageWithObject()
    writeFileSync(join(stage.folder, 'victim'), 'victim')
    symlinkSync('victim', await stage.part('file'))
    const { exit, err } = await stage.hush(['get', ADDRESS, '-o', 'file'])
    expect(exit).toBe(6)
    expect(err).toContain('it is a symbolic link')
    expect(readFileSync(join(stage.folder, 'victim'), 'utf8')).toBe('victim')
  })

  it('two at once into one file: one gets it, the file is whole, and the other says no more than is true', async () => {
    const stage = await stageWithObject()
    Object.assign(stage.double, { breakAt: 100_000, breakWith: 'hang' })
    const words = ['get', ADDRESS, '-o', 'file']
    const first = stage.hush(words)
    const part = await stage.part('file')
    while (!existsSync(part) || statSync(part).size < 100_000) await sleep(5)
    stage.double.breakAt = undefined
    expect(await stage.hush(words)).toMatchObject({ exit: 0, out: 'file\n' })
    stage.press('SIGINT')
    expect(await first).toMatchObject({ exit: 130, err: 'error: interrupted by SIGINT\n' })
    expect(readdirSync(stage.folder)).toEqual(['file'])
    expect(readFileSync(join(stage.folder, 'file')).equals(BYTES)).toBe(true)
  })

  it.each([false, true])(
    'the second of two that both come to the end harms nothing; with force %j',
    async (isForced) => {
      const stage = await stageWithObject()
      const target = join(stage.folder, 'file')
      const tag = await addressTag(ADDRESS)
      const [first, second] = [await PartFile.open(target, tag), await PartFile.open(target, tag)]
      for (const part of [first, second]) await part.append(BYTES)
      await first.finish(isForced)
      const ended = second.finish(isForced)
      if (isForced) await ended
      else
        await expect(ended).rejects.toMatchObject({
          code: 'ERR_TARGET_EXISTS',
          message: `another get of this address has made ${target} in the meantime`,
        })
      expect(await second.abandon()).toBe(0)
      expect(readdirSync(stage.folder)).toEqual(['file'])
      expect(readFileSync(target).equals(BYTES)).toBe(true)
    },
  )

  it('one that has nothing yet leaves the part to the other that has', async () => {
    const stage = await stageWithObject()
    const target = join(stage.folder, 'file')
    const tag = await addressTag(ADDRESS)
    const [idle, busy] = [await PartFile.open(target, tag), await PartFile.open(target, tag)]
    await busy.append(BYTES)
    expect(await idle.abandon()).toBe(BYTES.length)
    await busy.finish(false)
    expect(readFileSync(target).equals(BYTES)).toBe(true)
  })

  it('that finds its target taken at the end says where the bytes are, and no way on that would fail', async () => {
    const stage = await stageWithObject()
    const target = join(stage.folder, 'file')
    stage.double.requests.push = () => {
      writeFileSync(target, 'mine')
      return 1
    }
    const { exit, err } = await stage.hush(['get', ADDRESS, '-o', 'file'])
    expect(exit).toBe(2)
    expect(err).toMatch(/^error: .*file appeared in the meantime\nhint: what was fetched is in .*hush-part; .*\n$/)
    expect(readFileSync(await stage.part('file')).equals(BYTES)).toBe(true)
    expect(readFileSync(target, 'utf8')).toBe('mine')
  })

  it('ends 6 where it may not write', async () => {
    const stage = await stageWithObject()
    const { exit, err } = await stage.hush(['get', ADDRESS, '-o', 'missing/copy'])
    expect(exit).toBe(6)
    const missing = join(stage.folder, 'missing')
    expect(err).toBe(
      `error: cannot write ${missing}/copy: the folder ${missing} does not exist\nhint: make it with: mkdir -p ${missing}\n`,
    )
    expect(stage.double.requests).toEqual([])
  })
})

describe('hush get to standard output', () => {
  it('gives the bytes and nothing else', async () => {
    const stage = await stageWithObject('file')
    const { exit, stdout } = await stage.hush(['get', ADDRESS, '-o', '-'])
    expect(exit).toBe(0)
    expect(stdout.equals(BYTES)).toBe(true)
    expect(readdirSync(stage.folder)).toEqual([])
  })

  it('says so when the output is not whole', async () => {
    const stage = await stageWithObject()
    Object.assign(stage.double, { breakAt: 100_000, breakWith: TOO_FEW })
    const { exit, stdout, err } = await stage.hush(['get', ADDRESS, '-o', '-'])
    expect(exit).toBe(4)
    expect(stdout).toHaveLength(100_000)
    expect(err).toContain('note: the output is not whole: 100000 of 300000 bytes were written')
  })

  it('ends without a word when its reader has gone', async () => {
    const stage = await stageWithObject()
    const stdout = new PassThrough({ highWaterMark: 1024 })
    const stderr = new PassThrough()
    const running = run(['get', ADDRESS, '-o', '-'], { ...stage.world, stdout, stderr })
    stdout.once('readable', () => stdout.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })))
    expect(await running).toBe(141)
    expect(stderr.read()).toBe(null)
  })

  it.each([
    ['ENOSPC', 'the disk is full'],
    ['EFBIG', 'the file would be larger than the system allows'],
    ['EIO', 'the disk reports an error'],
  ])('ends 6 and says why when the system refuses its bytes: %s', async (code, words) => {
    const stage = await stageWithObject()
    let room = 100_000
    const stdout = new Writable({
      write(piece: Uint8Array, _, done) {
        room -= piece.length
        done(room < 0 ? Object.assign(new Error(`${code}, write`), { code }) : null)
      },
    })
    const stderr = new PassThrough()
    expect(await run(['get', ADDRESS, '-o', '-'], { ...stage.world, stdout, stderr })).toBe(6)
    expect(String(stderr.read())).toMatch(
      new RegExp(
        `^note: the output is not whole: \\d{1,5} of 300000 bytes were written\nerror: cannot write standard output: ${words}\n$`,
      ),
    )
  })

  it('waits for a slow reader instead of gathering the bytes', async () => {
    const stage = await stageWithObject()
    stage.double.objects.set(ADDRESS, { bytes: new Uint8Array(32 * 1024 * 1024) })
    const stdout = new PassThrough({ highWaterMark: 1024 })
    const running = run(['get', ADDRESS, '-o', '-'], { ...stage.world, stdout })
    await sleep(200)
    expect(stdout.writableLength + stdout.readableLength).toBeLessThan(1024 * 1024)
    let size = 0
    for await (const piece of stdout) {
      size += (piece as Uint8Array).length
      if (size === 32 * 1024 * 1024) break
    }
    expect(await running).not.toBe(1)
  })
})
