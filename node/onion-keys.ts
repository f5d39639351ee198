/**
 * The keys by which clients know that they build their circuits through this relay: one is in the descriptor, the one
 * before it is still answered for as long. Kept in the state, so that a restart does not change them. SPEC circuits §2
 */
import {
  ByteReader,
  ByteWriter,
  type Clock,
  type Log,
  MalformedError,
  messageOf,
  type SecretRandom,
  type StateStore,
  type Timer,
} from '../core/index.ts'
import { type ExchangeKey, exchangeKeyFromSeed } from '../crypto/index.ts'

const STATE_KEY = 'onion-keys'
const VERSION = 1
const SEED_SIZE = 32
/** The newest, and the one before. */
const KEYS_MAX = 2
const RETRY_MS = 60_000

export interface OnionKeysPorts {
  readonly clock: Clock
  readonly random: SecretRandom
  readonly log: Log
  readonly state: StateStore
  /** Of a relay that has none yet. */
  readonly firstSeed: Uint8Array
  readonly everyMs: number
  /** There is a new one for the descriptor. */
  readonly onNew: () => void
}

interface Kept {
  readonly seed: Uint8Array
  readonly sinceMs: number
}

interface Held extends Kept {
  readonly key: ExchangeKey
}

export class OnionKeys {
  readonly #p: OnionKeysPorts
  /** Newest first; never empty. */
  #keys: readonly [Held, ...Held[]]
  #timer: Timer | undefined
  #isStopped = false

  constructor(ports: OnionKeysPorts) {
    this.#p = ports
    const [newest, ...older] = readKept(ports)
    this.#keys =
      newest === undefined
        ? [held({ seed: ports.firstSeed, sinceMs: ports.clock.nowMs() })]
        : [held(newest), ...older.map(held)]
  }

  get newest(): ExchangeKey {
    return this.#keys[0].key
  }

  /** Those that a handshake may be for, newest first. The older one ends a period after the newer came. */
  get answered(): readonly ExchangeKey[] {
    const [newest] = this.#keys
    const isOver = this.#p.clock.nowMs() - newest.sinceMs >= this.#p.everyMs
    return isOver ? [newest.key] : this.#keys.map(({ key }) => key)
  }

  /** Notes when the first key came, and renews from then on. */
  start(): void {
    void this.#save(this.#keys).catch(this.#report)
    this.#plan(this.#leftMs())
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  /** A clock that was set back does not put it off for longer than a period. */
  #leftMs(): number {
    const { clock, everyMs } = this.#p
    return Math.min(everyMs, Math.max(0, this.#keys[0].sinceMs + everyMs - clock.nowMs()))
  }

  #plan(delayMs: number): void {
    this.#timer = this.#p.clock.setTimer(delayMs, () => {
      void this.#renew().then(
        () => this.#plan(this.#leftMs()),
        (error: unknown) => {
          this.#report(error)
          this.#plan(RETRY_MS)
        },
      )
    })
  }

  /** What clients may be told of must be on the disk first: after a crash nobody could answer for it. */
  async #renew(): Promise<void> {
    const { clock, random, onNew } = this.#p
    if (this.#isStopped) return
    const fresh = held({ seed: random.bytes(SEED_SIZE), sinceMs: clock.nowMs() })
    const keys = [fresh, this.#keys[0]] as const
    await this.#save(keys)
    if (this.#isStopped) return
    this.#keys = [...keys]
    onNew()
  }

  #save(keys: readonly Kept[]): Promise<void> {
    return this.#p.state.put(STATE_KEY, encodeOnionKeys(keys))
  }

  readonly #report = (error: unknown): void => {
    this.#p.log('warn', 'the onion keys could not be saved', { reason: messageOf(error) })
  }
}

function held(kept: Kept): Held {
  return { ...kept, key: exchangeKeyFromSeed(kept.seed) }
}

// version u8, then for each, newest first: seed 32, since u64 (Unix ms)
function encodeOnionKeys(keys: readonly Kept[]): Uint8Array {
  const w = new ByteWriter(1 + KEYS_MAX * (SEED_SIZE + 8)).u8(VERSION)
  for (const { seed, sinceMs } of keys) w.bytes(seed).u64(Math.round(sinceMs))
  return w.done()
}

function readKept({ state, log }: OnionKeysPorts): Kept[] {
  const bytes = state.get(STATE_KEY)
  if (bytes === undefined) return []
  try {
    const r = new ByteReader(bytes, 'onion keys')
    if (r.u8() !== VERSION) throw r.malformed('unknown version')
    const keys: Kept[] = []
    while (r.left > 0 && keys.length < KEYS_MAX) keys.push({ seed: r.bytes(SEED_SIZE).slice(), sinceMs: r.u64() })
    r.end()
    return keys
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error
    log('warn', 'the onion keys are damaged: beginning anew')
    return []
  }
}
