/**
 * One daemon: a home folder brought to life until it is told to stop. This is the one place where the
 * ports get their real makers. SPEC home §1-§3
 */
import { LocalError, pause } from '../core/index.ts'
import { openLmdbRecords, openLmdbStore } from '../storage/index.ts'
import { HushNode } from './compose.ts'
import {
  bytesOf,
  type ConfigFile,
  dialFromOf,
  HomeStateError,
  type IdentityFile,
  linkBoundsOf,
  type NetworkFile,
  networkIdOf,
  parseConfig,
  parseIdentity,
  parseNetwork,
  pauseBeforeReadBackMs,
  profileOf,
  proxyOf,
  quotasOf,
  safetySettingsOf,
  seedsOf,
} from './config.ts'
import { ControlServer } from './control/server.ts'
import { addNodeMetrics } from './metrics.ts'
import {
  type Hazard,
  hazardText,
  isNumericAddress,
  judge,
  processHazards,
  proxyVariableHazards,
  settingHazards,
} from './safety.ts'
import {
  type ControlSocket,
  type Home,
  type HomeLock,
  keyLogOfEnvironment,
  lockHome,
  makeLog,
  makeMetrics,
  makeTransport,
  onStopSignal,
  openHome,
  openStateStore,
  processId,
  processRssBytes,
  programVersion,
  serveControl,
  serveMetrics,
  surroundings,
  systemClock,
  systemJitter,
  systemRandom,
  tuneEngine,
} from './system/index.ts'

/** Shards of own puts that wait for a keeper: what is beyond is refused and the put fails. */
const PENDING_QUOTA_BYTES = 1024 ** 3
/** Between two commits of the shard store: writes gather meanwhile. The first after a rest does not wait. */
const COMMIT_PAUSE_MS = 40
/** Goes on until then even if handing over hangs. */
const LEAVE_MS_MAX = 10 * 60_000
/** So often a daemon looks whether its home is still its own. */
const HOME_CHECK_MS = 30_000

/** The home folder was removed or given to another while its daemon ran; the daemon has ended. */
export class HomeLostError extends LocalError {
  readonly code = 'ERR_HOME_LOST'
}

interface HomeFiles {
  readonly config: ConfigFile
  readonly identity: IdentityFile
  readonly network: NetworkFile
}

/**
 * Runs until stopped; resolves with the exit code. `cover` turns it on for this run. `onReady` is called once the control API answers.
 * Throws what hinders the start: no home, a second daemon, a port in use, a bad file, an unsafe setting.
 */
export async function runDaemon(options: {
  readonly home: string
  readonly foreground: boolean
  readonly cover?: boolean
  readonly onReady?: () => void
}): Promise<number> {
  tuneEngine()
  const home = openHome(options.home)
  const files = readFiles(home)
  const hasCover = options.cover === true || files.config.cover
  const hazards = hazardsOf(files)
  const clock = systemClock()
  const jitter = systemJitter()
  const lock = await lockHome(home, { jitter })
  try {
    const onReady = options.onReady && { onReady: options.onReady }
    return await runLocked(home, files, { clock, jitter, lock, hazards, hasCover, ...onReady })
  } finally {
    lock.release()
  }
}

async function runLocked(
  home: Home,
  { config, identity, network }: HomeFiles,
  run: {
    clock: ReturnType<typeof systemClock>
    jitter: ReturnType<typeof systemJitter>
    lock: HomeLock
    hazards: readonly Hazard[]
    hasCover: boolean
    onReady?: () => void
  },
): Promise<number> {
  const { clock, jitter } = run
  const random = systemRandom()
  const log = makeLog({ level: config.logLevel })
  for (const hazard of run.hazards) log('warn', 'unsafe', { reason: hazardText(hazard) })
  const networkId = networkIdOf(network)
  const isNode = config.role === 'node'
  const { storeBytes, cacheBytes, vaultBytes } = quotasOf(config)
  const onCorrupt = (): void => log('warn', 'a stored shard is damaged and was dropped')
  const shared = { onCorrupt, pause: () => pause(clock, COMMIT_PAUSE_MS) }
  const { store, cache } = openLmdbStore({
    path: home.folder('shards'),
    quotaBytes: storeBytes,
    cacheBytes,
    ...shared,
  })
  const vaultStore =
    isNode && config.vaults
      ? openLmdbStore({ path: home.folder('vault'), quotaBytes: vaultBytes, cacheBytes: 0, ...shared }).store
      : undefined
  const pending = openLmdbStore({ path: home.folder('pending'), quotaBytes: PENDING_QUOTA_BYTES, cacheBytes: 0 }).store
  const records = openLmdbRecords({ path: home.folder('ledger'), pause: shared.pause })
  const keyLog = keyLogOfEnvironment()
  const dialFrom = dialFromOf(config)
  const proxy = proxyOf(config, networkId)
  if (proxy !== undefined && isNode)
    log('warn', 'past-the-proxy', { reason: 'links that others open to this node do not go through the proxy' })
  const transport = makeTransport({
    seed: bytesOf(identity.seed),
    networkId,
    clock,
    log,
    limits: linkBoundsOf(config),
    ...(dialFrom !== undefined && { dialFrom }),
    ...(keyLog && { keyLog }),
    ...(proxy && { proxy }),
    mayLookUp: config.anonymity === 'unsafe',
  })
  const node = new HushNode(
    {
      clock,
      jitter,
      random,
      log,
      state: openStateStore(home.folder('state')),
      transport,
      store,
      cache,
      pending,
      records,
      vaultStore,
    },
    {
      profile: profileOf(network),
      networkId,
      networkCreatedMs: network.createdMs,
      seeds: seedsOf(network),
      seed: bytesOf(identity.seed),
      ...(isNode && {
        node: {
          listen: config.listen ?? '',
          advertise: config.advertise,
          onionSeed: bytesOf(identity.onionSeed),
          nonce: identity.nonce,
          saveNonce: (nonce: number) =>
            home.write('identity.json', `${JSON.stringify({ ...identity, nonce }, null, 2)}\n`),
        },
      }),
      hasPrefixLimits: config.prefixLimits,
      hasCover: run.hasCover,
      readBackMs: pauseBeforeReadBackMs(config),
      linkLimits: { linksMax: config.links.max },
      ...(config.anonymity === 'strict' && proxy === undefined && { mayDial: isNumericAddress }),
      ...(config.uploadBytesPerSecond !== undefined && { uploadBytesPerSecond: config.uploadBytesPerSecond }),
    },
  )
  const metrics = makeMetrics({ withProcess: true })
  addNodeMetrics(metrics, { node, transport, store, cache })
  let stop: (how: { announce: boolean }) => void = () => {}
  const stopped = new Promise<{ announce: boolean }>((resolve) => {
    stop = resolve
  })
  const startedMs = clock.monotonicMs()
  const control = new ControlServer({
    node,
    log,
    network,
    metrics,
    version: programVersion(),
    pid: processId(),
    uptimeSeconds: () => (clock.monotonicMs() - startedMs) / 1_000,
    rssBytes: processRssBytes,
    nowMs: () => clock.nowMs(),
    storeUsage: () => store.usage(),
    cacheBytes: () => cache.usage().bytes,
    onStop: (how) => stop(how),
    openPorts: { random, jitter },
  })
  const closers: { close(): Promise<unknown> }[] = []
  const ignoreSignals = onStopSignal(() => stop({ announce: true }))
  let lost: HomeLostError | undefined
  const watchHome = (): void =>
    void clock.setTimer(HOME_CHECK_MS, () => {
      if (run.lock.isHeld()) return watchHome()
      lost = new HomeLostError(`the home ${home.path} was removed, or another process has it: this daemon ends`)
      log('error', 'home-lost', { reason: lost.message })
      // Unannounced, like a crash: if another process has the home it plays this very node.
      stop({ announce: false })
    })
  watchHome()
  try {
    await node.start()
    if (config.metrics !== undefined) closers.push(await serveMetrics(metrics, config.metrics))
    const socket: ControlSocket = await serveControl(home.path, {
      log,
      handler: (exchange) => control.handle(exchange),
    })
    closers.push(socket)
    log('info', 'started', { role: config.role, address: node.address })
    run.onReady?.()
    const { announce } = await stopped
    log('info', 'stopping', { announce })
    if (announce) {
      await Promise.race([node.leave(), pause(clock, LEAVE_MS_MAX)])
    }
    if (lost !== undefined) throw lost
    return 0
  } finally {
    ignoreSignals()
    for (const closer of closers) await closer.close()
    // The last state cannot be written where there is no home any more.
    await node.stop().catch((error: unknown) => {
      if (lost === undefined) throw error
    })
    await transport.close()
    await store.close()
    await vaultStore?.close()
    await pending.close()
    await records.close()
    log('info', 'stopped')
  }
}

/** What undoes anonymity here and is permitted. Throws UnsafeSettingError for what is not. */
function hazardsOf({ config, network }: HomeFiles): readonly Hazard[] {
  const settings = safetySettingsOf(config, network)
  const start = surroundings()
  const hazards = [...settingHazards(settings), ...processHazards(start), ...proxyVariableHazards(start, settings)]
  return judge(config.anonymity, hazards)
}

function readFiles(home: Home): HomeFiles {
  const read = (name: string, secret = false): string => {
    const text = home.readText(name, { secret })
    if (text !== undefined) return text
    throw new HomeStateError(`${home.path} has no ${name}`, { hint: 'make a home with: hush init' })
  }
  const network = parseNetwork(read('network.json'))
  return { network, config: parseConfig(read('config.json')), identity: parseIdentity(read('identity.json', true)) }
}
