/**
 * Whom a client builds its circuits through. Guards are old acquaintances, since a flood of new
 * nodes must not become everybody's entry; the other hops are uniform. No two hops are the same node
 * or share a neighbourhood. SPEC membership §4. Times in Unix milliseconds.
 */
import { equalBytes, type Jitter, type NodeId, type Profile, pick } from '../../core/index.ts'
import { prefixOf } from './address.ts'
import type { Descriptor } from './descriptor.ts'
import type { View } from './view.ts'

export interface Choice {
  readonly nowMs: number
  readonly jitter: Jitter
  /** Never chosen: this node itself, guards already tried. */
  readonly exclude: readonly NodeId[]
  /** What else a node must be; anything unless given. */
  readonly isFit?: (node: Descriptor) => boolean
}

/**
 * A relay for the first hop, kept for months: uniform among those that belong to the older half of
 * the relays and were known for min(guard age, half the age of the network). A node too new to know
 * anybody that long draws from all, since its own clock then says nothing of theirs.
 */
export function pickGuard(
  view: View,
  choice: Choice & { readonly profile: Profile; readonly networkCreatedMs: number },
): Descriptor | undefined {
  const { nowMs, profile, networkCreatedMs, jitter } = choice
  const relays = eligibleRelays(view, choice)
    .map((descriptor) => ({ descriptor, seenMs: view.firstSeenMs(descriptor.id) ?? nowMs }))
    .sort((a, b) => a.seenMs - b.seenMs)
  const olderHalf = relays.slice(0, Math.ceil(relays.length / 2))
  const networkAgeMs = Math.max(0, nowMs - networkCreatedMs)
  const knownForMs = Math.min(profile.guardAgeMs, networkAgeMs / 2)
  const proven = olderHalf.filter(({ seenMs }) => nowMs - seenMs >= knownForMs)
  return pick(jitter, proven.length > 0 ? proven : relays)?.descriptor
}

/** The middle of a circuit from `guard` to `gateway`; undefined when no node fits between them. */
export function pickMiddle(
  view: View,
  choice: Choice & { readonly guard: Descriptor; readonly gateway: Descriptor; readonly hasPrefixLimits: boolean },
): Descriptor | undefined {
  return pickRelay(view, { ...choice, others: [choice.guard, choice.gateway] })
}

/** A relay for a circuit with these `others`: uniform among those that are apart from each of them. */
export function pickRelay(
  view: View,
  choice: Choice & { readonly others: readonly Descriptor[]; readonly hasPrefixLimits: boolean },
): Descriptor | undefined {
  const { others, hasPrefixLimits, jitter } = choice
  const isApart = (node: Descriptor): boolean => others.every((other) => areApart(node, other, { hasPrefixLimits }))
  return pick(jitter, eligibleRelays(view, choice).filter(isApart))
}

/** Whether two nodes may be hops of one circuit. */
export function areApart(a: Descriptor, b: Descriptor, limits: { readonly hasPrefixLimits: boolean }): boolean {
  if (equalBytes(a.id, b.id) || equalBytes(a.publicKey, b.publicKey)) return false
  if (!limits.hasPrefixLimits) return true
  const near = prefixesOf(a)
  return !prefixesOf(b).some((prefix) => near.includes(prefix))
}

// Circuits are chosen often, and descriptors do not change.
const PREFIXES = new WeakMap<Descriptor, readonly (string | undefined)[]>()

function prefixesOf(descriptor: Descriptor): readonly (string | undefined)[] {
  const known = PREFIXES.get(descriptor)
  if (known !== undefined) return known
  const prefixes = descriptor.addresses.map(prefixOf)
  PREFIXES.set(descriptor, prefixes)
  return prefixes
}

function eligibleRelays(view: View, { nowMs, exclude, isFit }: Choice): Descriptor[] {
  view.expire(nowMs)
  const able: Descriptor[] = []
  for (const descriptor of view.descriptors()) {
    const { id, roles } = descriptor
    if (!roles.relay || roles.leaving || !view.isReachable(id, nowMs)) continue
    if (isFit?.(descriptor) === false) continue
    if (!exclude.some((other) => equalBytes(other, id))) able.push(descriptor)
  }
  return able
}
