/**
 * One process of its own with a home folder: holds its lock, or writes to its state until it is killed.
 * Says one line when it has begun.
 */
import { systemJitter } from '../../../node/system/chance.ts'
import { openHome } from '../../../node/system/files.ts'
import { lockHome } from '../../../node/system/home-lock.ts'
import { openStateStore } from '../../../node/system/state-store.ts'

const [task, path] = process.argv.slice(2) as [string, string]
const home = openHome(path)

if (task === 'lock') {
  await lockHome(home, { jitter: systemJitter() }).then(
    () => console.log('locked'),
    (error: { code: string }) => console.log(error.code),
  )
  setInterval(() => {}, 1_000)
} else {
  const store = openStateStore(home.folder('state'))
  // Each value is one byte over and over, as long as it is large: a mixture shows.
  for (let round = 1; ; round++) {
    await store.put('value', new Uint8Array(1_000 + round * 997).fill(round & 0xff))
    if (round === 1) console.log('writing')
  }
}
