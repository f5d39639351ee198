/**
 * The two rooms that commands which start processes need besides the control API, loaded when one
 * runs, so that short commands stay short.
 */
import type { World } from '../world.ts'

export const rooms: Pick<World, 'homes' | 'daemon'> = {
  homes: () => import('../../node/home.ts'),
  daemon: () => import('../../node/daemon.ts'),
}
