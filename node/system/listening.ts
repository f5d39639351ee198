/** Opening a listening port, with errors that say what stands in the way. */
import type { Server } from 'node:net'
import { formatHostPort, type HostPort } from './address.ts'
import { ListenError, PortInUseError, systemCodeOf } from './errors.ts'

const WHY: Readonly<Record<string, string>> = {
  EACCES: 'this user may not open that port',
  EADDRNOTAVAIL: 'this machine does not have that address',
  ENOTFOUND: 'the name is not known',
  EAI_AGAIN: 'the name cannot be looked up',
}

/** The port that was opened. */
export function listenOn(server: Server, place: HostPort): Promise<number> {
  return new Promise((resolve, reject) => {
    const address = formatHostPort(place)
    const fail = (cause: Error) => {
      const code = systemCodeOf(cause)
      if (code === 'EADDRINUSE') reject(new PortInUseError(address, { cause }))
      else reject(new ListenError(address, WHY[code] ?? code, { cause }))
    }
    server.once('error', fail)
    server.listen({ host: place.host, port: place.port, exclusive: true }, () => {
      server.removeListener('error', fail)
      // Running out of file handles stops one accept, not the listener.
      server.on('error', () => {})
      const opened = server.address()
      resolve(typeof opened === 'object' && opened !== null ? opened.port : place.port)
    })
  })
}
