/** Keepers that reach each other by function calls, with vaults that they reach by lines, for tests of what they do. */
import {
  type Clock,
  equalBytes,
  type Location,
  type NodeId,
  named32,
  PROFILES,
  type Profile,
  SHARD_SIZE,
  toHex,
} from '../../core/index.ts'
import { Calls, isAnswer } from '../../node/calls.ts'
import type { PeerLink } from '../../node/links.ts'
import { type Keeping, makeKeeping } from '../../node/roles/keeping.ts'
import type { VaultLines } from '../../node/roles/vault-lines.ts'
import { type Call, decodeCall, encodeCall, ownersOf, View } from '../../routing/index.ts'
import {
  type ContentRef,
  locationOf,
  openMemoryRecords,
  openMemoryStore,
  PointerStore,
  type ShardStore,
} from '../../storage/index.ts'
import { descriptorOf, EPOCH_MS, keyOf, NETWORK } from '../routing/membership/members.ts'
import { seededBytes, seededJitter, seededRandom } from '../storage/support/random.ts'
import { HandClock } from './hand-clock.ts'
import { MemoryLine, MemoryVaults } from './memory-vaults.ts'

const MEMBERS = 9

export interface Node extends Keeping {
  readonly id: NodeId
  readonly store: ShardStore
  readonly pointers: PointerStore
  /** Blobs that this node has itself, as a vault. */
  readonly ownRoots: Set<string>
  /** As this keeper sees them; absent where there are no vaults. */
  readonly lines: VaultLines | undefined
  /** What this node says instead of the truth. */
  lie: (call: Call, truth: Call | undefined) => Call | undefined
  asked: Call['kind'][]
}

/** Keepers that reach each other by function calls; every message goes through its bytes. */
export function keeperNetwork(options: { quotaShards?: number; vaults?: number; profile?: Partial<Profile> } = {}) {
  const quotaBytes = (options.quotaShards ?? 1_000) * SHARD_SIZE
  const profile: Profile = { ...PROFILES.testnet, ...options.profile }
  const hand = new HandClock()
  // Descriptors and leases stay as they are while the test lets time pass.
  const clock: Clock = {
    nowMs: () => EPOCH_MS,
    monotonicMs: () => hand.monotonicMs(),
    setTimer: (delayMs, run) => hand.setTimer(delayMs, run),
  }
  const ownerOf = (point: Location): string => toHex(ownersOf(point, view.reachable(EPOCH_MS), 1)[0] as NodeId)
  const vaults = new MemoryVaults({ clock, ownerOf })
  const view = new View({ profile: PROFILES.testnet })
  const nodes = new Map<string, Node>()
  for (let seed = 1; seed <= MEMBERS; seed++) {
    const descriptor = descriptorOf(seed)
    view.admit(descriptor, EPOCH_MS)
    const { store } = openMemoryStore({ quotaBytes })
    const lines = options.vaults === undefined ? undefined : vaults.at(toHex(descriptor.id))
    const pointers = new PointerStore(openMemoryRecords())
    const ownRoots = new Set<string>()
    const calls = new Calls(clock)
    const reach = async (id: NodeId): Promise<PeerLink | undefined> => {
      const other = nodes.get(toHex(id))
      if (other === undefined) return undefined
      const link = {
        sendMessage(message: Uint8Array): boolean {
          const call = decodeCall(message)
          if (call === undefined) throw new Error('not a call')
          other.asked.push(call.kind)
          void other.keeper.answer(call).then((truth) => {
            const said = other.lie(call, truth)
            const answer = said && decodeCall(encodeCall(said))
            if (answer !== undefined && isAnswer(answer)) calls.answered(link, answer)
            else calls.closed(link)
          })
          return true
        },
      } as PeerLink
      return link
    }
    const accounts = { received: () => {} }
    const ports = { clock, log: () => {}, random: seededRandom(`keeper ${seed}`), store, calls, accounts, view, reach }
    const keeping = makeKeeping({
      ...ports,
      jitter: seededJitter(`keeper ${seed}`),
      pointers,
      lines,
      isVaultOf: (root) => ownRoots.has(toHex(root)),
      profile,
      networkId: NETWORK,
      key: keyOf(seed),
      selfId: descriptor.id,
    })
    nodes.set(toHex(descriptor.id), {
      id: descriptor.id,
      ...keeping,
      store,
      pointers,
      lines,
      ownRoots,
      lie: (_, truth) => truth,
      asked: [],
    })
  }
  /** All members from the owner of the location on, clockwise. */
  const around = (ref: ContentRef): Node[] =>
    ownersOf(locationOf(ref), view.reachable(EPOCH_MS), MEMBERS).map((id) => nodes.get(toHex(id)) as Node)
  // Each member has as many lines as it was asked for, on points of its own.
  for (const { id } of nodes.values())
    for (let i = 0; i < (options.vaults ?? 0); i++) {
      const line = named32<'PublicKey'>(seededBytes(vaults.lines.length + 500, 32), 'line key')
      vaults.lines.push(new MemoryLine({ point: named32<'Location'>(id, 'point'), line, slots: 64 }))
    }
  /** Attached at this node. */
  const linesOf = (node: Node): MemoryLine[] => vaults.lines.filter(({ point }) => equalBytes(point, node.id))
  /** Members go, as the view has it. */
  const remove = (node: Node): void => {
    nodes.delete(toHex(node.id))
    view.markFailed(node.id, EPOCH_MS)
  }
  return { around, nodes: [...nodes.values()], vaults, linesOf, remove, hand }
}
