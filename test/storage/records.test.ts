/** One promise for all makers of a record store. SPEC shard-store §5 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { fromUtf8, type RecordStore, toUtf8 } from '../../core/index.ts'
import { openLmdbRecords, openMemoryRecords } from '../../storage/index.ts'

const folder = mkdtempSync(join(tmpdir(), 'hush-records-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function text(store: RecordStore, prefix: string, limit?: number): string[] {
  return store.list(fromUtf8(prefix), limit).map(({ key, value }) => `${toUtf8(key)}=${toUtf8(value)}`)
}
const change = (key: string, value: string | undefined) => ({
  key: fromUtf8(key),
  value: value === undefined ? undefined : fromUtf8(value),
})

describe.each([
  { name: 'memory', make: () => ({ ...openMemoryRecords(), close: async () => {} }) },
  { name: 'LMDB', make: () => openLmdbRecords({ path: join(folder, 'a') }) },
])('records in $name', ({ make }) => {
  it('come back in the order of their keys, by how the key begins', async () => {
    const store = make()
    await store.write([change('b2', 'x'), change('a1', 'y'), change('b1', 'z'), change('c', 'w')])
    expect(text(store, 'b')).toEqual(['b1=z', 'b2=x'])
    expect(text(store, '')).toEqual(['a1=y', 'b1=z', 'b2=x', 'c=w'])
    expect(text(store, 'b', 1)).toEqual(['b2=x'])
    await store.write([change('b1', undefined), change('b2', 'new')])
    expect(text(store, 'b')).toEqual(['b2=new'])
    expect(text(store, 'd')).toEqual([])
    expect(toUtf8(store.get(fromUtf8('a1')) as Uint8Array)).toBe('y')
    expect(store.get(fromUtf8('a'))).toBeUndefined()
    const between = (above: string, upTo: string, limit: number) =>
      store.range({ above: fromUtf8(above), upTo: fromUtf8(upTo) }, limit).map(({ key }) => toUtf8(key))
    expect(between('a1', 'c', 9)).toEqual(['b2', 'c'])
    expect(between('a', 'c', 2)).toEqual(['a1', 'b2'])
    expect(between('a1', 'bz', 9)).toEqual(['b2'])
    expect(between('c', 'a', 9)).toEqual([])
    await store.close()
  })
})

describe('records on disk', () => {
  it('are there after the next start', async () => {
    const path = join(folder, 'again')
    const first = openLmdbRecords({ path })
    await first.write([change('k', 'v')])
    await first.close()
    const second = openLmdbRecords({ path })
    expect(text(second, 'k')).toEqual(['k=v'])
    await second.close()
  })
})
