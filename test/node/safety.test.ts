/** Each thing that undoes anonymity is found, with its reason; what does not is left alone. SPEC safety §1 to §3 */
import { describe, expect, it } from 'vitest'
import { BadConfigError, parseConfig } from '../../node/config.ts'
import {
  judge,
  parseSettings,
  processHazards,
  proxyVariableHazards,
  type SafetySettings,
  settingHazards,
  UnsafeSettingError,
} from '../../node/safety.ts'

const SEED = '203.0.113.7:4100'
const CLIENT: SafetySettings = { anonymity: 'strict', role: 'client', advertise: [], seeds: [SEED] }
const NODE: SafetySettings = { ...CLIENT, role: 'node', listen: '0.0.0.0:4100', advertise: ['198.51.100.4:4100'] }
const TOR = 'socks5://127.0.0.1:9050'
const ONION = `${'a'.repeat(56)}.onion:4100`

const words = (found: readonly { what: string; why: string }[]) => found.map(({ what, why }) => `${what} ${why}`)

describe('settings', () => {
  it.each<[string, SafetySettings]>([
    ['a client', CLIENT],
    ['a node with IP addresses', NODE],
    ['a node with IPv6 addresses', { ...NODE, listen: '[::]:4100', advertise: ['[2001:db8::1]:4100'] }],
    ['metrics on loopback', { ...NODE, metrics: '127.0.0.1:9100' }],
    ['metrics on IPv6 loopback', { ...NODE, metrics: '[::1]:9100' }],
    ['a client behind a proxy', { ...CLIENT, proxy: TOR }],
    ['seeds with names behind a proxy', { ...CLIENT, proxy: TOR, seeds: ['a.example:1', ONION] }],
    ['a node behind an onion service', { ...NODE, proxy: TOR, listen: '127.0.0.1:4100', advertise: [ONION] }],
    ['a node of a network on this machine', { ...NODE, proxy: TOR, listen: '127.0.0.1:4100', advertise: [] }],
  ])('leave anonymity whole: %s', (_, settings) => {
    expect(settingHazards(settings)).toEqual([])
  })

  it.each<[string, SafetySettings, RegExp]>([
    ['listen', { ...NODE, listen: 'a.example:4100' }, /"listen" in config.json is the name of a host .* DNS/],
    ['listen on localhost', { ...NODE, listen: 'localhost:4100' }, /"listen" .* name of a host .* DNS/],
    ['advertise', { ...NODE, advertise: ['a.example:4100'] }, /"advertise" .* name of a host .* DNS/],
    ['a second advertise', { ...NODE, advertise: ['192.0.2.1:1', 'b.example:1'] }, /"advertise" .*b\.example/],
    ['an onion name without a proxy', { ...NODE, advertise: [ONION] }, /"advertise" .* DNS/],
    ['metrics', { ...CLIENT, metrics: 'localhost:9100' }, /"metrics" .* name of a host .* DNS/],
    ['a seed', { ...CLIENT, seeds: [SEED, 'a.example:4100'] }, /a seed in network.json .* name of a host .* DNS/],
    ['a name like a number', { ...CLIENT, seeds: ['127.evil.example:1'] }, /127\.evil\.example/],
    ['the proxy', { ...CLIENT, proxy: 'socks5://tor.example:9050' }, /"proxy" .* name of a host .* DNS/],
    ['a proxy elsewhere', { ...CLIENT, proxy: 'socks5://192.0.2.1:9050' }, /"proxy" .* another machine/],
    ['listening beside a proxy', { ...NODE, proxy: TOR, advertise: [ONION] }, /"listen" .* shows the machine/],
    [
      'advertising beside a proxy',
      { ...NODE, proxy: TOR, listen: '127.0.0.1:4100' },
      /"advertise" .*198\.51\.100\.4:4100.* shows the machine/,
    ],
  ])('undo it: %s', (_, settings, why) => {
    const found = settingHazards(settings)
    expect(words(found).join('\n')).toMatch(why)
    expect(found).toHaveLength(1)
    expect(found[0]?.remedy).not.toBe('')
  })

  it('cannot open metrics to others, whatever anonymity says', () => {
    for (const metrics of ['0.0.0.0:9100', '192.0.2.1:9100', '[::]:9100', '127.evil.example:9100', 'a.example:9100'])
      for (const anonymity of ['strict', 'unsafe'])
        expect(() => parseConfig(JSON.stringify({ role: 'client', anonymity, metrics }))).toThrow(/"metrics" must be/)
  })

  it('are strict unless they say the other word', () => {
    expect(parseConfig('{"role":"client"}').anonymity).toBe('strict')
    expect(() => parseConfig('{"role":"client","anonymity":"off"}')).toThrow(BadConfigError)
    expect(parseSettings('{"anonymity":"Unsafe"}', '{}')?.anonymity).toBe('strict')
    expect(parseSettings('{"anonymity":"unsafe"}', '{}')?.anonymity).toBe('unsafe')
  })

  it('name a proxy that is one', () => {
    for (const proxy of ['http://127.0.0.1:1', '127.0.0.1:9050', 'socks5://127.0.0.1'])
      expect(() => parseConfig(JSON.stringify({ role: 'client', proxy }))).toThrow(/"proxy": must be socks5/)
    const twice = { role: 'client', proxy: 'socks5://a:b@127.0.0.1:9050', proxyIsolation: true }
    expect(() => parseConfig(JSON.stringify(twice))).toThrow(/proxyIsolation/)
  })
})

describe('the process', () => {
  it.each<[string, string]>([
    ['HUSH_KEY_LOG', '/tmp/keys'],
    ['SSLKEYLOGFILE', '/tmp/keys'],
    ['NODE_DEBUG', 'tls,http'],
    ['NODE_DEBUG_NATIVE', 'tls'],
    ['NODE_TLS_REJECT_UNAUTHORIZED', '0'],
    ['NODE_USE_ENV_PROXY', '1'],
    ['OPENSSL_CONF', '/tmp/openssl.cnf'],
  ])('is unsafe with the variable %s', (name, value) => {
    const found = processHazards({ env: { [name]: value }, nodeOptions: [] })
    expect(found).toMatchObject([{ what: `the variable ${name}`, remedy: `unset ${name}` }])
    expect(processHazards({ env: { [name]: '' }, nodeOptions: [] })).toEqual([])
  })

  it.each<[string, RegExp]>([
    ['--inspect', /debugger/],
    ['--inspect-brk=127.0.0.1:9229', /debugger/],
    ['--inspect_port=1', /debugger/],
    ['"--inspect"', /debugger/],
    ['--tls-keylog=/tmp/keys', /secrets of every link/],
    ['--trace-tls', /secrets of every link/],
    ['--tls-min-v1.0', /what TLS does/],
    ['--tls-cipher-list=NULL', /what TLS does/],
    ['--openssl-config=/tmp/x', /what TLS does/],
    ['--require=./x.js', /loads code/],
    ['--import=./x.mjs', /loads code/],
    ['-r', /loads code/],
    ['--use-env-proxy', /where variables say/],
    ['--heapsnapshot-signal=SIGUSR2', /memory/],
    ['--some-new-option', /not known to be harmless/],
  ])('is unsafe with %s, in NODE_OPTIONS and on the command line', (option, why) => {
    const byVariable = processHazards({ env: { NODE_OPTIONS: `--max-old-space-size=512 ${option}` }, nodeOptions: [] })
    expect(byVariable).toHaveLength(1)
    expect(byVariable[0]).toMatchObject({
      what: expect.stringMatching(/NODE_OPTIONS/),
      why: expect.stringMatching(why),
    })
    const byOption = processHazards({ env: {}, nodeOptions: [option.replaceAll('"', '')] })
    expect(byOption).toHaveLength(1)
    expect(byOption[0]).toMatchObject({
      what: expect.stringMatching(/^Node's option/),
      why: expect.stringMatching(why),
    })
  })

  it('is safe with what changes nothing of links', () => {
    const env = {
      NODE_OPTIONS: '--max-old-space-size=4096 --enable-source-maps',
      // No authority takes part in links, so one more means nothing.
      NODE_EXTRA_CA_CERTS: '/etc/ssl/certs/ca-certificates.crt',
      SSL_CERT_FILE: '/etc/ssl/certs/ca-certificates.crt',
      NODE_TLS_REJECT_UNAUTHORIZED: '1',
      NODE_ENV: 'production',
      PATH: '/usr/bin',
    }
    expect(processHazards({ env, nodeOptions: ['--no-warnings'] })).toEqual([])
  })

  it.each(['ALL_PROXY', 'HTTPS_PROXY', 'HTTP_PROXY', 'SOCKS_PROXY', 'all_proxy', 'https_proxy'])(
    'is unsafe with %s, which links would go past',
    (name) => {
      const start = { env: { [name]: 'http://127.0.0.1:3128' }, nodeOptions: [] }
      expect(words(proxyVariableHazards(start, CLIENT))).toEqual([
        `the variable ${name} names a proxy, and links would go out past it`,
      ])
      expect(proxyVariableHazards(start, { ...CLIENT, proxy: TOR })).toEqual([])
      // A network on this machine alone: nothing goes out.
      expect(proxyVariableHazards(start, { ...CLIENT, seeds: ['127.1.0.1:4100'] })).toEqual([])
    },
  )
})

describe('the switch', () => {
  const [one, other] = processHazards({ env: { NODE_DEBUG: 'x', HUSH_KEY_LOG: 'x' }, nodeOptions: [] })
  const both = [one, other].filter((hazard) => hazard !== undefined)

  it('refuses when strict, and names every hazard and remedy', () => {
    expect(() => judge('strict', both)).toThrow(UnsafeSettingError)
    expect(() => judge('strict', both)).toThrow(/HUSH_KEY_LOG.*NODE_DEBUG/)
    expect(new UnsafeSettingError(both).hint).toBe('unset HUSH_KEY_LOG; unset NODE_DEBUG')
  })
  it('hands them back to be warned of when unsafe', () => {
    expect(judge('unsafe', both)).toEqual(both)
    expect(judge('strict', [])).toEqual([])
  })
})
