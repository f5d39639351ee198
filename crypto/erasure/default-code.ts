/** The code on the fastest kernel of this machine, made at first use. SPEC erasure §2, §3 */
import { type CodeShape, ErasureCode, type Fragment, type ParityShape } from './code.ts'
import { fastestKernel } from './kernel.ts'

let made: ErasureCode | undefined

function code(): ErasureCode {
  made ??= new ErasureCode(fastestKernel())
  return made
}

/** As ErasureCode.encodeParity. */
export function encodeParity(shape: ParityShape, data: Uint8Array, into?: Uint8Array): Uint8Array {
  return code().encodeParity(shape, data, into)
}

/** As ErasureCode.rebuildData. */
export function rebuildData(shape: CodeShape, have: readonly Fragment[], into?: Uint8Array): Uint8Array {
  return code().rebuildData(shape, have, into)
}

/** As ErasureCode.rebuildFragment. */
export function rebuildFragment(shape: CodeShape, have: readonly Fragment[], index: number): Uint8Array {
  return code().rebuildFragment(shape, have, index)
}
