/**
 * The second relays of a vault's lines: four, each kept for days, so that whoever makes a vault build circuits again
 * and again meets the same few, and comes no nearer to its guard. SPEC vaults §2. Times are Unix milliseconds.
 */
import {
  ByteReader,
  ByteWriter,
  between,
  type Clock,
  equalBytes,
  type Jitter,
  type Log,
  MalformedError,
  messageOf,
  type NodeId,
  named32,
  pick,
  type StateStore,
} from '../core/index.ts'
import { areApart, type Descriptor, pickRelay, type View } from '../routing/index.ts'

const KEPT = 4
/** A further one is taken when none of those kept will do, up to so many. */
const KEPT_MAX = 8
const DAY_MS = 24 * 60 * 60_000
const KEEP_MS = { min: DAY_MS, max: 12 * DAY_MS }
const STATE_KEY = 'second-relays'
const VERSION = 1

export interface SecondRelaysPorts {
  readonly clock: Clock
  readonly jitter: Jitter
  readonly log: Log
  readonly state: StateStore
  readonly view: View
  readonly hasPrefixLimits: boolean
}

interface Second {
  readonly id: NodeId
  readonly untilMs: number
}

export class SecondRelays {
  readonly #p: SecondRelaysPorts
  #kept: readonly Second[]

  constructor(ports: SecondRelaysPorts) {
    this.#p = ports
    this.#kept = readSeconds(ports)
  }

  /** One for a circuit with these `others`; never one of `exclude`. Undefined when the view offers none. */
  async take(wish: { others: readonly Descriptor[]; exclude: readonly NodeId[] }): Promise<Descriptor | undefined> {
    const { view, clock, jitter } = this.#p
    const nowMs = clock.nowMs()
    // A relay that is known no more will not come back under this name.
    this.#keep(this.#kept.filter(({ id, untilMs }) => untilMs > nowMs && view.get(id) !== undefined))
    while (this.#kept.length < KEPT && this.#add({ others: [], exclude: wish.exclude }) !== undefined);
    return pick(jitter, this.#fit(wish)) ?? (this.#kept.length < KEPT_MAX ? this.#add(wish) : undefined)
  }

  #fit(wish: { others: readonly Descriptor[]; exclude: readonly NodeId[] }): Descriptor[] {
    const { view, clock, hasPrefixLimits } = this.#p
    return this.#kept.flatMap(({ id }) => {
      const node = view.get(id)
      if (node === undefined || node.roles.leaving || !view.isReachable(id, clock.nowMs())) return []
      const isTaken = wish.exclude.some((other) => equalBytes(other, id))
      return !isTaken && wish.others.every((other) => areApart(node, other, { hasPrefixLimits })) ? [node] : []
    })
  }

  #add(wish: { others: readonly Descriptor[]; exclude: readonly NodeId[] }): Descriptor | undefined {
    const { view, clock, jitter, hasPrefixLimits } = this.#p
    const nowMs = clock.nowMs()
    const exclude = [...wish.exclude, ...this.#kept.map(({ id }) => id)]
    const relay = pickRelay(view, { nowMs, jitter, hasPrefixLimits, others: wish.others, exclude })
    if (relay !== undefined) this.#keep([...this.#kept, { id: relay.id, untilMs: nowMs + between(jitter, KEEP_MS) }])
    return relay
  }

  #keep(kept: readonly Second[]): void {
    const isSame = kept.length === this.#kept.length && kept.every((second, i) => second === this.#kept[i])
    if (isSame) return
    this.#kept = kept
    this.#p.state.put(STATE_KEY, encodeSeconds(kept)).catch((error: unknown) => {
      this.#p.log('warn', 'second relays could not be saved', { reason: messageOf(error) })
    })
  }
}

// second relays: version u8 (1), then for each: id 32, until u64 (Unix ms)
function encodeSeconds(kept: readonly Second[]): Uint8Array {
  const w = new ByteWriter(1 + 40 * kept.length).u8(VERSION)
  for (const { id, untilMs } of kept) w.bytes(id).u64(Math.round(untilMs))
  return w.done()
}

function readSeconds({ state, log }: SecondRelaysPorts): readonly Second[] {
  const bytes = state.get(STATE_KEY)
  if (bytes === undefined) return []
  try {
    const r = new ByteReader(bytes, 'second relays')
    if (r.u8() !== VERSION) throw r.malformed('unknown version')
    const kept: Second[] = []
    while (r.left > 0 && kept.length < KEPT_MAX) {
      kept.push({ id: named32<'NodeId'>(r.bytes(32).slice(), 'relay'), untilMs: r.u64() })
    }
    r.end()
    return kept
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error
    log('warn', 'the file of second relays is damaged: choosing anew')
    return []
  }
}
