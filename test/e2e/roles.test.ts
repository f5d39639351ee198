/**
 * What each role sees. Real processes; their traffic is recorded below TLS and opened with their key log, then
 * searched together with logs and disks. The object's own keys and names come from the disks and the address,
 * as its publisher knows them. docs/threat-model.md
 */
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Jitter, LAYER_SIZE, toHex } from '../../core/index.ts'
import { aesCtr, hkdf, LABELS, signingKeyFromSeed } from '../../crypto/index.ts'
import { type Cell, COMMANDS } from '../../routing/index.ts'
import { type ContentRef, encodeContentRef, locationOf, parseAddress } from '../../storage/index.ts'
import { Disks } from './support/disks.ts'
import { addressOf } from './support/hush.ts'
import { Net } from './support/net.ts'
import {
  commonRuns,
  filesBelow,
  found,
  type Member,
  type Needles,
  readSides,
  type Side,
  seedsOf,
  spelled,
} from './support/roles.ts'
import { startCapture } from './support/wire.ts'

const NODES = 9
const SETUP_MS = 300_000
/** Where testnets choose their port. */
const PORTS = '20000-28999'
const MARKER = 'nobody but the two clients may ever read this line; '
const FILE_NAME = 'a-name-that-is-nobodys-business.txt'
const FILE = Buffer.from(MARKER.repeat(2_000))
/** Types of link messages that carry a reference. SPEC requests §2, §6 */
const MESSAGE = {
  rget: 30,
  rdata: 31,
  rnone: 32,
  rbusy: 33,
  rwait: 34,
  rput: 35,
  rstored: 36,
  copy: 40,
  have: 42,
  prove: 44,
  pointer: 46,
} as const
const RGET_SIZE = 1 + 8 + 34 + 3
const SHARD_SAMPLE = { from: 20_000, size: 32 }
const jitter: Jitter = { uint32: () => Math.floor(Math.random() * 2 ** 32) }

let scratch: string
let net: Net
let members: Member[]
let sides: Side[]
let refs: ContentRef[]
let shards: Uint8Array[]
/** Known to the two clients alone. */
let secrets: Needles
/** Ids and locations of all shards and root copies. */
let places: Needles
/** Pieces of the masked shards. */
let pieces: Needles

const isClient = (name: string) => name.startsWith('client')
const fromOrTo = (name: string) => (side: Side) => side.from === name || side.to === name
const relayCells = (of: readonly Side[]): Cell[] =>
  of.flatMap(({ cells }) => cells.filter(({ command }) => command === COMMANDS.relay))
const whole = (cells: readonly Cell[]): Uint8Array => Buffer.concat(cells.map(({ body }) => body))
const messagesOf = (of: readonly Side[], ...types: number[]) =>
  of.flatMap((side) =>
    side.messages.filter((message) => types.includes(message[0] ?? 0)).map((message) => ({ side, message })),
  )
const nodeSides = () => sides.filter(({ from, to }) => !isClient(from) && !isClient(to))

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'hush-roles-'))
  const capture = join(scratch, 'links.pcap')
  const keyLog = join(scratch, 'keys.log')
  const recording = await startCapture(capture, PORTS)
  // Every daemon that the testnet starts inherits it.
  process.env.HUSH_KEY_LOG = keyLog
  net = await Net.start(NODES, '--unsafe')
  delete process.env.HUSH_KEY_LOG
  const put = await net.as('client-a', ['put', '-', '--name', FILE_NAME], FILE)
  const address = addressOf(put)
  const got = await net.as('client-b', ['get', address, '-o', '-'])
  expect(got.stderr + got.code).toBe('0')
  expect(got.stdout.equals(FILE)).toBe(true)
  await recording.stop()

  members = [...(await net.members())]
  const record = JSON.parse(await readFile(join(net.dir, 'testnet.json'), 'utf8'))
  const port: number = record.plan.basePort
  sides = await readSides({ capture, keyLog, port }, members)
  await learn(address)
}, SETUP_MS)
afterAll(async () => {
  delete process.env.HUSH_KEY_LOG
  await net?.end()
  await rm(scratch, { recursive: true, force: true })
}, SETUP_MS)

/** What there is to look for. */
async function learn(text: string): Promise<void> {
  const disks = new Disks(members.filter(({ role }) => role === 'node').map(({ home }) => home))
  const address = parseAddress(text)
  if (address.kind !== 'private') throw new Error('not a private address')
  const stripes = await disks.stripesOf(text, jitter)
  refs = stripes.flatMap((stripe) => stripe.refs)
  shards = stripes
    .filter(({ refs }) => refs[0]?.kind === 'shard')
    .flatMap(({ refs }) => refs.map((ref) => disks.read(ref) ?? new Uint8Array()))
  const root = disks.read({ kind: 'root', id: address.locator, copy: 0 })
  await disks.close()
  if (root === undefined) throw new Error('no root on the disks')
  const plainRoot = aesCtr(hkdf({ secret: address.key, label: LABELS.rootKey, length: 32 }), root)
  // SPEC dispersal §5: the object key stands at 24.
  const objectKey = plainRoot.slice(24, 56)
  const [a, b] = await Promise.all(['client-a', 'client-b'].map((name) => seedsOf(net.home(name))))
  secrets = {
    'the address': Buffer.from(text),
    'the address without its prefix': Buffer.from(text.slice('hush:'.length, -1)),
    'the key of the address': address.key,
    'the root key': hkdf({ secret: address.key, label: LABELS.rootKey, length: 32 }),
    'the object key': objectKey,
    'the data key': hkdf({ secret: objectKey, label: LABELS.dataKey, length: 32 }),
    'the repair key': hkdf({ secret: objectKey, label: LABELS.repairKey, length: 32 }),
    'the file': Buffer.from(MARKER),
    "the file's name": Buffer.from(FILE_NAME),
    "the file's hash": createHash('sha256').update(FILE).digest(),
    "client-a's seed": a?.seed ?? new Uint8Array(),
    "client-a's onion seed": a?.onionSeed ?? new Uint8Array(),
    "client-b's seed": b?.seed ?? new Uint8Array(),
    "client-b's onion seed": b?.onionSeed ?? new Uint8Array(),
  }
  // The file's name stands in the root: what is derived from it is right.
  expect(found(plainRoot, secrets)).toEqual(['the object key', "the file's name"])
  places = Object.fromEntries(
    refs.flatMap((ref, i) => [
      [`id ${i}`, ref.id],
      [`location ${i}`, locationOf(ref)],
    ]),
  )
  pieces = Object.fromEntries(
    [...shards, root].map((bytes, i) => [
      `shard ${i}`,
      bytes.slice(SHARD_SAMPLE.from, SHARD_SAMPLE.from + SHARD_SAMPLE.size),
    ]),
  )
}

describe('the record', () => {
  it('opens, holds every role, and would show what the searches look for', () => {
    expect(refs.length).toBe(10 + 8)
    expect(shards.every(({ length }) => length === 63_488)).toBe(true)
    // Each node had links, and both clients.
    for (const { name } of members) expect(sides.filter(fromOrTo(name)).length, name).toBeGreaterThan(0)
    // Most shards crossed some link between nodes as requests, and are found by their bytes: to vaults they go wrapped.
    const ring = nodeSides().flatMap(({ messages }) => messages)
    const seen = (needles: Needles) => new Set(ring.flatMap((message) => found(message, needles)))
    expect(seen(pieces).size).toBeGreaterThan(Object.keys(pieces).length / 2)
    expect(seen(places).size).toBeGreaterThanOrEqual(refs.length)
    expect(relayCells(sides).length).toBeGreaterThan(3 * refs.length * 8)
  })
})

describe('a link', () => {
  it('carries messages of whole cells, empty pings, and nothing else', () => {
    expect(sides.flatMap(({ faults }) => faults)).toEqual([])
    expect(sides.reduce((sum, { cells }) => sum + cells.length, 0)).toBeGreaterThan(1_000)
  })

  it('shows none of the secrets, inside TLS or outside', () => {
    const sought = spelled(secrets)
    for (const { from, to, plain, raw, messages } of sides) {
      const holds = [plain, raw, ...messages].flatMap((bytes) => found(bytes, sought))
      expect(holds, `${from} to ${to}`).toEqual([])
    }
  })

  it('shows no place and no piece of a shard to who sees only its outside', () => {
    for (const { raw } of sides) expect(found(raw, { ...places, ...pieces })).toEqual([])
  })
})

describe('the guard', () => {
  it('is all that a client speaks to, with its standby', () => {
    for (const client of ['client-a', 'client-b']) {
      const peers = new Set(sides.filter(fromOrTo(client)).map(({ from, to }) => (from === client ? to : from)))
      console.info(`${client} had links with ${[...peers].sort().join(', ')}`)
      // Until it has chosen its guards a new client asks its seeds who is there.
      const withCircuits = new Set(
        sides
          .filter(({ from, cells }) => from === client && cells.some(({ command }) => command === COMMANDS.relay))
          .map(({ to }) => to),
      )
      expect(withCircuits.size).toBe(1)
    }
  })

  it('sees no address, place or content', () => {
    for (const { from, to, plain, messages } of sides.filter(({ from, to }) => isClient(from) || isClient(to))) {
      const holds = [plain, ...messages].flatMap((bytes) => found(bytes, { ...places, ...pieces }))
      expect(holds, `${from} to ${to}`).toEqual([])
    }
  })

  it('is asked nothing by a client outside of circuits that tells what for', () => {
    const asked = messagesOf(
      sides.filter(({ from }) => isClient(from)),
      ...Object.values(MESSAGE),
    )
    expect(asked).toEqual([])
  })
})

describe('the middle', () => {
  it('passes circuits on whose cells show no place, no content and neither end', async () => {
    const cells = relayCells(nodeSides())
    expect(cells.length).toBeGreaterThan(0)
    const ends = Object.fromEntries(
      await Promise.all(
        members.map(
          async ({ name, home }) =>
            [`the key of ${name}`, signingKeyFromSeed((await seedsOf(home)).seed).publicKey] as const,
        ),
      ),
    )
    expect(found(whole(cells), { ...places, ...pieces, ...ends })).toEqual([])
  })
})

describe('the gateway', () => {
  it('gets requests in onion cells, and shows places to the ring only', () => {
    expect(found(whole(relayCells(sides)), { ...places, ...pieces })).toEqual([])
    for (const { from, to, messages } of nodeSides())
      for (const message of messages) {
        if (found(message, { ...places, ...pieces }).length === 0) continue
        expect(Object.values(MESSAGE), `a message of type ${message[0]} from ${from} to ${to}`).toContain(message[0])
      }
  })

  it('does not learn the client: no link of a node with another node shows its key', async () => {
    for (const client of ['client-a', 'client-b']) {
      const key = signingKeyFromSeed((await seedsOf(net.home(client))).seed).publicKey
      const holds = nodeSides().flatMap(({ plain, messages }) =>
        [plain, ...messages].flatMap((bytes) => found(bytes, { key })),
      )
      expect(holds).toEqual([])
    }
  })
})

describe('a ring hop', () => {
  it('gets requests that hold a name of their own, a reference and what is wanted, and no more', () => {
    const gets = messagesOf(sides, MESSAGE.rget)
    expect(gets.length).toBeGreaterThan(0)
    for (const { message } of gets) expect(message.length).toBe(RGET_SIZE)
  })

  it('cannot match a request on two links by its name', () => {
    const links = new Map<string, string>()
    for (const { side, message } of messagesOf(sides, MESSAGE.rget, MESSAGE.rput)) {
      const rid = toHex(message.subarray(1, 9))
      expect(links.get(rid) ?? `${side.from} ${side.to}`).toBe(`${side.from} ${side.to}`)
      links.set(rid, `${side.from} ${side.to}`)
    }
    expect(links.size).toBeGreaterThan(0)
  })
})

describe('a keeper', () => {
  it('cannot tell which shards belong together: nothing in them or in their requests is alike', () => {
    expect(commonRuns(shards)).toBe(0)
    const nonces = new Map<string, string>()
    for (const { message } of messagesOf(sides, MESSAGE.rput)) {
      // type, rid 8, ref 34, lease days, nonce 16. SPEC requests §2
      const [ref, nonce] = [toHex(message.subarray(9, 43)), toHex(message.subarray(44, 60))]
      expect(nonces.get(nonce) ?? ref).toBe(ref)
      nonces.set(nonce, ref)
    }
    // A shard whose gateway is its keeper crosses no link as a request.
    expect(new Set(nonces.values()).size).toBeGreaterThan(refs.length / 3)
    const own = refs.map((ref) => toHex(encodeContentRef(ref)))
    for (const ref of nonces.values()) expect(own).toContain(ref)
  })
})

describe('logs and disks', () => {
  it('hold none of the secrets, but for a seed in its own home', async () => {
    const sought = spelled(secrets)
    for (const { name, home } of members)
      for (const { path, bytes } of await filesBelow(home)) {
        const holds = found(bytes, sought).filter(
          (what) => !(path === join(home, 'identity.json') && what.startsWith(name)),
        )
        expect(holds, path).toEqual([])
      }
  })

  it('of nodes hold what was put, masked, twice, with keepers or wrapped with vaults; a client keeps nothing of it', async () => {
    for (const { name, home } of members)
      for (const { path, bytes } of await filesBelow(home)) {
        const holds = found(bytes, pieces)
        if (isClient(name) || path.startsWith(join(home, 'vault'))) expect(holds, path).toEqual([])
      }
    const disks = new Disks(members.filter(({ role }) => role === 'node').map(({ home }) => home))
    const copies = refs.map((ref) => disks.copies(ref))
    await disks.close()
    expect(Math.min(...copies)).toBeGreaterThanOrEqual(2)
  })

  it('of a log hold no place, not even its first digits', async () => {
    const digits = Object.fromEntries(
      Object.entries(places).map(([name, bytes]) => [name, Buffer.from(toHex(bytes).slice(0, 12))]),
    )
    for (const { name, home } of members) {
      const log = await readFile(join(home, 'daemon.log'))
      expect(log.length, name).toBeGreaterThan(0)
      expect(found(log, digits), name).toEqual([])
    }
  })
})

describe('a guard and a gateway that work together', () => {
  const bodies = (of: readonly Side[]) => relayCells(of).map(({ body }) => body)

  it('find no run of 8 bytes that two cells have in common, on any links', () => {
    const all = bodies(sides)
    expect(bodies(sides.filter(({ from }) => isClient(from))).length).toBeGreaterThan(0)
    expect(commonRuns(all)).toBe(0)
  })

  it('would be found by this check if a middle kept the filler of one cell', () => {
    const all = bodies(nodeSides())
    const [kept, sent] = [all[0], all[1]?.slice()]
    if (kept === undefined || sent === undefined) throw new Error('no cells between nodes')
    // What the guard filled in at the end is what the gateway gets before the middle's own filler.
    sent.set(kept.subarray(-LAYER_SIZE), sent.length - 2 * LAYER_SIZE)
    expect(commonRuns([...all.slice(0, 1), sent, ...all.slice(2)])).toBe(LAYER_SIZE - 7)
  })
})
