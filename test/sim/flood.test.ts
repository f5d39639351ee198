/** The flood of identities, in small: who denies, what is counted, and that the program is as before afterwards. SPEC anonymity §7 */
import { describe, expect, it } from 'vitest'
import type { NodeId, PublicKey } from '../../core/index.ts'
import {
  encodeCall,
  LINK_MESSAGE,
  type Link,
  type LinkHandlers,
  MessageJoiner,
  readCell,
  splitMessage,
} from '../../routing/index.ts'
import { denying } from '../../sim/flood/deny.ts'
import { IDENTITY_SECONDS, measureFlood, withoutRegions } from '../../sim/flood/measure.ts'
import { renderFlood } from '../../sim/flood.ts'

describe('a member that denies', () => {
  it('says of each request of the ring that it is not there, and lets the node have everything else', async () => {
    const sent: Uint8Array[] = []
    const got: Uint8Array[] = []
    const joined = { sent: new MessageJoiner(), got: new MessageJoiner() }
    let feed: LinkHandlers | undefined
    const link: Link = {
      peerKey: new Uint8Array(32) as PublicKey,
      isDialer: true,
      queuedBytes: 0,
      start: (handlers) => {
        feed = handlers
      },
      send: (cell) => {
        const message = joined.sent.add(readCell(cell).body)
        if (message !== undefined) sent.push(message.slice())
      },
      close: () => {},
    }
    const denied = await denying({
      dial: async () => link,
      listen: async (address) => ({ address, close: async () => {} }),
      close: async () => {},
    }).dial({ address: '', publicKey: link.peerKey }, { timeoutMs: 1 })
    denied.start({
      onCell: (cell) => {
        const message = joined.got.add(readCell(cell).body)
        if (message !== undefined) got.push(message.slice())
      },
      onDrain: () => {},
      onClose: () => {},
    })
    const rid = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)
    const query = encodeCall({ kind: 'ringQuery', tag: 9 })
    for (const message of [Uint8Array.of(LINK_MESSAGE.rget, ...rid, 5), query])
      for (const cell of splitMessage(1, message)) feed?.onCell(cell)
    expect(sent.map((message) => [...message])).toEqual([[LINK_MESSAGE.rnone, ...rid, 0]])
    expect(got.map((message) => [...message])).toEqual([[...query]])
  })
})

describe('a flood', () => {
  it('meets no regions when they are taken away, and finds them again afterwards', () => {
    class Plain {
      of = (_: Uint8Array, { count }: { count: number }): NodeId[] =>
        [1, 2, 3].slice(0, count).map((first) => new Uint8Array(32).fill(first) as NodeId)
      region(location: Uint8Array): NodeId[] {
        return this.of(location, { count: 3 })
      }
      eldest(location: Uint8Array): NodeId[] {
        return this.of(location, { count: 1 })
      }
    }
    const [holders, location] = [new Plain(), new Uint8Array(32)]
    const undo = withoutRegions(holders)
    const other = new Plain()
    expect([other.region(location).length, other.eldest(location).length]).toEqual([2, 0])
    undo()
    expect([other.region(location).length, holders.eldest(location).length]).toEqual([3, 1])
  })

  it('costs what the puzzle costs, and hides nothing before it comes', async () => {
    const wish = { seed: 'test', nodes: 20, networks: 1, targets: 1, coreHours: 0.3, gets: 3, hasRegions: false }
    const flooded = await measureFlood(wish)
    expect(IDENTITY_SECONDS).toBeCloseTo(92.16)
    expect(flooded).toMatchObject({ made: 11, placed: 4, before: { right: 3, all: 3 }, after: { all: 3 } })
    expect(flooded.beside).toBeGreaterThan(0)
    const zero = { right: 1, all: 1 }
    const page = renderFlood([flooded], { nodes: 20, networks: 1, locations: 8, down: 4, own: zero, others: zero })
    expect(page).toContain('| off | 0.3 | 11 | 4 | 3 of 3 |')
    expect(page).not.toMatch(/NaN|undefined/)
  }, 300_000)
})
