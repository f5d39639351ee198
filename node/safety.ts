/**
 * The safety switch: which settings, variables and options of this machine would undo anonymity, each with
 * its reason and what to do. With `anonymity` "strict" one of them is enough to refuse; with "unsafe" each is a
 * warning. Pure, and light enough to run before every command. SPEC safety §1, §2
 */
import { InputError } from '../core/index.ts'
import { isLoopback, isNumeric, parseHostPort } from './system/address.ts'
import { parseProxy } from './system/socks.ts'

export const ANONYMITY = ['strict', 'unsafe'] as const
export type Anonymity = (typeof ANONYMITY)[number]

export interface Hazard {
  /** The key of a file, the variable or the option. */
  readonly what: string
  readonly why: string
  readonly remedy: string
}

/** What of config.json and network.json can undo anonymity. */
export interface SafetySettings {
  readonly anonymity: Anonymity
  readonly role: 'node' | 'client'
  readonly listen?: string | undefined
  readonly advertise: readonly string[]
  readonly metrics?: string | undefined
  readonly proxy?: string | undefined
  /** Addresses of network.json's seeds. */
  readonly seeds: readonly string[]
}

/** What this process was started with. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Options of Node itself, from the command line. */
  readonly nodeOptions: readonly string[]
}

/** Something here would undo anonymity, and `anonymity` is "strict". */
export class UnsafeSettingError extends InputError {
  readonly code = 'ERR_UNSAFE_SETTING'
  readonly hazards: readonly Hazard[]
  constructor(hazards: readonly Hazard[]) {
    super(`not safe, so not done: ${hazards.map(hazardText).join('; ')}`, {
      hint: hazards.map(({ remedy }) => remedy).join('; '),
    })
    this.hazards = hazards
  }
}

export function hazardText({ what, why }: Hazard): string {
  return `${what} ${why}`
}

/** Throws UnsafeSettingError under "strict"; otherwise what to warn of. */
export function judge(anonymity: Anonymity, hazards: readonly Hazard[]): readonly Hazard[] {
  if (anonymity === 'strict' && hazards.length > 0) throw new UnsafeSettingError(hazards)
  return hazards
}

// --- settings ------------------------------------------------------------------------------------

const IP_ADDRESS = 'give the IP address instead of the name'

export function settingHazards(settings: SafetySettings): Hazard[] {
  return [...nameHazards(settings), ...proxyHazards(settings)]
}

function nameHazards({ listen, advertise, metrics, proxy, seeds }: SafetySettings): Hazard[] {
  const hazards: Hazard[] = []
  const note = (what: string, address: string, why: string, remedy = IP_ADDRESS) => {
    if (!isNumericAddress(address)) hazards.push({ what, why: `is the name of a host (${address}): ${why}`, remedy })
  }
  if (listen !== undefined) note('"listen" in config.json', listen, 'it would be looked up in DNS')
  if (metrics !== undefined)
    note('"metrics" in config.json', metrics, 'it would be looked up in DNS', 'use 127.0.0.1:PORT')
  for (const address of advertise) {
    if (proxy !== undefined && isOnion(address)) continue
    note('"advertise" in config.json', address, 'whoever dials this node would look it up in DNS')
  }
  if (proxy !== undefined) return hazards
  for (const address of seeds) {
    const remedy = 'get an invite with IP addresses, or set "proxy": names are then for the proxy to look up'
    note('a seed in network.json', address, 'it would be looked up in DNS', remedy)
  }
  return hazards
}

function proxyHazards({ role, listen, advertise, proxy }: SafetySettings): Hazard[] {
  if (proxy === undefined) return []
  const place = parseProxy(proxy)
  const hazards: Hazard[] = []
  const what = '"proxy" in config.json'
  const remedy = 'run the proxy on this machine and give 127.0.0.1:PORT'
  if (place !== undefined && !isNumeric(place)) {
    hazards.push({ what, why: `is the name of a host (${place.host}): it would be looked up in DNS`, remedy })
  } else if (place !== undefined && !isLoopback(place)) {
    const why = 'is on another machine: on the way there anyone reads which guard is yours, and the password'
    hazards.push({ what, why, remedy })
  }
  if (role !== 'node') return hazards
  const shown = advertise.length > 0 ? advertise : listen === undefined ? [] : [listen]
  const open = [listen, ...shown].find((address) => address !== undefined && !isHidden(address))
  if (open !== undefined) {
    hazards.push({
      what: `"${open === listen ? 'listen' : 'advertise'}" in config.json`,
      why: `(${open}) shows the machine that "proxy" hides: links that others open do not go through the proxy`,
      remedy: 'make the home a client; or listen on 127.0.0.1 behind an onion service and advertise its name',
    })
  }
  return hazards
}

/** Whether nobody has to look it up. */
export function isNumericAddress(address: string): boolean {
  const place = parseHostPort(address)
  return place !== undefined && isNumeric(place)
}
function isOnion(address: string): boolean {
  return parseHostPort(address)?.host.toLowerCase().endsWith('.onion') === true
}
function isHidden(address: string): boolean {
  const place = parseHostPort(address)
  return place !== undefined && (isLoopback(place) || isOnion(address))
}

/**
 * The settings out of the texts of a home's files, read without judging them: a wrong file is for the daemon
 * to complain of. Undefined when there is no reading them at all.
 */
export function parseSettings(configText: string, networkText: string): SafetySettings | undefined {
  const config = recordOf(configText)
  const network = recordOf(networkText)
  if (config === undefined || network === undefined) return undefined
  const seeds = listOf(network.seeds).map((seed) => textOf((seed as { address?: unknown } | null)?.address))
  return {
    // Whatever is not plainly the other word is strict.
    anonymity: config.anonymity === 'unsafe' ? 'unsafe' : 'strict',
    role: config.role === 'node' ? 'node' : 'client',
    listen: textOf(config.listen),
    advertise: listOf(config.advertise).map(textOf).filter(isText),
    metrics: textOf(config.metrics),
    proxy: textOf(config.proxy),
    seeds: seeds.filter(isText),
  }
}

function recordOf(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])
const isText = (value: string | undefined): value is string => value !== undefined

// --- the process ---------------------------------------------------------------------------------

const READS = 'whoever reads it reads what goes over links'
/** Variables that do harm when they hold anything but what is told here. */
const VARIABLES: readonly { readonly name: string; readonly harmless?: string; readonly why: string }[] = [
  { name: 'HUSH_KEY_LOG', why: `writes the secrets of every link to a file: ${READS}` },
  { name: 'SSLKEYLOGFILE', why: `asks for the secrets of every link in a file: ${READS}` },
  { name: 'NODE_DEBUG', why: 'prints what this program sends and asks for' },
  { name: 'NODE_DEBUG_NATIVE', why: 'prints what this program sends and asks for' },
  { name: 'NODE_TLS_REJECT_UNAUTHORIZED', harmless: '1', why: 'tells Node not to check whom it speaks to' },
  { name: 'NODE_USE_ENV_PROXY', harmless: '0', why: 'sends requests where other variables say' },
  { name: 'OPENSSL_CONF', why: 'changes what TLS does, and can load code into this process' },
]

/** Options of Node that change neither where bytes go nor who can see them. */
const HARMLESS_OPTIONS = [
  '--max-old-space-size',
  '--max-semi-space-size',
  '--stack-trace-limit',
  '--stack-size',
  '--enable-source-maps',
  '--no-warnings',
  '--no-deprecation',
  '--disable-warning',
  '--trace-warnings',
  '--trace-deprecation',
  '--trace-uncaught',
  '--unhandled-rejections',
  '--disable-sigusr1',
  '--secure-heap',
  '--experimental-strip-types',
  '--no-experimental-strip-types',
]
const OPTION_WHYS: readonly { readonly of: RegExp; readonly why: string }[] = [
  { of: /^--(inspect|debug)/, why: 'opens a debugger, through which others on this machine read keys and files' },
  { of: /^--(tls-keylog|trace-tls)/, why: `writes the secrets of every link: ${READS}` },
  { of: /^--(tls-|openssl-|force-fips|enable-fips)/, why: 'changes what TLS does' },
  { of: /^(-r$|--(require|import|loader|experimental-loader))/, why: 'loads code that is not part of this program' },
  { of: /^--use-env-proxy/, why: 'sends requests where variables say' },
  { of: /^--(heap|cpu-prof|report|prof|diagnostic|trace-event)/, why: 'writes memory or a trace of it to a file' },
]

/** Hazards of how this process was started, whatever it is to do. */
export function processHazards({ env, nodeOptions }: Surroundings): Hazard[] {
  const hazards: Hazard[] = VARIABLES.flatMap(({ name, harmless, why }) => {
    const value = env[name]
    if (value === undefined || value === '' || value === harmless) return []
    return [{ what: `the variable ${name}`, why, remedy: `unset ${name}` }]
  })
  // Node takes off quotes and backslashes, wherever they stand.
  for (const option of harmfulOptions((env.NODE_OPTIONS ?? '').replace(/["\\]/g, '').split(/\s+/)))
    hazards.push({ what: `${option} in the variable NODE_OPTIONS`, why: whyOf(option), remedy: 'unset NODE_OPTIONS' })
  for (const option of harmfulOptions(nodeOptions))
    hazards.push({ what: `Node's option ${option}`, why: whyOf(option), remedy: `start hush without ${option}` })
  return hazards
}

const PROXY_VARIABLES = ['ALL_PROXY', 'HTTPS_PROXY', 'HTTP_PROXY', 'SOCKS_PROXY']

/**
 * A proxy that is set for other programs: its owner takes it that everything goes through it, and links would
 * not. Where the whole network is on this machine there is nothing to hide.
 */
export function proxyVariableHazards({ env }: Surroundings, { proxy, seeds }: SafetySettings): Hazard[] {
  if (proxy !== undefined || seeds.every((seed) => isLoopbackAddress(seed))) return []
  return PROXY_VARIABLES.flatMap((name) => [name, name.toLowerCase()])
    .filter((name) => (env[name] ?? '') !== '')
    .map((name) => ({
      what: `the variable ${name}`,
      why: 'names a proxy, and links would go out past it',
      remedy: `set "proxy" in config.json (SOCKS5 only), or unset ${name}`,
    }))
}

function isLoopbackAddress(address: string): boolean {
  const place = parseHostPort(address)
  return place !== undefined && isLoopback(place)
}

/** The names of the options that are not known to be harmless; values that stand by themselves are passed over. */
function harmfulOptions(words: readonly string[]): string[] {
  const names = words.filter((word) => word.startsWith('-') && word !== '-').map((word) => word.replace(/=.*$/s, ''))
  return [...new Set(names)].filter((name) => !HARMLESS_OPTIONS.includes(name.replaceAll('_', '-')))
}

function whyOf(option: string): string {
  return OPTION_WHYS.find(({ of }) => of.test(option.replaceAll('_', '-')))?.why ?? 'is not known to be harmless'
}
