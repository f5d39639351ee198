/** Ledger entries, the messages about them, and chains as files. SPEC ledger §2, §4, §8 */
import fc from 'fast-check'
import { MalformedError, type PublicKey } from '../../core/index.ts'
import { decodeEntry, type Entry, encodeEntry } from '../../routing/ledger/entry.ts'
import { judgeChain } from '../../routing/ledger/judge.ts'
import {
  type ChainFile,
  decodeChain,
  decodeLedgerMessage,
  encodeChain,
  encodeLedgerMessage,
  type LedgerMessage,
  WORDS,
} from '../../routing/ledger/messages.ts'
import { type AccountRecord, decodeAccountRecord, encodeAccountRecord } from '../../routing/ledger/record.ts'
import { NETWORK, noise, u32 } from './shapes.ts'
import type { Target } from './target.ts'

const counter = fc.nat(2 ** 31 - 1)
const amount = fc.integer()
const entries: fc.Arbitrary<Entry> = fc.record({
  pair: noise(32),
  number: counter,
  servedAB: counter,
  servedBA: counter,
  forwarded: amount,
  forgiven: amount,
  limitAB: u32,
  limitBA: u32,
  minute: u32,
  previous: noise(32),
  signatureA: noise(64),
  signatureB: noise(64),
})

const entry: Target<Entry> = {
  name: 'ledger-entry',
  covers: ['routing/ledger/entry.ts#decodeEntry'],
  valid: entries.map(encodeEntry),
  decode: decodeEntry,
  encode: encodeEntry,
  isCanonical: true,
  permitted: [MalformedError],
}

const messages: fc.Arbitrary<LedgerMessage> = fc
  .record({
    opening: noise(16),
    top: fc.option(entries, { nil: undefined }),
    proposal: fc.option(entries, { nil: undefined }),
    notice: fc.option(fc.record({ word: fc.constantFrom(...WORDS), exposure: counter, limit: u32 }), {
      nil: undefined,
    }),
  })
  .chain((message) => fc.constantFrom(message, { notice: message.notice }))

const message: Target<LedgerMessage> = {
  name: 'ledger-message',
  covers: ['routing/ledger/messages.ts#decodeLedgerMessage'],
  valid: messages.map(encodeLedgerMessage),
  decode: decodeLedgerMessage,
  encode: encodeLedgerMessage,
  isCanonical: true,
  permitted: [MalformedError],
}

const chain: Target<ChainFile> = {
  name: 'ledger-chain',
  covers: ['routing/ledger/messages.ts#decodeChain'],
  valid: fc
    .record({ keyA: noise(32), keyB: noise(32), opening: noise(16), entries: fc.array(entries, { maxLength: 4 }) })
    .map(({ keyA, keyB, opening, entries }) =>
      encodeChain({ ends: { networkId: NETWORK, keyA: keyA as PublicKey, keyB: keyB as PublicKey }, opening, entries }),
    ),
  decode: (bytes) => {
    const file = decodeChain(bytes)
    // Whatever was read can be judged.
    judgeChain(file.ends, file.opening, file.entries)
    return file
  },
  encode: encodeChain,
  isCanonical: true,
  permitted: [MalformedError],
}

const maybe = fc.option(entries, { nil: undefined })
const account: Target<AccountRecord> = {
  name: 'ledger-account',
  covers: ['routing/ledger/record.ts#decodeAccountRecord'],
  valid: fc
    .record({
      pair: fc.record({
        opening: fc.option(noise(16), { nil: undefined }),
        top: maybe,
        isShown: fc.boolean(),
        proposal: maybe,
        signedNumber: counter,
        refused: maybe,
        fraud: fc.option(fc.tuple(entries, entries), { nil: undefined }),
      }),
      memory: fc.record({ limit: u32, strikes: fc.nat(255), dayMinute: u32, dayGot: counter, merit: counter }),
    })
    .map(encodeAccountRecord),
  decode: decodeAccountRecord,
  encode: encodeAccountRecord,
  isCanonical: true,
  permitted: [MalformedError],
}

export const ledgerTargets = [entry, message, chain, account]
