/** hush status and hush invite: short questions to the daemon. */
import { Command } from 'commander'
import type { Status } from '../../node/control/index.ts'
import { contextOf } from '../context.ts'
import { factsText } from '../render/tables.ts'
import { countText, sizeText, spanText } from '../render/text.ts'
import type { World } from '../world.ts'

export function statusCommand(world: World): Command {
  return new Command('status')
    .description('show how the daemon is doing')
    .action(async (_: unknown, command: Command) => {
      const { daemon, voice } = contextOf(world, command)
      const status = await daemon.status()
      voice.answer(statusText(status), status)
    })
}

export function inviteCommand(world: World): Command {
  return new Command('invite')
    .description('print what another machine needs to join: hush init --join INVITE')
    .action(async (_: unknown, command: Command) => {
      const { daemon, voice } = contextOf(world, command)
      const invite = await daemon.invite()
      voice.answer(invite, { invite })
    })
}

export function statusText(status: Status): string {
  const { node, circuits, guard } = status
  const facts: [string, string][] = [
    ['daemon', `pid ${status.pid}, version ${status.version}, up ${spanText(status.uptimeSeconds)}`],
    ['role', status.role],
    ['network', `${status.network.id} (${status.network.profile})`],
  ]
  if (node !== undefined) {
    facts.push(
      ['id', node.id],
      ['address', node.address],
      ['ring', node.joined ? 'joined' : 'not joined yet'],
      ['predecessor', node.ring.predecessor ?? 'none'],
      ['successors', node.ring.successors.join(' ') || 'none'],
      ['stored', `${countText(node.shards, 'shard')}, ${sizeText(node.storedBytes)} of ${sizeText(node.quotaBytes)}`],
      ['cache', sizeText(node.cacheBytes)],
    )
    if (node.heldPuts !== undefined && node.heldPuts > 0) facts.push(['held back', countText(node.heldPuts, 'shard')])
    if (node.crowd !== undefined) facts.push(['crowded', crowdText(node.crowd)])
    if (node.corruptDropped > 0) facts.push(['corrupt', `${countText(node.corruptDropped, 'shard')} dropped`])
  }
  if (status.contents !== undefined) facts.push(['answers for', contentsText(status.contents)])
  if (status.vault !== undefined) facts.push(['vault', vaultText(status.vault)])
  facts.push(
    ['members', `${status.view.members} known, ${status.view.reachable} reachable`],
    [
      'circuits',
      `${circuits.ready} of ${circuits.wanted} ready, ${circuits.building} being built, ` +
        countText(circuits.gateways, 'gateway'),
    ],
    [
      'guard',
      guard === undefined ? 'none yet' : `${guard.id} since ${new Date(guard.since).toISOString().slice(0, 10)}`,
    ],
    ...(status.cover === undefined ? [] : [['cover', coverText(status.cover)] satisfies [string, string]]),
    ['links', String(status.links)],
    ['still to place', countText(status.pending.shards, 'shard')],
    ['memory', sizeText(status.memory.rssBytes)],
  )
  if (status.readBack !== undefined) facts.push(['read back', readBackText(status.readBack)])
  const { ledger } = status
  if (ledger !== undefined && ledger.slowedBy > 0)
    facts.push(['slowed', `by ${countText(ledger.slowedBy, 'busy peer')}; hush ledger tells why`])
  if (status.keeping !== undefined && status.keeping.objects > 0) facts.push(['keeping', keepingText(status.keeping)])
  return factsText(facts)
}

function crowdText({ members, arcs }: NonNullable<NonNullable<Status['node']>['crowd']>): string {
  return `${countText(members, 'member')} within ${arcs.toPrecision(2)} average arcs: more than chance explains, perhaps one owner's`
}

function contentsText({ here, inTwoVaults, inOneVault, ...audits }: NonNullable<Status['contents']>): string {
  const parts = [`${countText(inTwoVaults, 'content')} in two vaults`, `${here} here`]
  if (inOneVault > 0) parts.splice(1, 0, `${inOneVault} in one`)
  const failed = audits.auditsFailed > 0 ? `, ${audits.auditsFailed} failed` : ''
  return `${parts.join(', ')} (${countText(audits.auditsPassed, 'audit')} passed${failed})`
}

function vaultText({ lines, attached, blobs, storedBytes, quotaBytes }: NonNullable<Status['vault']>): string {
  const held = `${countText(blobs, 'blob')}, ${sizeText(storedBytes)} of ${sizeText(quotaBytes)}`
  return `${held}; serves ${countText(lines, 'keeper')}, served by ${countText(attached, 'line')}`
}

function coverText({ sent, back, inPlace, beside }: NonNullable<Status['cover']>): string {
  const real = `${countText(inPlace, 'cell')} of requests in their place, ${beside} beside`
  return `${countText(sent, 'loop')}, ${back} came back, ${real}`
}

function readBackText({ waiting, handedOver, nextInMs, ...done }: NonNullable<Status['readBack']>): string {
  const next = nextInMs === undefined ? '' : ` (next in ${spanText(nextInMs / 1_000)})`
  const parts = [`${countText(done.verified, 'object')} verified`, `${waiting} to come${next}`]
  if (handedOver !== undefined && handedOver > 0) parts.push(`${countText(handedOver, 'object')} handed over`)
  if (done.restored > 0) parts.push(`${countText(done.restored, 'shard')} put again`)
  if (done.unproven > 0) parts.push(`${countText(done.unproven, 'object')} unproven`)
  return parts.join(', ')
}

function keepingText({ objects, worst, nextMs }: NonNullable<Status['keeping']>): string {
  const parts = [countText(objects, 'object')]
  if (worst !== undefined) parts.push(`worst at the last visit: ${worst}`)
  if (nextMs !== undefined) parts.push(`next visit ${new Date(nextMs).toISOString().slice(0, 10)}`)
  return parts.join(', ')
}
