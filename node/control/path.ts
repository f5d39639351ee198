/** Where the daemon of a home folder listens, for both ends of the control socket, and which process it is. SPEC home §2, §3 */
export { checkControlFolder, controlPathOf } from '../system/control-path.ts'
export { folderError } from '../system/errors.ts'
export { homeHolder } from '../system/home-lock.ts'
