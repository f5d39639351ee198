// One process of its own with a home folder: holds its lock, or writes to its state until it is killed.
// Says one line when it has begun.
import { fileURLToPath } from 'node:url'
import { runnerImport } from 'vite'

const [task, home] = process.argv.slice(2)
const root = fileURLToPath(new URL('../../..', import.meta.url))
const load = async (name) =>
  (await runnerImport(`${root}node/system/${name}.ts`, { root, configFile: false, logLevel: 'error' })).module
const { openHome } = await load('files')

if (task === 'lock') {
  const [{ lockHome }, { systemClock }, { systemJitter }] = await Promise.all(
    ['home-lock', 'clock', 'chance'].map(load),
  )
  await lockHome(openHome(home), { clock: systemClock(), jitter: systemJitter() }).then(
    () => console.log('locked'),
    (error) => console.log(error.code),
  )
  setInterval(() => {}, 1_000)
} else {
  const { openStateStore } = await load('state-store')
  const store = openStateStore(openHome(home).folder('state'))
  // Each value is one byte over and over, as long as it is large: a mixture shows.
  for (let round = 1; ; round++) {
    await store.put('value', new Uint8Array(1_000 + round * 997).fill(round & 0xff))
    if (round === 1) console.log('writing')
  }
}
