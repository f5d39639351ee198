/**
 * Every request and answer of the local control API, as zod schemas and the types they imply. The
 * daemon writes what these types say; the client checks what it reads and ignores fields it does not
 * know, so that a newer daemon can say more. SPEC control §3 to §6
 *
 * Ids are lower-case hex. Sizes in bytes, times in Unix milliseconds unless named otherwise.
 */
import { z } from 'zod'

// --- errors (SPEC control §2) --------------------------------------------------------------------

export const errorBodySchema = z.object({
  code: z.string().regex(/^ERR_[A-Z0-9_]{1,60}$/),
  kind: z.enum(['input', 'peer', 'unavailable', 'local', 'bug']),
  message: z.string().max(4096),
  hint: z.string().max(4096).optional(),
})
export type ErrorBody = z.infer<typeof errorBodySchema>

const count = z.number().int().nonnegative()
const hex = z.string().regex(/^[0-9a-f]{2,64}$/)

export const healthSchema = z.enum(['perfect', 'good', 'weak', 'critical', 'lost'])
export type Health = z.infer<typeof healthSchema>

// --- GET /v1/status, GET /v1/ring (SPEC control §3) ----------------------------------------------

export const statusSchema = z.object({
  version: z.string(),
  protocol: count,
  pid: count,
  role: z.enum(['node', 'client']),
  /** `id` is the first 16 digits. */
  network: z.object({ id: hex, profile: z.string() }),
  /** Absent at a client. Ids in `ring` are the first 16 digits. */
  node: z
    .object({
      id: hex,
      address: z.string(),
      ring: z.object({ predecessor: hex.optional(), successors: z.array(hex) }),
      joined: z.boolean(),
      shards: count,
      storedBytes: count,
      quotaBytes: count,
      cacheBytes: count,
      corruptDropped: count,
      /** Members that stand closer beside this node than chance explains, within `arcs` average arcs; absent when none do. */
      crowd: z.object({ members: count, arcs: z.number().nonnegative() }).optional(),
      /** Others' puts that it keeps back as a gateway; absent from daemons that cannot. */
      heldPuts: count.optional(),
    })
    .optional(),
  /** Of what this node answers for, where it lies; absent at a client. Audits since the start. */
  contents: z
    .object({ here: count, inTwoVaults: count, inOneVault: count, auditsPassed: count, auditsFailed: count })
    .optional(),
  /** Absent where there are no vaults: `lines` to keepers that it serves, `attached` lines of vaults that serve it. */
  vault: z.object({ lines: count, attached: count, blobs: count, storedBytes: count, quotaBytes: count }).optional(),
  view: z.object({ members: count, reachable: count }),
  circuits: z.object({ ready: count, building: count, gateways: count, wanted: count }),
  /** `id` is the first 8 digits. */
  guard: z.object({ id: hex, since: z.number() }).optional(),
  /** Present while there is cover traffic: loops sent and come back; cells of requests in their place, and beside. */
  cover: z.object({ sent: count, back: count, inPlace: count, beside: count }).optional(),
  links: count,
  pending: z.object({ shards: count }),
  /** Absent from daemons that cannot look after objects. `worst` of the last visits. */
  keeping: z.object({ objects: count, worst: healthSchema.optional(), nextMs: count.optional() }).optional(),
  /** Own puts whose shards are to be read back, and what came of it since the start; absent from older daemons. */
  readBack: z
    .object({
      waiting: count,
      /** Of these, objects that gateways still hold; absent from daemons that cannot ask for it. */
      handedOver: count.optional(),
      nextInMs: count.optional(),
      verified: count,
      restored: count,
      unproven: count,
    })
    .optional(),
  /** Absent from daemons without ledgers. `slowedBy`: peers that said lately that this home must wait. */
  ledger: z.object({ accounts: count, slowedBy: count }).optional(),
  uptimeSeconds: z.number().nonnegative(),
  memory: z.object({ rssBytes: count }),
})
export type Status = z.infer<typeof statusSchema>

export const ringReportSchema = z.object({
  id: hex,
  joined: z.boolean(),
  predecessor: hex.optional(),
  successors: z.array(hex),
  address: z.string(),
})
export type RingReport = z.infer<typeof ringReportSchema>

// --- POST /v1/objects (SPEC control §4) ----------------------------------------------------------

export const objectKindSchema = z.enum(['private', 'public'])
export type ObjectKind = z.infer<typeof objectKindSchema>

/** How long gateways keep the shards of a put back. SPEC requests §10 */
export const HOLD_WISHES = ['none', 'minutes', 'long'] as const
export type HoldWish = (typeof HOLD_WISHES)[number]

/** Limits of the root object's fields, in bytes of UTF-8. */
export const NAME_SIZE_MAX = 255
export const TYPE_SIZE_MAX = 127

/** The query of a put, as text from the URL. `size` only helps the progress report. */
export const putQuerySchema = z.object({
  kind: objectKindSchema.default('private'),
  hold: z.enum(HOLD_WISHES).default('none'),
  name: z.string().max(NAME_SIZE_MAX).optional(),
  type: z.string().max(TYPE_SIZE_MAX).optional(),
  size: z
    .string()
    .regex(/^[0-9]{1,15}$/)
    .transform(Number)
    .optional(),
})
export type PutQuery = z.infer<typeof putQuerySchema>

export const putProgressSchema = z.object({
  event: z.literal('progress'),
  readBytes: count,
  storedShards: count,
  /** Known once the length is. */
  totalShards: count.optional(),
})
export type PutProgress = z.infer<typeof putProgressSchema>

/** `stored` of `shards` have a valid receipt, gateways hold `handed`; the daemon goes on with the `pending` ones. */
export const putStoredSchema = z.object({
  event: z.literal('stored'),
  address: z.string().max(256),
  lengthBytes: count,
  shards: count,
  stored: count,
  /** Absent from daemons that cannot ask for it. */
  handed: count.default(0),
  pending: count,
  stripes: count,
})
export type PutStored = z.infer<typeof putStoredSchema>

/** The only line of a read-back: what came of it. `restored` of `missing` were put again. */
const readBackDoneSchema = z.object({
  event: z.literal('read-back'),
  verified: z.boolean(),
  shards: count,
  missing: count,
  restored: count,
  /** Absent when no reading came to an end. */
  health: healthSchema.optional(),
})
export type ReadBackDone = z.infer<typeof readBackDoneSchema>

const errorEventSchema = errorBodySchema.extend({ event: z.literal('error') })
export type ErrorEvent = z.infer<typeof errorEventSchema>

export const putEventSchema = z.discriminatedUnion('event', [putProgressSchema, putStoredSchema, errorEventSchema])
export type PutEvent = z.infer<typeof putEventSchema>

// --- POST /v1/objects/ADDRESS/read-back (SPEC control §12) ---------------------------------------

export const putReadBackSchema = z.discriminatedUnion('event', [readBackDoneSchema, errorEventSchema])

// --- GET /v1/objects/ADDRESS (SPEC control §5) ---------------------------------------------------

export const getQuerySchema = z.object({
  from: z
    .string()
    .regex(/^[0-9]{1,15}$/)
    .transform(Number)
    .default(0),
})
export type GetQuery = z.infer<typeof getQuerySchema>

/** Lower case, as node:http gives and takes them. Name and type are percent-encoded UTF-8. */
export const GET_HEADERS = { length: 'x-hush-length', name: 'x-hush-name', type: 'x-hush-type' } as const
/** The trailer that says whether the body before it is whole. */
export const RESULT_TRAILER = 'x-hush-result'

export const getResultSchema = z.union([z.object({ ok: z.literal(true) }), errorBodySchema])
export type GetResult = z.infer<typeof getResultSchema>

// --- GET /v1/objects/ADDRESS/check (SPEC control §6) ---------------------------------------------

const partSchema = z.enum(['object', 'list'])

export const checkStripeSchema = z.object({
  event: z.literal('stripe'),
  /** `list`: of the repair list, when a repair key was given. */
  part: partSchema.default('object'),
  stripe: count,
  /** 0: the file's bytes; above: the lists that lead to them. */
  level: count,
  needed: count,
  total: count,
  reachable: count,
  health: healthSchema,
})
export type CheckStripe = z.infer<typeof checkStripeSchema>

/** The last line: sums over all stripes, and the worst health of any. */
export const checkSummarySchema = z.object({
  event: z.literal('summary'),
  stripes: count,
  shards: count,
  reachable: count,
  health: healthSchema,
})
export type CheckSummary = z.infer<typeof checkSummarySchema>

export const checkEventSchema = z.discriminatedUnion('event', [checkStripeSchema, checkSummarySchema, errorEventSchema])
export type CheckEvent = z.infer<typeof checkEventSchema>

// --- POST /v1/objects/HANDLE/repair, POST /v1/objects/ADDRESS/repair-key (SPEC control §10) ------------

export const repairStripeSchema = z.object({
  event: z.literal('stripe'),
  part: partSchema,
  stripe: count,
  level: count,
  needed: count,
  total: count,
  /** Shards that nobody proved to hold; of these, stored again, and rebuilt but without a keeper yet. */
  missing: count,
  rebuilt: count,
  pending: count,
  /** Shards whose lease was prolonged. */
  renewed: count,
  movedBytes: count,
})
export type RepairStripe = z.infer<typeof repairStripeSchema>

/** The last line: sums, and the worst health that any stripe was left in. */
export const repairSummarySchema = z.object({
  event: z.literal('summary'),
  stripes: count,
  shards: count,
  missing: count,
  rebuilt: count,
  pending: count,
  renewed: count,
  movedBytes: count,
  health: healthSchema,
})
export type RepairSummary = z.infer<typeof repairSummarySchema>

export const repairEventSchema = z.discriminatedUnion('event', [
  repairStripeSchema,
  repairSummarySchema,
  errorEventSchema,
])

export const madeSchema = z.object({ event: z.literal('made'), repairKey: z.string().max(256) })
export const repairKeyEventSchema = z.discriminatedUnion('event', [putProgressSchema, madeSchema, errorEventSchema])

// --- GET /v1/kept, POST /v1/kept/HANDLE, POST /v1/kept/NAME/stop (SPEC control §11) ---------------------

export const keptSchema = z.object({
  /** 16 digits; the same for an object whatever it is kept by. */
  id: hex,
  repairKey: z.string().max(256),
  addedMs: count,
  nextMs: count,
  /** Absent until the first visit. */
  last: z.object({ atMs: count, health: healthSchema, missing: count, rebuilt: count, pending: count }).optional(),
})
export type KeptObject = z.infer<typeof keptSchema>
export const keptListSchema = z.object({ objects: z.array(keptSchema) })

export const keptEventSchema = z.discriminatedUnion('event', [
  putProgressSchema,
  keptSchema.extend({ event: z.literal('kept') }),
  errorEventSchema,
])
export const keptStopSchema = z.object({ id: hex })

// --- GET /v1/ledger, GET /v1/ledger/PEER (SPEC control §13) ----------------------------------------------

const credits = z.number().int()
const wordSchema = z.enum(['serve', 'delay', 'refuse'])

export const ledgerAccountSchema = z.object({
  /** The key of its link; `id` when it is a member of the ring. */
  peer: hex,
  id: hex.optional(),
  /** Signed by both; above zero the peer owes. */
  balance: credits,
  /** With what is not signed yet. */
  exposure: credits,
  /** What the peer may owe, under load as well, and what it lets this home owe. */
  limit: count,
  allowance: count,
  peerLimit: count,
  given: count,
  got: count,
  /** Credits that are forgiven under load for what the peer has served. */
  merit: count,
  unsignedGiven: credits,
  unsignedGot: credits,
  /** Number of the last entry. */
  entries: count,
  strikes: count,
  fraud: z.boolean(),
  word: wordSchema,
  score: z.number().min(0).max(1),
  /** What the peer said lately of how it serves this home. */
  heard: z.object({ word: wordSchema, exposure: count, limit: count }).optional(),
})
export type LedgerAccount = z.infer<typeof ledgerAccountSchema>

export const ledgerReportSchema = z.object({
  key: hex,
  isNode: z.boolean(),
  /** Of what may be sent, what is; 0 to 1. */
  load: z.number().min(0).max(1),
  totals: z.object({ accounts: count, given: count, got: count, owedToUs: count, owedByUs: count }),
  accounts: z.array(ledgerAccountSchema),
})
export type LedgerReport = z.infer<typeof ledgerReportSchema>

// --- POST /v1/stop, GET /v1/invite (SPEC control §7) ---------------------------------------------

/** `announce`: leave the ring in order, hand over, then end. Otherwise end at once. */
export const stopRequestSchema = z.object({ announce: z.boolean().default(true) })
export type StopRequest = z.infer<typeof stopRequestSchema>

export const stopAnswerSchema = z.object({ ok: z.literal(true) })
export type StopAnswer = z.infer<typeof stopAnswerSchema>

export const inviteAnswerSchema = z.object({ invite: z.string() })
export type InviteAnswer = z.infer<typeof inviteAnswerSchema>
