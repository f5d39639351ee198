/** hush repair, repair-key and keep as their users see them. SPEC control §8, §10, §11 */
import { describe, expect, it } from 'vitest'
import { makeStage } from './stage.ts'

const ADDRESS = 'hush:abc'
const ID = /^[0-9a-f]{16}\n$/

describe('hush repair', () => {
  it.each([
    [
      'every shard is in its place',
      [
        [0, 0, 0],
        [5, 5, 0],
      ],
      0,
    ],
    [
      'some are still missing',
      [
        [5, 5, 0],
        [4, 1, 2],
      ],
      3,
    ],
    [
      'a part is lost',
      [
        [15, 0, 0],
        [2, 2, 0],
      ],
      4,
    ],
  ])('tells what it did and ends by how it is left: %s', async (_, repair, exit) => {
    const stage = makeStage()
    await stage.startDouble({ repair })
    const ran = await stage.hush(['repair', ADDRESS])
    expect(ran.exit).toBe(exit)
    const lines = ran.out.trim().split('\n')
    const lacking = repair.filter(([missing]) => missing !== 0)
    expect(lines).toHaveLength(1 + lacking.length + 1)
    expect(lines[0]).toMatch(/^stripe +level +missing +rebuilt +pending +still missing$/)
    const [missing, rebuilt] = lacking[0] ?? []
    expect(lines[1]).toMatch(new RegExp(`${missing}/22 +${rebuilt} `))
    expect(lines.at(-1)).toMatch(/^2 stripes, 44 shards: \d+ missing, \d+ rebuilt, .*renewed, .* moved: \w+$/)
  })

  it('says every stripe to programs, and only the summary when nothing lacked', async () => {
    const stage = makeStage()
    await stage.startDouble({ repair: [[0, 0, 0]] })
    expect((await stage.hush(['repair', ADDRESS])).out.trim().split('\n')).toHaveLength(1)
    const told = (await stage.hush(['repair', ADDRESS, '--json'])).out.trim().split('\n')
    expect(told.map((line) => JSON.parse(line).event)).toEqual(['stripe', 'summary'])
  })

  it('prints the repair key alone', async () => {
    const stage = makeStage()
    await stage.startDouble()
    expect(await stage.hush(['repair-key', ADDRESS])).toMatchObject({ exit: 0, out: 'hush-repair:abcdef\n' })
  })
})

describe('hush keep', () => {
  it('takes an object up, lists it, shows it in the status, and lets it go', async () => {
    const stage = makeStage()
    const double = await stage.startDouble()
    const kept = await stage.hush(['keep', ADDRESS])
    expect(kept).toMatchObject({ exit: 0 })
    expect(kept.out).toMatch(ID)
    expect(kept.err).toContain('first visit 2023-11-18')
    const list = await stage.hush(['keep', '--list'])
    expect(list.out).toMatch(/^id +kept since +visited +health +found +next\n/)
    expect(list.out).toContain(`${kept.out.trim()}  2023-11-14  not yet`)
    expect((await stage.hush(['status'])).out).toMatch(/keeping +1 object, worst at the last visit: weak, next visit/)
    expect(await stage.hush(['keep', '--stop', ADDRESS])).toMatchObject({ exit: 0, out: kept.out })
    expect(await stage.hush(['keep', '--stop', ADDRESS])).toMatchObject({ exit: 2 })
    expect((await stage.hush(['keep', '--list'])).out).toBe('0 objects kept\n')
    expect(double.requests.map(({ method, path }) => `${method} ${path}`)).toContain('POST /v1/kept/hush%3Aabc/stop')
  })

  it.each([[[]], [[ADDRESS, '--list']], [['--list', '--stop', 'x']]])(
    'wants one thing at a time: %j',
    async (words) => {
      const stage = makeStage()
      await stage.startDouble()
      expect(await stage.hush(['keep', ...words])).toMatchObject({ exit: 2, out: '' })
    },
  )
})
