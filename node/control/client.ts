/**
 * The client of the control API: what a program on this machine says to its own daemon. Streams in
 * both directions, holds no file in memory, and checks every answer. SPEC control §3 to §7
 */
import type { z } from 'zod'
import { concatBytes, fromUtf8, toUtf8 } from '../../core/index.ts'
import { ControlProtocolError, DaemonError, DaemonGoneError } from './errors.ts'
import { type Answer, exchange } from './exchange.ts'
import { jsonLines, parseJson, parseJsonText } from './lines.ts'
import {
  type CheckStripe,
  type CheckSummary,
  checkEventSchema,
  type ErrorEvent,
  GET_HEADERS,
  getResultSchema,
  type HoldWish,
  inviteAnswerSchema,
  type KeptObject,
  keptEventSchema,
  keptListSchema,
  keptStopSchema,
  type LedgerReport,
  ledgerReportSchema,
  type ObjectKind,
  type PutProgress,
  type PutStored,
  putEventSchema,
  putReadBackSchema,
  RESULT_TRAILER,
  type ReadBackDone,
  type RepairStripe,
  type RepairSummary,
  type RingReport,
  repairEventSchema,
  repairKeyEventSchema,
  ringReportSchema,
  type Status,
  statusSchema,
  stopAnswerSchema,
} from './types.ts'

/** Short questions are answered from memory; a daemon silent for so long hangs. */
const QUESTION_SILENCE_MS_MAX = 30_000
const SMALL_ANSWER_SIZE_MAX = 8 * 1024 * 1024

export interface PutOptions {
  readonly kind: ObjectKind
  /** None unless given. */
  readonly hold?: HoldWish
  readonly name?: string
  readonly type?: string
  /** What the source is expected to give; only for the progress report. */
  readonly sizeBytes?: number
  readonly onProgress?: (progress: PutProgress) => void
  readonly signal?: AbortSignal
}

export interface GetOptions {
  /** Leave out the bytes before this one. */
  readonly fromByte?: number
  readonly signal?: AbortSignal
}

export interface MakeOptions {
  /** Of the storing of the repair list. */
  readonly onProgress?: (progress: PutProgress) => void
  readonly signal?: AbortSignal
}

export interface ObjectStream {
  /** Of the whole object, whatever was left out. */
  readonly lengthBytes: number
  /** As the publisher gave it: not safe as a file name. */
  readonly name: string | undefined
  readonly type: string | undefined
  /** The verified bytes, in order. Ends normally only when all of them came; throws otherwise. */
  readonly body: AsyncIterable<Uint8Array>
  /** Gives the answer up; safe at any time. */
  cancel(): void
}

export interface ControlClient {
  status(signal?: AbortSignal): Promise<Status>
  ring(signal?: AbortSignal): Promise<RingReport>
  put(source: AsyncIterable<Uint8Array>, options: PutOptions): Promise<PutStored>
  get(address: string, options?: GetOptions): Promise<ObjectStream>
  /** One value per stripe as it is known, the summary last. A handle is an address or a repair key. */
  check(handle: string, signal?: AbortSignal): AsyncGenerator<CheckStripe | CheckSummary>
  /** As check. */
  repair(handle: string, signal?: AbortSignal): AsyncGenerator<RepairStripe | RepairSummary>
  /** Stores a repair list and gives the key to it. */
  repairKey(address: string, options?: MakeOptions): Promise<string>
  /** Resolves when the daemon has written down that it looks after the object. */
  keep(handle: string, options?: MakeOptions): Promise<KeptObject>
  /** Soonest visit first. */
  kept(): Promise<readonly KeptObject[]>
  /** By address, repair key or id; gives the id. */
  stopKeeping(name: string): Promise<string>
  /** Resolves when the daemon has read the object's shards back, or given them up. */
  readBack(address: string, signal?: AbortSignal): Promise<ReadBackDone>
  ledger(): Promise<LedgerReport>
  /** The exported chain with a peer, named by the first digits of its id or key. */
  ledgerChain(peer: string): Promise<Uint8Array>
  /** Resolves when the daemon has taken the order, not when it has ended. */
  stop(options: { readonly announce: boolean }): Promise<void>
  invite(): Promise<string>
  /** Prometheus text. */
  metrics(): Promise<string>
}

/** A client for the daemon of `home`. Connects anew for each call, so it outlives daemons. */
export function connectControl(home: string): ControlClient {
  const question = (path: string, signal?: AbortSignal) =>
    small({ home, method: 'GET', path, during: path.slice(4), ...(signal && { signal }) })
  return {
    status: async (signal) => parsed(statusSchema, parseJson(await question('/v1/status', signal)), 'status'),
    ring: async (signal) => parsed(ringReportSchema, parseJson(await question('/v1/ring', signal)), 'ring'),
    put: (source, options) => put(home, source, options),
    get: (address, options = {}) => get(home, address, options),
    check: (handle, signal) =>
      events(
        { home, method: 'GET', path: objectPath(handle, 'check'), during: 'the check' },
        { schema: checkEventSchema, last: 'summary' },
        signal,
      ),
    repair: (handle, signal) =>
      events(
        { home, method: 'POST', path: objectPath(handle, 'repair'), during: 'the repair' },
        { schema: repairEventSchema, last: 'summary' },
        signal,
      ),
    repairKey: (address, options = {}) => makeRepairKey(home, address, options),
    keep: (handle, options = {}) => keep(home, handle, options),
    readBack: (address, signal) => readBack(home, address, signal),
    kept: async () => parsed(keptListSchema, parseJson(await question('/v1/kept')), 'list of kept objects').objects,
    stopKeeping: async (name) => {
      const path = `/v1/kept/${encodeURIComponent(name)}/stop`
      const answer = await small({ home, method: 'POST', path, during: 'the stop of keeping' })
      return parsed(keptStopSchema, parseJson(answer), 'stop of keeping').id
    },
    ledger: async () => parsed(ledgerReportSchema, parseJson(await question('/v1/ledger')), 'ledger'),
    ledgerChain: (peer) => question(`/v1/ledger/${encodeURIComponent(peer)}`),
    stop: async (options) => {
      const body = once(fromUtf8(JSON.stringify({ announce: options.announce })))
      const answer = await small({ home, method: 'POST', path: '/v1/stop', during: 'stop', body })
      parsed(stopAnswerSchema, parseJson(answer), 'stop')
    },
    invite: async () => parsed(inviteAnswerSchema, parseJson(await question('/v1/invite')), 'invite').invite,
    metrics: async () => toUtf8(await question('/v1/metrics')) ?? '',
  }
}

function objectPath(handle: string, verb: string): string {
  return `/v1/objects/${encodeURIComponent(handle)}/${verb}`
}

async function put(home: string, source: AsyncIterable<Uint8Array>, options: PutOptions): Promise<PutStored> {
  const query = new URLSearchParams({ kind: options.kind })
  if (options.hold !== undefined && options.hold !== 'none') query.set('hold', options.hold)
  if (options.name !== undefined) query.set('name', options.name)
  if (options.type !== undefined) query.set('type', options.type)
  if (options.sizeBytes !== undefined) query.set('size', String(options.sizeBytes))
  const { message, translate } = await exchange({
    home,
    method: 'POST',
    path: `/v1/objects?${query}`,
    during: 'the put',
    body: source,
    ...(options.signal && { signal: options.signal }),
  })
  try {
    for await (const line of jsonLines(whole(message, 'the put', translate))) {
      const event = parsed(putEventSchema, line, 'put event')
      if (event.event === 'error') throw new DaemonError(event)
      if (event.event === 'stored') return event
      options.onProgress?.(event)
    }
  } finally {
    message.destroy()
  }
  throw new DaemonGoneError('the put')
}

async function get(home: string, address: string, options: GetOptions): Promise<ObjectStream> {
  const fromByte = options.fromByte ?? 0
  const { message, translate } = await exchange({
    home,
    method: 'GET',
    path: `/v1/objects/${encodeURIComponent(address)}${fromByte > 0 ? `?from=${fromByte}` : ''}`,
    during: 'the get',
    ...(options.signal && { signal: options.signal }),
  })
  const lengthText = message.headers[GET_HEADERS.length]
  if (typeof lengthText !== 'string' || !/^[0-9]{1,15}$/.test(lengthText) || Number(lengthText) < fromByte) {
    message.destroy()
    throw new ControlProtocolError(GET_HEADERS.length)
  }
  const lengthBytes = Number(lengthText)
  return {
    lengthBytes,
    name: decoded(message.headers[GET_HEADERS.name]),
    type: decoded(message.headers[GET_HEADERS.type]),
    body: verifiedBody(message, lengthBytes - fromByte, translate),
    cancel: () => message.destroy(),
  }
}

/** The body, held to its announced size and to the result that follows it. */
async function* verifiedBody(
  message: Answer['message'],
  wantedBytes: number,
  translate: Answer['translate'],
): AsyncGenerator<Uint8Array> {
  let gotBytes = 0
  for await (const piece of whole(message, 'the get', translate)) {
    gotBytes += piece.length
    if (gotBytes > wantedBytes) throw new ControlProtocolError('more bytes than announced')
    yield piece
  }
  const trailer = message.trailers[RESULT_TRAILER]
  if (trailer === undefined) throw new DaemonGoneError('the get')
  const result = parsed(getResultSchema, parseJsonText(trailer), RESULT_TRAILER)
  if ('code' in result) throw new DaemonError(result)
  if (gotBytes !== wantedBytes) throw new ControlProtocolError('fewer bytes than announced')
}

/** The events of a call, checked, its error thrown; ends after the one called `last`. */
async function* events<Event extends { readonly event: string }>(
  call: { readonly home: string; readonly method: 'GET' | 'POST'; readonly path: string; readonly during: string },
  of: { readonly schema: z.ZodType<Event | ErrorEvent>; readonly last: string },
  signal: AbortSignal | undefined,
): AsyncGenerator<Event> {
  const { message, translate } = await exchange({ ...call, ...(signal && { signal }) })
  try {
    for await (const line of jsonLines(whole(message, call.during, translate))) {
      const event = parsed(of.schema, line, `event of ${call.during}`)
      if (isError(event)) throw new DaemonError(event)
      yield event
      if (event.event === of.last) return
    }
  } finally {
    message.destroy()
  }
  throw new DaemonGoneError(call.during)
}

function isError(event: { readonly event: string }): event is ErrorEvent {
  return event.event === 'error'
}

async function readBack(home: string, address: string, signal: AbortSignal | undefined): Promise<ReadBackDone> {
  const call = { home, method: 'POST', path: objectPath(address, 'read-back'), during: 'the read-back' } as const
  for await (const event of events(call, { schema: putReadBackSchema, last: 'read-back' }, signal)) {
    if (event.event === 'read-back') return event
  }
  throw new DaemonGoneError(call.during)
}

async function makeRepairKey(home: string, address: string, options: MakeOptions): Promise<string> {
  const call = { home, method: 'POST', path: objectPath(address, 'repair-key'), during: 'the repair key' } as const
  for await (const event of events(call, { schema: repairKeyEventSchema, last: 'made' }, options.signal)) {
    if (event.event === 'made') return event.repairKey
    if (event.event === 'progress') options.onProgress?.(event)
  }
  throw new DaemonGoneError(call.during)
}

async function keep(home: string, handle: string, options: MakeOptions): Promise<KeptObject> {
  const call = { home, method: 'POST', path: `/v1/kept/${encodeURIComponent(handle)}`, during: 'the keep' } as const
  for await (const event of events(call, { schema: keptEventSchema, last: 'kept' }, options.signal)) {
    if (event.event === 'progress') options.onProgress?.(event)
    if (event.event !== 'kept') continue
    const { event: _, ...kept } = event
    return kept
  }
  throw new DaemonGoneError(call.during)
}

/** A question with a small answer, read whole. */
async function small(wish: Parameters<typeof exchange>[0]): Promise<Uint8Array> {
  const { message, translate } = await exchange({ ...wish, silenceMsMax: QUESTION_SILENCE_MS_MAX })
  const pieces: Uint8Array[] = []
  let size = 0
  for await (const piece of whole(message, wish.during, translate)) {
    size += piece.length
    if (size > SMALL_ANSWER_SIZE_MAX) throw new ControlProtocolError('answer too long')
    pieces.push(piece)
  }
  return concatBytes(...pieces)
}

/** The body of an answer; a connection cut short is an error, not an end. */
async function* whole(
  message: Answer['message'],
  during: string,
  translate: Answer['translate'],
): AsyncGenerator<Uint8Array> {
  const pieces = (message as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await pieces.next().catch((error: unknown) => {
        throw translate(error)
      })
      if (next.done === true) break
      yield next.value
    }
    if (!message.complete) throw translate(new DaemonGoneError(during))
  } finally {
    message.destroy()
  }
}

function parsed<Schema extends z.ZodType>(schema: Schema, value: unknown, what: string): z.output<Schema> {
  const result = schema.safeParse(value)
  if (!result.success) throw new ControlProtocolError(what, { cause: result.error })
  return result.data
}

function decoded(header: string | string[] | undefined): string | undefined {
  if (typeof header !== 'string' || header === '') return undefined
  try {
    return decodeURIComponent(header)
  } catch (cause) {
    throw new ControlProtocolError('percent-encoding', { cause })
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
