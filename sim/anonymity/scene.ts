/**
 * A whole network in which users put objects and others get them, with a recorder at every node, and the
 * truth about who did what. All machines run the program as it is; whose recordings a hostile party would
 * have is decided afterwards (score.ts), since recorders change nothing. SPEC anonymity §1
 *
 * Users are nodes: they are who everybody knows of, so they are whom a guess can name.
 */
import { STRIPE_SIZE, shuffle, toHex } from '../../core/index.ts'
import {
  type ContentRef,
  encodeContentRef,
  type FetchContent,
  openObject,
  type PlaceShard,
  putObject,
  shardRef,
} from '../../storage/index.ts'
import { Chance } from '../chance.ts'
import { ringFault } from '../checks.ts'
import type { SimHost, Tamper } from '../host.ts'
import { CALM, SIM_PROFILE, SimNetwork } from '../network.ts'
import { isExpected } from '../workload.ts'
import type { World } from '../world.ts'
import { Recorder } from './recorder.ts'
import type { Member, Recording } from './recording.ts'
import type { Question } from './storers.ts'

/** What somebody needs to put a shard again. */
type PlacedShard = Pick<Parameters<PlaceShard>[0], 'ref' | 'bytes'>

export interface SceneWish {
  readonly seed: string
  readonly nodes: number
  /** Nodes that put and get, spread over the order of joining; the others keep circuits ready all the same. */
  readonly users: number
  readonly objects: number
  /** Over which objects are put, and got a little later. */
  readonly minutes: number
  /** Nodes are vaults, as they are unless their homes say otherwise. */
  readonly hasVaults: boolean
  /** Puts are held by gateways, and nobody gets anything. */
  readonly hold?: 'minutes' | 'long'
  /** Contents that the hostile party has and puts again and again, to see which circuits wake; 0: it only looks. */
  readonly asked: number
}

/** One put or get, as it really was. */
export interface Deed {
  readonly kind: 'get' | 'put'
  /** Key of the user. */
  readonly who: string
  readonly object: number
  readonly fromMs: number
  readonly untilMs: number
  /** What was asked for or brought, in hex. */
  readonly asked: readonly string[]
}

/** Where a content's bytes really lie: a line of which vault. */
export interface Stored {
  readonly ref: string
  readonly vault: string
}

/** An object as its address tells: every name that belongs to it, by stripe; the last are the copies of the root. */
export interface Target {
  readonly object: number
  readonly stripes: readonly (readonly string[])[]
}

export interface Scene {
  readonly recordings: readonly Recording[]
  readonly members: readonly Member[]
  readonly deeds: readonly Deed[]
  readonly targets: readonly Target[]
  /** Keys of the keepers that hold a name's bytes themselves. */
  readonly holders: ReadonlyMap<string, readonly string[]>
  /** Each place of each name that lies with vaults. */
  readonly stored: readonly Stored[]
  readonly questions: readonly Question[]
  /** When users were done, and the hostile party began to put contents again. */
  readonly untilMs: number
  readonly failed: number
  readonly simulatedSeconds: number
  readonly events: number
}

const MINUTE_MS = 60_000
const START_MS_MAX = 12 * MINUTE_MS
const READ_AFTER_MS = { min: 20_000, max: MINUTE_MS }
const END_MS_MAX = 5 * MINUTE_MS
/** No put is held longer than so many mean times. */
const HELD_MEANS_MAX = 10
/** Of a node whose user does nothing. */
const IDLE_GATEWAYS = 1
/** Each content is asked for so often, at random times of so many minutes, by a client of the hostile party's own. */
const QUESTIONS = 6
const QUESTIONS_MS = 4 * MINUTE_MS

/** `also`: a further tap at each node. */
export async function runScene(wish: SceneWish, also?: (world: World) => Tamper): Promise<Scene> {
  const recorders: Recorder[] = []
  const network = new SimNetwork({
    seed: seedOf(wish.seed),
    nodes: wish.nodes,
    clients: wish.asked > 0 ? 1 : 0,
    ...CALM,
    hasVaults: wish.hasVaults,
    tap: (transport, host) => {
      if (host.isClient) return transport
      const recorder = new Recorder(network.world, host)
      recorders.push(recorder)
      return recorder.wrap(also?.(network.world)(transport, host) ?? transport)
    },
    nodeGateways: (place) => (isUser(place, wish) ? SIM_PROFILE.gateways : IDLE_GATEWAYS),
  })
  const { world } = network
  await network.start()
  const using = (): SimHost[] => network.nodes.filter((_, place) => isUser(place, wish))
  await begin(network, wish, using)
  const users = new Users(network, using(), new Chance(`users ${wish.seed}`))
  users.plan(wish)
  const heldMs = wish.hold === undefined ? 0 : HELD_MEANS_MAX * SIM_PROFILE.holdMeanMs[wish.hold]
  const endMs = world.nowMs + wish.minutes * MINUTE_MS + READ_AFTER_MS.max + heldMs
  await world.run(() => (world.nowMs > endMs && users.running === 0) || world.nowMs > endMs + END_MS_MAX)
  const untilMs = world.nowMs
  const questions = await askAgain(network, users.sample, new Chance(`asked ${wish.seed}`), wish.asked)
  return {
    recordings: recorders,
    members: network.nodes.map(({ identity }) => ({ key: toHex(identity.publicKey), id: toHex(identity.id) })),
    deeds: users.deeds,
    targets: users.targets,
    holders: holdersOf(network, users.targets),
    stored: storedOf(network, users.targets),
    questions,
    untilMs,
    failed: users.failed,
    simulatedSeconds: Math.round(world.nowMs / 1_000),
    events: world.count,
  }
}

/** Until there is one ring, every user has its circuits, and every vault its lines. */
async function begin(network: SimNetwork, wish: SceneWish, using: () => readonly SimHost[]): Promise<void> {
  const { world } = network
  // A small network has fewer gateways than are wanted: a node itself and its guard are none.
  const circuits = Math.min(SIM_PROFILE.gateways, network.nodes.length - 4) - 1
  let nextMs = 150_000
  await world.run(() => {
    if (world.nowMs < nextMs) return false
    nextMs = world.nowMs + 5_000
    const late = [...using(), ...network.clients].find((host) => (host.node?.pool.ready.length ?? 0) < circuits)
    const lone = wish.hasVaults ? network.nodes.find((host) => !hasLines(host)) : undefined
    // A client that does not know a keeper yet does not take its receipt, and asks again through others.
    const lost = using().find((host) => (host.node?.view.size ?? 0) < network.nodes.length)
    const fault =
      ringFault(network) ??
      (late && `${late.name} lacks circuits`) ??
      (lone && `${lone.name} lacks lines`) ??
      (lost && `${lost.name} lacks members`)
    if (fault !== undefined && world.nowMs > START_MS_MAX) throw new Error(`the network does not begin: ${fault}`)
    return fault === undefined
  })
}

function hasLines({ node }: SimHost): boolean {
  const lines = node?.member?.vaulting?.lines
  return lines !== undefined && lines.count > 0 && lines.keepers.length === lines.count
}

function isUser(place: number, { nodes, users }: SceneWish): boolean {
  return Math.floor((place * users) / nodes) !== Math.floor(((place - 1) * users) / nodes)
}

class Users {
  readonly deeds: Deed[] = []
  readonly targets: Target[] = []
  /** One content of each object, that somebody could put again. */
  readonly sample: PlacedShard[] = []
  failed = 0
  running = 0
  readonly #network: SimNetwork
  readonly #hosts: readonly SimHost[]
  readonly #chance: Chance

  constructor(network: SimNetwork, hosts: readonly SimHost[], chance: Chance) {
    this.#network = network
    this.#hosts = hosts
    this.#chance = chance
  }

  plan({ objects, minutes, hold }: SceneWish): void {
    const { world } = this.#network
    for (let object = 0; object < objects; object++) {
      world.after(this.#chance.between(0, minutes * MINUTE_MS), () => {
        const author = this.#chance.pick(this.#hosts)
        const reader = this.#chance.pick(this.#hosts.filter((host) => host !== author))
        this.running++
        this.#live(object, { author, reader, hold }).finally(() => {
          this.running--
        })
      })
    }
  }

  /** One object's life: put by one, got once by another, unless it is held. */
  async #live(
    object: number,
    { author, reader, hold }: { author: SimHost; reader: SimHost; hold: SceneWish['hold'] },
  ): Promise<void> {
    try {
      const address = await this.#put(object, author, hold)
      if (hold !== undefined) return
      await this.#network.world.sleep(this.#chance.between(READ_AFTER_MS.min, READ_AFTER_MS.max))
      await this.#get(object, reader, address)
    } catch (error) {
      if (!isExpected(error)) throw error
      this.failed++
    }
  }

  async #put(object: number, host: SimHost, hold: SceneWish['hold']) {
    const { client } = nodeOf(host)
    const { world } = this.#network
    const fromMs = world.nowMs
    // One full stripe, so that all objects tell alike.
    const content = this.#chance.bytes(STRIPE_SIZE - this.#chance.below(1_000))
    const stripes = new Map<number, string[]>()
    const place: PlaceShard = async (shard) => {
      const names = stripes.get(shard.stripe) ?? []
      stripes.set(shard.stripe, names)
      names.push(nameOf(shard.ref))
      if (names.length === 1 && stripes.size === 1) this.sample.push({ ref: shard.ref, bytes: shard.bytes.slice() })
      return through(shard)
    }
    const through = client.placer(hold)
    const source = (async function* () {
      yield content
    })()
    const { address } = await putObject({ source, kind: 'private' }, { random: this.#chance, place })
    const target = { object, stripes: [...stripes.values()] }
    this.targets.push(target)
    this.deeds.push({ kind: 'put', ...this.#told(object, host, fromMs), asked: target.stripes.flat() })
    return address
  }

  async #get(object: number, host: SimHost, address: Parameters<typeof openObject>[0]): Promise<void> {
    const { client } = nodeOf(host)
    const fromMs = this.#network.world.nowMs
    const asked: string[] = []
    const through = client.fetcher()
    const fetch: FetchContent = (ref, wish) => {
      asked.push(nameOf(ref))
      return through(ref, wish)
    }
    const opened = await openObject(address, { fetch, jitter: this.#chance })
    for await (const _part of opened.read());
    this.deeds.push({ kind: 'get', ...this.#told(object, host, fromMs), asked })
  }

  #told(object: number, host: SimHost, fromMs: number) {
    return { object, who: toHex(host.identity.publicKey), fromMs, untilMs: this.#network.world.nowMs }
  }
}

function nodeOf(host: SimHost) {
  if (host.node === undefined) throw new Error(`${host.name} is down`)
  return host.node
}

function nameOf(ref: ContentRef): string {
  return toHex(encodeContentRef(ref))
}

/** The contents that are put again while nobody else does anything, and when each time began and ended. */
async function askAgain(
  network: SimNetwork,
  sample: readonly PlacedShard[],
  chance: Chance,
  count: number,
): Promise<Question[]> {
  const { world } = network
  const [host] = network.clients
  const questions: Question[] = []
  if (host === undefined) return questions
  const place = nodeOf(host).client.placer()
  const { signal } = new AbortController()
  let [running, stripe] = [0, 0]
  const ask = async (shard: PlacedShard): Promise<void> => {
    const fromMs = world.nowMs
    try {
      await place({ ...shard, stripe: stripe++, final: false, signal })
      questions.push({ ref: nameOf(shard.ref), fromMs, untilMs: world.nowMs })
    } catch (error) {
      if (!isExpected(error)) throw error
    } finally {
      running--
    }
  }
  const startMs = world.nowMs
  for (const shard of shuffle(chance, sample).slice(0, count)) {
    for (let time = 0; time < QUESTIONS; time++) {
      running++
      world.after(chance.between(0, QUESTIONS_MS), () => void ask(shard))
    }
  }
  await world.run(() => running === 0 || world.nowMs > startMs + QUESTIONS_MS + END_MS_MAX)
  return questions
}

/** Which vault has each place of each content, by all disks. */
function storedOf(network: SimNetwork, targets: readonly Target[]): Stored[] {
  const wanted = new Set(targets.flatMap(({ stripes }) => stripes.flat()))
  const stored = new Map<string, Stored>()
  for (const host of network.nodes) {
    if (host.vaultDisk === undefined) continue
    for (const { ref, pointer } of host.disk.pointers.list({ limit: Number.MAX_SAFE_INTEGER })) {
      const name = nameOf(ref)
      if (!wanted.has(name)) continue
      for (const { root } of pointer.places) {
        const vault = network.nodes.find(({ vaultDisk }) => vaultDisk?.holds(shardRef(root)))
        if (vault !== undefined) stored.set(toHex(root), { ref: name, vault: toHex(vault.identity.publicKey) })
      }
    }
  }
  return [...stored.values()]
}

/** Who really has each content on its disk. */
function holdersOf(network: SimNetwork, targets: readonly Target[]): Map<string, string[]> {
  const wanted = new Set(targets.flatMap(({ stripes }) => stripes.flat()))
  const holders = new Map<string, string[]>()
  for (const host of network.nodes) {
    for (const ref of host.disk.refs()) {
      const name = nameOf(ref)
      if (wanted.has(name)) holders.set(name, [...(holders.get(name) ?? []), toHex(host.identity.publicKey)])
    }
  }
  return holders
}

function seedOf(text: string): number {
  return new Chance(text).uint32()
}
