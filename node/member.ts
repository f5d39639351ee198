/**
 * A node that takes part in the ring: its descriptor, its place, and the roles of relay, gateway,
 * keeper and vault. SPEC overview §1
 */
import {
  around,
  type Clock,
  type Jitter,
  type Log,
  MalformedError,
  messageOf,
  type NetworkId,
  type NodeId,
  type Profile,
  pause,
  type RecordStore,
  type SecretRandom,
  type StateStore,
} from '../core/index.ts'
import type { SigningKey } from '../crypto/index.ts'
import {
  type Call,
  COPY_RESULT,
  copyPrice,
  encodeAnnounce,
  encodeCall,
  encodeDescriptor,
  LINK_MESSAGE,
  signDescriptor,
  type View,
} from '../routing/index.ts'
import { PointerStore, type ShardCache, type ShardStore, shardRef } from '../storage/index.ts'
import type { Calls } from './calls.ts'
import type { CircuitTable } from './circuit-table.ts'
import type { Gate } from './gate.ts'
import type { LinkTable, PeerLink } from './links.ts'
import { OnionKeys } from './onion-keys.ts'
import type { PuzzleSolver } from './puzzle-solver.ts'
import type { Accounts } from './roles/accounts.ts'
import { Attachments } from './roles/attachments.ts'
import type { Blobs } from './roles/blobs.ts'
import { Gateway } from './roles/gateway.ts'
import { HeldPuts } from './roles/held-puts.ts'
import type { Holders } from './roles/holders.ts'
import type { Keeper } from './roles/keeper.ts'
import { makeKeeping } from './roles/keeping.ts'
import { Relay } from './roles/relay.ts'
import { Router } from './roles/router.ts'
import type { Tending } from './roles/tending.ts'
import { Audits } from './tasks/audits.ts'
import { Reconcile } from './tasks/reconcile.ts'
import { RingUpkeep } from './tasks/ring-upkeep.ts'
import { Vaulting } from './vaulting.ts'

const JOINED_KEY = 'joined'
const EXPIRE_EVERY_MS = 60_000
const EXPIRE_PAGE = 1_000

export interface MemberPorts {
  readonly clock: Clock
  readonly jitter: Jitter
  readonly random: SecretRandom
  readonly log: Log
  readonly state: StateStore
  readonly store: ShardStore
  readonly cache: ShardCache
  readonly records: RecordStore
  /** What this node keeps as a vault; absent: it is none, and uses none. */
  readonly vaultStore?: ShardStore | undefined
}

export interface MemberSettings {
  readonly id: NodeId
  readonly key: SigningKey
  readonly nonce: number
  readonly addresses: readonly string[]
  readonly onionSeed: Uint8Array
  readonly profile: Profile
  readonly networkId: NetworkId
  readonly seeds: readonly NodeId[]
  readonly view: View
  readonly links: LinkTable
  readonly calls: Calls
  readonly accounts: Accounts
  readonly gate: Gate
  readonly circuits: CircuitTable
  readonly puzzles: PuzzleSolver
  readonly networkCreatedMs: number
  readonly hasPrefixLimits: boolean
  readonly mayDial?: ((address: string) => boolean) | undefined
  readonly reach: (id: NodeId) => Promise<PeerLink | undefined>
  readonly admit: (descriptors: readonly Uint8Array[]) => Promise<void>
}

export class Member {
  readonly id: NodeId
  readonly ring: RingUpkeep
  readonly keeper: Keeper
  readonly router: Router
  readonly heldPuts: HeldPuts
  readonly relay: Relay
  readonly reconcile: Reconcile
  /** Who holds what, as this node's view has it. */
  readonly holders: Holders
  /** Where lies what this node answers for and does not hold itself. */
  readonly pointers: PointerStore
  readonly tending: Tending
  /** What this keeper asks of vaults. */
  readonly blobs: Blobs
  readonly #audits: Audits
  /** The vaults that this keeper has; absent where none are. */
  readonly lines: Attachments | undefined
  /** This node as a vault of others. */
  readonly vaulting: Vaulting | undefined
  readonly #p: MemberPorts
  readonly #s: MemberSettings
  readonly #onionKeys: OnionKeys
  #descriptor: Uint8Array
  #isLeaving = false
  #isStopped = false

  constructor(ports: MemberPorts, settings: MemberSettings) {
    this.#p = ports
    this.#s = settings
    this.id = settings.id
    const { clock, jitter, random, log, store, cache } = ports
    const { profile, networkId, view, calls, accounts, gate, circuits, reach, key } = settings
    this.#onionKeys = new OnionKeys({
      clock,
      random,
      log,
      state: ports.state,
      firstSeed: settings.onionSeed,
      everyMs: profile.onionKeyEveryMs,
      onNew: () => this.#publish(),
    })
    this.#descriptor = this.#sign()
    const pointers = new PointerStore(ports.records)
    const hasVaults = ports.vaultStore !== undefined && profile.vaultLines > 0
    this.lines = hasVaults
      ? new Attachments({
          clock,
          log,
          records: ports.records,
          profile,
          networkId,
          selfId: this.id,
          rankOf: (point) => holders.rankOf(point),
          readAfar: (read) => this.router.read(read),
        })
      : undefined
    const keeping = makeKeeping({
      clock,
      jitter,
      log,
      pointers,
      lines: this.lines,
      isVaultOf: (root) => ports.vaultStore?.has(shardRef(root)) === true,
      random,
      store,
      calls,
      accounts,
      view,
      profile,
      networkId,
      key,
      selfId: this.id,
      reach,
    })
    const { holders } = keeping
    this.holders = holders
    this.keeper = keeping.keeper
    this.pointers = pointers
    this.tending = keeping.tending
    this.blobs = keeping.blobs
    this.reconcile = new Reconcile({ clock, jitter, log, profile, ...keeping })
    this.#audits = new Audits({ clock, jitter, log, profile, ...keeping })
    this.ring = new RingUpkeep({
      clock,
      jitter,
      log,
      profile,
      view,
      calls,
      selfId: this.id,
      seeds: settings.seeds,
      reach,
      admit: settings.admit,
      descriptorOf: (id) => {
        const found = view.get(id)
        return found && encodeDescriptor(found)
      },
      onChange: () => this.#ringChanged(),
    })
    this.router = new Router({
      clock,
      jitter,
      random,
      log,
      view,
      holders,
      cache,
      accounts,
      keeper: this.keeper,
      selfId: this.id,
      copies: profile.copies,
      ring: () => this.ring.state,
      reach,
      ...(this.lines && { lines: this.lines }),
    })
    const put = this.router.put.bind(this.router)
    this.heldPuts = new HeldPuts({ clock, jitter, meansMs: profile.holdMeanMs, put })
    this.relay = new Relay({
      clock,
      jitter,
      random,
      log,
      circuits,
      gate,
      selfId: this.id,
      networkId,
      onionKeys: () => this.#onionKeys.answered,
      gateway: new Gateway(this.router, { held: this.heldPuts, lines: this.lines }),
      reach,
      isKnown: (id) => view.get(id) !== undefined,
    })
    this.vaulting =
      ports.vaultStore !== undefined && hasVaults
        ? new Vaulting({
            ...ports,
            ...settings,
            store: ports.vaultStore,
            selfId: () => this.id,
            isMember: () => this.ring.state !== undefined,
          })
        : undefined
  }

  start(): void {
    const isFirstStart = this.#p.state.get(JOINED_KEY) === undefined
    void this.ring.run({ isFirstStart }).catch((error: unknown) => {
      this.#p.log('error', 'ring upkeep ended', { reason: messageOf(error) })
    })
    this.reconcile.start()
    this.#onionKeys.start()
    this.#audits.start()
    this.vaulting?.start()
    this.#renewDescriptor()
    this.#expireLeases()
  }

  /** Tells a peer who this is: first on each link that this node opens. */
  announceTo(peer: PeerLink): void {
    peer.sendMessage(encodeAnnounce(this.#descriptor), 'control')
  }

  /** Throws MalformedError. */
  onMessage(peer: PeerLink, message: Uint8Array, call: Call | undefined): void {
    if (call?.kind === 'ringQuery') {
      peer.sendMessage(encodeCall(this.ring.answer(call.tag)), 'control')
    } else if (call !== undefined) {
      // Only members hand over copies or ask what is held.
      if (peer.id !== undefined) void this.#answer(peer, call)
    } else if (message[0] === LINK_MESSAGE.ringNotify) {
      if (peer.id !== undefined) this.ring.notified(peer.id)
    } else if (message[0] === LINK_MESSAGE.ringLeave) {
      if (peer.id !== undefined) {
        this.#s.view.markFailed(peer.id, this.#p.clock.nowMs())
        this.ring.left(peer.id)
      }
    } else if (!this.router.onMessage(peer, message)) {
      throw new MalformedError('malformed message: unknown type')
    }
  }

  onClosed(peer: PeerLink): void {
    this.router.onClosed(peer)
    if (peer.id === undefined || !this.ring.isNeighbour(peer.id) || this.#isStopped) return
    // A neighbour's link broke: is it gone, or was it the link alone?
    void this.#s.reach(peer.id).then((again) => {
      if (again === undefined) this.ring.hurry()
    })
  }

  /** Whether a vault's line goes through this guard. */
  hasVaultGuard(id: NodeId): boolean {
    return this.vaulting?.guards.has(id) === true
  }

  /** SPEC ring §6: hand over, announce, forward a little longer. */
  async leave(): Promise<void> {
    if (this.#isLeaving) return
    this.#isLeaving = true
    this.keeper.leave()
    await this.vaulting?.lines.leave()
    const report = await this.reconcile.handOver()
    this.#p.log('info', 'handed over', { pushed: report.pushed, lacking: report.lacking })
    this.#publish()
    await this.ring.leave()
    await pause(this.#p.clock, this.#s.profile.leaveForwardMs)
  }

  stop(): void {
    this.#isStopped = true
    this.ring.stop()
    this.#onionKeys.stop()
    this.heldPuts.stop()
    this.reconcile.stop()
    this.#audits.stop()
    this.vaulting?.stop()
  }

  async #answer(peer: PeerLink, call: Call): Promise<void> {
    const answer = await this.keeper.answer(call)
    if (answer === undefined) return
    peer.sendMessage(encodeCall(answer))
    if (call.kind !== 'copy' || answer.kind !== 'copied' || answer.result !== COPY_RESULT.stored) return
    this.#s.accounts.served(peer, copyPrice(call.bytes.length, call.leaseEndMs - this.#p.clock.nowMs()))
  }

  #ringChanged(): void {
    if (this.ring.state !== undefined && this.#p.state.get(JOINED_KEY) === undefined) {
      void this.#p.state.put(JOINED_KEY, Uint8Array.of(1))
      this.#publish()
    }
    this.reconcile.soon()
  }

  /** Signs the descriptor anew and shows it to whoever is linked; gossip does the rest. */
  #publish(): void {
    this.#descriptor = this.#sign()
    for (const peer of this.#s.links.all()) this.announceTo(peer)
  }

  #sign(): Uint8Array {
    const { id, key, nonce, addresses, networkId, view } = this.#s
    const leaving = this.#isLeaving
    const roles = { relay: true, gateway: true, keeper: true, leaving }
    const issuedMs = this.#p.clock.nowMs()
    const onionKey = this.#onionKeys.newest.publicKey
    const descriptor = signDescriptor(key, networkId, { id, nonce, onionKey, addresses, roles, issuedMs })
    view.admit(descriptor, issuedMs)
    return encodeDescriptor(descriptor)
  }

  #renewDescriptor(): void {
    this.#p.clock.setTimer(around(this.#p.jitter, this.#s.profile.descriptorEveryMs, 0.2), () => {
      if (this.#isStopped) return
      this.#descriptor = this.#sign()
      this.#renewDescriptor()
    })
  }

  #expireLeases(): void {
    this.#p.clock.setTimer(EXPIRE_EVERY_MS, () => {
      if (this.#isStopped) return
      const expired = this.#p.store.expire(this.#p.clock.nowMs(), EXPIRE_PAGE)
      if (expired > 0) this.#p.log('info', 'leases ended', { expired })
      this.pointers.expire(this.#p.clock.nowMs(), EXPIRE_PAGE).catch((error: unknown) => {
        this.#p.log('error', 'pointers could not be removed', { reason: messageOf(error) })
      })
      this.#expireLeases()
    })
  }
}
