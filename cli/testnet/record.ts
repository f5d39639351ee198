/** DIR/testnet.json: which processes make up a testnet, so that another command can end them. */
import { open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { LocalFileError, reasonOf, systemCodeOf, UsageError } from '../errors.ts'
import type { AddressPlan } from './addresses.ts'

export const RECORD_NAME = 'testnet.json'

export interface Member {
  /** node-00, client-a … and its folder's name. */
  readonly name: string
  readonly role: 'node' | 'client'
  /** Absolute. */
  readonly home: string
  readonly address: string | undefined
  /** The process that the testnet last started there; the home's lock tells whether another one has it by now. */
  readonly pid: number | undefined
}

export interface TestnetRecord {
  readonly version: 1
  readonly plan: AddressPlan
  /** Of the nodes that are made; records of earlier versions do not say so. */
  readonly hasVaults: boolean
  readonly members: readonly Member[]
}

/** Throws ERR_USAGE when there is no testnet in `folder`, or its record is not one. */
export async function readRecord(folder: string): Promise<TestnetRecord> {
  const path = join(folder, RECORD_NAME)
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    if (systemCodeOf(cause) === 'ENOENT') {
      throw new UsageError(`there is no testnet in ${folder}`, {
        cause,
        hint: `make one with: hush testnet up --nodes 20 --dir ${folder}`,
      })
    }
    throw new LocalFileError(`cannot read ${path}: ${reasonOf(cause)}`, { cause })
  })
  const record = parseRecord(text)
  if (record === undefined) throw new UsageError(`${path} is not the record of a testnet`)
  return record
}

export function parseRecord(text: string): TestnetRecord | undefined {
  let value: Partial<TestnetRecord>
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  const { plan, members } = value ?? {}
  if (value?.version !== 1 || !Array.isArray(members) || !isPort(plan?.basePort)) return undefined
  if (plan.kind !== 'one-each' && plan.kind !== 'shared') return undefined
  return members.every(isMember) ? { version: 1, plan, hasVaults: value.hasVaults !== false, members } : undefined
}

function isMember(value: unknown): value is Member {
  const { name, role, home, pid, address } = (value ?? {}) as Partial<Member>
  return (
    typeof name === 'string' &&
    (role === 'node' || role === 'client') &&
    typeof home === 'string' &&
    (address === undefined || typeof address === 'string') &&
    (pid === undefined || (Number.isSafeInteger(pid) && pid > 1))
  )
}

function isPort(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0 && (value as number) < 65_536
}

/** Replaces the record in one step. */
export async function writeRecord(folder: string, record: TestnetRecord): Promise<void> {
  const path = join(folder, RECORD_NAME)
  try {
    const handle = await open(`${path}.new`, 'w', 0o600)
    await handle.writeFile(`${JSON.stringify(record, undefined, 2)}\n`)
    await handle.close()
    await rename(`${path}.new`, path)
  } catch (cause) {
    throw new LocalFileError(`cannot write ${path}: ${reasonOf(cause)}`, { cause })
  }
}
