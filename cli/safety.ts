/**
 * The safety switch before a command: what would undo anonymity in how this process was started, or in the
 * settings of the home it is to use, ends it before it does anything; or is warned of, where the home's
 * config.json (or --unsafe, where a home is made) says so. SPEC safety §1
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import {
  type Hazard,
  hazardText,
  judge,
  parseSettings,
  processHazards,
  proxyVariableHazards,
  type SafetySettings,
  settingHazards,
} from '../node/safety.ts'
import { contextOf } from './context.ts'
import type { World } from './world.ts'

/** They look, or end what runs: refusing them would leave the unsafe thing running. */
const ALWAYS_DONE = ['down', 'status', 'ledger', 'show', 'export', 'verify']
/** They speak to the daemon of a home, or start it. */
const USE_HOME = ['put', 'get', 'check', 'repair', 'repair-key', 'keep', 'up', 'invite']

/** Throws UnsafeSettingError. */
export async function checkSafety(world: World, command: Command): Promise<void> {
  const name = command.name()
  if (name === 'help') return
  const { home, voice } = contextOf(world, command)
  const settings = USE_HOME.includes(name) ? await settingsOf(home) : undefined
  const found = hazardsOf(world, settings, name)
  const isUnsafe = command.opts().unsafe === true || settings?.anonymity === 'unsafe' || ALWAYS_DONE.includes(name)
  for (const hazard of judge(isUnsafe ? 'unsafe' : 'strict', found)) {
    voice.note(`WARNING, anonymity is at risk: ${hazardText(hazard)}; ${hazard.remedy}`)
  }
}

function hazardsOf(world: World, settings: SafetySettings | undefined, name: string): Hazard[] {
  const found = processHazards(world)
  if (settings === undefined) return found
  return [...found, ...settingHazards(settings), ...(name === 'up' ? proxyVariableHazards(world, settings) : [])]
}

/** Undefined where there is no home: then there is a clearer error to come. */
async function settingsOf(home: string): Promise<SafetySettings | undefined> {
  try {
    const [config, network] = await Promise.all(
      ['config.json', 'network.json'].map((file) => readFile(join(home, file), 'utf8')),
    )
    return config === undefined || network === undefined ? undefined : parseSettings(config, network)
  } catch {
    return undefined
  }
}
