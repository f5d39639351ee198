/**
 * The safety switch of the built program: each setting, variable and option that undoes anonymity stops the
 * daemon and the commands, with the key and what to do; "unsafe" turns it into a warning. SPEC safety §1 to §3
 */
import { existsSync } from 'node:fs'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hush, type Ran, type RunOptions } from './support/hush.ts'

const SETUP_MS = 120_000
const EXIT = { ok: 0, input: 2, unavailable: 4 } as const
const TOR = 'socks5://127.0.0.1:9050'
const ONION = `${'a'.repeat(56)}.onion:4100`
/** Addresses of documentation (RFC 5737): nobody is there, and nothing starts that would ask. */
const SEEDS = Array.from({ length: 7 }, (_, i) => `203.0.113.${i + 1}:4100`)

let folder: string
let invite: string
let client: string
let node: string
let homes = 0

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hush-safe-'))
  const made = await create('first', SEEDS)
  expect(made.stderr).not.toMatch(/error/)
  invite = JSON.parse(made.stdout.toString()).invite
  client = join(folder, 'client')
  node = join(folder, 'node')
  expect((await hush(['init', '--join', invite, '--client', '--home', client])).code).toBe(EXIT.ok)
  expect((await hush(['init', '--join', invite, '--listen', '127.0.0.1:4100', '--home', node])).code).toBe(EXIT.ok)
}, SETUP_MS)
afterAll(() => rm(folder, { recursive: true, force: true }))

const create = (name: string, seeds: readonly string[], ...words: string[]) =>
  hush([
    'network',
    'create',
    join(folder, name),
    '--profile',
    'testnet',
    '--seeds',
    seeds.join(','),
    '--json',
    ...words,
  ])

/** A copy of a home with other settings. */
async function homeWith(of: string, settings: Record<string, unknown>, seed?: string): Promise<string> {
  const home = join(folder, `home-${homes++}`)
  await cp(of, home, { recursive: true })
  const change = async (file: string, by: (value: Record<string, unknown>) => unknown) =>
    writeFile(join(home, file), JSON.stringify(by(JSON.parse(await readFile(join(home, file), 'utf8')))))
  await change('config.json', (config) => ({ ...config, ...settings }))
  if (seed !== undefined)
    await change('network.json', ({ seeds, ...rest }) => {
      const [first, ...others] = seeds as { address: string }[]
      return { ...rest, seeds: [{ ...first, address: seed }, ...others] }
    })
  return home
}

function expectRefused(ran: Ran, words: RegExp): void {
  const isJson = ran.stderr.startsWith('{')
  expect(ran.stderr).toMatch(isJson ? /"message":"not safe, so not done: / : /^error: not safe, so not done: /m)
  expect(ran.stderr).toMatch(words)
  expect(ran.stderr).toMatch(isJson ? /"hint":"./ : /^hint: ./m)
  expect(ran.stdout.toString()).toBe('')
  expect(ran.code).toBe(EXIT.input)
}

const CLIENT = 'client'
const NODE = 'node'
const SETTINGS: readonly [string, typeof CLIENT | typeof NODE, Record<string, unknown>, RegExp, string?][] = [
  ['listen by name', NODE, { listen: 'a.example:4100' }, /"listen" .*looked up in DNS/],
  ['advertise by name', NODE, { advertise: ['a.example:4100'] }, /"advertise" .*look it up in DNS/],
  ['a seed by name', CLIENT, {}, /a seed in network.json .*looked up in DNS/, 'a.example:4100'],
  ['metrics by name', CLIENT, { metrics: 'localhost:0' }, /"metrics" .*looked up in DNS/],
  ['a proxy by name', CLIENT, { proxy: 'socks5://tor.example:9050' }, /"proxy" .*looked up in DNS/],
  ['a proxy on another machine', CLIENT, { proxy: 'socks5://203.0.113.9:9050' }, /"proxy" .*another machine/],
  [
    'a proxy, and listening openly',
    NODE,
    { proxy: TOR, listen: '0.0.0.0:4100', advertise: [ONION] },
    /"listen" .*shows/,
  ],
  ['a proxy, and an open address', NODE, { proxy: TOR, advertise: ['203.0.113.8:4100'] }, /"advertise" .*shows/],
]

const STARTS: readonly [string, RunOptions, RegExp][] = [
  [
    'HUSH_KEY_LOG',
    { env: { HUSH_KEY_LOG: '/nowhere/keys' } },
    /HUSH_KEY_LOG writes the secrets.*\n.*unset HUSH_KEY_LOG/,
  ],
  ['SSLKEYLOGFILE', { env: { SSLKEYLOGFILE: '/nowhere/keys' } }, /SSLKEYLOGFILE .*secrets/],
  ['NODE_DEBUG', { env: { NODE_DEBUG: 'x' } }, /NODE_DEBUG prints/],
  ['NODE_DEBUG_NATIVE', { env: { NODE_DEBUG_NATIVE: 'x' } }, /NODE_DEBUG_NATIVE prints/],
  ['NODE_TLS_REJECT_UNAUTHORIZED', { env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' } }, /NODE_TLS_REJECT_UNAUTHORIZED/],
  ['NODE_USE_ENV_PROXY', { env: { NODE_USE_ENV_PROXY: '1' } }, /NODE_USE_ENV_PROXY sends requests/],
  ['OPENSSL_CONF', { env: { OPENSSL_CONF: '/dev/null' } }, /OPENSSL_CONF changes/],
  ['a key log in NODE_OPTIONS', { env: { NODE_OPTIONS: '--tls-keylog=/dev/null' } }, /--tls-keylog in .*NODE_OPTIONS/],
  ['a debugger in NODE_OPTIONS', { env: { NODE_OPTIONS: '--inspect=127.0.0.1:0' } }, /--inspect in .*debugger/],
  ['foreign code in NODE_OPTIONS', { env: { NODE_OPTIONS: '--import=data:text/javascript,' } }, /--import .*not part/],
  ['weak TLS in NODE_OPTIONS', { env: { NODE_OPTIONS: '--tls-min-v1.0' } }, /--tls-min-v1\.0 .*TLS/],
  ['a debugger on the command line', { nodeOptions: ['--inspect=127.0.0.1:0'] }, /Node's option --inspect .*debugger/],
]

describe('hush up refuses', () => {
  it.each(SETTINGS)('%s', async (_, of, settings, words, seed) => {
    const home = await homeWith(of === NODE ? node : client, settings, seed)
    expectRefused(await hush(['up', '--home', home]), words)
    expect(existsSync(join(home, 'control.sock'))).toBe(false)
  })

  it.each(STARTS)('%s', async (_, options, words) => {
    expectRefused(await hush(['up', '--home', client], options), words)
  })

  it('metrics that others could reach, whatever anonymity says', async () => {
    for (const anonymity of ['strict', 'unsafe']) {
      const ran = await hush(['up', '--home', await homeWith(client, { metrics: '0.0.0.0:9100', anonymity })])
      expect(ran.stderr).toMatch(/"metrics" must be a loopback address/)
      expect(ran.code).toBe(EXIT.input)
    }
  })

  it.each(['ALL_PROXY', 'https_proxy'])('%s, past which links would go', async (name) => {
    const env = { [name]: 'http://127.0.0.1:3128' }
    expectRefused(await hush(['up', '--home', client], { env }), new RegExp(`${name} names a proxy, .*past it`))
  })

  it('to start in the background, before there is a process', async () => {
    const home = await homeWith(client, { metrics: 'localhost:0' })
    expectRefused(await hush(['up', '--detach', '--home', home]), /"metrics"/)
    expect(existsSync(join(home, 'daemon.log'))).toBe(false)
  })
})

describe('other commands', () => {
  it('refuse the same of the home they are to use, before they ask its daemon', async () => {
    const home = await homeWith(client, { proxy: 'socks5://tor.example:9050' })
    for (const words of [
      ['put', '-'],
      ['get', 'hush:x'],
      ['check', 'hush:x'],
      ['repair', 'hush:x'],
      ['keep', '--list'],
      ['invite'],
    ])
      expectRefused(await hush([...words, '--home', home]), /"proxy"/)
  })

  it('refuse the same of their own process, with or without a home', async () => {
    const env = { NODE_OPTIONS: '--tls-keylog=/dev/null' }
    const dir = join(folder, 'never')
    const each = [['put', '-', '--home', client], ['demo'], ['testnet', 'up', '--nodes', '8', '--dir', dir]]
    for (const words of each) expectRefused(await hush(words, { env }), /--tls-keylog/)
    expect(existsSync(dir)).toBe(false)
  })

  it('that look or end what runs are done, with a warning', async () => {
    const env = { NODE_DEBUG: 'x' }
    for (const command of ['down', 'status', 'ledger']) {
      const ran = await hush([command, '--home', client], { env })
      expect(ran.stderr).toMatch(/^note: WARNING, anonymity is at risk: the variable NODE_DEBUG .*unset NODE_DEBUG$/m)
      expect(ran.stderr).not.toMatch(/not safe/)
    }
  })

  it('make no home that could not start', async () => {
    const home = join(folder, 'unmade')
    const init = (...words: string[]) => hush(['init', '--home', home, '--join', invite, ...words])
    expectRefused(await init('--listen', 'a.example:4100'), /"listen"/)
    expectRefused(await init('--listen', '0.0.0.0:4100', '--advertise', 'a.example:4100'), /"advertise"/)
    expectRefused(await init('--client', '--proxy', 'socks5://tor.example:9050'), /"proxy"/)
    expect(existsSync(home)).toBe(false)
  })

  it('make no network that could not start, and take no invite that names hosts', async () => {
    const named = ['a.example:4100', ...SEEDS.slice(1)]
    expectRefused(await create('named', named), /advertise.* .*a\.example/)
    expect(existsSync(join(folder, 'named'))).toBe(false)
    const made = await create('unsafe', named, '--unsafe')
    expect(made.code).toBe(EXIT.ok)
    const other = JSON.parse(made.stdout.toString()).invite
    const home = join(folder, 'named-client')
    expectRefused(
      await hush(['init', '--join', other, '--client', '--home', home]),
      /a seed in network.json .*a\.example/,
    )
    expect((await hush(['init', '--join', other, '--client', '--proxy', TOR, '--home', home])).code).toBe(EXIT.ok)
  })
})

describe('anonymity "unsafe"', () => {
  it('starts, and warns on the terminal, in the log and at each command', async () => {
    const home = await homeWith(client, { anonymity: 'unsafe', metrics: 'localhost:0', proxy: 'socks5://127.0.0.1:1' })
    const up = await hush(['up', '--detach', '--home', home])
    try {
      expect(up.stderr).toMatch(/WARNING, anonymity is at risk: "metrics" in config.json is the name of a host/)
      expect(up.code).toBe(EXIT.ok)
      expect(await readFile(join(home, 'daemon.log'), 'utf8')).toMatch(
        /"level":"warn".*"reason":"\\"metrics\\" in config/,
      )
      const invited = await hush(['invite', '--home', home])
      expect(invited.stderr).toMatch(/WARNING/)
      expect(invited.stdout.toString()).toMatch(/^hush-invite:/)
    } finally {
      await hush(['down', '--home', home])
    }
  })
})
