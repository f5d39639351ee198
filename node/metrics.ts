/** What a node counts, as Prometheus sources: plain numbers read at each scrape. No ids, no addresses. */
import type { ShardCache, ShardStore } from '../storage/index.ts'
import type { HushNode } from './compose.ts'
import type { CountedTransport, Metrics } from './system/index.ts'

export function addNodeMetrics(
  metrics: Metrics,
  of: { node: HushNode; transport: CountedTransport; store: ShardStore; cache: ShardCache },
): void {
  const { node, transport, store, cache } = of
  const gauge = (name: string, help: string, read: () => number): void =>
    metrics.add({ name, help, kind: 'gauge', read })
  const counter = (name: string, help: string, read: () => number): void =>
    metrics.add({ name, help, kind: 'counter', read })
  const byReason = (name: string, help: string, read: () => Readonly<Partial<Record<string, number>>>): void =>
    metrics.add({
      name,
      help,
      kind: 'counter',
      labels: ['reason'],
      read: () => Object.entries(read()).map(([reason, value]) => ({ labels: { reason }, value: value ?? 0 })),
    })
  const desk = () => node.member?.relay.desk

  gauge('links', 'open links', () => node.links.count)
  gauge('circuit_ends', 'circuit ends on open links, relayed ones twice', () => node.circuits.count)
  gauge('own_circuits', 'own circuits ready for requests', () => node.pool.ready.length)
  gauge('view_members', 'members in the view', () => node.view.size)
  gauge('region_crowd_members', 'members that stand closer beside this node than chance explains', () => {
    return node.member?.holders.crowd()?.members ?? 0
  })
  gauge('pending_shards', 'shards of own puts without a keeper yet', () => node.pendingPuts.count)
  gauge('stored_shards', 'contents whose bytes this keeper holds itself, for want of vaults', () => store.usage().count)
  gauge('stored_bytes', 'bytes kept for others', () => store.usage().bytes)
  gauge('quota_bytes', 'bytes that may be kept for others', () => store.usage().quotaBytes)
  gauge('cached_bytes', 'bytes in the cache', () => cache.usage().bytes)
  counter('corrupt_shards_total', 'stored shards found damaged and dropped', () => {
    return store.usage().corrupt + (node.member?.vaulting?.vault.usage().corrupt ?? 0)
  })
  gauge('contents_in_two_vaults', 'contents this keeper points to, with two places or more', () => {
    return node.member?.pointers.usage().withTwo ?? 0
  })
  gauge('contents_in_one_vault', 'contents this keeper points to, with one place', () => {
    const { count, withTwo } = node.member?.pointers.usage() ?? { count: 0, withTwo: 0 }
    return count - withTwo
  })
  counter('puts_kept_in_vaults_total', 'puts and renewals that ended in vaults', () => {
    return node.member?.keeper.counts.inVaults ?? 0
  })
  counter('puts_kept_here_total', 'puts and renewals whose bytes were stored here, for want of vaults', () => {
    return node.member?.keeper.counts.here ?? 0
  })
  byReason('blob_requests_total', 'blobs given to vaults and read from them, by what came of it', () => {
    return { ...node.member?.blobs.counts }
  })
  byReason('vault_audits_total', 'leaves asked of vaults, by what came', () => {
    const { auditsPassed, auditsFailed } = node.member?.tending.counts ?? { auditsPassed: 0, auditsFailed: 0 }
    return { passed: auditsPassed, failed: auditsFailed }
  })
  counter('vault_places_replaced_total', 'places given up for others', () => node.member?.tending.counts.replaced ?? 0)
  counter('contents_moved_to_vaults_total', 'contents that lay here and were moved', () => {
    return node.member?.tending.counts.moved ?? 0
  })
  counter('cells_in_total', 'cells received', () => transport.counts.cellsIn)
  counter('cells_out_total', 'cells sent', () => transport.counts.cellsOut)
  counter('messages_in_total', 'WebSocket messages received', () => transport.counts.messagesIn)
  counter('messages_out_total', 'WebSocket messages sent', () => transport.counts.messagesOut)
  counter('link_violations_total', 'links closed because the peer broke the rules', () => transport.counts.violations)
  counter('relayed_cells_total', 'cells passed along circuits', () => node.member?.relay.counts.cells ?? 0)
  counter('circuits_answered_total', 'circuits answered as a relay', () => node.member?.relay.counts.circuits ?? 0)
  counter('circuits_built_total', 'own circuits built', () => node.pool.counts.built)
  counter('circuits_failed_total', 'own circuits that could not be built', () => node.pool.counts.failed)
  gauge('ring_requests', 'requests under way', () => node.member?.router.open ?? 0)
  counter('ring_gets_total', 'gets taken from the ring or the own gateway', () => node.member?.router.counts.gets ?? 0)
  counter('ring_puts_total', 'puts taken from the ring or the own gateway', () => node.member?.router.counts.puts ?? 0)
  counter('ring_merged_total', 'gets merged with an equal one', () => node.member?.router.counts.merged ?? 0)
  counter('ring_cache_hits_total', 'gets answered from the cache', () => node.member?.router.counts.cacheHits ?? 0)
  counter('ring_bad_data_total', 'answers of other hops that were not what was asked', () => {
    return node.member?.router.counts.badData ?? 0
  })
  counter('client_retries_total', 'own requests tried again', () => node.client.counts.retries)
  counter('padding_cells_total', 'cells of padding sent to the guard', () => node.guardPadding.count)
  byReason(
    'cover_cells_total',
    'cells of cover traffic: loops sent and come back, requests in their place and beside',
    () => {
      return node.cover?.counts ?? {}
    },
  )
  gauge('read_backs_waiting', 'own puts still to be read back', () => node.readBack.waiting)
  byReason('read_backs_total', 'own puts read back, by what came of it', () => {
    const { verified, unproven, skipped } = node.readBack.counts
    return { verified, unproven, skipped }
  })
  counter('read_back_restored_total', 'shards put again after a read-back', () => node.readBack.counts.restored)
  counter('client_bad_receipts_total', 'receipts that did not hold', () => node.client.counts.badReceipts)
  gauge('half_open_connections', 'connections without a link yet', () => transport.counts.halfOpen)
  gauge('held_bytes', 'bytes of all links that wait or are half arrived', () => node.links.heldBytes)
  gauge('circuit_held_bytes', 'bytes of circuits that end here', () => node.member?.relay.heldBytes ?? 0)
  gauge('creates_waiting', 'circuits asked for that wait for their handshake', () => desk()?.waiting ?? 0)
  gauge('puzzle_effort_bits', 'work that a circuit asked for must show now; 0: none', () => desk()?.effortAsked ?? 0)
  byReason('connections_refused_total', 'connections that came to no link', () => transport.counts.refused)
  byReason('creates_refused_total', 'circuits asked for and not answered', () => desk()?.counts.refused ?? {})
  counter('creates_proven_total', 'circuits answered that had shown work', () => desk()?.counts.proven ?? 0)
  counter('puzzles_solved_total', 'puzzles solved for own circuits', () => node.puzzles.counts.solved)
  counter('puzzles_given_up_total', 'puzzles of own circuits not solved in time', () => node.puzzles.counts.givenUp)
  byReason('links_shed_total', 'links closed or refused to bear a load', () => ({
    'gave way': node.links.counts.gaveWay,
    'no room': node.links.counts.refused,
    'held too much': node.links.counts.unburdened,
    flood: node.manners.counts.floods,
  }))
  counter('circuits_shed_total', 'circuits destroyed because all held too much', () => {
    return node.member?.relay.counts.gaveWay ?? 0
  })
  counter('extends_refused_total', 'circuits not extended', () => node.member?.relay.counts.extendsRefused ?? 0)
  counter('gossip_dropped_total', 'steps of gossip passed over, lists of descriptors dropped', () => {
    return node.manners.counts.gossipPassedOver + node.admission.counts.dropped
  })
  gauge('ledger_accounts', 'accounts with link neighbours', () => node.accounts.count)
  counter('ledger_entries_total', 'ledger entries signed by both', () => node.accounts.counts.entries)
  counter('ledger_proposals_total', 'ledger entries proposed', () => node.accounts.counts.proposals)
  counter('ledger_refused_total', 'proposals of peers not signed', () => node.accounts.counts.refused)
  counter('ledger_frauds_total', 'peers that signed two entries with one number', () => node.accounts.counts.frauds)
  counter('ledger_flushes_total', 'times that ledgers were flushed', () => node.accounts.counts.flushes)
  counter('ledger_given_credits_total', 'credits of service to peers', () => node.accounts.counts.given)
  counter('ledger_got_credits_total', 'credits of service by peers', () => node.accounts.counts.got)
  counter(
    'ledger_turned_away_total',
    'requests refused to peers that owe too much',
    () => node.member?.router.counts.turnedAway ?? 0,
  )
  gauge('vault_lines', 'keepers that this node serves as a vault', () => {
    return node.member?.vaulting?.lines.keepers.length ?? 0
  })
  const vaultUsage = () => node.member?.vaulting?.vault.usage()
  gauge('vault_blobs', 'blobs kept as a vault', () => vaultUsage()?.count ?? 0)
  gauge('vault_bytes', 'bytes kept as a vault', () => vaultUsage()?.bytes ?? 0)
  gauge('vault_quota_bytes', 'bytes that may be kept as a vault', () => vaultUsage()?.quotaBytes ?? 0)
  byReason('vault_line_events_total', 'what came of own lines', () => ({ ...node.member?.vaulting?.lines.counts }))
  gauge('attached_lines', 'lines of vaults attached to this keeper', () => node.member?.lines?.attached().length ?? 0)
  byReason('attachment_events_total', 'what came of lines of vaults', () => ({ ...node.member?.lines?.counts }))
  gauge('held_back_cells', 'cells of peers that owe too much that wait for their turn', () => node.gate.waiting)
  counter('held_back_cells_total', 'cells that had to wait for their turn', () => node.gate.counts.heldBack)
  for (const kind of ['get', 'put'] as const) {
    gauge(`${kind}_window`, `${kind}s that this home allows itself at once`, () => node.pacing.stateOf(kind).window)
    gauge(`${kind}s_waiting`, `${kind}s that wait for room in it`, () => node.pacing.stateOf(kind).waiting)
  }
  gauge('upload_load', 'of what may be sent, what is; above 1 links wait', () => node.accounts.load)
  counter('upload_bytes_total', 'bytes handed to links', () => node.upload.sentBytes)
}
