import { PassThrough } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { statusText } from '../../cli/commands/status.ts'
import {
  FileUnreadableError,
  InterruptedError,
  LocalFileError,
  OutputClosedError,
  TooSlowError,
} from '../../cli/errors.ts'
import { safeFileName } from '../../cli/part-file.ts'
import { errorText, exitCodeOf, kindOfExitCode } from '../../cli/render/errors.ts'
import { progressLine, RateMeter, startProgress } from '../../cli/render/progress.ts'
import { tableText } from '../../cli/render/tables.ts'
import { countText, printable, sizeText, spanText } from '../../cli/render/text.ts'
import { BugError, type ErrorKind } from '../../core/index.ts'
import {
  DaemonError,
  DaemonGoneError,
  DaemonSilentError,
  NoDaemonError,
  type Status,
} from '../../node/control/index.ts'

const PLAIN = { json: false, trace: false, homeWords: '' }

describe('errors', () => {
  it('end with the code of their kind', () => {
    const codes: [ErrorKind, number][] = [
      ['bug', 1],
      ['input', 2],
      ['unavailable', 4],
      ['peer', 5],
      ['local', 6],
    ]
    for (const [kind, code] of codes) {
      expect(exitCodeOf(new DaemonError({ code: 'ERR_X', kind, message: '' }))).toBe(code)
      expect(kindOfExitCode(code)).toBe(kind)
    }
    expect(exitCodeOf(new FileUnreadableError(''))).toBe(2)
    expect(exitCodeOf(new TooSlowError(''))).toBe(4)
    expect(exitCodeOf(new LocalFileError(''))).toBe(6)
    expect(exitCodeOf(new BugError(''))).toBe(1)
    expect(exitCodeOf(new TypeError('x is undefined'))).toBe(1)
    expect(exitCodeOf('thrown text')).toBe(1)
    expect(exitCodeOf(new InterruptedError('SIGINT'))).toBe(130)
    expect(exitCodeOf(new InterruptedError('SIGTERM'))).toBe(143)
    expect(exitCodeOf(new OutputClosedError())).toBe(141)
  })

  it('are one line and a hint, harmless to a terminal', () => {
    const error = new DaemonError({ code: 'ERR_X', kind: 'peer', message: 'a\u001b[2Jb\nc', hint: 'do this' })
    expect(errorText(error, PLAIN)).toBe('error: a?[2Jb?c\nhint: do this\n')
  })

  it('in JSON are one line with code, kind and exit code', () => {
    const error = new DaemonError({ code: 'ERR_X', kind: 'peer', message: 'a\nb' })
    const text = errorText(error, { ...PLAIN, json: true })
    expect(text.indexOf('\n')).toBe(text.length - 1)
    expect(JSON.parse(text)).toEqual({ error: { code: 'ERR_X', kind: 'peer', message: 'a\nb' }, exit: 5 })
  })

  it('name the home in the commands of a hint as it was typed, and only there', () => {
    const hintOf = (hint: string, homeWords: string) =>
      errorText(new DaemonError({ code: 'ERR_X', kind: 'peer', message: 'hush status', hint }), { ...PLAIN, homeWords })
    const typed = ' --home ./net/client-a'
    for (const [hint, told] of [
      [new DaemonGoneError('the put').hint, `look with: hush status${typed}; then run it again`],
      [new DaemonSilentError('status').hint, `stop it with: hush down --now${typed}; then start it again`],
      [new NoDaemonError('/x').hint, `start one with: hush up --detach${typed}`],
      ['hush down, then hush up --detach', `hush down${typed}, then hush up --detach${typed}`],
      ['stop it with: hush down --home /x', 'stop it with: hush down --home /x'],
      ['hush testnet down --dir net', 'hush testnet down --dir net'],
    ]) {
      expect(hintOf(hint ?? '', typed)).toBe(`error: hush status\nhint: ${told}\n`)
      expect(hintOf(hint ?? '', '')).toBe(`error: hush status\nhint: ${hint}\n`)
    }
  })

  it('of ours say so, and show where only when asked', () => {
    const error = new TypeError('x is undefined')
    expect(errorText(error, PLAIN)).toMatch(/^error: internal: x is undefined\nhint: .*HUSH_TRACE=1/)
    expect(errorText(error, { ...PLAIN, trace: true })).toContain('rendering.test.ts')
  })
})

describe('figures', () => {
  it('are told in units that read well', () => {
    expect([0, 1, 1023, 1024, 1536, 1048575, 1048576, 2 ** 30, 5 * 2 ** 40].map(sizeText)).toEqual([
      '0 B',
      '1 B',
      '1023 B',
      '1.0 KiB',
      '1.5 KiB',
      '1.0 MiB',
      '1.0 MiB',
      '1.0 GiB',
      '5.0 TiB',
    ])
    expect([0, 7.4, 61, 3600, 3661, 180_000].map(spanText)).toEqual([
      '0:00',
      '0:07',
      '1:01',
      '1:00:00',
      '1:01:01',
      '2 d 2 h',
    ])
    expect([countText(1, 'shard'), countText(2, 'shard'), countText(0, 'process', 'processes')]).toEqual([
      '1 shard',
      '2 shards',
      '0 processes',
    ])
  })

  it('stand in columns', () => {
    const text = tableText(
      [{ head: 'name' }, { head: 'n', align: 'right' }],
      [
        ['a', 1],
        ['long\u0007er', 1000],
      ],
    )
    expect(text).toBe('name        n\na           1\nlong?er  1000')
  })
})

describe('the progress line', () => {
  const state = { label: 'get', doneBytes: 0, bytesPerSecond: 0, words: '', width: 120 }

  it('shows part, rate and time left', () => {
    const line = progressLine({ ...state, doneBytes: 2 ** 20, totalBytes: 4 * 2 ** 20, bytesPerSecond: 2 ** 19 })
    expect(line).toBe('get  [======                  ]   25%  1.0 MiB of 4.0 MiB  512.0 KiB/s  0:06 left')
  })

  it('without a known length shows how much and how fast', () => {
    expect(progressLine({ ...state, doneBytes: 2048, bytesPerSecond: 1024, words: '3 shards' })).toBe(
      'get  2.0 KiB  1.0 KiB/s  3 shards',
    )
  })

  it('never shows more than all, never is wider than the terminal', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.nat(), fc.integer({ min: 20, max: 200 }), (done, total, rate, width) => {
        const line = progressLine({ ...state, doneBytes: done, totalBytes: total, bytesPerSecond: rate, width })
        expect(line.length).toBeLessThan(Math.max(21, width))
        const percent = /(\d+)%/.exec(line)?.[1]
        if (percent !== undefined) expect(Number(percent)).toBeLessThanOrEqual(100)
      }),
    )
  })

  it('measures the rate over the last seconds only', () => {
    const meter = new RateMeter()
    expect(meter.perSecond(0, 0)).toBe(0)
    expect(meter.perSecond(1000, 500)).toBe(500)
    for (let second = 2; second <= 20; second++) meter.perSecond(second * 1000, 500 + (second - 1) * 100)
    expect(meter.perSecond(21_000, 2500)).toBe(100)
  })

  it('is not shown off a terminal nor with --json', async () => {
    for (const [isTTY, isQuiet] of [
      [false, false],
      [true, true],
    ] as const) {
      const stream = Object.assign(new PassThrough(), { isTTY })
      const progress = await startProgress({ stream, label: 'put', totalBytes: 10, isQuiet })
      progress.update(5)
      progress.stop()
      expect(stream.read()).toBe(null)
    }
  })

  it('is shown on a terminal and taken away at the end', async () => {
    const stream = Object.assign(new PassThrough(), { isTTY: true, columns: 100 })
    const progress = await startProgress({ stream, label: 'put', totalBytes: 10, isQuiet: false })
    progress.update(10, '22 shards')
    progress.stop()
    progress.stop()
    const text = String(stream.read())
    expect(text).toContain('put  [')
    expect(text).toContain('100%')
    expect(text.lastIndexOf('\u001b[2K')).toBeGreaterThan(text.lastIndexOf('100%'))
  })
})

describe('text from elsewhere', () => {
  it('is printed without control characters', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must be gone
        expect(printable(text)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/)
      }),
    )
  })

  it('becomes a file name in this folder or the fallback', () => {
    const named = ['a.txt', '/etc/passwd', '..\\..\\x', '...', '', '.hidden', 'a/', '-rf', 'con.txt', 'a\u202eb', ' . ']
    expect(named.map((name) => safeFileName(name, 'F'))).toEqual([
      'a.txt',
      'passwd',
      'x',
      'F',
      'F',
      'hidden',
      'F',
      'rf',
      'F',
      'ab',
      'F',
    ])
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (name) => {
        const safe = safeFileName(name, 'F')
        // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must be gone
        expect(safe).not.toMatch(/^[.-]|[/\\\u0000-\u001f\u007f]|^$/)
        expect(Buffer.byteLength(safe)).toBeLessThanOrEqual(200)
      }),
    )
  })
})

describe('the status of a daemon', () => {
  const status = (crowd?: { members: number; arcs: number }): Status => ({
    version: '0.1.0',
    protocol: 1,
    pid: 7,
    role: 'node',
    network: { id: 'ab', profile: 'testnet' },
    node: {
      id: 'ab',
      address: '127.0.0.1:7001',
      ring: { successors: [] },
      joined: true,
      shards: 0,
      storedBytes: 0,
      quotaBytes: 1,
      cacheBytes: 0,
      corruptDropped: 0,
      ...(crowd !== undefined && { crowd }),
    },
    view: { members: 1, reachable: 1 },
    circuits: { ready: 0, building: 0, gateways: 0, wanted: 1 },
    links: 0,
    pending: { shards: 0 },
    uptimeSeconds: 1,
    memory: { rssBytes: 1 },
  })

  it('says when members crowd beside the node, and nothing of it otherwise', () => {
    expect(statusText(status({ members: 8, arcs: 0.2161 }))).toMatch(/crowded +8 members within 0\.22 average arcs/)
    expect(statusText(status())).not.toContain('crowded')
  })
})
