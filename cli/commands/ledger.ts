/** hush ledger: who has served whom, as both ends of each link have signed. SPEC control §13 */
import { open, readFile, stat } from 'node:fs/promises'
import { Command } from 'commander'
import { CHAIN_FILE_SIZE_MAX, type JudgedLedger, judgeLedgerFile, type LedgerReport } from '../../node/control/index.ts'
import { contextOf } from '../context.ts'
import { FileUnreadableError, LocalFileError, TargetExistsError } from '../errors.ts'
import { EXIT } from '../render/errors.ts'
import { tableText } from '../render/tables.ts'
import { countText, sizeText } from '../render/text.ts'
import type { World } from '../world.ts'

/** Digits of a peer that are shown. */
const PEER_DIGITS = 16
const CREDIT_BYTES = 1_024
const NUMBER = { align: 'right' } as const

export function ledgerCommand(world: World, setExit: (code: number) => void): Command {
  const ledger = new Command('ledger')
    .description('show who has served whom: accounts with link neighbours')
    .addHelpText(
      'after',
      `
A credit is 1 KiB carried over one link. Above zero a balance says that the peer owes this home.
Under load a peer that owes more than its allowance waits; one that owes 125% of it shares with all
others of that kind what little the node has for them. The allowance grows with what a peer serves.
A PEER is named by the first digits of its id or key.`,
    )
    .action(async (_: unknown, command: Command) => {
      const { daemon, voice } = contextOf(world, command)
      const report = await daemon.ledger()
      voice.answer(reportText(report), report)
      for (const { id, peer, heard } of report.accounts) {
        if (heard === undefined || heard.word === 'serve') continue
        const name = (id ?? peer).slice(0, PEER_DIGITS)
        voice.note(heldText(name, heard))
        voice.hint(
          report.isNode
            ? 'what this node serves it pays many times over; debts are forgiven while the peer is not busy'
            : 'serve others to be served first: run a node (hush init without --client); or wait until it is not busy',
        )
      }
    })
  ledger.addCommand(
    new Command('show')
      .description('show what both have signed, entry by entry')
      .argument('<peer>', 'first digits of its id or key')
      .action(async (peer: string, _: unknown, command: Command) => {
        const { daemon, voice } = contextOf(world, command)
        const judged = judgeLedgerFile(await daemon.ledgerChain(peer.trim()))
        voice.answer(`${linesText(judged)}\n${verdictText(judged)}`, judged)
      }),
  )
  ledger.addCommand(
    new Command('export')
      .description('write the chain with a peer to a file that anybody can check')
      .argument('<peer>', 'first digits of its id or key')
      .option('-o, --output <file>', 'where to write it (default: PEER.ledger)')
      .action(async (peer: string, options: { output?: string }, command: Command) => {
        const { daemon, voice, path } = contextOf(world, command)
        const bytes = await daemon.ledgerChain(peer.trim())
        const target = path(options.output ?? `${peer.trim()}.ledger`)
        await writeNew(target, bytes)
        voice.answer(target, { file: target, sizeBytes: bytes.length })
        voice.hint(`check it anywhere with: hush ledger verify ${target}`)
      }),
  )
  ledger.addCommand(
    new Command('verify')
      .description('check an exported chain; needs no daemon')
      .argument('<file>', 'what `hush ledger export` wrote')
      .addHelpText('after', '\nExit codes: 0 good, 5 broken or forked, 2 not a ledger.')
      .action(async (file: string, _: unknown, command: Command) => {
        const { voice, path } = contextOf(world, command)
        const judged = judgeLedgerFile(await readSmall(path(file)))
        voice.answer(verdictText(judged), {
          ...judged.verdict,
          keyA: judged.keyA,
          keyB: judged.keyB,
          entries: judged.lines.length,
        })
        if (judged.verdict.verdict !== 'good') setExit(EXIT.peer)
      }),
  )
  return ledger
}

export function heldText(name: string, { exposure, limit }: NonNullable<LedgerReport['accounts'][0]['heard']>): string {
  const busy = `${name} is busy and makes this home wait`
  if (limit === 0) return `${busy}: it serves first who has served it, and this home has not`
  return `${busy}: it is owed ${exposure} credits, and lends this home ${limit} while it is busy`
}

export function reportText({ totals, accounts, load }: LedgerReport): string {
  const rows = accounts.map((account) => [
    (account.id ?? account.peer).slice(0, PEER_DIGITS),
    account.id === undefined ? 'client' : 'member',
    account.balance,
    account.unsignedGiven - account.unsignedGot,
    account.allowance,
    account.limit,
    account.peerLimit,
    sizeText(account.given * CREDIT_BYTES),
    sizeText(account.got * CREDIT_BYTES),
    account.entries,
    account.fraud ? 'fraud' : account.word,
    account.score.toFixed(2),
  ])
  const heads = ['balance', 'unsigned', 'allowance', 'limit', 'ours', 'gave', 'got', 'last entry']
  const columns = [
    { head: 'peer' },
    { head: 'kind' },
    ...heads.map((head) => ({ head, ...NUMBER })),
    { head: 'word' },
    { head: 'standing', ...NUMBER },
  ]
  const { given, got, owedToUs, owedByUs } = totals
  const sum =
    `${countText(totals.accounts, 'account')}; gave ${sizeText(given * CREDIT_BYTES)}, got ${sizeText(got * CREDIT_BYTES)}; ` +
    `owed to this home ${owedToUs}, by it ${owedByUs} credits; load ${Math.round(load * 100)}%`
  return accounts.length === 0 ? sum : `${tableText(columns, rows)}\n${sum}`
}

export function linesText({ keyA, keyB, lines }: JudgedLedger): string {
  const heads = ['entry', 'by', 'minute', 'A gave', 'B gave', 'paid', 'forgiven', 'balance', 'limit of B', 'limit of A']
  const rows = lines.map((line) => [
    line.number,
    line.by,
    new Date(line.minute * 60_000).toISOString().slice(0, 16),
    line.servedAB,
    line.servedBA,
    line.forwarded,
    line.forgiven,
    line.balance,
    line.limitAB,
    line.limitBA,
  ])
  const columns = heads.map((head) => ({ head, ...NUMBER }))
  return `A ${keyA}\nB ${keyB}\n${tableText(columns, rows)}`
}

export function verdictText({ verdict, lines }: JudgedLedger): string {
  if (verdict.verdict === 'forked')
    return `forked at entry ${verdict.at}: two with one number, both signed by ${verdict.by}`
  if (verdict.verdict === 'broken') return `broken at entry ${verdict.at}: ${verdict.why}`
  const whole = verdict.isWhole ? '' : `, from number ${lines[0]?.number} on; what came before is not in it`
  return `good: ${countText(lines.length, 'entry', 'entries')}${whole}`
}

async function readSmall(path: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(path)
    // A larger one is none; so much tells that.
    if (size > CHAIN_FILE_SIZE_MAX) return new Uint8Array(CHAIN_FILE_SIZE_MAX + 1)
    return new Uint8Array(await readFile(path))
  } catch (cause) {
    throw new FileUnreadableError(`${path} cannot be read`, { cause })
  }
}

async function writeNew(path: string, bytes: Uint8Array): Promise<void> {
  try {
    const file = await open(path, 'wx')
    try {
      await file.writeFile(bytes)
    } finally {
      await file.close()
    }
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'EEXIST')
      throw new TargetExistsError(`${path} is there already`, { hint: 'give another name with -o' })
    throw new LocalFileError(`${path} cannot be written`, { cause })
  }
}
