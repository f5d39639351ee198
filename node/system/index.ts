/** The door of node/system: the makers of the ports, and all that touches the machine. */
export { formatHostPort, type HostPort, isLoopback, isNumeric, parseHostPort } from './address.ts'
export { systemJitter, systemRandom } from './chance.ts'
export { systemClock } from './clock.ts'
export { checkControlFolder, controlPathOf } from './control-path.ts'
export { type ControlExchange, type ControlSocket, serveControl } from './control-socket.ts'
export {
  BadHostPortError,
  FileError,
  HomeInUseError,
  HomePermissionError,
  LinkHandshakeError,
  LinkLimitError,
  LinkTimeoutError,
  LinkUnreachableError,
  ListenError,
  NameRefusedError,
  OtherNetworkError,
  PortInUseError,
  ProxyProtocolError,
  ProxyRefusedError,
  ProxyUnreachableError,
  TransportClosedError,
  WrongCertificateError,
} from './errors.ts'
export { type Home, homePathOf, openHome } from './files.ts'
export { type HomeLock, lockHome } from './home-lock.ts'
export { proxyLoginOf, TRANSPORT_LIMITS, type TransportLimits } from './link-settings.ts'
export { type LogOptions, makeLog } from './log.ts'
export { type MetricSource, type Metrics, makeMetrics, serveMetrics } from './metrics.ts'
export {
  keyLogOfEnvironment,
  onStopSignal,
  processId,
  processRssBytes,
  programVersion,
  surroundings,
  tuneEngine,
} from './process.ts'
export { parseProxy, type SocksProxy } from './socks.ts'
export { openStateStore } from './state-store.ts'
export { type CountedTransport, makeTransport, type TransportCounts, type TransportOptions } from './transport.ts'
