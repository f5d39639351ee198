/** The control API's calls about looking after objects: repair, repair keys, and the list of kept ones. SPEC control §10-§12 */
import { fromHex, InputError, type Jitter, type Log, type SecretRandom, toHex } from '../../core/index.ts'
import {
  type Address,
  formatRepairKey,
  type Handle,
  makeRepairKey,
  parseHandle,
  type RepairKey,
  repairObject,
  subjectOf,
  subjectOfRepairKey,
} from '../../storage/index.ts'
import type { HushNode } from '../compose.ts'
import { RepairTally } from '../tasks/repair-tally.ts'
import type { Kept } from '../tasks/steward.ts'
import { goneSignal, type Response, startEvents, toErrorBody } from './answers.ts'
import type { Health, KeptObject, Status } from './types.ts'

/** Digits of an object's id, as people see it. */
const ID_DIGITS = 16
const WORST_FIRST: readonly Health[] = ['lost', 'critical', 'weak', 'good', 'perfect']

/** The object is not in the list. */
export class NotKeptError extends InputError {
  readonly code = 'ERR_NOT_KEPT'
  constructor() {
    super('this home does not keep that object', { hint: 'see what it keeps with: hush keep --list' })
  }
}

export interface UpkeepPorts {
  readonly node: HushNode
  readonly log: Log
  readonly openPorts: { readonly jitter: Jitter; readonly random: SecretRandom }
}

export class UpkeepCalls {
  readonly #p: UpkeepPorts
  constructor(ports: UpkeepPorts) {
    this.#p = ports
  }

  summary(): NonNullable<Status['keeping']> {
    const { kept } = this.#p.node.steward
    const worst = WORST_FIRST.find((health) => kept.some(({ last }) => last?.health === health))
    const nextMs = kept[0]?.nextMs
    return { objects: kept.length, ...(worst && { worst }), ...(nextMs !== undefined && { nextMs }) }
  }

  readBackSummary(): NonNullable<Status['readBack']> {
    const { waiting, handedOver, nextInMs, counts } = this.#p.node.readBack
    const { verified, restored, unproven } = counts
    const next = nextInMs === undefined ? {} : { nextInMs: Math.ceil(nextInMs) }
    return { waiting, handedOver, ...next, verified, restored, unproven }
  }

  /** Answers when the object has been read back; one that waits already does so at its time. */
  async readBack(address: Address, res: Response): Promise<void> {
    await this.#tell(res, async (send) => {
      const { isVerified, shards, missing, restored, health } = await this.#p.node.readBack.wait(
        address,
        goneSignal(res),
      )
      send({ event: 'read-back', verified: isVerified, shards, missing, restored, ...(health && { health }) })
    })
  }

  kept(): KeptObject[] {
    return this.#p.node.steward.kept.map(told)
  }

  async repair(handle: Handle, res: Response): Promise<void> {
    const { node, openPorts } = this.#p
    const { jitter } = openPorts
    const stripes = repairObject(handle, { ...node.client.repairPorts(), jitter, signal: goneSignal(res) })
    const tally = new RepairTally()
    // The root's line decides whether this is an answer or an error.
    const first = await stripes.next()
    await this.#tell(res, async (send) => {
      for (let step = first; !step.done; step = await stripes.next()) {
        tally.add(step.value)
        send({ event: 'stripe', ...step.value })
      }
      send({ event: 'summary', ...tally.sum })
    })
  }

  async repairKey(address: Address, res: Response): Promise<void> {
    await this.#tell(res, async (send) => {
      const key = await this.#makeKey(address, res, send)
      send({ event: 'made', repairKey: formatRepairKey(key) })
    })
  }

  /** Of an address the list is made and stored first; the address itself is not kept. */
  async keep(handle: Handle, res: Response): Promise<void> {
    const { steward, client } = this.#p.node
    await this.#tell(res, async (send) => {
      const subject =
        handle.kind === 'repair'
          ? await subjectOfRepairKey(handle, { fetch: client.fetcher(), jitter: this.#p.openPorts.jitter })
          : subjectOf(handle)
      const isOwn = handle.kind !== 'repair'
      steward.checkRoom(subject)
      const known = steward.isKept(subject, { isOwn }) ? steward.find(subject) : undefined
      const key = known?.key ?? (handle.kind === 'repair' ? handle : await this.#makeKey(handle, res, send))
      send({ event: 'kept', ...told(await steward.add(subject, key, { isOwn })) })
    })
  }

  /** By address, by repair key, or by the id of the list. Throws ERR_NOT_KEPT. */
  async stop(name: string): Promise<{ readonly id: string }> {
    const { steward } = this.#p.node
    const found = this.#find(name)
    if (found === undefined || !(await steward.remove(found.subject))) throw new NotKeptError()
    return { id: idOf(found.subject) }
  }

  #find(name: string): Kept | undefined {
    const { kept } = this.#p.node.steward
    if (fromHex(name) !== undefined) {
      return name.length === ID_DIGITS ? kept.find(({ subject }) => idOf(subject) === name.toLowerCase()) : undefined
    }
    const handle = parseHandle(name)
    if (handle.kind !== 'repair') return this.#p.node.steward.find(subjectOf(handle))
    return kept.find(({ key }) => formatRepairKey(key) === formatRepairKey(handle))
  }

  #makeKey(address: Address, res: Response, send: (event: object) => void): Promise<RepairKey> {
    const { node, openPorts } = this.#p
    return makeRepairKey(address, {
      ...openPorts,
      fetch: node.client.fetcher(),
      place: node.client.placer(),
      signal: goneSignal(res),
      onProgress: (progress) => send({ event: 'progress', ...progress }),
    })
  }

  async #tell(res: Response, work: (send: (event: object) => void) => Promise<void>): Promise<void> {
    const send = startEvents(res)
    try {
      await work(send)
    } catch (error) {
      send({ event: 'error', ...toErrorBody(error, this.#p.log) })
    }
    res.end()
  }
}

function told({ subject, key, addedMs, nextMs, last }: Kept): KeptObject {
  return { id: idOf(subject), repairKey: formatRepairKey(key), addedMs, nextMs, ...(last && { last }) }
}

function idOf(subject: Uint8Array): string {
  return toHex(subject).slice(0, ID_DIGITS)
}
