/** The door of crypto: hashes, keys, sealing, signing, identity, handshake, erasure code, shared secrets. */
export { CounterOpener, CounterSealer, openWith, SEAL_TAG_SIZE, sealWith } from './aead.ts'
export { publicKeyOfCertificate, selfSignedCertificate } from './certificate.ts'
export { encodeParity, FragmentSetError, rebuildData } from './erasure/index.ts'
export { type ExchangeKey, exchangeKeyFromSeed } from './exchange.ts'
export {
  answerHandshake,
  beginHandshake,
  type CircuitKeys,
  clientKeyOf,
  HANDSHAKE_MESSAGE_SIZE,
  HANDSHAKE_REPLY_SIZE,
  type HandshakeKeys,
} from './handshake.ts'
export { sha256, tagged } from './hash.ts'
export { nodeIdOf, solveIdentity } from './identity.ts'
export { hkdf } from './kdf.ts'
export { LABELS, type Label } from './labels.ts'
export {
  isLeafRange,
  isLeavesOf,
  type LeafRange,
  MERKLE_LEAVES_SIZE,
  merkleLeaves,
  merkleProof,
  merkleProofOfLeaves,
  merkleRoot,
  merkleRootOfLeaves,
  verifyMerkleProof,
} from './merkle.ts'
export { type HandshakePuzzle, PUZZLE_EFFORT, PuzzleSearch, puzzleEffort } from './puzzle.ts'
export { combineShares, evaluateShare, ShareSetError, splitSecret } from './shamir/index.ts'
export { isSafePublicKey, SIGNATURE_SIZE, type SigningKey, signingKeyFromSeed, verifySignature } from './sign.ts'
export { aesCtr } from './stream.ts'
