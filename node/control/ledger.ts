/**
 * Ledgers for people: what the daemon tells of its accounts, and the judging of an exported chain, which
 * needs no daemon. SPEC control §13
 */
import { fromHex, InputError, MalformedError, toHex } from '../../core/index.ts'
import {
  balanceOf,
  CHAIN_SIZE_MAX,
  decodeChain,
  encodeChain,
  judgeChain,
  proposerOf,
  type Verdict,
} from '../../routing/index.ts'
import type { HushNode } from '../compose.ts'
import type { AccountReport } from '../roles/accounts.ts'
import type { LedgerAccount, LedgerReport, Status } from './types.ts'

export const CHAIN_FILE_SIZE_MAX = CHAIN_SIZE_MAX

/** Digits that name a peer at least. */
const NAME_DIGITS_MIN = 4

/** No account, or more than one, goes by that name. */
export class NoAccountError extends InputError {
  readonly code = 'ERR_NO_ACCOUNT'
  constructor(why: string) {
    super(why, { hint: 'see the peers with: hush ledger' })
  }
}

/** The file is no exported ledger. */
export class BadLedgerFileError extends InputError {
  readonly code = 'ERR_BAD_LEDGER_FILE'
  constructor(cause: MalformedError) {
    super('this is not a ledger file, or it was cut short', { cause, hint: 'make one with: hush ledger export PEER' })
  }
}

export class LedgerCalls {
  readonly #node: HushNode
  constructor(node: HushNode) {
    this.#node = node
  }

  report(): LedgerReport {
    const { accounts, settings } = this.#node
    const told = accounts.reports().map((report) => this.#told(report))
    // Most at stake first.
    told.sort((a, b) => b.given + b.got - (a.given + a.got))
    const sum = (of: (account: LedgerAccount) => number): number => told.reduce((total, each) => total + of(each), 0)
    return {
      key: toHex(accounts.ownKey),
      isNode: settings.node !== undefined,
      load: Math.min(1, accounts.load),
      totals: {
        accounts: told.length,
        given: sum(({ given }) => given),
        got: sum(({ got }) => got),
        owedToUs: sum(({ balance }) => Math.max(0, balance)),
        owedByUs: sum(({ balance }) => Math.max(0, 0 - balance)),
      },
      accounts: told,
    }
  }

  summary(): NonNullable<Status['ledger']> {
    const reports = this.#node.accounts.reports()
    const slowedBy = reports.filter(({ heard }) => heard !== undefined && heard.word !== 'serve').length
    return { accounts: reports.length, slowedBy }
  }

  /** The exported chain with a peer, named by the first digits of its key or id. */
  chain(name: string): Uint8Array {
    const { accounts } = this.#node
    const digits = name.toLowerCase()
    if (
      digits.length < NAME_DIGITS_MIN ||
      fromHex(digits.padEnd(digits.length + (digits.length % 2), '0')) === undefined
    )
      throw new NoAccountError(`a peer is named by ${NAME_DIGITS_MIN} or more hex digits`)
    const found = accounts.reports().filter(({ peer }) => {
      const id = this.#idOf(peer)
      return toHex(peer).startsWith(digits) || id?.startsWith(digits) === true
    })
    const [only, ...more] = found
    if (only === undefined) throw new NoAccountError('there is no account with that peer')
    if (more.length > 0) throw new NoAccountError('more than one peer goes by these digits')
    const chain = accounts.chain(only.peer)
    if (chain === undefined) throw new NoAccountError('nothing has been signed with that peer yet')
    return encodeChain(chain)
  }

  #idOf(peer: AccountReport['peer']): string | undefined {
    const id = this.#node.view.byKey(peer)?.id
    return id && toHex(id)
  }

  #told(report: AccountReport): LedgerAccount {
    const { peer, isFraud, standing, heard, ...figures } = report
    const id = this.#idOf(peer)
    return {
      ...figures,
      peer: toHex(peer),
      ...(id !== undefined && { id }),
      fraud: isFraud,
      allowance: Math.floor(standing.allowance),
      word: standing.word,
      score: standing.score,
      ...(heard !== undefined && { heard }),
    }
  }
}

/** An entry as people read it. */
export interface LedgerLine {
  readonly number: number
  readonly by: 'A' | 'B'
  readonly minute: number
  readonly servedAB: number
  readonly servedBA: number
  readonly forwarded: number
  readonly forgiven: number
  /** Above zero: B owes A. */
  readonly balance: number
  readonly limitAB: number
  readonly limitBA: number
}

export interface JudgedLedger {
  readonly keyA: string
  readonly keyB: string
  readonly verdict: Verdict
  readonly lines: readonly LedgerLine[]
}

/** Throws ERR_BAD_LEDGER_FILE for what is none; whatever is wrong within is the verdict's. */
export function judgeLedgerFile(bytes: Uint8Array): JudgedLedger {
  try {
    const { ends, opening, entries } = decodeChain(bytes)
    const lines = entries.map((entry) => {
      const { number, minute, servedAB, servedBA, forwarded, forgiven, limitAB, limitBA } = entry
      const balance = balanceOf(entry)
      return {
        number,
        by: proposerOf(entry),
        minute,
        servedAB,
        servedBA,
        forwarded,
        forgiven,
        balance,
        limitAB,
        limitBA,
      }
    })
    return { keyA: toHex(ends.keyA), keyB: toHex(ends.keyB), verdict: judgeChain(ends, opening, entries), lines }
  } catch (error) {
    throw error instanceof MalformedError ? new BadLedgerFileError(error) : error
  }
}
