/** A vault's lines as they are kept: where each is attached, and its key. SPEC vaults §2 */
import {
  ByteReader,
  ByteWriter,
  type Location,
  type Log,
  MalformedError,
  messageOf,
  named32,
  type StateStore,
} from '../core/index.ts'

const STATE_KEY = 'lines'
const VERSION = 1
/** More than any profile wants. */
const LINES_MAX = 64

export interface KeptLine {
  readonly point: Location
  /** Of the line key; secret. 32 bytes. */
  readonly seed: Uint8Array
}

/** Oldest first. */
export function readKeptLines({ state, log }: { readonly state: StateStore; readonly log: Log }): readonly KeptLine[] {
  const bytes = state.get(STATE_KEY)
  if (bytes === undefined) return []
  try {
    const r = new ByteReader(bytes, 'lines file')
    if (r.u8() !== VERSION) throw r.malformed('unknown version')
    const lines: KeptLine[] = []
    while (r.left > 0 && lines.length < LINES_MAX) {
      lines.push({ point: named32<'Location'>(r.bytes(32).slice(), 'point'), seed: r.bytes(32).slice() })
    }
    r.end()
    return lines
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error
    log('warn', 'the file of lines is damaged: attaching anew, and what lay behind them is lost')
    return []
  }
}

export function saveKeptLines(
  { state, log }: { readonly state: StateStore; readonly log: Log },
  lines: readonly KeptLine[],
): void {
  // version u8 (1), then for each: point 32, seed 32
  const w = new ByteWriter(1 + 64 * lines.length).u8(VERSION)
  for (const { point, seed } of lines) w.bytes(point).bytes(seed)
  state.put(STATE_KEY, w.done()).catch((error: unknown) => {
    log('warn', 'lines could not be saved', { reason: messageOf(error) })
  })
}
