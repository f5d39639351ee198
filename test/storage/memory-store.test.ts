import { openMemoryStore } from '../../storage/index.ts'
import { describeShardStore } from '../contract/shard-store.ts'

describeShardStore({
  name: 'memory',
  open: async (options) => openMemoryStore(options),
  corrupt: async (_, bytes) => {
    bytes[40_000] = (bytes[40_000] ?? 0) ^ 4
  },
})
