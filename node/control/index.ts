/** The door of the control API: for the cli, for programs of one's own, and for the daemon's server. */
export {
  type ControlClient,
  connectControl,
  type GetOptions,
  type MakeOptions,
  type ObjectStream,
  type PutOptions,
} from './client.ts'
export {
  ControlAccessError,
  ControlProtocolError,
  DaemonError,
  DaemonGoneError,
  DaemonSilentError,
  NoDaemonError,
} from './errors.ts'
export { CHAIN_FILE_SIZE_MAX, type JudgedLedger, judgeLedgerFile, type LedgerLine } from './ledger.ts'
export { controlPathOf, folderError, homeHolder } from './path.ts'
export {
  type CheckEvent,
  type CheckStripe,
  type CheckSummary,
  type ErrorBody,
  GET_HEADERS,
  type Health,
  HOLD_WISHES,
  type HoldWish,
  type KeptObject,
  type LedgerAccount,
  type LedgerReport,
  NAME_SIZE_MAX,
  type ObjectKind,
  type PutEvent,
  type PutProgress,
  type PutStored,
  RESULT_TRAILER,
  type ReadBackDone,
  type RepairStripe,
  type RepairSummary,
  type RingReport,
  type Status,
  TYPE_SIZE_MAX,
} from './types.ts'
