import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { run } from '../../cli/run.ts'
import { makeStage } from './stage.ts'

const BYTES = Uint8Array.from({ length: 700_000 }, (_, index) => (index * 31) & 0xff)

describe('hush put', () => {
  it('prints the address alone and sends bytes, name, kind and size', async () => {
    const stage = makeStage()
    const double = await stage.startDouble()
    writeFileSync(join(stage.folder, 'a file & more.bin'), BYTES)
    const { exit, out, err } = await stage.hush(['put', 'a file & more.bin', '--type', 'text/plain', '--public'])
    expect(exit).toBe(0)
    expect(out).toMatch(/^hush:[0-9a-f]+\n$/)
    expect(err).toBe('note: stored 683.6 KiB in 22 shards\n')
    expect(double.requests[0]?.query).toEqual({
      kind: 'public',
      name: 'a file & more.bin',
      type: 'text/plain',
      size: '700000',
    })
    expect(Buffer.from(double.objects.get(out.trim())?.bytes ?? []).equals(BYTES)).toBe(true)
  })

  it('takes standard input, without a name unless given one', async () => {
    const stage = makeStage()
    const double = await stage.startDouble()
    const { exit, out } = await stage.hush(['put', '-'], BYTES)
    expect(exit).toBe(0)
    expect(double.requests[0]?.query).toEqual({ kind: 'private' })
    expect(double.objects.get(out.trim())?.bytes).toHaveLength(700_000)
    await stage.hush(['put', '-', '--name', 'x'], BYTES)
    expect(double.requests[1]?.query).toEqual({ kind: 'private', name: 'x' })
  })

  it.each([
    [{ verified: true, shards: 22, missing: 0, restored: 0, health: 'perfect' }, 0, /verified: all 22 shards/],
    [{ verified: true, shards: 22, missing: 3, restored: 3, health: 'perfect' }, 0, /3 of them put again/],
    [{ verified: false, shards: 22, missing: 3, restored: 1, health: 'good' }, 3, /unproven: 2 of 22 shards/],
    [{ verified: false, shards: 0, missing: 0, restored: 0 }, 3, /could not be read back/],
  ])('waits for the read-back with --verify and ends by what came of it: %j', async (readBack, exit, words) => {
    const stage = makeStage()
    const double = await stage.startDouble({ readBack })
    const ran = await stage.hush(['put', '-', '--verify'], BYTES)
    expect(ran.exit).toBe(exit)
    expect(ran.out).toMatch(/^hush:[0-9a-f]+\n$/)
    expect(ran.err).toMatch(words)
    expect(double.requests.at(-1)?.path).toBe(`/v1/objects/${encodeURIComponent(ran.out.trim())}/read-back`)
  })

  it('ends 0 with the address when all is handed over, and says that it is not stored yet', async () => {
    const stage = makeStage()
    const double = await stage.startDouble({ handed: 22 })
    const ran = await stage.hush(['put', '-', '--hold', 'minutes'], BYTES)
    expect(ran).toMatchObject({ exit: 0, out: expect.stringMatching(/^hush:/) })
    expect(ran.err).toContain('note: handed over')
    expect(ran.err).not.toContain('note: stored')
    expect(double.requests[0]?.query).toMatchObject({ hold: 'minutes' })
    double.pending = 2
    double.handed = 20
    const degraded = await stage.hush(['put', '-', '--hold', 'long'], BYTES)
    expect(degraded.exit).toBe(3)
    expect(degraded.err).toContain('20 of 22 shards')
    expect((await stage.hush(['put', '-', '--hold', 'years'], BYTES)).exit).toBe(2)
  })

  it('stores an empty file', async () => {
    const stage = makeStage()
    const double = await stage.startDouble()
    writeFileSync(join(stage.folder, 'empty'), '')
    const { exit, out } = await stage.hush(['put', 'empty'])
    expect(exit).toBe(0)
    expect(double.objects.get(out.trim())?.bytes).toHaveLength(0)
  })

  it('ends 3 with the address when degraded', async () => {
    const stage = makeStage()
    await stage.startDouble({ pending: 4 })
    const { exit, out, err } = await stage.hush(['put', '-'], BYTES)
    expect(exit).toBe(3)
    expect(out).toMatch(/^hush:/)
    expect(err).toContain('note: degraded: 18 of 22 shards are stored')
    const asJson = await stage.hush(['put', '-', '--json'], BYTES)
    expect(asJson.exit).toBe(3)
    expect(JSON.parse(asJson.out)).toMatchObject({ shards: 22, stored: 18, pending: 4, lengthBytes: 700_000 })
  })

  it('finds an unreadable file before the daemon hears of it', async () => {
    const stage = makeStage()
    const double = await stage.startDouble()
    mkdirSync(join(stage.folder, 'folder'))
    const missing = await stage.hush(['put', 'missing'])
    expect(missing).toMatchObject({ exit: 2, out: '', err: 'error: cannot read missing: it does not exist\n' })
    const folder = await stage.hush(['put', 'folder'])
    expect(folder.exit).toBe(2)
    expect(folder.err).toContain('hint: store it as one file: tar cf - folder | hush put -')
    expect(await stage.hush(['put', ''])).toMatchObject({
      exit: 2,
      err: 'error: the name of the file is empty\nhint: name one, or - for standard input\n',
    })
    if (process.geteuid?.() !== 0) {
      writeFileSync(join(stage.folder, 'closed'), 'x')
      chmodSync(join(stage.folder, 'closed'), 0)
      expect((await stage.hush(['put', 'closed'])).err).toContain('permission denied')
    }
    expect(double.requests).toEqual([])
  })

  it('refuses a name that does not fit, counted in bytes', async () => {
    const stage = makeStage()
    const double = await stage.startDouble()
    const { exit, err } = await stage.hush(['put', '-', '--name', 'é'.repeat(128)], BYTES)
    expect(exit).toBe(2)
    expect(err).toContain('--name takes at most 255 bytes; this has 256')
    expect(double.requests).toEqual([])
  })

  it('tells what the daemon says when it refuses, and when it fails later', async () => {
    const refusal = { code: 'ERR_NO_CIRCUITS', kind: 'unavailable', message: 'no circuit is ready', hint: 'wait' }
    const stage = makeStage()
    const double = await stage.startDouble({ putRefusal: refusal })
    const big = new Uint8Array(8 * 1024 * 1024)
    const refused = await stage.hush(['put', '-'], big)
    expect(refused).toMatchObject({ exit: 4, out: '', err: 'error: no circuit is ready\nhint: wait\n' })
    Object.assign(double, {
      putRefusal: undefined,
      putError: { code: 'ERR_PEER', kind: 'peer', message: 'a keeper answered nonsense' },
    })
    expect(await stage.hush(['put', '-'], BYTES)).toMatchObject({ exit: 5, err: 'error: a keeper answered nonsense\n' })
  })

  it('drops the put when its source breaks off, so that half a file is never stored', async () => {
    const stage = makeStage()
    const double = await stage.startDouble()
    const broken = Readable.from(
      (async function* () {
        yield Buffer.alloc(100_000)
        throw Object.assign(new Error('read error'), { code: 'EIO' })
      })(),
    )
    const stdout = new PassThrough()
    const exit = await run(['put', '-'], { ...stage.world, stdin: broken, stdout })
    expect(exit).toBe(2)
    expect(stdout.read()).toBe(null)
    await expect.poll(() => double.aborted).toBe(1)
    expect(double.objects.size).toBe(0)
  })

  it('drops the put when interrupted', async () => {
    const stage = makeStage()
    const double = await stage.startDouble()
    const endless = new PassThrough()
    endless.write(Buffer.alloc(1000))
    const running = run(['put', '-'], { ...stage.world, stdin: endless })
    await expect.poll(() => double.requests.length).toBe(1)
    stage.press('SIGTERM')
    expect(await running).toBe(143)
    await expect.poll(() => double.aborted).toBe(1)
    expect(double.objects.size).toBe(0)
  })
})
