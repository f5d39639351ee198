import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer, get, request } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { controlPathOf } from '../../../node/control/path.ts'
import { formatHostPort, originOf, parseHostPort } from '../../../node/system/address.ts'
import { systemJitter, systemRandom } from '../../../node/system/chance.ts'
import { systemClock } from '../../../node/system/clock.ts'
import { checkControlFolder } from '../../../node/system/control-path.ts'
import { serveControl } from '../../../node/system/control-socket.ts'
import { makeLog } from '../../../node/system/log.ts'
import { makeMetrics, serveMetrics } from '../../../node/system/metrics.ts'
import { cleanUp, makeFolder } from './folders.ts'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
  await cleanUp()
})

function ask(where: { socketPath: string; path: string } | string, body?: string) {
  return new Promise<{ status: number; text: string }>((resolve, reject) => {
    const options = typeof where === 'string' ? new URL(where) : where
    const call = (body === undefined ? get : request)(options, (response) => {
      let text = ''
      response.on('data', (data: Buffer) => {
        text += data.toString()
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
    })
    call.on('error', reject)
    if (body !== undefined) call.end(body)
  })
}

describe('the control socket', () => {
  it('lies in the home, or under a short private name when that is too long', () => {
    const folder = makeFolder()
    expect(controlPathOf(folder)).toBe(join(folder, 'control.sock'))
    const long = join(folder, 'x'.repeat(120))
    expect(controlPathOf(long).length).toBeLessThan(104)
    expect(controlPathOf(long).startsWith(tmpdir())).toBe(true)
    expect(controlPathOf(long)).toBe(controlPathOf(`${long}/`))
    expect(controlPathOf(long)).not.toBe(controlPathOf(`${long}y`))
  })

  it('hands requests to its handler, and only its user may reach it', async () => {
    for (const home of [makeFolder(), join(makeFolder(), 'y'.repeat(120))]) {
      mkdirSync(home, { recursive: true, mode: 0o700 })
      const control = await serveControl(home, {
        log: () => {},
        handler: ({ method, url, res }) => void res.end(`${method} ${url}`),
      })
      closing.push(() => control.close())
      expect(statSync(control.path).mode & 0o777).toBe(0o600)
      expect(statSync(dirname(control.path)).mode & 0o777).toBe(0o700)
      checkControlFolder(control.path)
      expect(await ask({ socketPath: control.path, path: '/v1/status?x=1' })).toEqual({
        status: 200,
        text: 'GET /v1/status?x=1',
      })
    }
  })

  it('answers a bare 500 when the handler fails, and logs why', async () => {
    const lines: unknown[] = []
    const control = await serveControl(makeFolder(), {
      log: (level, event, fields) => lines.push([level, event, fields]),
      handler: () => Promise.reject(new Error('inside')),
    })
    closing.push(() => control.close())
    expect(await ask({ socketPath: control.path, path: '/' })).toEqual({ status: 500, text: '' })
    expect(lines).toEqual([['error', 'control-handler-failed', { message: 'inside' }]])
  })

  it('is closed only once every answer in work has heard of it', async () => {
    const home = makeFolder()
    const heard: string[] = []
    let onAsked = () => {}
    const asked = new Promise<void>((resolve) => {
      onAsked = resolve
    })
    const control = await serveControl(home, {
      log: () => {},
      handler: ({ res, req }) => {
        res.once('close', () => heard.push('close'))
        req.resume()
        onAsked()
      },
    })
    const upload = request({ socketPath: control.path, method: 'POST', path: '/v1/objects' })
    upload.on('error', () => {})
    upload.write('the beginning')
    await asked
    await control.close()
    expect(heard).toEqual(['close'])
  })

  it('takes the place of a socket nobody answers, but not of one that is answered', async () => {
    const home = makeFolder()
    const options = { log: () => {}, handler: () => {} }
    const first = await serveControl(home, options)
    await expect(serveControl(home, options)).rejects.toMatchObject({ code: 'ERR_PORT_IN_USE' })
    await first.close()
    // A socket that its process left behind: bound under another name, then moved out of its reach.
    const left = createServer()
    await new Promise<void>((resolve) => left.listen(join(home, 'old.sock'), resolve))
    const { linkSync } = await import('node:fs')
    linkSync(join(home, 'old.sock'), controlPathOf(home))
    await new Promise((resolve) => left.close(resolve))
    const second = await serveControl(home, options)
    closing.push(() => second.close())
  })

  it('removes no file that is not a socket', async () => {
    const home = makeFolder()
    writeFileSync(controlPathOf(home), 'precious')
    await expect(serveControl(home, { log: () => {}, handler: () => {} })).rejects.toMatchObject({ kind: 'local' })
    expect(readFileSync(controlPathOf(home), 'utf8')).toBe('precious')
  })

  it('is not looked for in a folder that somebody else may enter', () => {
    const folder = join(makeFolder(), 'open')
    mkdirSync(folder, { mode: 0o755 })
    expect(() => checkControlFolder(join(folder, 'control.sock'))).toThrow(
      expect.objectContaining({ code: 'ERR_HOME_PERMISSIONS' }),
    )
  })
})

describe('metrics', () => {
  it('read the numbers when they are scraped', async () => {
    const metrics = makeMetrics()
    const numbers = { cells: 3, links: 2, refused: { 'no node': 4 } as Record<string, number> }
    metrics.add({ name: 'cells_total', help: 'Cells.', kind: 'counter', read: () => numbers.cells })
    metrics.add({ name: 'links', help: 'Links.', kind: 'gauge', read: () => numbers.links })
    metrics.add({
      name: 'refused_total',
      help: 'Refused.',
      kind: 'counter',
      labels: ['why'],
      read: () => Object.entries(numbers.refused).map(([why, value]) => ({ labels: { why }, value })),
    })
    await metrics.text()
    numbers.cells = 10
    numbers.links = 1
    const text = await metrics.text()
    expect(text).toContain('# TYPE hush_cells_total counter\nhush_cells_total 10\n')
    expect(text).toContain('hush_links 1\n')
    expect(text).toContain('hush_refused_total{why="no node"} 4\n')
  })

  it('are served on one path of a port of their own', async () => {
    const metrics = makeMetrics({ withProcess: true })
    const server = await serveMetrics(metrics, '127.0.0.1:0')
    closing.push(() => server.close())
    expect((await ask(`http://${server.address}/metrics`)).text).toContain('process_resident_memory_bytes')
    expect(await ask(`http://${server.address}/other`)).toEqual({ status: 404, text: '' })
    await expect(serveMetrics(metrics, server.address)).rejects.toMatchObject({ code: 'ERR_PORT_IN_USE' })
  })
})

describe('the log', () => {
  it('writes one line of JSON for each event of its level', () => {
    const file = join(makeFolder(), 'daemon.log')
    const log = makeLog({ level: 'info', file, fields: { role: 'node' } })
    log('debug', 'unseen')
    log('warn', 'link-refused', { why: 'other\nnetwork', times: 3 })
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
    expect(lines).toHaveLength(1)
    expect(JSON.parse(lines[0] as string)).toMatchObject({
      level: 'warn',
      role: 'node',
      event: 'link-refused',
      why: 'other\nnetwork',
      times: 3,
    })
    expect(statSync(file).mode & 0o777).toBe(0o600)
  })

  it('stays within bounds: the newest lines in the file, those before in .old', () => {
    const file = join(makeFolder(), 'daemon.log')
    const log = makeLog({ level: 'info', file, fileSizeMax: 2_000 })
    for (let i = 0; i < 200; i++) log('info', `event-${i}`)
    expect(statSync(file).size + statSync(`${file}.old`).size).toBeLessThan(2 * 2_000 + 400)
    expect(`${readFileSync(`${file}.old`, 'utf8')}${readFileSync(file, 'utf8')}`).toContain('"event-199"')
  })
})

describe('clock and chance', () => {
  it('time goes on, and a cancelled timer does not run', async () => {
    const clock = systemClock()
    const before = clock.monotonicMs()
    let ran = 0
    const cancelled = clock.setTimer(1, () => {
      ran += 100
    })
    cancelled.cancel()
    await new Promise<void>((resolve) => {
      clock.setTimer(2, () => {
        ran += 1
        resolve()
      })
      setTimeout(() => {}, 1_000).unref()
      setTimeout(() => {}, 20)
    })
    expect(ran).toBe(1)
    expect(clock.monotonicMs()).toBeGreaterThan(before)
    const far = clock.setTimer(2 ** 40, () => {
      ran += 1
    })
    await new Promise((resolve) => setTimeout(resolve, 5))
    far.cancel()
    expect(ran).toBe(1)
  })

  it('bytes are as many as asked for, fresh each time, over every edge of the pool', () => {
    const random = systemRandom()
    const seen = new Set<string>()
    for (const size of [16, 2_047, 2_048, 2_049, 70_000, 16, 16]) {
      const bytes = random.bytes(size)
      expect(bytes.length).toBe(size)
      // All of it was filled: no long run of zeros.
      expect(Buffer.from(bytes).includes(Buffer.alloc(8))).toBe(false)
      seen.add(Buffer.from(bytes.subarray(0, 16)).toString('hex'))
    }
    for (let i = 0; i < 5_000; i++) seen.add(Buffer.from(random.bytes(16)).toString('hex'))
    expect(seen.size).toBe(5_007)
  })

  it('draws are spread over all 32 bits', () => {
    const jitter = systemJitter()
    let all = 0
    let none = 0
    for (let i = 0; i < 20_000; i++) {
      const drawn = jitter.uint32()
      all |= drawn
      none |= ~drawn
    }
    expect([all, none]).toEqual([-1, -1])
  })
})

describe('network addresses', () => {
  it('are read and written in one form', () => {
    for (const [text, host, port] of [
      ['10.0.0.1:80', '10.0.0.1', 80],
      ['node.example.org:65535', 'node.example.org', 65_535],
      ['[2001:db8::1]:0', '2001:db8::1', 0],
    ] as const) {
      expect(parseHostPort(text)).toEqual({ host, port })
      expect(formatHostPort({ host, port })).toBe(text)
    }
    for (const text of ['', ':1', 'a:', 'a:65536', '-a:1', 'a..b:1', '1.2.3:4', '[1.2.3.4]:1', '[::g]:1', 'a/b:1'])
      expect(parseHostPort(text)).toBeUndefined()
  })

  it('count as one when one machine has them all', () => {
    expect(originOf('::ffff:10.1.2.3')).toBe(originOf('10.1.2.3'))
    expect(originOf('2001:db8:1:2::1')).toBe(originOf('2001:0db8:1:2:ffff:ffff:ffff:ffff'))
    expect(originOf('2001:db8:1:2::1')).not.toBe(originOf('2001:db8:1:3::1'))
    expect(originOf('fe80::1%eth0')).toBe('fe80:0:0:0')
    expect(originOf('64:ff9b::1.2.3.4')).toBe('64:ff9b:0:0')
    expect(originOf('::1')).toBe('0:0:0:0')
    expect(originOf('nonsense')).toBeUndefined()
  })
})
