/**
 * Run in a process of its own, to be killed: stores one content after the other, several at a time, and
 * prints "id leaseEnd" for each that was acknowledged.
 */
import { toHex } from '../../../core/index.ts'
import { openLmdbStore } from '../../../storage/index.ts'
import { makeShard } from '../../contract/shard.ts'

const [path = '', round = '0'] = process.argv.slice(2)
const { store } = openLmdbStore({ path, quotaBytes: 2 ** 32, cacheBytes: 0 })
let next = 1_000_000 * (1 + Number(round))

async function write(): Promise<void> {
  for (;;) {
    const shard = makeShard(next++)
    const leaseEndMs = 1_000 + (next % 1_000)
    await store.put({ ...shard, leaseEndMs })
    process.stdout.write(`${toHex(shard.ref.id)} ${leaseEndMs}\n`)
  }
}

await Promise.all([write(), write(), write(), write()])
