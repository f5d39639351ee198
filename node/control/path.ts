/** Where the daemon of a home folder listens, for both ends of the control socket. SPEC home §3 */
export { checkControlFolder, controlPathOf } from '../system/control-path.ts'
