import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { makeStage } from './stage.ts'

describe('words that make no command', () => {
  const wrong: [string, string[], RegExp][] = [
    ['an unknown command', ['pot', 'file'], /^error: unknown command 'pot'/],
    ['an unknown option', ['put', '--publik', 'file'], /^error: unknown option '--publik'/],
    ['a missing argument', ['get'], /^error: missing required argument 'address'/],
    ['too many arguments', ['get', 'a', 'b'], /^error: too many arguments/],
    ['no command at all', [], /^error: no command was given/],
    ['a group without its command', ['testnet'], /^error: no command was given/],
    ['a testnet of 7', ['testnet', 'up', '--nodes', '7', '--dir', 'x'], /^error: a testnet needs at least 8 nodes/],
    ['a testnet of 65', ['testnet', 'up', '--nodes', '65', '--dir', 'x'], /^error: a testnet has at most 64 nodes/],
    ['a testnet of many', ['testnet', 'up', '--nodes', 'many', '--dir', 'x'], /^error: .*It takes a number/],
    ['a testnet without a folder', ['testnet', 'up', '--nodes', '8'], /^error: required option '--dir <dir>'/],
    ['init without an invite', ['init', '--client'], /^error: which network\?/],
    ['a node that listens nowhere', ['init', '--join', 'x'], /^error: a node listens/],
    [
      'a client that listens',
      ['init', '--join', 'x', '--client', '--listen', 'a:1'],
      /^error: a client listens nowhere/,
    ],
    ['an address without a port', ['init', '--join', 'x', '--listen', 'example.org'], /^error: example.org is not/],
    ['an address with port 70000', ['init', '--join', 'x', '--listen', 'a:70000'], /^error: a:70000 is not/],
    ['too few seeds', ['network', 'create', 'd', '--profile', 'testnet', '--seeds', 'a:1,b:2'], /starts from 7 seeds/],
    ['an unknown profile', ['network', 'create', 'd', '--profile', 'toy', '--seeds', 'a:1'], /^error: .*invalid/],
  ]
  it.each(wrong)('%s ends 2 with an error and a hint, and nothing on stdout', async (_, words, message) => {
    const { exit, out, err } = await makeStage().hush(words)
    expect(err).toMatch(message)
    expect(exit).toBe(2)
    expect(out).toBe('')
  })

  it('suggests the word that was meant', async () => {
    const { err } = await makeStage().hush(['put', '--publik', 'file'])
    expect(err).toContain('hint: Did you mean --public? See: hush put --help')
  })

  const ways: [string, string][] = [
    ['', 'hush --help'],
    ['pot', 'hush --help'],
    ['testnet', 'hush testnet --help'],
    ['testnet upp', 'hush testnet --help'],
    ['testnet up --nodes 8', 'hush testnet up --help'],
    ['testnet --json down', 'hush testnet down --help'],
    ['network', 'hush network --help'],
    ['network create x', 'hush network create --help'],
    ['ledger export', 'hush ledger export --help'],
    ['help pot', 'hush --help'],
    ['help testnet pot', 'hush testnet --help'],
    ['help put extra', 'hush put --help'],
    ['testnet help pot', 'hush testnet --help'],
  ]
  it.each(ways)('%j leads to %s', async (words, help) => {
    const { exit, out, err } = await makeStage().hush(words.split(' ').filter((word) => word !== ''))
    expect({ exit, out }).toEqual({ exit: 2, out: '' })
    expect(err).toContain(`See: ${help}`)
  })

  it('are named by help as anywhere else', async () => {
    const errorOf = async (words: string[]) => (await makeStage().hush(words)).err.split('\n')[0]
    expect(await errorOf(['help', 'nonsense'])).toBe("error: unknown command 'nonsense'")
    expect(await errorOf(['help', 'put', 'extra'])).toBe("error: hush put has no command 'extra'")
    expect(await errorOf(['testnet'])).toBe('error: no command was given: hush testnet takes up, status, add, down')
  })

  it('tells of it in JSON when asked to', async () => {
    const { exit, out, err } = await makeStage().hush(['put', '--json'])
    expect(JSON.parse(err)).toMatchObject({ error: { code: 'ERR_USAGE', kind: 'input' }, exit: 2 })
    expect(exit).toBe(2)
    expect(out).toBe('')
  })
})

describe('help', () => {
  it.each([[['help']], [['--help']], [['-h']]])('%j explains everything on stdout and ends 0', async (words) => {
    const { exit, out, err } = await makeStage().hush(words)
    expect(exit).toBe(0)
    expect(err).toBe('')
    for (const name of [
      'put',
      'get',
      'check',
      'init',
      'up',
      'down',
      'status',
      'invite',
      'network',
      'testnet',
      'demo',
    ]) {
      expect(out).toMatch(new RegExp(`^  ${name} `, 'm'))
    }
  })

  it('of a command is the same by its own words and by --help, however deep', async () => {
    for (const words of [
      ['put'],
      ['testnet'],
      ['testnet', 'up'],
      ['network', 'create'],
      ['ledger', 'show'],
      ['help'],
    ]) {
      const wanted = await makeStage().hush([...words, '--help'])
      expect(wanted.out).toContain(`Usage: hush ${words.join(' ')} `)
      expect(await makeStage().hush(['help', ...words])).toEqual(wanted)
    }
    expect(await makeStage().hush(['testnet', 'help', 'up'])).toEqual(await makeStage().hush(['help', 'testnet', 'up']))
  })

  it('is given also where nothing else would be, for anonymity', async () => {
    expect(await makeStage({ env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' } }).hush(['help', 'put'])).toMatchObject({
      exit: 0,
      err: '',
    })
  })

  it('names what a command cannot do without', async () => {
    const usage = async (words: string) => (await makeStage().hush(['help', ...words.split(' ')])).out.split('\n')[0]
    for (const name of ['up', 'status', 'add', 'down'])
      expect(await usage(`testnet ${name}`)).toBe(`Usage: hush testnet ${name} --dir <dir> [options]`)
    expect(await usage('network create')).toBe('Usage: hush network create --seeds <host:port,...> [options] <dir>')
  })

  it('names every exit code', async () => {
    const { out } = await makeStage().hush(['--help'])
    for (const code of [0, 1, 2, 3, 4, 5, 6, 130, 141, 143]) expect(out).toMatch(new RegExp(`\\b${code} [a-zCS]`))
    expect(out.split('\n').filter((line) => line.length > 100)).toEqual([])
    expect(out.replaceAll('\n', ' ')).toContain("6 this machine's disk, rights or ports, or a daemon that runs already")
  })

  it('alone suffices to start a testnet, put, get by a pipe, and end it', async () => {
    const { out } = await makeStage().hush(['--help'])
    expect(out).toMatch(/hush testnet up --nodes \d+ --dir/)
    expect(out).toMatch(/hush put \S+ --home \S+client-a/)
    expect(out).toMatch(/hush get \S+ -o \S+ --home \S+client-b/)
    expect(out).toContain('tar cf - folder | hush put -')
    expect(out).toContain('hush get ADDRESS -o - | tar x')
    expect(out).toContain('--public')
    expect(out).toMatch(/hush testnet down --dir/)
  })

  const all = ['put', 'get', 'check', 'init', 'up', 'down', 'status', 'invite', 'network create', 'testnet', 'demo']
  const upkeep = ['repair', 'repair-key', 'keep', 'ledger', 'ledger show', 'ledger export', 'ledger verify', 'network']
  it.each([...all, ...upkeep, 'testnet up', 'testnet status', 'testnet add', 'testnet down'])(
    'of %s names its options and those of every command',
    async (name) => {
      const { exit, out } = await makeStage().hush([...name.split(' '), '--help'])
      expect(exit).toBe(0)
      expect(out).toContain(`Usage: hush ${name}`)
      expect(out.split('\n').filter((line) => line.length > 100)).toEqual([])
      expect(out).toContain('--home <dir>')
      expect(out).toContain('--json')
    },
  )

  it('gives the version', async () => {
    expect(await makeStage().hush(['--version'])).toMatchObject({ exit: 0, out: '1.2.3\n' })
  })
})

describe('the home folder', () => {
  it('is the one given, before or after the command', async () => {
    const stage = makeStage({ env: { HUSH_HOME: '/nowhere' } })
    await stage.startDouble()
    for (const words of [
      ['--home', stage.home, 'invite'],
      ['invite', '--home', stage.home],
      ['invite', `--home=${join('..', 'home')}`],
    ]) {
      expect(await stage.hush(words)).toMatchObject({ exit: 0, out: 'hush-invite:abc\n' })
    }
  })

  it('is HUSH_HOME otherwise, and .hush in the folder of the user at last', async () => {
    const stage = makeStage()
    await stage.startDouble()
    expect((await stage.hush(['invite'])).exit).toBe(0)
    const bare = makeStage({ env: { HUSH_HOME: '' } })
    const { exit, err } = await bare.hush(['invite'])
    expect(exit).toBe(4)
    expect(err).toContain(`no daemon is running for this home (${join(bare.world.userFolder, '.hush')})`)
  })

  it('without a daemon ends 4 and says how to start one', async () => {
    const stage = makeStage()
    for (const words of [['status'], ['invite'], ['get', 'hush:x'], ['check', 'hush:x']]) {
      expect(await stage.hush(words)).toMatchObject({
        exit: 4,
        out: '',
        err: expect.stringMatching(
          /error: no daemon is running for this home \(.*\)\nhint: start one with: hush up --detach\n$/,
        ),
      })
    }
  })

  it('without a daemon has nothing to stop, and no advice to start one', async () => {
    const stage = makeStage()
    for (const home of [stage.home, join(stage.folder, 'none')])
      expect(await stage.hush(['down', '--home', home])).toMatchObject({
        exit: 4,
        err:
          `error: no daemon is running for this home (${home})\n` +
          'hint: there is nothing to stop; --home names another home, hush testnet down --dir DIR ends a testnet\n',
      })
  })

  it('is named as it was typed where a hint names a command for it', async () => {
    const stage = makeStage()
    const typed = join('..', 'home')
    const silent = await stage.hush(['status', '--home', typed])
    expect(silent.err).toContain(`hint: start one with: hush up --detach --home ${typed}\n`)
    const double = await stage.startDouble()
    double.objects.set('hush:x', { bytes: new Uint8Array(100) })
    Object.assign(double, { breakAt: 10, breakWith: 'cut' })
    const gone = await stage.hush(['get', 'hush:x', '-o', '-', '--home', typed])
    expect(gone.err).toContain(`hint: look with: hush status --home ${typed}; then run it again\n`)
  })

  it('that is the folder of a testnet names the homes in it', async () => {
    const stage = makeStage()
    const folder = join(stage.folder, 'net')
    mkdirSync(folder, { mode: 0o700 })
    const member = (name: string, role: string) => ({ name, role, home: join(folder, name) })
    const members = [member('node-00', 'node'), member('client-a', 'client'), member('client-b', 'client')]
    const record = { version: 1, plan: { kind: 'shared', basePort: 4000 }, members }
    writeFileSync(join(folder, 'testnet.json'), JSON.stringify(record))
    for (const words of [['status'], ['up'], ['put', '-']]) {
      const { err } = await stage.hush([...words, '--home', 'net'])
      expect(err).toContain(
        `hint: this is the folder of a testnet; its clients are: --home ${folder}/client-a and --home ${folder}/client-b\n`,
      )
    }
  })

  it('that was never made is told apart', async () => {
    const stage = makeStage()
    const other = join(stage.folder, 'other')
    mkdirSync(other, { mode: 0o700 })
    const asked = await stage.hush(['status', '--home', other])
    expect(asked.exit).toBe(4)
    expect(asked.err).toContain(
      `hint: this home was not made yet; make it with: hush init --join INVITE --home ${other}`,
    )
    expect(asked.err).toContain('hush testnet up --nodes 20 --dir ./net')
    const started = await stage.hush(['up', '--home', other])
    expect(started.exit).toBe(2)
    expect(started.err).toContain('there is no home yet')
  })
})

describe('short commands', () => {
  it('init makes a home and prints it', async () => {
    const stage = makeStage()
    const home = join(stage.folder, 'new')
    const made = await stage.hush(['init', '--join', 'hush-invite:abc', '--listen', '[::1]:4100', '--home', home])
    expect(made).toMatchObject({ exit: 0, out: `${home}\n` })
    expect(made.err).toContain(`hush up --detach --home ${home}`)
  })

  it('network create prints the id alone, and says where the homes are', async () => {
    const stage = makeStage()
    const seeds = Array.from({ length: 7 }, (_, index) => `host-${index}:4100`).join(',')
    const made = await stage.hush(['network', 'create', 'net', '--profile', 'testnet', '--seeds', seeds])
    expect(made).toMatchObject({ exit: 0, out: `${'ab'.repeat(32)}\n` })
    expect(made.err).toContain(join(stage.folder, 'net', 'seed-06'))
    const asJson = await stage.hush(['network', 'create', 'two', '--profile', 'testnet', '--seeds', seeds, '--json'])
    expect(JSON.parse(asJson.out)).toMatchObject({ invite: 'hush-invite:abc', seeds: { length: 7 } })
    expect(JSON.parse(asJson.out).seeds[3]).toMatchObject({ listen: '0.0.0.0:4100', advertise: ['host-3:4100'] })
  })

  it('status tells people in lines and programs in JSON', async () => {
    const stage = makeStage()
    await stage.startDouble()
    const told = await stage.hush(['status'])
    expect(told.out).toMatch(/^circuits +5 of 5 ready, 0 being built, 5 gateways$/m)
    expect(told.out).toMatch(/^stored +3 shards, 186.0 KiB of 1.0 GiB$/m)
    const asJson = JSON.parse((await stage.hush(['status', '--json'])).out)
    expect(asJson).toMatchObject({ version: '9.9.9', circuits: { ready: 5 } })
  })

  it('check prints a line per stripe and ends 4 when one is lost', async () => {
    const stage = makeStage()
    const double = await stage.startDouble()
    double.objects.set('hush:x', { bytes: new Uint8Array(1) })
    const good = await stage.hush(['check', 'hush:x'])
    expect(good.exit).toBe(0)
    expect(good.out.split('\n')).toEqual([
      'stripe    level  reachable  needed  health',
      '     0        0      22/22       8  perfect',
      '     1        0      19/22       8  good',
      '41 of 44 shards of 2 stripes reachable: good',
      '',
    ])
    double.lost = true
    const lost = await stage.hush(['check', 'hush:x', '--json'])
    expect(lost.exit).toBe(4)
    const events = lost.out.trimEnd().split('\n')
    expect(events.map((line) => JSON.parse(line).event)).toEqual(['stripe', 'stripe', 'summary'])
  })
})
