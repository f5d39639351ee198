/**
 * The keeper's side of lines: which vaults are attached, what is asked of them over their circuits, and what each
 * has shown so far. A line is known by its key alone; who is at its other end nobody here can tell. SPEC vaults §2-§4
 *
 *   circuit ── ATTACH ──> attached ── LEAVE ──> leaving
 *   any of these ── the circuit ends ──> absent ── ATTACH with the same key, on another circuit ──> attached
 */
import {
  ByteReader,
  ByteWriter,
  CIRCUIT_REQUESTS_MAX,
  type Clock,
  concatBytes,
  keyOf,
  type Location,
  type Log,
  MalformedError,
  messageOf,
  type NetworkId,
  type NodeId,
  named32,
  type Profile,
  type PublicKey,
  type RecordStore,
} from '../../core/index.ts'
import { isSafePublicKey, LABELS, tagged, verifyMerkleProof, verifySignature } from '../../crypto/index.ts'
import {
  decodeVaultAnswer,
  encodeVaultRequest,
  type LineAnswer,
  type LineRequest,
  type Outcome,
  type RemoteRead,
  type VaultAnswer,
  type VaultRequest,
} from '../../routing/index.ts'
import { CircuitError } from '../circuit-error.ts'
import type { AskedCircuit } from './gateway.ts'
import { REGION_EXTRA } from './holders.ts'
import type { AttachedLine, Blob, BlobLeaves, BlobPlace, ReadAsk, VaultLines } from './vault-lines.ts'

/** A further vault is refused. */
const LINES_MAX = 256
/** Lines remembered; beyond, the one seen longest ago is forgotten. */
const KNOWN_MAX = 4_096
/** A line's slots double up to so many. */
const SLOTS_MAX = 65_536
/** Questions that wait for one of the circuit's 32; a further one fails at once. */
const WAITING_MAX = 128
const KEEP_TIMEOUT_MS = 6_000
const READ_TIMEOUT_MS = 4_000
/** A circuit that was silent so often in a row is given up: its vault builds another. */
const SILENT_MAX = 3
/** First byte of this table's keys in the record store. */
const KIND = 0x6c
const VERSION = 1

const REFUSED: LineAnswer = { kind: 'refused' }

export interface AttachmentsPorts {
  readonly clock: Clock
  readonly log: Log
  readonly records: RecordStore
  readonly profile: Profile
  readonly networkId: NetworkId
  readonly selfId: NodeId
  /** Members between the point and this node. */
  readonly rankOf: (point: Location) => number
  /** Along the ring, to the keeper that has the line. */
  readonly readAfar: (read: RemoteRead) => Promise<Outcome>
}

/** What a line's key signs: this vault, on this circuit, to this keeper. SPEC vaults §2 */
export function attachBody(from: {
  readonly networkId: NetworkId
  readonly keeperId: NodeId
  readonly point: Uint8Array
  readonly binding: Uint8Array
}): Uint8Array {
  return tagged(LABELS.vaultLine, from.networkId, from.keeperId, from.point, from.binding)
}

/** An attached line. */
interface Line {
  readonly key: PublicKey
  readonly point: Location
  readonly circuit: AskedCircuit
  isLeaving: boolean
  asking: number
  /** KEEPs among these. */
  keeping: number
  silent: number
  readonly waiting: (() => void)[]
}

/** What outlives the circuit, and this process. */
interface Known {
  readonly key: PublicKey
  /** Since when it has passed all audits, Unix ms; 0: none yet. */
  passingSinceMs: number
  /** When it was last attached, Unix ms. */
  seenMs: number
  /** Monotonic; undefined while it is attached. */
  absentSinceMs: number | undefined
}

export class Attachments implements VaultLines {
  onLeave: (line: PublicKey) => number = () => 0
  blobsOn: (line: PublicKey) => number = () => 0
  /** For the metrics. */
  readonly counts = { attached: 0, refused: 0, silent: 0, wrong: 0 }
  readonly #p: AttachmentsPorts
  readonly #lines = new Map<string, Line>()
  readonly #ofCircuit = new WeakMap<AskedCircuit, Line>()
  readonly #known = new Map<string, Known>()

  constructor(ports: AttachmentsPorts) {
    this.#p = ports
    const nowMs = ports.clock.monotonicMs()
    for (const { key, value } of ports.records.list(Uint8Array.of(KIND))) {
      const known = readKnown(key, value)
      // From here on it is waited for: this process has not seen it yet.
      if (known !== undefined) this.#known.set(keyOf(known.key), { ...known, absentSinceMs: nowMs })
    }
  }

  /** What a vault says of its line. */
  serve(request: LineRequest, circuit: AskedCircuit): LineAnswer {
    const line = this.#ofCircuit.get(circuit)
    if (request.kind === 'leave') {
      if (line === undefined) return REFUSED
      line.isLeaving = true
      return { kind: 'left', left: this.onLeave(line.key) }
    }
    if (line === undefined && this.#mayAttach(request, circuit)) return this.#attach(request, circuit)
    this.counts.refused++
    return REFUSED
  }

  attached(): readonly AttachedLine[] {
    return [...this.#lines.values()].map((line) => {
      const { point, key, isLeaving } = line
      const taken = this.blobsOn(key) + line.keeping
      return { point, line: key, isLeaving, slotsFree: Math.max(0, this.#slotsOf(key) - taken) }
    })
  }

  async keep(key: PublicKey, blob: Blob): Promise<'kept' | 'full' | 'failed'> {
    const line = this.#lines.get(keyOf(key))
    if (line === undefined) return 'failed'
    line.keeping++
    try {
      const answer = await this.#ask(line, { kind: 'keep', ...blob }, KEEP_TIMEOUT_MS)
      return answer?.kind === 'kept' || answer?.kind === 'full' ? answer.kind : 'failed'
    } finally {
      line.keeping--
    }
  }

  async read(place: BlobPlace, ask: ReadAsk): Promise<BlobLeaves | undefined> {
    if (this.#lines.has(keyOf(place.line))) return this.readHere(place, ask)
    const { point, line, root } = place
    const { range, leaseEndMs = 0 } = ask
    const outcome = await this.#p.readAfar({ point, line, root, leaseEndMs, range, isPastOwner: false })
    return outcome.end === 'data' ? { leaves: outcome.leaves, proof: outcome.proof } : undefined
  }

  async readHere(place: BlobPlace, ask: ReadAsk): Promise<BlobLeaves | undefined> {
    const line = this.#lines.get(keyOf(place.line))
    if (line === undefined) return undefined
    const { root } = place
    const { range, leaseEndMs = 0 } = ask
    const answer = await this.#ask(line, { kind: 'read', root, range, leaseEndMs }, READ_TIMEOUT_MS)
    if (answer?.kind !== 'data') return undefined
    const { leaves, proof } = answer
    if (verifyMerkleProof(root, range, leaves, proof)) return { leaves, proof }
    this.counts.wrong++
    this.#p.log('warn', 'a vault gave wrong bytes')
    return undefined
  }

  async drop(place: BlobPlace, secret: Uint8Array): Promise<boolean> {
    const line = this.#lines.get(keyOf(place.line))
    const answer = line && (await this.#ask(line, { kind: 'drop', root: place.root, secret }, KEEP_TIMEOUT_MS))
    return answer?.kind === 'kept'
  }

  absentSinceMs(line: PublicKey): number | undefined {
    return this.#known.get(keyOf(line))?.absentSinceMs
  }

  audited(line: PublicKey, hasPassed: boolean): void {
    const known = this.#known.get(keyOf(line))
    if (known === undefined || hasPassed === known.passingSinceMs > 0) return
    known.passingSinceMs = hasPassed ? this.#p.clock.nowMs() : 0
    this.#save(known)
  }

  #mayAttach(request: Extract<LineRequest, { kind: 'attach' }>, circuit: AskedCircuit): boolean {
    const { networkId, selfId, rankOf, profile } = this.#p
    const { line, point, signature } = request
    const name = keyOf(line)
    if (circuit.isGone || (this.#lines.size >= LINES_MAX && !this.#lines.has(name))) return false
    if (rankOf(named32<'Location'>(point, 'point')) >= profile.copies + REGION_EXTRA) return false
    const body = attachBody({ networkId, keeperId: selfId, point, binding: circuit.binding })
    return isSafePublicKey(line) && verifySignature(line, body, signature)
  }

  /** A line of the same key that is still here gives way; what was asked over it goes on. */
  #attach(request: Extract<LineRequest, { kind: 'attach' }>, circuit: AskedCircuit): LineAnswer {
    const key = named32<'PublicKey'>(request.line.slice(), 'line key')
    const point = named32<'Location'>(request.point.slice(), 'point')
    const line: Line = { key, point, circuit, isLeaving: false, asking: 0, keeping: 0, silent: 0, waiting: [] }
    this.#lines.set(keyOf(key), line)
    this.#ofCircuit.set(circuit, line)
    circuit.onGone = () => this.#gone(line)
    this.counts.attached++
    this.#seen(key)
    return { kind: 'attached', slots: this.#slotsOf(key) }
  }

  #seen(key: PublicKey): void {
    const { clock, profile } = this.#p
    const nowMs = clock.nowMs()
    const known = this.#known.get(keyOf(key)) ?? { key, passingSinceMs: 0, seenMs: nowMs, absentSinceMs: undefined }
    // Who was away for so long has passed no audits meanwhile.
    if (nowMs - known.seenMs > profile.vaultAbsentMs) known.passingSinceMs = 0
    known.seenMs = nowMs
    known.absentSinceMs = undefined
    this.#known.set(keyOf(key), known)
    this.#save(known)
    if (this.#known.size > KNOWN_MAX) this.#forgetOldest()
  }

  #gone(line: Line): void {
    for (const go of line.waiting.splice(0)) go()
    const name = keyOf(line.key)
    // Another circuit may have taken its place.
    if (this.#lines.get(name) !== line) return
    this.#lines.delete(name)
    const known = this.#known.get(name)
    if (known === undefined) return
    known.absentSinceMs = this.#p.clock.monotonicMs()
    known.seenMs = this.#p.clock.nowMs()
    this.#save(known)
  }

  #forgetOldest(): void {
    let oldest: Known | undefined
    for (const known of this.#known.values()) {
      if (known.absentSinceMs !== undefined && (oldest === undefined || known.seenMs < oldest.seenMs)) oldest = known
    }
    if (oldest === undefined) return
    this.#known.delete(keyOf(oldest.key))
    this.#write([{ key: recordKey(oldest.key), value: undefined }])
  }

  #slotsOf(key: PublicKey): number {
    const { clock, profile } = this.#p
    const sinceMs = this.#known.get(keyOf(key))?.passingSinceMs ?? 0
    const doublings = sinceMs === 0 ? 0 : Math.floor((clock.nowMs() - sinceMs) / profile.vaultSlotsDoubleMs)
    return Math.min(SLOTS_MAX, profile.vaultSlots * 2 ** Math.min(Math.max(doublings, 0), 16))
  }

  /** Undefined when the line broke, was silent, has too much to do, or speaks nonsense. */
  async #ask(line: Line, request: VaultRequest, timeoutMs: number): Promise<VaultAnswer | undefined> {
    if (line.asking >= CIRCUIT_REQUESTS_MAX) {
      if (line.waiting.length >= WAITING_MAX) return undefined
      await new Promise<void>((go) => line.waiting.push(go))
    }
    line.asking++
    try {
      const answer = decodeVaultAnswer(await line.circuit.ask(encodeVaultRequest(request), { timeoutMs }))
      line.silent = 0
      return answer
    } catch (error) {
      if (error instanceof MalformedError) line.circuit.misbehaved(messageOf(error))
      else if (!(error instanceof CircuitError)) throw error
      else if (!line.circuit.isGone) this.#wasSilent(line)
      return undefined
    } finally {
      line.asking--
      line.waiting.shift()?.()
    }
  }

  #wasSilent(line: Line): void {
    this.counts.silent++
    line.silent++
    if (line.silent >= SILENT_MAX) line.circuit.misbehaved('a line is silent')
  }

  #save(known: Known): void {
    this.#write([{ key: recordKey(known.key), value: encodeKnown(known) }])
  }

  #write(changes: Parameters<RecordStore['write']>[0]): void {
    this.#p.records.write(changes).catch((error: unknown) => {
      this.#p.log('error', 'what is known of a line could not be saved', { reason: messageOf(error) })
    })
  }
}

function recordKey(line: PublicKey): Uint8Array {
  return concatBytes(Uint8Array.of(KIND), line)
}

// a known line, under KIND ‖ line key 32: version u8 (1), passing since u64 (Unix ms; 0: not yet), seen u64 (Unix ms)
function encodeKnown({ passingSinceMs, seenMs }: Known): Uint8Array {
  return new ByteWriter(17).u8(VERSION).u64(Math.round(passingSinceMs)).u64(Math.round(seenMs)).done()
}

/** Undefined for a damaged record: the line begins anew. */
function readKnown(key: Uint8Array, value: Uint8Array): Known | undefined {
  try {
    const r = new ByteReader(value, 'known line')
    if (key.length !== 33 || r.u8() !== VERSION) return undefined
    const times = { passingSinceMs: r.u64(), seenMs: r.u64() }
    r.end()
    return { key: named32<'PublicKey'>(key.slice(1), 'line key'), ...times, absentSinceMs: undefined }
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
}
