/**
 * Numbers for a Prometheus scraper. Who counts keeps plain numbers; they are read when somebody scrapes,
 * so counting costs an addition. SPEC home §4
 */
import { createServer } from 'node:http'
import { type EventLoopUtilization, performance } from 'node:perf_hooks'
import { Counter, Gauge, Registry } from 'prom-client'
import { formatHostPort, parseHostPort } from './address.ts'
import { BadHostPortError } from './errors.ts'
import { listenOn } from './listening.ts'

type Labelled = { readonly labels: Readonly<Record<string, string>>; readonly value: number }

export interface MetricSource {
  /** Snake case with the unit last; `hush_` is put before it. */
  readonly name: string
  readonly help: string
  /** A counter only grows while the process lives. */
  readonly kind: 'counter' | 'gauge'
  /** Names of labels, when `read` gives several values. */
  readonly labels?: readonly string[]
  /** Called at each scrape. */
  read(): number | readonly Labelled[]
}

export interface Metrics {
  add(source: MetricSource): void
  /** The text format, version 0.0.4. */
  text(): Promise<string>
  readonly contentType: string
}

/** `withProcess` adds memory, processor and event-loop figures of the process. */
export function makeMetrics(options?: { withProcess?: boolean }): Metrics {
  const register = new Registry()
  if (options?.withProcess === true) addProcess(register)
  return {
    contentType: register.contentType,
    text: () => register.metrics(),
    add(source) {
      const shape = {
        name: `hush_${source.name}`,
        help: source.help,
        labelNames: [...(source.labels ?? [])],
        registers: [register],
      }
      if (source.kind === 'gauge') {
        new Gauge({
          ...shape,
          collect() {
            this.reset()
            for (const { labels, value } of valuesOf(source)) this.set(labels, value)
          },
        })
        return
      }
      new Counter({
        ...shape,
        collect() {
          this.reset()
          for (const { labels, value } of valuesOf(source)) this.inc(labels, value)
        },
      })
    },
  }
}

/**
 * What the library would collect by itself wakes the process a hundred times a second and is called at each
 * garbage collection: half the processor time of a daemon that nobody asks. These are read at a scrape only.
 */
function addProcess(register: Registry): void {
  const registers = [register]
  let before: EventLoopUtilization | undefined
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read())
      },
    })
  }
  gauge('process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss())
  gauge('nodejs_heap_size_used_bytes', 'Heap of V8 in use.', () => process.memoryUsage().heapUsed)
  gauge('nodejs_external_memory_bytes', 'Memory of buffers, beside the heap.', () => process.memoryUsage().external)
  gauge('nodejs_eventloop_utilization_ratio', 'Part of the time since the last scrape that was busy.', () => {
    const now = performance.eventLoopUtilization()
    const { utilization } = before === undefined ? now : performance.eventLoopUtilization(now, before)
    before = now
    return utilization
  })
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'Processor time, of user and system.',
    registers,
    collect() {
      const { user, system } = process.cpuUsage()
      this.reset()
      this.inc((user + system) / 1e6)
    },
  })
}

function valuesOf(source: MetricSource): readonly Labelled[] {
  const read = source.read()
  return typeof read === 'number' ? [{ labels: {}, value: read }] : read
}

/** Answers GET /metrics at `address` and 404 to anything else. The caller sees to it that it is local. */
export async function serveMetrics(
  metrics: Metrics,
  address: string,
): Promise<{ address: string; close(): Promise<void> }> {
  const place = parseHostPort(address)
  if (place === undefined) throw new BadHostPortError('the address for metrics')
  const server = createServer({ maxHeaderSize: 4_096, requestTimeout: 10_000 }, (request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') return void response.writeHead(404).end()
    metrics.text().then(
      (text) => response.writeHead(200, { 'content-type': metrics.contentType }).end(text),
      () => response.writeHead(500).end(),
    )
  })
  server.maxConnections = 8
  const port = await listenOn(server, place)
  return {
    address: formatHostPort({ host: place.host, port }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
