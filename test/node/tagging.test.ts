/**
 * What a hostile relay can do to the cells of a circuit, over the production composition: whatever it changes is caught
 * by the next one who opens it, and two relays of one owner on both sides of an honest one find nothing to know a cell
 * by. What nobody notices is shown too. SPEC circuits §3
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { CELL_BODY_SIZE, equalBytes, LAYER_SIZE, type PublicKey, SHARD_SIZE, toHex } from '../../core/index.ts'
import { merkleRoot } from '../../crypto/index.ts'
import type { ClientCircuit } from '../../node/client-circuit.ts'
import type { HushNode } from '../../node/compose.ts'
import {
  bodyOf,
  COMMANDS,
  DESTROY_REASONS,
  decodeCircuitOutcome,
  decodeDestroy,
  encodeCircuitRequest,
  readCell,
  WHOLE,
} from '../../routing/index.ts'
import { type ContentRef, encodeContentRef } from '../../storage/index.ts'
import { chance, MemoryNetwork } from './memory-network.ts'

const network = new MemoryNetwork()
let client: HushNode

beforeAll(async () => {
  await network.start({ joining: 3 })
  await network.until(
    () => network.members.every(({ node }) => node.member?.ring.state !== undefined),
    'all have joined',
  )
  client = await network.addClient()
  const isFull = ({ node }: { node: HushNode }): boolean =>
    node.pool.wanted >= 5 && node.pool.ready.length >= node.pool.wanted
  // Nothing is built any more: relay cells are those of the test's own requests.
  await network.until(() => network.members.every(isFull), 'circuits of all')
})
afterEach(() => network.hostile.clear())
afterAll(() => network.stop())

/** An open circuit of three different relays, with the keys of their links. */
async function path() {
  await network.until(() => client.pool.ready.length >= 4, 'circuits')
  const circuit = client.pool.ready.at(-1)
  if (circuit === undefined) throw new Error('no circuit')
  const [guard, middle, gateway] = circuit.path.map(({ publicKey }) => publicKey)
  if (guard === undefined || middle === undefined || gateway === undefined) throw new Error('no path')
  return { circuit, guard, middle, gateway }
}

/** Eight cells there, one back. */
async function put(circuit: ClientCircuit, timeoutMs = 10_000) {
  const bytes = chance.bytes(SHARD_SIZE)
  const ref: ContentRef = { kind: 'shard', copy: 0, id: merkleRoot(bytes) }
  const request = { ref: encodeContentRef(ref), leaseDays: 1, nonce: chance.bytes(16), bytes }
  circuit.reserve()
  const answer = circuit.request(encodeCircuitRequest({ kind: 'put', put: request }), { timeoutMs })
  return { ref, outcome: decodeCircuitOutcome(await answer) }
}

/** One cell there, eight back. */
async function get(circuit: ClientCircuit, ref: ContentRef) {
  const get = { ref: encodeContentRef(ref), skip: 0, isPastOwner: false, range: WHOLE }
  circuit.reserve()
  return decodeCircuitOutcome(await circuit.request(encodeCircuitRequest({ kind: 'get', get }), { timeoutMs: 10_000 }))
}

interface Sent {
  readonly from: 'guard' | 'middle' | 'gateway'
  readonly to: PublicKey
  readonly cell: Uint8Array
}

type Change = (cell: Uint8Array, at: number) => readonly Uint8Array[]

/** Notes what the three send, and has one of them change the relay cells of one direction. */
function watch(
  on: Awaited<ReturnType<typeof path>>,
  hostile?: { who: Sent['from']; to: PublicKey; change: Change },
): Sent[] {
  const sent: Sent[] = []
  for (const from of ['guard', 'middle', 'gateway'] as const) {
    let at = 0
    network.hostile.set(toHex(on[from]), (cell, to) => {
      const isMine = hostile?.who === from && equalBytes(to, hostile.to) && readCell(cell).command === COMMANDS.relay
      const out = isMine ? hostile.change(cell.slice(), at++) : [cell]
      for (const each of out) sent.push({ from, to, cell: each.slice() })
      return out
    })
  }
  return sent
}

const flip: Change = (cell, at) => {
  // Somewhere in what is sealed for everybody further on.
  if (at === 3) cell[2_000] = (cell[2_000] ?? 0) ^ 1
  return [cell]
}
const replay: Change = (cell, at) => (at === 3 ? [cell, cell.slice()] : [cell])
const drop: Change = (cell, at) => (at === 3 ? [] : [cell])
const reorder = (): Change => {
  let held: Uint8Array | undefined
  return (cell, at) => {
    if (at === 3) {
      held = cell
      return []
    }
    return at === 4 && held !== undefined ? [cell, held] : [cell]
  }
}

const relayCells = (sent: readonly Sent[], from: Sent['from'], to: PublicKey) =>
  sent.filter((each) => each.from === from && equalBytes(each.to, to) && readCell(each.cell).command === COMMANDS.relay)
const failures = (sent: readonly Sent[]) =>
  sent.filter(({ cell }) => {
    const { command, body } = readCell(cell)
    return command === COMMANDS.destroy && decodeDestroy(body) === DESTROY_REASONS.failed
  })

describe.each([
  ['changes a bit', () => flip],
  ['sends a cell twice', () => replay],
  ['swallows a cell', () => drop],
  ['swaps two cells', reorder],
] as const)('a relay that %s', (_, change) => {
  it('towards the gateway, as the guard, is caught by the middle', async () => {
    const on = await path()
    const sent = watch(on, { who: 'guard', to: on.middle, change: change() })
    await expect(put(on.circuit)).rejects.toThrow('the circuit broke')
    expect(failures(sent)[0]).toMatchObject({ from: 'middle', to: on.guard })
    // Of what came before it, no more than it had let through goes on.
    expect(relayCells(sent, 'middle', on.gateway).length).toBeLessThanOrEqual(5)
  })

  it('towards the gateway, as the middle, is caught by the gateway, which serves nothing of it', async () => {
    const on = await path()
    const sent = watch(on, { who: 'middle', to: on.gateway, change: change() })
    await expect(put(on.circuit)).rejects.toThrow('the circuit broke')
    expect(failures(sent)[0]).toMatchObject({ from: 'gateway', to: on.middle })
    expect(relayCells(sent, 'gateway', on.middle)).toEqual([])
  })

  it.each(['gateway', 'middle', 'guard'] as const)('towards the client, as the %s, is caught by it', async (who) => {
    const on = await path()
    const { ref } = await put(on.circuit)
    const before = { gateway: on.middle, middle: on.guard, guard: undefined }[who]
    const to = before ?? (await clientKey(on))
    watch(on, { who, to, change: change() })
    await expect(get(on.circuit, ref)).rejects.toThrow('the circuit broke')
    expect(on.circuit.isOpen).toBe(false)
  })
})

/** To whom the guard sends what comes back on the circuit. */
async function clientKey(on: Awaited<ReturnType<typeof path>>): Promise<PublicKey> {
  const sent = watch(on)
  await put(on.circuit)
  network.hostile.clear()
  const back = sent.find(
    ({ from, to, cell }) => from === 'guard' && !equalBytes(to, on.middle) && readCell(cell).command === COMMANDS.relay,
  )
  if (back === undefined) throw new Error('nothing came back')
  return back.to
}

describe('a guard and a gateway of one owner, with an honest middle', () => {
  it('see no eight bytes in common, in any cell, either way', async () => {
    const on = await path()
    const sent = watch(on)
    const { ref } = await put(on.circuit)
    expect(await get(on.circuit, ref)).toMatchObject({ end: 'data' })
    const atGuard = [...relayCells(sent, 'guard', on.middle), ...relayCells(sent, 'middle', on.guard)]
    const atGateway = [...relayCells(sent, 'middle', on.gateway), ...relayCells(sent, 'gateway', on.middle)]
    expect(atGuard.length).toBeGreaterThanOrEqual(18)
    expect(atGateway.length).toBeGreaterThanOrEqual(18)
    const known = new Set<string>()
    for (const window of windows(atGuard)) known.add(window)
    const common = [...windows(atGateway)].filter((window) => known.has(window))
    expect(common).toEqual([])
  })

  it('cannot mark a cell where nothing is sealed: the middle makes all of the filler anew', async () => {
    const on = await path()
    const mark = chance.bytes(LAYER_SIZE)
    const marked: Change = (cell) => {
      bodyOf(cell).set(mark, CELL_BODY_SIZE - LAYER_SIZE)
      return [cell]
    }
    const found = (sent: readonly Sent[]) =>
      sent.filter(({ cell }) => Buffer.from(cell).includes(Buffer.from(mark))).length
    const there = watch(on, { who: 'guard', to: on.middle, change: marked })
    const { ref } = await put(on.circuit)
    expect(found(relayCells(there, 'guard', on.middle))).toBeGreaterThanOrEqual(8)
    expect(found(relayCells(there, 'middle', on.gateway))).toBe(0)
    network.hostile.clear()
    const back = watch(on, { who: 'gateway', to: on.middle, change: marked })
    expect(await get(on.circuit, ref)).toMatchObject({ end: 'data' })
    expect(found(relayCells(back, 'gateway', on.middle))).toBeGreaterThanOrEqual(8)
    expect(found(relayCells(back, 'middle', on.guard))).toBe(0)
  })
})

/** Every eight bytes in a row of the bodies. */
function* windows(sent: readonly Sent[]): Generator<string> {
  for (const { cell } of sent) {
    const text = Buffer.from(bodyOf(cell)).toString('latin1')
    for (let at = 0; at + 8 <= text.length; at++) yield text.slice(at, at + 8)
  }
}

describe('what nobody notices', () => {
  it('is the cutting off of the newest cells: it looks like an answer that does not come', async () => {
    const on = await path()
    watch(on, { who: 'middle', to: on.gateway, change: (cell, at) => (at >= 7 ? [] : [cell]) })
    await expect(put(on.circuit, 1_500)).rejects.toThrow('no answer in time')
    expect(on.circuit.isOpen).toBe(true)
    on.circuit.close()
  })
})
