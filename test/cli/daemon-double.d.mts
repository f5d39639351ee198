export interface ErrorLike {
  code: string
  kind: string
  message: string
  hint?: string
}
export interface Double {
  objects: Map<string, { bytes: Uint8Array; name?: string | undefined; type?: string | undefined }>
  requests: { method: string; path: string; query: Record<string, string> }[]
  /** Puts whose body broke off. */
  aborted: number
  pending?: number
  /** Shards of a put that gateways hold. */
  handed?: number
  /** Objects looked after. */
  kept: { id: string }[]
  readBack?: object
  /** What a repair finds, stripe by stripe: missing, rebuilt, pending. */
  repair?: readonly (readonly number[])[]
  lost?: boolean
  putRefusal?: ErrorLike
  putError?: ErrorLike
  breakAt?: number | undefined
  breakWith?: 'cut' | 'hang' | ErrorLike
  /** Sent in place of any answer. */
  raw?: string
  stopped?: { announce: boolean }
  onStop(): void
  close(): Promise<void>
}
export function serveDouble(home: string, options?: Partial<Double>): Promise<Double>
