/**
 * Hostile machines: production nodes whose links do something else than the node meant. They read and change
 * only what passes through them, cells and link messages, as a changed program on a real machine could.
 * Each has one to three characters, drawn from the seed, and misbehaves now and then, not always.
 */
import { CELL_SIZE } from '../core/index.ts'
import {
  type Call,
  COMMANDS,
  decodeCall,
  decodeRingRequest,
  encodeCall,
  encodeRingOutcome,
  LINK_MESSAGE,
  type Link,
  type LinkHandlers,
  MessageJoiner,
  readCell,
  splitMessage,
  type Transport,
} from '../routing/index.ts'
import type { Chance } from './chance.ts'
import { START_MS } from './clock.ts'
import type { SimHost, Tamper } from './host.ts'
import type { World } from './world.ts'

export const CHARACTERS = [
  'drops requests',
  'delays answers',
  'lies about neighbours',
  'corrupts data',
  'replays messages',
  'claims to hold everything',
  'refuses selectively',
  'floods',
  'breaks circuits',
  'forgets what it stored',
  'forges receipts',
] as const
export type Character = (typeof CHARACTERS)[number]

/** Of what it could spoil, so much is spoilt. */
const SPOILT_SHARE = 0.7
const DAY_MS = 24 * 60 * 60_000
const FLOOD_EVERY_MS = 5_000
const FLOOD_MESSAGES = 50
/** A machine floods so many of its links, those it opens or takes first. */
const FLOODED_LINKS_MAX = 4
const REMEMBERED = 32

/** One to three: what comes of two faults together shows in no machine that has one. */
export function drawCharacters(chance: Chance): Character[] {
  return Array.from({ length: 1 + chance.below(3) }, () => chance.pick(CHARACTERS))
}

export function hostileTamper(world: World, chance: Chance, characters: readonly Character[]): Tamper {
  return (transport, host) => wrap(transport, host, { world, chance, characters })
}

interface Evil {
  readonly world: World
  readonly chance: Chance
  readonly characters: readonly Character[]
}

/** What the links of one machine share. */
interface Shared {
  /** Messages seen on all links, to be sent again. */
  readonly seen: Uint8Array[]
  flooded: number
}

function wrap(transport: Transport, host: SimHost, evil: Evil): Transport {
  const shared: Shared = { seen: [], flooded: 0 }
  return {
    dial: async (to, options) => new HostileLink(await transport.dial(to, options), host, evil, shared),
    listen: (address, onLink) => transport.listen(address, (link) => onLink(new HostileLink(link, host, evil, shared))),
    close: () => transport.close(),
  }
}

/** What somebody waits for an answer to; a neighbour that is asked for the ring and keeps silent is taken for dead. */
function isQuestion(message: Uint8Array): boolean {
  const { rget, rput, rrenew, copy, have, prove } = LINK_MESSAGE
  return ([rget, rput, rrenew, copy, have, prove] as readonly number[]).includes(message[0] as number)
}

class HostileLink implements Link {
  readonly isDialer: boolean
  readonly #link: Link
  readonly #host: SimHost
  readonly #evil: Evil
  readonly #shared: Shared
  readonly #out = new MessageJoiner()
  readonly #in = new MessageJoiner()
  #flow = 0x8000_0000
  #isOver = false

  constructor(link: Link, host: SimHost, evil: Evil, shared: Shared) {
    this.#link = link
    this.isDialer = link.isDialer
    this.#host = host
    this.#evil = evil
    this.#shared = shared
  }

  get peerKey(): Link['peerKey'] {
    return this.#link.peerKey
  }
  get queuedBytes(): number {
    return this.#link.queuedBytes
  }

  start(handlers: LinkHandlers): void {
    this.#link.start({
      onCell: (cell) => this.#receive(cell, handlers),
      onDrain: () => handlers.onDrain(),
      onClose: (reason) => {
        this.#isOver = true
        handlers.onClose(reason)
      },
    })
    if (!this.#is('floods') || this.#shared.flooded >= FLOODED_LINKS_MAX) return
    this.#shared.flooded++
    this.#flood()
  }

  send(cell: Uint8Array): void {
    const { command, body } = readCell(cell)
    if (command === COMMANDS.message) {
      const message = this.#out.add(body)
      if (message !== undefined) this.#sendMessage(message.slice())
      return
    }
    if (this.#is('breaks circuits') && command === COMMANDS.relay && this.#isLucky(0.02)) {
      const how = this.#evil.chance.below(3)
      if (how === 0) return
      if (how === 1) this.#link.send(cell.slice())
      else cell[100] = (cell[100] as number) ^ 1
    }
    this.#link.send(cell)
  }

  close(reason: string): void {
    this.#isOver = true
    this.#link.close(reason)
  }

  #is(character: Character): boolean {
    return this.#evil.characters.includes(character)
  }

  #isLucky(share = SPOILT_SHARE): boolean {
    return this.#evil.chance.isLucky(share)
  }

  #receive(cell: Uint8Array, handlers: LinkHandlers): void {
    const { command, body } = readCell(cell)
    if (command !== COMMANDS.message) {
      handlers.onCell(cell)
      return
    }
    const message = this.#in.add(body)
    if (message === undefined) return
    const copy = message.slice()
    if (this.#swallows(copy)) return
    for (const part of splitMessage(0, copy)) handlers.onCell(part)
  }

  /** Whether what comes in is not even shown to the node. */
  #swallows(message: Uint8Array): boolean {
    const type = message[0]
    if (this.#is('drops requests') && isQuestion(message)) return this.#isLucky()
    if (this.#is('refuses selectively') && type === LINK_MESSAGE.rget && this.#isLucky()) {
      // RNONE 0: not found, although it may well be held.
      this.#emit(Uint8Array.of(LINK_MESSAGE.rnone, ...message.subarray(1, 9), 0))
      return true
    }
    if (this.#is('forges receipts') && type === LINK_MESSAGE.rput && this.#isLucky()) {
      this.#forgeReceipt(message)
      return true
    }
    const isCopy = this.#is('forgets what it stored') && type === LINK_MESSAGE.copy
    const call = isCopy ? decodeCall(message) : undefined
    if (call?.kind === 'copy') {
      this.#emit(encodeCall({ kind: 'copied', tag: call.tag, result: 0 }))
      return true
    }
    return false
  }

  /** Its own key and a signature that is none, for a put it never stored. */
  #forgeReceipt(message: Uint8Array): void {
    const rid = message.slice(1, 9)
    const request = decodeRingRequest(message)
    if (request?.kind !== 'rput') return
    const { world, chance } = this.#evil
    const leaseEndMs = START_MS + world.nowMs + request.put.leaseDays * DAY_MS
    const keeper = this.#host.identity.publicKey
    const receipt = { leaseEndMs: Math.ceil(leaseEndMs), nonce: request.put.nonce, keeper, signature: chance.bytes(64) }
    this.#emit(encodeRingOutcome(rid, { end: 'stored', receipt }))
  }

  #sendMessage(message: Uint8Array): void {
    const { chance, world } = this.#evil
    const type = message[0]
    const isAnswer = type === LINK_MESSAGE.rdata || type === LINK_MESSAGE.rstored || type === LINK_MESSAGE.copied
    if (this.#is('delays answers') && isAnswer && this.#isLucky()) {
      world.after(chance.between(1_000, 9_000), () => this.#emit(message))
      return
    }
    if (this.#is('corrupts data') && (type === LINK_MESSAGE.rdata || type === LINK_MESSAGE.copy) && this.#isLucky()) {
      const at = message.length - 1 - chance.below(Math.min(1_000, message.length - 50))
      message[at] = (message[at] as number) ^ (1 << chance.below(8))
    }
    if (this.#is('replays messages')) {
      const { seen } = this.#shared
      seen.push(message)
      if (seen.length > REMEMBERED) seen.shift()
      if (this.#isLucky(0.2)) this.#emit(chance.pick(seen))
    }
    this.#emit(this.#lied(message))
  }

  #lied(message: Uint8Array): Uint8Array {
    const { chance } = this.#evil
    const type = message[0]
    const claims = this.#is('claims to hold everything') || this.#is('forgets what it stored')
    if (claims && type === LINK_MESSAGE.haves) {
      const call = decodeCall(message)
      if (call?.kind === 'haves') return encodeCall({ ...call, held: call.held.map(() => 1) } as Call)
    }
    if (this.#is('lies about neighbours') && type === LINK_MESSAGE.ringState && this.#isLucky(0.5)) {
      const call = decodeCall(message)
      if (call?.kind === 'ringState' && call.isMember) return encodeCall(this.#falseState(call))
    }
    if (this.#is('forgets what it stored') && type === LINK_MESSAGE.rdata && chance.isLucky(0.5)) {
      return Uint8Array.of(LINK_MESSAGE.rnone, ...message.subarray(1, 9), 0)
    }
    return message
  }

  /** Itself skipped, neighbours left out, nobody in their place: each asker is told something else. */
  #falseState(call: Extract<Call, { kind: 'ringState' }>): Call {
    const { chance } = this.#evil
    const nobody = chance.bytes(32)
    const successors = [...call.successors]
    const how = chance.below(4)
    if (how === 0) successors.reverse()
    else if (how === 1) successors.splice(0, 2)
    else if (how === 2) successors.fill(nobody)
    return { ...call, successors, ...(how === 3 && { predecessor: nobody }) } as Call
  }

  #emit(message: Uint8Array): void {
    if (this.#isOver || !this.#host.isUp) return
    this.#flow = this.#flow === 0xffff_ffff ? 0x8000_0000 : this.#flow + 1
    for (const cell of splitMessage(this.#flow, message)) {
      if (cell.length === CELL_SIZE) this.#link.send(cell)
    }
  }

  #flood(): void {
    const { world, chance } = this.#evil
    world.after(FLOOD_EVERY_MS, () => {
      if (this.#isOver || !this.#host.isUp) {
        this.#shared.flooded--
        return
      }
      for (let i = 0; i < FLOOD_MESSAGES; i++) {
        const get = [...chance.bytes(8), 0, 0, ...chance.bytes(32), 0, 0, 16]
        this.#emit(
          chance.isLucky(0.5) ? Uint8Array.of(LINK_MESSAGE.rget, ...get) : encodeCall({ kind: 'ringQuery', tag: i }),
        )
      }
      this.#flood()
    })
  }
}
