/**
 * Writes down what a node sees, at its own links and in its own process, and changes nothing: the course of a
 * run is the same with and without it. SPEC anonymity §2
 *
 * It stands where a hostile machine's owner could stand: between the program and its links, and around the
 * methods of the program's own router. It never looks at another machine, and never into a layer that the
 * node does not open itself.
 */
import { CELL_SIZE, toHex } from '../../core/index.ts'
import {
  COMMANDS,
  decodeCall,
  decodeRingRequest,
  LINK_MESSAGE,
  type Link,
  type LinkHandlers,
  MessageJoiner,
  readCell,
  type Transport,
} from '../../routing/index.ts'
import { encodeContentRef } from '../../storage/index.ts'
import type { SimHost } from '../host.ts'
import type { World } from '../world.ts'
import type { GatewaySighting, Leg, LineSighting, Recording, RingSighting, SightedKind } from './recording.ts'

type Member = NonNullable<NonNullable<SimHost['node']>['member']>

export class Recorder implements Recording {
  readonly self: string
  readonly legs: Leg[] = []
  readonly ring: RingSighting[] = []
  readonly gateway: GatewaySighting[] = []
  readonly lines: LineSighting[] = []
  readonly pointers = new Map<string, Set<string>>()
  readonly #world: World
  readonly #host: SimHost
  /** The near leg whose cell the program is working on right now: what it opens then came from there. */
  #working: Leg | undefined
  /** A relay passes a cell on in the memory it came in, so the cell itself tells which circuits are one. */
  readonly #cameFrom = new WeakMap<Uint8Array, Leg>()
  readonly #watched = new WeakSet<Member>()

  constructor(world: World, host: SimHost) {
    this.#world = world
    this.#host = host
    this.self = toHex(host.identity.publicKey)
  }

  wrap(transport: Transport): Transport {
    return {
      dial: async (to, options) => this.#tap(await transport.dial(to, options)),
      listen: (address, onLink) => transport.listen(address, (link) => onLink(this.#tap(link))),
      close: () => transport.close(),
    }
  }

  #tap(link: Link): Link {
    const record = this
    const legs = new Map<number, Leg>()
    const joiner = new MessageJoiner()
    const peer = toHex(link.peerKey)
    return {
      peerKey: link.peerKey,
      isDialer: link.isDialer,
      get queuedBytes() {
        return link.queuedBytes
      },
      start(handlers: LinkHandlers) {
        link.start({
          onCell: (cell) => {
            record.#watchMember()
            record.#working = record.#received(cell, { peer, legs, joiner })
            handlers.onCell(cell)
            record.#working = undefined
          },
          onDrain: () => handlers.onDrain(),
          onClose: (reason) => handlers.onClose(reason),
        })
      },
      send(cell) {
        record.#sent(cell, { peer, legs })
        link.send(cell)
      },
      close: (reason) => link.close(reason),
    }
  }

  #received(
    raw: Uint8Array,
    { peer, legs, joiner }: { peer: string; legs: Map<number, Leg>; joiner: MessageJoiner },
  ): Leg | undefined {
    const { command, circuit, body } = readCell(raw)
    if (command === COMMANDS.message) {
      const message = joiner.add(body)
      if (message !== undefined) this.#heard(peer, message)
      return undefined
    }
    if (command === COMMANDS.create) {
      this.#open(legs, { peer, circuit, hop: body[0] as number, isFromPeer: true })
      return undefined
    }
    const leg = legs.get(circuit)
    if (leg === undefined || command !== COMMANDS.relay) return undefined
    this.#cameFrom.set(raw, leg)
    if (!leg.isFromPeer) {
      leg.backwardMs.push(this.#world.nowMs)
      return undefined
    }
    leg.forwardMs.push(this.#world.nowMs)
    leg.forwardTails.push(tailOf(raw))
    return leg
  }

  #sent(raw: Uint8Array, { peer, legs }: { peer: string; legs: Map<number, Leg> }): void {
    const command = raw[4]
    if (command !== COMMANDS.create && command !== COMMANDS.relay) return
    const { circuit, body } = readCell(raw)
    if (command === COMMANDS.create) {
      const leg = this.#open(legs, { peer, circuit, hop: body[0] as number, isFromPeer: false })
      // A create is sent in answer to an extend, a moment later: the leg that it continues shows with the next cell.
      leg.other = undefined
      return
    }
    const leg = legs.get(circuit)
    if (leg === undefined) return
    const from = this.#cameFrom.get(raw)
    if (from !== undefined && from !== leg) {
      leg.other ??= from
      from.other ??= leg
    }
    if (leg.isFromPeer) leg.backwardMs.push(this.#world.nowMs)
    else {
      leg.forwardMs.push(this.#world.nowMs)
      leg.forwardTails.push(tailOf(raw))
    }
  }

  #open(legs: Map<number, Leg>, of: Pick<Leg, 'peer' | 'circuit' | 'hop' | 'isFromPeer'>): Leg {
    const leg: Leg = {
      ...of,
      openedMs: this.#world.nowMs,
      other: undefined,
      forwardMs: [],
      backwardMs: [],
      forwardTails: [],
    }
    legs.set(of.circuit, leg)
    this.legs.push(leg)
    return leg
  }

  #heard(from: string, message: Uint8Array): void {
    const atMs = this.#world.nowMs
    const type = message[0]
    if (type === LINK_MESSAGE.rget || type === LINK_MESSAGE.rput) {
      const request = decodeRingRequest(message)
      if (request?.kind === 'rget')
        this.ring.push({ atMs, from, kind: 'get', rid: toHex(request.rid), ref: toHex(request.get.ref) })
      if (request?.kind === 'rput')
        this.ring.push({ atMs, from, kind: 'put', rid: toHex(request.rid), ref: toHex(request.put.ref) })
    } else if (type === LINK_MESSAGE.copy) {
      const call = decodeCall(message)
      if (call?.kind === 'copy') this.ring.push({ atMs, from, kind: 'copy', rid: '', ref: toHex(call.ref) })
    }
  }

  /** The node's own gateway hands what it opened to the node's own router, and what vaults say to its own keeper. */
  #watchMember(): void {
    const member = this.#host.node?.member
    if (member === undefined || this.#watched.has(member)) return
    this.#watched.add(member)
    const { router, heldPuts, lines, pointers } = member
    const [get, put] = [router.get.bind(router), router.put.bind(router)]
    router.get = (wish) => {
      this.#opened('get', wish.ref)
      return get(wish)
    }
    router.put = (wish) => {
      this.#opened('put', wish.ref)
      return put(wish)
    }
    // Who holds a put has opened it already.
    const take = heldPuts.take.bind(heldPuts)
    heldPuts.take = (circuit, wish, hold) => {
      this.#opened('put', wish.ref)
      return take(circuit, wish, hold)
    }
    const point = pointers.put.bind(pointers)
    pointers.put = (ref, pointer) => {
      this.#pointed(
        toHex(encodeContentRef(ref)),
        pointer.places.map(({ line }) => toHex(line)),
      )
      return point(ref, pointer)
    }
    if (lines === undefined) return
    const serve = lines.serve.bind(lines)
    lines.serve = (request, circuit) => {
      const answer = serve(request, circuit)
      const leg = this.#working
      if (request.kind === 'attach' && answer.kind === 'attached' && leg !== undefined)
        this.lines.push({ line: toHex(request.line), leg })
      return answer
    }
  }

  #pointed(ref: string, lines: readonly string[]): void {
    const known = this.pointers.get(ref)
    if (known === undefined) {
      this.ring.push({ atMs: this.#world.nowMs, from: '', kind: 'copy', rid: '', ref })
      this.pointers.set(ref, new Set(lines))
    } else for (const line of lines) known.add(line)
  }

  #opened(kind: SightedKind, ref: Uint8Array): void {
    const leg = this.#working
    if (leg !== undefined) this.gateway.push({ atMs: this.#world.nowMs, leg, kind, ref: toHex(ref) })
  }
}

const TAIL_SIZE = 8
/** 53 bits of the last bytes of a cell. */
function tailOf(raw: Uint8Array): number {
  const view = new DataView(raw.buffer, raw.byteOffset + CELL_SIZE - TAIL_SIZE, TAIL_SIZE)
  return (view.getUint32(0) >>> 11) * 2 ** 32 + view.getUint32(4)
}
