/** What the safety switch reads of a home's files, and what a proxy answers. SPEC safety §1, §3 */
import fc from 'fast-check'
import { concatBytes, fromUtf8 } from '../../core/index.ts'
import { parseSettings } from '../../node/safety.ts'
import { ProxyProtocolError, ProxyRefusedError } from '../../node/system/errors.ts'
import { formatProxy, parseProxy, type SocksProxy, SocksTalk } from '../../node/system/socks.ts'
import { textBytes, textOf } from './shapes.ts'
import { FuzzFault, type Target } from './target.ts'

const proxySetting: Target<SocksProxy> = {
  name: 'proxy-setting',
  covers: ['node/system/socks.ts#parseProxy'],
  valid: textBytes(
    fc.constantFrom(
      'socks5://127.0.0.1:9050',
      'socks5h://[::1]:1',
      'socks5://user:pass%40word@127.0.0.1:9050',
      'socks5://a%3A:%C3%BC@proxy.example:65535',
    ),
  ),
  decode: (bytes) => parseProxy(textOf(bytes)),
  encode: (proxy) => fromUtf8(formatProxy(proxy)),
  permitted: [],
  tokens: ['socks5://', '@', '%', '%ff', ':', '[::1]'],
}

const LOGIN = { user: 'hush', password: 'secret' }
const methods = fc.constantFrom(0, 2, 255)
const replies = fc.oneof(
  fc.constant(Uint8Array.of(5, 0, 0, 1, 127, 0, 0, 1, 0, 80)),
  fc.constant(Uint8Array.of(5, 0, 0, 4, ...new Uint8Array(18))),
  fc.nat(255).map((size) => Uint8Array.of(5, 0, 0, 3, size, ...new Uint8Array(size + 2))),
  fc.nat(255).map((code) => Uint8Array.of(5, code, 0, 1, 0, 0, 0, 0, 0, 0)),
)
/** First byte: with a login or not; second: in pieces of that size. What is sent is answered from the rest. */
const proxyAnswers: Target = {
  name: 'proxy-answers',
  covers: ['node/system/socks.ts#SocksTalk'],
  valid: fc
    .tuple(fc.nat(1), fc.nat(20), methods, fc.nat(1), replies)
    .map(([login, size, method, verdict, reply]) =>
      concatBytes(
        Uint8Array.of(login, size, 5, method),
        login === 1 ? Uint8Array.of(1, verdict) : new Uint8Array(0),
        reply,
      ),
    ),
  decode: (bytes) => {
    const hasLogin = ((bytes[0] ?? 0) & 1) === 1
    const talk = new SocksTalk({ host: 'a.example', port: 80 }, hasLogin ? LOGIN : undefined)
    const size = 1 + (bytes[1] ?? 0)
    // An honest proxy sends no answer before it is asked for: pieces end where one does.
    const ends = hasLogin ? [4, 6] : [4]
    let sent = talk.greeting().length
    let at = 2
    while (at < bytes.length && !talk.isOpen) {
      const next = Math.min(at + size, ends.find((end) => end > at) ?? bytes.length, bytes.length)
      sent += talk.take(bytes.subarray(at, next))?.length ?? 0
      at = next
    }
    if (sent > 1_000) throw new FuzzFault(proxyAnswers, `sent ${sent} bytes`)
    return talk.isOpen
  },
  permitted: [ProxyProtocolError, ProxyRefusedError],
  mayRefuseValid: true,
  tokens: ['\x05\x00', '\x05\x02', '\x01\x00', '\x05\x00\x00\x03'],
}

const safetySettings: Target = {
  name: 'safety-settings',
  covers: ['node/safety.ts#parseSettings'],
  valid: fc
    .record({
      anonymity: fc.constantFrom('strict', 'unsafe'),
      role: fc.constantFrom('node', 'client'),
      listen: fc.constantFrom('127.0.0.1:1', 'a.example:1'),
      advertise: fc.constantFrom([], ['192.0.2.1:1']),
    })
    .map((config) => fromUtf8(`${JSON.stringify(config)}\n{"seeds":[{"address":"192.0.2.7:4100"}]}`)),
  decode: (bytes) => {
    const [config = '', network = ''] = textOf(bytes).split('\n')
    const settings = parseSettings(config, network)
    if (settings?.anonymity === 'unsafe' && !config.includes('unsafe') && !config.includes('\\u'))
      throw new FuzzFault(safetySettings, 'took for unsafe what does not say so')
    return settings
  },
  permitted: [],
  tokens: ['"anonymity":', '"unsafe"', 'null', '[null]', '{"seeds":[null]}', '"__proto__":'],
}

export const safetyTargets = [proxySetting, proxyAnswers, safetySettings]
