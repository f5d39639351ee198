/** Two ends of a link with fixed keys, for the tests of ledgers. */
import type { NetworkId } from '../../../core/index.ts'
import { signingKeyFromSeed } from '../../../crypto/index.ts'
import { type Ends, endsOf, sideOf } from '../../../routing/ledger/entry.ts'
import { NEW_PAIR, open, type PairContext, type PairState } from '../../../routing/ledger/pair.ts'

export const NETWORK = new Uint8Array(32).fill(9) as NetworkId
export const OPENING = new Uint8Array(16).fill(5)
const keys = [1, 2].map((fill) => signingKeyFromSeed(new Uint8Array(32).fill(fill)))
const [one, two] = keys as [(typeof keys)[0], (typeof keys)[0]]
export const ENDS: Ends = endsOf(NETWORK, one.publicKey, two.publicKey)
const isOneA = sideOf(ENDS, one.publicKey) === 'A'
export const A: PairContext = { ends: ENDS, side: 'A', key: isOneA ? one : two }
export const B: PairContext = { ends: ENDS, side: 'B', key: isOneA ? two : one }
export const OPENED: PairState = open(NEW_PAIR, OPENING)
