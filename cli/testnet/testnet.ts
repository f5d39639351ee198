/**
 * A whole network of real processes on this machine: making it, watching it, adding to it, ending it.
 * Every process is a daemon in a home of its own below one folder. SPEC overview §4 (profile testnet)
 */
import { mkdir, readdir, rm, rmdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { HushError, PROFILES } from '../../core/index.ts'
import { connectControl, type RingReport, type Status } from '../../node/control/index.ts'
import { endDaemon, findDaemon, spawnDaemon, waitForDaemon } from '../daemon-process.ts'
import { AlreadyRunningError, LocalFileError, reasonOf, systemCodeOf, TooSlowError, UsageError } from '../errors.ts'
import { countText } from '../render/text.ts'
import type { Overrides, World } from '../world.ts'
import { nodeAddress, planAddresses } from './addresses.ts'
import { type Member, RECORD_NAME, readRecord, type TestnetRecord, writeRecord } from './record.ts'
import { ringFaults } from './ring.ts'

export const NODES_MIN = 8
export const NODES_MAX = 64
const SEED_COUNT = PROFILES.testnet.successors + 1
/** Starting a process costs about half a second of one core. */
const STARTS_AT_ONCE = 4
const STOPS_AT_ONCE = 8
const START_WAIT_MS = 30_000
const READY_WAIT_MS = 60_000
const FULL_POOL_WAIT_MS = 15_000
const POLL_EVERY_MS = 250
const END_BOUNDS = { politelyMs: 10_000, termMs: 5_000 }

export interface Work {
  readonly world: World
  /** Absolute. */
  readonly folder: string
  readonly note: (text: string) => void
  readonly signal: AbortSignal
  /** Homes are made with `anonymity` "unsafe". SPEC safety §1 */
  readonly isUnsafe?: boolean
}

export interface Sight {
  readonly member: Member
  readonly isAlive: boolean
  readonly status: Status | undefined
  readonly ring: RingReport | undefined
}

/** Makes and starts a testnet, and waits until it is ready. On any failure its processes are ended. */
export async function startTestnet(
  work: Work,
  { nodeCount, hasVaults }: { readonly nodeCount: number; readonly hasVaults: boolean },
): Promise<Sight[]> {
  await claimFolder(work.folder)
  const plan = await planAddresses(nodeCount)
  if (plan.kind === 'shared') {
    work.note('this system has one loopback address only: nodes differ by port, and limits on prefixes are off')
  }
  const nodes = Array.from({ length: nodeCount }, (_, index) => newNode(work.folder, index, nodeAddress(plan, index)))
  const clients = ['client-a', 'client-b'].map(
    (name): Member => ({
      name,
      role: 'client',
      home: join(work.folder, name),
      address: undefined,
      pid: undefined,
    }),
  )
  const record: TestnetRecord = { version: 1, plan, hasVaults, members: [...nodes, ...clients] }
  await writeRecord(work.folder, record)
  try {
    await makeHomes(work, record)
    work.note(`starting ${nodeCount} nodes and ${clients.length} clients`)
    const started = await startAll(work, record, record.members)
    return await waitUntil(work, started, isReady, 'the testnet was not ready')
  } catch (error) {
    await stopTestnet({ ...work, signal: NEVER }).catch(() => undefined)
    throw error
  }
}

/** Starts what `down` has left, as it was; its files are all there. */
export async function restartTestnet(work: Work): Promise<Sight[]> {
  const record = await readRecord(work.folder)
  await checkNoneRuns(work.folder, record)
  try {
    work.note(`starting ${record.members.length} processes again`)
    const started = await startAll(work, record, record.members)
    return await waitUntil(work, started, isReady, 'the testnet was not ready')
  } catch (error) {
    await stopTestnet({ ...work, signal: NEVER }).catch(() => undefined)
    throw error
  }
}

/** Adds one node to a running testnet and waits until it is in the ring. */
export async function addNode(work: Work): Promise<{ member: Member; sights: Sight[] }> {
  const record = await readRecord(work.folder)
  const nodes = record.members.filter((member) => member.role === 'node')
  const index = 1 + Math.max(...nodes.map((node) => Number(node.name.slice('node-'.length))))
  if (index >= NODES_MAX) throw new UsageError(`a testnet has at most ${NODES_MAX} nodes`)
  const member = newNode(work.folder, index, nodeAddress(record.plan, index))
  const homes = await work.world.homes()
  const network = await homes.readNetwork(join(work.folder, 'node-00'))
  await homes.createHome({
    home: member.home,
    network,
    role: 'node',
    ...listenOf(member),
    ...overridesOf(work, record),
  })
  const grown = { ...record, members: [...nodes, member, ...record.members.filter((other) => other.role === 'client')] }
  await writeRecord(work.folder, grown)
  const started = await startAll(work, grown, [member])
  const sights = await waitUntil(work, started, isOneRing, `${member.name} was not in the ring`)
  return { member: started.members.find((other) => other.name === member.name) ?? member, sights }
}

/** What every process of the testnet says of itself now. */
export async function observe(record: TestnetRecord): Promise<Sight[]> {
  return inParallel(record.members, STOPS_AT_ONCE, async (recorded): Promise<Sight> => {
    const pid = await findDaemon(recorded)
    if (pid === undefined) return { member: recorded, isAlive: false, status: undefined, ring: undefined }
    const member = { ...recorded, pid }
    const control = connectControl(member.home)
    const [status, ring] = await Promise.all([
      control.status().catch(() => undefined),
      member.role === 'node' ? control.ring().catch(() => undefined) : undefined,
    ])
    return { member, isAlive: true, status, ring }
  })
}

/** Ends every process of the testnet; the record stays for the next start. Nobody is left, or ERR_TOO_SLOW. */
export async function stopTestnet(work: Work): Promise<number> {
  const record = await readRecord(work.folder)
  const failures: unknown[] = []
  let stopped = 0
  await inParallel(record.members, STOPS_AT_ONCE, async (member) => {
    const pid = await findDaemon(member)
    if (pid === undefined) return
    await endDaemon({ pid, home: member.home }, END_BOUNDS).then(
      () => stopped++,
      (error: unknown) => failures.push(error),
    )
  })
  if (failures.length > 0) throw failures[0]
  const members = record.members.map((member) => ({ ...member, pid: undefined }))
  await writeRecord(work.folder, { ...record, members })
  return stopped
}

/** Removes the homes that a testnet made, and its folder if nothing else is in it. */
export async function removeHomes(folder: string, record: TestnetRecord): Promise<void> {
  try {
    for (const member of record.members) await rm(join(folder, member.name), { recursive: true, force: true })
    await unlink(join(folder, RECORD_NAME))
    await rmdir(folder)
  } catch (cause) {
    if (systemCodeOf(cause) === 'ENOTEMPTY') return
    throw new LocalFileError(`cannot remove ${folder}: ${reasonOf(cause)}`, { cause })
  }
}

/** What a ring is judged by: every node whose process lives. */
export function ringSights(sights: readonly Sight[]) {
  return sights
    .filter((sight) => sight.isAlive && sight.member.role === 'node')
    .map((sight) => ({ name: sight.member.name, report: sight.ring }))
}

/** Judgements are lists of what is missing still; an empty one means yes. */
type Judge = (sights: readonly Sight[], waitedMs: number) => string[]

const isOneRing = (sights: readonly Sight[]): string[] => ringFaults(ringSights(sights))

/** One ring, everyone knows everyone, and the clients have their circuits. */
const isReady: Judge = (sights, waitedMs) => {
  const missing = sights.filter((sight) => !sight.isAlive).map((sight) => `${sight.member.name} has ended`)
  missing.push(...isOneRing(sights))
  const nodeCount = sights.filter((sight) => sight.isAlive && sight.member.role === 'node').length
  for (const { member, status, isAlive } of sights) {
    if (!isAlive) continue
    if (status === undefined) missing.push(`${member.name} does not answer`)
    else if (status.view.members < (member.role === 'node' ? nodeCount - 1 : nodeCount)) {
      missing.push(`${member.name} knows ${status.view.members} of ${nodeCount} nodes`)
    } else if (member.role === 'client' && !hasCircuits(status, waitedMs))
      missing.push(`${member.name} has ${status.circuits.ready} of ${status.circuits.wanted} circuits`)
  }
  return missing
}

/** A full pool; after a while any circuit will do, since more are built as they are needed. */
function hasCircuits({ circuits }: Status, waitedMs: number): boolean {
  return circuits.ready > 0 && (circuits.ready >= circuits.wanted || waitedMs > FULL_POOL_WAIT_MS)
}

async function waitUntil(work: Work, record: TestnetRecord, judge: Judge, what: string): Promise<Sight[]> {
  const startMs = performance.now()
  for (;;) {
    work.signal.throwIfAborted()
    const sights = await observe(record)
    const waitedMs = performance.now() - startMs
    const missing = judge(sights, waitedMs)
    if (missing.length === 0) return sights
    if (waitedMs > READY_WAIT_MS) {
      for (const line of missing.slice(0, 10)) work.note(line)
      throw new TooSlowError(`${what} within ${READY_WAIT_MS / 1000} s`, {
        hint: `see the logs: ${join(work.folder, 'node-00', 'daemon.log')} and so on`,
      })
    }
    await sleep(POLL_EVERY_MS)
  }
}

/** Throws ERR_ALREADY_RUNNING. */
async function checkNoneRuns(folder: string, record: TestnetRecord): Promise<void> {
  const running = (await observe(record)).filter(({ isAlive }) => isAlive).length
  if (running === 0) return
  throw new AlreadyRunningError(
    `the testnet in ${folder} is running: ${running} of its ${countText(record.members.length, 'process', 'processes')}`,
    { hint: `end it with: hush testnet down --dir ${folder}` },
  )
}

async function claimFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const found = await readdir(folder)
    if (found.length === 0) return
    if (found.includes(RECORD_NAME)) {
      await checkNoneRuns(folder, await readRecord(folder))
      throw new UsageError(`a testnet is in ${folder} already`, {
        hint: `start it again with: hush testnet up --dir ${folder}`,
      })
    }
  } catch (cause) {
    if (cause instanceof HushError) throw cause
    throw new LocalFileError(`cannot use ${folder}: ${reasonOf(cause)}`, { cause })
  }
  throw new UsageError(`${folder} is not empty`, { hint: 'name a new folder with --dir' })
}

/** The first seven are the network's seeds; everyone else joins by invite, as on any network. */
async function makeHomes(work: Work, record: TestnetRecord): Promise<void> {
  const { members } = record
  const homes = await work.world.homes()
  const seeds = members.slice(0, SEED_COUNT)
  const network = await homes.createNetwork({
    profile: 'testnet',
    seeds: seeds.map((seed) => ({ home: seed.home, listen: seed.address ?? '' })),
    ...overridesOf(work, record),
  })
  const invite = homes.makeInvite(network)
  for (const member of members.slice(SEED_COUNT)) {
    work.signal.throwIfAborted()
    const joined = homes.parseInvite(invite)
    await homes.createHome({
      home: member.home,
      network: joined,
      role: member.role,
      ...listenOf(member),
      ...overridesOf(work, record),
    })
  }
}

/** Starts some members of a record, writing each process id down before the next step. */
async function startAll(work: Work, record: TestnetRecord, members: readonly Member[]): Promise<TestnetRecord> {
  let current = record
  let writing: Promise<void> = Promise.resolve()
  await inParallel(members, STARTS_AT_ONCE, async (member) => {
    work.signal.throwIfAborted()
    const daemon = await spawnDaemon(work.world, member.home)
    const withPid = (other: Member) => (other.name === member.name ? { ...other, pid: daemon.pid } : other)
    current = { ...current, members: current.members.map(withPid) }
    writing = writing.then(() => writeRecord(work.folder, current))
    await writing
    const onLogLine = (line: string) => work.note(`${member.name}: ${line}`)
    await waitForDaemon(daemon, { waitMs: START_WAIT_MS, onLogLine, signal: work.signal })
  })
  await writing
  return current
}

function newNode(folder: string, index: number, address: string): Member {
  const name = `node-${String(index).padStart(2, '0')}`
  return { name, role: 'node', home: join(folder, name), address, pid: undefined }
}

function listenOf(member: Member): { listen?: string } {
  return member.address === undefined ? {} : { listen: member.address }
}

/** Nodes that share one address would all fall to the limits on prefixes. */
function overridesOf({ isUnsafe }: Work, { plan, hasVaults }: TestnetRecord): { overrides: Overrides } {
  return {
    overrides: {
      ...(plan.kind === 'shared' && { prefixLimits: false }),
      ...(isUnsafe === true && { anonymity: 'unsafe' }),
      ...(!hasVaults && { vaults: false }),
    },
  }
}

/** Runs `work` over all items, `width` at a time; waits for all of them, then throws the first failure. */
async function inParallel<Item, Result>(
  items: readonly Item[],
  width: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = new Array(items.length)
  const failures: unknown[] = []
  const rest = [...items.entries()]
  const lane = async () => {
    for (let next = rest.shift(); next !== undefined && failures.length === 0; next = rest.shift()) {
      const [index, item] = next
      try {
        results[index] = await work(item)
      } catch (error) {
        failures.push(error)
      }
    }
  }
  await Promise.all(Array.from({ length: width }, lane))
  if (failures.length > 0) throw failures[0]
  return results
}

const NEVER = new AbortController().signal
