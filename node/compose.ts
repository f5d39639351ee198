/**
 * Builds one node out of ports: links, circuits, view, ring, and the roles it plays. The daemon and the
 * simulator call the same function. ARCHITECTURE.md has the picture; SPEC overview §1
 *
 * Everybody is a client. A home with the role `node` becomes relay, gateway and keeper as well, once its
 * identity puzzle is solved.
 */
import {
  type Clock,
  equalBytes,
  type Jitter,
  keyOf,
  type Log,
  MalformedError,
  messageOf,
  type NetworkId,
  type NodeId,
  PeerError,
  type Profile,
  type RecordStore,
  type SecretRandom,
  type StateStore,
} from '../core/index.ts'
import { nodeIdOf, type SigningKey, signingKeyFromSeed, solveIdentity } from '../crypto/index.ts'
import {
  type Descriptor,
  decodeCall,
  decodeDescriptor,
  encodeCall,
  encodeDescriptor,
  encodedId,
  LINK_MESSAGE,
  type Link,
  type Listener,
  type Transport,
  View,
  verifyDescriptor,
} from '../routing/index.ts'
import type { ContentRef, ShardCache, ShardStore } from '../storage/index.ts'
import { Calls, isAnswer } from './calls.ts'
import { CircuitPool } from './circuit-pool.ts'
import { CircuitTable } from './circuit-table.ts'
import type { SeedContact } from './config.ts'
import { FirstContact } from './first-contact.ts'
import { Gate } from './gate.ts'
import { Guards } from './guards.ts'
import { LINK_LIMITS, type LinkLimits, type Standing } from './link-limits.ts'
import { type Contact, LinkTable, type PeerLink } from './links.ts'
import { Manners } from './manners.ts'
import { Member } from './member.ts'
import { Pacing } from './pacing.ts'
import { PuzzleSolver } from './puzzle-solver.ts'
import { Accounts } from './roles/accounts.ts'
import { Client } from './roles/client.ts'
import { Admission } from './tasks/admission.ts'
import { Cover } from './tasks/cover.ts'
import { Gossip } from './tasks/gossip.ts'
import { GuardPadding } from './tasks/guard-padding.ts'
import { PendingPuts } from './tasks/pending-puts.ts'
import { ReadBack } from './tasks/read-back.ts'
import { type OpenVisit, Steward } from './tasks/steward.ts'
import { Upload } from './upload.ts'

export interface NodePorts {
  readonly clock: Clock
  readonly jitter: Jitter
  readonly random: SecretRandom
  readonly log: Log
  readonly state: StateStore
  readonly transport: Transport
  /** What this node keeps for others. */
  readonly store: ShardStore
  readonly cache: ShardCache
  /** Shards of own puts that have no keeper yet. */
  readonly pending: ShardStore
  /** What both ends of links have signed of their ledgers; what keepers and vaults know of lines and blobs. */
  readonly records: RecordStore
  /** What a node keeps as a vault; absent: it is none, and uses none. SPEC vaults §2 */
  readonly vaultStore?: ShardStore | undefined
}

export interface NodeSettings {
  readonly profile: Profile
  readonly networkId: NetworkId
  readonly networkCreatedMs: number
  readonly seeds: readonly SeedContact[]
  readonly seed: Uint8Array
  /** Absent: this home is a client only. */
  readonly node?: {
    readonly listen: string
    readonly advertise: readonly string[]
    readonly onionSeed: Uint8Array
    readonly nonce: number | undefined
    /** Keeps the solution of the puzzle. */
    readonly saveNonce: (nonce: number) => Promise<void>
  }
  readonly hasPrefixLimits: boolean
  /** Between a put and the reading back of its shards. SPEC repair §7 */
  readonly readBackMs: { readonly min: number; readonly max: number }
  readonly linkLimits?: Partial<LinkLimits>
  /** Whether this side may dial such an address at all; any unless given. SPEC safety §2 */
  readonly mayDial?: (address: string) => boolean
  /** Loops over own circuits, in place of padding. SPEC circuits §8 */
  readonly hasCover?: boolean
  /** All links together; absent: as fast as they are. */
  readonly uploadBytesPerSecond?: number
}

const VIEW_KEY = 'view'
/** What a crash loses of it, one round of gossip brings back. */
const VIEW_SAVE_MS = 5 * 60_000
/** Admissions that wait for their puzzle to be checked; each costs 45 ms of a thread. */
const ADMITTING_MAX = 64

export class HushNode {
  readonly settings: NodeSettings
  readonly view: View
  readonly links: LinkTable
  readonly guards: Guards
  readonly pool: CircuitPool
  readonly client: Client
  /** Shards of own puts that wait for a keeper. */
  readonly pendingPuts: PendingPuts
  readonly circuits: CircuitTable
  readonly puzzles: PuzzleSolver
  readonly gossip: Gossip
  readonly steward: Steward
  readonly readBack: ReadBack
  readonly guardPadding: GuardPadding
  readonly cover: Cover | undefined
  readonly admission: Admission
  readonly manners: Manners
  readonly accounts: Accounts
  readonly upload: Upload
  readonly gate: Gate
  readonly pacing: Pacing
  /** Set once this node has its id: relay, gateway, keeper. */
  member: Member | undefined
  address: string | undefined
  readonly #p: NodePorts
  readonly #key: SigningKey
  readonly #calls: Calls
  readonly #contacts = new Map<string, Contact>()
  readonly #firstContact: FirstContact
  #listener: Listener | undefined
  #admitting = 0
  #isStopped = false

  constructor(ports: NodePorts, settings: NodeSettings) {
    this.#p = ports
    this.settings = settings
    const { clock, jitter, random, log, state } = ports
    const { profile, networkId } = settings
    this.#key = signingKeyFromSeed(settings.seed)
    this.view = restoreView(ports, profile)
    for (const seed of settings.seeds) this.#contacts.set(keyOf(seed.id), seed)
    this.#calls = new Calls(clock)
    this.circuits = new CircuitTable()
    this.puzzles = new PuzzleSolver({ clock })
    this.manners = new Manners({ clock })
    this.admission = new Admission({ clock, log, admit: (descriptors) => this.admit(descriptors) })
    this.upload = new Upload({
      clock,
      bytesPerSecond: settings.uploadBytesPerSecond,
      shareOf: (sender) => this.accounts.shareOf(sender),
    })
    const heldBytesMax = settings.linkLimits?.heldBytesMax ?? LINK_LIMITS.heldBytesMax
    this.accounts = new Accounts({
      clock,
      jitter,
      random,
      log,
      records: ports.records,
      networkId,
      key: this.#key,
      linkTo: (peer) => this.links.of(peer),
      takeUncounted: () => this.links.takeUncounted(),
      // Without a rate: what waits, against half of what may.
      load: () => this.upload.load ?? this.links.heldBytes / (heldBytesMax / 2),
      placeOf: (key) => ({ isMember: this.view.byKey(key) !== undefined, members: this.view.size }),
      uploadBytesPerSecond: settings.uploadBytesPerSecond,
      profile,
    })
    this.gate = new Gate({
      clock,
      upload: this.upload,
      admit: (peer) => this.accounts.admit(peer),
      mayLetIn: (peer) => this.accounts.mayLetIn(peer),
      onLetIn: (peer) => this.accounts.letIn(peer),
    })
    this.links = new LinkTable(ports, {
      upload: this.upload,
      limits: settings.linkLimits ?? {},
      standingOf: (peer) => this.#standingOf(peer),
      onMessage: (peer, message) => this.#take(peer, message),
      onCircuitCell: (peer, cell, raw) => this.circuits.onCell(peer, cell, raw),
      onOpen: (peer) => {
        this.accounts.onOpen(peer)
        if (peer.isDialer) this.member?.announceTo(peer)
      },
      onClosed: (peer) => {
        this.accounts.onClosed(peer)
        this.gate.onClosed(peer)
        this.#calls.closed(peer)
        this.circuits.onClosed(peer)
        this.member?.onClosed(peer)
      },
    })
    const selfId = (): NodeId | undefined => this.member?.id
    const reach = (id: NodeId): Promise<PeerLink | undefined> => this.reach(id)
    this.guards = new Guards({
      clock,
      jitter,
      log,
      state,
      stateKey: 'guards',
      profile,
      view: this.view,
      networkCreatedMs: settings.networkCreatedMs,
      selfId,
      reach,
      mayDial: settings.mayDial,
    })
    const seeds = settings.seeds.map((seed) => seed.id)
    this.#firstContact = new FirstContact({ clock, jitter, guards: this.guards, seeds, reach })
    this.cover = settings.hasCover === true ? new Cover({ clock, jitter, circuits: () => this.pool.ready }) : undefined
    const poolPorts = {
      clock,
      jitter,
      random,
      log,
      profile,
      networkId,
      circuits: this.circuits,
      puzzles: this.puzzles,
      view: this.view,
      guards: this.guards,
      selfId,
      hasPrefixLimits: settings.hasPrefixLimits,
      cover: this.cover,
    }
    this.pool = new CircuitPool(poolPorts)
    const { view } = this
    const refreshView = (): void => this.gossip.soon()
    this.pacing = new Pacing({
      clock,
      jitter,
      isHeldBack: () => {
        const guard = this.guards.inUse && this.view.get(this.guards.inUse.id)
        return guard !== undefined && this.accounts.isHeldBackBy(guard.publicKey)
      },
      hasCover: this.cover !== undefined,
    })
    const place = (ref: ContentRef, bytes: Uint8Array): Promise<boolean> => this.client.placeAgain(ref, bytes)
    this.pendingPuts = new PendingPuts({ clock, jitter, log, pending: ports.pending, place })
    const { pacing, pendingPuts: pending } = this
    const clientPorts = { clock, jitter, random, log, profile, networkId, view, pending, pacing, refreshView }
    this.client = new Client({ ...clientPorts, pool: this.pool })
    // Circuits that carry nothing else: what a visit asks for is not to be matched with the user's own requests.
    const open: OpenVisit = () => {
      const pool = new CircuitPool(poolPorts)
      const client = new Client({ ...clientPorts, pool })
      pool.start()
      const close = (): void => {
        client.stop()
        pool.stop()
      }
      return { ports: client.repairPorts(), close }
    }
    this.steward = new Steward({ clock, jitter, log, state, open })
    this.readBack = new ReadBack({ clock, jitter, log, open, delayMs: settings.readBackMs })
    this.guardPadding = new GuardPadding({
      clock,
      jitter,
      link: () => {
        const guard = this.guards.inUse && this.view.get(this.guards.inUse.id)
        return guard && this.links.of(guard.publicKey)
      },
    })
    this.gossip = new Gossip({
      clock,
      jitter,
      log,
      profile,
      view: this.view,
      admit: (descriptors, from) => this.admission.offer(descriptors, from),
      partner: () => this.#gossipPartner(),
    })
  }

  /** Listens, if it is a node, and begins to take part. Resolves before it has joined. */
  async start(): Promise<void> {
    const { settings } = this
    if (settings.node !== undefined) {
      this.#listener = await this.#p.transport.listen(settings.node.listen, (link: Link) => this.links.accept(link))
      this.address = settings.node.advertise[0] ?? this.#listener.address
      void this.#becomeMember().catch((error: unknown) => {
        this.#p.log('error', 'could not become a member', { reason: messageOf(error) })
      })
    }
    this.gossip.start()
    this.pool.start()
    this.pendingPuts.start()
    this.steward.start()
    if (this.cover === undefined) this.guardPadding.start()
    else this.cover.start()
    this.accounts.start()
    this.#saveViewNowAndThen()
  }

  /** Hands over what it holds, says goodbye, goes on forwarding for a while. */
  async leave(): Promise<void> {
    await this.member?.leave()
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.gossip.stop()
    await this.steward.stop()
    await this.readBack.stop()
    this.guardPadding.stop()
    this.cover?.stop()
    this.pendingPuts.stop()
    this.client.stop()
    this.pool.stop()
    this.member?.stop()
    await this.accounts.stop()
    this.links.close()
    await this.#listener?.close()
    await this.#p.state.put(VIEW_KEY, this.view.toBytes())
  }

  /** An open link to a node of the view, or undefined; what came of it is noted in the view. */
  async reach(id: NodeId): Promise<PeerLink | undefined> {
    const contact = this.view.get(id) ?? this.guards.contactOf(id) ?? this.#contacts.get(keyOf(id))
    if (contact === undefined || this.#isStopped) return undefined
    try {
      const peer = await this.links.to(contact)
      this.view.markAlive(id)
      return peer
    } catch (error) {
      this.#p.log('debug', 'node not reached', { reason: messageOf(error) })
      this.view.markFailed(id, this.#p.clock.nowMs())
      return undefined
    }
  }

  /** Takes descriptors into the view: signature, puzzle, age. Bad ones are passed over. */
  async admit(encoded: readonly Uint8Array[]): Promise<void> {
    for (const bytes of encoded) {
      if (this.#isKnown(bytes)) continue
      try {
        await this.#admitOne(decodeDescriptor(bytes))
      } catch (error) {
        if (!(error instanceof PeerError)) throw error
        this.#p.log('debug', 'bad descriptor', { reason: messageOf(error) })
      }
    }
  }

  /** Whether just these bytes were admitted before: the most frequent case by far. */
  #isKnown(encoded: Uint8Array): boolean {
    const id = encodedId(encoded)
    const known = id && this.view.get(id)
    return known !== undefined && equalBytes(encodeDescriptor(known), encoded)
  }

  async #admitOne(descriptor: Descriptor): Promise<boolean> {
    const { networkId, profile } = this.settings
    const known = this.view.get(descriptor.id)
    if (known !== undefined && known.issuedMs >= descriptor.issuedMs) return true
    if (this.member !== undefined && equalBytes(descriptor.id, this.member.id)) return false
    if (!verifyDescriptor(descriptor, networkId)) return false
    // The id of a key that is known has been checked before.
    const isProven = known !== undefined && equalBytes(known.publicKey, descriptor.publicKey)
    if (!isProven && !(await this.#hasSolved(descriptor, profile.puzzleBits))) return false
    return this.view.admit(descriptor, this.#p.clock.nowMs()) !== 'full'
  }

  async #hasSolved({ publicKey, nonce, id }: Descriptor, puzzleBits: number): Promise<boolean> {
    if (this.#admitting >= ADMITTING_MAX) return false
    this.#admitting++
    try {
      const proven = await nodeIdOf({ publicKey, nonce, networkId: this.settings.networkId, puzzleBits })
      return proven !== undefined && equalBytes(proven, id)
    } finally {
      this.#admitting--
    }
  }

  async #becomeMember(): Promise<void> {
    const { node, networkId, profile, seeds } = this.settings
    if (node === undefined || this.address === undefined) return
    const rule = { publicKey: this.#key.publicKey, networkId, puzzleBits: profile.puzzleBits }
    let { nonce } = node
    let id = nonce === undefined ? undefined : await nodeIdOf({ ...rule, nonce })
    if (id === undefined) {
      const solved = await solveIdentity({ ...rule, isStopped: () => this.#isStopped })
      if (solved === undefined) return
      ;({ nonce, id } = solved)
      await node.saveNonce(nonce)
    }
    const { store, cache, clock, jitter, random, log, state, records, vaultStore } = this.#p
    const addresses = node.advertise.length > 0 ? node.advertise : [this.address]
    this.member = new Member(
      { clock, jitter, random, log, state, store, cache, records, vaultStore },
      {
        id,
        key: this.#key,
        nonce: nonce ?? 0,
        addresses,
        onionSeed: node.onionSeed,
        profile,
        networkId,
        seeds: seeds.map((seed) => seed.id),
        view: this.view,
        links: this.links,
        calls: this.#calls,
        accounts: this.accounts,
        gate: this.gate,
        circuits: this.circuits,
        puzzles: this.puzzles,
        networkCreatedMs: this.settings.networkCreatedMs,
        hasPrefixLimits: this.settings.hasPrefixLimits,
        mayDial: this.settings.mayDial,
        reach: (other) => this.reach(other),
        admit: (descriptors) => this.admit(descriptors),
      },
    )
    this.member.start()
  }

  /** One message from a peer. Throws PeerError when it breaks the rules; the link is closed then. */
  #take(peer: PeerLink, message: Uint8Array): void {
    const type = message[0]
    if (type === undefined) throw new MalformedError('malformed message: empty')
    if (!this.manners.admits(peer, type)) return
    if (type === LINK_MESSAGE.announce) {
      this.#announced(peer, message.subarray(1))
      return
    }
    if (this.gossip.onMessage(peer, message) || this.accounts.onMessage(peer, message)) return
    const call = decodeCall(message)
    if (call !== undefined && isAnswer(call)) {
      this.#calls.answered(peer, call)
      return
    }
    if (this.member === undefined) {
      // Not a member yet: it says so to those who ask, and forgets the rest.
      if (call?.kind === 'ringQuery') peer.sendMessage(encodeCall(NOT_A_MEMBER(call.tag)), 'control')
      return
    }
    this.member.onMessage(peer, message, call)
  }

  /** What a link is worth when there are too many. The view knows the keys of members before they say anything. */
  #standingOf(peer: PeerLink): Standing {
    const id = peer.id ?? this.view.byKey(peer.key)?.id
    if (id === undefined) return peer.isDialer ? 'member' : 'stranger'
    const isGuard = this.guards.has(id) || this.member?.hasVaultGuard(id) === true
    return isGuard || this.member?.ring.isNeighbour(id) === true ? 'kept' : 'member'
  }

  /** A peer shows who it is: the key of its descriptor must be the key of its link. */
  #announced(peer: PeerLink, encoded: Uint8Array): void {
    const descriptor = decodeDescriptor(encoded)
    if (!equalBytes(descriptor.publicKey, peer.key)) throw new MalformedError('malformed announce: key of another')
    const known = this.view.get(descriptor.id)
    if (known !== undefined && equalBytes(known.publicKey, peer.key)) peer.id = descriptor.id
    void this.#admitOne(descriptor).then((isAdmitted) => {
      if (!isAdmitted) return
      peer.id = descriptor.id
      this.view.markAlive(descriptor.id)
    }, this.#reportBug)
  }

  readonly #reportBug = (error: unknown): void => {
    this.#p.log('error', 'a descriptor could not be checked', { reason: messageOf(error) })
  }

  /** Who to compare views with: a node any member, to begin with a seed; a client its guard (first-contact.ts). */
  async #gossipPartner(): Promise<PeerLink | undefined> {
    const nowMs = this.#p.clock.nowMs()
    const self = this.member?.id
    const members = this.view.reachable(nowMs).filter((id) => self === undefined || !equalBytes(id, self))
    if (this.settings.node === undefined) {
      if (members.length === 0) return this.#firstContact.link()
      this.#firstContact.arrived()
      return (await this.guards.take())?.link
    }
    const seeds = this.settings.seeds.map((seed) => seed.id).filter((id) => self === undefined || !equalBytes(id, self))
    // Now and then a seed: two halves of a network that have lost each other find together again.
    const pool = members.length === 0 || this.#p.jitter.uint32() % 16 === 0 ? seeds : members
    const chosen = pool[this.#p.jitter.uint32() % Math.max(1, pool.length)]
    return chosen === undefined ? undefined : this.reach(chosen)
  }

  #saveViewNowAndThen(savedVersion = 0): void {
    this.#p.clock.setTimer(VIEW_SAVE_MS, () => {
      if (this.#isStopped) return
      const { version } = this.view
      if (version !== savedVersion) {
        this.#p.state.put(VIEW_KEY, this.view.toBytes()).catch((error: unknown) => {
          this.#p.log('warn', 'the view could not be saved', { reason: messageOf(error) })
        })
      }
      this.#saveViewNowAndThen(version)
    })
  }
}

/** What the last run knew, or an empty view. */
function restoreView(ports: NodePorts, profile: Profile): View {
  const saved = ports.state.get(VIEW_KEY)
  const view = saved && View.fromBytes(saved, { profile })
  if (saved !== undefined && view === undefined)
    ports.log('warn', 'the stored view is damaged: starting from the seeds')
  return view ?? new View({ profile })
}

const NOT_A_MEMBER = (tag: number) =>
  ({ kind: 'ringState', tag, isMember: false, predecessor: undefined, successors: [], descriptors: [] }) as const
