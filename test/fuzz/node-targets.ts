/**
 * A whole member of the ring, with one link to somebody who may say anything: it closes the link or goes
 * on. Time stands still, and nobody else can be reached. SPEC links §2 to §4, requests §2 to §6
 */
import fc from 'fast-check'
import {
  CELL_SIZE,
  type Clock,
  concatBytes,
  type NodeId,
  PeerError,
  PROFILES,
  type PublicKey,
  UnavailableError,
} from '../../core/index.ts'
import { beginHandshake, exchangeKeyFromSeed, nodeIdOf, signingKeyFromSeed } from '../../crypto/index.ts'
import { HushNode } from '../../node/compose.ts'
import {
  COMMANDS,
  encodeAnnounce,
  encodeCall,
  encodeCreate,
  encodeDescriptor,
  encodeExchange,
  encodeRingGet,
  encodeRingPut,
  type Link,
  type LinkHandlers,
  MessageJoiner,
  splitMessage,
} from '../../routing/index.ts'
import { encodeContentRef, openMemoryRecords, openMemoryStore } from '../../storage/index.ts'
import { makeShard } from '../contract/shard.ts'
import { calls } from './message-targets.ts'
import { NETWORK, noiseOf, refBytes, Steps, signedDescriptor } from './shapes.ts'
import { FuzzFault, type Target } from './target.ts'

const NOW_MS = 1_000_000
const clock: Clock = { nowMs: () => NOW_MS, monotonicMs: () => NOW_MS, setTimer: () => ({ cancel: () => {} }) }
const random = {
  bytes: (size: number) => noiseOf(1, size),
  fill: (target: Uint8Array) => target.set(noiseOf(1, target.length)),
}
class Nowhere extends UnavailableError {
  readonly code = 'ERR_NOWHERE_FOR_TESTS'
}

const OWN_SEED = noiseOf(100, 32)
const ONION_SEED = noiseOf(101, 32)
const PEER_SEED = 200
const peerKey = signingKeyFromSeed(noiseOf(PEER_SEED, 32)).publicKey

interface World {
  readonly id: NodeId
  readonly announce: Uint8Array
  onLink(link: Link): void
}
const memberFaults: string[] = []
let world: Promise<World> | undefined

async function startMember(): Promise<World> {
  const rule = { networkId: NETWORK, puzzleBits: 0, nonce: 0 }
  const id = await nodeIdOf({ ...rule, publicKey: signingKeyFromSeed(OWN_SEED).publicKey })
  const peerId = await nodeIdOf({ ...rule, publicKey: peerKey })
  if (id === undefined || peerId === undefined) throw new Error('an id needs no work here')
  let accept: (link: Link) => void = () => {}
  const { store, cache } = openMemoryStore({ quotaBytes: 2 ** 22, cacheBytes: 2 ** 20 })
  const held = makeShard(1)
  await store.put({ ...held, leaseEndMs: NOW_MS + 1_000 })
  const node = new HushNode(
    {
      clock,
      jitter: { uint32: () => 7 },
      random,
      log: (level, event, fields) => {
        if (level === 'error') memberFaults.push(`${event}: ${fields?.reason}`)
      },
      state: { get: () => undefined, put: async () => {} },
      transport: {
        dial: async () => {
          throw new Nowhere('nobody')
        },
        listen: async (address, onLink) => {
          accept = onLink
          return { address, close: async () => {} }
        },
        close: async () => {},
      },
      store,
      cache,
      pending: openMemoryStore({ quotaBytes: 2 ** 20 }).store,
      records: openMemoryRecords(),
    },
    {
      profile: PROFILES.testnet,
      networkId: NETWORK,
      networkCreatedMs: 0,
      seeds: [],
      seed: OWN_SEED,
      node: { listen: '10.0.0.9:1', advertise: [], onionSeed: ONION_SEED, nonce: 0, saveNonce: async () => {} },
      readBackMs: { min: 0, max: 0 },
      hasPrefixLimits: true,
    },
  )
  await node.start()
  while (node.member === undefined) await turn()
  const announce = encodeAnnounce(encodeDescriptor(signedDescriptor(PEER_SEED, peerId, NOW_MS)))
  return { id, announce, onLink: (link) => accept(link) }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Our end of a link: what the node sends must be whole cells, and what it says can be joined. */
class Talk implements Link {
  readonly peerKey: PublicKey = peerKey
  readonly isDialer = false
  readonly queuedBytes = 0
  isClosed = false
  cellsCount = 0
  #handlers: LinkHandlers | undefined
  readonly #joiner = new MessageJoiner()
  start(handlers: LinkHandlers): void {
    this.#handlers = handlers
  }
  say(cell: Uint8Array): void {
    if (!this.isClosed) this.#handlers?.onCell(cell)
  }
  send(cell: Uint8Array): void {
    if (cell.length !== CELL_SIZE) throw new FuzzFault(memberLink, 'sends what is no cell')
    this.cellsCount++
    if (cell[4] === COMMANDS.message) this.#joiner.add(cell.subarray(5))
  }
  close(reason: string): void {
    if (this.isClosed) return
    this.isClosed = true
    this.#handlers?.onClose(reason)
  }
}

// What is said, one after the other: kind u8 (0 message, 1 cell, 2 a right announcement), size u16, bytes.
function said(kind: number, bytes: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of(kind, bytes.length >>> 8, bytes.length), bytes)
}
const SAID_MAX = 12
const rid = noiseOf(3, 8)
const whole = { from: 0, count: 16 }
const heldRef = encodeContentRef(makeShard(1).ref)
const ringMessages = fc.oneof(
  calls.map((call) => encodeCall(call.kind === 'ringState' ? { ...call, descriptors: [] } : call)),
  fc
    .tuple(
      fc.oneof(refBytes, fc.constant(heldRef)),
      fc.nat(8),
      fc.boolean(),
      fc.constantFrom(whole, { from: 3, count: 2 }),
    )
    .map(([ref, skip, isPastOwner, range]) => encodeRingGet(rid, { ref, skip, isPastOwner, range })),
  refBytes.map((ref) => encodeRingPut(rid, { ref, leaseDays: 1, nonce: noiseOf(2, 16), bytes: noiseOf(4, 50) })),
  fc
    .constant(encodeExchange({ want: [], give: [signedDescriptor(30, noiseOf(31, 32), NOW_MS)] }))
    .map((exchange) => concatBytes(Uint8Array.of(22), noiseOf(1, 4), exchange)),
  fc
    .constantFrom(10, 11, 12, 13, 20, 21, 22, 31, 34)
    .map((type) => concatBytes(Uint8Array.of(type), noiseOf(type, 40))),
)
const cells = fc.oneof(
  fc.constantFrom(1, 2, 3, 4, 5, 0).map((command) => Uint8Array.of(0, 0, 0, 1, command)),
  fc.constant(null).map(() => concatBytes(Uint8Array.of(0, 0, 0, 1, COMMANDS.create), createBody())),
)
function createBody(): Uint8Array {
  const onionKey = exchangeKeyFromSeed(ONION_SEED).publicKey
  // The id is that of `startMember`; computed there, since it takes a promise.
  const begun = beginHandshake({ networkId: NETWORK, relayId: knownId, hop: 1, onionKey, random })
  return encodeCreate({ hop: 1, message: begun?.message ?? new Uint8Array(1_313) })
}
let knownId = noiseOf(0, 32) as NodeId

const memberLink: Target = {
  name: 'member-link',
  covers: [
    'node/links.ts#LinkTable.accept',
    'node/compose.ts#HushNode.onMessage',
    'node/roles/relay.ts#Relay',
    'node/tasks/gossip.ts#Gossip.onMessage',
  ],
  valid: fc
    .array(
      fc.oneof(
        fc.constant(said(2, new Uint8Array(0))),
        ringMessages.map((message) => said(0, message)),
        cells.map((cell) => said(1, cell)),
      ),
      { minLength: 1, maxLength: 5 },
    )
    .map((list) => concatBytes(...list)),
  decode: async (bytes) => {
    world ??= startMember()
    const { announce, onLink, id } = await world
    knownId = id
    const link = new Talk()
    onLink(link)
    const steps = new Steps(bytes)
    for (let count = 0; steps.hasMore && count < SAID_MAX; count++) {
      const kind = steps.u8() % 3
      const part = steps.take(steps.u16())
      if (kind === 1) link.say(cellOf(part))
      else for (const cell of splitMessage(count, kind === 2 ? announce : part)) link.say(cell)
      await turn()
    }
    link.close('over')
    await turn()
    const fault = memberFaults.splice(0)[0]
    if (fault !== undefined) throw new FuzzFault(memberLink, `the node logs: ${fault}`)
    return link.cellsCount
  },
  permitted: [PeerError],
  tokens: ['\x01', '\x0a', '\x14', '\x15', '\x16', '\x1e', '\x23', '\x28', '\x2a'],
  runs: 60,
}

/** The part, and zeros up to a cell. */
function cellOf(part: Uint8Array): Uint8Array {
  const cell = new Uint8Array(CELL_SIZE)
  cell.set(part.subarray(0, CELL_SIZE))
  return cell
}

export const nodeTargets = [memberLink]
