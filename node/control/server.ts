/**
 * The daemon's side of the control API: words in, words out, over the node's own methods.
 * SPEC control §1-§7
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Log, toHex } from '../../core/index.ts'
import {
  type Address,
  checkObject,
  formatAddress,
  type GetPorts,
  type Handle,
  openObject,
  parseAddress,
  putObject,
  type StripeReport,
} from '../../storage/index.ts'
import type { HushNode } from '../compose.ts'
import type { NetworkFile } from '../config.ts'
import { INVITE_CONTACTS_MAX, makeInvite } from '../home.ts'
import type { Member } from '../member.ts'
import type { Attachments } from '../roles/attachments.ts'
import type { ControlExchange, Metrics } from '../system/index.ts'
import type { Vaulting } from '../vaulting.ts'
import {
  BadRequestError,
  bodyOf,
  decodedPart,
  handleOf,
  json,
  parsed,
  readSmall,
  startEvents,
  toErrorBody,
} from './answers.ts'
import { LedgerCalls } from './ledger.ts'
import {
  GET_HEADERS,
  getQuerySchema,
  putQuerySchema,
  RESULT_TRAILER,
  type RingReport,
  type Status,
  stopRequestSchema,
} from './types.ts'
import { UpkeepCalls } from './upkeep.ts'

const STATUS_OF_KIND = { input: 400, peer: 502, unavailable: 503, local: 507, bug: 500 } as const
/** Progress lines of a put, at most so often. */
const PROGRESS_EVERY_MS = 200
/** A gateway holds no put longer than so many times the mean, as far as it draws fairly. */
const HELD_MEANS_MAX = 10
const PROTOCOL = 1

export interface ControlServerPorts {
  readonly node: HushNode
  readonly log: Log
  readonly network: NetworkFile
  readonly metrics: Metrics
  readonly version: string
  readonly pid: number
  readonly uptimeSeconds: () => number
  readonly rssBytes: () => number
  readonly nowMs: () => number
  readonly storeUsage: () => { bytes: number; count: number; quotaBytes: number; corrupt: number }
  readonly cacheBytes: () => number
  /** Ends the daemon; with `announce` it leaves the ring first. */
  readonly onStop: (options: { announce: boolean }) => void
  readonly openPorts: {
    readonly jitter: { uint32(): number }
    readonly random: Parameters<typeof putObject>[1]['random']
  }
}

export class ControlServer {
  readonly #p: ControlServerPorts
  readonly #upkeep: UpkeepCalls
  readonly #ledger: LedgerCalls
  constructor(ports: ControlServerPorts) {
    this.#p = ports
    this.#upkeep = new UpkeepCalls(ports)
    this.#ledger = new LedgerCalls(ports.node)
  }

  /** Answers one request; never rejects for what a caller did. */
  async handle({ method, url, req, res }: ControlExchange): Promise<void> {
    try {
      await this.#route(method, urlOf(url), req, res)
    } catch (error) {
      const body = toErrorBody(error, this.#p.log)
      if (res.headersSent) return void res.destroy()
      const text = JSON.stringify(body)
      res.writeHead(STATUS_OF_KIND[body.kind], { 'content-type': 'application/json' }).end(text)
    }
  }

  async #route(method: string, url: URL, req: IncomingMessage, res: ServerResponse): Promise<void> {
    const parts = url.pathname.split('/').filter((part) => part !== '')
    const [api, room, name, verb] = parts
    if (api !== 'v1') throw new BadRequestError('the control API is under /v1/')
    const route = `${method} ${room ?? ''}${name === undefined ? '' : '/*'}${verb === undefined ? '' : `/${verb}`}`
    switch (route) {
      case 'GET status':
        return json(res, this.status())
      case 'GET ring':
        return json(res, this.#ring())
      case 'GET invite':
        return json(res, { invite: makeInvite(this.#currentNetwork()) })
      case 'GET metrics':
        res.writeHead(200, { 'content-type': this.#p.metrics.contentType })
        return void res.end(await this.#p.metrics.text())
      case 'POST stop':
        return this.#stop(req, res)
      case 'POST objects':
        return this.#put(url, req, res)
      case 'GET objects/*':
        return this.#get(addressOf(name), url, res)
      case 'GET objects/*/check':
        return this.#check(handleOf(name), res)
      case 'POST objects/*/repair':
        return this.#upkeep.repair(handleOf(name), res)
      case 'POST objects/*/repair-key':
        return this.#upkeep.repairKey(addressOf(name), res)
      case 'POST objects/*/read-back':
        return this.#upkeep.readBack(addressOf(name), res)
      case 'GET ledger':
        return json(res, this.#ledger.report())
      case 'GET ledger/*': {
        const chain = this.#ledger.chain(decodedPart(name))
        res.writeHead(200, { 'content-type': 'application/octet-stream' })
        return void res.end(chain)
      }
      case 'GET kept':
        return json(res, { objects: this.#upkeep.kept() })
      case 'POST kept/*':
        return this.#upkeep.keep(handleOf(name), res)
      case 'POST kept/*/stop':
        return json(res, await this.#upkeep.stop(decodedPart(name)))
      default:
        throw new BadRequestError('no such call in the control API')
    }
  }

  status(): Status {
    const { node, network } = this.#p
    const nowMs = this.#p.nowMs()
    const { member } = node
    const usage = this.#p.storeUsage()
    const state = member?.ring.state
    const crowd = member?.holders.crowd()
    const short = (id: Uint8Array, digits = 16): string => toHex(id).slice(0, digits)
    const guard = node.guards.inUse
    return {
      version: this.#p.version,
      protocol: PROTOCOL,
      pid: this.#p.pid,
      role: node.settings.node === undefined ? 'client' : 'node',
      network: { id: network.id.slice(0, 16), profile: network.profile },
      ...(member !== undefined && {
        node: {
          id: toHex(member.id),
          address: node.address ?? '',
          ring: {
            ...(state?.predecessor !== undefined && { predecessor: short(state.predecessor) }),
            successors: (state?.successors ?? []).map((id) => short(id)),
          },
          joined: state !== undefined,
          shards: usage.count,
          storedBytes: usage.bytes,
          quotaBytes: usage.quotaBytes,
          cacheBytes: this.#p.cacheBytes(),
          corruptDropped: usage.corrupt,
          ...(crowd !== undefined && { crowd }),
          heldPuts: member.heldPuts.count,
        },
        contents: contentsOf(member, usage.count),
      }),
      ...(member?.vaulting !== undefined && { vault: vaultStatus(member.vaulting, member.lines) }),
      view: { members: node.view.members(nowMs).length, reachable: node.view.reachable(nowMs).length },
      circuits: {
        ready: node.pool.ready.length,
        building: node.pool.building,
        gateways: new Set(node.pool.ready.map((circuit) => toHex(circuit.gateway))).size,
        wanted: node.pool.wanted,
      },
      ...(node.cover && { cover: node.cover.counts }),
      ...(guard !== undefined && { guard: { id: short(guard.id, 8), since: guard.sinceMs } }),
      links: node.links.count,
      pending: { shards: node.pendingPuts.count },
      keeping: this.#upkeep.summary(),
      readBack: this.#upkeep.readBackSummary(),
      ledger: this.#ledger.summary(),
      uptimeSeconds: this.#p.uptimeSeconds(),
      memory: { rssBytes: this.#p.rssBytes() },
    }
  }

  #ring(): RingReport {
    const { member, address } = this.#p.node
    if (member === undefined) throw new BadRequestError('this home is not a member of the ring')
    const { state } = member.ring
    return {
      id: toHex(member.id),
      joined: state !== undefined,
      ...(state?.predecessor !== undefined && { predecessor: toHex(state.predecessor) }),
      successors: (state?.successors ?? []).map(toHex),
      address: address ?? '',
    }
  }

  /** The network with nodes that are there now: its seeds may be long gone. */
  #currentNetwork(): NetworkFile {
    const { node, network } = this.#p
    const found = node.view.reachable(this.#p.nowMs()).map((id) => node.view.get(id))
    const seeds = found.flatMap((descriptor) => {
      const address = descriptor?.addresses[0]
      if (descriptor === undefined || address === undefined) return []
      return [{ id: toHex(descriptor.id), publicKey: toHex(descriptor.publicKey), address }]
    })
    if (seeds.length === 0) return network
    // Spread over the ring rather than one stretch of it.
    const step = Math.max(1, Math.floor(seeds.length / INVITE_CONTACTS_MAX))
    return { ...network, seeds: seeds.filter((_, i) => i % step === 0) }
  }

  async #stop(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { announce } = parsed(stopRequestSchema, jsonOf((await readSmall(req)) || '{}'))
    json(res, { ok: true })
    this.#p.onStop({ announce })
  }

  async #put(url: URL, req: IncomingMessage, res: ServerResponse): Promise<void> {
    const query = parsed(putQuerySchema, Object.fromEntries(url.searchParams))
    const { client, settings } = this.#p.node
    const hold = query.hold === 'none' ? undefined : query.hold
    const gone = new AbortController()
    res.once('close', () => gone.abort(new BadRequestError('the caller went away')))
    const send = (event: object): void => void res.write(`${JSON.stringify(event)}\n`)
    res.writeHead(200, { 'content-type': 'application/x-ndjson' })
    res.flushHeaders()
    let toldMs = 0
    try {
      const { address, report } = await putObject(
        {
          source: bodyOf(req),
          kind: query.kind,
          ...(query.name !== undefined && { name: query.name }),
          ...(query.type !== undefined && { type: query.type }),
        },
        {
          random: this.#p.openPorts.random,
          place: client.placer(hold),
          signal: gone.signal,
          onProgress: (progress) => {
            if (this.#p.nowMs() - toldMs < PROGRESS_EVERY_MS) return
            toldMs = this.#p.nowMs()
            const { readBytes, storedShards, totalShards } = progress
            send({ event: 'progress', readBytes, storedShards, ...(totalShards !== undefined && { totalShards }) })
          },
        },
      )
      const heldMs = hold === undefined ? 0 : HELD_MEANS_MAX * settings.profile.holdMeanMs[hold]
      this.#p.node.readBack.add(address, { heldMs })
      const { bytes: _, ...told } = report
      send({ event: 'stored', address: formatAddress(address), ...told })
    } catch (error) {
      send({ event: 'error', ...toErrorBody(error, this.#p.log) })
    }
    // What was not read must not keep the caller writing for ever.
    req.unpipe()
    req.resume()
    res.end()
  }

  async #get(address: Address, url: URL, res: ServerResponse): Promise<void> {
    const { from } = parsed(getQuerySchema, Object.fromEntries(url.searchParams))
    const { signal, ports } = this.#getPorts(res)
    const object = await openObject(address, { ...ports, signal })
    const body = object.read({ fromByte: from, signal })
    // The first piece decides whether this is an answer or an error.
    const first = await body.next()
    res.writeHead(200, {
      'content-type': 'application/octet-stream',
      [GET_HEADERS.length]: String(object.lengthBytes),
      ...(object.name !== undefined && { [GET_HEADERS.name]: encodeURIComponent(object.name) }),
      ...(object.type !== undefined && { [GET_HEADERS.type]: encodeURIComponent(object.type) }),
      trailer: RESULT_TRAILER,
    })
    let result: object = { ok: true }
    try {
      for (let piece = first; !piece.done; piece = await body.next()) {
        if (!res.write(piece.value)) await drained(res, signal)
      }
    } catch (error) {
      result = toErrorBody(error, this.#p.log)
    }
    res.addTrailers({ [RESULT_TRAILER]: toAscii(JSON.stringify(result)) })
    res.end()
  }

  async #check(handle: Handle, res: ServerResponse): Promise<void> {
    const { ports } = this.#getPorts(res)
    const { client } = this.#p.node
    const sum = { stripes: 0, shards: 0, reachable: 0, health: 'perfect' as (typeof WORST_FIRST)[number] }
    const stripes = checkObject(handle, { ...ports, probe: (ref, wish) => client.probe(ref, wish) })
    // The root's line decides whether this is an answer or an error.
    const first = await stripes.next()
    const send = startEvents(res)
    const take = (stripe: StripeReport): void => {
      send({ event: 'stripe', ...stripe })
      sum.stripes++
      sum.shards += stripe.total
      sum.reachable += stripe.reachable
      if (WORST_FIRST.indexOf(stripe.health) < WORST_FIRST.indexOf(sum.health)) sum.health = stripe.health
    }
    try {
      for (let step = first; !step.done; step = await stripes.next()) take(step.value)
      send({ event: 'summary', ...sum })
    } catch (error) {
      send({ event: 'error', ...toErrorBody(error, this.#p.log) })
    }
    res.end()
  }

  #getPorts(res: ServerResponse): {
    signal: AbortSignal
    ports: Pick<GetPorts, 'fetch' | 'jitter' | 'hasRoom'>
  } {
    const gone = new AbortController()
    res.once('close', () => gone.abort(new BadRequestError('the caller went away')))
    const { client } = this.#p.node
    const ports = { fetch: client.fetcher(), jitter: this.#p.openPorts.jitter, hasRoom: () => client.hasRoom() }
    return { signal: gone.signal, ports }
  }
}

const WORST_FIRST = ['lost', 'critical', 'weak', 'good', 'perfect'] as const

function urlOf(path: string): URL {
  try {
    return new URL(path, 'http://hush')
  } catch {
    throw new BadRequestError('the path is none')
  }
}

function vaultStatus(vaulting: Vaulting, lines: Attachments | undefined): NonNullable<Status['vault']> {
  const { count, bytes, quotaBytes } = vaulting.vault.usage()
  const attached = lines?.attached().length ?? 0
  return { lines: vaulting.lines.keepers.length, attached, blobs: count, storedBytes: bytes, quotaBytes }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new BadRequestError('the request is not JSON')
  }
}

function addressOf(part: string | undefined): Address {
  return parseAddress(decodedPart(part))
}

/** Headers carry Latin-1 only: JSON says everything else in escapes. */
function toAscii(text: string): string {
  return text.replace(/[^ -~]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function drained(res: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const done = (): void => {
      res.off('drain', done)
      signal.removeEventListener('abort', onAbort)
      resolve()
    }
    const onAbort = (): void => {
      res.off('drain', done)
      reject(signal.reason)
    }
    res.once('drain', done)
    signal.addEventListener('abort', onAbort, { once: true })
  })
}

/** Where lies what a keeper answers for. */
function contentsOf({ pointers, tending }: Member, here: number): NonNullable<Status['contents']> {
  const { count, withTwo } = pointers.usage()
  const { auditsPassed, auditsFailed } = tending.counts
  return { here, inTwoVaults: withTwo, inOneVault: count - withTwo, auditsPassed, auditsFailed }
}
