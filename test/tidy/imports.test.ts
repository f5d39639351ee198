import { describe, expect, it } from 'vitest'
import { directionFaults, doorFaults, importsOf, packageFaults } from './imports.ts'
import { source } from './source.ts'

const INSTALLED = new Set(['ws', 'lmdb', 'zod', '@noble/curves', 'vitest'])
const directions = (path: string, text: string) => directionFaults(source(path, text)).length
const packages = (path: string, text: string) => packageFaults(source(path, text), INSTALLED).length
const doors = (path: string, text: string) => doorFaults(source(path, text)).length

describe('imports', () => {
  it('are found in every form, and not in comments or strings', () => {
    const text = `import './a.ts'\nimport type { B } from "./b.ts"\nexport {\n c,\n} from './c.ts'\nconst d = await import('./d.ts')
      // import './e.ts'\nconst f = "import './f.ts'"\nconst from = 'x'`
    expect(importsOf(source('core/x.ts', text)).map(({ from }) => from)).toEqual([
      './a.ts',
      './b.ts',
      './c.ts',
      './d.ts',
    ])
  })
})

describe('directions', () => {
  it('run from core outwards', () => {
    expect(directions('crypto/a.ts', "import { x } from '../core/index.ts'")).toBe(0)
    expect(directions('core/a.ts', "import { x } from '../crypto/index.ts'")).toBe(1)
    expect(directions('crypto/erasure/a.ts', "import { x } from '../../storage/index.ts'")).toBe(1)
    expect(directions('routing/ring/a.ts', "import type { X } from '../../node/index.ts'")).toBe(1)
  })

  it('keep storage and routing apart', () => {
    expect(directions('storage/a.ts', "import { x } from '../routing/index.ts'")).toBe(1)
    expect(directions('routing/a.ts', "import { x } from '../storage/index.ts'")).toBe(1)
    expect(
      directions('node/a.ts', "import { x } from '../storage/index.ts'\nimport { y } from '../routing/index.ts'"),
    ).toBe(0)
  })

  it('lead through the door from outside and past it from inside', () => {
    expect(directions('node/a.ts', "import { x } from '../routing/ring/point.ts'")).toBe(1)
    expect(directions('routing/circuit/a.ts', "import { x } from '../ring/point.ts'")).toBe(0)
    expect(directions('routing/circuit/a.ts', "import { x } from '../index.ts'")).toBe(1)
  })

  it('give cli the control door and core, nothing else of node', () => {
    expect(
      directions('cli/a.ts', "import { x } from '../node/control/index.ts'\nimport { y } from '../core/index.ts'"),
    ).toBe(0)
    expect(directions('cli/a.ts', "import { x } from '../node/index.ts'")).toBe(1)
    expect(directions('cli/a.ts', "import { x } from '../node/daemon.ts'")).toBe(1)
    expect(directions('cli/commands/up.ts', "import { x } from '../../node/daemon.ts'")).toBe(0)
    expect(directions('cli/commands/up.ts', "import { x } from '../../crypto/index.ts'")).toBe(1)
  })

  it('hand ports to the parts that a simulator runs', () => {
    expect(directions('node/compose.ts', "import { x } from './system/clock.ts'")).toBe(1)
    expect(directions('node/roles/keeper.ts', "import { x } from '../system/index.ts'")).toBe(1)
    expect(directions('node/daemon.ts', "import { x } from './system/clock.ts'")).toBe(0)
  })

  it('let tests take doors, and the files of the room they mirror', () => {
    expect(directions('test/crypto/a.test.ts', "import { x } from '../../crypto/shamir/split.ts'")).toBe(0)
    expect(directions('test/storage/a.test.ts', "import { x } from '../../crypto/index.ts'")).toBe(0)
    expect(directions('test/storage/a.test.ts', "import { x } from '../../crypto/shamir/split.ts'")).toBe(1)
    expect(directions('core/a.ts', "import { x } from '../test/vectors/load.ts'")).toBe(1)
  })
})

describe('packages', () => {
  it('stay in their folder', () => {
    expect(packages('node/system/transport.ts', "import { WebSocket } from 'ws'")).toBe(0)
    expect(packages('routing/link/a.ts', "import { WebSocket } from 'ws'")).toBe(1)
    expect(packages('storage/shard-store/lmdb.ts', "import { open } from 'lmdb'")).toBe(0)
    expect(packages('storage/a.ts', "import { open } from 'lmdb'")).toBe(1)
    expect(packages('node/config.ts', "import { z } from 'zod'")).toBe(0)
    expect(packages('cli/a.ts', "import { z } from 'zod'")).toBe(1)
    expect(packages('crypto/sign.ts', "import { ed25519 } from '@noble/curves/ed25519.js'")).toBe(0)
  })

  it('are named in package.json', () => {
    expect(packages('test/a.test.ts', "import { it } from 'vitest'")).toBe(0)
    expect(packages('test/a.test.ts', "import x from 'left-pad'")).toBe(1)
    expect(packages('crypto/a.ts', "import { it } from 'vitest'")).toBe(1)
  })

  it('of Node are written with node: and kept to node/system and cli', () => {
    expect(packages('node/system/files.ts', "import { open } from 'node:fs/promises'")).toBe(0)
    expect(packages('node/home.ts', "import { open } from 'node:fs/promises'")).toBe(1)
    expect(packages('cli/main.ts', "import { open } from 'fs'")).toBe(1)
  })

  it('leave node:crypto to crypto', () => {
    expect(packages('crypto/hash.ts', "import { hash } from 'node:crypto'")).toBe(0)
    expect(packages('cli/a.ts', "import { hash } from 'node:crypto'")).toBe(1)
    expect(packages('node/system/chance.ts', "import type { Hash } from 'node:crypto'")).toBe(1)
  })
})

describe('doors', () => {
  it('name what they export', () => {
    expect(
      doors(
        'crypto/index.ts',
        "/** Door. */\nexport { sha256, type Hash } from './hash.ts'\nexport type { K } from './k.ts'",
      ),
    ).toBe(0)
    expect(doors('crypto/index.ts', "export * from './hash.ts'")).toBe(1)
    expect(doors('core/index.ts', "export * from './bytes.ts'")).toBe(0)
  })

  it('hold nothing else', () => {
    expect(doors('crypto/index.ts', "export { a } from './a.ts'\nexport const b = 1")).toBe(1)
    expect(doors('node/control/index.ts', "import { a } from './a.ts'\nexport { a }")).toBe(1)
    expect(doors('crypto/hash.ts', 'export const b = 1')).toBe(0)
  })
})
