/** The door of the erasure code: any k of n fragments rebuild a stripe, byte for byte. SPEC erasure §2, §3 */
export { type CodeShape, ErasureCode, FRAGMENTS_MAX, type Fragment, type ParityShape } from './code.ts'
export { encodeParity, rebuildData, rebuildFragment } from './default-code.ts'
export { CodeShapeError, FragmentSetError } from './errors.ts'
export { availableKernels, type Kernel } from './kernel.ts'
