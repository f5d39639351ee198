/**
 * Every domain-separation string. A label is used for one thing only, so that a hash, key or signature
 * made for one purpose can never pass for another. Append-only: a string once released keeps its meaning
 * for ever; another meaning takes a new string. SPEC crypto §1
 */
export const LABELS = {
  // identity and membership
  id: 'hush/1/id',
  idPuzzle: 'hush/1/id-puzzle',
  descriptor: 'hush/1/descriptor',
  arcDigest: 'hush/1/arc-digest',

  // links, circuits, requests
  alpn: 'hush/1/alpn',
  handshakeOpening: 'hush/1/handshake-opening',
  handshakeMac: 'hush/1/handshake-mac',
  handshakeTranscript: 'hush/1/handshake-transcript',
  handshakeKeys: 'hush/1/handshake-keys',
  receipt: 'hush/1/receipt',
  handshakePuzzle: 'hush/1/handshake-puzzle',

  // invites, addresses and roots
  invite: 'hush/1/invite',
  addressChecksum: 'hush/1/address-checksum',
  pos: 'hush/1/pos',
  root: 'hush/1/root',
  rootKey: 'hush/1/root-key',
  signedRoot: 'hush/1/signed-root',
  sign: 'hush/1/sign',
  enc: 'hush/1/enc',

  // looking after objects
  repairKeyChecksum: 'hush/1/repair-key-checksum',
  repairSubject: 'hush/1/repair-subject',
  possession: 'hush/1/possession',

  // vaults
  vaultLine: 'hush/1/vault-line',
  vaultDrop: 'hush/1/vault-drop',

  // ledgers
  ledgerPair: 'hush/1/ledger-pair',
  ledgerLink: 'hush/1/ledger-link',
  ledgerEntry: 'hush/1/ledger-entry',

  // stripes and shards
  dataKey: 'hush/1/data-key',
  repairKey: 'hush/1/repair-key',
  stripeKey: 'hush/1/stripe-key',
  stripeHash: 'hush/1/stripe-hash',
  stripeCommitment: 'hush/1/stripe-commitment',
  shardMask: 'hush/1/shard-mask',
} as const

export type Label = (typeof LABELS)[keyof typeof LABELS]
