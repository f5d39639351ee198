/** Many small records on disk: an LMDB environment of its own, beside the shards. SPEC shard-store §5 */
import { open } from 'lmdb'
import type { RecordStore, StoredRecord } from '../../core/index.ts'
import { ShardStoreError } from '../errors.ts'
import { Writes } from './lmdb-writes.ts'

const MAP_BYTES = 64 * 1024 * 1024
/** Longer than any key: the end of a range of keys with one beginning. */
const KEY_SIZE_MAX = 128

/** Throws ERR_SHARD_STORE. `pause` is waited for after each commit, so that writes gather for the next. */
export function openLmdbRecords(options: {
  readonly path: string
  readonly pause?: () => Promise<void>
}): RecordStore & { close(): Promise<void> } {
  try {
    const env = open<Uint8Array, Uint8Array>({
      path: options.path,
      noSubdir: false,
      encoding: 'binary',
      keyEncoding: 'binary',
      eventTurnBatching: false,
      maxDbs: 2,
      mapSize: MAP_BYTES,
    })
    const records = env.openDB<Uint8Array, Uint8Array>({ name: 'records', encoding: 'binary', keyEncoding: 'binary' })
    const writes = new Writes(env, options.pause ?? (() => Promise.resolve()))
    return {
      list: (prefix, limit = Number.POSITIVE_INFINITY) => {
        const end = new Uint8Array(KEY_SIZE_MAX).fill(255)
        end.set(prefix)
        const found: StoredRecord[] = []
        for (const { key, value } of records.getRange({ start: prefix, end })) {
          found.push({ key: new Uint8Array(key), value: new Uint8Array(value) })
        }
        return found.slice(Math.max(0, found.length - limit))
      },
      get: (key) => {
        const value = records.getBinary(key)
        return value && new Uint8Array(value)
      },
      range: ({ above, upTo }, limit) => {
        const span = { start: above, end: upTo, exclusiveStart: true, inclusiveEnd: true, limit }
        return [...records.getRange(span)].map(({ key, value }) => ({
          key: new Uint8Array(key),
          value: new Uint8Array(value),
        }))
      },
      write: async (changes) => {
        await writes.commit(() => {
          for (const { key, value } of changes) {
            if (value === undefined) records.remove(key)
            else records.put(key, value)
          }
        })
        if (!(await writes.flush())) throw new ShardStoreError('did not take what was written', undefined)
      },
      close: async () => {
        await writes.settled()
        // After a failed commit lmdb-js would wait for a flush that never comes.
        if (!writes.hasFailed) await env.close()
      },
    }
  } catch (error) {
    throw new ShardStoreError('cannot be opened', error)
  }
}
