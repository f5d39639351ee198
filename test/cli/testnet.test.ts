import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isDaemonOf } from '../../cli/daemon-process.ts'
import { nodeAddress, planAddresses } from '../../cli/testnet/addresses.ts'
import { parseRecord } from '../../cli/testnet/record.ts'
import { ringFaults, ringLine } from '../../cli/testnet/ring.ts'
import { makeStage, onCleanup, type Stage } from './stage.ts'

const idOf = (value: number) => value.toString(16).padStart(64, '0')

/** What the nodes of an ideal ring say, in any order. */
function idealRing(values: readonly number[]) {
  const sorted = [...new Set(values)].sort((a, b) => a - b)
  return sorted.map((value, index) => ({
    name: `n${value}`,
    report: { id: idOf(value), joined: true, successors: [idOf(sorted[(index + 1) % sorted.length] ?? value)] },
  }))
}

describe('the judgement of a ring', () => {
  const values = fc.array(fc.nat(1_000_000), { minLength: 3, maxLength: 30 }).filter((list) => new Set(list).size > 2)

  it('finds an ideal ring good, in whatever order it is told', () => {
    fc.assert(
      fc.property(
        values.chain((list) => fc.shuffledSubarray(idealRing(list), { minLength: new Set(list).size })),
        (sights) => {
          expect(ringFaults(sights)).toEqual([])
          expect(ringLine(sights)).toBe(`ring: one ordered ring of ${sights.length}`)
        },
      ),
    )
  })

  it('finds the one node that skips its neighbour, whichever it is', () => {
    fc.assert(
      fc.property(values, fc.nat(), (list, at) => {
        const sights = idealRing(list)
        const index = at % sights.length
        const skipped = sights[(index + 2) % sights.length]?.report.id ?? ''
        const broken = sights.map((sight, i) =>
          i === index ? { ...sight, report: { ...sight.report, successors: [skipped] } } : sight,
        )
        expect(ringFaults(broken)).toHaveLength(1)
        expect(ringFaults(broken)[0]).toMatch(new RegExp(`^${sights[index]?.name} has successor `))
      }),
    )
  })

  it('names who is silent, who has not joined, and an id taken twice', () => {
    const [a, b, c] = idealRing([1, 2, 3])
    if (a === undefined || b === undefined || c === undefined) throw new Error('three nodes')
    expect(ringFaults([a, { name: 'n2', report: undefined }, c])).toContain('n2 does not answer')
    expect(ringFaults([a, { name: 'n2', report: { ...b.report, joined: false } }, c])).toContain('n2 has not joined')
    expect(ringFaults([a, b, c, { ...c, name: 'twin' }])).toContain('n3 and twin have one id')
    expect(ringFaults([])).toEqual(['no node is running'])
  })
})

describe('the addresses of a testnet', () => {
  it('are free, each in a /16 of its own where the system has them', async () => {
    const plan = await planAddresses(20)
    const addresses = Array.from({ length: 20 }, (_, index) => nodeAddress(plan, index))
    expect(new Set(addresses).size).toBe(20)
    if (process.platform === 'linux') {
      expect(plan.kind).toBe('one-each')
      expect(new Set(addresses.map((address) => address.split('.').slice(0, 2).join('.'))).size).toBe(20)
    }
    expect(nodeAddress({ kind: 'shared', basePort: 4000 }, 3)).toBe('127.0.0.1:4003')
  })
})

describe('the record of a testnet', () => {
  const good = {
    version: 1,
    plan: { kind: 'shared', basePort: 4000 },
    members: [{ name: 'node-00', role: 'node', home: '/x', address: '127.0.0.1:1', pid: 77 }],
  }
  it('is read back, and anything else is refused', () => {
    expect(parseRecord(JSON.stringify(good))).toEqual({ ...good, hasVaults: true })
    expect(parseRecord(JSON.stringify({ ...good, hasVaults: false }))).toEqual({ ...good, hasVaults: false })
    const member = good.members[0]
    for (const bad of [
      null,
      [],
      { ...good, version: 2 },
      { ...good, plan: { kind: 'shared', basePort: 0 } },
      { ...good, members: [{ ...member, pid: 1 }] },
      { ...good, members: [{ ...member, pid: -5 }] },
      { ...good, members: [{ ...member, role: 'king' }] },
      { ...good, members: 'many' },
    ]) {
      expect(parseRecord(JSON.stringify(bad))).toBe(undefined)
    }
    expect(parseRecord('{')).toBe(undefined)
  })
})

/** Ends what a failing test would leave behind. */
function sweep(stage: Stage): void {
  onCleanup(async () => {
    await stage.hush(['testnet', 'down', '--dir', 'net'])
  })
}

function isThere(pid: number | undefined): boolean {
  try {
    return process.kill(pid ?? 0, 0)
  } catch {
    return false
  }
}

interface MemberJson {
  name: string
  home: string
  pid: number
  alive: boolean
}

describe('a testnet of processes', () => {
  it('starts, is one ring, loses a node, gains one, and leaves no process', async () => {
    const stage = makeStage()
    sweep(stage)
    const up = await stage.hush(['testnet', 'up', '--nodes', '8', '--dir', 'net'])
    expect(up.err).not.toContain('error')
    expect(up.exit).toBe(0)
    expect(up.out).toContain('ring: one ordered ring of 8\n')
    expect(up.out.split('\n')).toHaveLength(1 + 10 + 1 + 1)

    const again = await stage.hush(['testnet', 'up', '--nodes', '8', '--dir', 'net'])
    expect(again.exit).toBe(6)
    expect(again.err).toMatch(/^error: the testnet in .*net is running: 10 of its 10 processes\nhint: .* down --dir /)

    const status = await stage.hush(['testnet', 'status', '--dir', 'net', '--json'])
    expect(status.exit).toBe(0)
    const { members, ring } = JSON.parse(status.out) as { members: MemberJson[]; ring: unknown }
    expect(ring).toEqual({ ordered: true, nodes: 8, faults: [] })
    const victim = members.find((member) => member.name === 'node-03')
    if (victim === undefined) throw new Error('node-03 is there')
    process.kill(victim.pid, 'SIGKILL')
    await expect.poll(() => isDaemonOf(victim.pid, victim.home)).toBe(false)

    // The doubles see it gone only when this process, its parent, has.
    const after = async () => (await stage.hush(['testnet', 'status', '--dir', 'net'])).out
    await expect.poll(after).toContain('ring: one ordered ring of 7\n')
    expect(await after()).toMatch(/^node-03 +\d+ +stopped /m)

    const added = await stage.hush(['testnet', 'add', '--dir', 'net'])
    expect(added.exit).toBe(0)
    expect(added.out).toMatch(/^node-08 is in the ring/)
    expect((await stage.hush(['testnet', 'status', '--dir', 'net'])).out).toContain('ring: one ordered ring of 8\n')

    expect((await stage.hush(['testnet', 'up', '--dir', 'net'])).err).toContain('is running')
    expect((await stage.hush(['testnet', 'down', '--dir', 'net'])).exit).toBe(0)
    const stopped = await stage.hush(['testnet', 'status', '--dir', 'net'])
    expect(stopped.out).toMatch(/^node-08 +- +stopped /m)
    expect(await stage.hush(['testnet', 'up', '--nodes', '8', '--dir', 'net'])).toMatchObject({
      exit: 2,
      err: expect.stringMatching(/a testnet is in .* already\nhint: start it again with: hush testnet up --dir /),
    })
    const restarted = await stage.hush(['testnet', 'up', '--dir', 'net'])
    expect(restarted.out).toContain('ring: one ordered ring of 9\n')

    const all = JSON.parse((await stage.hush(['testnet', 'status', '--dir', 'net', '--json'])).out)
    const down = await stage.hush(['testnet', 'down', '--dir', 'net', '--remove'])
    expect(down).toMatchObject({ exit: 0, out: 'stopped 11 processes\n' })
    for (const member of all.members as MemberJson[]) expect(await isDaemonOf(member.pid, member.home)).toBe(false)
    expect(existsSync(join(stage.folder, 'net'))).toBe(false)
    expect((await stage.hush(['testnet', 'status', '--dir', 'net'])).exit).toBe(2)
  })

  it('that cannot start is taken down again, and says why', async () => {
    const stage = makeStage()
    sweep(stage)
    const homes = await stage.world.homes()
    const failing: typeof homes = {
      ...homes,
      createHome: async (options) => {
        const made = await homes.createHome(options)
        if (options.home.endsWith('node-07')) writeFileSync(join(options.home, 'fail'), '')
        return made
      },
    }
    Object.assign(stage.world, { homes: async () => failing })
    const { exit, err } = await stage.hush(['testnet', 'up', '--nodes', '8', '--dir', 'net'])
    expect(exit).toBe(6)
    expect(err).toContain('note: node-07: error: port in use')
    expect(err).toContain('error: the daemon ended with exit code 6 while starting')
    const left = readFileSync(join(stage.folder, 'net', 'node-00', 'daemon.pid'), 'utf8')
    expect(await isDaemonOf(Number(left), join(stage.folder, 'net', 'node-00'))).toBe(false)
    const record = parseRecord(readFileSync(join(stage.folder, 'net', 'testnet.json'), 'utf8'))
    expect(record?.members.filter(({ pid }) => pid !== undefined)).toEqual([])
  })

  it('knows and ends a daemon that was started again in its home, in whatever way', async () => {
    const stage = makeStage()
    sweep(stage)
    expect((await stage.hush(['testnet', 'up', '--nodes', '8', '--dir', 'net'])).exit).toBe(0)
    const home = join(stage.folder, 'net', 'client-a')
    expect((await stage.hush(['down', '--home', home])).exit).toBe(0)
    const up = await stage.hush(['up', '--detach', '--home', home, '--json'])
    const detached = JSON.parse(up.out).pid as number
    expect((await stage.hush(['testnet', 'status', '--dir', 'net'])).out).toMatch(
      new RegExp(`^client-a +${detached} +up `, 'm'),
    )
    expect((await stage.hush(['down', '--home', home])).exit).toBe(0)

    // In a terminal, by a path that its command line does not show in full.
    const { program, script } = stage.world.self
    const child = spawn(program, [script, '--home', 'net/client-a', 'up'], { cwd: stage.folder, stdio: 'ignore' })
    onCleanup(() => void child.kill('SIGKILL'))
    const ended = new Promise((resolve) => child.once('exit', resolve))
    await expect.poll(async () => (await stage.hush(['status', '--home', home])).exit).toBe(0)
    expect((await stage.hush(['testnet', 'up', '--dir', 'net'])).err).toContain('is running: 10 of its 10 processes')
    expect(await stage.hush(['testnet', 'down', '--dir', 'net', '--remove'])).toMatchObject({
      exit: 0,
      out: 'stopped 10 processes\n',
    })
    expect(await ended).not.toBe(null)
  })

  it.skipIf(process.platform !== 'linux')('leaves alone a process that has the number of a dead daemon', async () => {
    const stage = makeStage()
    const home = join(stage.folder, 'net', 'node-00')
    mkdirSync(join(home, 'lock'), { recursive: true, mode: 0o700 })
    const stranger = spawn('sleep', ['60'])
    onCleanup(() => void stranger.kill())
    writeFileSync(join(home, 'lock', `${stranger.pid}-12345-00000000`), '')
    writeFileSync(join(home, 'daemon.pid'), `${stranger.pid}\n`)
    const members = [{ name: 'node-00', role: 'node', home, pid: stranger.pid }]
    const record = { version: 1, plan: { kind: 'shared', basePort: 4000 }, hasVaults: true, members }
    writeFileSync(join(stage.folder, 'net', 'testnet.json'), JSON.stringify(record))
    expect((await stage.hush(['testnet', 'status', '--dir', 'net'])).out).toMatch(/^node-00 +\d+ +stopped /m)
    expect((await stage.hush(['testnet', 'down', '--dir', 'net'])).out).toBe('stopped 0 processes\n')
    expect(stranger.signalCode ?? stranger.exitCode).toBe(null)
    expect(isThere(stranger.pid)).toBe(true)
  })

  it('never ends a process that is not its own', async () => {
    const stage = makeStage()
    const folder = join(stage.folder, 'net')
    mkdirSync(folder)
    const member = { name: 'node-00', role: 'node', home: join(folder, 'node-00'), pid: process.pid }
    const record = { version: 1, plan: { kind: 'shared', basePort: 4000 }, hasVaults: true, members: [member] }
    writeFileSync(join(folder, 'testnet.json'), JSON.stringify(record))
    expect(await stage.hush(['testnet', 'down', '--dir', 'net'])).toMatchObject({
      exit: 0,
      out: 'stopped 0 processes\n',
    })
  })

  it('refuses a folder with something in it', async () => {
    const stage = makeStage()
    mkdirSync(join(stage.folder, 'net'))
    writeFileSync(join(stage.folder, 'net', 'mine'), '')
    const { exit, err } = await stage.hush(['testnet', 'up', '--nodes', '8', '--dir', 'net'])
    expect(exit).toBe(2)
    expect(err).toContain('is not empty')
  })
})

describe('one daemon', () => {
  it('goes up apart, once, and down', async () => {
    const stage = makeStage()
    onCleanup(async () => {
      await stage.hush(['down', '--now'])
    })
    const up = await stage.hush(['up', '--detach'])
    expect(up).toMatchObject({ exit: 0, out: expect.stringMatching(/^the daemon is up \(pid \d+\)\n$/), err: '' })
    const twice = await stage.hush(['up', '--detach'])
    expect(twice.exit).toBe(6)
    expect(twice.err).toContain('a daemon runs for this home already')
    const pid = Number(/\d+/.exec(up.out)?.[0])
    expect(await isDaemonOf(pid, stage.home)).toBe(true)
    const down = await stage.hush(['down'])
    expect(down).toMatchObject({ exit: 0, out: `the daemon has stopped (pid ${pid})\n` })
    expect(await isDaemonOf(pid, stage.home)).toBe(false)
  })

  it('that ends while starting shows its last words and ends with its exit code', async () => {
    const stage = makeStage()
    writeFileSync(join(stage.home, 'fail'), '')
    writeFileSync(join(stage.home, 'daemon.log'), 'words of an earlier run\n')
    const { exit, err, out } = await stage.hush(['up', '--detach'])
    expect(exit).toBe(6)
    expect(out).toBe('')
    expect(err).toContain('note: error: port in use\nerror: the daemon ended with exit code 6 while starting\n')
    expect(err).not.toContain('earlier')
  })
})

/** No scratch folder and no process is left of a demo. */
function expectNothingLeft(stage: Stage): void {
  const left = readdirSync(stage.world.temporaryFolder).filter((name) => name.startsWith('hush-demo-'))
  expect(left).toEqual([])
  if (process.platform !== 'linux') return
  const lines = readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(join('/proc', pid, 'cmdline'), 'utf8')
      } catch {
        return ''
      }
    })
  expect(lines.filter((line) => line.includes(stage.world.temporaryFolder))).toEqual([])
}

describe('hush demo', () => {
  it('ends 0 when the file comes back, with what each role could see', async () => {
    const stage = makeStage({ env: { HUSH_DOUBLE: 'shared' } })
    writeFileSync(join(stage.folder, 'mine'), 'some bytes')
    const { exit, out, err } = await stage.hush(['demo', '--nodes', '8', '--file', 'mine'])
    expect(err).toMatch(/killed 2 of 8 nodes with SIGKILL: node-0\d node-0\d/)
    expect(exit).toBe(0)
    for (const role of ['client', 'guard', 'middle', 'gateway', 'keeper', 'vault']) {
      expect(out).toMatch(new RegExp(`^${role} +\\S`, 'm'))
    }
    expect(out).toContain('SHA-256 0d22cdcc10e6d049dbe1af5123d50873fdfc1a4f58306e58cb6241be9472014d')
    expectNothingLeft(stage)
  })

  it.each([
    ['is not found', '', /^error: not found by 8 of 8 keepers$/m],
    ['comes back changed', 'corrupt', /^error: what came back is not what was put$/m],
  ])('ends 4 when the file %s, and leaves nothing', async (_, mode, message) => {
    const stage = makeStage({ env: { HUSH_DOUBLE: mode } })
    const { exit, out, err } = await stage.hush(['demo', '--nodes', '8'])
    expect(err).toMatch(message)
    expect(exit).toBe(4)
    expect(out).toBe('')
    expectNothingLeft(stage)
  })

  it('cleans up when interrupted while it starts', async () => {
    const stage = makeStage()
    const running = stage.hush(['demo', '--nodes', '8'])
    await expect
      .poll(() => readdirSync(stage.world.temporaryFolder).some((name) => name.startsWith('hush-demo-')))
      .toBe(true)
    await new Promise((resolve) => setTimeout(resolve, 400))
    stage.press('SIGINT')
    expect((await running).exit).toBe(130)
    expectNothingLeft(stage)
  })
})
