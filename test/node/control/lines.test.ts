import { describe, expect, it } from 'vitest'
import { jsonLines } from '../../../node/control/lines.ts'

async function* pieces(...parts: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield typeof part === 'string' ? Buffer.from(part) : part
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

describe('lines of JSON', () => {
  it('are the same however they are cut', async () => {
    const text = Buffer.from('{"a":"é"}\n\n[1]\n"last"')
    for (let cut = 0; cut <= text.length; cut++) {
      const values = await all(jsonLines(pieces(text.subarray(0, cut), text.subarray(cut))))
      expect(values).toEqual([{ a: 'é' }, [1], 'last'])
    }
  })

  it('that are none, not UTF-8 or without end are refused', async () => {
    for (const bad of ['{"a":\n', Uint8Array.of(0xff, 10), 'x'.repeat(70_000)]) {
      await expect(all(jsonLines(pieces(bad)))).rejects.toMatchObject({ code: 'ERR_CONTROL_PROTOCOL' })
    }
  })
})
