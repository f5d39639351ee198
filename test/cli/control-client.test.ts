import { describe, expect, it } from 'vitest'
import { connectControl } from '../../node/control/index.ts'
import { makeStage } from './stage.ts'

async function* pieces(...parts: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield typeof part === 'string' ? Buffer.from(part) : part
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

describe('the control client', () => {
  it('answers each question with what the daemon said', async () => {
    const stage = makeStage()
    const double = await stage.startDouble()
    const control = connectControl(stage.home)
    expect((await control.status()).role).toBe('node')
    expect(await control.invite()).toBe('hush-invite:abc')
    expect(await control.metrics()).toBe('hush_up 1\n')
    await control.stop({ announce: false })
    expect(double.stopped).toEqual({ announce: false })
  })

  it('ignores what it does not know and refuses what is missing', async () => {
    const stage = makeStage()
    const double = await stage.startDouble()
    const control = connectControl(stage.home)
    expect(await control.status()).not.toHaveProperty('aFieldOfLater')
    for (const raw of ['{}', 'no JSON', '', '[]']) {
      double.raw = raw
      await expect(control.status()).rejects.toMatchObject({ code: 'ERR_CONTROL_PROTOCOL', kind: 'local' })
      await expect(control.get('hush:x')).rejects.toMatchObject({ code: 'ERR_CONTROL_PROTOCOL' })
    }
    double.raw = '{"event":"surprise"}\n'
    await expect(control.put(pieces('x'), { kind: 'private' })).rejects.toMatchObject({ code: 'ERR_CONTROL_PROTOCOL' })
    await expect(all(control.check('hush:x'))).rejects.toMatchObject({ code: 'ERR_CONTROL_PROTOCOL' })
    double.raw = ''
    await expect(control.put(pieces('x'), { kind: 'private' })).rejects.toMatchObject({ code: 'ERR_DAEMON_GONE' })
  })

  it('tells of progress while it sends', async () => {
    const stage = makeStage()
    await stage.startDouble()
    const seen: number[] = []
    const stored = await connectControl(stage.home).put(pieces(Buffer.alloc(200_000), Buffer.alloc(200_000)), {
      kind: 'private',
      onProgress: ({ readBytes }) => seen.push(readBytes),
    })
    expect(stored.lengthBytes).toBe(400_000)
    expect(seen.at(-1)).toBe(400_000)
  })

  it('keeps to the pace of the daemon', async () => {
    const stage = makeStage()
    const double = await stage.startDouble()
    let given = 0
    const endless = (async function* () {
      for (; given < 4096; given++) yield Buffer.alloc(65_536)
    })()
    const stop = new AbortController()
    // This daemon refuses at once and reads nothing: 256 MiB must not be drawn from the source for it.
    double.putRefusal = { code: 'ERR_X', kind: 'local', message: 'no' }
    await expect(
      connectControl(stage.home).put(endless, { kind: 'private', signal: stop.signal }),
    ).rejects.toMatchObject({ code: 'ERR_X' })
    expect(given).toBeLessThan(256)
  })

  it('passes names through whole, whatever is in them', async () => {
    const stage = makeStage()
    await stage.startDouble()
    const control = connectControl(stage.home)
    const name = 'ä?&=#%/\n"名'
    const { address } = await control.put(pieces('x'), { kind: 'private', name, type: 'a/b; c="d"' })
    const stream = await control.get(address)
    expect(stream).toMatchObject({ name, type: 'a/b; c="d"', lengthBytes: 1 })
    expect(Buffer.concat(await all(stream.body)).toString()).toBe('x')
  })

  it('gives the bytes from one on', async () => {
    const stage = makeStage()
    const double = await stage.startDouble()
    double.objects.set('hush:x', { bytes: Buffer.from('0123456789') })
    const stream = await connectControl(stage.home).get('hush:x', { fromByte: 7 })
    expect(stream.lengthBytes).toBe(10)
    expect(Buffer.concat(await all(stream.body)).toString()).toBe('789')
  })
})
