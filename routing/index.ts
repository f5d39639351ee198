/** The door of routing: links, circuits, the ring, membership, requests. Pure but for the ports it names. */
export {
  bodyOf,
  type Cell,
  COMMANDS,
  type Command,
  isDialersCircuit,
  makeCell,
  newCell,
  readCell,
  writeHeader,
} from './circuit/cell.ts'
export { ClientLayers, type Forwarded, type Opened, RelayLayer } from './circuit/layers.ts'
export {
  type Create,
  DESTROY_REASONS,
  type DestroyReason,
  decodeAck,
  decodeCreate,
  decodeCreated,
  decodeDestroy,
  decodeExtend,
  decodeExtended,
  decodeExtendFailed,
  EXTEND_FAILURES,
  type Extend,
  type ExtendFailure,
  effortAsked,
  effortOfExtendFailed,
  encodeAck,
  encodeCreate,
  encodeCreated,
  encodeDestroy,
  encodeExtend,
  encodeExtended,
  encodeExtendFailed,
  isWindowed,
  type PuzzleProof,
  RELAY_COMMANDS,
  type RelayCommand,
  type RelayMessage,
} from './circuit/relay-messages.ts'
export { StreamJoiner, splitForStream } from './circuit/streams.ts'
export { ReceiveWindow, SendWindow } from './circuit/window.ts'
export { BadDescriptorError } from './errors.ts'
export { Account, LOAD_HOLDING, type Place, type Standing, uploadShare, wordAt } from './ledger/account.ts'
export {
  balanceOf,
  decodeEntry,
  ENTRY_SIZE,
  type Ends,
  type Entry,
  encodeEntry,
  endsOf,
  isSameEntry,
  OPENING_SIZE,
  proposerOf,
  type Side,
  sideOf,
} from './ledger/entry.ts'
export { Fund } from './ledger/fund.ts'
export { type Fault, judgeChain, type Verdict } from './ledger/judge.ts'
export {
  CHAIN_ENTRIES_MAX,
  CHAIN_SIZE_MAX,
  type ChainFile,
  decodeChain,
  decodeLedgerMessage,
  encodeChain,
  encodeLedgerMessage,
  type LedgerMessage,
  type Notice,
  WORDS,
  type Word,
} from './ledger/messages.ts'
export {
  messageOf as ledgerMessageOf,
  NEW_PAIR,
  open as openLedger,
  type PairContext,
  type PairState,
  propose as proposeEntry,
  receive as receiveLedger,
  type Wish,
} from './ledger/pair.ts'
export { CELL_PRICE, copyPrice, dataPrice, storePrice } from './ledger/price.ts'
export { type AccountRecord, decodeAccountRecord, encodeAccountRecord } from './ledger/record.ts'
export { FairQueue, type FairQueueBounds, type Priority } from './link/fair-queue.ts'
export {
  MESSAGES_BEGUN_MAX,
  type MessageBounds,
  MessageJoiner,
  messageCellCount,
  splitMessage,
} from './link/fragments.ts'
export type { DialTarget, Link, LinkHandlers, Listener, Transport } from './link/port.ts'
export { ADDRESSES_MAX, type Endpoint, splitEndpoint } from './membership/address.ts'
export {
  DESCRIPTOR_SIZE_MAX,
  type Descriptor,
  type DescriptorFields,
  decodeDescriptor,
  encodeDescriptor,
  encodedId,
  type Roles,
  signDescriptor,
  verifyDescriptor,
} from './membership/descriptor.ts'
export {
  arcDigests,
  decodeDigests,
  decodeExchange,
  decodeSummaries,
  differingArcs,
  type Exchange,
  encodeExchange,
  encodeSummaries,
  missing,
  type Summaries,
  summariesFor,
  wantedFrom,
} from './membership/gossip.ts'
export { areApart, pickGuard, pickMiddle, pickRelay } from './membership/selection.ts'
export { type Admission, ARC_COUNT, MEMBERS_MAX, View } from './membership/view.ts'
export { CongestionWindow, type Ending } from './request/congestion-window.ts'
export {
  type Call,
  type CircuitOutcome,
  type CircuitRequest,
  COPY_RESULT,
  decodeCall,
  decodeCircuitOutcome,
  decodeCircuitRequest,
  decodeRingRequest,
  encodeAnnounce,
  encodeCall,
  encodeCircuitOutcome,
  encodeCircuitRequest,
  encodeNotice,
  encodeRingGet,
  encodeRingOutcome,
  encodeRingPut,
  encodeRingRenew,
  encodeRingWait,
  type GetRequest,
  HAVE_REFS_MAX,
  HELD,
  type Hold,
  isWhole,
  LEASE_DAYS_MAX,
  type LeafRange,
  LINK_MESSAGE,
  NONCE_SIZE,
  type Outcome,
  POINTERS_MAX,
  PROVE_REFS_MAX,
  type PutRequest,
  REFUSAL,
  type Receipt,
  type RenewRequest,
  RID_SIZE,
  type RingRequestMessage,
  type ToldPointer,
  WHOLE,
} from './request/messages.ts'
export { RetryBudget } from './request/retry-budget.ts'
export {
  decodeLineAnswer,
  decodeLineRequest,
  decodeRemoteRead,
  decodeVaultAnswer,
  decodeVaultRequest,
  encodeLineAnswer,
  encodeLineRequest,
  encodeRemoteRead,
  encodeVaultAnswer,
  encodeVaultRequest,
  type LineAnswer,
  type LineRequest,
  type RemoteRead,
  type VaultAnswer,
  type VaultRequest,
} from './request/vault-messages.ts'
export { type Crowd, crowdBeside } from './ring/density.ts'
export { fingersOf } from './ring/fingers.ts'
export { distance, isBetween, isUpTo, pointAfter, pointOnArc } from './ring/point.ts'
export { type Hop, isOwner, nextHop, ownersOf, REGION_EXTRA, rankOf } from './ring/route.ts'
export { answerOf, isAlone, perfectRing, type RingAnswer, type RingState } from './ring/state.ts'
export {
  afterCandidateAnswer,
  afterCandidateSilent,
  afterJoin,
  afterSuccessorAnswer,
  afterSuccessorDead,
  canAdopt,
  firstQuery,
  nearerMember,
  onNotify,
  onPredecessorDead,
  type RingNext,
  type RingQuery,
  type RingStep,
} from './ring/steps.ts'
