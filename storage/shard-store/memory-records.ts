/** Records in memory, for tests and the simulator: nothing survives. SPEC shard-store §5 */
import { compareBytes, equalBytes, type RecordStore, type StoredRecord, toHex } from '../../core/index.ts'

export function openMemoryRecords(): RecordStore {
  const records = new Map<string, StoredRecord>()
  return {
    list: (prefix, limit = Number.POSITIVE_INFINITY) => {
      const found = [...records.values()].filter(({ key }) => equalBytes(key.subarray(0, prefix.length), prefix))
      found.sort((a, b) => compareBytes(a.key, b.key))
      return found.slice(Math.max(0, found.length - limit)).map(({ key, value }) => ({ key, value: value.slice() }))
    },
    get: (key) => records.get(toHex(key))?.value.slice(),
    range: ({ above, upTo }, limit) => {
      const found = [...records.values()].filter(
        ({ key }) => compareBytes(key, above) > 0 && compareBytes(key, upTo) <= 0,
      )
      found.sort((a, b) => compareBytes(a.key, b.key))
      return found.slice(0, limit).map(({ key, value }) => ({ key, value: value.slice() }))
    },
    write: async (changes) => {
      for (const { key, value } of changes) {
        if (value === undefined) records.delete(toHex(key))
        else records.set(toHex(key), { key: key.slice(), value: value.slice() })
      }
    },
  }
}
