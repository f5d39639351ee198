/**
 * Where the bytes of contents lie, for the checkers, who see all disks: with keepers themselves, and with vaults
 * behind a pointer. A blob to which nobody points is no copy, nor is a pointer to a blob that is gone. SPEC vaults §5
 */
import { toHex } from '../core/index.ts'
import { type ContentRef, contentRefKey, type Place, shardRef } from '../storage/index.ts'
import type { SimHost } from './host.ts'

/** The machines with a durable copy of each content, by contentRefKey. `hosts` are those that count. */
export function whereabouts(hosts: readonly SimHost[]): Map<string, Set<SimHost>> {
  const where = new Map<string, Set<SimHost>>()
  const note = (key: string, host: SimHost): void => {
    const at = where.get(key)
    if (at === undefined) where.set(key, new Set([host]))
    else at.add(host)
  }
  for (const host of hosts) for (const key of host.disk.keys()) note(key, host)
  const vaults = vaultsByRoot(hosts)
  if (vaults.size === 0) return where
  for (const host of hosts)
    for (const { ref, pointer } of host.disk.pointers.list({ limit: Number.MAX_SAFE_INTEGER }))
      for (const place of pointer.places)
        for (const vault of vaults.get(toHex(place.root)) ?? []) note(contentRefKey(ref), vault)
  return where
}

/** As `whereabouts`, of one content. */
export function copiesOf(ref: ContentRef, hosts: readonly SimHost[]): SimHost[] {
  const places = hosts.flatMap((host) => placesAt(host, ref))
  const key = contentRefKey(ref)
  const isWith = (host: SimHost): boolean =>
    host.disk.keeps(ref, key) || places.some(({ root }) => host.vaultDisk?.holds(shardRef(root)) === true)
  return hosts.filter(isWith)
}

/**
 * Blobs that vaults have of it. Two that different keepers gave away may lie with one vault, by lines of its own to each:
 * neither the keepers nor the vault can know.
 */
export function blobsOf(ref: ContentRef, hosts: readonly SimHost[]): number {
  const roots = new Map(hosts.flatMap((host) => placesAt(host, ref)).map(({ root }) => [toHex(root), root]))
  return [...roots.values()].filter((root) => hosts.some(({ vaultDisk }) => vaultDisk?.holds(shardRef(root)) === true))
    .length
}

/** Whether the machine answers for the content: with its bytes or a pointer. */
export function answersFor(host: SimHost, ref: ContentRef): boolean {
  return host.disk.holds(ref) || placesAt(host, ref).length > 0
}

function placesAt(host: SimHost, ref: ContentRef): readonly Place[] {
  return host.vaultDisk === undefined ? [] : (host.disk.pointers.get(ref)?.places ?? [])
}

function vaultsByRoot(hosts: readonly SimHost[]): Map<string, SimHost[]> {
  const vaults = new Map<string, SimHost[]>()
  for (const host of hosts)
    for (const { id } of host.vaultDisk?.refs() ?? []) vaults.set(toHex(id), [...(vaults.get(toHex(id)) ?? []), host])
  return vaults
}
