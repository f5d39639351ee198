/** Newline-delimited JSON as it arrives in pieces. SPEC control §2 */
import { concatBytes, toUtf8 } from '../../core/index.ts'
import { ControlProtocolError } from './errors.ts'

/** Implementation limit: the longest line of the API is a few hundred bytes. */
const LINE_SIZE_MAX = 65_536

/** The values of the lines in `body`, in order. Throws ERR_CONTROL_PROTOCOL for what is no JSON. */
export async function* jsonLines(body: AsyncIterable<Uint8Array>): AsyncGenerator<unknown> {
  let held: Uint8Array = new Uint8Array(0)
  for await (const piece of body) {
    held = held.length === 0 ? piece : concatBytes(held, piece)
    for (let end = held.indexOf(10); end >= 0; end = held.indexOf(10)) {
      const line = held.subarray(0, end)
      held = held.subarray(end + 1)
      if (line.length > 0) yield parseJson(line)
    }
    if (held.length > LINE_SIZE_MAX) throw new ControlProtocolError('line too long')
  }
  if (held.length > 0) yield parseJson(held)
}

export function parseJson(bytes: Uint8Array): unknown {
  const text = toUtf8(bytes)
  if (text === undefined) throw new ControlProtocolError('not UTF-8')
  return parseJsonText(text)
}

export function parseJsonText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new ControlProtocolError('not JSON', { cause })
  }
}
