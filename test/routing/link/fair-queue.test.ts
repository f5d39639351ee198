import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CIRCUIT_CELLS_QUEUED_MAX } from '../../../core/index.ts'
import { FairQueue, type Priority } from '../../../routing/link/fair-queue.ts'

/** Small stand-ins for cells: flow and number within the flow; one byte more per `extra`. */
function item(flow: number, number: number, extra = 0): Uint8Array {
  const bytes = new Uint8Array(6 + extra)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, flow)
  view.setUint32(2, number)
  return bytes
}
const flowOf = (cell: Uint8Array): number => new DataView(cell.buffer).getUint16(0)
const numberOf = (cell: Uint8Array): number => new DataView(cell.buffer).getUint32(2)
const roomy = { itemsMax: 100_000, bytesMax: 10_000_000 }

function takeAll(queue: FairQueue): Uint8Array[] {
  const taken: Uint8Array[] = []
  for (let cell = queue.take(); cell !== undefined; cell = queue.take()) taken.push(cell)
  return taken
}

describe('the fair queue', () => {
  it('serves flows in turn, so that a bulk flow waits for the others and not they for it', () => {
    const queue = new FairQueue(roomy)
    for (let i = 0; i < 5; i++) queue.offer(1, item(1, i))
    queue.offer(2, item(2, 0))
    queue.offer(3, item(3, 0))
    queue.offer(3, item(3, 1))
    expect(takeAll(queue).map(flowOf)).toEqual([1, 2, 3, 1, 3, 1, 1, 1])
  })

  it('serves control first, in turn too', () => {
    const queue = new FairQueue(roomy)
    queue.offer(1, item(1, 0))
    queue.offer(2, item(2, 0), { priority: 'control' })
    queue.offer(2, item(2, 1), { priority: 'control' })
    queue.offer(1, item(1, 1), { priority: 'control' })
    expect(takeAll(queue).map((cell) => [flowOf(cell), numberOf(cell)])).toEqual([
      [2, 0],
      [1, 1],
      [2, 1],
      [1, 0],
    ])
  })

  it('refuses at each bound, and takes again when there is room', () => {
    const flows = new FairQueue(roomy)
    for (let i = 0; i < CIRCUIT_CELLS_QUEUED_MAX; i++) {
      expect(flows.offer(1, item(1, i), { priority: i % 2 === 0 ? 'normal' : 'control' })).toBe(true)
    }
    expect(flows.offer(1, item(1, 0))).toBe(false)
    expect(flows.offer(1, item(1, 0), { priority: 'control' })).toBe(false)
    expect(flows.offer(2, item(2, 0))).toBe(true)
    flows.dropFlow(1)
    expect([flows.items, flows.bytes, flows.flowItems(1)]).toEqual([1, 6, 0])
    expect(flows.offer(1, item(1, 0), { priority: 'control' })).toBe(true)

    const items = new FairQueue({ itemsMax: 3, bytesMax: 1_000, controlItemsReserved: 1 })
    expect([1, 2, 3].map((flow) => items.offer(flow, item(flow, 0)))).toEqual([true, true, false])
    expect(items.offer(3, item(3, 0), { priority: 'control' })).toBe(true)
    expect(items.offer(4, item(4, 0), { priority: 'control' })).toBe(false)

    const bytes = new FairQueue({ itemsMax: 10, bytesMax: 13 })
    expect([1, 2].map((flow) => bytes.offer(flow, item(flow, 0)))).toEqual([true, true])
    expect(bytes.offer(3, item(3, 0))).toBe(false)
    bytes.take()
    expect(bytes.offer(3, item(3, 0, 1))).toBe(true)
  })

  it('tells whether a whole message fits, and then takes all of it', () => {
    const queue = new FairQueue({ flowItemsMax: 4, itemsMax: 6, bytesMax: 40 })
    expect(queue.hasRoom(1, { count: 4, sizeBytes: 24 })).toBe(true)
    expect(queue.hasRoom(1, { count: 5, sizeBytes: 24 })).toBe(false)
    for (let i = 0; i < 4; i++) expect(queue.offer(1, item(1, i))).toBe(true)
    expect(queue.hasRoom(2, { count: 3, sizeBytes: 12 })).toBe(false)
    expect(queue.hasRoom(2, { count: 2, sizeBytes: 17 })).toBe(false)
    expect(queue.hasRoom(2, { count: 2, sizeBytes: 16 })).toBe(true)
  })

  it('gives nothing when nothing waits, and forgets unknown flows in peace', () => {
    const queue = new FairQueue(roomy)
    queue.dropFlow(5)
    expect(queue.take()).toBeUndefined()
    queue.offer(5, item(5, 0))
    queue.dropFlow(5)
    expect(queue.take()).toBeUndefined()
    expect([queue.items, queue.bytes]).toEqual([0, 0])
  })

  it('gives each of the waiting flows the same share, whatever else they have queued', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 2, maxLength: 20 }), (depths) => {
        const queue = new FairQueue(roomy)
        for (const [flow, depth] of depths.entries()) for (let i = 0; i < depth; i++) queue.offer(flow, item(flow, i))
        const least = Math.min(...depths)
        const served = new Map<number, number>()
        for (let i = 0; i < least * depths.length; i++) {
          const flow = flowOf(queue.take() as Uint8Array)
          served.set(flow, (served.get(flow) ?? 0) + 1)
        }
        expect([...served.values()]).toEqual(depths.map(() => least))
      }),
    )
  })

  type Step =
    | { do: 'offer'; flow: number; extra: number; priority: Priority }
    | { do: 'take' }
    | { do: 'drop'; flow: number }

  const flows = fc.nat({ max: 7 })
  const offers: fc.Arbitrary<Step> = fc.record({
    do: fc.constant('offer' as const),
    flow: flows,
    extra: fc.nat({ max: 4 }),
    priority: fc.constantFrom<Priority[]>('normal', 'normal', 'normal', 'control'),
  })
  const takes: fc.Arbitrary<Step> = fc.constant({ do: 'take' })
  const drops: fc.Arbitrary<Step> = fc.record({ do: fc.constant('drop' as const), flow: flows })

  it('keeps order within a flow, its bounds and its counts, and serves none twice while another waits', () => {
    const steps = fc.array(
      fc.oneof({ weight: 12, arbitrary: offers }, { weight: 8, arbitrary: takes }, { weight: 1, arbitrary: drops }),
      {
        maxLength: 400,
      },
    )
    fc.assert(
      fc.property(steps, (todo) => {
        const bounds = { flowItemsMax: 20, itemsMax: 60, bytesMax: 450, controlItemsReserved: 5 }
        const queue = new FairQueue(bounds)
        // The model: every flow's cells by priority, and who was served since a flow began to wait.
        const waiting = { control: new Map<number, Uint8Array[]>(), normal: new Map<number, Uint8Array[]>() }
        const servedSince = { control: new Map<number, Set<number>>(), normal: new Map<number, Set<number>>() }
        let made = 0
        for (const step of todo) {
          if (step.do === 'offer') {
            const cell = item(step.flow, made++, step.extra)
            if (queue.offer(step.flow, cell, { priority: step.priority })) {
              const lane = waiting[step.priority]
              if (!lane.has(step.flow)) servedSince[step.priority].set(step.flow, new Set())
              lane.set(step.flow, [...(lane.get(step.flow) ?? []), cell])
            }
          } else if (step.do === 'drop') {
            queue.dropFlow(step.flow)
            for (const priority of ['control', 'normal'] as const) {
              waiting[priority].delete(step.flow)
              servedSince[priority].delete(step.flow)
              for (const served of servedSince[priority].values()) served.delete(step.flow)
            }
          } else {
            const cell = queue.take()
            const priority = waiting.control.size > 0 ? 'control' : 'normal'
            const lane = waiting[priority]
            if (cell === undefined) {
              expect(lane.size).toBe(0)
              continue
            }
            const flow = flowOf(cell)
            const cells = lane.get(flow) ?? []
            expect(cells.shift()).toBe(cell)
            for (const [other, served] of servedSince[priority]) {
              if (other === flow) continue
              expect(served.has(flow), `flow ${flow} again while ${other} waits`).toBe(false)
              served.add(flow)
            }
            servedSince[priority].set(flow, new Set())
            if (cells.length === 0) {
              lane.delete(flow)
              servedSince[priority].delete(flow)
            }
          }
          const all = [...waiting.control.values(), ...waiting.normal.values()].flat()
          expect(queue.items).toBe(all.length)
          expect(queue.bytes).toBe(all.reduce((sum, cell) => sum + cell.length, 0))
          expect(queue.items).toBeLessThanOrEqual(bounds.itemsMax)
          expect(queue.bytes).toBeLessThanOrEqual(bounds.bytesMax)
          for (let flow = 0; flow < 8; flow++) {
            const count = (waiting.control.get(flow)?.length ?? 0) + (waiting.normal.get(flow)?.length ?? 0)
            expect(queue.flowItems(flow)).toBe(count)
            expect(count).toBeLessThanOrEqual(bounds.flowItemsMax)
          }
        }
      }),
    )
  })

  it('stays in order through long runs, in which its lists are moved down many times', () => {
    const queue = new FairQueue({ itemsMax: 200, bytesMax: 10_000 })
    let next = 0
    let expected = 0
    for (let round = 0; round < 400; round++) {
      for (let i = 0; i < (round % 7) * 20; i++) if (queue.offer(1, item(1, next))) next++
      for (let i = 0; i < (round % 5) * 25; i++) {
        const cell = queue.take()
        if (cell !== undefined && numberOf(cell) !== expected++) throw new Error(`out of order at ${expected}`)
      }
    }
    expect(takeAll(queue).length).toBe(next - expected)
    expect(next).toBeGreaterThan(10_000)
  })
})
