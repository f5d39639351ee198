/**
 * What routing knows of a connection: whole cells to and from a node whose key is proven. The makers
 * are in node/system (TLS and WebSocket) and in the simulator; one contract suite holds both.
 * SPEC links §1
 */
import type { PublicKey } from '../../core/index.ts'

export interface LinkHandlers {
  /** One whole cell, owned by the receiver from now on: it may be kept and overwritten. */
  onCell(cell: Uint8Array): void
  /** What was queued has gone to the kernel: there is room again. */
  onDrain(): void
  /** Called once, last; `reason` is this program's own words, never the peer's. */
  onClose(reason: string): void
}

export interface Link {
  /** The key the peer has proven to hold. */
  readonly peerKey: PublicKey
  /** Whether this side opened the connection. */
  readonly isDialer: boolean
  /** Bytes handed over and not yet taken by the kernel: `send` never refuses, the sender watches this. */
  readonly queuedBytes: number
  /** Sets the handlers, exactly once. Cells that came before are held, bounded, and come now. */
  start(handlers: LinkHandlers): void
  /** CELL_SIZE bytes, owned by the link from now on. After the close it does nothing. */
  send(cell: Uint8Array): void
  close(reason: string): void
}

/** Where to dial, and the only key that may answer there. */
export interface DialTarget {
  readonly address: string
  readonly publicKey: PublicKey
}

export interface Listener {
  /** As bound: the port is the real one when port 0 was asked for. */
  readonly address: string
  close(): Promise<void>
}

export interface Transport {
  /** Resolves when the peer has proven the expected key; otherwise rejects with a link error. */
  dial(to: DialTarget, options: { readonly timeoutMs: number }): Promise<Link>
  listen(address: string, onLink: (link: Link) => void): Promise<Listener>
  /** Closes every listener and link. */
  close(): Promise<void>
}
